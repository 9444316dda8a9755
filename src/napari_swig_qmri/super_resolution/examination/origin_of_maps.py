"""Whether LR maps are averages of HR maps or were fitted to averaged signals, decided by the voxels next to CSF."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.truncation import EVERYWHERE
from napari_swig_qmri.super_resolution.solver.conflicts import fluid_share
from napari_swig_qmri.super_resolution.solver.lr_term import lr_residual

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.truncation import Slices
    from napari_swig_qmri.physics.signals import NamedSignals
    from napari_swig_qmri.super_resolution.examination.part_of_head import SolvedPart
    from napari_swig_qmri.super_resolution.preparation.problem import Problem

NEAR_FLUID = (0.05, 0.6)  # smoothed share of LR voxels with CSF, where voxels hold both CSF and tissue
LEAST_VOXELS = 200  # LR voxels that are compared
FITTED = 0.3  # residual of T1 times that of T2 through signals over that of averages: .2 for fitted maps, others .45 on
NOTICE = (
    "Next to CSF the low-resolution maps follow averaged signals rather than averaged maps, as maps of a scanner do: "
    "they are compared through generic signals. Name their protocol with `maps_from` for a better result."
)


def with_origin(problem: Problem, part: SolvedPart, signals: NamedSignals) -> Problem:
    """Problem whose LR maps are compared through `signals` if this explains them much better than averages do.

    Compared are the median residuals of T1 and T2 in the voxels next to CSF of a `part` that follows the guides.
    Nothing is decided with few such voxels.
    """
    low, high = NEAR_FLUID
    fluid = fluid_share(problem)
    near = part.inner & (fluid > low) & (fluid < high)
    if int(near.sum()) < LEAST_VOXELS:
        return problem
    fitted = replace(problem, lr_signals=signals, lr_outside=torch.zeros_like(signals(problem.lr_maps)))
    residuals = [_residual(each, part.maps, near, part.rows) for each in (fitted, problem)]
    if float(residuals[0] / residuals[1]) > FITTED:
        return problem
    return replace(fitted, notices=(*problem.notices, NOTICE))


def _residual(problem: Problem, maps: Tensor, where: Tensor, rows: Slices) -> Tensor:
    """Median relative LR residual of T1 times that of T2 in the voxels `where` ``(x, y, z)``, all of them in `rows`."""
    lr_maps, truncate = problem.lr_maps[(slice(None), *rows)], problem.truncate.restricted(EVERYWHERE, rows)
    residual = lr_residual(replace(problem, lr_maps=lr_maps, truncate=truncate), maps)
    relative = (residual / lr_maps)[1:, where[rows]].abs()
    return relative.median(-1).values.clamp(min=1e-6).prod()
