"""Prediction of maps again after images have changed, with the noise and the errors that a run has measured."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_swig_qmri.super_resolution.solver.lr_term import lr_variance
from napari_swig_qmri.super_resolution.solver.prediction import Noise, Prediction, scale_of
from napari_swig_qmri.super_resolution.solver.regression import corrected, regress
from napari_swig_qmri.super_resolution.solver.unmeasured import with_usual_maps

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.super_resolution.preparation.problem import Problem


def predict_again(problem: Problem, noise: Noise, covariance: Tensor) -> Generator[None, None, Prediction]:
    """Prediction of a problem with known `noise` and `covariance` ``(3, 3)`` of the errors; yields between the steps.

    Of a problem that has not changed it is what `prediction.predict` returned.
    """
    scale = scale_of(problem, refit_t2=True)
    yield
    maps = yield from regress(scale)
    if problem.lr_signals is None:
        maps = corrected(scale, maps, lr_variance(problem, noise.lr_maps).sqrt())
    yield
    maps, own = with_usual_maps(maps, problem)
    return Prediction(maps=maps, covariance=covariance, noise=noise, unmeasured=own)
