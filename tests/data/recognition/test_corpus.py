"""Names and sidecars of public conventions, with answers that were written down before the rules met them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from napari_swig_qmri.data.recognition.engine import Recognition, recognise
from napari_swig_qmri.data.recognition.evidence import Evidence

FOLDER = Path(__file__).parent / "corpus"
DECIDED, WRONG = 0.85, 0.01  # least share that is sure or likely, largest share of these that is wrong
EXTENSIONS = (".nii.gz", ".nii", ".mgz")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file and what it is; kinds separated by | are equally right, - is none that we use, ? is an open answer."""

    convention: str
    name: str
    kinds: tuple[str, ...]
    unit: str | None = None
    sequence: str | None = None
    sidecar: dict[str, Any] = field(default_factory=dict)

    def recognised(self) -> Recognition:
        path = Path(self.name)
        ending = next((each for each in EXTENSIONS if path.name.endswith(each)), "")
        return recognise(Evidence(stem=path.name.removesuffix(ending), path=path, sidecar=self.sidecar))


def named() -> list[Case]:
    with (FOLDER / "names.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Case(
            convention=row["convention"],
            name=row["name"],
            kinds=tuple(row["kind"].split("|")),
            sequence=row["sequence"] or None,
        )
        for row in rows
    ]


def described() -> list[Case]:
    rows = json.loads((FOLDER / "sidecars.json").read_text(encoding="utf-8"))
    return [
        Case(
            convention=row["convention"],
            name=row["name"],
            kinds=(row["kind"] or "-",),
            unit=row["unit"],
            sequence=row["sequence"],
            sidecar=row["sidecar"],
        )
        for row in rows
    ]


def is_right(case: Case, found: Recognition) -> bool:
    """Whether kind, and unit and sequence if the case states them, are right."""
    is_kind = (found.kind or "-") in case.kinds
    is_unit = case.unit is None or found.unit == case.unit
    return is_kind and is_unit and (case.sequence is None or found.sequence == case.sequence)


@pytest.mark.parametrize("cases", [named, described])
def test_most_files_are_decided_and_hardly_any_wrongly(cases: Callable[[], list[Case]]) -> None:
    chosen = [(case, case.recognised()) for case in cases()]
    decided = [(case, found) for case, found in chosen if found.confidence != "ask"]
    wrong = {
        case.name: (found.kind, found.unit, found.sequence) for case, found in decided if not is_right(case, found)
    }
    assert len(decided) >= DECIDED * len(chosen)
    assert len(wrong) <= WRONG * len(decided), wrong
