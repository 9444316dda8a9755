"""Image measures of arrays: structural similarity, high-frequency error norm and root mean square error.

CSF has ten times the T2 of tissue and would dominate every measure. Values are therefore clipped to 0 up to a fixed
upper value per map, `DATA_RANGE`, which is reported with the scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_laplace
from skimage.metrics import structural_similarity

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.floating[Any]]

DATA_RANGE = {"PD": 1.2, "T1": 4.0, "T2": 0.3}  # upper clipping values; PD relative to water, T1 and T2 in s
SSIM_WINDOW = 7  # voxels
LOG_SIGMA, LOG_WINDOW = 1.5, 15  # voxels, of the Laplacian of a Gaussian


def ssim(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int = 2) -> float:
    """Structural similarity of a volume to a reference, averaged over the mask of each slice and then over slices.

    Local statistics are taken in windows of 7 x 7 voxels. Slices without mask do not count.
    Source: Wang et al. 2004, as implemented in scikit-image.

    Parameters
    ----------
    image, reference
        ``(x, y, z)``, in the same unit. Clipped to 0 to `data_range`.
    mask
        ``(x, y, z)``, boolean.
    data_range
        Upper clipping value, in the unit of the volumes.
    axis
        Axis across the slices.

    Returns
    -------
    float
        1 for equal volumes.

    Raises
    ------
    ValueError
        If the mask is empty, or a slice is smaller than 7 x 7 voxels.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.random.default_rng(0).uniform(size=(16, 16, 4))
    >>> mask = np.ones(reference.shape, bool)
    >>> ssim(reference, reference, mask, data_range=1.0)
    1.0
    >>> round(ssim(0.8 * reference, reference, mask, data_range=1.0), 3)
    0.952
    """
    slices = _masked_slices(image, reference, mask, data_range, axis)
    return float(np.mean([similarity_map(x, r, data_range)[inside].mean() for x, r, inside in slices]))


def similarity_map(image: FloatArray, reference: FloatArray, data_range: float) -> FloatArray:
    """Structural similarity at every pixel of a slice ``(x, y)``, in windows of 7 x 7 pixels.

    Source: Wang et al. 2004, as implemented in scikit-image.

    Raises
    ------
    ValueError
        If the slice is smaller than the window.
    """
    if min(image.shape) < SSIM_WINDOW:
        raise ValueError(
            f"structural similarity needs slices of at least {SSIM_WINDOW} x {SSIM_WINDOW} voxels, "
            f"but these are {image.shape[0]} x {image.shape[1]}: score a larger field of view."
        )
    _, similarity = structural_similarity(image, reference, data_range=data_range, win_size=SSIM_WINDOW, full=True)  # type: ignore[no-untyped-call]
    return np.asarray(similarity)


def hfen(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int = 2) -> float:
    """High-frequency error norm of a volume: relative error of its edges, averaged over slices.

    Per slice it is ||LoG(image) - LoG(reference)|| / ||LoG(reference)||, where LoG is the Laplacian of a Gaussian of
    1.5 voxels on 15 x 15 voxels. The whole slice is filtered, and norms are taken over the mask. Slices without mask
    do not count. Source: Ravishankar and Bresler 2011.

    Parameters
    ----------
    image, reference
        ``(x, y, z)``, in the same unit. Clipped to 0 to `data_range`.
    mask
        ``(x, y, z)``, boolean.
    data_range
        Upper clipping value, in the unit of the volumes.
    axis
        Axis across the slices.

    Returns
    -------
    float
        0 for equal volumes.

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.random.default_rng(0).uniform(size=(16, 16, 4))
    >>> mask = np.ones(reference.shape, bool)
    >>> round(hfen(0.8 * reference, reference, mask, data_range=1.0), 3)
    0.2
    """
    slices = _masked_slices(image, reference, mask, data_range, axis)
    return float(np.mean([relative_norm(edge_map(x)[inside], edge_map(r)[inside]) for x, r, inside in slices]))


def edge_map(image: FloatArray) -> FloatArray:
    """Laplacian of a Gaussian of 1.5 pixels on 15 x 15 pixels, at every pixel of a slice ``(x, y)``."""
    edges: FloatArray = gaussian_laplace(image, LOG_SIGMA, truncate=LOG_WINDOW // 2 / LOG_SIGMA)
    return edges


def nrmse(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float) -> float:
    """Root mean square error over the mask, divided by the root mean square of the reference.

    Parameters
    ----------
    image, reference
        Arrays of the same shape and unit. Clipped to 0 to `data_range`.
    mask
        Boolean, of the same shape.
    data_range
        Upper clipping value, in the unit of the arrays.
    """
    x, r = (np.clip(v[mask], 0, data_range).astype(float) for v in (image, reference))
    return relative_norm(x, r)


def relative_norm(values: FloatArray, expected: FloatArray) -> float:
    """Norm of the difference between two arrays, divided by the norm of the expected one."""
    return float(np.linalg.norm(values - expected) / max(np.linalg.norm(expected), np.finfo(np.float32).tiny))


def _masked_slices(
    image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int
) -> Iterator[tuple[FloatArray, FloatArray, BoolArray]]:
    """Yield clipped slices across `axis` where the mask is not empty: image, reference and mask."""
    if not mask.any():
        raise ValueError("the mask is empty: pass one that covers the brain on the grid of the maps.")
    volumes = (np.moveaxis(volume, axis, 0) for volume in (image, reference, mask))
    for x, r, inside in zip(*volumes, strict=True):
        if inside.any():
            yield np.clip(x, 0, data_range), np.clip(r, 0, data_range), inside
