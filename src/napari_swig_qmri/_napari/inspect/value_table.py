"""PD, T1, T2 and signal of voxels and regions in rows that change with every move of the cursor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADS = ("", "PD", "T1 (ms)", "T2 (ms)", "Signal")
WIDEST = "± 0.000"  # of the numbers
GAP = 6  # pixels between columns, margins of the cells among them
SWATCH = (12, 10)  # pixels
PADDING = 3  # pixels between rows
STYLE = (
    "QTableWidget, QHeaderView, QHeaderView::section { background: transparent; border: none; padding: 0px; }"
    "QHeaderView::section { padding-right: 3px; }"
    "QTableWidget::item { padding: 0px; }"
)


@dataclass(frozen=True)
class Row:
    """Texts of one row, of one or two lines each, beside a swatch of the curve that belongs to it."""

    texts: tuple[str, ...]  # one per head
    colour: str
    is_dashed: bool = False


class ValueTable(QTableWidget):
    """A table as high as its rows; a move of the cursor repaints the cells that differ, and lays out nothing."""

    def __init__(self) -> None:
        super().__init__(0, len(HEADS))
        self._rows: tuple[Row, ...] = ()
        self.setStyleSheet(STYLE)
        self.setHorizontalHeaderLabels(HEADS)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setIconSize(QSize(*SWATCH))
        for policy in (self.setHorizontalScrollBarPolicy, self.setVerticalScrollBarPolicy):
            policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._shape_headers()

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows in place of those before."""
        before, self._rows = self._rows, tuple(rows)
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self._fill(index, row, before[index] if index < len(before) else None)
        if [_lines(row) for row in rows] != [_lines(row) for row in before]:
            self._fit()
        self.setVisible(bool(rows))

    def text(self) -> str:
        """What is shown, one line per row, columns apart by tabulators."""
        return "\n".join("\t".join(row.texts) for row in self._rows)

    def _shape_headers(self) -> None:
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is None or down is None:
            return
        down.setVisible(False)
        down.setMinimumSectionSize(1)
        across.setHighlightSections(False)
        across.setSectionsClickable(False)
        across.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        across.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(HEADS)):
            widest = max(self.fontMetrics().horizontalAdvance(text) for text in (WIDEST, HEADS[column]))
            self.setColumnWidth(column, widest + GAP)

    def _fill(self, index: int, row: Row, before: Row | None) -> None:
        for column, text in enumerate(row.texts):
            item = self.item(index, column)
            if item is None:
                item = QTableWidgetItem()
                side = Qt.AlignmentFlag.AlignLeft if column == 0 else Qt.AlignmentFlag.AlignRight
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(index, column, item)
            if before is None or text != before.texts[column]:
                item.setText(text)
        swatch, name = (row.colour, row.is_dashed), self.item(index, 0)
        if name is not None and (before is None or swatch != (before.colour, before.is_dashed)):
            name.setIcon(_swatch(*swatch))

    def _fit(self) -> None:
        spacing, across = self.fontMetrics().lineSpacing(), self.horizontalHeader()
        for index, row in enumerate(self._rows):
            self.setRowHeight(index, _lines(row) * spacing + PADDING)
        head = 0 if across is None else across.sizeHint().height()
        self.setFixedHeight(head + sum(self.rowHeight(index) for index in range(len(self._rows))))


def _lines(row: Row) -> int:
    return 1 + max(text.count("\n") for text in row.texts)


@lru_cache(maxsize=64)
def _swatch(colour: str, is_dashed: bool) -> QIcon:
    """A piece of a curve."""
    width, height = SWATCH
    picture = QPixmap(width, height)
    picture.fill(Qt.GlobalColor.transparent)
    pen = QPen(QColor(colour), 2)
    if is_dashed:
        pen.setDashPattern([2, 1])
    painter = QPainter(picture)
    painter.setPen(pen)
    painter.drawLine(0, height // 2, width, height // 2)
    painter.end()
    return QIcon(picture)
