"""Super-resolution from volumes to results."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.progress import Progress, mapped
from napari_swig_qmri.super_resolution.checks import (
    DTYPES,
    check,
)
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD
from napari_swig_qmri.super_resolution.outcome import adaptation_errors, method_that_ran, relative_noise, result_of
from napari_swig_qmri.super_resolution.results import SuperResolution
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.solver.problem import choose_hr_grid, prepare, reference_of
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, fingerprint, weights_file

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.engine import Solution


def super_resolve(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    *,
    method: str = DEFAULT_METHOD,
    voxel_size: float | Sequence[float] | None = None,
    reference: int | None = None,
    mask: FloatArray | None = None,
    gains: Sequence[float] | None = None,
    lr_noise: Mapping[str, float] | None = None,
    guide_noise: Sequence[float] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    memory_limit: int | None = None,
    weights: str | Path | None = None,
    adapt: bool = False,
    keep_noise: bool = False,
) -> Generator[Progress, None, SuperResolution]:
    """Super-resolve quantitative maps with weighted images of the same head.

    A plain generator: it yields `Progress` and returns the result. `console.drain` runs it to the
    end under a progress bar.

    Parameters
    ----------
    maps
        Measured LR maps, any of PD (arbitrary unit), T1 and T2 (s). NaN and voxels that are 0 in all maps count
        as not measured.
    guides
        None to five weighted images with known sequences, in scanner units.
    method
        A key of `METHODS`.
    voxel_size
        HR voxel edges in mm, over the field of view of the reference; its own voxels by default.
    reference
        Index of the guide whose grid the result gets; the finest guide by default.
    mask
        ``(X, Y, Z)`` on the HR grid; the maps are 0 outside and noise and gains are found inside.
    gains
        Scanner units per unit of signal at the PD unit of `maps`, one per guide; found from the data by default.
    lr_noise
        Standard deviation relative to the value per map name; estimated by default.
    guide_noise
        Standard deviation in scanner units, one per guide; estimated by default.
    device
        ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
    dtype
        ``"float32"`` or ``"float64"``.
    memory_limit
        Bytes the working memory of a slab of planes may take, beside some 40 volumes of the HR grid that every run
        holds, and 30 more with the network. Slabs do not change the result.
    weights
        Of the network: a key of `WEIGHTS`, a file that `swig-qmri train` wrote, or ``hub:owner/repository`` on the
        Hugging Face hub. `DEFAULT_WEIGHTS` by default.
    adapt
        Train the network on this subject first, for as long as that lowers its cross-scale error.
    keep_noise
        Leave the maximum of the posterior as it is. By default voxels are averaged with neighbours that differ by
        no more than noise.

    Raises
    ------
    ValueError
        On input that cannot be used, with one sentence that says what to do.
    FileNotFoundError
        If there are no such weights.
    """
    check(
        maps,
        guides,
        method=method,
        gains=gains,
        lr_noise=lr_noise,
        guide_noise=guide_noise,
        dtype=dtype,
        memory_limit=memory_limit,
        voxel_size=voxel_size,
        reference=reference,
        weights=weights,
        adapt=adapt,
        keep_noise=keep_noise,
    )
    target = choose_device(device)
    if target.type == "mps" and dtype == "float64":
        raise ValueError("MPS devices have no float64: choose dtype 'float32' or device 'cpu'.")
    name = weights or DEFAULT_WEIGHTS
    file = weights_file(name) if method == "network" else None
    network = None if file is None else SwigNet.from_pretrained(file)
    used = None if file is None else {"name": str(name), "sha256": fingerprint(file)}
    started = Progress(0.0, "bringing the images onto one grid")
    yield started
    preparing = prepare(maps, guides, choose_hr_grid(maps, guides, voxel_size, reference), mask, DTYPES[dtype])
    problem = yield from mapped(preparing, lambda _: started)
    solution = yield from with_time_left(
        solve(
            problem,
            refined=method != "regression",
            network=network,
            adapted=adapt,
            gains=None if gains is None else torch.tensor(gains, dtype=problem.lr_maps.dtype) * problem.gain_units,
            lr_noise=relative_noise(lr_noise),
            guide_noise=None if guide_noise is None else torch.tensor(guide_noise, dtype=problem.lr_maps.dtype),
            device=target,
            memory_limit=memory_limit,
            keep_noise=keep_noise,
        )
    )
    yield Progress(1.0, "comparing the result with the images")
    ran = method_that_ran(solution, guides)
    asked = {
        "method": ran,
        "weights": used if ran == "network" else None,
        "adapted": adaptation_errors(solution),
        "reference": guides[reference_of(guides, reference)].name if guides else None,
        "mask": None if mask is None else f"{int((np.asarray(mask) > 0.5).sum())} voxels",
        "device": str(target),
        "dtype": dtype,
        "memory_limit": memory_limit,
        "keep_noise": keep_noise or ran not in ("posterior", "network"),
    }
    result = result_of(problem, solution, maps, guides, mask, asked)
    if (method, ran) != ("network", "posterior"):
        return result
    return replace(result, notices=(*result.notices, "Without a PD map the network was left out."))


def with_time_left(
    steps: Generator[Progress, None, Solution],
) -> Generator[Progress, None, Solution]:
    """The same steps with the seconds left, from the pace so far."""
    started = time.monotonic()

    def timed(step: Progress) -> Progress:
        spent = time.monotonic() - started
        left = spent / step.fraction * (1 - step.fraction) if step.fraction > 0.05 else None
        return replace(step, seconds_left=left)

    return (yield from mapped(steps, timed))
