"""How close super-resolved maps come to reference maps: SSIM, HFEN, NRMSE and errors per tissue.

CSF has ten times the T2 of tissue and would set every range, so image measures clip the values at
fixed, declared levels (`DATA_RANGE`) and `format_scores` prints these beside the numbers.
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

DATA_RANGE = {"PD": 1.2, "T1": 4.0, "T2": 0.3}  # clipped to 0 .. range; PD relative to water, T1, T2 in s
SSIM_WINDOW = 7  # voxels
LOG_SIGMA, LOG_WINDOW = 1.5, 15  # voxels, of the Laplacian of a Gaussian


def ssim(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int = 2) -> float:
    """Structural similarity: its map per slice (7 x 7 window), averaged over the mask, then over slices.

    Volumes are ``(x, y, z)`` and clipped to 0 .. `data_range`; slices lie across `axis`, those
    without mask do not count. Source: Wang et al. 2004, as in scikit-image.
    """
    values = []
    for x, r, m in _slices(image, reference, mask, data_range, axis):
        values.append(similarity_map(x, r, data_range)[m].mean())
    return float(np.mean(values))


def similarity_map(image: FloatArray, reference: FloatArray, data_range: float) -> FloatArray:
    """Structural similarity at every pixel of slices (7 x 7 window). Source: Wang et al. 2004, as in scikit-image."""
    if min(image.shape) < SSIM_WINDOW:
        raise ValueError(
            f"structural similarity needs slices of at least {SSIM_WINDOW} x {SSIM_WINDOW} voxels, "
            f"but these are {image.shape[0]} x {image.shape[1]}: score a larger field of view."
        )
    _, similarity = structural_similarity(image, reference, data_range=data_range, win_size=SSIM_WINDOW, full=True)  # type: ignore[no-untyped-call]
    return np.asarray(similarity)


def edge_map(image: FloatArray) -> FloatArray:
    """Laplacian of a Gaussian of 1.5 voxels on 15 x 15 voxels at every pixel of a slice."""
    edges: FloatArray = gaussian_laplace(image, LOG_SIGMA, truncate=LOG_WINDOW // 2 / LOG_SIGMA)
    return edges


def hfen(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int = 2) -> float:
    """High-frequency error norm: ||LoG(image) - LoG(reference)|| / ||LoG(reference)|| per slice, averaged.

    LoG is the Laplacian of a Gaussian of 1.5 voxels on 15 x 15 voxels, filtered first and masked
    after. Volumes are ``(x, y, z)``, clipped to 0 .. `data_range`. Source: Ravishankar and Bresler 2011.
    """
    values = []
    for x, r, m in _slices(image, reference, mask, data_range, axis):
        values.append(relative_norm(edge_map(x)[m], edge_map(r)[m]))
    return float(np.mean(values))


def nrmse(image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float) -> float:
    """Root mean square error over the mask, relative to the reference's own; clipped as above."""
    x, r = (np.clip(v[mask], 0, data_range).astype(float) for v in (image, reference))
    return relative_norm(x, r)


def _slices(
    image: FloatArray, reference: FloatArray, mask: BoolArray, data_range: float, axis: int
) -> Iterator[tuple[FloatArray, FloatArray, BoolArray]]:
    """Clipped slices across `axis` that touch the mask."""
    if not mask.any():
        raise ValueError("the mask is empty: pass one that covers the brain on the grid of the maps.")
    for index in np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))):
        here = (slice(None),) * axis + (index,)
        yield np.clip(image[here], 0, data_range), np.clip(reference[here], 0, data_range), mask[here]


def relative_norm(values: FloatArray, expected: FloatArray) -> float:
    """Norm of the difference in units of the norm of what was expected."""
    return float(np.linalg.norm(values - expected) / max(np.linalg.norm(expected), np.finfo(np.float32).tiny))
