"""Problems whose guides are corrected: moved and warped to where the maps have the head, without receive fields."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.super_resolution.examination.guide_support import with_guide_support
from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart, can_be_examined, solved_part
from napari_swig_qmri.super_resolution.examination.pose import Pose, found_poses, moved_guides, with_warps
from napari_swig_qmri.super_resolution.examination.receive_field import (
    ReceiveField,
    has_fields,
    more_fields,
    no_fields,
    without_fields,
)
from napari_swig_qmri.super_resolution.examination.transmit_field import (
    TransmitField,
    in_nominal_field,
    transmit_field_in,
)
from napari_swig_qmri.super_resolution.observations.coarse_guides import sharpened_guides
from napari_swig_qmri.super_resolution.preparation.problem import Problem, prepare
from napari_swig_qmri.super_resolution.solver.prediction import predict

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import BoolArray, QuantitativeMaps, Volume, VoxelGrid, WeightedImage
    from napari_swig_qmri.data.warping import Warp
    from napari_swig_qmri.physics.signals import NamedSignals
    from napari_swig_qmri.super_resolution.options import Options

N_ROUNDS = 3  # of looking for fields in a head that was solved with those found before
SETTLED = 0.004  # RMS over tissue of a change of the fields after which they are as good as they get


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedGuides:
    """A problem whose guides are in place, and what was done to them."""

    problem: Problem
    kept: list[WeightedImage]  # guides as they came that were not sharpened
    poses: tuple[Pose, ...] | None = None  # None if none was looked for
    fields: tuple[ReceiveField, ...] | None = None  # None if none was looked for
    transmit_field: TransmitField | None = None  # None without a map of it
    part: SolvedPart | None = None  # of the problem, if it was solved


def prepared_guides(
    maps: QuantitativeMaps,
    guides: Sequence[WeightedImage],
    hr_grid: VoxelGrid,
    mask: BoolArray | None,
    signals: NamedSignals | None,
    options: Options,
    transmit_map: Volume | None = None,
) -> Generator[None, None, PreparedGuides]:
    """Bring maps and guides to common grids, and correct the guides as the options say; yields between the steps.

    `signals` are those that the maps were fitted to, `mask` ``(X, Y, Z)`` lies on the HR grid, `transmit_map` is one of
    B1+.
    """
    dtype = getattr(torch, options.dtype)

    def prepared(
        corrected: Sequence[WeightedImage], warps: Sequence[Warp | None] | None = None
    ) -> Generator[None, None, PreparedGuides]:
        sharp = (yield from sharpened_guides(corrected, hr_grid)) if options.resolution else corrected
        problem = yield from prepare(maps, sharp, hr_grid, mask, dtype, corrected, signals, warps)
        if options.resolution:
            problem = with_guide_support(problem, sharp)
        kept = [guide for guide, before, after in zip(guides, corrected, sharp, strict=True) if before is after]
        return PreparedGuides(problem=problem, kept=kept)

    result, placed = (yield from prepared(guides)), guides
    if options.pose and guides:
        poses = yield from found_poses(result.problem, guides)
        placed = moved_guides(guides, poses)
        if any(pose.is_corrected for pose in poses):
            result = yield from prepared(placed)
        poses = yield from with_warps(result.problem, placed, poses)
        prepared = partial(prepared, warps=[pose.warp for pose in poses])
        if any(pose.warp for pose in poses):
            result = yield from prepared(placed)
        result = replace(result, poses=poses)
    if transmit_map is not None and guides:
        result, placed = yield from _in_nominal_field(result, placed, transmit_map, prepared)
    if options.field and can_be_examined(result.problem):
        result = yield from _without_fields(result, placed, prepared)
    return result


def _in_nominal_field(
    placed: PreparedGuides,
    guides: Sequence[WeightedImage],
    transmit_map: Volume,
    prepared: Callable[..., Generator[None, None, PreparedGuides]],
) -> Generator[None, None, tuple[PreparedGuides, Sequence[WeightedImage]]]:
    """The guides as a nominal transmit field would have given them, first by the LR maps, then by a regression.

    Also returns the guides on their own grids.
    """
    problem = placed.problem
    field = yield from transmit_field_in(problem, transmit_map)
    corrected = yield from in_nominal_field(guides, problem.lr_maps, problem.lr_grid, transmit_map)
    nearly = yield from prepared(corrected)
    maps = (yield from predict(nearly.problem)).maps
    corrected = yield from in_nominal_field(guides, maps, problem.hr_grid, transmit_map)
    result = yield from prepared(corrected)
    return replace(result, poses=placed.poses, transmit_field=field), corrected


def _without_fields(
    placed: PreparedGuides,
    guides: Sequence[WeightedImage],
    prepared: Callable[..., Generator[None, None, PreparedGuides]],
) -> Generator[None, None, PreparedGuides]:
    """The guides without their receive fields; `prepared` makes a problem of corrected guides."""
    part, fields = (yield from solved_part(placed.problem)), no_fields(placed.problem)
    if not has_fields(placed.problem, part):
        return replace(placed, fields=fields, part=part)
    result = placed
    for _ in range(N_ROUNDS):
        fields, change = yield from more_fields(result.problem, fields)
        if not change:
            break
        result = yield from prepared(without_fields(guides, fields))
        if change < SETTLED:
            break
    return replace(
        result,
        poses=placed.poses,
        fields=fields,
        transmit_field=placed.transmit_field,
        part=part if result is placed else None,
    )
