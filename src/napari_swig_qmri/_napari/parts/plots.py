"""Plots of curves, agreement and landscapes in the colours of the theme."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from cmap import Colormap
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import is_light
from napari_swig_qmri._napari.parts.boxes import column
from napari_swig_qmri.data.wording import for_qt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.evaluation.regions import BlandAltman

# Distinguishable with any colour vision, Okabe and Ito 2008
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00")
LANDSCAPE_COLOURS = "viridis"
MOST_POINTS = 20_000  # of a scatter plot; more points only cost time
HEIGHT = 220  # pixels
LEAST_ON_DARK, MOST_ON_LIGHT = 0.55, 0.42  # lightness of a colour on a dark and on a light background
ROOM = 0.35  # share of the height between the limits of agreement below which their numbers overlap
DOT, MARK, CROSS = 5, 9, 13  # pixels


def legible(colour: FloatArray, theme: str) -> str:
    """Colour ``(3,)`` in 0 to 1, made light enough for a dark theme and dark enough for a light one."""
    shown = pg.mkColor(*(round(255 * float(part)) for part in colour[:3]))
    lightness = shown.lightnessF()
    lightness = min(lightness, MOST_ON_LIGHT) if is_light(theme) else max(lightness, LEAST_ON_DARK)
    shown.setHslF(shown.hslHueF(), shown.hslSaturationF(), lightness)
    return str(shown.name())


class Plot(pg.PlotWidget):  # type: ignore[misc]
    """Plot with labelled axes in the colours of a theme; `recoloured` follows a change of the theme."""

    recoloured = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.getPlotItem().setContentsMargins(0, 8, 8, 0)
        for side in ("bottom", "left"):
            self.getAxis(side).enableAutoSIPrefix(False)
        self.show_theme(get_settings().appearance.theme)

    @property
    def text_colour(self) -> str:
        """Colour of text in the theme."""
        return str(get_theme(self.theme).text.as_hex())

    def show_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        self.theme = theme
        colours = get_theme(theme)
        self.setBackground(colours.background.as_hex())
        for side in ("bottom", "left"):
            axis = self.getAxis(side)
            axis.setPen(colours.secondary.as_hex())
            axis.setTextPen(colours.text.as_hex())
        self.recoloured.emit()


class PlotPlace(QWidget):
    """Place of a plot, which is made when it is first drawn: that takes 50 ms, and a dock has several."""

    recoloured = Signal()  # as of the plot

    def __init__(self) -> None:
        super().__init__()
        self._theme = ""  # that of the settings
        self.setLayout(column())

    @cached_property
    def plot(self) -> Plot:
        """The plot."""
        plot, layout = Plot(), self.layout()
        if self._theme:
            plot.show_theme(self._theme)
        if layout is not None:
            layout.addWidget(plot)
        plot.recoloured.connect(self.recoloured)
        return plot

    def show_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari; a plot that was made is told by itself."""
        self._theme = theme


def name_axes(plot: Any, x: str, y: str) -> None:
    """Label the axes of a plot."""
    plot.getAxis("bottom").setLabel(for_qt(x))
    plot.getAxis("left").setLabel(for_qt(y))


def draw_agreement(plot: Any, agreement: BlandAltman, expected: float = math.nan) -> None:
    """Draw differences over means, with bias and limits of agreement; with their numbers if there is room.

    `expected` is what 95 % of the differences should stay below in magnitude, drawn as dots around 0 unless NaN.
    """
    plot.clear()
    _cloud(plot, agreement.means, agreement.differences)
    low, high = agreement.limits
    bottom, top = min(low, agreement.differences.min()), max(high, agreement.differences.max())
    has_room = high - low > ROOM * (top - bottom)
    for level, dashes in ((agreement.bias, False), (low, True), (high, True)):
        plot.addItem(_level(level, plot.text_colour, dashes=dashes, has_number=has_room))
    for level in (-expected, expected) if math.isfinite(expected) else ():
        plot.addItem(pg.InfiniteLine(level, angle=0, pen=pg.mkPen(plot.text_colour, dash=[1, 4])))
    plot.autoRange()
    plot.setYRange(bottom, top, padding=0.15)


def draw_scatter(plot: Any, first: FloatArray, second: FloatArray) -> None:
    """Draw one image over the other, with the line of identity."""
    plot.clear()
    _cloud(plot, first, second)
    both = np.concatenate([first, second])
    ends = [float(np.nanmin(both)), float(np.nanmax(both))]
    plot.plot(ends, ends, pen=new_pen(plot.text_colour))
    plot.autoRange()


def draw_landscape(plot: Any, x: FloatArray, y: FloatArray, heights: FloatArray, marks: Sequence[Any]) -> None:
    """Draw heights ``(x, y)`` as colours, transparent where NaN; `marks` are triples (x, y, symbol)."""
    plot.clear()
    colours = Colormap(LANDSCAPE_COLOURS)(np.nan_to_num(heights / np.nanmax(heights)))
    colours[..., 3] = np.isfinite(heights)
    image = pg.ImageItem((255 * np.asarray(colours)).astype(np.uint8), axisOrder="col-major")
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    image.setRect(x[0] - half_x, y[0] - half_y, x[-1] - x[0] + 2 * half_x, y[-1] - y[0] + 2 * half_y)
    plot.addItem(image)
    for at_x, at_y, symbol in marks:
        dot = pg.ScatterPlotItem([at_x], [at_y], symbol=symbol, size=CROSS, brush="#ffffff", pen=pg.mkPen("#000000"))
        plot.addItem(dot)
    is_shown = np.isfinite(heights)
    for set_range, values, half, inside in (
        (plot.setXRange, x, half_x, is_shown.any(axis=1)),
        (plot.setYRange, y, half_y, is_shown.any(axis=0)),
    ):
        low, high = values[inside][[0, -1]]
        set_range(low - half, high + half, padding=0.03)


def new_pen(colour: str, *, dashes: bool = False, width: float = 1.0) -> Any:
    """Pen of lines in a plot."""
    return pg.mkPen(colour, width=width, dash=[4, 3] if dashes else None)


def curve_item(colour: str, *, dashes: bool = False, width: float = 2.0) -> Any:
    """Curve with gaps where its values are NaN."""
    return pg.PlotDataItem(pen=new_pen(colour, dashes=dashes, width=width), connect="finite")


def dots_item(size: int = MARK) -> Any:
    """Dots that mark the current setting on curves."""
    return pg.ScatterPlotItem(size=size, pen=None)


def upright() -> Any:
    """Vertical line that can be dragged along the horizontal axis."""
    return pg.InfiniteLine(angle=90, movable=True)


def colour_upright(line: Any, colour: str) -> None:
    """Give a line of `upright` a colour."""
    line.setPen(new_pen(colour, dashes=True))
    line.setHoverPen(new_pen(colour, width=3.0))


def _cloud(plot: Any, x: FloatArray, y: FloatArray) -> None:
    step = max(1, -(-x.size // MOST_POINTS))
    brush = pg.mkColor(PALETTE[1])
    brush.setAlpha(255 if x.size < 100 else 70)
    size = MARK if x.size < 100 else DOT
    plot.addItem(pg.ScatterPlotItem(x[::step], y[::step], size=size, pen=None, brush=brush))


def _level(value: float, colour: str, *, dashes: bool, has_number: bool) -> Any:
    line = pg.InfiniteLine(value, angle=0, pen=new_pen(colour, dashes=dashes))
    if not has_number:
        return line
    pg.InfLineLabel(line, f"{value:.4g}".replace("-", "−"), position=0.94, color=colour, anchors=[(1, 1), (1, 1)])
    return line
