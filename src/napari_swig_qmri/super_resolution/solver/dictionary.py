"""PD, T1 and T2 from a series of images: the nearest entry of a dictionary, refined between entries.

The dictionary holds signals of PD 1, scaled to unit norm, on a grid of log T1 and log T2. The entry with the largest
inner product with the images of a voxel is refined by Gauss-Newton steps, which do not depend on the grid. PD is the
projection of the images on the refined signal. Source of matching: Ma et al. 2013.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.progress import Progress
from napari_swig_qmri.super_resolution.solver.numerics.voxel_matrices import inner_product, solve_voxelwise

if TYPE_CHECKING:
    from torch import Tensor

    SeriesModel = Callable[[Tensor, Tensor, Tensor], Tensor]  # pd, t1, t2 ``(...)`` to images ``(n_images, ...)``

N_REFINEMENTS = 3
N_TOGETHER = 16384  # voxels that are processed at a time
N_COMPARED = 1024  # of them compared with the dictionary at a time: the products of some 1000 entries stay in cache
DIFFERENCE = 0.01  # of the logarithms; quotients take a tenth of the time of forward-mode derivatives
ROUNDING = 1e-6  # relative rounding error of a cosine in single precision, within which fits are equally good
DAMPING = 1e-6  # of the diagonal of the normal equations, which keeps them solvable where T2 has no effect


@dataclass(frozen=True, eq=False, kw_only=True)
class Dictionary:
    """Signals of PD 1, scaled to unit norm, for T1 and T2 on a grid with T2 up to T1."""

    model: SeriesModel
    log_times: Tensor  # (2, n_entries), log of T1 and T2 in s
    entries: Tensor  # (n_entries, n_images)
    step: float  # of the grid, in the logarithms


def make_dictionary(
    model: SeriesModel,
    t1_range: tuple[float, float] = (0.1, 6.0),
    t2_range: tuple[float, float] = (0.01, 3.0),
    step: float = 0.12,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Dictionary:
    """Compute the dictionary of a signal model.

    Parameters
    ----------
    model
        Function of PD, T1 and T2 ``(...)``, times in s, that returns images ``(n_images, ...)``.
    t1_range, t2_range, step
        Lowest and highest value in s; neighbours differ by a factor of about exp(`step`).
    device, dtype
        Of the dictionary, and of the computations with it.

    Raises
    ------
    ValueError
        If a range does not rise from above 0, or the step is not above 0.
    """
    for name, (low, high) in (("T1", t1_range), ("T2", t2_range)):
        if not 0 < low < high:
            raise ValueError(f"the {name} of a dictionary must rise from above 0 s, but it is {low:g} to {high:g} s.")
    if not step > 0:
        raise ValueError(f"the step of a dictionary must be above 0, but it is {step:g}: 0.12 is 12 %.")
    log_t1, log_t2 = (_evenly(limits, step, device) for limits in (t1_range, t2_range))
    grid = torch.stack(torch.meshgrid(log_t1, log_t2, indexing="ij")).flatten(1)
    log_times = grid[:, grid[1] <= grid[0]].to(dtype)
    t1, t2 = log_times.exp()
    signals = model(torch.ones_like(t1), t1, t2).T
    return Dictionary(model=model, log_times=log_times, entries=signals / signals.norm(dim=1, keepdim=True), step=step)


def _evenly(limits: tuple[float, float], step: float, device: torch.device | str) -> Tensor:
    first, last = (math.log(limit) for limit in limits)
    return torch.linspace(first, last, 1 + math.ceil((last - first) / step), device=device)


def match(
    images: Tensor, dictionary: Dictionary, background: float = 0.05, *, n_together: int = N_TOGETHER
) -> Generator[Progress, None, Tensor]:
    """Match a series of images with a dictionary; yields `Progress`.

    Parameters
    ----------
    images
        ``(n_images, ...)``, signed. Computed on the device and in the dtype of the dictionary.
    background
        Share of the 99th percentile of the root of the sum of squares over the series. Voxels below it, and voxels
        with images that are not finite, are 0 in all maps.
    n_together
        Voxels that are processed at a time.

    Returns
    -------
    Tensor
        ``(3, ...)``, PD in the unit of the images, T1 and T2 in s, on the device and in the dtype of the images.

    Raises
    ------
    ValueError
        If the number of images is not that of the dictionary, or `background` is not within 0 to 1.
    """
    n_images = dictionary.entries.shape[1]
    if len(images) != n_images:
        raise ValueError(
            f"the dictionary has {n_images} images, but {len(images)} came: pass the whole series, images first."
        )
    if not 0 <= background < 1:
        raise ValueError(f"background must be a share from 0 to below 1 of the strongest signal, not {background:g}.")
    series = images.reshape(n_images, -1)
    voxels = _has_signal(series, background).nonzero()[:, 0]
    maps = torch.zeros(3, series.shape[1], dtype=images.dtype, device=images.device)
    for first in range(0, len(voxels), n_together):
        yield Progress(first / len(voxels), "matching the images with the dictionary")
        chunk = voxels[first : first + n_together]
        maps[:, chunk] = _match_voxels(series[:, chunk].to(dictionary.entries), dictionary).to(maps)
    return maps.reshape(3, *images.shape[1:])


def _has_signal(series: Tensor, background: float) -> Tensor:
    """Voxels ``(n,)`` of a series ``(n_images, n)`` that are not background."""
    strength: Tensor = series.norm(dim=0)
    finite = strength.isfinite()
    if not finite.any():
        return finite
    values = strength[finite]
    strongest = values.kthvalue(max(1, round(0.99 * len(values)))).values
    return finite & (strength > background * strongest)


def _match_voxels(series: Tensor, dictionary: Dictionary) -> Tensor:
    """Maps ``(3, n)`` of images ``(n_images, n)``; 0 where PD is not positive."""
    parts = torch.split(series.T, N_COMPARED)
    nearest = [(part @ dictionary.entries.T).max(dim=1).indices for part in parts]
    log_times, signal = _refine(series, dictionary.log_times[:, torch.cat(nearest)], dictionary)
    pd = inner_product(signal, series) / inner_product(signal, signal)
    return torch.stack([pd, *log_times.exp()]) * (pd > 0)


def _refine(series: Tensor, log_times: Tensor, dictionary: Dictionary) -> tuple[Tensor, Tensor]:
    """Log times ``(2, n)`` with the best fit of all Gauss-Newton steps, and their signals ``(n_images, n)``."""
    low, high = dictionary.log_times.amin(1, keepdim=True), dictionary.log_times.amax(1, keepdim=True)
    best, best_signal, best_fit = log_times, series, torch.full_like(series[0], -torch.inf)
    for n in range(1 + N_REFINEMENTS):
        signal, slopes = _signal_and_slopes(dictionary.model, log_times)
        power = inner_product(signal, signal)
        product = inner_product(signal, series)
        fit = product * power.rsqrt()
        better = fit >= best_fit - ROUNDING * best_fit.abs()
        best, best_signal = torch.where(better, log_times, best), torch.where(better, signal, best_signal)
        best_fit = torch.where(better, fit, best_fit)
        if n < N_REFINEMENTS:
            move = _gauss_newton_move(series, signal, slopes, power, product)
            log_times = (log_times + move.clamp(-dictionary.step, dictionary.step)).clamp(low, high)
    return best, best_signal


def _gauss_newton_move(series: Tensor, signal: Tensor, slopes: Tensor, power: Tensor, product: Tensor) -> Tensor:
    """Change of both log times ``(2, n)`` towards the least squares over them and PD, with PD eliminated."""
    across = [slope - signal * (inner_product(signal, slope) / power) for slope in slopes]
    normal = torch.stack([torch.stack([inner_product(a, b) for b in across]) for a in across])
    normal = normal + DAMPING * torch.diag_embed(power.expand(2, -1).T).movedim(0, -1)
    descent = torch.stack([inner_product(a, series) for a in across])
    return solve_voxelwise(normal, descent) * (power / product.clamp(min=torch.finfo(power.dtype).tiny))


def _signal_and_slopes(model: SeriesModel, log_times: Tensor) -> tuple[Tensor, Tensor]:
    """Signals ``(n_images, n)`` of PD 1, and their derivatives ``(2, n_images, n)`` by log T1 and log T2."""

    def signals(log_t1: Tensor, log_t2: Tensor) -> Tensor:
        return model(torch.ones_like(log_t1), log_t1.exp(), log_t2.exp())

    log_t1, log_t2 = log_times
    signal = signals(log_t1, log_t2)
    by_t1, by_t2 = signals(log_t1 + DIFFERENCE, log_t2) - signal, signals(log_t1, log_t2 + DIFFERENCE) - signal
    return signal, torch.stack([by_t1, by_t2]) / DIFFERENCE
