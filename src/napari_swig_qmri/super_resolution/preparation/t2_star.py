"""T2* maps of a run: measured in the place of T2, or only the decay of gradient echoes where T2 has its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_swig_qmri.data.gaps import filled
from napari_swig_qmri.data.inputs import MapFiles
from napari_swig_qmri.data.interpretation import as_maps, map_notices, quantity_values
from napari_swig_qmri.data.labels import check_place
from napari_swig_qmri.data.resampling import resampled
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.quantities import T2
from napari_swig_qmri.progress import drained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.data.volumes import WeightedImage

LEAST = 0.015  # s, shortest T2* that guides are corrected by; only air and bone have less
SEE_NOTHING = "no guide depends on T2"
SEE_T2_STAR = "the guides that depend on T2 or T2* are gradient echoes"


def with_t2_star(files: MapFiles, guides: Sequence[WeightedImage]) -> tuple[MapFiles, tuple[WeightedImage, ...]]:
    """Maps and guides of a run with its T2* map, if there is one; notices of the maps say what it is used for.

    Without a T2 map and a guide that decays with T2, T2* is a measured map in the place of T2. Otherwise T2 keeps its
    place, and gradient echoes are brought to echo time 0 by the T2* map at its own resolution, after which no T2 is
    left in them. Without gradient echoes T2* is left out.

    Raises ValueError if the T2* map lies elsewhere, has no value above 0 or is in a wrong unit.
    """
    if not files.t2star:
        return files, tuple(guides)
    used, *others = files.t2star
    told = [*files.notices, *(f"{used.name}: {notice}" for notice in used.notices)]
    told += [f"{each.name}: left out, because {used.name} is used as T2*." for each in others]
    star = _as_times(used)
    in_use = {name for guide in guides if guide.sequence for name in guide.sequence.maps_in_use}
    if "T2" not in in_use and "T2" not in files.maps.names:
        why = SEE_T2_STAR if "T2*" in in_use else SEE_NOTHING
        volumes = (*files.volumes, star)
        told += [notice for notice in map_notices(volumes) if notice not in told]
        told.append(f"{used.name}: {why}, so that T2* is super-resolved in the place of T2.")
        maps = replace(as_maps(volumes), is_t2_star=True)
        return MapFiles(maps=maps, volumes=files.volumes, notices=tuple(told), transmit_map=files.transmit_map), tuple(
            guides
        )
    echoes = [guide for guide in guides if _decays_with_t2_star(guide)]
    if echoes:
        told.append(
            f"{used.name}: {joined(guide.name for guide in echoes)} were brought to echo time 0 with this T2*, at its "
            "own resolution, because T2 has its place among the maps; T2* is not super-resolved."
        )
    else:
        told.append(f"{used.name}: left out, because no guide decays with T2*: spin echoes decay with T2.")
    images = tuple(_at_echo_time_0(guide, star) for guide in guides)
    return replace(files, notices=tuple(told), t2star=()), images


def _as_times(volume: Volume) -> Volume:
    """T2* or R2* map as times in s within the bounds of T2, under its own name; NaN where it is not above 0."""
    times = quantity_values(volume)
    if not (times > 0).any():
        raise ValueError(f"{volume.source!r} holds no T2* above 0: choose another map, or leave it out.")
    data = np.where(times > 0, np.clip(times, *T2.bounds), np.nan)
    return replace(volume, data=data, suffix=T2.suffix, unit=T2.unit, notices=())


def _decays_with_t2_star(guide: WeightedImage) -> bool:
    return guide.sequence is not None and "T2*" in guide.sequence.maps_in_use and guide.sequence.echo_time > 0


def _at_echo_time_0(guide: WeightedImage, star: Volume) -> WeightedImage:
    """Gradient echo times exp(TE/T2*), which has the signal of the same sequence with TE 0; other guides as they are.

    Rates are interpolated. Voxels of the guide without T2* take the nearest value.
    """
    if guide.sequence is None or not _decays_with_t2_star(guide):
        return guide
    check_place(f"the T2* map {star.source!r}", star.grid, guide.grid, guide.name)
    seen = np.isfinite(star.data)
    rates = filled(np.where(seen, 1 / star.data, 0), ~seen, seen, star.grid.voxel_size)
    rates, inside = drained(resampled(rates, np.ones_like(seen), star.grid, guide.grid))
    rates = filled(rates, ~inside, inside, guide.grid.voxel_size).clip(0, 1 / LEAST)
    data = (guide.data * np.exp(guide.sequence.echo_time * rates)).astype(guide.data.dtype)
    return replace(guide, data=data, sequence=replace(guide.sequence, echo_time=0.0))
