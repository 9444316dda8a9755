"""Table of PD, T1, T2 and signal of voxels and regions, quick enough to follow the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

COLUMNS = ("", "PD", "T1 (ms)", "T2 (ms)", "Signal")
WIDEST = "± 0.000"  # widest text of a number
GAP = 6  # pixels between columns, with the margins of the cells
SWATCH = (12, 10)  # width and height in pixels
PADDING = 3  # pixels between rows
STYLE = (
    "QTableWidget, QHeaderView, QHeaderView::section { background: transparent; border: none; padding: 0px; }"
    "QHeaderView::section { padding-right: 3px; }"
    "QTableWidget::item { padding: 0px; }"
)


@dataclass(frozen=True)
class Row:
    """Texts of one row, of one or two lines each, with the colour of its curve."""

    texts: tuple[str, ...]  # one per column
    colour: str
    is_dashed: bool = False


class ValueTable(QTableWidget):
    """Table as high as its rows, which repaints only the cells whose text changed."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        self._rows: tuple[Row, ...] = ()
        self.setStyleSheet(STYLE)
        self.setHorizontalHeaderLabels(COLUMNS)
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
        """Show these rows in place of the present ones."""
        before, self._rows = self._rows, tuple(rows)
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self._fill(index, row, before[index] if index < len(before) else None)
        if [_line_count(row) for row in rows] != [_line_count(row) for row in before]:
            self._fit()
        self.setVisible(bool(rows))

    def text(self) -> str:
        """Text of the table, one line per row, with tabs between the columns."""
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
        for column in range(1, len(COLUMNS)):
            widest = max(self.fontMetrics().horizontalAdvance(text) for text in (WIDEST, COLUMNS[column]))
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
            self.setRowHeight(index, _line_count(row) * spacing + PADDING)
        head = 0 if across is None else across.sizeHint().height()
        self.setFixedHeight(head + sum(self.rowHeight(index) for index in range(len(self._rows))))


def _line_count(row: Row) -> int:
    return 1 + max(text.count("\n") for text in row.texts)


@lru_cache(maxsize=64)
def _swatch(colour: str, is_dashed: bool) -> QIcon:
    """Icon of a piece of a curve."""
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
