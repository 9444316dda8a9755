"""Configurations: read from TOML files with paths relative to them, refused with a sentence, and free of overlaps."""

from __future__ import annotations

import tomllib
from itertools import combinations

import pytest
from paths import TRAINING

from napari_swig_qmri.super_resolution.network.configuration import Anatomies, file_identity
from napari_swig_qmri.super_resolution.network.model import NetworkConfig
from napari_swig_qmri.super_resolution.network.training import read_config

TEXT = """
    output = "out"
    examples = "examples"
    loss = "supervised"
    network = {width = 16, n_blocks = 2}
    [[train]]
    scheme = "brainweb"
    files = ["a.nii.gz", "b.nii.gz"]
    [[validation]]
    scheme = "freesurfer"
    files = ["c.nii.gz"]
"""


def test_a_configuration_is_read_and_its_paths_are_relative_to_its_folder(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(TEXT)
    config = read_config(path)
    assert config.network == NetworkConfig(16, 2)
    assert (config.output, config.examples) == (str(tmp_path / "out"), str(tmp_path / "examples"))
    assert config.train == (
        Anatomies(files=(str(tmp_path / "a.nii.gz"), str(tmp_path / "b.nii.gz")), scheme="brainweb"),
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"supervised"', '"oracle"', "the loss must be one of"),
        ("examples =", "samples =", "examples"),
        ('"freesurfer"', '"aseg"', "the scheme must be one of"),
        ('"freesurfer"', '"phantom"', r"heads of the phantom are numbers, but there is c\.nii\.gz"),
        ("width = 16", 'width = "wide"', "network.width"),
        ("width = 16", "width = 0", "a width of 1 to 4096"),
        ("loss =", "loss", "is no training configuration"),
        ('output = "out"', 'output = "out"\nbatch_size = 0', "batch_size must be 1 or more, but it is 0"),
        ('output = "out"', f'output = "out"\nn_steps = {"9" * 400}', "n_steps must be 1,000,000,000 or less"),
        ('output = "out"', 'output = "out"\nema = 1.0', "ema must be at least 0 and below 1"),
        ('output = "out"', 'output = "out"\nprecision = "half"', "the precision must be float32 or bfloat16"),
        ('output = "out"', 'output = "out"\nterms = {"lr maps" = 5.0}', "terms must be among truth, guides, LR maps"),
        ('["c.nii.gz"]', "[]", "train and validation need a label map each"),
    ],
)
def test_wrong_entries_are_refused_with_a_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "train.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ValueError, match=sentence):
        read_config(path)


def test_a_missing_configuration_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist: check the name"):
        read_config(tmp_path / "none.toml")


def test_files_are_identified_by_name_and_size_wherever_they_are(tmp_path):
    for folder, text in (("first", "12345"), ("second", "12345"), ("third", "123")):
        (tmp_path / folder / "maps").mkdir(parents=True)
        (tmp_path / folder / "maps" / "a.txt").write_text(text)
    for name in ("maps", "maps/a.txt", "none"):
        first, second, third = (file_identity(str(tmp_path / folder / name)) for folder in ("first", "second", "third"))
        assert first == second
        assert (first == third) == (name == "none")


CONFIGURATIONS = sorted(TRAINING.glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=[path.stem for path in CONFIGURATIONS])
def test_no_head_is_in_two_parts_of_a_split(path):
    """And the heads of cases and tables are in none that anything learns from."""
    settings = tomllib.loads(path.read_text())
    parts = {
        name: {file for each in settings.get(name, ()) for file in each["files"]}
        for name in ("train", "validation", "test")
    }
    for first, second in combinations(parts.values(), 2):
        assert not first & second
    learned_from = " ".join(parts["train"] | parts["validation"])
    assert parts["train"]
    for held_out in ("subject06", "subject42", "subject43", "subject44", "subject45", "seg_11", "seg_13", "seg_14"):
        assert held_out not in learned_from
