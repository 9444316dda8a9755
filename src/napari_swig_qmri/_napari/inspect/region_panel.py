"""A table of regions: statistics of maps and contrasts per label, as CSV, and two images against each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.appearance import form, sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri._napari.parts.layer_choice import are_alike
from napari_swig_qmri._napari.parts.plots import draw_agreement, draw_scatter, name_axes, new_plot
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri.evaluation.regions import as_csv, bland_altman, paired_means, paired_voxels, tabulate

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_swig_qmri.data.volumes import FloatArray, Volume
    from napari_swig_qmri.evaluation.regions import RegionSource, RegionStatistics
    from napari_swig_qmri.progress import Progress

    Pairs = tuple[FloatArray, FloatArray]

HEADS = ("Label", "Image", "n", "Mean", "SD", "Median", "95 % CI")
NEEDS_LABELS = "Paint regions in a labels layer, or open one."
CAVEAT = (
    "95 % CI of the mean by Student's t for independent voxels; those of super-resolved or interpolated images are "
    "not, so that it is too narrow there. Labels on another grid go to the nearest voxels."
)
MISSED = "No voxel of {images} has its centre in a region: paint thicker ones."
SHOWN_ROWS = 8
LISTED = 8  # images in sight
NAME_WIDTH = 120  # pixels of the names of images, at first; it can be drawn wider
ROW_HEIGHT = 22  # pixels
BLAND_ALTMAN, SCATTER = "Bland-Altman", "scatter"
LEADING = ("T1", "T2", "PD")  # kinds that are compared first
REGIONS, VOXELS = "means of regions", "voxels"


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured, and what it was measured in."""

    rows: tuple[RegionStatistics, ...]
    sources: dict[str, RegionSource]
    labels: Callable[[], Volume]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Values of two images at the same places, in the unit on show."""

    images: tuple[str, str]
    pairs: Pairs
    of: str  # regions or voxels
    unit: str


class RegionPanel(QWidget):
    """Choose images, measure them in the regions, copy or save the table, and compare two of them."""

    def __init__(self) -> None:
        super().__init__()
        self._sources: list[RegionSource] = []
        self._items: list[QListWidgetItem] = []
        self._labels: Callable[[], Volume] | None = None
        self.measured: Measured | None = None
        self._is_waiting = False  # for the end of a run, to compare voxels
        self.images = QListWidget()
        self.images.setToolTip("Images to measure")
        doing = "Mean, deviation and median of the ticked images per label"
        self.run = RunPanel("Measure the regions", doing, unchanged="The table stays as it was.")
        self.table = QTableWidget(0, len(HEADS))
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the table as comma-separated values")
        self.save_button = QPushButton("Save CSV…")
        self.save_button.setToolTip("Save the table as a file of comma-separated values")
        self.first, self.second = ChoiceBox(tooltip="The first image"), ChoiceBox(tooltip="The second image")
        self.kind, self.of = ChoiceBox(tooltip="How to compare"), ChoiceBox(tooltip="What the points are")
        self.plot = new_plot("", "")
        self.summary = wrapped_label()
        self._outcome = QWidget()
        self._lay_out()
        self.images.itemChanged.connect(self._check)
        self.run.requested.connect(self.measure)
        self.run.succeeded.connect(self._take)
        self.run.ended.connect(self._compare_now)
        self.copy_button.clicked.connect(self.copy)
        self.save_button.clicked.connect(self._ask_where)
        for choice in (self.first, self.second, self.kind, self.of):
            choice.changed.connect(self._compare)
        self.show_sources([], None)

    def show_sources(self, sources: Sequence[RegionSource], labels: Callable[[], Volume] | None) -> None:
        """Offer these images, and the labels to measure them in; ticks stay, new images are ticked."""
        ticks = {item.text(): item.checkState() for item in self._items}
        self._sources, self._labels = list(sources), labels
        self.images.blockSignals(True)
        self.images.clear()
        self._items = []
        for source in sources:
            item = QListWidgetItem(source.name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsSelectable)
            item.setCheckState(ticks.get(source.name, Qt.CheckState.Checked))
            self.images.addItem(item)
            self._items.append(item)
        self.images.blockSignals(False)
        self.images.setFixedHeight(max(self.images.sizeHintForRow(0), 14) * min(max(len(sources), 1), LISTED) + 6)
        self._check()

    def measure(self) -> None:
        """Fill the table, in the background."""
        if self._labels is not None:
            sources = self._ticked()
            self.run.start(partial(_measured, sources, self._labels))

    def copy(self) -> None:
        """Put the table on the clipboard."""
        clipboard = QApplication.clipboard()
        if clipboard is not None and self.measured is not None:
            clipboard.setText(as_csv(self.measured.rows))
            self.run.show_message(f"{len(self.measured.rows)} rows copied.")

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        if self.measured is None:
            return
        try:
            path.write_text(as_csv(self.measured.rows), encoding="utf-8")
        except OSError as error:
            self.run.show_message(f"The table was not saved: {error.strerror}. Choose another place.", problem=True)
        else:
            self.run.show_message(f"Saved {path.name}.")

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(HEADS)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for header in (self.table.verticalHeader(), self.table.horizontalHeader()):
            if header is not None:
                header.setVisible(header.orientation() == Qt.Orientation.Horizontal)
                header.setDefaultSectionSize(ROW_HEIGHT)
                header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
                if header.orientation() == Qt.Orientation.Horizontal:  # names give way to numbers
                    header.setSectionResizeMode(HEADS.index("Image"), QHeaderView.ResizeMode.Interactive)
                    header.resizeSection(HEADS.index("Image"), NAME_WIDTH)
        self.table.setWordWrap(False)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.table.setFixedHeight(ROW_HEIGHT * (SHOWN_ROWS + 2))
        buttons = QHBoxLayout()
        for button in (self.copy_button, self.save_button):
            buttons.addWidget(button)
        rows = form()
        rows.addRow("Compare", self.first.native)
        rows.addRow("with", self.second.native)
        rows.addRow("Plot", self.kind.native)
        rows.addRow("of", self.of.native)
        self.kind.set_choices([("Bland-Altman", BLAND_ALTMAN), ("Scatter", SCATTER)])
        self.of.set_choices([("Means of regions", REGIONS), ("Voxels of regions", VOXELS)])
        below = QVBoxLayout(self._outcome)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.table)
        below.addLayout(buttons)
        below.addWidget(wrapped_label(CAVEAT, role="note"))
        below.addLayout(rows)
        below.addWidget(self.plot)
        below.addWidget(self.summary)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.images, self.run, self._outcome):
            column.addWidget(part)
        self._outcome.setVisible(False)

    def _ticked(self) -> list[RegionSource]:
        pairs = zip(self._sources, self._items, strict=True)
        return [source for source, item in pairs if item.checkState() == Qt.CheckState.Checked]

    def _check(self) -> None:
        self.run.set_ready(self._labels is not None and bool(self._ticked()))
        if self._labels is None and not self.run.is_running:
            self.run.show_message(NEEDS_LABELS)
        elif self.run.message.text() == NEEDS_LABELS:
            self.run.show_message("")

    def _take(self, result: Measured | Comparison) -> None:
        if isinstance(result, Comparison):
            if (result.images, result.of) == ((self.first.value, self.second.value), self.of.value):
                self._draw(result)  # unless others were chosen meanwhile
            return
        self.measured = result
        self._fill(result.rows)
        self._outcome.setVisible(True)
        missed = sorted(set(result.sources) - {row.image for row in result.rows})
        self.run.show_message(MISSED.format(images=", ".join(missed)) if missed else "")
        names = [(name, name) for name in result.sources]
        self.first.set_choices(names)
        self.second.set_choices(names)
        if self.second.value == self.first.value:
            for choice, name in zip((self.first, self.second), _pair(list(result.sources.values())), strict=True):
                choice.set_value(name)
        self._compare()

    def _fill(self, rows: Sequence[RegionStatistics]) -> None:
        self.table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            low, high = row.interval
            numbers = (f"{row.n}", *(_digits(v) for v in (row.mean, row.deviation, row.median)))
            name = _named(row.image, _unit([row], row.image))
            for column, text in enumerate((f"{row.label}", name, *numbers, f"{_digits(low)} to {_digits(high)}")):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                side = Qt.AlignmentFlag.AlignLeft if column == 1 else Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(index, column, item)

    def _compare(self) -> None:
        images, done = (self.first.value, self.second.value), self.measured
        if done is None or None in images:
            return
        problem = _mismatch(done, *images)
        if problem:
            self._is_waiting = False
            self._refuse(problem)
        elif self.of.value == REGIONS:
            self._draw(Comparison(images, paired_means(done.rows, *images), REGIONS, _unit(done.rows, images[0])))
        elif self.run.is_running:
            self._is_waiting = True
        else:
            self.run.start(partial(_paired, done, images))

    def _compare_now(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._compare()

    def _draw(self, compared: Comparison) -> None:
        one, other = compared.pairs
        try:
            agreement = bland_altman(one, other)
        except ValueError as error:
            self._refuse(str(error))
            return
        self.plot.setVisible(True)
        first, second = compared.images
        if self.kind.value == SCATTER:
            name_axes(self.plot, _named(first, compared.unit), _named(second, compared.unit))
            draw_scatter(self.plot, one, other)
        else:
            name_axes(self.plot, _named("Mean of both", compared.unit), _named("Difference", compared.unit))
            draw_agreement(self.plot, agreement)
        low, high = agreement.limits
        set_text(
            self.summary,
            f"{second} minus {first}, {agreement.means.size} {compared.of}: bias {_digits(agreement.bias)}, limits of "
            f"agreement (± 1.96 SD) {_digits(low)} to {_digits(high)}{f' {compared.unit}' if compared.unit else ''}.",
        )

    def _refuse(self, reason: str) -> None:
        self.plot.setVisible(False)
        set_text(self.summary, sentence(reason))

    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", "regions.csv", "Comma-separated values (*.csv)")
        if name:
            self.save(Path(name))


def _measured(sources: Sequence[RegionSource], labels: Callable[[], Volume]) -> Generator[Progress, None, Measured]:
    rows = yield from tabulate(sources, labels())
    return Measured(rows, {source.name: source for source in sources}, labels)


def _paired(done: Measured, images: tuple[str, str]) -> Generator[Progress, None, Comparison]:
    first, second = (done.sources[name].read() for name in images)
    pairs = yield from paired_voxels(first, second, done.labels())
    return Comparison(images, pairs, VOXELS, _unit(done.rows, images[0]))


def _mismatch(done: Measured, first: str, second: str) -> str:
    """Why two images cannot agree, in a sentence; empty where they can."""
    kinds = [done.sources[name].kind for name in (first, second)]
    units = [_unit(done.rows, name) for name in (first, second)]
    if not are_alike(*kinds):
        one, other = (f"{name} ({kind or 'a contrast'})" for name, kind in zip((first, second), kinds, strict=True))
        return f"{one} and {other} are of different kinds, so they cannot agree: choose two of one kind."
    if units[0] != units[1]:
        one, other = (f"{name} ({unit or 'no unit'})" for name, unit in zip((first, second), units, strict=True))
        return f"{one} and {other} have different units, so they cannot agree: choose two of one unit."
    return ""


def _unit(rows: Sequence[RegionStatistics], image: str) -> str:
    """Unit of an image as shown; none for PD, whose unit says nothing."""
    unit = next((row.unit for row in rows if row.image == image), "")
    return "" if unit == "arbitrary" else unit


def _named(name: str, unit: str) -> str:
    """A name with its unit, which names of layers of relaxation times have already."""
    return name if not unit or f"({unit})" in name else f"{name} ({unit})"


def _pair(sources: Sequence[RegionSource]) -> tuple[str, str]:
    """Two images to compare first: of one kind, T1 before others, one of them synthetic, named alike."""
    alike = [pair for pair in combinations(sources, 2) if are_alike(pair[0].kind, pair[1].kind)]
    if not alike:
        return sources[0].name, sources[-1].name
    first, second = min(alike, key=_rank)
    return first.name, second.name


def _rank(pair: tuple[RegionSource, RegionSource]) -> tuple[int, bool, bool]:
    first, second = pair
    place = LEADING.index(first.kind) if first.kind in LEADING else len(LEADING)
    return place, first.is_synthetic == second.is_synthetic, first.name.split()[0] != second.name.split()[0]


def _digits(value: float) -> str:
    return "–" if value != value else f"{value:.4g}".replace("-", "−")
