"""A measured map of the transmit field (B1+), on the voxels of the maps that it goes with."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.gaps import filled
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.units import LIKELY_FIELDS, find_unit, in_file_unit, is_in_degrees, with_kind

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid

SUFFIX = "TB1map"

FIELD_LIMITS = (0.1, 2.0)  # of the transmit field; what a map has beyond is taken as the limit


def as_transmit_map(volume: Volume) -> Volume:
    """The volume as a map of B1+ in fractions of the nominal one, with what was assumed in its notices.

    Without a unit, medians of 70 to 130 are percent, among them those of angles in degrees. ValueError with one
    sentence where it is none: angles in degrees, several volumes, or values of another kind.
    """
    if volume.data.ndim != 3:
        raise ValueError(
            f"{volume.name!r} has the shape {volume.data.shape}, but a B1+ map has three axes: save one volume of it."
        )
    if volume.suffix != SUFFIX:
        evidence = Evidence(stem=volume.name, sidecar=volume.sidecar, values=in_file_unit(volume))
        unit, told = find_unit(SUFFIX, evidence)
        volume = replace(with_kind(volume, SUFFIX, unit), notices=(*volume.notices, *told))
    if is_in_degrees(volume.sidecar) or not LIKELY_FIELDS[0] < _median(volume.data) < LIKELY_FIELDS[1]:
        raise ValueError(_refusal(volume))
    return volume


def transmit_field_on(volume: Volume, grid: VoxelGrid) -> Generator[None, None, FloatArray]:
    """B1+ ``(x, y, z)`` as a fraction of the nominal one on a grid, everywhere between `FIELD_LIMITS`.

    `volume` is one of `as_transmit_map`. It is interpolated by cubic splines, and smoothed first where its voxels are
    finer. Where it holds nothing (zero, not finite, or beyond its field of view) the nearest value goes on.
    """
    seen = np.isfinite(volume.data) & (volume.data > 0)
    field = filled(np.where(seen, volume.data, 0), ~seen, seen, volume.grid.voxel_size)
    field, inside = yield from resampled(field, np.ones_like(seen), volume.grid, grid)
    if not inside.any():
        raise ValueError(
            f"the B1+ map {volume.name!r} and the maps do not overlap: choose one of the same subject and session."
        )
    field = filled(field, ~inside, inside, grid.voxel_size)
    bounded: FloatArray = np.clip(field, *FIELD_LIMITS).astype(np.float32)
    return bounded


def _refusal(volume: Volume) -> str:
    """Why a volume is no map of B1+, and what to do."""
    is_angle = is_in_degrees(volume.sidecar)
    median = f"{_median(in_file_unit(volume)):.3g}{' degrees' if is_angle else ''}"
    told = is_angle or volume.file_unit == "percent"
    return (
        f"{volume.name!r} has a median of {median}, but a B1+ map is a fraction of the nominal flip angle (near 1) or "
        "percent of it (near 100): divide angles in degrees by the nominal one"
        + ("." if told else ', and where it is percent, put "Units": "percent" into its sidecar.')
    )


def _median(values: FloatArray) -> float:
    positive = values[np.isfinite(values) & (values > 0)]
    return float(np.median(positive)) if positive.size else 0.0
