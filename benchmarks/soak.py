"""Memory, threads, layers and widgets of one window while live contrasts and runs are made and removed.

    xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/soak.py --voxel-size 6 --plot docs/images/soak.png

Each live contrast is added, moved and removed. Each run super-resolves a slab of a head, by regression and by the
posterior in turn, and its layers are removed before the next one. The state is read after every fifth repetition, when
Python's garbage has been collected.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import napari
import numpy as np
import torch  # noqa: F401  # before the objects of imports are frozen
from matplotlib.figure import Figure
from napari.layers import Layer
from qtpy.QtCore import QEventLoop, QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_swig_qmri import Options, degrade, make_phantom
from napari_swig_qmri._napari.layers import to_layers
from napari_swig_qmri.data.interpretation import guide_volume, map_volumes
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES

PLUGIN = "napari-swig-qmri"
EXTENT = ((-60, 60), (-72, 72), (0, 48))  # mm
GUIDES = ("T1w", "T2w")
METHODS = ("regression", "posterior")
MEGABYTE = 2**20
EVERY = 5  # repetitions between two states


@dataclass(frozen=True)
class State:
    """What one window holds."""

    memory: float  # MB, resident
    threads: int
    layers: int  # that exist, in the viewer or not
    widgets: int
    objects: int  # of Qt that Python knows

    @classmethod
    def now(cls) -> State:
        """State after the events that are due, and after a collection of Python's garbage."""
        wait(0.05)
        gc.collect()
        known = gc.get_objects()
        return cls(
            memory=int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / MEGABYTE,
            threads=len(list(Path("/proc/self/task").iterdir())),
            layers=sum(isinstance(each, Layer) for each in known),
            widgets=len(QApplication.allWidgets()),
            objects=sum(isinstance(each, QObject) for each in known),
        )


def wait(seconds: float) -> None:
    """Let the event loop run for a while.

    `QApplication.processEvents` would not do: it leaves the widgets that are to be deleted, 119 for each layer.
    """
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def repeated(name: str, n_times: int, action: Callable[[int], object]) -> dict[int, State]:
    """States by the number of repetitions of an action, which are printed."""
    print(f"{name}\n{'':>6} {'  '.join(f'{each.name:>8}' for each in fields(State))}")
    states: dict[int, State] = {}
    for number in range(n_times + 1):
        if number % EVERY == 0:
            states[number] = State.now()
            row = (getattr(states[number], each.name) for each in fields(State))
            print(f"{number:>6} {'  '.join(f'{value:>8.0f}' for value in row)}", flush=True)
        if number < n_times:
            action(number)
    half = {number: state.memory for number, state in states.items() if number >= n_times / 2}
    growth = np.polyfit(list(half), list(half.values()), 1)[0] if len(half) > 1 else 0.0
    print(f"second half: {100 * growth:+.1f} MB in 100 repetitions")
    return states


def draw(parts: dict[str, dict[int, State]], path: Path) -> None:
    """Draw all states over the number of repetitions."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    shown = {"memory": "memory (MB)", "threads": "threads", "layers": "layers that exist", "widgets": "widgets"}
    for axis, (key, label) in zip(axes.ravel(), shown.items(), strict=True):
        for name, states in parts.items():
            axis.plot(list(states), [getattr(state, key) for state in states.values()], label=name)
        axis.set(ylabel=label, ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    for axis in axes[1]:
        axis.set_xlabel("repetitions")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, metavar="N")
    parser.add_argument("--contrasts", type=int, default=200, metavar="N")
    parser.add_argument("--voxel-size", type=float, default=4.0, metavar="MM", help="of the guides; maps are coarser")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    gc.freeze()  # napari collects garbage at every removed layer: of the window alone, not of all imports
    viewer = napari.Viewer()
    truth = make_phantom(options.voxel_size, extent=EXTENT).maps
    lr_maps, guides = degrade(truth, 2.0, {name: USUAL_GUIDES[name] for name in GUIDES})
    for layer in to_layers([*(guide_volume(guide, {}) for guide in guides), *map_volumes(lr_maps, "LR")]):
        viewer.add_layer(Layer.create(*layer))
    dock: Any = viewer.window.add_plugin_dock_widget(PLUGIN, "Super-resolve")[1]
    synthesize: Any = viewer.window.add_plugin_dock_widget(PLUGIN, "Synthesize")[1]

    def run(number: int) -> None:
        dock.options.set_value(Options(method=METHODS[number % len(METHODS)], device="cpu"))
        for layer in dock.run():
            viewer.layers.remove(layer)

    def contrast(number: int) -> None:
        (layer,) = synthesize.run()
        wait(0.05)
        synthesize.editor.parameter_boxes()["echo_time"].value = 80 + number % 40
        wait(0.05)
        viewer.layers.remove(layer)

    for number in range(len(METHODS)):  # what is loaded and drawn for the first time
        run(number)
        contrast(number)
    parts = {"live contrasts": repeated("live contrasts", options.contrasts, contrast)}
    parts["runs"] = repeated("runs", options.runs, run)
    if options.plot:
        draw(parts, options.plot)
    viewer.close()


if __name__ == "__main__":
    main()
