"""Layers of B1+ on the voxels of other layers: each is brought there once, in the background where there is time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.layer_choice import T2STAR
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, file_name, maps_of, volume_of
from napari_swig_qmri.data.interpretation import quantity_values
from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from napari.layers import Image

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
    fields = fields_of(layer)
    if grid_key(grid) not in fields:
        drained(bring_fields(as_transmit_map(volume_of(layer)), [grid], fields))
    found = fields[grid_key(grid)]
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


def lacks_field(fields: Fields, grids: Sequence[VoxelGrid]) -> bool:
    return any(grid_key(grid) not in fields for grid in grids)


def fields_of(layer: Image) -> Fields:
    """What is kept of a layer, as long as its voxels, their place and its name, which may tell the unit, stay."""
    layer = unwrapped(layer)
    facts, found = facts_of(layer), _KEPT.get(layer)
    if found is None or found[0] is not layer.data or found[1] != facts:
        found = _KEPT[layer] = (layer.data, facts, {})
    return found[2]


def grid_key(grid: VoxelGrid) -> Any:
    return grid.shape, grid.affine.tobytes()


def bring_fields(volume: Volume, grids: Sequence[VoxelGrid], fields: Fields) -> Generator[None, None, None]:
    """Add the field on each grid that is missing, or the sentence that says why there is none."""
    for grid in grids:
        if grid_key(grid) not in fields:
            try:
                fields[grid_key(grid)] = yield from transmit_field_on(volume, grid)
            except ValueError as error:
                fields[grid_key(grid)] = str(error)
