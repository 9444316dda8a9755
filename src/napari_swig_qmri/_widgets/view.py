"""How the window looks at the brain."""

from __future__ import annotations

from napari import Viewer


def show_radiologically(viewer: Viewer) -> None:
    """Show anterior and superior up and the patient's left on the right, in every slice direction."""
    viewer.scene.camera.orientation2d = ("up", "left")
    viewer.reset_view()
