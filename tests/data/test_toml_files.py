"""Every TOML file that cannot be read is refused with a reason, in a moment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from napari_swig_qmri.data.toml_files import LARGEST, parse_toml, read_toml

DAMAGED = {
    "nested too deeply": "a = " + "[" * 100_000,
    "nested too deeply: tables": "a = " + "{a = " * 10_000,
    "bytes, but up to": "# " + "x" * LARGEST,
    "Exceeds the limit": "a = " + "9" * 5000,
    "too many dots": "a" + ".a" * 100_000 + " = 1",
    "too many dots: on several lines": ("a" + ".a" * 2000 + " = 1\\n") * 20,
    "Invalid": "a = b",
    "Cannot overwrite": "a = 1\na = 2",
}


@pytest.mark.parametrize("reason", DAMAGED)
def test_damaged_files_are_refused_with_a_reason(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(DAMAGED[reason])
    started = time.process_time()
    with pytest.raises(ValueError, match=reason.split(":")[0]):
        read_toml(path)
    assert time.process_time() - started < 2


def test_other_encodings_are_refused_and_texts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'name = "\xe9"')
    with pytest.raises(UnicodeDecodeError):
        read_toml(path)
    path.write_text("times = [1, 2]", encoding="utf-8")
    assert read_toml(path) == parse_toml("times = [1, 2]") == {"times": [1, 2]}
