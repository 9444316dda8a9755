"""Super-resolution from volumes to results."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.sidecars import REMEDY
from napari_swig_qmri.data.truncation import relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import mapped
from napari_swig_qmri.super_resolution.checks import (
    check_detail,
    check_distinct,
    check_grid,
    check_lr_noise,
    check_maps,
    check_per_guide,
    check_positive,
)
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, METHODS
from napari_swig_qmri.super_resolution.results import RESEARCH_NOTICE, Progress, SuperResolution
from napari_swig_qmri.super_resolution.solver.devices import choose_device
from napari_swig_qmri.super_resolution.solver.prediction import MIN_LR_NOISE
from napari_swig_qmri.super_resolution.solver.problem import choose_hr_grid, prepare, reference_of
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, fingerprint, weights_file

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.engine import Solution
    from napari_swig_qmri.super_resolution.solver.problem import Problem

MAX_GUIDES = 5
DTYPES = {"float32": torch.float32, "float64": torch.float64}
NOTABLE_CONFLICT = 1e-4  # share of the voxels
MISFIT = ((0.03, 5.0), (0.15, 1.5))  # median relative LR residual, and times that of noise, which are too much
RINGING = 0.22  # of T2: truncated maps ring around CSF, maps fitted to truncated signals do not
NOISE_MEDIAN = 0.6745  # median magnitude of noise with a standard deviation of 1


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
            lr_noise=_relative_noise(lr_noise),
            guide_noise=None if guide_noise is None else torch.tensor(guide_noise, dtype=problem.lr_maps.dtype),
            device=target,
            memory_limit=memory_limit,
            keep_noise=keep_noise,
        )
    )
    yield Progress(1.0, "comparing the result with the images")
    ran = _method_that_ran(solution, guides)
    asked = {
        "method": ran,
        "weights": used if ran == "network" else None,
        "adapted": _about_adaptation(solution),
        "reference": guides[reference_of(guides, reference)].name if guides else None,
        "mask": None if mask is None else f"{int((np.asarray(mask) > 0.5).sum())} voxels",
        "device": str(target),
        "dtype": dtype,
        "memory_limit": memory_limit,
        "keep_noise": keep_noise or ran not in ("posterior", "network"),
    }
    result = _result(problem, solution, maps, guides, mask, asked)
    if (method, ran) != ("network", "posterior"):
        return result
    return replace(result, notices=(*result.notices, "Without a PD map the network was left out."))


def _about_adaptation(solution: Solution) -> dict[str, float] | None:
    """Cross-scale errors of the network over those of the posterior."""
    if solution.adaptation is None:
        return None
    return dict(zip(("error_before", "error_after"), solution.adaptation, strict=True))


def _method_that_ran(solution: Solution, guides: Sequence[WeightedImage]) -> str:
    """The regression alone runs where T1 or T2 was not measured, and no network without PD, whatever was asked."""
    if not guides:
        return "interpolation"
    if solution.conflict is None:
        return "regression"
    return "network" if solution.corrected else "posterior"


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


def check(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    *,
    method: str = DEFAULT_METHOD,
    gains: Sequence[float] | None = None,
    lr_noise: Mapping[str, float] | None = None,
    guide_noise: Sequence[float] | None = None,
    dtype: str = "float32",
    memory_limit: int | None = None,
    voxel_size: float | Sequence[float] | None = None,
    reference: int | None = None,
    weights: str | Path | None = None,
    adapt: bool = False,
    keep_noise: bool = False,
    **_others: Any,
) -> None:
    """Refuse with one sentence what cannot run; arguments as for `super_resolve`."""
    check_maps(maps)
    if method not in METHODS:
        raise ValueError(f"the method must be one of {', '.join(METHODS)}, but it is {method!r}.")
    if method != "network" and (weights is not None or adapt):
        raise ValueError(f"only the method network takes weights and adapts them, but it is {method!r}: choose one.")
    if method == "network" and keep_noise:
        raise ValueError("networks are trained on maps without noise: leave out keep_noise, or choose the posterior.")
    if method == "network":
        SwigNet.from_pretrained(weights or DEFAULT_WEIGHTS)  # says what is wrong with the file
    if adapt and not guides:
        raise ValueError("adapting needs a guide, but there is none: leave it out, or choose a weighted image.")
    if adapt and set(maps.names) != set(QUANTITIES):
        raise ValueError(f"adapting needs maps of PD, T1 and T2, but there are {', '.join(maps.names)}: leave it out.")
    if dtype not in DTYPES:
        raise ValueError(f"the dtype must be one of {', '.join(DTYPES)}, but it is {dtype!r}.")
    if len(guides) > MAX_GUIDES:
        raise ValueError(f"up to {MAX_GUIDES} guides can be used, but {len(guides)} came: leave some out.")
    check_per_guide(gains, len(guides), "gain")
    check_per_guide(guide_noise, len(guides), "noise level")
    check_lr_noise(lr_noise, maps.names)
    if memory_limit is not None:
        check_positive([memory_limit], "memory limit")
    for guide in guides:
        check_grid(guide.grid, guide.name)
        if guide.sequence is None:
            raise ValueError(f"the sequence of guide {guide.name!r} is not known: {REMEDY}.")
    check_distinct(guides)
    check_detail(maps, guides, choose_hr_grid(maps, guides, voxel_size, reference), voxel_size)


def _relative_noise(levels: Mapping[str, float] | None) -> torch.Tensor | None:
    """Levels ``(3,)``; a map that was not measured has none that counts."""
    if levels is None:
        return None
    return torch.tensor([float(levels.get(name, MIN_LR_NOISE)) for name in QUANTITIES])


def _result(
    problem: Problem,
    solution: Solution,
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    mask: FloatArray | None,
    asked: Mapping[str, Any],
) -> SuperResolution:
    """Back to the units and the quantities of the input, with synthesised guides, residuals and provenance."""
    measured = [i for i, name in enumerate(QUANTITIES) if name in maps.names]
    unit = torch.tensor([problem.pd_unit, 1.0, 1.0]).view(-1, 1, 1, 1)
    names = tuple(name for name in QUANTITIES if name in maps.names)
    lr_residual = problem.lr_maps - problem.truncate(solution.maps)
    notices = (*problem.notices, *_about(problem, solution, lr_residual))
    lr_residual = lr_residual * unit
    lr_residual[:, ~problem.lr_valid] = torch.nan
    synthesised = tuple(
        WeightedImage(
            data=(gain * sequence(*solution.maps)).numpy(),
            grid=problem.hr_grid,
            name=f"{guide.name} synthesised",
            sequence=sequence,
        )
        for guide, sequence, gain in zip(guides, problem.sequences, solution.gains.tolist(), strict=True)
    )
    acquired = tuple(
        replace(guide, data=(image * seen).numpy(), grid=problem.hr_grid)
        for guide, image, seen in zip(guides, problem.guides, problem.guide_valid, strict=True)
    )
    inside = (problem.interpolate(problem.lr_seen.float()) > 0.5) & _covered(problem)
    if mask is not None:
        inside &= torch.as_tensor(np.asarray(mask) > 0.5)
    data = (solution.maps * unit * inside)[measured]
    for name, volume in zip(names, data, strict=True):
        if not (volume.isfinite().all() and (volume > 0).any()):
            raise ValueError(f"the run found no value of {name}: check the guides, their sequences and the maps.")
    gains = tuple((solution.gains / problem.gain_units).tolist())
    return SuperResolution(
        maps=QuantitativeMaps(data=data.numpy(), grid=problem.hr_grid, names=names),
        guides=acquired,
        synthesised=synthesised,
        lr_residual=QuantitativeMaps(data=lr_residual[measured].numpy(), grid=problem.lr_grid, names=names),
        lr_maps=QuantitativeMaps(data=(problem.lr_maps * unit)[measured].numpy(), grid=problem.lr_grid, names=names),
        conflict=None if solution.conflict is None else solution.conflict.numpy(),
        gains=gains,
        notices=notices,
        parameters=_parameters(problem, solution, guides, gains, asked),
    )


def _covered(problem: Problem) -> torch.Tensor:
    """HR voxels within the field of view of the LR maps, half an LR voxel beyond it included; ``(X, Y, Z)`` bool."""
    spacing, first = relative_axes(problem.hr_grid, problem.lr_grid)
    within = []
    for n, n_lr, start, step in zip(problem.hr_grid.shape, problem.lr_grid.shape, first, spacing, strict=True):
        place = (np.arange(n) - start) / step
        within.append(torch.as_tensor((place >= -1) & (place <= n_lr)))
    x, y, z = within
    return x[:, None, None] & y[:, None] & z


def _about(problem: Problem, solution: Solution, lr_residual: torch.Tensor) -> Iterator[str]:
    """Sentences on what a run did that its user should know; `lr_residual` ``(3, x, y, z)``, PD relative to water."""
    for i, name in enumerate(QUANTITIES):
        relative = (lr_residual[i] / problem.lr_maps[i])[problem.tissue & problem.lr_valid].abs()
        left, noise = float(relative.median()), NOISE_MEDIAN * float(solution.noise.lr_maps[i])
        if name == "T2" and left < RINGING:
            continue
        if problem.measured[i] and any(left > max(least, times * noise) for least, times in MISFIT):
            yield (
                f"The result does not fit the measured {name} map: over tissue it differs by {left:.0%}, where noise "
                f"makes {noise:.1%}. Do not use it before guides and maps show the same head in the same place, with "
                "the right sequences, gains and units."
            )
    if solution.conflict is not None:
        share = float((solution.conflict > 0.5).float().mean())
        if share > NOTABLE_CONFLICT:
            yield (
                f"Guides and low-resolution maps disagree in {share:.2%} of the voxels; there the maps were followed "
                f"(see the conflict map)."
            )
    if problem.sequences and not all(problem.measured[1:]):
        yield "Without a T1 and a T2 map signal models cannot be used: the maps come from regression alone."
    if not problem.sequences:
        yield "Without a guide the maps were only interpolated; no detail was added."


def _parameters(
    problem: Problem,
    solution: Solution,
    guides: Sequence[WeightedImage],
    gains: Sequence[float],
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """Every setting of a run, JSON-ready."""
    return {
        **asked,
        "lr_voxel_size": list(problem.lr_grid.voxel_size),
        "hr_voxel_size": list(problem.hr_grid.voxel_size),
        "lr_noise": dict(zip(QUANTITIES, solution.noise.lr_maps.tolist(), strict=True)),
        "guides": [
            {
                "name": guide.name,
                "sequence": type(sequence).__name__,
                **asdict(sequence),
                "gain": gain,
                "noise": deviation,
            }
            for guide, sequence, gain, deviation in zip(
                guides, problem.sequences, gains, solution.noise.guides.tolist(), strict=True
            )
        ],
        "notice": RESEARCH_NOTICE,
    }
