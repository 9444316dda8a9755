"""NIfTI and Analyze files as arrays with an affine in mm."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from napari_swig_qmri.data.affines import affine_of
from napari_swig_qmri.data.output import Part, replacing
from napari_swig_qmri.data.volumes import FloatArray

EXTENSIONS = (".nii.gz", ".nii", ".hdr", ".img", ".img.gz", ".hdr.gz")
_UNREADABLE = (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, KeyError, zlib.error)


class EmptyImageError(ValueError):
    """An image without voxels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NiftiContent:
    """Content of one image file."""

    data: FloatArray  # (x, y, z) or (x, y, z, t, ...), scaled by slope and intercept
    affine: FloatArray  # (4, 4), voxel index -> RAS+ mm
    header: Any  # nibabel header; None without a file
    notices: tuple[str, ...] = ()  # assumptions about values and position, one sentence each


def split_extension(path: Path) -> tuple[str, str]:
    """File name without its NIfTI extension, and the extension; ValueError if it has none."""
    name = path.name
    extension = next((e for e in EXTENSIONS if name.lower().endswith(e) and len(name) > len(e)), None)
    if extension is None:
        raise ValueError(
            f"{name!r} does not end in one of {', '.join(EXTENSIONS)}: only NIfTI files can be read and "
            "written. Rename or convert it."
        )
    return name[: -len(extension)], extension


def files_of(path: Path) -> list[Path]:
    """Files in which an image is stored, the header first: one .nii file, or a pair of .hdr and .img."""
    stem, extension = split_extension(path)
    if extension.startswith(".nii"):
        return [path]
    packed = ".gz" if extension.endswith(".gz") else ""
    return [path.with_name(f"{stem}.hdr{packed}"), path.with_name(f"{stem}.img{packed}")]


def read_nifti(path: Path) -> NiftiContent:
    """Read a NIfTI-1, NIfTI-2 or Analyze file.

    Raises FileNotFoundError if the file does not exist, ValueError if it cannot be read or has no voxels.
    """
    split_extension(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    try:
        return nifti_content(nib.load(path, mmap=False), path.name)
    except _UNREADABLE as error:
        if isinstance(error, EmptyImageError):
            raise
        reason = str(error).strip() or type(error).__name__
        raise ValueError(f"{path.name} could not be read as NIfTI: {reason}. Is the file complete?") from error


def nifti_content(image: Any, name: str) -> NiftiContent:
    """Content of a nibabel image; `name` is used in messages.

    Raises
    ------
    EmptyImageError
        If the image has no voxels.
    """
    values, notices = _values(image.dataobj)
    if values.size == 0:
        raise EmptyImageError(f"{name} has no voxels: its shape is {values.shape}. Export it again.")
    affine, doubts = affine_of(image)
    return NiftiContent(data=spatial(values), affine=affine, header=image.header, notices=(*notices, *doubts))


def write_nifti(
    content: NiftiContent, path: Path, description: str | None = None, part: Part | None = None
) -> list[Path]:
    """Write a NIfTI file with the fields of its header; the paths of the files written.

    Data are stored as float32, as integers if the header has an integer type that can hold them exactly, or as float64
    if header and data are float64. `description` replaces the header field ``descrip``. A failed or interrupted write
    keeps an existing file. `part`, of `replacing`, writes it together with other files.
    """
    if part is None:
        with replacing() as part_of_file:
            return write_nifti(content, path, description, part_of_file)
    targets = files_of(path)
    image = _image(content, is_pair=len(targets) > 1, description=description)
    header_part, *_ = map(part, targets)
    image.to_filename(header_part)
    return targets


def header_text(header: Any) -> str:
    """Free-text fields of a header, joined by blanks."""
    fields = ("descrip", "intent_name", "aux_file")
    texts = (bytes(header[name].tobytes()) for name in fields if name in header)
    return " ".join(t.split(b"\0")[0].decode("latin-1").strip() for t in texts if t.strip(b"\0")).strip()


def spatial(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Array ``(x, y, z, ...)`` with three spatial axes and no further axes of length one."""
    space = (*values.shape, 1, 1)[:3]
    return values.reshape(*space, *(n for n in values.shape[3:] if n > 1))


def _values(stored: Any) -> tuple[FloatArray, tuple[str, ...]]:
    """Floating-point values of a stored array, and notices on lost information."""
    if stored.dtype.names:
        colours = np.asanyarray(stored.get_unscaled())
        grey = np.mean([colours[channel].astype(np.float32) for channel in "RGB"], axis=0)
        return grey, ("A colour image: shown as the mean of red, green and blue.",)
    if np.issubdtype(stored.dtype, np.complexfloating):
        return magnitude(np.asanyarray(stored))
    is_single = stored.dtype.itemsize <= 2 or stored.dtype == np.float32
    return np.asarray(stored, dtype=np.float32 if is_single else np.float64), ()


def magnitude(values: npt.NDArray[Any]) -> tuple[FloatArray, tuple[str, ...]]:
    """Magnitude of complex values, and a notice; values that are real stay as they are."""
    if not np.iscomplexobj(values):
        return values, ()
    return np.abs(values).astype(np.float32), ("Complex values: the magnitude was taken.",)


def _image(content: NiftiContent, is_pair: bool, description: str | None) -> Any:
    """The nibabel image to write: NIfTI-2 for large grids and NIfTI-2 headers, else NIfTI-1."""
    header, data = content.header, content.data
    shape = _stored_shape(header, data.shape)
    is_large = max(shape) > np.iinfo(np.int16).max
    is_second = is_large or isinstance(header, nib.Nifti2Header)
    pair, single = (nib.Nifti1Pair, nib.Nifti2Pair), (nib.Nifti1Image, nib.Nifti2Image)
    kinds: tuple[Any, ...] = pair if is_pair else single
    dtype = _stored_type(header, data)
    source = header.copy() if isinstance(header, nib.Nifti1Header) else None
    image = kinds[is_second](data.astype(dtype).reshape(shape), content.affine, source, dtype=dtype)
    if not np.allclose(affine_of(image)[0], content.affine, rtol=0, atol=2e-5):
        image.set_sform(content.affine, code="scanner")
        image.set_qform(content.affine, code="unknown")
    image.header.set_xyzt_units("mm", _time_unit(source))
    if description is not None:
        image.header["descrip"] = description.encode("ascii", "replace")[:79]
    return image


def _time_unit(header: Any) -> str:
    try:
        unit = header.get_xyzt_units()[1] if header is not None else "sec"
    except KeyError:
        return "sec"
    return str(unit)


def _stored_shape(header: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in the header if it differs from `shape` only by axes of length one, else `shape`."""
    if header is None:
        return shape
    source = tuple(int(n) for n in header.get_data_shape())
    return source if len(source) > 1 and spatial(np.empty(source, dtype="V0")).shape == shape else shape


def _stored_type(header: Any, data: FloatArray) -> np.dtype[Any]:
    """Integer type of the header if it can hold the data exactly, else float32 or float64."""
    stored = header.get_data_dtype().newbyteorder("=") if header is not None else np.dtype(np.float32)
    if stored.kind in "iu" and np.isfinite(data).all():
        limits = np.iinfo(stored)
        if data.min() >= limits.min and data.max() <= limits.max and np.array_equal(data, np.rint(data)):
            return stored
    return np.dtype(np.float64 if stored == np.float64 and data.dtype == np.float64 else np.float32)
