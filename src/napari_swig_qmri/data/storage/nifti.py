"""NIfTI and Analyze files as arrays with an affine in mm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from napari_swig_qmri.data.storage.affines import affine_of
from napari_swig_qmri.data.storage.image_files import UnreadableError, files_of, float_type, one_sentence, open_image
from napari_swig_qmri.data.storage.output import Part, replacing
from napari_swig_qmri.data.volumes import FloatArray

_SLAB = 1 << 25  # bytes that are read at a time


class EmptyImageError(UnreadableError):
    """An image without voxels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NiftiContent:
    """Content of one image file."""

    data: FloatArray  # (x, y, z) or (x, y, z, t, ...), scaled by slope and intercept
    affine: FloatArray  # (4, 4), voxel index -> RAS+ mm
    header: Any  # nibabel header; None without a file
    notices: tuple[str, ...] = ()  # assumptions about values and position, one sentence each


def read_nifti(path: Path) -> NiftiContent:
    """Read a NIfTI-1, NIfTI-2, Analyze, MGH or MINC file.

    Raises FileNotFoundError if the file does not exist, `UnreadableError` if it cannot be read or has no voxels.
    """
    with one_sentence(path, "NIfTI"), open_image(path) as (image, notices):
        content = nifti_content(image, path.name)
        return replace(content, notices=(*notices, *content.notices))


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
    targets = files_of(path, to_write=True)
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
    return _in_slabs(stored, float_type(stored.dtype)), ()


def _in_slabs(stored: Any, dtype: type[np.float32] | type[np.float64]) -> FloatArray:
    """Values of a stored array, read a few planes at a time: memory is taken only for what the file holds."""
    if not nib.is_proxy(stored) or not all(stored.shape):
        return np.asarray(stored, dtype=dtype)
    values = np.empty(stored.shape, dtype, order="F")
    step = max(1, _SLAB * stored.shape[-1] // (values.size * stored.dtype.itemsize))
    with np.errstate(over="ignore", invalid="ignore"):  # float32 overflows to infinity, which counts as no value
        for first in range(0, stored.shape[-1], step):
            values[..., first : first + step] = stored[..., first : first + step]
    return values


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
