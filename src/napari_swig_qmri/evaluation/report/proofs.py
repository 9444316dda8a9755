"""Tests of a run for its page: what `swig-qmri validate` and `swig-qmri audit` wrote about the same inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_swig_qmri.evaluation.audit_text import COLOURS, SHOWN_IN

VALIDATION_FILE, AUDIT_FILE = "validation.json", "audit.json"
ELSEWHERE = ("adapt", "lr_lock", "all_maps")  # options of a run that its tests do without
WIDTH, HEIGHT, MARGIN = 300, 190, 34  # of a plot, in the units of its drawing
LOWEST, HIGHEST = -20, 120  # % of a change that a plot shows


@dataclass(frozen=True, kw_only=True)
class Proofs:
    """What was written about a run, JSON objects as in the files; None if nothing was."""

    validation: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None

    @property
    def detection_limit(self) -> str:
        """Which lesions cannot be judged, in one sentence; empty without an audit."""
        return "" if self.audit is None else str(self.audit["sentence"])


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Share of a planted change that a map shows over the diameter of the lesion."""

    title: str
    text: str  # for readers who do not see it
    lines: tuple[tuple[str, str, str], ...]  # points of the medians and of the worst places, and the colour
    ticks: tuple[tuple[float, str], ...]  # x and diameter in mm
    levels: tuple[tuple[float, str], ...]  # y and share in %


def read_proofs(folder: Path, run: Mapping[str, Any]) -> Proofs:
    """Tests in a folder that are about a run, as its record in the sidecars says; those of other runs are left out."""
    return Proofs(validation=_read(folder / VALIDATION_FILE, run), audit=_read(folder / AUDIT_FILE, run))


def _read(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if _is_about(content["Run"], run) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_about(tested: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Whether a test had the inputs and options of a run."""
    options = [{k: v for k, v in each["Options"].items() if k not in ELSEWHERE} for each in (tested, run)]
    inputs = [
        sorted((file["role"], file["sha256"], str(file["sidecar_sha256"]), file["sequence"]) for file in each["Inputs"])
        for each in (tested, run)
    ]
    return options[0] == options[1] and inputs[0] == inputs[1] and tested["Units"] == run["Units"]


def validation_rows(validation: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What was left out, with SSIM, HFEN and NRMSE of its prediction, and of that by interpolated maps, as texts."""
    named = [(each["name"], each) for each in validation["guides"]]
    named += [(f"{name}, high frequencies", each) for name, each in validation["lr_maps"].items()]
    for name, scores in named:
        both = (scores, scores["interpolated"])
        yield name, *(f"{each[score]:.3f}" for score in ("ssim", "hfen", "nrmse") for each in both)


def audit_rows(audit: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where a lesion is, its diameter, and the median share of its change that each map shows, as texts."""
    for each in audit["results"]:
        shares = [f"{of_map['median']:.0f} % ({of_map['worst']:.0f})" for of_map in each["shares"].values()]
        yield SHOWN_IN[each["kind"]], f"{2 * each['radius_mm']:g} mm", *shares


def audit_plots(audit: Mapping[str, Any]) -> list[Plot]:
    """A plot for each map."""
    names = list(audit["results"][0]["shares"])
    diameters = sorted({2 * each["radius_mm"] for each in audit["results"]})
    return [
        Plot(
            title=name,
            text=f"Share of planted lesions that {name} shows, by their diameter; the table has the numbers.",
            lines=tuple(
                (_points(audit, kind, name, "median"), _points(audit, kind, name, "worst"), colour)
                for kind, colour in COLOURS.items()
            ),
            ticks=tuple((_x(each, diameters[-1]), f"{each:g}") for each in diameters),
            levels=tuple((_y(each), f"{each}") for each in (0, 20, 75, 100)),
        )
        for name in names
    ]


def _points(audit: Mapping[str, Any], kind: str, name: str, which: str) -> str:
    """Points of a line, as an SVG has them."""
    largest = max(2 * each["radius_mm"] for each in audit["results"])
    of_kind = [each for each in audit["results"] if each["kind"] == kind]
    places = ((_x(2 * each["radius_mm"], largest), _y(each["shares"][name][which])) for each in of_kind)
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _x(diameter: float, largest: float) -> float:
    return MARGIN + (WIDTH - MARGIN - 10) * diameter / largest


def _y(share: float) -> float:
    part = (min(max(share, LOWEST), HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return HEIGHT - MARGIN - (HEIGHT - MARGIN - 10) * part
