"""Open files in a napari viewer, super-resolve them, synthesise a T2-FLAIR and save the layers, without a click.

    swig-qmri simulate --output case
    python docs/examples/viewer_session.py case --output session
    python docs/examples/viewer_session.py case --output session --no-window

The first call of the script leaves the window open. With --no-window there is no window at all, as on a server.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from napari_swig_qmri import Options, Progress, T2Flair, super_resolve_layers

PLUGIN = "napari-swig-qmri"


def main(folder: Path, output: Path, method: str, has_window: bool) -> None:
    """Run the session, and save its results into `output`."""
    if not has_window:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"  # docks are Qt widgets, also where nothing shows them
    import napari
    from napari.components import ViewerModel
    from napari.qt import get_qapp
    from npe2 import PluginManager

    from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget

    app = get_qapp()
    PluginManager.instance().discover()  # as a window does when it opens
    viewer = napari.Viewer() if has_window else ViewerModel()
    viewer.open(folder, plugin=PLUGIN)

    results = super_resolve_layers(viewer, Options(method=method), progress=show)
    print("\nadded", ", ".join(layer.name for layer in results))

    dock = SynthesizeWidget(viewer)
    if has_window:
        viewer.window.add_dock_widget(dock, name="Synthesize")
    dock.set_value(replace(dock.value(), sequence=T2Flair.from_typical(), sources=("SR",)))
    contrasts = dock.run()
    print("added", ", ".join(layer.name for layer in contrasts))

    output.mkdir(parents=True, exist_ok=True)
    viewer.layers.selection = {*results, *contrasts}
    for path in viewer.layers.save(str(output), selected=True, plugin=PLUGIN):
        print("wrote", path)
    if has_window:
        napari.run()
    dock.deleteLater()
    app.processEvents()


def show(step: Progress) -> None:
    """Print the progress of the run on one line."""
    print(f"\r{step.fraction:4.0%} {step.stage:<60}", end="", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder of maps and weighted images")
    parser.add_argument("--output", type=Path, default=Path("session"), help="folder for the results")
    parser.add_argument("--method", choices=["regression", "posterior", "network"], default="network")
    parser.add_argument("--no-window", action="store_true", help="do not open a window")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.output, arguments.method, not arguments.no_window)
