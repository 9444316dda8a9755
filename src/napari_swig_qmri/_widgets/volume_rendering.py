"""Whole volumes of computed layers, rendered in the background: 3D views ask for all of a layer at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._widgets.appearance import exists
from napari_swig_qmri._widgets.inquiry import Inquiry
from napari_swig_qmri.lazy_array import LazyArray
from napari_swig_qmri.steps import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    import numpy.typing as npt
    from napari.components import ViewerModel
    from napari.layers import Layer

    Volumes = list[npt.NDArray[Any]]


class VolumeRendering(QObject):
    """Keeps a viewer responsive in 3D: computed layers are coarse, or as they were, until their volumes are rendered.

    Only what was asked for last is rendered to its end. Back in 2D the volumes are forgotten.
    """

    said = Signal(str)  # how far it is; empty when there is nothing to wait for
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._was_3d = self.is_3d  # when this was last told of it, which is after the viewer sliced its layers
        self._arrays: list[LazyArray] = []  # under way
        self._then: Callable[[Volumes], None] | None = None
        self._pending: Callable[[], None] | None = None  # change of layers that waits for its volumes
        self._inquiry = Inquiry(self, pause=0)
        self._inquiry.progressed.connect(lambda share: self.said.emit(f"Rendering whole volumes… {100 * share:.0f} %"))
        self._inquiry.answered.connect(self._take)
        viewer.dims.events.ndisplay.connect(self._follow_display)

    @property
    def is_3d(self) -> bool:
        """Whether the viewer shows volumes."""
        return bool(self._viewer.dims.ndisplay == 3)

    def watch(self, array: LazyArray) -> LazyArray:
        """The array, which from now on answers coarsely while the viewer enters 3D."""
        array.watch(lambda: exists(self) and self.is_3d and not self._was_3d)
        return array

    def add(self, layers: Sequence[Layer]) -> None:
        """Add computed layers to the viewer, coarse at first if it shows volumes."""
        for layer in layers:
            if self.is_3d:
                layer.data.keep(layer.data.coarse())
            self._viewer.add_layer(layer)
            layer.data.keep(None)
            self.watch(layer.data)
        if self.is_3d:
            self._refine()

    def change(self, arrays: Mapping[Layer, LazyArray], then: Callable[[], None]) -> None:
        """Call `then`, which gives layers these arrays, when they can be shown: in 2D that is now."""
        for array in arrays.values():
            self.watch(array)
        if self.is_3d:
            self.render(list(arrays.values()), lambda _: then())
            self._pending = then
        else:
            self.stop()
            then()

    def render(self, arrays: Sequence[LazyArray], then: Callable[[Volumes], None]) -> None:
        """Call `then` with all values of these arrays, in 2D as well."""
        self._arrays, self._then, self._pending = list(arrays), then, None
        self._inquiry.ask(partial(_rendered, self._arrays))

    def stop(self) -> None:
        """Render nothing more."""
        self._inquiry.forget()
        was_busy = bool(self._arrays)
        self._arrays, self._then, self._pending = [], None, None
        if was_busy:
            self.said.emit("")

    def _follow_display(self, _event: object = None) -> None:
        if not exists(self):
            return
        self._was_3d = self.is_3d
        if self.is_3d:
            self._refine()
            return
        pending = self._pending
        self.stop()
        for layer in self._viewer.layers:
            if isinstance(layer.data, LazyArray):
                layer.data.keep(None)
        if pending is not None:
            pending()

    def _refine(self) -> None:
        """Render what is coarse, after what is under way."""
        shown = [layer for layer in self._viewer.layers if layer.visible and isinstance(layer.data, LazyArray)]
        coarse = [layer for layer in shown if not layer.data.is_kept and layer.data not in self._arrays]
        before, pending = self._then, self._pending

        def take(volumes: Volumes) -> None:
            for layer in coarse:
                layer.refresh()
            if before is not None:
                before(volumes)

        if coarse:
            self.render([*self._arrays, *(layer.data for layer in coarse)], take)
            self._pending = pending

    def _take(self, answer: Volumes | str) -> None:
        then, arrays = self._then, self._arrays
        self.stop()
        if isinstance(answer, str):
            self.failed.emit(answer)
            return
        for array, values in zip(arrays, answer, strict=True):
            array.keep(values if self.is_3d else None)
        if then is not None:
            then(answer)


def _rendered(arrays: Sequence[LazyArray]) -> Generator[float, None, Volumes]:
    """All values of each array; yields the share that is done."""
    volumes = []
    for number, array in enumerate(arrays):
        volumes.append((yield from mapped(array.rendered(), partial(_share, number, len(arrays)))))
    return volumes


def _share(n_done: int, n_all: int, share: float) -> float:
    return (n_done + share) / n_all
