"""B1+ of layers on the grids of other layers, resampled once per grid and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_swig_qmri._napari.parts.appearance import unwrapped
from napari_swig_qmri._napari.parts.layer_choice import T2STAR, LayerFacts
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, file_name, maps_of, volume_of
from napari_swig_qmri.data.interpretation import moved_to, quantity_values
from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from napari.layers import Image

    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid

    Fields = dict[Any, FloatArray | str]  # by `grid_key`; a sentence if resampling was impossible

_CACHE: WeakKeyDictionary[Image, tuple[Any, LayerFacts, Fields]] = WeakKeyDictionary()  # data, facts, fields


def transmit_field_of(layer: Image | None, grid: VoxelGrid) -> FloatArray | None:
    """B1+ of a layer relative to the nominal field, on a grid; None without a layer.

    Raises
    ------
    ValueError
        If the layer is no map of B1+, or does not overlap with the grid.
    """
    if layer is None:
        return None
    fields = fields_of(layer)
    if grid_key(grid) not in fields:
        drained(resample_fields(as_transmit_map(volume_of(layer)), [grid], fields))
    field = fields[grid_key(grid)]
    if isinstance(field, str):
        raise ValueError(field)
    return field


def transmit_notices(layer: Image | None) -> tuple[str, ...]:
    """Assumptions about a layer of B1+, one sentence each; ValueError if it is no map of B1+."""
    return () if layer is None else as_transmit_map(volume_of(layer)).notices


def contrast_maps_of(layers: Mapping[str, Image], transmit_map: Image | None = None) -> ContrastMaps:
    """Maps of layers of PD, T1, T2 and T2* on one grid, with B1+ of another layer resampled to it."""
    maps = maps_of(layers)
    t2star = quantity_values(moved_to(volume_of(layers[T2STAR]), maps.grid)) if T2STAR in layers else None
    return ContrastMaps(
        maps=maps,
        t2star=t2star,
        transmit_field=transmit_field_of(transmit_map, maps.grid),
        transmit_map=file_name(transmit_map),
    )


def lacks_field(fields: Fields, grids: Sequence[VoxelGrid]) -> bool:
    """Whether the field is still missing on one of the grids."""
    return any(grid_key(grid) not in fields for grid in grids)


def fields_of(layer: Image) -> Fields:
    """Fields kept for a layer. They are dropped when its data, transform or name change: the name may hold the unit."""
    layer = unwrapped(layer)
    facts, entry = facts_of(layer), _CACHE.get(layer)
    if entry is None or entry[0] is not layer.data or entry[1] != facts:
        entry = _CACHE[layer] = (layer.data, facts, {})
    return entry[2]


def grid_key(grid: VoxelGrid) -> Any:
    """Hashable value that is equal for equal grids."""
    return grid.shape, grid.affine.tobytes()


def resample_fields(volume: Volume, grids: Sequence[VoxelGrid], fields: Fields) -> Generator[None, None, None]:
    """Add the field, or the reason why it is impossible, for each grid that has none; yields between steps."""
    for grid in grids:
        if grid_key(grid) not in fields:
            try:
                fields[grid_key(grid)] = yield from transmit_field_on(volume, grid)
            except ValueError as error:
                fields[grid_key(grid)] = str(error)
