"""Fields are added to sidecars; what stands there stays, and what cannot be read is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_swig_qmri.data.storage.sidecar_file import add_to_sidecar


def test_other_fields_stay(tmp_path: Path) -> None:
    image, sidecar = tmp_path / "sub-01_T1map.nii.gz", tmp_path / "sub-01_T1map.json"
    sidecar.write_text('\ufeff{"Units": "ms", "Task": "Ruhe, größer"}', encoding="utf-8")
    assert add_to_sidecar(image, {"Units": "s"}) == sidecar
    assert json.loads(sidecar.read_text(encoding="utf-8")) == {"Units": "s", "Task": "Ruhe, größer"}


@pytest.mark.parametrize("content", ["{broken", "[1, 2]"])
def test_a_sidecar_that_cannot_be_read_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json .* nothing was added"):
        add_to_sidecar(tmp_path / "a.nii", {"Units": "s"})
    assert (tmp_path / "a.json").read_text() == content
