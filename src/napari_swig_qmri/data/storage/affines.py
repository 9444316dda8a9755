"""Affine of an image from its header: sform, else qform, else voxel sizes, with notices on what was assumed."""

from __future__ import annotations

from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, from_matvec
from nibabel.spatialimages import HeaderDataError

from napari_swig_qmri.data.volumes import FloatArray

_TO_MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3}
_NO_ORIENTATION = "The file has no position or orientation: shown centred, left and right may be swapped."
_FLAT = 1e-4  # of the other axes; a shorter axis counts as missing
_EDGES = (1e-6, 1e6)  # mm; no edge of a voxel is smaller or larger
_FARTHEST = 1e9  # mm; no number of an affine is larger
_DISAGREEMENT = 0.1  # mm between sform and qform that is told
_ROUNDING = 4e-7  # of the squared quaternion in float32
_ORDINALS = ("first", "second", "third")


def affine_of(image: Any) -> tuple[FloatArray, tuple[str, ...]]:
    """Affine (4, 4) of a nibabel image to RAS+ mm, and notices on assumptions about it, one sentence each.

    An axis without a direction, as the third one of some single slices, is completed at right angles to the others.
    """
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        is_analyze = isinstance(header, nib.AnalyzeHeader)
        doubt = ("An Analyze file has no orientation: left and right may be swapped.",) if is_analyze else ()
        return np.asarray(image.affine, dtype=float), doubt
    scale, notices = _millimetres(header)
    declared = {"sform": _declared(header.get_sform), "qform": _declared(header.get_qform)}
    usable: dict[str, tuple[FloatArray, tuple[str, ...]]] = {}
    for name, affine in declared.items():
        found = None if affine is None else _completed(affine, header, scale)
        if found is not None:
            usable[name] = found
    broken = next((name for name in declared if declared[name] is not None and name not in usable), None)
    if not usable:
        return _scaled(_centred(header, scale), scale), (*notices, _NO_ORIENTATION)
    taken = next(iter(usable))
    affine, assumed = usable[taken]
    if broken == "sform":
        assumed = ("The sform of the header gives no place, so that the qform was taken.", *assumed)
    if len(usable) == 2:
        assumed = (*assumed, *_disagreement(affine, usable["qform"][0], header, scale))
    return _scaled(affine, scale), (*notices, *assumed)


def _declared(read: Any) -> FloatArray | None:
    """Affine that a header declares, as read by `read`; None if its code is 0 or the header has none."""
    try:
        affine, code = read(coded=True)
    except (ValueError, HeaderDataError):
        return None
    return None if affine is None or code <= 0 else np.asarray(affine, dtype=float)


def _completed(affine: FloatArray, header: Any, scale: float) -> tuple[FloatArray, tuple[str, ...]] | None:
    """Affine with three directions, and a notice if one was missing; None if it gives no place."""
    affine = np.where(np.abs(affine) < _FARTHEST / scale, affine, np.nan)
    axes: FloatArray = affine[:3, :3]
    sizes = np.linalg.norm(np.where(np.isfinite(axes).all(axis=0), axes, 0), axis=0)
    (flat,) = np.nonzero(sizes <= _FLAT * sizes.max())
    if len(flat) > 1 or not np.isfinite(affine[:3, 3]).all() or not _are_edges(scale * np.delete(sizes, flat)).all():
        return None
    notices: tuple[str, ...] = ()
    if len(flat) == 1:
        axis = int(flat[0])
        normal = np.cross(axes[:, axis - 2], axes[:, axis - 1])
        length = np.linalg.norm(normal)
        edge = float(header["pixdim"][1 + axis])
        edge = edge if _are_edges(scale * edge) else 1 / scale
        sign = -1 if header["pixdim"][0] == -1 else 1  # qfac: axes that are left-handed
        axes[:, axis] = sign * edge * normal / (length or 1)
        sizes[axis] = edge
        notices = (
            f"The header gives the {_ORDINALS[axis]} axis no direction: it was taken at right angles to the others, "
            f"{scale * edge:.3g} mm per voxel.",
        )
    return (affine, notices) if abs(np.linalg.det(axes / sizes)) > 1e-6 else None


def _are_edges(sizes: Any) -> Any:
    """Whether sizes in mm can be those of a voxel; False for NaN."""
    smallest, largest = _EDGES
    return (smallest < np.asarray(sizes)) & (np.asarray(sizes) < largest)


def _centred(header: Any, scale: float) -> FloatArray:
    """Affine with the voxel sizes of a header, or 1 where it has none, and the origin in the middle."""
    base = header.get_base_affine()
    sizes = np.abs(np.diag(base)[:3])
    if np.isfinite(base).all() and _are_edges(scale * sizes).all():
        return np.asarray(base, dtype=float)
    sizes = np.where(_are_edges(scale * sizes), sizes, 1.0)
    middle = (np.array((*header.get_data_shape(), 1, 1)[:3]) - 1) / 2
    return from_matvec(np.diag(sizes), -sizes * middle)  # type: ignore[no-any-return]


def _disagreement(sform: FloatArray, qform: FloatArray, header: Any, scale: float) -> tuple[str, ...]:
    """Notice if sform and qform differ inside the field of view by more than rounding."""
    shape = (*header.get_data_shape(), 1, 1)[:3]
    corners = np.array(list(product(*[(-0.5, n - 0.5) for n in shape])))
    gap = scale * np.linalg.norm(apply_affine(sform, corners) - apply_affine(qform, corners), axis=1).max()
    real = max(0.0, 1 - sum(float(header[f"quatern_{each}"]) ** 2 for each in "bcd"))  # the file stores only b, c, d
    turn = 2 * (np.sqrt(real + _ROUNDING) - np.sqrt(real))
    extent = scale * np.linalg.norm(np.asarray(shape) * np.linalg.norm(qform[:3, :3], axis=0))
    if gap <= _DISAGREEMENT + turn * extent:
        return ()
    return (f"sform and qform of the header lie up to {gap:.1f} mm apart: the sform was taken.",)


def _millimetres(header: Any) -> tuple[float, tuple[str, ...]]:
    """Millimetres per unit of length of a header, and a notice if it is not 1."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    scale = _TO_MM.get(unit, 1.0)
    return scale, (f"Positions given in {unit}: converted to millimetres.",) if scale != 1 else ()


def _scaled(affine: FloatArray, scale: float) -> FloatArray:
    in_mm: FloatArray = np.diag([scale, scale, scale, 1.0]) @ affine
    return in_mm
