"""The public names are documented: their examples run, and the reference lists them."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from paths import DOCS

import napari_swig_qmri

NAMES = [name for name in napari_swig_qmri.__all__ if callable(getattr(napari_swig_qmri, name))]


def examples_of(name: str) -> list[doctest.DocTest]:
    """Examples of a public function or class and of its methods, with the public names imported."""
    names = {other: getattr(napari_swig_qmri, other) for other in napari_swig_qmri.__all__}
    found = doctest.DocTestFinder().find(names[name], name, globs=names)
    return [example for example in found if example.examples]


@pytest.mark.parametrize("name", [name for name in NAMES if examples_of(name)])
def test_examples_of_a_public_name_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert sum(runner.run(example).failed for example in examples_of(name)) == 0


def test_every_public_name_has_an_example() -> None:
    assert [name for name in NAMES if not examples_of(name)] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    assert [name for name in napari_swig_qmri.__all__ if f"[`{name}`]" not in page] == []
