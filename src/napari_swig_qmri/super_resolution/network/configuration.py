"""Configurations of runs: TOML files that become frozen dataclasses, and the heads that they name."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import nibabel as nib
import numpy as np
from pydantic import TypeAdapter, ValidationError

from napari_swig_qmri.data.files import read_volume
from napari_swig_qmri.data.inputs import read_maps
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.simulation.label_maps import SCHEMES, anatomy_of
from napari_swig_qmri.simulation.phantom import make_phantom

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import QuantitativeMaps
    from napari_swig_qmri.simulation.label_maps import Anatomy

Config = TypeVar("Config")

MAPS = "maps"  # scheme of a user's own HR maps
PHANTOM = "phantom"  # scheme of the procedural head
PHANTOM_VOXEL = 1.0  # mm, of its labels


@dataclass(frozen=True, kw_only=True)
class Anatomies:
    """Heads that subjects are made of."""

    files: tuple[str, ...]  # label maps; folders of HR maps for `MAPS`; for the phantom numbers, one head each
    scheme: str  # what the numbers of label maps mean, a key of `SCHEMES`, or `MAPS`

    def __post_init__(self) -> None:
        if self.scheme not in (*SCHEMES, MAPS):
            schemes = ", ".join((*SCHEMES, MAPS))
            raise ValueError(f"the scheme must be one of {schemes}, but it is {self.scheme!r}.")
        if self.scheme == PHANTOM and not all(Path(file).name.isdecimal() for file in self.files):
            raise ValueError(f"heads of the phantom are numbers, but there is {', '.join(self.files)}.")


def parsed(path: Path, kind: type[Config], purpose: str) -> Config:
    """Settings of a TOML file as a dataclass of `kind`; `purpose` is what they are for, in a refusal.

    Raises
    ------
    ValueError
        If an entry is missing, unknown or of the wrong kind.
    """
    try:
        return TypeAdapter(kind).validate_python(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ValueError(f"{path} is no {purpose} configuration: {_first_problem(error)}.") from None


def placed(anatomies: Iterable[Anatomies], folder: Path) -> tuple[Anatomies, ...]:
    """The same with paths that start from `folder`."""
    return tuple(replace(each, files=tuple(str(folder / file) for file in each.files)) for each in anatomies)


def label_maps(anatomies: Iterable[Anatomies]) -> list[tuple[str, str]]:
    """File and scheme of every label map."""
    return [(file, each.scheme) for each in anatomies for file in each.files]


@lru_cache(maxsize=2)
def read_anatomy(file: str, scheme: str) -> Anatomy:
    """Anatomy of a label map, or of a head of the phantom, its axes as they are stored."""
    return anatomy_of(*_labels(file, scheme), SCHEMES[scheme])


def read_upright_anatomy(file: str, scheme: str) -> Anatomy:
    """The same with its axes to the right, to the front and upwards."""
    labels, grid = _labels(file, scheme)
    image = nib.as_closest_canonical(nib.Nifti1Image(labels, grid.affine))
    nx, ny, nz = image.shape
    return anatomy_of(np.asarray(image.dataobj), VoxelGrid((nx, ny, nz), image.affine), SCHEMES[scheme])


def _labels(file: str, scheme: str) -> tuple[npt.NDArray[np.int16], VoxelGrid]:
    if scheme == PHANTOM:
        phantom = make_phantom(PHANTOM_VOXEL, seed=int(Path(file).name))
        return phantom.labels.astype(np.int16), phantom.maps.grid
    volume = read_volume(Path(file))
    return np.asarray(volume.data).round().astype(np.int16), volume.grid


@lru_cache(maxsize=2)
def read_hr_maps(folder: str) -> QuantitativeMaps:
    """PD, T1 and T2 maps of a folder, 0 where they have no value.

    Raises
    ------
    ValueError
        If one of them is missing.
    """
    maps = read_maps([Path(folder)]).maps
    if missing := [name for name in QUANTITIES if name not in maps.names]:
        raise ValueError(f"{folder} has no map of {' and '.join(missing)}: training needs maps of PD, T1 and T2.")
    return replace(maps, data=np.nan_to_num(maps.data))


def identity_of(file: str) -> str:
    """Name of a label map or folder, wherever it lies, with the size of each file, so that namesakes are told apart."""
    path = Path(file)
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file())
        return f"{path.name} ({', '.join(f'{each.name} {each.stat().st_size} bytes' for each in inside)})"
    return f"{path.name} ({path.stat().st_size if path.exists() else 0} bytes)"


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ").rstrip(".")
        return f"{place}: {said}" if place else said
    return str(error)
