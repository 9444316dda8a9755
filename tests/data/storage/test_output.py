"""Files are whole at every moment, groups of files change together, and places are tried before work is done."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from paths import PACKAGE

from napari_swig_qmri.data.storage.output import append_text, check_output, replacing, write_text

WRITES = {"write_text", "write_bytes", "to_filename", "savefig", "save", "save_as", "save_file", "touch", "tofile"}
WRITES |= {"open", "savetxt", "savez", "imwrite", "imsave", "rename", "replace", "copyfile"}
OWN = {  # methods of the same names, which use this module
    "examples.py: self._make(index).save(path)",
    "training.py: run.save(folder)",
    "training.py: cast('SwigNet', run.average.module).save(folder / FILE, about)",
    "pictures.py: picture.save(stream, format='PNG', optimize=True)",  # into memory
}


def test_a_group_of_files_changes_together_or_not_at_all(tmp_path: Path) -> None:
    for name in "ab":
        write_text("old", tmp_path / name)
    with suppress(FileNotFoundError), replacing() as part:
        part(tmp_path / "a").write_text("new")
        part(tmp_path / "b")  # but nothing is written to it
    assert [(tmp_path / name).read_text() for name in "ab"] == ["old", "old"]
    with replacing() as part:
        part(tmp_path / "a").write_text("new")
        assert (tmp_path / "a").read_text() == "old"
        part(tmp_path / "b").write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_appending_keeps_what_was_there_and_ends_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "list"
    for text in ("a\n", "b", "c\n"):
        append_text(text, path)
    assert path.read_text() == "a\nb\nc\n"


def test_a_place_is_tried_without_leaving_a_trace(tmp_path: Path) -> None:
    write_text("", tmp_path / "sub-[1]*_T1map.nii")
    check_output(tmp_path / "new" / "folder", ["sub-1*"])
    check_output(tmp_path, ["sub-2*", "sub-1_T1map.nii", "sub-?*"])  # only a star at the end has a meaning
    check_output(tmp_path, ["sub-[1]*"], overwrite=True)
    for taken in ("sub-[1]*", "sub-[1]*_T1map.nii"):
        with pytest.raises(FileExistsError, match="choose another folder or use `overwrite`"):
            check_output(tmp_path, [taken])
    with pytest.raises(FileExistsError, match="is a file, but the results go into a folder"):
        check_output(tmp_path / "sub-[1]*_T1map.nii")
    with pytest.raises(OSError, match=r"nothing can be written to .* choose another folder"):
        check_output(tmp_path / "sub-[1]*_T1map.nii" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["sub-[1]*_T1map.nii"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("the user may write everywhere")
    with pytest.raises(PermissionError, match=r"nothing can be written to .*\(Permission denied\)"):
        check_output(tmp_path / "new")


def left_by_a_dead_process(target: Path) -> Path:
    """What a process leaves that ends in the middle of writing a file."""
    words = ("import os, sys; from pathlib import Path", "from napari_swig_qmri.data.storage.output import replacing")
    block = "with replacing() as part: part(Path(sys.argv[1])).write_text('half'); os._exit(1)"
    subprocess.run([sys.executable, "-c", "; ".join(words) + f"\n{block}", str(target)], check=False)
    (left,) = (path for path in target.parent.iterdir() if path.name.endswith(f".part{target.name}"))
    return left


def aged(path: Path, days: float) -> Path:
    path.write_text("half")
    os.utime(path, (time.time() - 86400 * days,) * 2)
    return path


def test_what_a_killed_write_left_is_removed_when_its_file_is_written_again(tmp_path: Path) -> None:
    old = (
        left_by_a_dead_process(tmp_path / "a_T1w.nii")
        if os.name == "posix"
        else aged(tmp_path / ".ffffffff.parta_T1w.nii", 2)
    )
    others = [
        aged(tmp_path / ".12ab34cd.parta_T1w.nii", 0.9),  # of a process that nothing names
        aged(tmp_path / ".12ab34cd.partother_a_T1w.nii", 9),  # of another file
        aged(tmp_path / ".parta_T1w.nii", 9),  # of other software
        aged(tmp_path / "x.12ab34cd.parta_T1w.nii", 9),
    ]
    older = [aged(tmp_path / f".{n}0000000.parta_T1w.nii", 1.1) for n in range(2)]
    with replacing() as part:
        running = part(tmp_path / "a_T1w.nii")
        running.write_text("new")
        aged(running, 9)
        write_text("first", tmp_path / "a_T1w.nii")
        assert not any(path.exists() for path in (old, *older))
        assert all(path.exists() for path in (running, *others))
    assert (tmp_path / "a_T1w.nii").read_text() == "half"
    for path in others:
        path.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a_T1w.nii"]


@pytest.mark.skipif(os.name != "posix", reason="only there processes can be asked for")
def test_what_another_process_writes_is_kept(tmp_path: Path) -> None:
    words = ("import sys; from pathlib import Path", "from napari_swig_qmri.data.storage.output import replacing")
    block = "with replacing() as part: part(Path(sys.argv[1])).write_text('theirs'); print(flush=True); input()"
    command = [sys.executable, "-c", "; ".join(words) + f"\n{block}", str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        write_text("ours", tmp_path / "a")
        check_output(tmp_path)
        process.communicate(b"\n")
    assert process.returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "theirs"}


def test_what_a_killed_trial_of_a_folder_left_is_removed_by_the_next(tmp_path: Path) -> None:
    aged(tmp_path / ".12ab34cd.part", 2)
    check_output(tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_but_by_this_module() -> None:
    """Walk the code: whatever writes a file does so into a `part` of `replacing`."""
    assert {
        f"{path.name}: {ast.unparse(call)}"
        for path in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and path.name != "output.py" and _writes(call)
    } == OWN


def _writes(call: ast.Call) -> bool:
    """Whether a call has the name of one that writes a file, and writes no `part`."""
    is_method = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if is_method and getattr(call.func.value, "id", "") == "self":  # a method of the same class
        return False
    if name not in WRITES or any("part" in getattr(each, "id", "") for each in ast.walk(call)):
        return False
    if name == "open":
        values = (*call.args, *(keyword.value for keyword in call.keywords))
        modes = [value.value for value in values if isinstance(value, ast.Constant)]
        return any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in modes)
    if name == "replace":  # of a path; that of a text has two arguments, that of a dataclass is a function
        return is_method and len(call.args) == 1 and not call.keywords
    return is_method or name != "write_text"  # the function of this module
