"""What all docks have in common: the wheel scrolls, texts follow the theme, docks are tabs of each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from inspect_cases import add_labels, labelled
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QGraphicsView,
    QLabel,
    QScrollArea,
    QScrollBar,
    QWidget,
)
from widget_cases import add_case

from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.parts.appearance import Foldable
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.plots import PlotPlace
from napari_swig_qmri._napari.super_resolve.dock import SuperResolveWidget
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget

DOCKS: list[Any] = [SuperResolveWidget, SynthesizeWidget, InspectWidget]
TURNED = (QComboBox, QAbstractSpinBox, QAbstractSlider, QGraphicsView)
THEMES = ("dark", "light")


@pytest.fixture(params=DOCKS, ids=[each.__name__ for each in DOCKS])
def dock(request: pytest.FixtureRequest, viewer: ViewerModel, qtbot: QtBot) -> Dock:
    """An open dock with every part unfolded."""
    add_case(viewer)
    add_labels(viewer, labelled())
    dock: Dock = request.param(viewer)
    qtbot.addWidget(dock)
    dock.resize(400, 500)
    dock.show()
    qtbot.waitUntil(lambda: bool(dock.findChildren(Foldable)))
    for place in dock.findChildren(PlotPlace):
        assert place.plot  # that is made when it is first drawn
    for fold in dock.findChildren(Foldable):
        fold.set_unfolded(True)
    qtbot.waitUntil(lambda: scroll_bar(dock).maximum() > 0)
    return dock


def scroll_bar(dock: Dock) -> QScrollBar:
    return dock.findChild(QScrollArea).verticalScrollBar()  # type: ignore[union-attr, return-value]


def turn(widget: QWidget) -> None:
    """Turn the wheel one notch towards the user over the middle of a widget."""
    at = QPointF(widget.rect().center())
    options = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False
    event = QWheelEvent(at, QPointF(widget.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, -120), *options)
    QApplication.sendEvent(widget, event)


def shown(widget: QWidget) -> Any:
    if isinstance(widget, QGraphicsView):
        return widget.viewRect()
    return widget.currentIndex() if isinstance(widget, QComboBox) else widget.value()  # type: ignore[attr-defined]


def test_the_wheel_scrolls_the_dock_and_changes_nothing(dock: Dock) -> None:
    turned = [
        each
        for each in dock.findChildren(QWidget)
        if isinstance(each, TURNED) and not isinstance(each, QScrollBar) and each.isVisible() and each.isEnabled()
    ]
    assert turned
    assert not [each for each in turned if each.focusPolicy() == Qt.FocusPolicy.WheelFocus]
    area = dock.findChild(QScrollArea)
    assert area is not None
    for each in turned:
        scroll_bar(dock).setValue(0)
        before = shown(each)
        turn(each)
        assert shown(each) == before, each
        assert (scroll_bar(dock).value() > 0) == area.isAncestorOf(each), each


def test_the_wheel_changes_the_box_that_has_the_focus(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock = SuperResolveWidget(viewer)  # type: ignore[arg-type]
    qtbot.addWidget(dock)
    dock.options_fold.set_unfolded(True)
    dock.show()
    qtbot.waitExposed(dock)
    dock.activateWindow()
    box = dock.options.method_box.native
    qtbot.waitUntil(lambda: dock.isAncestorOf(box))
    before = box.currentIndex()
    box.setCurrentIndex(0)
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    turn(box)
    assert box.currentIndex() == 1 != before


def contrast(one: QColor, other: QColor) -> float:
    """Contrast ratio of two colours, by WCAG."""

    def luminance(colour: QColor) -> float:
        parts = np.array(colour.getRgbF()[:3])
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_texts_stay_legible_when_the_theme_changes(dock: Dock, viewer: ViewerModel) -> None:
    for theme in (*THEMES, THEMES[0]):
        viewer.theme = theme
        background = QColor(*get_theme(theme).background.as_rgb_tuple()[:3])
        labels = [each for each in dock.findChildren(QLabel) if each.property("role") in ("note", "problem")]
        assert labels
        for label in labels:
            label.ensurePolished()
            assert contrast(label.palette().color(label.foregroundRole()), background) >= 4.5
        for plot in dock.findChildren(QGraphicsView):
            assert plot.backgroundBrush().color() == background  # pyqtgraph
            assert contrast(plot.getAxis("left").textPen().color(), background) >= 4.5  # type: ignore[attr-defined]


def is_tab(window: Any, outer: QDockWidget) -> bool:
    return len(window.tabifiedDockWidgets(outer)) == len(DOCKS) - 1


@pytest.mark.gui
def test_docks_become_tabs_with_short_titles(make_napari_viewer_proxy: Callable[..., Any], qtbot: QtBot) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    docks = [each(viewer) for each in DOCKS]
    size = viewer.__wrapped__.window._qt_window.size()
    for dock in docks:
        viewer.window.add_dock_widget(dock, name=f"{type(dock).__name__} (a plugin)")
    window, outer = docks[0].window(), [dock.parentWidget() for dock in docks]
    for each in outer:
        assert isinstance(each, QDockWidget)
        qtbot.waitUntil(partial(is_tab, window, each))
    assert [each.windowTitle() for each in outer] == ["Super-resolve", "Synthesize", "Inspect"]
    qtbot.waitUntil(lambda: window.size() == size)  # docks one above the other needed more
    qtbot.waitUntil(lambda: not docks[-1].visibleRegion().isEmpty())  # the one that was opened last
