"""Base class of the three docks: layout, theme, mouse wheel, tabs, and deletion once a dock is closed."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QFrame,
    QGraphicsView,
    QLayout,
    QMainWindow,
    QScrollArea,
    QScrollBar,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.appearance import exists, style_sheet
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import Part, add_part, column
from napari_swig_qmri._napari.parts.one_by_one import OneByOne
from napari_swig_qmri._napari.parts.plots import Plot, PlotPlace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.components import ViewerModel


TAB = Qt.FocusPolicy.TabFocus
PAUSE = 30  # ms in which the window answers before the dock is filled
WIDTH = 330  # pixels; in a narrower dock parts would be cut off
TURNED = (QAbstractSpinBox, QComboBox, QAbstractSlider, QGraphicsView)  # widgets that the wheel changes


class WheelGuard(QObject):
    """Event filter that lets the wheel scroll a dock, and change only the widget that has the focus."""

    def __init__(self, dock: QWidget, area: QScrollArea) -> None:
        super().__init__(dock)
        self._area = area
        self._watch(dock)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass the wheel on to the dock, and watch widgets that are added later."""
        kind = None if event is None else event.type()
        if kind == QEvent.Type.ChildPolished and isinstance(child := event.child(), QWidget):  # type: ignore[union-attr]
            self._watch(child)
        elif kind == QEvent.Type.Wheel and _is_turned(watched) and not watched.hasFocus():  # type: ignore[union-attr]
            if self._area.isAncestorOf(watched):  # type: ignore[arg-type]
                QApplication.sendEvent(self._area.viewport(), event)
            return True
        return False

    def _watch(self, widget: QWidget) -> None:
        for each in (widget, *widget.findChildren(QWidget)):
            if each.focusPolicy() == Qt.FocusPolicy.WheelFocus:  # it would get the focus before the wheel
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            each.installEventFilter(self)


def _resize(window: QMainWindow, size: QSize) -> None:
    if exists(window) and not window.isMaximized():
        window.resize(size)


def _is_turned(widget: object) -> bool:
    return isinstance(widget, TURNED) and not isinstance(widget, QScrollBar)


class Dock(QWidget):
    """Base class of the docks. It deletes itself when its dock is closed.

    napari only removes the widget from a closed dock. Python's garbage collector would then destroy it at any time and
    in any thread, and in a worker thread that crashes.
    """

    title = ""  # of its tab

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._is_placed = False  # among the tabs of a window
        viewer.events.theme.connect(self._follow_theme)

    def lay_out(self, scrolled: Iterable[Part], fixed: Iterable[Part]) -> None:
        """Put parts below each other: the first ones in a scrolling area, the others fixed below it.

        The area is filled a moment later. Otherwise napari, which places the dock in this turn of the event loop, would
        give every widget its style several times, and in the next turn both would follow each other without a pause.
        """
        content, inner = QWidget(), column(*scrolled)
        inner.setContentsMargins(0, 0, 6, 0)
        inner.addStretch(1)
        content.setLayout(inner)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        QTimer.singleShot(PAUSE, partial(self._fill, area, content))
        outer = QVBoxLayout(self)
        outer.addWidget(area, 1)
        for part in fixed:
            add_part(outer, part)
        self.setMinimumWidth(WIDTH)
        WheelGuard(self, area)
        self._follow_theme()

    def _fill(self, area: QScrollArea, content: QWidget) -> None:
        if exists(self):
            area.setWidget(content)
            self._colour_plots()
            self.order_tabs()

    def order_tabs(self) -> None:
        """Let the Tab key move from top to bottom, also through widgets that were added later."""
        stops = [widget for widget in _in_order(self.layout()) if widget.focusPolicy() & TAB]
        for first, second in pairwise(stops):
            self.setTabOrder(first, second)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Become a tab beside the other docks: one above the other, they would be too low."""
        super().showEvent(event)
        window = self.window()
        if window is not None:
            QTimer.singleShot(0, partial(self._join_tabs, window.size()))  # later: napari is still placing the dock

    def _join_tabs(self, size: QSize) -> None:
        """Become a tab of the other docks, and give the window its size before it made room for this one."""
        outer, window = (self.parentWidget(), self.window()) if exists(self) else (None, None)
        if not isinstance(outer, QDockWidget) or not isinstance(window, QMainWindow):
            return
        outer.setWindowTitle(self.title)  # napari's title is too long for a tab
        area = window.dockWidgetArea(outer)
        docks = [each.parentWidget() for each in window.findChildren(Dock) if each.isVisible()]
        first, *others = [
            each for each in docks if isinstance(each, QDockWidget) and window.dockWidgetArea(each) == area
        ]
        apart = [each for each in others if each not in window.tabifiedDockWidgets(first)]
        for each in apart if not outer.isFloating() else ():
            window.tabifyDockWidget(first, each)
        if apart or not self._is_placed:
            outer.raise_()
        if apart:
            QTimer.singleShot(0, partial(_resize, window, size))
        self._is_placed = True

    def _follow_theme(self, _event: object = None) -> None:
        if exists(self):
            self.setStyleSheet(style_sheet(self._viewer.theme))
            self._colour_plots()

    def _colour_plots(self) -> None:
        plots: list[Plot | PlotPlace] = [*self.findChildren(Plot), *self.findChildren(PlotPlace)]
        for plot in plots:
            plot.show_theme(self._viewer.theme)

    def event(self, event: QEvent | None) -> bool:
        """Delete the widget after napari removed it from a closed dock."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            QTimer.singleShot(0, self._end)  # later, because it may be moving to another dock
        return super().event(event)

    def _end(self) -> None:
        if exists(self) and self.parent() is None:
            for query in self.findChildren(BackgroundQuery):
                query.forget()
            for work in self.findChildren(OneByOne):
                work.stop()
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
