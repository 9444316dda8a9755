"""Presets of the package, and files of a person's own."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import bloch
import numpy as np
import pytest
import torch
from paths import DOCS, ROOT

from napari_swig_qmri.physics.nulling import NULLED_TISSUES, NulledTissue
from napari_swig_qmri.physics.sequence import Contrast, in_shown_units
from napari_swig_qmri.physics.signal_models import SEQUENCES, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis import presets as presets_module
from napari_swig_qmri.synthesis.presets import (
    Preset,
    all_presets,
    built_in_presets,
    find_preset,
    parse_presets,
    read_presets,
    write_presets,
)
from napari_swig_qmri.synthesis.sequence_tables import sequence_key

BUILT_IN = built_in_presets()
FIELDS = (1.5, 3.0, 7.0)
NAMES = (
    "T1w SE",
    "T1w MPRAGE",
    "T1w SPGR",
    "T2w TSE",
    "PDw TSE",
    "T2-FLAIR 2D",
    "T2-FLAIR 3D",
    "T1-FLAIR",
    "STIR",
    "DIR",
    "PSIR",
    "MP2RAGE UNI",
    "bSSFP",
)
T2 = {"CSF": 1.4, "fat": 0.07, "WM": 0.07, "GM": 0.08}  # s
PD = {"CSF": 1.0, "fat": 1.0, "WM": 0.7, "GM": 0.8}
LESION = {1.5: (0.752, 0.237), 3.0: (1.35, 0.12), 7.0: (1.8, 0.09)}  # T1, T2 in s
BLOCH = {
    "spin-echo": bloch.saturation_recovery,
    "tse": bloch.turbo_spin_echo,
    "ir-se": bloch.inversion_recovery,
    "psir": bloch.inversion_recovery,
    "t2-flair": bloch.inversion_turbo_spin_echo,
    "stir": bloch.inversion_turbo_spin_echo,
    "dir": bloch.double_inversion_recovery,
    "spgr": bloch.spoiled_gradient_echo,
    "mprage": bloch.mprage,
    "mp2rage-uni": bloch.mp2rage,
    "bssfp": bloch.balanced_ssfp,
}
MINE = Preset(name="T2w long", field_strength=3.0, contrast=TurboSpinEcho(echo_time=0.12, repetition_time=6.1))
ENTRY = """
[[preset]]
name = "mine"
field_strength = 3
sequence = "spin-echo"
settings = { repetition_time = 500, echo_time = 15.0 }
"""


def signals(preset: Preset) -> dict[str, float]:
    """Signal of each tissue at the field strength of a preset."""
    contrast: Any = preset.contrast
    found = {}
    for name, tissue in NULLED_TISSUES.items():
        maps = (torch.tensor([value]) for value in (PD[name], tissue.t1[preset.field_strength], T2[name]))
        found[name] = contrast(*maps).item()
    return found


def test_every_contrast_exists_at_every_field_strength() -> None:
    assert [preset.key for preset in BUILT_IN] == [(name, field) for name in NAMES for field in FIELDS]
    assert {type(preset.contrast) for preset in BUILT_IN} == set(SEQUENCES.values())
    assert all("our choice" in preset.source for preset in BUILT_IN)


@pytest.mark.parametrize("preset", BUILT_IN, ids=lambda preset: f"{preset.name} {preset.field_strength:g} T")
def test_presets_give_the_contrast_that_they_are_named_after(preset: Preset) -> None:
    signal = signals(preset)
    assert all(math.isfinite(value) for value in signal.values())
    white, grey, fluid, fat = (signal[name] for name in ("WM", "GM", "CSF", "fat"))
    name = preset.name
    if name.startswith(("T1w", "T1-FLAIR", "PSIR", "MP2RAGE")):
        assert white > grey
        assert grey > fluid or name == "T1-FLAIR"
    if name.startswith("T2w"):
        assert fluid > grey > white
    if name.startswith("PDw"):
        assert grey > white
    if "FLAIR" in name or name == "DIR":
        assert abs(fluid) < 0.01 * grey
    if name == "DIR":
        assert abs(white) < 0.01 * grey
    if name == "STIR":
        assert abs(fat) < 0.01 * grey


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(each, marks=[] if each.field_strength == 3 and each.name != "bSSFP" else pytest.mark.slow)
        for each in BUILT_IN
    ],
    ids=lambda preset: f"{preset.name} {preset.field_strength:g} T",
)
def test_presets_are_what_bloch_gives_for_tissues_of_their_field(preset: Preset) -> None:
    contrast: Any = preset.contrast
    if hasattr(contrast, "echo_train_length"):  # a train has echoes at multiples of its spacing only
        nearest = contrast.echo_spacing * round(contrast.echo_time / contrast.echo_spacing)
        contrast = replace(contrast, echo_time=nearest)
    field = preset.field_strength
    t1, t2 = np.array([*((tissue.t1[field], T2[name]) for name, tissue in NULLED_TISSUES.items()), LESION[field]]).T
    played = bloch.steady(bloch.Spins(t1, t2), BLOCH[sequence_key(contrast)](contrast))
    if isinstance(played, tuple):
        played = played[0] * played[1] / (played[0] ** 2 + played[1] ** 2)
    expected = played if contrast.is_signed else np.abs(played)
    found = contrast(torch.ones(t1.size, dtype=torch.float64), torch.from_numpy(t1.copy()), torch.from_numpy(t2.copy()))
    # 5e-5: as for the trains of test_signal_models; everything else is exact
    np.testing.assert_allclose(found.numpy(), expected, atol=5e-5)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    equation = UserEquation(text="PD * exp(-TE/T2) * cos(FA)", echo_time=0.033, flip_angle=math.radians(12))
    mine = (*BUILT_IN, MINE, Preset(name='ä "quoted"', field_strength=0.55, contrast=equation, source="Müller 2024"))
    path = tmp_path / "deep" / "mine.toml"
    write_presets(path, mine)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Presets of napari-swig-qmri: times in ms")
    assert tomllib.loads(text)["preset"][-1]["settings"] == {"echo_time": 33.0, "flip_angle": 12.0}
    for read, written in zip(read_presets(path), mine, strict=True):
        assert (read.key, read.source) == (written.key, written.source)
        assert in_shown_units(read.contrast) == in_shown_units(written.contrast)
        assert sequence_key(read.contrast) == sequence_key(written.contrast)


def test_a_file_is_overwritten_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"mine.toml already in .*: choose another name or remove it first\."):
        write_presets(path, [MINE])
    assert path.read_text() == "precious"
    write_presets(path, [MINE], overwrite=True)
    assert read_presets(path) == (MINE,)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"mine"', "", "preset file x.toml is not TOML: "),
        ("[[preset]]", "[preset]", "holds no presets: begin each with a line [[preset]]"),
        ('name = "mine"', "", "preset 1 of x.toml: name is missing: add it."),
        ('"mine"', "7", "name must be text, but it is 7"),
        ('"mine"', '""', "a preset needs a name of 1 to 60 characters"),
        ('"mine"', '"a\\u0007b"', "a preset needs a name of 1 to 60 characters"),
        ("strength = 3", 'strength = "3 T"', "field_strength must be a number, but it is '3 T'"),
        ("strength = 3", "strength = true", "field_strength must be a number, but it is True"),
        ("strength = 3", "strength = -3", "must be above 0 and up to 30 T, but it is -3"),
        ("strength = 3", "strength = nan", "must be above 0 and up to 30 T, but it is nan"),
        ("15.0", "600.0", "TE 600 ms is not shorter than TR 500 ms"),
        ("{ repetition_time = 500, echo_time = 15.0 }", "3", "settings must be a table, but it is 3"),
        ("settings", "colour = 1\nsettings", "'colour' is unknown: a preset has only name, field_strength"),
    ],
)
def test_bad_files_give_one_sentence(before: str, after: str, words: str) -> None:
    assert before in ENTRY
    with pytest.raises(ValueError, match=r"x\.toml") as refusal:
        parse_presets(ENTRY.replace(before, after, 1), "x.toml")
    assert words in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"preset file mine\.toml is not text in UTF-8"):
        read_presets(path)
    with pytest.raises(OSError, match=r"preset file nowhere\.toml could not be read: No such file"):
        read_presets(tmp_path / "nowhere.toml")


def test_own_presets_come_after_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets_module, "user_folder", lambda: tmp_path / "mine")
    assert all_presets() == (BUILT_IN, ())  # there is no folder yet
    other = Preset(name="T1w SE", field_strength=3.0, contrast=SpinEcho(echo_time=0.02, repetition_time=0.7))
    write_presets(tmp_path / "mine" / MINE.file_name, [MINE])
    write_presets(tmp_path / "shared.toml", [other])
    (tmp_path / "mine" / "bad.toml").write_text("x")
    found, problems = all_presets([tmp_path / "shared.toml"])
    assert find_preset(found, "T2w long", 3.0) == MINE
    assert find_preset(found, "T1w SE", 3.0) == other  # the last one counts
    assert len(found) == len(BUILT_IN) + 1
    assert [problem.split(":")[0] for problem in problems] == ["preset file bad.toml is not TOML"]


def test_a_missing_preset_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"there are no presets at 4 T: choose a field strength among 1\.5, 3, 7 T"):
        find_preset(BUILT_IN, "STIR", 4.0)
    with pytest.raises(ValueError, match=r"no preset at 3 T is called 'STAR': choose among T1w SE, .*, bSSFP\."):
        find_preset(BUILT_IN, "STAR", 3.0)


@pytest.mark.parametrize(
    ("name", "file"), [("T2w long", "T2w-long_3T.toml"), ("../../x/ä", "x_3T.toml"), ("ä", "preset_3T.toml")]
)
def test_names_become_names_of_files(name: str, file: str) -> None:
    flair = T2Flair.from_typical()
    assert Preset(name=name, field_strength=3.0, contrast=flair).file_name == file


def preset_rows() -> list[str]:
    """The table of the docs: settings by name and field strength."""
    rows = []
    for name in NAMES:
        cells = [short_settings(find_preset(BUILT_IN, name, field).contrast) for field in FIELDS]
        rows.append(f"| {name} | `{sequence_key(find_preset(BUILT_IN, name, 3.0).contrast)}` | {' | '.join(cells)} |")
    return rows


def short_settings(contrast: Contrast) -> str:
    """Settings as the docs write them, such as ``TR 500, TE 15``."""
    shown = in_shown_units(contrast)
    order = {"repetition_time": "TR", "inversion_time": "TI", "second_inversion_time": "TI2", "echo_time": "TE"}
    parts = [f"{short} {shown[name]:g}" for name, short in order.items() if name in shown]
    angles = [f"{shown[name]:g}°" for name in ("flip_angle", "second_flip_angle") if name in shown]
    counts = [
        f"{shown[name]} × {shown['echo_spacing']:g}" for name in ("echo_train_length", "n_partitions") if name in shown
    ]
    return ", ".join([*parts, *angles, *counts])


def spans(tissue: NulledTissue) -> list[tuple[float, tuple[float, float]]]:
    return [(tissue.t1[field], tissue.t1_range[field]) for field in FIELDS]


def test_the_docs_hold_the_presets_and_their_code_runs() -> None:
    page = (DOCS / "howto" / "presets.md").read_text(encoding="utf-8")
    for row in preset_rows():
        assert row in page
    for name, tissue in NULLED_TISSUES.items():
        cells = (f"{1e3 * t1:g} ({1e3 * low:g} to {1e3 * high:g})" for t1, (low, high) in spans(tissue))
        assert f"| {name} | {' | '.join(cells)} |" in page
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "presets.md", "exec"), {})
    (entry,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [preset.name for preset in parse_presets(entry, "presets.md")] == ["T2w long", "Saturation squared"]


@pytest.mark.slow
def test_the_wheel_holds_the_presets(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    code = "import sys; from hatchling.builders.wheel import WheelBuilder; "
    code += "print(list(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['standard'])))"
    subprocess.run([sys.executable, "-c", code, str(ROOT), str(tmp_path)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "napari_swig_qmri/synthesis/presets.toml" in zipfile.ZipFile(wheel).namelist()
