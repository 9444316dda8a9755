"""Maps, guides and masks from paths, nibabel images, arrays with an affine, and volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import nibabel as nib
import numpy as np

from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.files import find_images, read_content, volume_of
from napari_swig_qmri.data.inputs import mask_on
from napari_swig_qmri.data.interpretation import QUANTITY_OF_SUFFIX, as_guide, as_maps, is_map, map_notices
from napari_swig_qmri.data.nifti import NiftiContent, header_text, nifti_content, spatial
from napari_swig_qmri.data.units import MAP_UNITS, with_kind
from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume, VoxelGrid, WeightedImage

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.physics.signal_models import SignalModel

ImageLike: TypeAlias = "str | Path | Volume | nib.spatialimages.SpatialImage | tuple[npt.ArrayLike, npt.ArrayLike]"
MapsLike: TypeAlias = "QuantitativeMaps | Mapping[str, ImageLike] | str | Path | Sequence[str | Path | Volume]"
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
    """Quantitative maps from files, images in memory or arrays, and one sentence per assumption about them.

    Parameters
    ----------
    maps
        `QuantitativeMaps`; images by the name of the map (PD, T1, T2, R1 or R2); a folder; or paths and volumes.
    units
        Unit of T1 and T2 whose unit neither sidecar nor header states, ``"s"`` or ``"ms"``; rates are in 1/s or
        1/ms then. By default it is guessed from the values.

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
        return maps, ()
    if isinstance(maps, Mapping):
        volumes = [_map_volume(name, image, units) for name, image in maps.items()]
    elif isinstance(maps, str | Path):
        volumes = [volume for path in _paths(Path(maps)) if is_map(volume := volume_from(path, default_unit=units))]
    elif isinstance(maps, Sequence):
        volumes = [volume_from(each, default_unit=units) for each in maps]
    else:
        raise TypeError(
            f"maps are given as a dict by name, a folder, a list of files, or QuantitativeMaps, but "
            f"{type(maps).__name__} came: pass for example {{'T1': 't1.nii.gz'}}."
        )
    found = as_maps(volumes)
    assumed = (f"{volume.name}: {notice}" for volume in volumes for notice in volume.notices)
    return found, (*assumed, *map_notices(volumes))


def guides_from(guides: Sequence[GuideLike]) -> tuple[WeightedImage, ...]:
    """Weighted images from files, images in memory, arrays or `Guide`; errors as of `maps_from`."""
    if isinstance(guides, str | Path | Volume | WeightedImage | Guide | nib.spatialimages.SpatialImage):
        raise TypeError(f"guides are given as a list, but one {type(guides).__name__} came: put it into a list.")
    return tuple(_guide(each, number) for number, each in enumerate(guides, start=1))


def mask_from(mask: MaskLike | None, grid: VoxelGrid) -> BoolArray | None:
    """Mask ``(X, Y, Z)`` on the HR grid from an image, or from an array that has its shape; None stays None.

    Raises
    ------
    ValueError
        If an image does not have the voxels of the grid.
    """
    if mask is None:
        return None
    if isinstance(mask, np.ndarray):
        return np.asarray(mask > 0.5)
    return mask_on(volume_from(mask, name="mask"), grid, "the result")


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
    return volume_of(content, evidence, path, find_suffix(evidence) if suffix is None else (suffix, ()))


def _content_in_memory(image: Any, name: str) -> NiftiContent:
    if isinstance(image, nib.spatialimages.SpatialImage):
        return nifti_content(image, name)
    if isinstance(image, tuple) and len(image) == 2:
        data, affine = (np.asarray(each) for each in image)
        if affine.shape != (4, 4):
            raise ValueError(f"{name} needs a 4 x 4 affine to RAS+ mm beside its array, but it is {affine.shape}.")
        kind = np.float64 if data.dtype == np.float64 else np.float32
        return NiftiContent(data=spatial(data.astype(kind)), affine=affine.astype(float), header=None)
    raise TypeError(
        f"{name} is given as {type(image).__name__}, but a path, a nibabel image, a pair (array, affine) or a Volume "
        "is needed."
    )


def _map_volume(name: str, image: ImageLike, units: str | None) -> Volume:
    suffix = f"{name}map"
    if suffix not in QUANTITY_OF_SUFFIX:
        raise ValueError(f"maps are named PD, T1, T2, R1 or R2, but {name!r} came: rename it or leave it out.")
    volume = volume_from(image, name=name, suffix=suffix, default_unit=units)
    if volume.unit is None:  # a `Volume` made without a unit
        return with_kind(volume, suffix, units if MAP_UNITS[suffix] == "s" else None)
    return volume


def _guide(image: GuideLike, number: int) -> WeightedImage:
    if isinstance(image, WeightedImage):
        return image
    given = image if isinstance(image, Guide) else Guide(image)
    if isinstance(given.image, WeightedImage):
        return replace(given.image, **_told(sequence=given.sequence, name=given.name))
    kind = type(given.sequence).__name__ if given.sequence is not None else "guide"
    volume = volume_from(given.image, name=given.name or f"{kind} {number}")
    guide, _ = as_guide(volume)
    if given.sequence is not None:  # replaces the sequence of the sidecar, and the notices on it
        notices = tuple(f"{volume.name}: {notice}" for notice in volume.notices)
        guide = replace(guide, sequence=given.sequence, notices=notices)
    return replace(guide, name=given.name) if given.name else guide


def _told(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _paths(path: Path) -> list[Path]:
    return find_images(path)[0] if path.is_dir() else [path]
