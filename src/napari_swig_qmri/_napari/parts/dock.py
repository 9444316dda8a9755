"""Base class of the three docks: a scrolling area above fixed widgets, and deletion once a dock is closed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QLayout, QScrollArea, QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import Part, add_part, column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


TAB = Qt.FocusPolicy.TabFocus
WIDTH = 330  # pixels; in a narrower dock parts would be cut off


class Dock(QWidget):
    """Base class of the docks. It deletes itself when its dock is closed.

    napari only removes the widget from a closed dock. Python's garbage collector would then destroy it at any time and
    in any thread, and in a worker thread that crashes.
    """

    def lay_out(self, scrolled: Iterable[Part], fixed: Iterable[Part]) -> None:
        """Put parts below each other: the first ones in a scrolling area, the others fixed below it."""
        content, inner = QWidget(), column(*scrolled)
        inner.setContentsMargins(0, 0, 6, 0)
        inner.addStretch(1)
        content.setLayout(inner)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.addWidget(area, 1)
        for part in fixed:
            add_part(outer, part)
        self.setMinimumWidth(WIDTH)

    def order_tabs(self) -> None:
        """Let the Tab key move from top to bottom, also through widgets that were added later."""
        stops = [widget for widget in _in_order(self.layout()) if widget.focusPolicy() & TAB]
        for first, second in pairwise(stops):
            self.setTabOrder(first, second)

    def event(self, event: QEvent | None) -> bool:
        """Delete the widget after napari removed it from a closed dock."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            QTimer.singleShot(0, self._end)  # later, because it may be moving to another dock
        return super().event(event)

    def _end(self) -> None:
        if exists(self) and self.parent() is None:
            for query in self.findChildren(BackgroundQuery):
                query.forget()
            self.deleteLater()


def _in_order(layout: QLayout | None) -> Iterator[QWidget]:
    """Widgets of a layout and of its nested layouts, in the order on screen."""
    for index in range(layout.count() if layout is not None else 0):
        item = layout.itemAt(index) if layout is not None else None
        widget = item.widget() if item is not None else None
        if widget is None:
            yield from _in_order(item.layout() if item is not None else None)
        else:
            inner = widget.widget() if isinstance(widget, QScrollArea) else widget
            yield widget
            yield from _in_order(inner.layout() if inner is not None else None)
