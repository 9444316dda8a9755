"""Maps, guides and masks from paths, nibabel images, arrays with an affine, and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

import nibabel as nib
import numpy as np

from napari_swig_qmri.data.inputs import MapFiles, maps_among
from napari_swig_qmri.data.interpretation import as_guide
from napari_swig_qmri.data.labels import coverage_notices, mask_on
from napari_swig_qmri.data.recognition.evidence import Evidence, Kind
from napari_swig_qmri.data.recognition.kinds import find_kind
from napari_swig_qmri.data.recognition.suffixes import MAP_UNITS, QUANTITY_OF_SUFFIX
from napari_swig_qmri.data.recognition.units import with_kind
from napari_swig_qmri.data.storage.files import read_content, read_folder, read_volumes, volume_of
from napari_swig_qmri.data.storage.nifti import NiftiContent, header_text, magnitude, nifti_content, spatial
from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.physics.weighting import weighting_of

if TYPE_CHECKING:
    import numpy.typing as npt


ImageLike: TypeAlias = "str | Path | Volume | nib.spatialimages.SpatialImage | tuple[npt.ArrayLike, npt.ArrayLike]"
MapsLike: TypeAlias = (
    "QuantitativeMaps | MapFiles | Mapping[str, ImageLike] | str | Path | Sequence[str | Path | Volume]"
)
GuideLike: TypeAlias = "WeightedImage | Guide | ImageLike"
MaskLike: TypeAlias = "ImageLike | npt.NDArray[Any]"

TIME_UNITS = ("s", "ms")


@dataclass(frozen=True, eq=False)
class Guide:
    """A weighted image with the sequence that acquired it.

    Parameters
    ----------
    image
        A path, a nibabel image, a pair of an array ``(x, y, z)`` and an affine ``(4, 4)`` to RAS+ mm, or a `Volume`.
    sequence
        The sequence with its settings. By default that of the JSON sidecar of a path or volume.
    name
        Name in messages and results. By default the file name, or the contrast of the sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import Guide, Mprage
    >>> sequence = Mprage(repetition_time=2.3, inversion_time=0.9, echo_time=0.003, flip_angle=0.157)
    >>> Guide((np.ones((8, 8, 8)), np.eye(4)), sequence, name="T1w").name
    'T1w'
    """

    image: ImageLike
    sequence: SignalModel | None = None
    name: str | None = None


def maps_from(maps: MapsLike, units: str | None = None) -> tuple[QuantitativeMaps, tuple[str, ...]]:
    """Quantitative maps and one sentence per assumption about them; arguments and errors as of `map_files_from`."""
    given = map_files_from(maps, units)
    return given.maps, given.notices


def map_files_from(
    maps: MapsLike, units: str | None = None, *, uses_t2star: bool = False, uses_transmit_field: bool = False
) -> MapFiles:
    """Quantitative maps from files, images in memory or arrays, with what was assumed about them.

    Parameters
    ----------
    maps
        `QuantitativeMaps`; images by the name of the map (PD, T1, T2, R1 or R2); a folder; or paths and volumes.
    units
        Unit of T1 and T2 whose unit neither sidecar nor header states, ``"s"`` or ``"ms"``; rates are in 1/s or
        1/ms then. By default it is guessed from the values.
    uses_t2star
        Whether maps of T2* among the files are taken rather than reported as not used.
    uses_transmit_field
        Whether a map of the transmit field among or beside the files is taken rather than reported as not used.

    Raises
    ------
    ValueError
        If a map is missing, given twice, of an unknown name, or in an impossible unit.
    TypeError
        If an object is of an unsupported kind.
    FileNotFoundError
        If a file does not exist.
    """
    if units is not None and units not in TIME_UNITS:
        raise ValueError(f"units is that of T1 and T2, 's' or 'ms', but it is {units!r}.")
    if isinstance(maps, QuantitativeMaps):
        return MapFiles(maps=maps, volumes=(), notices=())
    if isinstance(maps, MapFiles):
        return maps
    paths = [Path(maps)] if isinstance(maps, str | Path) else []
    if isinstance(maps, Mapping):
        volumes = [_map_volume(name, image, units) for name, image in maps.items()]
    elif paths:
        read = read_folder if paths[0].is_dir() else read_volumes
        volumes = read(paths[0], default_unit=units)
    elif isinstance(maps, Sequence):
        volumes = [volume for each in maps for volume in _listed_maps(each, units)]
    else:
        raise TypeError(
            f"maps are given as a dict by name, a folder, a list of files, or QuantitativeMaps, but "
            f"{type(maps).__name__} came: pass for example {{'T1': 't1.nii.gz'}}."
        )
    if not volumes and not paths:
        raise ValueError("no map was given: choose at least one PD, T1 or T2 map.")
    return maps_among(
        volumes, paths or [Path("the list")], uses_t2star=uses_t2star, uses_transmit_field=uses_transmit_field
    )


def _listed_maps(image: str | Path | Volume, units: str | None) -> list[Volume]:
    """Maps of one file or volume in a list."""
    if isinstance(image, Volume):
        return [_in_unit(image, image.suffix, units)]
    if isinstance(image, str | Path):
        return read_volumes(image, default_unit=units)
    raise TypeError(f"a list of maps holds files and volumes, but {type(image).__name__} came: name it in a dict.")


def guides_from(guides: Sequence[GuideLike]) -> tuple[WeightedImage, ...]:
    """Weighted images from files, images in memory, arrays or `Guide`; errors as of `maps_from`."""
    if isinstance(guides, str | Path | Volume | WeightedImage | Guide | nib.spatialimages.SpatialImage):
        raise TypeError(f"guides are given as a list, but one {type(guides).__name__} came: put it into a list.")
    if not isinstance(guides, Sequence):
        raise TypeError(f"guides are given as a list, but {type(guides).__name__} came: pass [] for none.")
    return tuple(_guide(each, number) for number, each in enumerate(guides, start=1))


def mask_from(
    mask: MaskLike | None,
    grid: VoxelGrid,
    maps: QuantitativeMaps,
    owner: str = "the result",
    reference: VoxelGrid | None = None,
) -> tuple[BoolArray | None, tuple[str, ...]]:
    """Mask ``(X, Y, Z)`` on a grid, and notices on its place; None without a mask.

    Parameters
    ----------
    mask
        An image, which its affine brings to the grid, or an array with the shape of the grid or of `reference`.
    grid
        Grid of the result or of reference maps.
    maps
        Maps whose tissue the mask should cover.
    owner
        Name of the image of the grid, for messages.
    reference
        Grid of which the other one is a part.

    Raises
    ------
    ValueError
        If an image lies elsewhere, with the distance in mm, or an array has another shape.
    """
    if mask is None:
        return None, ()
    if isinstance(mask, np.ndarray) and reference is not None and mask.shape == reference.shape != grid.shape:
        mask = Volume(data=np.asarray(mask > 0.5, np.float32), grid=reference, name="mask")
    if isinstance(mask, np.ndarray):
        inside = np.asarray(mask > 0.5)
        if inside.shape != grid.shape:
            raise ValueError(
                f"the mask has the shape {inside.shape}, but {owner} {grid.shape}: pass an image with its affine, or "
                f"resample it to the voxels of {owner}."
            )
        return inside, coverage_notices(inside, grid, maps)
    volume = mask if isinstance(mask, Volume) else volume_from(mask, name="mask", suffix="mask")
    inside, notices = mask_on(volume, grid, owner)
    return inside, (*notices, *coverage_notices(volume.data > 0.5, volume.grid, maps))


def volume_from(
    image: ImageLike, *, name: str = "image", suffix: str | None = None, default_unit: str | None = None
) -> Volume:
    """Volume from a path, a nibabel image, a pair of array and affine, or a volume.

    Parameters
    ----------
    image
        The image; a `Volume` keeps its name.
    name
        Name of an image in memory.
    suffix
        BIDS suffix. By default it is found in file name, sidecar and header.
    default_unit
        Unit of relaxation times that neither sidecar nor header states, ``"s"`` or ``"ms"``.
    """
    if isinstance(image, Volume):
        return image if suffix in (None, image.suffix) else with_kind(image, suffix, default_unit)
    path = Path(image) if isinstance(image, str | Path) else None
    if path is not None:
        content, evidence = read_content(path, default_unit=default_unit)
    else:
        content = _content_in_memory(image, name)
        text = header_text(content.header) if content.header is not None else ""
        evidence = Evidence(stem=name, header_text=text, values=content.data, default_unit=default_unit)
    return volume_of(content, evidence, path, find_kind(evidence) if suffix is None else Kind(suffix=suffix))


def _content_in_memory(image: Any, name: str) -> NiftiContent:
    if isinstance(image, nib.spatialimages.SpatialImage):
        return nifti_content(image, name)
    if isinstance(image, tuple) and len(image) == 2:
        data, affine = (np.asarray(each) for each in image)
        if affine.shape != (4, 4):
            raise ValueError(f"{name} needs a 4 x 4 affine to RAS+ mm beside its array, but it is {affine.shape}.")
        if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
            raise ValueError(f"the affine of {name} is singular or not finite, so that its voxels have no place.")
        data, notices = magnitude(data)
        kind = np.float64 if data.dtype == np.float64 else np.float32
        return NiftiContent(data=spatial(data.astype(kind)), affine=affine.astype(float), header=None, notices=notices)
    raise TypeError(
        f"{name} is given as {type(image).__name__}, but a path, a nibabel image, a pair (array, affine) or a Volume "
        "is needed."
    )


def _map_volume(name: str, image: ImageLike, units: str | None) -> Volume:
    suffix = f"{name}map"
    if suffix not in QUANTITY_OF_SUFFIX:
        raise ValueError(f"maps are named PD, T1, T2, R1 or R2, but {name!r} came: rename it or leave it out.")
    if isinstance(image, Volume):
        return _in_unit(image, suffix, units)
    return volume_from(image, name=name, suffix=suffix, default_unit=units)


def _in_unit(volume: Volume, suffix: str | None, units: str | None) -> Volume:
    """The volume as a map of a kind; a time or rate without a unit is taken in `units`."""
    if volume.unit is not None or suffix not in MAP_UNITS:
        return volume if suffix == volume.suffix else with_kind(volume, suffix)
    of_times = {"s": units, "1/s": units and f"1/{units}"}
    return with_kind(volume, suffix, of_times.get(MAP_UNITS[suffix]))


def _guide(image: GuideLike, number: int) -> WeightedImage:
    if isinstance(image, WeightedImage):
        return image
    given = image if isinstance(image, Guide) else Guide(image)
    if not isinstance(given.sequence, SignalModel | NoneType):
        raise TypeError(
            f"the sequence of guide {number} must be an object such as SpinEcho(echo_time=..., repetition_time=...), "
            f"but it is {given.sequence!r}."
        )
    if isinstance(given.image, WeightedImage):
        guide, notices = given.image, ()
    else:
        volume = volume_from(given.image, name=given.name or weighting_of(given.sequence, f"guide-{number}"))
        guide, notices = as_guide(volume)[0], tuple(f"{volume.name}: {notice}" for notice in volume.notices)
    if given.sequence not in (None, guide.sequence):  # replaces the sequence of the sidecar, and the notices on it
        guide = replace(guide, sequence=given.sequence, notices=notices)
    return replace(guide, name=given.name) if given.name else guide
