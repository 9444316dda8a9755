"""Background rendering of computed layers for 3D views, which need all voxels of a layer at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri.synthesis.lazy_array import LazyArray, all_rendered

COARSE = "coarse"  # job of layers that are shown at reduced resolution until they are rendered


@dataclass(frozen=True)
class RenderJob:
    """Arrays to render, and the function to call afterwards."""

    arrays: tuple[LazyArray, ...]
    then: Callable[[], None]


class VolumeRendering(QObject):
    """Keeps a viewer responsive in 3D.

    Until its volume is rendered, a new layer is shown at reduced resolution, and a changed layer stays as it was.
    A later job of the same owner replaces an earlier one. In 2D the rendered volumes are dropped.
    """

    said = Signal(str)  # progress; empty at the end
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._was_3d = self.is_3d  # updated by an event that comes after the viewer has sliced its layers
        self._jobs: dict[str, RenderJob] = {}  # by owner
        self._query = BackgroundQuery(self, pause=0)
        self._query.progressed.connect(lambda share: self.said.emit(f"Rendering whole volumes… {100 * share:.0f} %"))
        self._query.answered.connect(self._take)
        self._query.failed.connect(self._fail)
        viewer.dims.events.ndisplay.connect(self._follow_display)

    @property
    def is_3d(self) -> bool:
        """Whether the viewer is in 3D."""
        return bool(self._viewer.dims.ndisplay == 3)

    def add(self, layers: Sequence[Layer]) -> None:
        """Add computed layers to the viewer, in 3D at reduced resolution first."""
        for layer in layers:
            if self.is_3d:
                layer.data.keep(layer.data.coarse())
            self._viewer.add_layer(layer)
            layer.data.keep(None)
            self._watch(layer.data)
        if self.is_3d:
            self._refine()

    def change(self, owner: str, arrays: Mapping[Layer, LazyArray], then: Callable[[], None]) -> None:
        """Give layers other arrays: at once in 2D, after rendering them in 3D.

        Parameters
        ----------
        owner
            Name of the job; replaces an unfinished job of the same name.
        arrays
            New arrays by layer.
        then
            Assigns the arrays.
        """
        for array in arrays.values():
            self._watch(array)
        if self.is_3d:
            self._jobs[owner] = RenderJob(tuple(arrays.values()), then)
            self._ask()
        else:
            then()

    def _watch(self, array: LazyArray) -> None:
        """Let the array answer at reduced resolution while the viewer enters 3D."""
        array.allow_coarse_while(lambda: exists(self) and self.is_3d and not self._was_3d)

    def _ask(self) -> None:
        arrays = [array for job in self._jobs.values() for array in job.arrays]
        self._query.ask(partial(_render, arrays))

    def _refine(self) -> None:
        """Render the visible layers that are shown at reduced resolution."""
        shown = [layer for layer in self._viewer.layers if layer.visible and isinstance(layer.data, LazyArray)]
        layers = [layer for layer in shown if not layer.data.is_kept]
        if layers:
            self._jobs[COARSE] = RenderJob(tuple(layer.data for layer in layers), partial(_refresh, layers))
            self._ask()

    def _follow_display(self, _event: object = None) -> None:
        if not exists(self):
            return
        self._was_3d = self.is_3d
        if self.is_3d:
            self._refine()
            return
        self._query.forget()
        jobs, self._jobs = self._jobs, {}
        self.said.emit("")
        _forget(self._viewer)
        for owner, job in jobs.items():
            for array in job.arrays:
                array.keep(None)
            if owner != COARSE:
                job.then()

    def _fail(self, problem: str) -> None:
        """Leave the layers as they are until there is less to render, or 2D."""
        self.said.emit("")
        self.failed.emit(problem)

    def _take(self, _result: object) -> None:
        self.said.emit("")
        jobs, self._jobs = self._jobs, {}
        for job in jobs.values():
            job.then()


def _render(arrays: Sequence[LazyArray]) -> Generator[float, None, None]:
    """Render the arrays that are not rendered yet, and store their values in them."""
    missing = [array for array in arrays if not array.is_kept]
    for array, values in zip(missing, (yield from all_rendered(missing)), strict=True):
        array.keep(values)


def _refresh(layers: Sequence[Layer]) -> None:
    for layer in layers:
        layer.refresh()


def _forget(viewer: ViewerModel) -> None:
    """Drop the rendered volumes of all layers."""
    for layer in viewer.layers:
        if isinstance(layer.data, LazyArray):
            layer.data.keep(None)
