"""How the window looks at the brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari import Viewer, current_viewer

from napari_swig_qmri.layers import METADATA_KEY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from npe2 import PluginContext

_DEFAULT = ("down", "right")  # of a viewer whose user has not chosen otherwise: the brain upside down


def show_radiologically(viewer: Viewer) -> None:
    """Show anterior and superior up and the patient's left on the right, in every slice direction."""
    viewer.scene.camera.orientation2d = ("up", "left")
    viewer.reset_view()


def start_radiologically(viewer: ViewerModel) -> None:
    """Take the radiological view once the viewer shows layers of this plugin and no others.

    It is taken at most once, and not at all where the user has turned the view.
    """

    def turn(_event: object = None) -> None:
        if not (viewer.layers and all(METADATA_KEY in layer.metadata for layer in viewer.layers)):
            return
        viewer.layers.events.inserted.disconnect(turn)
        if tuple(map(str, viewer.scene.camera.orientation2d)) == _DEFAULT:
            show_radiologically(viewer)

    viewer.layers.events.inserted.connect(turn)
    turn()


def on_activate(_context: PluginContext) -> None:
    """Follow the window from which this plugin is first used, also by its reader, which sees no viewer."""
    viewer = current_viewer()
    if viewer is not None:
        start_radiologically(viewer)
