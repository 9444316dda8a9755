"""How well a run predicts measurements that it has not seen: guides and high frequencies of the maps, left out in turn.

Each guide is left out, the maps are super-resolved with the others, and the image that they predict is compared with
the acquired one. Then the outer part of the k-space of the maps is left out, the rest is super-resolved with all
guides, and the result is compared with the measured maps. Interpolation of the maps is scored beside both.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.data.resampling import interpolated, on_grid
from napari_swig_qmri.data.truncation import KSpaceTruncation, relative_axes
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.evaluation.planted_lesions import fitted_maps
from napari_swig_qmri.evaluation.scores import axial_axis, without_small_slices
from napari_swig_qmri.metrics import DATA_RANGE, hfen, nrmse, ssim
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import Progress, between, mapped, with_time_left
from napari_swig_qmri.super_resolution.engine import solve
from napari_swig_qmri.super_resolution.options import AUTO, AVERAGED, UNKNOWN
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.preparation.hr_grid import choose_hr_grid
from napari_swig_qmri.super_resolution.preparation.problem import with_floor
from napari_swig_qmri.super_resolution.preparation.tissue import head_brightness, is_bright
from napari_swig_qmri.super_resolution.solver.head_box import HEAD
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual
from napari_swig_qmri.super_resolution.solver.prediction import pure_tissue

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray
    from napari_swig_qmri.super_resolution.options import Options
    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.preparation.coarse_guides import CoarseGuide
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

KEPT = 0.75  # of the frequencies of the maps along each axis that is super-resolved
FINER = 1.01  # ratio of LR to HR voxel edges from which an axis is super-resolved
MOST_SIGNAL = 99.5  # percentile of a guide in the head at which its scores clip; beyond it are vessels and spikes


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Scores of a predicted image or map against the measured one."""

    ssim: float
    hfen: float
    nrmse: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Scores of one measurement that was left out, predicted by super-resolution and by interpolation."""

    name: str
    predicted: Similarity
    interpolated: Similarity

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"name": self.name, **asdict(self.predicted), "interpolated": asdict(self.interpolated)}


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Scores of measurements that were left out.

    Attributes
    ----------
    guides
        Each guide, predicted by the maps and the other guides.
    lr_maps
        Each measured map, predicted from three quarters of its frequencies along each axis and all guides.
    notices
        What could not be tested and why, one sentence each.

    Examples
    --------
    >>> from napari_swig_qmri import HeldOut
    >>> HeldOut(guides=(), lr_maps=()).to_json()
    {'guides': [], 'lr_maps': {}, 'notices': []}
    """

    guides: tuple[Prediction, ...]
    lr_maps: tuple[Prediction, ...]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready values: a list of guides, and an object of maps by name."""
        maps = {each.name: each.to_json() for each in self.lr_maps}
        for each in maps.values():
            del each["name"]
        return {"guides": [each.to_json() for each in self.guides], "lr_maps": maps, "notices": list(self.notices)}


def hold_out(planned: RunPlan) -> Generator[Progress, None, HeldOut]:
    """Leave out each guide, and the outer part of the k-space of the maps, and score what a run predicts of them.

    The run is planned and solved again for each.

    Parameters
    ----------
    planned
        The run, with one guide or more.

    Yields
    ------
    Progress
        Fraction, stage and time left.

    Raises
    ------
    ValueError
        If there is no guide.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, hold_out, make_phantom, plan
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> next(hold_out(plan(maps, guides[:2], Options(method="posterior")))).stage
    'leaving out T1w'
    """
    if not planned.guides:
        raise ValueError("without a guide there is nothing to predict: choose a weighted image as `guide`.")
    return with_time_left(_held_out(planned))


def _held_out(planned: RunPlan) -> Generator[Progress, None, HeldOut]:
    n_runs = len(planned.guides) + 1
    guides: list[Prediction] = []
    maps: tuple[Prediction, ...] = ()
    notices: list[str] = []
    for number, guide in enumerate(planned.guides):
        stage = f"leaving out {guide.name}"
        yield Progress(number / n_runs, stage)
        steps = _without_guide(planned, number)
        guides.append((yield from mapped(steps, _shown(stage, number, n_runs))))
    if len(planned.guides) == 1:
        notices.append("With a single guide, the maps that predict it are only interpolated.")
    yield Progress(1 - 1 / n_runs, stage := "leaving out high frequencies of the maps")
    reduced_grid = _reduced_grid(planned.problem)
    if reduced_grid is None:
        notices.append("The maps have the voxels of the result: none of their frequencies were left out.")
    else:
        maps = yield from mapped(_with_fewer_frequencies(planned, reduced_grid), _shown(stage, n_runs - 1, n_runs))
    return HeldOut(guides=tuple(guides), lr_maps=maps, notices=tuple(notices))


def _shown(stage: str, number: int, n_runs: int) -> Any:
    """Function that makes the progress of a run that of one of several, as one stage."""
    rescaled = between(number / n_runs, (number + 1) / n_runs)
    return lambda step: replace(rescaled(step), stage=stage)


def _options(planned: RunPlan, kept: Sequence[int], maps: QuantitativeMaps) -> Options:
    """Options of a run with some of the guides, with the HR voxels and the origin of the maps that were found."""
    options, guides = planned.options, [planned.guides[each] for each in kept]

    def of_kept(values: Sequence[float] | None) -> list[float] | None:
        return [values[each] for each in kept] if values is not None and kept else None

    is_kept = options.reference is not None and options.reference in kept
    options = replace(
        options,
        reference=kept.index(options.reference) if is_kept else None,
        gains=of_kept(options.gains),
        guide_noise=of_kept(options.guide_noise),
        maps_from=_origin(planned),
        correct_sequence=False,  # the guides of the plan have the sequences that it found
        adapt=options.adapt and bool(kept),
        all_maps=options.all_maps and bool(kept),
    )
    if not guides and options.voxel_size is None:
        return replace(options, voxel_size=planned.hr_grid.voxel_size)
    usual = choose_hr_grid(maps, guides, options.voxel_size, options.reference)
    if np.allclose(usual.voxel_size, planned.hr_grid.voxel_size, rtol=0.01):
        return options
    return replace(options, voxel_size=planned.hr_grid.voxel_size)


def _origin(planned: RunPlan) -> Any:
    """What the maps were fitted to, as the run found it."""
    options, signals = planned.options, planned.problem.lr_signals
    if options.maps_from != AUTO:
        return options.maps_from
    if signals is None:
        return AVERAGED
    return UNKNOWN if signals.name == UNKNOWN else AUTO


def _mask(planned: RunPlan) -> Volume | None:
    if planned.mask is None:
        return None
    return Volume(data=planned.mask.astype(np.float32), grid=planned.hr_grid, name="mask")


def _without_guide(planned: RunPlan, number: int) -> Generator[Progress, None, Prediction]:
    """Scores of a guide that is predicted by the maps and the other guides."""
    problem = planned.problem
    kept = [each for each in range(len(planned.guides)) if each != number]
    others = [planned.guides[each] for each in kept]
    options = _options(planned, kept, planned.maps)
    run = plan(planned.maps, others, options, _mask(planned))
    solution = yield from mapped(solve(run), between(0.0, 0.9))
    maps = _on_grid(solution.maps, run.problem.hr_grid, problem.hr_grid)
    lr_maps = QuantitativeMaps(data=problem.measured_lr_maps.numpy(), grid=problem.lr_grid)
    cubic = torch.as_tensor(interpolated(lr_maps, problem.hr_grid).data).to(maps.dtype)
    head = _head(problem, planned.mask)
    yield Progress(0.9, "scoring")
    scores = [_score_of_guide(problem, number, with_floor(each), head) for each in (maps, cubic)]
    return Prediction(name=planned.guides[number].name, predicted=scores[0], interpolated=scores[1])


def _on_grid(maps: Tensor, grid: VoxelGrid, target: VoxelGrid) -> Tensor:
    """Maps ``(3, ...)`` on another grid, unchanged if it is the same one, else by cubic splines."""
    if grid.is_aligned_with(target):
        return maps
    moved = [on_grid(each.numpy(), grid, target, order=3, mode="nearest") for each in maps]
    return torch.as_tensor(np.stack(moved))


def _head(problem: Problem, mask: BoolArray | None) -> Tensor:
    """HR voxels ``(X, Y, Z)`` of the head where maps were measured, inside the mask if there is one; boolean."""
    inside = problem.interpolate(_lr_head(problem).to(problem.lr_maps.dtype)) > 0.5
    return inside if mask is None else inside & torch.as_tensor(mask)


def _score_of_guide(problem: Problem, number: int, maps: Tensor, head: Tensor) -> Similarity:
    """Scores of the image that maps ``(3, X, Y, Z)`` predict, at the resolution that the guide was measured with."""
    signal = problem.sequences[number](*maps)
    coarse = next((each for each in problem.coarse if each.guide == number), None)
    tissue = pure_tissue(problem)
    if coarse is None:
        image, valid, grid = problem.guides[number], problem.guide_valid[number], problem.hr_grid
        axis = axial_axis(grid)
    else:
        signal, image, valid, grid = (
            coarse.average(signal),
            coarse.image,
            coarse.valid,
            _grid_of(coarse, problem.hr_grid),
        )
        head, tissue = (coarse.average(each.to(signal.dtype)) > 0.5 for each in (head, tissue))
        axis = int(np.argmax(grid.voxel_size))
    where, gain = (head & valid).numpy(), _gain(signal, image, head & valid & tissue)
    if not where.any():
        raise ValueError("a guide shows nothing of the head that the maps show: leave this `guide` out.")
    reference = image.numpy()
    low, high = np.percentile(reference[where], (100 - MOST_SIGNAL, MOST_SIGNAL)).tolist()
    low = min(low, 0.0)
    return _scores(gain * signal.numpy() - low, reference - low, where, high - low, grid, axis)


def _gain(signal: Tensor, image: Tensor, where: Tensor) -> float:
    """Factor on a signal that fits an image best over the voxels `where` ``(x, y, z)``; 1 without any."""
    x, r = signal[where].double(), image[where].double()
    power = float(x @ x)
    return float(x @ r) / power if power > 0 else 1.0


def _grid_of(coarse: CoarseGuide, hr_grid: VoxelGrid) -> VoxelGrid:
    """Grid with the voxel edges of a guide with thick slices; its place does not count."""
    widths = [float(1 / matrix.max(1).values.median().clamp(max=1)) for matrix in coarse.average.matrices]
    x, y, z = coarse.image.shape
    return VoxelGrid((x, y, z), np.diag([*np.multiply(widths, hr_grid.voxel_size), 1.0]))


def _scores(
    image: FloatArray, reference: FloatArray, where: BoolArray, limit: float, grid: VoxelGrid, axis: int
) -> Similarity:
    scored = without_small_slices(where, grid, axis)
    return Similarity(
        ssim=ssim(image, reference, scored, limit, axis),
        hfen=hfen(image, reference, scored, limit, axis),
        nrmse=nrmse(image, reference, where, limit),
    )


def _reduced_grid(problem: Problem) -> VoxelGrid | None:
    """LR grid with fewer voxels along the axes that are super-resolved; None if there is no such axis."""
    spacing, _ = relative_axes(problem.hr_grid, problem.lr_grid)
    shape = [
        max(2, round(KEPT * n)) if ratio > FINER and n > 2 else n
        for n, ratio in zip(problem.lr_grid.shape, spacing, strict=True)
    ]
    grid = problem.lr_grid.with_shape((shape[0], shape[1], shape[2]))
    return None if grid.shape == problem.lr_grid.shape else grid


def _with_fewer_frequencies(planned: RunPlan, grid: VoxelGrid) -> Generator[Progress, None, tuple[Prediction, ...]]:
    """Scores of the measured maps, predicted from the frequencies that a coarser grid holds and all guides."""
    problem, guides = planned.problem, planned.guides
    reduced = _reduced(planned, grid)
    options = _options(planned, range(len(guides)), reduced)
    run = plan(reduced, guides, options, _mask(planned))
    solution = yield from mapped(solve(run), between(0.0, 0.9))
    maps = _on_grid(solution.maps, run.problem.hr_grid, problem.hr_grid)
    scale = run.problem.pd_unit / problem.pd_unit
    maps = torch.stack([maps[0] * scale, maps[1], maps[2]])
    predicted = (problem.lr_maps - lr_residual(problem, maps)).numpy()
    cubic = interpolated(reduced, problem.lr_grid)
    head = _lr_head(problem).numpy()
    axis = axial_axis(problem.lr_grid)
    yield Progress(0.9, "scoring")
    scores = []
    for name, image, reference in zip(QUANTITIES, predicted, problem.lr_maps.numpy(), strict=True):
        if name not in reduced.names:
            continue
        factor, limit = (problem.pd_unit if name == "PD" else 1.0), DATA_RANGE[name]
        pair = (_scores(each, reference, head, limit, problem.lr_grid, axis) for each in (image, cubic[name] / factor))
        first, second = pair
        title = planned.maps.titles[planned.maps.names.index(name)]
        scores.append(Prediction(name=title, predicted=first, interpolated=second))
    return tuple(scores)


def _lr_head(problem: Problem) -> Tensor:
    """LR voxels ``(x, y, z)`` of the head, by PD or without it by the guides; boolean."""
    if problem.measured[0]:
        return problem.lr_valid & (problem.lr_maps[0] > HEAD)
    return is_bright(head_brightness(None, problem.lr_guides), problem.lr_valid) & problem.lr_valid


def _reduced(planned: RunPlan, grid: VoxelGrid) -> QuantitativeMaps:
    """Measured maps with the frequencies that a coarser grid holds, or fitted to signals that were truncated to it."""
    problem = planned.problem
    truncate = KSpaceTruncation(problem.lr_grid, grid, dtype=problem.lr_maps.dtype, open_axes=problem.open_axes)
    data = truncate(problem.measured_lr_maps)
    if problem.lr_signals is not None:
        wanted = truncate(problem.lr_signals(problem.measured_lr_maps))
        data = fitted_maps(replace(problem, lr_maps=data), wanted)
    seen = truncate(problem.lr_seen.to(data.dtype)) > 0.5
    data = (data * problem.map_units).masked_fill(~seen, torch.nan)
    kept = [index for index, name in enumerate(QUANTITIES) if name in planned.maps.names]
    names = tuple(list(QUANTITIES)[index] for index in kept)
    return replace(planned.maps, data=data[kept].float().numpy(), grid=grid, names=names)


def format_held_out(found: HeldOut) -> str:
    """Table of the scores as text."""
    lines = [f"{'left out':24}  {'SSIM':>7} {'HFEN':>7} {'NRMSE %':>8}   interpolated maps: SSIM, HFEN, NRMSE %"]
    rows = [*found.guides, *(replace(each, name=f"{each.name}, high frequencies") for each in found.lr_maps)]
    for row in rows:
        own, other = (
            f"{each.ssim:7.4f} {each.hfen:7.4f} {100 * each.nrmse:8.2f}" for each in (row.predicted, row.interpolated)
        )
        lines.append(f"{row.name:24}  {own}   {other}")
    return "\n".join([*lines, "", *found.notices]).rstrip()
