"""Opening of image files: format and compression by their first bytes, claims checked against the size of the file.

Nothing that a header claims is believed before the file can hold it, so that a damaged or malicious file takes no
memory. `one_sentence` is the boundary at which every failure of a file becomes one sentence about it.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from napari_swig_qmri.data.wording import shortened

EXTENSIONS = (".nii.gz", ".nii", ".hdr", ".img", ".img.gz", ".hdr.gz")  # of files that are written
READABLE = (*EXTENSIONS, ".mgz", ".mgh", ".mnc")
_ANALYZE = (nib.Spm2AnalyzeImage, nib.Spm99AnalyzeImage, nib.AnalyzeImage)
_GZIP = b"\x1f\x8b"
_CIFTI = range(3000, 3100)  # intent codes of values on surfaces
_LARGEST_HEADER = 1 << 24  # bytes of a header file with its extensions
_DEFLATE = 1032  # largest ratio of compression
_BELIEVED = 8 * 512**3, 250  # bytes in memory, ratio of compression; beyond both, a file is refused; masks pack well
_REASONS = {
    MemoryError: "it needs more memory than there is",
    RecursionError: "it is nested too deeply",
    KeyError: "its header has an unknown code",
    ImportError: "a package that its format needs is not installed",
    ModuleNotFoundError: "a package that its format needs is not installed",
}


class UnreadableError(ValueError):
    """A file that cannot be read; the message is one sentence about it."""


@contextmanager
def one_sentence(path: Path, kind: str = "an image") -> Iterator[None]:
    """Turn every failure of a file into an `UnreadableError` with one sentence that names it.

    Libraries raise anything on damaged files, from OverflowError to MemoryError. A missing file stays a
    FileNotFoundError.
    """
    try:
        yield
    except (FileNotFoundError, UnreadableError):
        raise
    except Exception as error:
        text = shortened(error)
        if isinstance(error, ValueError | OSError) and path.name in text:
            raise UnreadableError(text) from error
        reason = _REASONS.get(type(error)) or text.rstrip(".?!") or type(error).__name__
        raise UnreadableError(f"{path.name} could not be read as {kind}: {reason}. Is the file complete?") from error


def split_extension(path: Path, *, to_write: bool = False) -> tuple[str, str]:
    """File name without its extension, and the extension; ValueError if it has none of an image.

    With `to_write`, only the extensions of NIfTI files count.
    """
    name, known = path.name, EXTENSIONS if to_write else READABLE
    extension = next((e for e in known if name.lower().endswith(e) and len(name) > len(e)), None)
    if extension is None:
        purpose = "only NIfTI files can be written. Choose another name" if to_write else "rename or convert it"
        raise ValueError(f"{name!r} does not end in one of {', '.join(known)}: {purpose}.")
    return name[: -len(extension)], extension


def files_of(path: Path, *, to_write: bool = False) -> list[Path]:
    """Files in which an image is stored, the header first: one file, or a pair of .hdr and .img."""
    stem, extension = split_extension(path, to_write=to_write)
    if not extension.startswith((".hdr", ".img")):
        return [path]
    packed = ".gz" if extension.endswith(".gz") else ""
    return [path.with_name(f"{stem}.hdr{packed}"), path.with_name(f"{stem}.img{packed}")]


@contextmanager
def open_image(path: Path) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Open a NIfTI, Analyze, MGH or MINC file.

    Yields a nibabel image, whose data can be read within the block, and a notice on files whose names do not say how
    they are compressed. Raises `UnreadableError` if the header claims more than the file can hold.
    """
    files = files_of(path)
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(file)) for file in files]
        packed = [_is_packed(file) for file in files]
        notices = tuple(
            f"{file.name} is{'' if is_packed else ' not'} compressed, other than its name says: read as it is."
            for file, is_packed in zip(files, packed, strict=True)
            if is_packed != file.name.lower().endswith((".gz", ".mgz"))
        )
        image, doubts = _IMAGES.get(path.suffix.lower(), _nifti)(files, opened)
        yield image, (*notices, *doubts)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name.")
    with path.open("rb") as file, ExitStack() as stack:
        yield stack.enter_context(gzip.GzipFile(fileobj=file)) if _is_packed(path) else file


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _nifti(files: Sequence[Path], opened: Sequence[Any]) -> tuple[Any, tuple[str, ...]]:
    """Image of a NIfTI file, or of a pair of header and image, and a notice if extensions of the header are damaged."""
    head, name, is_pair = opened[0].read(540), files[0].name, len(files) > 1
    if len(head) < 348:
        raise UnreadableError(
            f"{name} could not be read as NIfTI: it has {len(head)} bytes, but a header has 348. Is the file complete?"
        )
    pairs, single = (nib.Nifti1Pair, nib.Nifti2Pair, *_ANALYZE), (nib.Nifti1Image, nib.Nifti2Image)
    kinds: tuple[Any, ...] = pairs if is_pair else single
    kind = next((each for each in kinds if each.header_class.may_contain_header(head)), None)
    if kind is None:
        raise UnreadableError(f"{name} could not be read as NIfTI: it has no NIfTI header. Is the file complete?")
    header = kind.header_class(head[: kind.header_class.sizeof_hdr], check=False)
    if hasattr(header, "get_intent") and int(header["intent_code"]) in _CIFTI:
        raise UnreadableError(f"{name} is a CIFTI file with values on a surface: choose an image with voxels.")
    offset = _offset(header, name)
    _check_claim(files[-1], header.get_data_shape(), header.get_data_dtype(), offset)
    whole = head + opened[0].read(max(0, _LARGEST_HEADER if is_pair else offset - len(head)))
    if kind in _ANALYZE:
        return kind.from_file_map(_file_map(kind, files, opened, whole), mmap=False), ()
    notices: tuple[str, ...] = ()
    try:
        header = kind.header_class.from_fileobj(BytesIO(whole))
    except (ValueError, LookupError, HeaderDataError):
        header = kind.header_class(head[: kind.header_class.sizeof_hdr])  # fails if the header itself is damaged
        notices = ("The extensions of its header are damaged and were left out.",)
    return kind(kind.ImageArrayProxy(opened[-1], header, mmap=False), None, header), notices


