"""Agreement of two images in regions: a Bland-Altman plot of the first minus the second, or a scatter plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, Form, column
from napari_swig_qmri._napari.parts.layer_choice import are_alike
from napari_swig_qmri._napari.parts.plots import PlotPlace, draw_agreement, draw_scatter, name_axes
from napari_swig_qmri.data.volumes import FloatArray, Volume
from napari_swig_qmri.evaluation.regions import (
    RegionSource,
    RegionStatistics,
    bland_altman,
    expected_difference,
    paired_means,
    paired_voxels,
)
from napari_swig_qmri.progress import Progress

BLAND_ALTMAN, SCATTER = "Bland-Altman", "scatter"
REGIONS, VOXELS = "means of regions", "voxels"
LEADING = ("T1", "T2", "PD")  # kinds of maps that are compared first


@dataclass(frozen=True, eq=False)
class RegionTable:
    """Statistics of images in regions, with the images and the labels."""

    rows: tuple[RegionStatistics, ...]
    sources: dict[str, RegionSource]
    labels: Callable[[], Volume]

    def unit(self, image: str) -> str:
        """Unit of an image; empty for arbitrary units."""
        unit = next((row.unit for row in self.rows if row.image == image), "")
        return "" if unit == "arbitrary" else unit


class AgreementPanel(QWidget):
    """Choice of two images and of the points to compare, a plot, and a summary."""

    def __init__(self) -> None:
        super().__init__()
        self._table: RegionTable | None = None
        self.first = ChoiceBox(label="Compare", tooltip="First image")
        self.second = ChoiceBox(label="with", tooltip="Second image")
        self.kind = ChoiceBox(
            [("Bland-Altman", BLAND_ALTMAN), ("Scatter", SCATTER)], label="Plot", tooltip="Kind of plot"
        )
        self.points = ChoiceBox(
            [("Means of regions", REGIONS), ("Voxels of regions", VOXELS)], label="of", tooltip="Points of the plot"
        )
        self.place = PlotPlace()
        self.summary = wrapped_label()
        self._query = BackgroundQuery(self, pause=0)
        boxes = (self.first, self.second, self.kind, self.points)
        self.setLayout(column(Form(*boxes), self.place, self.summary))
        for box in boxes:
            box.changed.connect(self._compare)
        self._query.progressed.connect(self._show_progress)
        self._query.answered.connect(self._draw)
        self._query.failed.connect(self._refuse)
        self.place.recoloured.connect(self._compare)

    @property
    def images(self) -> tuple[str | None, str | None]:
        """Names of the two images."""
        return self.first.value, self.second.value

    def show_table(self, table: RegionTable) -> None:
        """Offer the images of a table and compare two of them."""
        self._table = table
        names = [(name, name) for name in table.sources]
        self.first.set_choices(names)
        self.second.set_choices(names)
        if self.second.value == self.first.value:
            for box, name in zip((self.first, self.second), _first_pair(list(table.sources.values())), strict=True):
                box.choose(name)
        self._compare()

    def forget(self) -> None:
        """Drop the table and its comparison."""
        self._table = None
        self._compare()

    def _compare(self) -> None:
        self._query.forget()
        table, (first, second) = self._table, self.images
        if table is None or first is None or second is None:
            return
        problem = _mismatch(table, first, second)
        if problem:
            self._refuse(problem)
        elif self.points.value == REGIONS:
            self._draw(paired_means(table.rows, first, second))
        else:
            self._query.ask(partial(_voxel_pairs, table, first, second))

    def _draw(self, pairs: tuple[FloatArray, FloatArray]) -> None:
        table, (first, second) = self._table, self.images
        if table is None or first is None or second is None:
            return
        try:
            agreement = bland_altman(*reversed(pairs))  # second minus first there, first minus second here
        except ValueError as error:
            self._refuse(str(error))
            return
        unit = table.unit(first)
        in_voxels = self.points.value == VOXELS
        expected = expected_difference(table.rows, first, second) if in_voxels else math.nan
        self.place.setVisible(True)
        if self.kind.value == SCATTER:
            name_axes(self.place.plot, with_unit(first, unit), with_unit(second, unit))
            draw_scatter(self.place.plot, *pairs)
        else:
            name_axes(self.place.plot, with_unit("Mean of both", unit), with_unit("First − second", unit))
            draw_agreement(self.place.plot, agreement, expected)
        low, high = (digits(limit) for limit in agreement.limits)
        set_text(
            self.summary,
            f"{first} minus {second}, {agreement.means.size} {self.points.value}: bias {digits(agreement.bias)}, "
            f"limits of agreement (± 1.96 SD) {low} to {high}{f' {unit}' if unit else ''}."
            + (f" By the standard errors alone ± {digits(expected)} (dotted)." if expected == expected else ""),
        )

    def _show_progress(self, progress: Progress) -> None:
        set_text(self.summary, f"{sentence(progress.stage)}… {100 * progress.fraction:.0f} %")

    def _refuse(self, reason: str) -> None:
        self.place.setVisible(False)
        set_text(self.summary, sentence(reason))


def with_unit(name: str, unit: str) -> str:
    """Name with its unit, unless it has the unit already, as names of layers of relaxation times do."""
    return name if not unit or f"({unit})" in name else f"{name} ({unit})"


def digits(value: float) -> str:
    """Number with four significant digits; a dash for NaN."""
    return "–" if value != value else f"{value:.4g}".replace("-", "−")


def _voxel_pairs(
    table: RegionTable, first: str, second: str
) -> Generator[Progress, None, tuple[FloatArray, FloatArray]]:
    """Values of both images in the voxels of all regions."""
    one, other = (table.sources[name].read() for name in (first, second))
    return (yield from paired_voxels(one, other, table.labels()))


def _mismatch(table: RegionTable, first: str, second: str) -> str:
    """Reason why two images cannot be compared, in a sentence; empty if they can be."""
    kinds = [table.sources[name].kind for name in (first, second)]
    units = [table.unit(name) for name in (first, second)]
    if not are_alike(*kinds):
        one, other = (f"{name} ({kind or 'a contrast'})" for name, kind in zip((first, second), kinds, strict=True))
        return f"{one} and {other} are of different kinds: choose two images of one kind."
    if units[0] != units[1]:
        one, other = (f"{name} ({unit or 'no unit'})" for name, unit in zip((first, second), units, strict=True))
        return f"{one} and {other} have different units: choose two images with one unit."
    return ""


def _first_pair(sources: Sequence[RegionSource]) -> tuple[str, str]:
    """Two images to compare first: T1 before other kinds, a synthetic one with a measured one, similar names."""
    alike = [pair for pair in combinations(sources, 2) if are_alike(pair[0].kind, pair[1].kind)]
    if not alike:
        return sources[0].name, sources[-1].name
    best = min(alike, key=_rank)
    first, second = sorted(best, key=lambda source: not source.is_synthetic)
    return first.name, second.name


def _rank(pair: tuple[RegionSource, RegionSource]) -> tuple[int, bool, bool]:
    first, second = pair
    rank = LEADING.index(first.kind) if first.kind in LEADING else len(LEADING)
    return rank, first.is_synthetic == second.is_synthetic, first.name.split()[0] != second.name.split()[0]
