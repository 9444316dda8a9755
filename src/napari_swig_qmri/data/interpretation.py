"""Interpretation of volumes as quantitative maps and guides, and maps and guides as volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_swig_qmri.data.labels import check_place
from napari_swig_qmri.data.recognition.acquisition import is_enhanced, part_of
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.protocols import common_protocol, protocol_of
from napari_swig_qmri.data.recognition.sidecars import from_sidecar, to_sidecar
from napari_swig_qmri.data.recognition.suffixes import QUANTITY_OF_SUFFIX, SUFFIX_KEY
from napari_swig_qmri.data.recognition.tissue import is_fill, median, tissue_values
from napari_swig_qmri.data.resampling import mostly_seen, on_grid, resampled
from napari_swig_qmri.data.storage.image_files import split_extension
from napari_swig_qmri.data.storage.nifti import header_text
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import Mp2rageUni, SignalModel
from napari_swig_qmri.physics.weighting import UNIFORM
from napari_swig_qmri.progress import drained

T2STAR_SUFFIXES = ("T2starmap", "R2starmap")

_PERCENT = (60, 160)  # ratios of the medians of two PD maps, of which one is in percent and one a fraction
_LARGEST_OF_MAP, _LARGEST_OF_GUIDE = 100.0, 1000.0  # medians of tissue; higher values stand for none
_LARGEST_CUBE, _LONGEST_CUBE = 2.0, 1.6  # mm and ratio of edges; voxels of 3D acquisitions are smaller and more even
AGENT_WARNING = (
    "Acquired after a contrast agent, which shortens T1: use it only if the maps were acquired after it too; "
    "otherwise leave it out."
)
UNI_STEPS = 4095  # scanners store MP2RAGE UNI, -1/2 to 1/2, as 0 to UNI_STEPS
UNI_SLACK = 0.02  # fraction of the largest value by which interpolation may overshoot at either end
UNI_SHIFTED = 0.51  # a UNI image without negative values whose largest value is at least this is shifted by 1/2


def is_map(volume: Volume) -> bool:
    """Whether a volume is a map of PD, T1 or T2, or of the rate R1 or R2."""
    return volume.suffix in QUANTITY_OF_SUFFIX


def as_maps(volumes: Sequence[Volume]) -> QuantitativeMaps:
    """Combine volumes to maps of PD, T1 and T2, or some of them, on one grid.

    Rates are converted to times, and PD keeps its scale. Maps that are not on the grid of the majority are brought to
    it (`map_notices` says how): those that differ in storage order or by whole voxels keep their values, others are
    interpolated by quintic splines. Voxels that are not finite, hold a fill value (-9999, 1e30) or lie beyond the field
    of view become NaN.

    Parameters
    ----------
    volumes
        One map ``(x, y, z)`` per quantity, as returned by `read_volume`.

    Raises
    ------
    ValueError
        If there is no map, more than one per quantity, another kind of image, or T1 or T2 in a wrong unit.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid, as_maps
    >>> grid = VoxelGrid((4, 4, 2), np.eye(4))
    >>> rates = Volume(data=np.full((4, 4, 2), 1.25), grid=grid, name="R1", suffix="R1map", unit="1/s")
    >>> round(float(as_maps([rates])["T1"].max()), 3)
    0.8
    """
    if not volumes:
        raise ValueError("no map was given: choose at least one PD, T1 or T2 map.")
    by_quantity = {quantity_of(volume): volume for volume in volumes}
    if len(by_quantity) < len(volumes):
        listed = ", ".join(f"{str(volume.path or volume.name)!r} ({quantity_of(volume)})" for volume in volumes)
        raise ValueError(f"one map per quantity is needed, but there are {listed}: leave one of each kind.")
    names = tuple(name for name in QUANTITIES if name in by_quantity)
    grid = _common_grid(volumes)
    data = np.stack([quantity_values(moved_to(_without_fill(by_quantity[name])[0], grid)) for name in names])
    protocol = common_protocol(protocol_of(_evidence(volume)) for volume in volumes)
    maps = QuantitativeMaps(data=data, grid=grid, names=names, protocol=protocol)
    check_times(maps, {name: volume.name for name, volume in by_quantity.items()})
    return maps


def check_times(maps: QuantitativeMaps, called: Mapping[str, str] | None = None) -> None:
    """Raise ValueError if T1 or T2 lie outside their bounds in `QUANTITIES`, usually because of a wrong unit.

    `called` are the names of the images by quantity, for the message.
    """
    for name in maps.names:
        low, high = QUANTITIES[name].bounds
        everywhere = maps[name][np.isfinite(maps[name]) & (maps[name] > 0)]
        if name == "PD" or not everywhere.size:
            continue
        ranges = [
            np.percentile(sample, (50, 99))
            for sample in (tissue_values(maps[name]), everywhere[:: max(1, everywhere.size // 1_000_000)])
        ]
        middle_of_head = ranges[0][0]
        if all(middle > high or top < low for middle, top in ranges):  # of the head, and of head and air
            image = f" {called[name]!r}" if called else ""
            raise ValueError(
                f"{name}{image} has a median of {middle_of_head:.3g} s, but {name} lies between {low:g} and "
                f'{high:g} s; its unit is wrong: correct "Units" in its sidecar, or give the right one with `units`.'
            )


def with_pd_scale_of(maps: QuantitativeMaps, reference: QuantitativeMaps) -> tuple[QuantitativeMaps, tuple[str, ...]]:
    """Maps whose PD is in percent where that of the reference is a fraction, or the reverse, with PD on its scale.

    Returns the maps and one sentence on the change, if any. Arbitrary scales differ by other factors and are kept.
    """
    if "PD" not in maps.names or "PD" not in reference.names:
        return maps, ()
    sizes = [median(each["PD"]) for each in (maps, reference)]
    ratio = sizes[0] / sizes[1] if sizes[0] and sizes[1] else 1.0
    low, high = _PERCENT
    factor = 0.01 if low < ratio < high else 100.0
    if factor == 100 and not low < 1 / ratio < high:
        return maps, ()
    data = maps.data.copy()
    data[maps.names.index("PD")] *= factor
    units = ("percent", "a fraction") if factor < 1 else ("a fraction", "percent")
    told = f"PD is {units[0]} in the maps and {units[1]} in the reference, by the size of the values"
    notice = f"{told}: that of the maps was multiplied by {factor:g}."
    return replace(maps, data=data), (notice,)


def quantity_values(volume: Volume) -> FloatArray:
    """Values ``(x, y, z)`` of a map as float32 in the unit of its quantity: rates as times, NaN where not finite."""
    values = volume.data
    if volume.unit == "1/s":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / values
    return np.where(np.isfinite(values), values, np.nan).astype(np.float32, copy=False)


def map_notices(volumes: Sequence[Volume]) -> tuple[str, ...]:
    """Notices on maps that were estimated, not measured, and on what `as_maps` changes; one sentence each."""
    grid = _common_grid(volumes)
    notices = [
        f"{volume.name} was not measured but estimated, as its sidecar says; it is used like a measured map."
        for volume in volumes
        if volume.sidecar.get("Measured") is False
    ]
    for volume in volumes:
        notices += [f"{volume.name}: {told}" for told in _without_fill(volume)[1]]
        if volume.grid.is_aligned_with(grid):
            continue
        if volume.grid.has_voxels_of(grid):
            how = "its voxels were put into the order and field of view of the other maps; their values are unchanged."
        else:
            how = "interpolated onto the voxels of the other maps."
        notices.append(f"{volume.name}: {how}")
    return tuple(notices)


def _without_fill(volume: Volume, largest: float = _LARGEST_OF_MAP) -> tuple[Volume, tuple[str, ...]]:
    """Volume with NaN in place of numbers that stand for no value, and a sentence on them, if any."""
    fill = is_fill(volume.data, largest)
    n = int(fill.sum())
    if not n:
        return volume, ()
    example = float(volume.data[fill].flat[0])
    told = f"Values such as {example:g}, far from those of tissue, count as not measured ({n} of its voxels)."
    return replace(volume, data=np.where(fill, np.nan, volume.data)), (told,)


def as_guide(volume: Volume) -> tuple[WeightedImage, tuple[str, ...]]:
    """Interpret a volume as a weighted image with the sequence in its sidecar.

    Parameters
    ----------
    volume
        Image ``(x, y, z)``; the first volume of a series is used.

    Returns
    -------
    image
        Weighted image in the units of the file. Its notices start with its name and include those of the file.
    notices
        Assumptions about the sequence, one sentence each.

    Raises
    ------
    ValueError
        If the volume is a map, or the phase, real or imaginary part of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Volume, VoxelGrid, as_guide
    >>> sidecar = {"ScanningSequence": "SE", "EchoTime": 0.012, "RepetitionTime": 0.6}
    >>> grid = VoxelGrid((4, 4, 2), np.eye(4))
    >>> guide, notices = as_guide(Volume(data=np.ones((4, 4, 2)), grid=grid, name="T1w", suffix="T1w", sidecar=sidecar))
    >>> guide.sequence.title, notices
    ('Spin echo', ())
    """
    if is_map(volume):
        raise ValueError(f"{volume.source!r} is a {volume.suffix}, but a guide is a weighted image: choose another.")
    part = None if SUFFIX_KEY in volume.sidecar else part_of(_stem(volume), _evidence(volume))
    if part:
        raise ValueError(
            f"{volume.source!r} is the {part} of an image by its name or image type, which cannot be a guide: choose "
            f'the magnitude, or put "{SUFFIX_KEY}": "T1w" (or another kind) into its sidecar if it is one.'
        )
    volume, about_fill = _without_fill(volume, _LARGEST_OF_GUIDE)
    sequence, notices = sequence_of_volume(volume)
    notices, data = (*about_fill, *notices), volume.data
    if data.ndim > 3:
        notices = (*notices, f"{volume.source!r} has {data[0, 0, 0].size} volumes: the first is used.")
        data = data.reshape(*data.shape[:3], -1)[..., 0]
    named = tuple(f"{volume.name}: {notice}" for notice in (*volume.notices, *notices))
    return WeightedImage(data=data, grid=volume.grid, name=volume.name, sequence=sequence, notices=named), notices


def sequence_of_volume(volume: Volume) -> tuple[SignalModel | None, tuple[str, ...]]:
    """Sequence of a weighted image by its sidecar, header, name and voxels, and one sentence per assumption.

    None if it is unknown. A sentence warns of images that were acquired after a contrast agent.
    """
    kind = volume.suffix or find_suffix(_evidence(volume))[0]
    text = header_text(volume.header) if volume.header is not None else ""
    sequence, notices = from_sidecar(volume.sidecar, kind, _stem(volume), text, is_3d=_is_3d(volume.grid))
    return sequence, (*notices, *([AGENT_WARNING] if is_contrast_enhanced(volume) else []))


def is_contrast_enhanced(volume: Volume) -> bool:
    """Whether an image was acquired after a contrast agent, by its name or sidecar."""
    return is_enhanced(_stem(volume), _evidence(volume))


def _stem(volume: Volume) -> str:
    """Name of the file of a volume without extension; without a file, its own name."""
    return split_extension(volume.path)[0] if volume.path is not None else volume.name


def _evidence(volume: Volume) -> Evidence:
    return Evidence(stem=_stem(volume), path=volume.path, sidecar=volume.sidecar)


def _is_3d(grid: VoxelGrid) -> bool:
    """Whether voxels are nearly cubes of at most 2 mm, as those of 3D acquisitions are."""
    smallest, largest = min(grid.voxel_size), max(grid.voxel_size)
    return largest <= _LARGEST_CUBE and largest <= _LONGEST_CUBE * smallest


def quantity_of(volume: Volume) -> str:
    """Quantity of a map, a key of `QUANTITIES`; ValueError for other images."""
    if volume.suffix not in QUANTITY_OF_SUFFIX:
        raise ValueError(
            f"{volume.source!r} is a {volume.suffix or 'image of unknown kind'}, but a PD, T1 or T2 map is "
            "needed: choose another image or set its kind."
        )
    return QUANTITY_OF_SUFFIX[volume.suffix]


def map_volumes(maps: QuantitativeMaps, label: str, sidecar: Mapping[str, Any] | None = None) -> list[Volume]:
    """One volume per map, named by quantity and `label`, such as ``T1 SR``."""
    return [
        Volume(
            data=maps[name],
            grid=maps.grid,
            name=f"{title} {label}",
            suffix=T2STAR_SUFFIXES[0] if title == "T2*" else QUANTITIES[name].suffix,
            unit=QUANTITIES[name].unit,
            sidecar=sidecar or {},
        )
        for name, title in zip(maps.names, maps.titles, strict=True)
    ]


def guide_volume(guide: WeightedImage, sidecar: Mapping[str, Any]) -> Volume:
    """A guide as a volume with its name as suffix; its sidecar holds the settings of the sequence and `sidecar`."""
    settings = to_sidecar(guide.sequence) if guide.sequence else {}
    return Volume(data=guide.data, grid=guide.grid, name=guide.name, suffix=guide.name, sidecar={**settings, **sidecar})


def _common_grid(volumes: Sequence[Volume]) -> VoxelGrid:
    """Grid of most volumes, the earliest one in a tie; ValueError if a volume has more than three axes."""
    for volume in volumes:
        if volume.data.ndim != 3:
            raise ValueError(
                f"{volume.source!r} has the shape {volume.data.shape}, but a map has three axes: save one volume of it."
            )
    grids = [volume.grid for volume in volumes]
    votes = [sum(one.is_aligned_with(other) for other in grids) for one in grids]
    return grids[votes.index(max(votes))]


def uniform_image(data: FloatArray, seen: BoolArray, name: str, notices: list[str]) -> FloatArray:
    """Scale an MP2RAGE UNI image to the range -1/2 to 1/2 of its signal equation.

    Scanners store it as -1/2 to 1/2, 0 to 1, or 0 to 4095, which the range of the values reveals. Source: Marques'
    scripts (github.com/JosePMarques/MP2RAGE-related-scripts, T1estimateMP2RAGE.m and RobustCombination.m).

    Parameters
    ----------
    data, seen
        Image and mask of its measured voxels, ``(x, y, z)``; other voxels become 0 where the image is rescaled.
    name
        Name for messages.
    notices
        List to which a sentence is appended if the image is rescaled.

    Raises
    ------
    ValueError
        If the values fit none of the three ranges.
    """
    low, high = float(data[seen].min()), float(data[seen].max())
    if low >= 0 and UNI_SHIFTED <= high <= 1:
        notices.append(f"{name} is stored as 0 to 1 and was brought to -0.5 to 0.5.")
        return np.where(seen, data - 0.5, 0).astype(np.float32)
    if max(-low, high) <= 1:
        return data
    if low < -UNI_SLACK * high or high > (1 + UNI_SLACK) * UNI_STEPS:
        raise ValueError(
            f"{name} is an MP2RAGE UNI image, stored as -0.5 to 0.5 or as 0 to {UNI_STEPS}, but its values go from "
            f"{low:.4g} to {high:.4g}: bring it to one of the two, or choose another image."
        )
    notices.append(f"{name} is stored as 0 to {UNI_STEPS} and was brought to -0.5 to 0.5.")
    return np.where(seen, data / UNI_STEPS - 0.5, 0).astype(np.float32)


def as_signal(acquired: Volume) -> tuple[Volume, tuple[str, ...]]:
    """Scale an acquired MP2RAGE UNI image to -1/2 to 1/2; other images are returned unchanged.

    Returns the image and one sentence on the change, if any. Raises ValueError as `uniform_image` does.
    """
    if not is_uniform_image(acquired) or not np.isfinite(acquired.data).any():
        return acquired, ()
    data = np.asarray(acquired.data, np.float32)
    notices: list[str] = []
    data = uniform_image(data, np.isfinite(data), acquired.name, notices)
    return replace(acquired, data=data), tuple(notices)


def is_uniform_image(acquired: Volume) -> bool:
    """Whether an image is the uniform (UNI) image of an MP2RAGE scan, by suffix, name or sidecar."""
    kind = acquired.suffix or find_suffix(_evidence(acquired))[0]
    return kind == UNIFORM or isinstance(from_sidecar(acquired.sidecar, kind)[0], Mp2rageUni)


def moved_to(volume: Volume, grid: VoxelGrid) -> Volume:
    """Volume on another grid, NaN beyond its field of view; interpolated only if the voxels do not coincide.

    Raises ValueError with the distance in mm if the two do not overlap.
    """
    if volume.grid.is_aligned_with(grid):
        return volume
    check_place(volume.name, volume.grid, grid, "the other maps")
    if volume.grid.has_voxels_of(grid):
        data = on_grid(volume.data, volume.grid, grid, order=0, mode="grid-constant")
        return replace(volume, data=data, grid=grid)
    finite = np.isfinite(volume.data)
    data, seen = drained(resampled(volume.data, finite & (volume.data != 0), volume.grid, grid))
    background = np.where(drained(mostly_seen(finite, volume.grid, grid)), 0, np.nan)
    return replace(volume, data=np.where(seen, data, background), grid=grid)
