"""Layers of B1+ on the voxels of other layers: each is brought there once, in the background where there is time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, Signal

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.inquiry import Inquiry
from napari_swig_qmri._napari.parts.layer_choice import T2STAR
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, file_name, maps_of, volume_of
from napari_swig_qmri.data.interpretation import quantity_values
from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from napari.layers import Image

    from napari_swig_qmri._napari.parts.choice import Choice
    from napari_swig_qmri._napari.parts.contrast_layers import SourceList
    from napari_swig_qmri._napari.parts.layer_choice import LayerFacts
    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid

    Fields = dict[Any, FloatArray | str]  # by grid; a sentence where there is none

_KEPT: WeakKeyDictionary[Image, tuple[Any, LayerFacts, Fields]] = WeakKeyDictionary()  # data, place, fields


def transmit_field_of(layer: Image | None, grid: VoxelGrid) -> FloatArray | None:
    """B1+ that a layer shows, as a fraction of the nominal one on a grid; None without a layer.

    ValueError with one sentence where the layer is no map of B1+, or lies elsewhere.
    """
    if layer is None:
        return None
    fields = _fields_of(layer)
    if _key(grid) not in fields:
        drained(_brought(as_transmit_map(volume_of(layer)), [grid], fields))
    found = fields[_key(grid)]
    if isinstance(found, str):
        raise ValueError(found)
    return found


def transmit_notices(layer: Image | None) -> tuple[str, ...]:
    """What was assumed about a layer of B1+; ValueError with a sentence where it is none."""
    return () if layer is None else as_transmit_map(volume_of(layer)).notices


def contrast_maps_of(layers: Mapping[str, Image], transmit_map: Image | None = None) -> ContrastMaps:
    """Maps that layers of any of PD, T1, T2 and T2* on one grid show, with a map of B1+ brought onto it."""
    t2star = quantity_values(volume_of(layers[T2STAR])) if T2STAR in layers else None
    maps = maps_of(layers)
    return ContrastMaps(
        maps=maps,
        t2star=t2star,
        transmit_field=transmit_field_of(transmit_map, maps.grid),
        transmit_map=file_name(transmit_map),
    )


class FieldPreparation(QObject):
    """Brings the layer of B1+ that is chosen onto the voxels of all sources, in the background, before it is used."""

    changed = Signal(bool)  # whether it is under way
    done = Signal()  # the layer that is chosen is at hand, or none is
    refused = Signal(str)  # why the choice was taken back

    def __init__(self, choice: Choice, sources: SourceList, parent: QObject) -> None:
        super().__init__(parent)
        self.is_busy = False
        self._choice, self._sources = choice, sources
        self._inquiry = Inquiry(self, pause=0)
        self._inquiry.answered.connect(self._take)

    def follow(self) -> None:
        """Bring what is chosen onto the voxels of sources that have come."""
        layer: Image | None = self._choice.value()
        if layer is not None and _lacks(_fields_of(layer), self._sources.grids()):
            self.start()

    def start(self) -> None:
        """Bring what is chosen now onto the voxels of all sources."""
        self._inquiry.forget()
        layer: Image | None = self._choice.value()
        grids = [] if layer is None else self._sources.grids()
        if layer is None or not _lacks(_fields_of(layer), grids):
            self._take(None)
            return
        try:
            self._inquiry.ask(partial(_brought, as_transmit_map(volume_of(layer)), grids, _fields_of(layer)))
        except ValueError as error:
            self.refuse(str(error))
        else:
            self._set_busy(True)

    def refuse(self, problem: str) -> None:
        """Take the choice back."""
        self._choice.set_value(None)
        self._set_busy(False)
        self.refused.emit(problem)

    def _take(self, answer: str | None) -> None:
        self._set_busy(False)
        if answer is None:
            self.done.emit()
        else:
            self.refuse(answer)

    def _set_busy(self, is_busy: bool) -> None:
        if is_busy != self.is_busy:
            self.is_busy = is_busy
            self.changed.emit(is_busy)


def _lacks(fields: Fields, grids: Sequence[VoxelGrid]) -> bool:
    return any(_key(grid) not in fields for grid in grids)


def _fields_of(layer: Image) -> Fields:
    """What is kept of a layer, as long as its voxels, their place and its name, which may tell the unit, stay."""
    layer = unwrapped(layer)
    facts, found = facts_of(layer), _KEPT.get(layer)
    if found is None or found[0] is not layer.data or found[1] != facts:
        found = _KEPT[layer] = (layer.data, facts, {})
    return found[2]


def _key(grid: VoxelGrid) -> Any:
    return grid.shape, grid.affine.tobytes()


def _brought(volume: Volume, grids: Sequence[VoxelGrid], fields: Fields) -> Generator[None, None, None]:
    """Add the field on each grid that is missing, or the sentence that says why there is none."""
    for grid in grids:
        if _key(grid) not in fields:
            try:
                fields[_key(grid)] = yield from transmit_field_on(volume, grid)
            except ValueError as error:
                fields[_key(grid)] = str(error)
