"""Text of others stays text wherever it is shown: on terminals, in tables, and in what sidecars say."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from volume_cases import AFFINE, volume

from napari_swig_qmri.data.interpretation import as_guide
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.data.wording import csv_text, for_qt, for_terminal, with_names
from napari_swig_qmri.evaluation.regions import as_csv, statistics

FORMULAS = ['=HYPERLINK("x")', "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1"]


def test_terminals_get_no_control_characters() -> None:
    evil = "".join(map(chr, (*range(32), *range(127, 160), 0x202E, 0x2066, 0x200B, 0x2028, 0xFEFF, 0xDC80)))
    shown = for_terminal(f"a\x1b[31mé{evil} T1 (ms) − 1 × 2")
    assert shown.startswith("a\\x1b[31mé\\x00\\x01")
    assert shown.endswith(" T1 (ms) − 1 × 2")
    assert all(each.isprintable() or each in "\n\t" for each in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("formula", FORMULAS)
def test_tables_hold_no_formulas(formula: str) -> None:
    about = {"label": 1, "image": formula, "unit": "", "is_synthetic": False}
    table = as_csv([statistics(np.array([-1.0, -2.0, -3.5]), **about)])
    _, row = csv.reader(io.StringIO(table, newline=""))
    assert row[1] == f"'{for_terminal(formula)}"
    assert row[4] == "-2.16667"  # numbers stay numbers
    assert csv_text([["T1w", "a=b", -1, 0.5]]) == "T1w,a=b,-1,0.5\n"


def test_qt_is_given_html_only_where_there_is_something_to_escape() -> None:
    assert for_qt("T1 SR (ms)") == "T1 SR (ms)"
    assert for_qt("a <img src='x'> & b") == (
        '<span style="white-space: pre-wrap">a &lt;img src=&#x27;x&#x27;&gt; &amp; b</span>'
    )


LONG = 40_000
SIDECARS = [
    {"EchoTime": f"1,1{' ' * LONG}!"},
    {"EchoTime": " " * LONG + "x"},
    {"EchoTime": "1" * LONG + "e"},
    {"EchoTime": [[[1]]] * LONG},
    {"EchoTime": 10**400, "RepetitionTime": -(10**400)},
    {"EchoTime": {"Value": {"Value": [1]}}},
    {"Units": " " * LONG + "ms"},
    *({key: f"T1 map units{' ' * LONG}x"} for key in ("SeriesDescription", "ProtocolName", "SequenceName")),
    {"SeriesDescription": "mp2rage " * LONG},
    {"SeriesDescription": "T1" + " (" * LONG},
    {"ImageType": ["DERIVED"] + ["T1"] * LONG},
    {"ImageType": "derived\\multi_qmap\\" + "t1\\" * LONG},
    {"ScanningSequence": "SE" * LONG, "PulseSequenceDetails": "k" + "x" * LONG + "space"},
]


DAMAGED = [
    "/* " * LONG,
    '"a":' * LONG,
    '{"a' * LONG,
    '"a" "a" ' * LONG,
    "{, " + " " * LONG,
    '"a": [' * LONG,
    '{"' + "\\" * LONG,
]


@pytest.mark.parametrize("sidecar", [*SIDECARS, *DAMAGED], ids=range(len(SIDECARS) + len(DAMAGED)))
def test_no_text_of_a_sidecar_takes_time(tmp_path: Path, sidecar: dict[str, object] | str) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), AFFINE), tmp_path / "x.nii")
    (tmp_path / "x.json").write_text(sidecar if isinstance(sidecar, str) else json.dumps(sidecar))
    started = time.process_time()
    found = read_volume(tmp_path / "x.nii")
    as_guide(volume(data=found.data, sidecar=found.sidecar, suffix="T1w"))
    assert time.process_time() - started < 2
    assert max(map(len, found.notices)) < 2000


def test_a_volume_may_have_any_name() -> None:
    assert isinstance(volume(name="\x1b[2J<b>=1"), Volume)


def test_options_get_the_names_of_the_reader() -> None:
    names = {"voxel_size": "--voxel-size"}
    assert with_names("choose a smaller `voxel_size`.", names) == "choose a smaller --voxel-size."
    others = "voxel_size `other` `pip install x` `voxel_size"
    assert with_names(others, names) == others
