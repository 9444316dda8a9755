"""Transmit-field maps brought onto the grid of other maps in the background."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.transmit_layers import bring_fields, fields_of, lacks_field
from napari_swig_qmri._napari.parts.viewer_layers import volume_of
from napari_swig_qmri.data.transmit_field import as_transmit_map

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_swig_qmri._napari.parts.choice import Choice
    from napari_swig_qmri._napari.parts.map_sets import SourceList


class FieldPreparation(QObject):
    """Brings the layer of B1+ that is chosen onto the voxels of all sources, in the background, before it is used."""

    changed = Signal(bool)  # whether it is under way
    done = Signal()  # the layer that is chosen is at hand, or none is
    refused = Signal(str)  # why the choice was taken back

    def __init__(self, choice: Choice, sources: SourceList, parent: QObject) -> None:
        super().__init__(parent)
        self.is_busy = False
        self._choice, self._sources = choice, sources
        self._query = BackgroundQuery(self, pause=0)
        self._query.answered.connect(self._finish)
        self._query.failed.connect(self.refuse)

    def follow(self) -> None:
        """Bring what is chosen onto the voxels of sources that have come."""
        layer: Image | None = self._choice.value()
        if layer is not None and lacks_field(fields_of(layer), self._sources.grids()):
            self.start()

    def start(self) -> None:
        """Bring what is chosen now onto the voxels of all sources."""
        self._query.forget()
        layer: Image | None = self._choice.value()
        grids = [] if layer is None else self._sources.grids()
        if layer is None or not lacks_field(fields_of(layer), grids):
            self._finish()
            return
        try:
            self._query.ask(partial(bring_fields, as_transmit_map(volume_of(layer)), grids, fields_of(layer)))
        except ValueError as error:
            self.refuse(str(error))
        else:
            self._set_busy(True)

    def refuse(self, problem: str) -> None:
        """Take the choice back."""
        self._choice.set_value(None)
        self._set_busy(False)
        self.refused.emit(problem)

    def _finish(self, _result: object = None) -> None:
        self._set_busy(False)
        self.done.emit()

    def _set_busy(self, is_busy: bool) -> None:
        if is_busy != self.is_busy:
            self.is_busy = is_busy
            self.changed.emit(is_busy)
