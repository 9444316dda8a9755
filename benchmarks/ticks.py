"""Time from a tick of a slider to the frame that shows it, in a real window, and time to compute the whole volume.

    python benchmarks/ticks.py [--sizes 256 512] [--ticks 30]

The volumes are random tissue of n x n x n voxels, the contrast a turbo spin echo whose echo time moves by 1 ms a tick.
On a machine without a screen, put
``xvfb-run -a -s "-screen 0 1600x1200x24"`` in front.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication

from napari_swig_qmri import QuantitativeMaps, VoxelGrid
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.physics.signal_models import TurboSpinEcho

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss
TIMEOUT = 10.0  # s to wait for a frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], metavar="N")
    parser.add_argument("--ticks", type=int, default=30)
    options = parser.parse_args()
    print("| voxels | tick to frame: median, largest, ms | more memory, MB | whole volume, ms | into 3D, undrawn, ms |")
    print("|---|---|---|---|---|")
    for size in options.sizes:
        ticks, more, whole, into_3d = measure(size, options.ticks)
        median, largest = 1e3 * np.median(ticks), 1e3 * max(ticks)
        print(f"| {size}^3 | {median:.1f}, {largest:.1f} | {more / 1e6:.0f} |", end="")
        print(f" {1e3 * whole:.0f} | {1e3 * into_3d:.0f} |", flush=True)
    print(f"\n{os.cpu_count()} processors.")


def measure(size: int, n_ticks: int) -> tuple[list[float], float, float, float]:
    """Return seconds of each tick, growth of the peak memory in bytes, seconds of the whole volume and into 3D."""
    viewer = napari.Viewer()
    for layer in to_layers(map_volumes(random_tissue(size), "maps")):
        viewer.add_layer(napari.layers.Layer.create(*layer))
    dock = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Synthesize")
    dock.editor.set_value(TurboSpinEcho.from_typical())
    (contrast,) = dock.add_contrast()
    frames: list[float] = []
    moves: list[float] = []
    contrast.events.set_data.connect(lambda _: moves.append(time.perf_counter()))
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda _: frames.append(time.perf_counter()), position="last")  # last of all
    settle(0.5)
    first = tick(dock, moves, frames, 0)  # includes what is loaded only once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    ticks = [tick(dock, moves, frames, number) for number in range(1, n_ticks + 1)]
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT - before
    begun = time.perf_counter()
    np.asarray(contrast.data)
    whole = time.perf_counter() - begun
    begun = time.perf_counter()
    viewer.dims.ndisplay = 3  # coarse at first, rendered in the background
    into_3d = time.perf_counter() - begun
    viewer.dims.ndisplay = 2
    viewer.close()
    print(f"first tick: {1e3 * first:.0f} ms", file=sys.stderr)
    return ticks, more, whole, into_3d


def tick(dock: SynthesizeWidget, moves: list[float], frames: list[float], number: int) -> float:
    """Change the echo time; return the seconds until the first frame after the layer has it."""
    echo_time = 0.06 + 0.001 * (number % 60)
    settle(0.2)
    moves.clear()
    frames.clear()
    begun = time.perf_counter()
    dock.editor.show_setting("echo_time", echo_time)
    while time.perf_counter() - begun < TIMEOUT:
        QApplication.processEvents()
        after = [frame for frame in frames if moves and frame > moves[-1]]
        if after:
            return after[0] - begun
    raise SystemExit("no frame was drawn: is there a screen?")


def settle(seconds: float) -> None:
    """Process events until the window has drawn all changes."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        QApplication.processEvents()


def random_tissue(size: int) -> QuantitativeMaps:
    """Return maps of ``size`` voxels along each axis, without air."""
    generator = np.random.default_rng(0)
    scale = np.array([0.8, 1.1, 0.08], np.float32)[:, None, None, None]
    plane: NDArray[np.float32] = generator.uniform(0.8, 1.2, (3, 1, size, size)).astype(np.float32)
    drift = np.linspace(0.9, 1.1, size, dtype=np.float32)[None, :, None, None]
    return QuantitativeMaps(data=scale * plane * drift, grid=VoxelGrid((size, size, size), np.eye(4)))


if __name__ == "__main__":
    main()
