"""Measurements that are left out: predicted better than by interpolation, and worse where an input is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from napari_swig_qmri.evaluation import held_out
from napari_swig_qmri.evaluation.held_out import format_held_out, hold_out
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

MEASURED = {"pose": False, "field": False, "resolution": False, "maps_from": "averaged", "method": "posterior"}


@cache
def case():
    truth = make_phantom(3.0, extent=((-66, 66), (-84, 60), (-12, 48))).maps
    return (truth, *degrade(truth, 2))


@cache
def planned(n_guides=3):
    _, maps, guides = case()
    return plan(maps, guides[:n_guides], Options(**MEASURED))


@cache
def found(n_guides=3):
    return drained(hold_out(planned(n_guides)))


def test_super_resolution_predicts_what_was_left_out_better_than_interpolation():
    assert [each.name for each in found().guides] == [guide.name for guide in case()[2]]
    assert [each.name for each in found().lr_maps] == ["PD", "T1", "T2"]
    for each in found().guides:
        assert each.predicted.ssim > each.interpolated.ssim
        assert each.predicted.hfen < each.interpolated.hfen
        assert each.predicted.nrmse < each.interpolated.nrmse
    for each in found().lr_maps:
        assert each.predicted.ssim > each.interpolated.ssim
        assert each.predicted.nrmse < each.interpolated.nrmse


def test_a_guide_that_is_said_to_have_another_echo_time_is_predicted_worse():
    _, maps, guides = case()
    number = next(index for index, guide in enumerate(guides) if guide.name == "T2w")
    told = replace(guides[number].sequence, echo_time=1.3 * guides[number].sequence.echo_time)
    others = [replace(guide, sequence=told) if guide is guides[number] else guide for guide in guides]
    run = plan(maps, others, Options(**MEASURED))
    wrong = drained(held_out._without_guide(run, number)).predicted
    right = found().guides[number].predicted
    assert wrong.nrmse > 1.1 * right.nrmse
    assert wrong.hfen > right.hfen


def test_perfect_maps_predict_a_guide_perfectly():
    truth, _, _ = case()
    problem = planned().problem
    maps = torch.as_tensor(truth.data, dtype=torch.float32) / problem.map_units
    head = held_out._head(problem, None)
    for number in range(3):
        score = held_out._score_of_guide(problem, number, maps, head)
        assert score.ssim > 0.9999
        assert score.nrmse < 1e-3


def test_guides_count_only_inside_the_mask():
    mask = np.zeros(planned().hr_grid.shape, bool)
    mask[10:20, 10:20, 5:10] = True
    head = held_out._head(planned().problem, mask)
    assert head.any()
    assert not head[torch.as_tensor(~mask)].any()


@pytest.mark.slow
def test_a_single_guide_is_predicted_by_interpolated_maps_alone_and_this_is_told():
    assert any("only interpolated" in notice for notice in found(1).notices)
    assert len(found(1).guides) == 1


def test_gains_noise_and_reference_are_those_of_the_guides_that_are_kept():
    options = replace(planned().options, gains=[1, 2, 3], guide_noise=[4, 5, 6], reference=2)
    kept = held_out._options(replace(planned(), options=options), [0, 2], planned().maps)
    assert (kept.gains, kept.guide_noise, kept.reference) == ([1, 3], [4, 6], 1)
    left = held_out._options(replace(planned(), options=options), [0, 1], planned().maps)
    assert left.reference is None


def test_frequencies_are_left_out_along_super_resolved_axes_only():
    _, _, guides = case()
    maps = degrade(case()[0], (1, 2, 2))[0]
    problem = plan(maps, guides[:1], Options(**MEASURED)).problem
    x, y, z = problem.lr_grid.shape
    assert held_out._reduced_grid(problem).shape == (x, round(0.75 * y), round(0.75 * z))


def test_the_report_is_json_and_a_table():
    content = json.loads(json.dumps(found().to_json()))
    assert set(content["guides"][0]) == {"name", "ssim", "hfen", "nrmse", "interpolated"}
    assert set(content["lr_maps"]["T1"]) == {"ssim", "hfen", "nrmse", "interpolated"}
    assert "T2, high frequencies" in format_held_out(found())


def test_without_a_guide_nothing_is_left_out():
    alone = plan(case()[1], [], Options(method="posterior", voxel_size=3.0))
    with pytest.raises(ValueError, match="without a guide there is nothing to predict"):
        hold_out(alone)