def _file_map(kind: Any, files: Sequence[Path], opened: Sequence[Any], head: bytes) -> dict[str, FileHolder]:
    """Files of an Analyze image for nibabel, with that of SPM for its position, if there is one."""
    holders = {"header": FileHolder(fileobj=BytesIO(head)), "image": FileHolder(fileobj=opened[1])}
    position = files[0].with_name(f"{split_extension(files[0])[0]}.mat")
    others = {each for each, _ in kind.files_types} - holders.keys()
    return holders | {each: FileHolder(filename=str(position)) for each in others}


def _mgh(files: Sequence[Path], opened: Sequence[Any]) -> tuple[Any, tuple[str, ...]]:
    """Image of a FreeSurfer file. Its footer is not read, which would mean to unpack all of it."""
    header = MGHHeader(opened[0].read(MGHHeader.template_dtype.itemsize))
    _check_claim(files[0], header.get_data_shape(), header.get_data_dtype(), header.get_data_offset())
    return nib.Nifti1Image(nib.MGHImage.ImageArrayProxy(opened[0], header, mmap=False), header.get_affine()), ()


def _minc(files: Sequence[Path], opened: Sequence[Any]) -> tuple[Any, tuple[str, ...]]:
    """Image of a MINC file; MINC 2 needs h5py."""
    if _is_packed(files[0]):
        raise UnreadableError(f"{files[0].name} is compressed, other than its name says: unpack it with gunzip.")
    try:
        image: Any = nib.load(files[0])
    except ImportError:
        raise UnreadableError(
            f"{files[0].name} is a MINC 2 file, which needs h5py: run `pip install h5py`, or convert it to NIfTI."
        ) from None
    _check_memory(files[0], math.prod(image.shape) * 8)
    return nib.Nifti1Image(image.get_fdata(dtype=float_type(image.get_data_dtype())), image.affine), ()


_IMAGES = {".mgz": _mgh, ".mgh": _mgh, ".mnc": _minc}


def _offset(header: Any, name: str) -> int:
    """Position of the first voxel in a file, as a header gives it."""
    value = float(header["vox_offset"]) if "vox_offset" in header else 0.0
    if not 0 <= value < 2**63:
        raise UnreadableError(f"{name} could not be read: its header places the voxels at byte {value:g}.")
    return int(value)


def _check_claim(path: Path, shape: Sequence[int], dtype: np.dtype[Any], offset: int) -> None:
    """Refuse a file that cannot hold the voxels that its header claims."""
    if any(n < 0 for n in shape) or not dtype.itemsize:
        raise UnreadableError(f"{path.name} could not be read: its header claims {_text(shape)} voxels of {dtype}.")
    if not all(shape):
        raise UnreadableError(f"{path.name} has no voxels: its shape is {_text(shape)}. Export it again.")
    n, size = math.prod(map(int, shape)), path.stat().st_size
    claimed = offset + n * dtype.itemsize
    if claimed > size * (_DEFLATE if _is_packed(path) else 1):
        raise UnreadableError(
            f"{path.name} could not be read: its header claims {_text(shape)} voxels, {claimed:,} bytes, which a file "
            f"of {size:,} bytes cannot hold. Is the file complete?"
        )
    _check_memory(path, max(claimed, n * np.dtype(float_type(dtype)).itemsize))


def _check_memory(path: Path, needed: int) -> None:
    """Refuse a packed file that unpacks to much more than images do."""
    size, (much, ratio) = path.stat().st_size, _BELIEVED
    if needed > max(much, ratio * size):
        raise UnreadableError(
            f"{path.name} has {size / 1e6:.2g} MB, but takes {needed / 1e6:,.0f} MB in memory, more than images do: "
            "unpack it first if this is right."
        )


def float_type(stored: np.dtype[Any]) -> type[np.float32] | type[np.float64]:
    """Type in memory of values of a stored type: the smaller one that holds them."""
    return np.float32 if stored.itemsize <= 2 or stored == np.float32 else np.float64


def _text(shape: Sequence[int]) -> str:
    return " × ".join(str(int(n)) for n in shape)
