"""Statistics of images in labelled regions, as a table that can be copied and saved."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QHeaderView,
    QListWidget,
    QListWidgetItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_swig_qmri._napari.inspect.agreement_panel import AgreementPanel, RegionTable, digits, with_unit
from napari_swig_qmri._napari.parts.appearance import shortened, wrapped_label
from napari_swig_qmri._napari.parts.boxes import button, column, elided, row
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri.data.storage.output import write_text
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.data.wording import for_qt
from napari_swig_qmri.evaluation.regions import RegionSource, RegionStatistics, as_csv, tabulate
from napari_swig_qmri.progress import Progress

HEADS = ("Label", "Image", "n", "Mean", "SD", "Median", "95 % CI", "SE of a voxel")
NEEDS_LABELS = "Paint regions in a labels layer, or open one."
NEEDS_IMAGES = "Tick an image to measure."
CAVEAT = (
    "95 % CI of the mean by Student's t, for independent voxels: too narrow for super-resolved or interpolated images. "
    "SE of a voxel is the root mean square of the standard errors of a super-resolved map, not that of the mean. "
    "Labels on another grid are assigned to the nearest voxels."
)
MISSED = "No voxel of {images} has its centre in a region: paint larger regions."
SHOWN_ROWS = 8  # of the table
LISTED_IMAGES = 8  # without scrolling
NAME_MARGIN = 10  # pixels, on both sides of a name together
NAME_WIDTH = 120  # initial width of the names of images, in pixels
ROW_HEIGHT = 22  # pixels


class RegionPanel(QWidget):
    """Choice of images, their statistics per label, and the agreement of two of them."""

    def __init__(self) -> None:
        super().__init__()
        self._sources: list[RegionSource] = []
        self._labels: Callable[[], Volume] | None = None
        self.table: RegionTable | None = None
        self.images = QListWidget()
        self.images.setToolTip("Images to measure")
        self.run_panel = RunPanel(
            "Measure the regions",
            "Compute mean, standard deviation and median of the ticked images in each label.",
            unchanged="The table was not changed.",
        )
        self.rows = QTableWidget(0, len(HEADS))
        self.copy_button = button("Copy", "Copy the table as comma-separated values.", self.copy)
        self.save_button = button("Save CSV…", "Save the table as comma-separated values.", self._ask_file)
        self.agreement = AgreementPanel()
        self._outcome = QWidget()
        self._lay_out()
        self.images.itemChanged.connect(self._update)
        self.run_panel.requested.connect(self.measure)
        self.run_panel.succeeded.connect(self._show)
        self.show_sources([], None)

    def value(self) -> tuple[str, ...]:
        """Names of the ticked images."""
        return tuple(source.name for source in self._ticked())

    def set_value(self, names: Sequence[str]) -> None:
        """Tick the images with these names and no others."""
        for item in self._items():
            item.setCheckState(Qt.CheckState.Checked if item.text() in names else Qt.CheckState.Unchecked)

    def show_sources(self, sources: Sequence[RegionSource], labels: Callable[[], Volume] | None) -> None:
        """Offer images, and the labels to measure them in. Ticks are kept, and new images are ticked."""
        ticks = {item.text(): item.checkState() for item in self._items()}
        self._sources, self._labels = list(sources), labels
        if self.table is not None and not self.table.sources.keys() <= {source.name for source in sources}:
            self._forget()
        self.images.blockSignals(True)
        self.images.clear()
        for source in sources:
            item = QListWidgetItem(source.name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsSelectable)
            item.setCheckState(ticks.get(source.name, Qt.CheckState.Checked))
            self.images.addItem(item)
        self.images.blockSignals(False)
        n_shown = min(max(len(sources), 1), LISTED_IMAGES)
        self.images.setFixedHeight(max(self.images.sizeHintForRow(0), 14) * n_shown + 6)
        self._update()

    def run(self) -> tuple[RegionStatistics, ...]:
        """Measure the ticked images in all labels, show the table, and return its rows.

        The window stays responsive, and *Cancel* works, in the meantime.

        Raises
        ------
        ValueError
            If there are no labels or no ticked images.
        RuntimeError
            If a measurement is under way, fails or is cancelled, with the message that the panel shows.
        """
        if self._labels is None or not self._ticked():
            raise ValueError(NEEDS_LABELS if self._labels is None else NEEDS_IMAGES)
        if self.run_panel.is_running:
            raise RuntimeError("a measurement is under way: wait until it has ended, or cancel it.")
        self.measure()
        table: RegionTable = self.run_panel.wait()
        return table.rows

    def measure(self) -> None:
        """Measure the ticked images in all labels, in the background."""
        if self._labels is not None:
            self.run_panel.start(partial(_measured, self._ticked(), self._labels))

    def copy(self) -> None:
        """Copy the table to the clipboard."""
        clipboard = QApplication.clipboard()
        if clipboard is not None and self.table is not None:
            clipboard.setText(as_csv(self.table.rows))
            self.run_panel.show_message(f"{len(self.table.rows)} rows copied.")

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        if self.table is None:
            return
        try:
            write_text(as_csv(self.table.rows), path)
        except OSError as error:
            text = f"The table was not saved: {error.strerror}. Choose another folder."
            self.run_panel.show_message(text, problem=True)
        else:
            self.run_panel.show_message(f"Saved {path.name}.")

    def _lay_out(self) -> None:
        self.rows.setHorizontalHeaderLabels(HEADS)
        self.rows.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for header in (self.rows.verticalHeader(), self.rows.horizontalHeader()):
            if header is not None:
                header.setVisible(header.orientation() == Qt.Orientation.Horizontal)
                header.setDefaultSectionSize(ROW_HEIGHT)
                header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
                header.sectionResized.connect(self._fit_names)
                if header.orientation() == Qt.Orientation.Horizontal:  # names are shortened rather than numbers
                    header.setSectionResizeMode(HEADS.index("Image"), QHeaderView.ResizeMode.Interactive)
                    header.resizeSection(HEADS.index("Image"), NAME_WIDTH)
        self.rows.setWordWrap(False)
        self.rows.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.rows.setFixedHeight(ROW_HEIGHT * (SHOWN_ROWS + 2))
        buttons = row(self.copy_button, self.save_button)
        caveat = wrapped_label(CAVEAT, role="note")
        self._outcome.setLayout(column(self.rows, buttons, caveat, self.agreement))
        self._outcome.setVisible(False)
        self.setLayout(column(self.images, self.run_panel, self._outcome))

    def _items(self) -> list[QListWidgetItem]:
        items = (self.images.item(index) for index in range(self.images.count()))
        return [item for item in items if item is not None]

    def _ticked(self) -> list[RegionSource]:
        pairs = zip(self._sources, self._items(), strict=True)
        return [source for source, item in pairs if item.checkState() == Qt.CheckState.Checked]

    def _forget(self) -> None:
        """Drop the table of images that are gone."""
        self.table = None
        self.rows.setRowCount(0)
        self._outcome.setVisible(False)
        self.agreement.forget()
        if not self.run_panel.is_running:
            self.run_panel.show_message("")

    def _update(self) -> None:
        """Enable the run button, and say what it needs."""
        self.run_panel.set_ready(self._labels is not None and bool(self._ticked()))
        if self._labels is None and not self.run_panel.is_running:
            self.run_panel.show_message(NEEDS_LABELS)
        elif self.run_panel.message.text() == NEEDS_LABELS:
            self.run_panel.show_message("")

    def _show(self, table: RegionTable) -> None:
        self.table = table
        self._fill(table)
        self._outcome.setVisible(True)
        missed = sorted(set(table.sources) - {statistics.image for statistics in table.rows})
        self.run_panel.show_message(MISSED.format(images=", ".join(missed)) if missed else "")
        self.agreement.show_table(table)

    def _fill(self, table: RegionTable) -> None:
        self.rows.setRowCount(len(table.rows))
        for index, statistics in enumerate(table.rows):
            low, high = statistics.interval
            numbers = (digits(value) for value in (statistics.mean, statistics.deviation, statistics.median))
            error = digits(statistics.voxel_error)
            unit = "" if statistics.unit == "arbitrary" else statistics.unit
            name, interval = with_unit(statistics.image, unit), f"{digits(low)} to {digits(high)}"
            for place, text in enumerate((f"{statistics.label}", name, f"{statistics.n}", *numbers, interval, error)):
                item = QTableWidgetItem(text)
                item.setToolTip(for_qt(text))
                side = Qt.AlignmentFlag.AlignLeft if place == 1 else Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                self.rows.setItem(index, place, item)
        self._fit_names()

    def _fit_names(self, *_: object) -> None:
        """Shorten the names of images to the width of their column, so that they stay distinct."""
        place = HEADS.index("Image")
        items = [item for row in range(self.rows.rowCount()) if (item := self.rows.item(row, place)) is not None]
        names = {item.toolTip() for item in items}
        elide = partial(elided, self.rows, width=self.rows.columnWidth(place) - NAME_MARGIN)
        for item in items:
            item.setText(shortened(item.toolTip(), names, elide))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", "regions.csv", "Comma-separated values (*.csv)")
        if name:
            self.save(Path(name))


def _measured(sources: Sequence[RegionSource], labels: Callable[[], Volume]) -> Generator[Progress, None, RegionTable]:
    rows = yield from tabulate(sources, labels())
    return RegionTable(rows, {source.name: source for source in sources}, labels)
