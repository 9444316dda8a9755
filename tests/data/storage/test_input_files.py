"""Input files are found again by place, name and checksum, and what has changed is told apart."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from napari_swig_qmri.data.storage.input_files import InputFile, find_again

RESULT = "out/sub-01/anat"  # where the result lies


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "sub-01_T1map.nii.gz"
    path.parent.mkdir()
    path.write_bytes(b"voxels")
    path.with_name("sub-01_T1map.json").write_text('{"Units": "s"}')
    return path


@pytest.fixture
def record(image: Path, tmp_path: Path) -> InputFile:
    return InputFile.of(image, "map", tmp_path / RESULT)


def test_a_record_names_no_folder_above_the_one_both_are_in(record: InputFile, tmp_path: Path) -> None:
    assert record.file == "../../../in/sub-01_T1map.nii.gz"
    assert str(tmp_path) not in str(asdict(record))
    assert InputFile.from_json(asdict(record)) == record
    with pytest.raises(ValueError, match="no record of an input file"):
        InputFile.from_json({"file": "a"})


def test_it_is_found_where_it_was_and_where_it_was_moved_to(record: InputFile, image: Path, tmp_path: Path) -> None:
    assert not find_again(record, tmp_path / RESULT).has_changed
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    image.parent.rename(moved)
    with pytest.raises(FileNotFoundError, match=r"sub-01_T1map\.nii\.gz, of which the result was made"):
        find_again(record, tmp_path / RESULT)
    found = find_again(record, tmp_path / RESULT, [tmp_path / "elsewhere"])
    assert (found.path, found.has_changed) == (moved / image.name, False)


@pytest.mark.parametrize("name", ["sub-01_T1map.nii.gz", "sub-01_T1map.json"])
def test_another_image_or_sidecar_counts_as_changed_unless_the_original_is_elsewhere(
    record: InputFile, image: Path, tmp_path: Path, name: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in image.parent.iterdir():
        (kept / path.name).write_bytes(path.read_bytes())
    image.with_name(name).write_bytes(b"other")
    assert find_again(record, tmp_path / RESULT).has_changed
    assert find_again(record, tmp_path / RESULT, [kept]).path == kept / image.name
    (kept / name).write_bytes(b"another one")
    with pytest.raises(ValueError, match="there are several"):
        find_again(record, tmp_path / RESULT, [kept])


def test_all_files_of_a_folder_and_both_of_a_pair_count(tmp_path: Path) -> None:
    for names in (("series/1.dcm", "series/2.dcm"), ("a.hdr", "a.img")):
        first, second = (tmp_path / name for name in names)
        first.parent.mkdir(exist_ok=True)
        for path in (first, second):
            path.write_bytes(b"one")
        given = first.parent if first.parent != tmp_path else first
        record = InputFile.of(given, "guide", tmp_path)
        second.write_bytes(b"two")
        assert find_again(record, tmp_path).has_changed
