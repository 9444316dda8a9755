"""Resampling of transmit-field maps to the grids of other maps, in the background."""

from __future__ import annotations

from functools import partial

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri._napari.parts.map_sets import SourceList
from napari_swig_qmri._napari.parts.transmit_layers import fields_of, lacks_field, resample_fields
from napari_swig_qmri._napari.parts.viewer_layers import volume_of
from napari_swig_qmri.data.transmit_field import as_transmit_map


class FieldPreparation(QObject):
    """Resamples the chosen B1+ map to the grids of all sources before it is used."""

    changed = Signal(bool)  # whether a map is being resampled
    done = Signal()  # the chosen map is ready, or no map is chosen
    refused = Signal(str)  # reason why the choice was reset to no map

    def __init__(self, choice: ChoiceBox, sources: SourceList, parent: QObject) -> None:
        super().__init__(parent)
        self.is_busy = False
        self._choice, self._sources = choice, sources
        self._query = BackgroundQuery(self, pause=0)
        self._query.answered.connect(self._finish)
        self._query.failed.connect(self.refuse)

    def follow(self) -> None:
        """Resample the chosen map to the grids of new sources."""
        layer: Image | None = self._choice.value
        if layer is not None and lacks_field(fields_of(layer), self._sources.grids()):
            self.start()

    def start(self) -> None:
        """Resample the chosen map to the grids of all sources."""
        self._query.forget()
        layer: Image | None = self._choice.value
        grids = [] if layer is None else self._sources.grids()
        if layer is None or not lacks_field(fields_of(layer), grids):
            self._finish()
            return
        try:
            self._query.ask(partial(resample_fields, as_transmit_map(volume_of(layer)), grids, fields_of(layer)))
        except ValueError as error:
            self.refuse(str(error))
        else:
            self._set_busy(True)

    def refuse(self, problem: str) -> None:
        """Reset the choice to no map, because of a problem."""
        self._choice.choose(None)
        self._set_busy(False)
        self.refused.emit(problem)

    def _finish(self, _result: object = None) -> None:
        self._set_busy(False)
        self.done.emit()

    def _set_busy(self, is_busy: bool) -> None:
        if is_busy != self.is_busy:
            self.is_busy = is_busy
            self.changed.emit(is_busy)
