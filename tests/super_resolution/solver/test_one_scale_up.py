"""A problem one scale up: the rehearsal of a run, where the LR maps are what is looked for."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab, textured

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.preparation.problem import log_with_floor, prepare
from napari_swig_qmri.super_resolution.solver.gains import start_gains
from napari_swig_qmri.super_resolution.solver.one_scale_up import mixed_variance, rehearse
from napari_swig_qmri.super_resolution.solver.prediction import predict


def problem(maps=None, factor=2.0, n_guides=2, change=lambda guide: guide):
    lr, guides = degraded(slab().maps if maps is None else maps, n_guides, factor)
    return drained(prepare(lr, [change(guide) for guide in guides], guides[0].grid))


def rehearsed(case, *, refined=True, maps=None):
    prediction = drained(predict(case))
    maps = prediction.maps if maps is None else maps
    return drained(rehearse(case, start_gains(case), prediction.covariance, maps if refined else None))


@pytest.mark.parametrize("factor", [2.0, (1, 1, 4), (2, 2, 1)])
def test_right_guides_beat_interpolation(factor):
    errors = rehearsed(problem(factor=factor))
    assert (errors.solved < 0.8 * errors.interpolated).all()


def test_guides_of_another_head_do_not():
    errors = rehearsed(problem(change=lambda guide: replace(guide, data=guide.data[:, ::-1].copy())))
    assert (errors.solved > errors.interpolated).all()


def test_the_scale_of_guides_and_pd_does_not_matter():
    case = problem()
    brighter = problem(change=lambda guide: replace(guide, data=40 * guide.data))
    torch.testing.assert_close(rehearsed(brighter).solved, rehearsed(case).solved, rtol=1e-3, atol=0)


def test_a_regression_is_rehearsed_without_signal_models():
    case = problem()
    wrong = replace(case, sequences=case.sequences[::-1])
    torch.testing.assert_close(rehearsed(wrong, refined=False).solved, rehearsed(case, refined=False).solved)
    assert (rehearsed(wrong).solved > rehearsed(case).solved).any()


def test_maps_without_detail_to_leave_out_are_not_rehearsed():
    box = QuantitativeMaps(data=textured((16, 16, 12)), grid=VoxelGrid((16, 16, 12), np.eye(4)))
    assert rehearsed(problem(box, factor=1.0)).reason == "the maps hold no detail that could be left out"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sequences": ()}, "there is no guide"),
        ({"lr_maps": 0}, "the maps hold too little tissue"),
        ({"lr_guides": -1}, "with half the detail, guide 1 has no positive signal over the tissue .* correct its sign"),
        (
            {"lr_maps": 60},
            "with half the detail, the T1 map has a median of .* correct its unit, .*",
        ),
    ],
)
def test_a_run_that_cannot_be_rehearsed_says_why(change, reason):
    case = problem()
    changed = {name: value if name == "sequences" else value * getattr(case, name) for name, value in change.items()}
    assert re.fullmatch(
        reason, drained(rehearse(replace(case, **changed), start_gains(case), torch.eye(3), None)).reason
    )


def test_the_regression_is_trusted_as_far_as_the_run_found_it_right():
    case = problem()
    maps = drained(predict(case)).maps
    trusted = drained(rehearse(case, start_gains(case), 1e-8 * torch.eye(3), maps))
    torch.testing.assert_close(trusted.solved, rehearsed(case, refined=False).solved, rtol=0.02, atol=0)
    assert (rehearsed(case).solved < 0.9 * trusted.solved).any()


def test_guides_are_trusted_less_where_voxels_of_the_lr_maps_are_mixed():
    case = problem()
    flat = case.interpolate(log_with_floor(case.lr_maps)).exp()  # HR maps without detail mix nothing
    true = torch.as_tensor(slab().maps.data).float()
    of_true, of_flat = (mixed_variance(case, maps)[:, case.tissue].median(-1).values for maps in (true, flat))
    assert (of_true > 10 * of_flat).all()
    assert (rehearsed(case, maps=true).solved < rehearsed(case, maps=flat).solved + 1e-4).all()
