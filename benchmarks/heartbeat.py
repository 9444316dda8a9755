"""Longest time that the window does not respond: while files and docks open, results are added, a sheet is shown.

    xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/heartbeat.py --voxel-size 1

A timer is due every 20 ms. The longest gap between two of its ticks is the time for which the window was blocked; the
functions that the main thread was in are listed with their share of it. A busy machine lengthens all gaps: the
processor time of the main thread within the gap is what it would take on a quiet one. First come rows without the
plugin: what napari itself needs to insert and show one image, and three in one call, and to show four in a grid.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_swig_qmri import Options, SuperResolution, degrade, make_phantom
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.storage.files import write_volume
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES

PLUGIN = "napari-swig-qmri"
TICK = 0.02  # s
LONG = 0.3  # s; the functions of shorter gaps are not listed
SHOWN = 25  # functions of a gap
LOADING = 5.0  # s, in which the docks are imported in the background
GUIDES = ("T1w", "T2w", "FLAIR")


class Heartbeat:
    """Ticks of a timer in the main thread, and its stack while a tick is late."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._longest, self._busy, self._busy_before = 0.0, 0.0, 0.0
        self._samples, self._during = list[list[str]](), list[list[str]]()
        self._main = threading.get_ident()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(round(1000 * TICK))
        threading.Thread(target=self._watch, daemon=True).start()

    def measure(self, name: str, action: Callable[[], object], is_done: Callable[[], bool]) -> None:
        """Do something, wait until it is done, and print the longest gap."""
        wait(0.5)
        self._longest, self._samples, self._during, self._last = 0.0, [], [], time.perf_counter()
        self._busy_before = time.thread_time()
        started = time.perf_counter()
        QTimer.singleShot(0, action)
        wait(0.1)
        while not is_done():
            wait(TICK)
        took = time.perf_counter() - started
        wait(0.5)
        print(f"{name}: longest gap {self._longest:.2f} s ({self._busy:.2f} s of processor time) of {took:.1f} s")
        if self._longest < LONG:
            return
        counts = Counter(frame for stack in self._during for frame in set(stack))
        for frame, count in counts.most_common(SHOWN):
            print(f"  {count / len(self._during):4.0%} {frame}")

    def _tick(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        if now - self._last > self._longest:
            self._longest, self._busy, self._during = now - self._last, busy - self._busy_before, self._samples
        self._samples, self._last, self._busy_before = [], now, busy

    def _watch(self) -> None:
        while True:
            time.sleep(TICK)
            frame = sys._current_frames().get(self._main)
            stack = []
            while frame is not None:
                stack.append(f"{frame.f_code.co_filename.rpartition('site-packages/')[2]} {frame.f_code.co_name}")
                frame = frame.f_back
            self._samples.append(stack)


def wait(seconds: float) -> None:
    """Process events for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def solver(truth: QuantitativeMaps) -> Callable[..., object]:
    """Stand-in for the engine whose result is the truth, at once."""

    def solve(maps: object, guides: list[object], options: Options, *, mask: object = None) -> object:
        yield from ()
        images = maps_and_guides[1]
        return SuperResolution(
            maps=truth,
            guides=tuple(images),
            synthesised=tuple(images),
            lr_residual=maps_and_guides[0],
            lr_maps=maps_and_guides[0],
            gains=tuple(1.0 for _ in images),
            notices=(),
            parameters={"method": "regression"},
        )

    maps_and_guides = degrade(truth, 2.0, {name: USUAL_GUIDES[name] for name in GUIDES})
    return solve


def measure_napari(viewer: napari.Viewer, beat: Heartbeat, truth: QuantitativeMaps) -> None:
    """Gaps of a window without the plugin."""
    layers, grid = viewer.layers, viewer.canvas.grid
    for words, count in (("a bare image", 1), ("three bare images", 3)):
        bare = [Image(truth["PD"], contrast_limits=(0, 1), multiscale=False) for _ in range(count)]
        beat.measure(f"inserting {words}", partial(layers.extend, bare), lambda bare=bare: len(layers) == len(bare))
        layers.clear()
    layers.extend([Image(truth["PD"], contrast_limits=(0, 1), multiscale=False) for _ in range(4)])
    for layer in layers:
        layer.name_overlay.visible = True
    beat.measure("showing four bare images in a grid", partial(setattr, grid, "enabled", True), lambda: grid.enabled)
    grid.enabled = False
    layers.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxel-size", type=float, default=1.0, metavar="MM")
    options = parser.parse_args()
    truth = make_phantom(options.voxel_size).maps
    print(f"{' x '.join(map(str, truth.grid.shape))} voxels")
    viewer = napari.Viewer()
    beat = Heartbeat()
    docks: dict[str, object] = {}
    measure_napari(viewer, beat, truth)
    with TemporaryDirectory() as folder:
        for volume in map_volumes(truth, ""):
            write_volume(volume, Path(folder) / f"sub-01_{volume.suffix}.nii.gz")
        opened = lambda: len(viewer.layers) == len(truth.names)  # noqa: E731
        beat.measure("opening three maps", lambda: viewer.open(folder, plugin=PLUGIN), opened)
    wait(LOADING)

    def open_dock(name: str) -> None:
        docks[name] = viewer.window.add_plugin_dock_widget(PLUGIN, name)[1]

    inspect = lambda: "Inspect" in docks and docks["Inspect"].curves.is_ready  # noqa: E731
    beat.measure("opening Inspect", lambda: open_dock("Inspect"), inspect)
    beat.measure("opening Synthesize", lambda: open_dock("Synthesize"), lambda: "Synthesize" in docks)
    sheet = docks["Synthesize"].sheet
    beat.measure("showing a sheet", sheet.start_sheet, lambda: len(sheet.layers) == 4 and not sheet.is_adding)
    beat.measure("opening Super-resolve", lambda: open_dock("Super-resolve"), lambda: "Super-resolve" in docks)
    viewer.layers.clear()
    lr_maps, guides = degrade(truth, 2.0, {name: USUAL_GUIDES[name] for name in GUIDES})
    images = [
        Volume(data=each.data, grid=each.grid, name=each.name, suffix=each.name, sidecar=to_sidecar(each.sequence))
        for each in guides
    ]
    for layer in to_layers([*images, *map_volumes(lr_maps, "LR")]):
        viewer.add_layer(Layer.create(*layer))
    dock = docks["Super-resolve"]
    dock._solver = solver(truth)
    beat.measure("adding results", dock.start, lambda: dock.results.shown is not None and not dock.run_panel.is_running)
    viewer.close()


if __name__ == "__main__":
    main()
