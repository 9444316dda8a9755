"""Maps of the transmit field (B1+): check of their values, and resampling to the grid of other maps."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_swig_qmri.data.gaps import filled
from napari_swig_qmri.data.labels import check_place
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.units import LIKELY_FIELDS, find_unit, in_file_unit, is_in_degrees, with_kind
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid
from napari_swig_qmri.physics.transmit_field import FIELD_LIMITS

SUFFIX = "TB1map"


def as_transmit_map(volume: Volume) -> Volume:
    """Return a volume as B1+ map in fractions of the nominal field; assumptions are added to its notices.

    Without a unit, a median of 70 to 130 is taken as percent; angles in degrees of that size are not recognised.
    Raises ValueError if the volume has more than three axes, holds angles in degrees, or has implausible values.
    """
    if volume.data.ndim != 3:
        raise ValueError(
            f"{volume.source!r} has the shape {volume.data.shape}, but a B1+ map has three axes: save one volume of it."
        )
    if volume.suffix != SUFFIX:
        evidence = Evidence(stem=volume.name, sidecar=volume.sidecar, values=in_file_unit(volume))
        unit, notices = find_unit(SUFFIX, evidence)
        volume = replace(with_kind(volume, SUFFIX, unit), notices=(*volume.notices, *notices))
    if is_in_degrees(volume.sidecar) or not LIKELY_FIELDS[0] < _median(volume.data) < LIKELY_FIELDS[1]:
        raise ValueError(_refusal(volume))
    return volume


def transmit_field_on(volume: Volume, grid: VoxelGrid) -> Generator[None, None, FloatArray]:
    """B1+ ``(x, y, z)`` on a grid as a fraction of the nominal field, within `FIELD_LIMITS`.

    Interpolates by cubic splines, after smoothing if the voxels of the map are finer. Voxels that are zero, not finite
    or beyond the field of view take the nearest value. Yields between steps of the work. `volume` is a result of
    `as_transmit_map`. Raises ValueError with the distance in mm if map and grid do not overlap.
    """
    check_place(f"the B1+ map {volume.source!r}", volume.grid, grid, "the maps")
    seen = np.isfinite(volume.data) & (volume.data > 0)
    field = filled(np.where(seen, volume.data, 0), ~seen, seen, volume.grid.voxel_size)
    field, inside = yield from resampled(field, np.ones_like(seen), volume.grid, grid)
    if not inside.any():  # a corner of the map touches the grid between its voxel centres
        raise ValueError(f"the B1+ map {volume.source!r} covers no voxel of the maps: choose one of the same place.")
    field = filled(field, ~inside, inside, grid.voxel_size)
    bounded: FloatArray = np.clip(field, *FIELD_LIMITS).astype(np.float32)
    return bounded


def _refusal(volume: Volume) -> str:
    """Message on why a volume is not a B1+ map, with a remedy."""
    is_angle = is_in_degrees(volume.sidecar)
    median = f"{_median(in_file_unit(volume)):.3g}{' degrees' if is_angle else ''}"
    has_unit = is_angle or volume.file_unit == "percent"
    return (
        f"{volume.source!r} has a median of {median}, but a B1+ map is a fraction of the nominal flip angle (near 1) "
        "or percent of it (near 100): divide angles in degrees by the nominal one"
        + ("." if has_unit else ', or put "Units": "percent" into the sidecar if it is percent.')
    )


def _median(values: FloatArray) -> float:
    positive = values[np.isfinite(values) & (values > 0)]
    return float(np.median(positive)) if positive.size else 0.0
