"""Configurations of training runs and studies: TOML files that become frozen dataclasses, and the heads they name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import nibabel as nib
import numpy as np
from pydantic import AfterValidator, TypeAdapter, ValidationError, ValidationInfo

from napari_swig_qmri.data.inputs import MapFiles, read_maps
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.toml_files import read_toml
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.data.wording import shortened
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.simulation.label_maps import SCHEMES, Anatomy, anatomy_of
from napari_swig_qmri.simulation.phantom import make_phantom

if TYPE_CHECKING:
    import numpy.typing as npt


Configuration = TypeVar("Configuration")

LARGEST_COUNT = 1_000_000_000
HR_MAPS = "maps"  # scheme of HR maps of the user
PHANTOM = "phantom"  # scheme of the procedural head
PHANTOM_VOXEL = 1.0  # mm, of its labels


def resolve_path(path: str, info: ValidationInfo) -> str:
    """Path of a TOML file, relative to its folder, as a path from the current folder."""
    return str(Path(info.context or ".") / path)


LocalPath = Annotated[str, AfterValidator(resolve_path)]


@dataclass(frozen=True, kw_only=True)
class Anatomies:
    """Heads that subjects are made of."""

    files: tuple[LocalPath, ...]  # label maps; folders for `HR_MAPS`; numbers for the phantom, one per head
    scheme: str  # meaning of the numbers of label maps, a key of `SCHEMES`, or `HR_MAPS`

    def __post_init__(self) -> None:
        if self.scheme not in (*SCHEMES, HR_MAPS):
            schemes = ", ".join((*SCHEMES, HR_MAPS))
            raise ValueError(f"the scheme must be one of {schemes}, but it is {self.scheme!r}.")
        names = [Path(file).name for file in self.files]
        if self.scheme == PHANTOM and not all(name.isdecimal() for name in names):
            raise ValueError(f"heads of the phantom are numbers, but there is {', '.join(names)}.")


def read_configuration(path: Path, kind: type[Configuration], purpose: str) -> Configuration:
    """Read a TOML file into a dataclass; fields of type `LocalPath` are relative to the folder of the file.

    `purpose` names what it configures in messages, ``"training"`` for example.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If an entry is missing, unknown or of the wrong kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    try:
        return TypeAdapter(kind).validate_python(read_toml(path), context=path.parent)
    except ValueError as error:  # also that of pydantic
        raise ValueError(f"{path} is no {purpose} configuration: {shortened(_first_problem(error))}.") from None


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ").rstrip(".")
        return f"{place}: {message}" if place else message
    return str(error)


def check_counts(configuration: object, names: Iterable[str]) -> None:
    """Raise a ValueError if one of these fields is below 1, or too large to be meant."""
    for name in names:
        count = getattr(configuration, name)
        if count < 1:
            raise ValueError(f"{name} must be 1 or more, but it is {count}.")
        if count > LARGEST_COUNT:
            raise ValueError(f"{name} must be {LARGEST_COUNT:,} or less, but it is {count}.")


def as_json(configuration: Any, *, leave_out: Iterable[str], **other: Any) -> str:
    """JSON of a configuration without the fields `leave_out`, and with the entries `other`, which replace fields."""
    settings = {name: value for name, value in asdict(configuration).items() if name not in set(leave_out)}
    return json.dumps({**settings, **other}, sort_keys=True)


def heads_of(anatomies: Iterable[Anatomies]) -> list[tuple[str, str]]:
    """File and scheme of every head."""
    return [(file, each.scheme) for each in anatomies for file in each.files]


def file_identity(file: str) -> str:
    """Name of a file with its size, or of a folder with the sizes of its files; the location does not matter."""
    path = Path(file)
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file())
        return f"{path.name} ({', '.join(f'{each.name} {each.stat().st_size} bytes' for each in inside)})"
    return f"{path.name} ({path.stat().st_size if path.exists() else 0} bytes)"


@lru_cache(maxsize=2)
def read_anatomy(file: str, scheme: str) -> Anatomy:
    """Anatomy of a label map or of a head of the phantom, with its axes as they are stored."""
    return anatomy_of(*_labels(file, scheme), SCHEMES[scheme])


def read_upright_anatomy(file: str, scheme: str) -> Anatomy:
    """Anatomy of a label map or of a head of the phantom, with its axes to the right, to the front and upwards."""
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
def read_hr_maps(folder: str) -> MapFiles:
    """PD, T1 and T2 maps of a folder, 0 where they have no value, with notices on what was assumed about them.

    Raises
    ------
    ValueError
        If one of the maps is missing.
    """
    files = read_maps([Path(folder)])
    if missing := [name for name in QUANTITIES if name not in files.maps.names]:
        raise ValueError(f"{folder} has no map of {' and '.join(missing)}: training needs maps of PD, T1 and T2.")
    return replace(files, maps=replace(files.maps, data=np.nan_to_num(files.maps.data)))


def hr_map_notices(anatomies: Iterable[Anatomies]) -> tuple[str, ...]:
    """Notices on all HR maps among the heads, one sentence each. Raises the errors of `read_hr_maps`."""
    folders = [file for file, scheme in heads_of(anatomies) if scheme == HR_MAPS]
    return tuple(notice for folder in folders for notice in read_hr_maps(folder).notices)
