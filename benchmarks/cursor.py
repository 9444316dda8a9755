"""Time from a move of the mouse over the slices to the redrawn curve of the Inspect dock, in a real window.

    python benchmarks/cursor.py [--sizes 256 512] [--moves 40] [--pins 3] [--rounds 3]

The volumes are those of ``ticks.py``: random tissue of n x n x n voxels, so that values differ at every move. A move
is *painted* when Qt has painted the plot with the curve of the new voxel, and *on the screen* when the window with the
plot has been composed and sent to the screen. The second does not depend on the dock: without a graphics card it takes
long for any change anywhere in the window. A label that changes on its own is therefore timed too. Processor time is
that of all threads of the program until the curve is painted. On a machine without a screen, put
``xvfb-run -a -s "-screen 0 1600x1200x24"`` in front.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import napari
import numpy as np
from pyqtgraph import PlotWidget
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel
from ticks import TIMEOUT, random_tissue

from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri.data.interpretation import map_volumes

BETWEEN = 80  # ms between two moves, so that they do not overlap
WINDOW = (1400, 1000)  # pixels


@dataclass(frozen=True)
class Move:
    """Seconds from a move of the mouse until the plot is painted, and until the window is on the screen."""

    painted: float
    on_screen: float
    busy: float  # processor time of all threads until the plot is painted


class Watch:
    """Records when a widget was last painted, and stops waiting once its window is on the screen."""

    def __init__(self, window: Any) -> None:
        self._loop, self._limit, self._is_awaited = QEventLoop(), QTimer(), lambda: True
        self._limit.setInterval(round(1e3 * TIMEOUT))
        self._limit.timeout.connect(self._loop.quit)
        self._painted: tuple[float, float] | None = None
        _after(PlotWidget, "paintEvent", lambda *_: self.note())
        _after(type(window), "event", lambda _, event: self._end(event))

    def note(self) -> None:
        """Record that the widget has been painted."""
        if self._painted is None and self._is_awaited():
            self._painted = time.perf_counter(), time.process_time()

    def time(self, act: Any, is_awaited: Any) -> Move:
        """Call a function that changes a widget, and wait until the change is on the screen."""
        wait(BETWEEN)
        self._painted, self._is_awaited = None, is_awaited
        begun, busy = time.perf_counter(), time.process_time()
        act()
        self._limit.start()
        self._loop.exec()
        self._limit.stop()
        if self._painted is None:
            raise SystemExit("nothing was drawn: is there a screen?")
        return Move(self._painted[0] - begun, time.perf_counter() - begun, self._painted[1] - busy)

    def _end(self, event: QEvent) -> None:
        if self._painted is not None and event.type() == QEvent.Type.UpdateRequest:
            self._loop.quit()


class WatchedLabel(QLabel):
    """A label that records when it is painted."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self.setFixedSize(60, 20)

    def paintEvent(self, event: Any) -> None:
        """Paint the label and record the time."""
        super().paintEvent(event)
        self._watch.note()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], metavar="N")
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--pins", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.pins} pins, {os.cpu_count()} processors; median, largest in ms\n")
    print("| voxels | round | painted | processor until then | on the screen | a label alone, on the screen | load |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        viewer, dock = open_dock(size, options.pins)
        watch = Watch(viewer.window._qt_window)
        label = WatchedLabel(watch)
        dock.layout().addWidget(label)
        for number in range(1, options.rounds + 1):
            load = os.getloadavg()[0]
            moves = [move(viewer, dock, watch, step) for step in range(options.moves)]
            alone = [watch.time(partial(label.setNum, step), lambda: True) for step in range(options.moves)]
            cells = [shown(each.painted for each in moves), shown(each.busy for each in moves)]
            cells += [shown(each.on_screen for each in moves), shown(each.on_screen for each in alone)]
            print(f"| {size}^3 | {number} | {' | '.join(cells)} | {load:.2f} |", flush=True)
        viewer.close()


def open_dock(size: int, n_pins: int) -> tuple[napari.Viewer, InspectWidget]:
    """Open a window with maps of `size` voxels along each axis, and the dock with its pins."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    for layer in to_layers(map_volumes(random_tissue(size), "maps")):
        viewer.add_layer(napari.layers.Layer.create(*layer))
    dock = InspectWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Inspect")
    for pin in range(n_pins):
        dock.pin([(0.3 + 0.1 * pin) * size] * 3)
    wait(1000)
    return viewer, dock


def move(viewer: napari.Viewer, dock: InspectWidget, watch: Watch, step: int) -> Move:
    """Move the mouse by some pixels, to the curve of another voxel."""
    canvas = viewer.window._qt_viewer.canvas.native
    before = start(dock)
    place = QPoint(canvas.width() // 2 - 100 + 5 * (step % 40), canvas.height() // 2 + 3 * (step % 7))
    return watch.time(lambda: QTest.mouseMove(canvas, place), lambda: start(dock) != before)


def start(dock: InspectWidget) -> float:
    """Return the first point of the cursor's curve, which identifies the voxel."""
    values = dock.curves._cursor_item.getData()[1]
    return 0.0 if values is None else float(values[0])


def shown(seconds: Any) -> str:
    values = [1e3 * each for each in seconds]
    return f"{np.median(values):.1f}, {max(values):.1f}"


def wait(ms: int) -> None:
    """Process events until the window has drawn all changes."""
    loop = QEventLoop()
    QTimer.singleShot(ms, loop.quit)
    loop.exec()


def _after(kind: Any, name: str, act: Any) -> None:
    """Call a function after each call of a method."""
    method = getattr(kind, name)

    def with_more(widget: Any, *arguments: Any) -> Any:
        result = method(widget, *arguments)
        act(widget, *arguments)
        return result

    setattr(kind, name, with_more)


if __name__ == "__main__":
    main()
