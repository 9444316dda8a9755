"""A prediction that is repeated with known noise, and a box that is solved with it."""

from __future__ import annotations

from dataclasses import replace

import torch
from engine_cases import degraded, slab

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.engine import solve, solve_inside
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.solver.head_box import crop_to_box, find_head_box
from napari_swig_qmri.super_resolution.solver.prediction import predict
from napari_swig_qmri.super_resolution.solver.repeated_prediction import predict_again


def test_it_is_the_first_prediction_where_nothing_has_changed():
    problem = plan(*degraded(slab().maps, 2), Options(method="posterior")).problem
    first = drained(predict(problem))
    again = drained(predict_again(problem, first.noise, first.covariance))
    torch.testing.assert_close(again.maps, first.maps)


def test_the_box_of_the_head_solved_alone_is_that_of_the_run():
    planned = plan(*degraded(slab().maps, 2), Options(method="posterior"))
    solution = drained(solve(planned))
    whole = drained(predict_again(planned.problem, solution.noise, solution.covariance))
    gains = (solution.gains / planned.problem.gain_units).tolist()
    known = replace(planned, options=replace(planned.options, gains=gains))
    box = find_head_box(planned.problem)
    maps, conflict = drained(solve_inside(known, *crop_to_box(planned.problem, whole, box)))
    head = maps[0] > 0.3
    torch.testing.assert_close(maps[:, head], solution.maps[(slice(None), *box.hr)][:, head], rtol=1e-3, atol=1e-4)
    assert conflict.shape == maps.shape[1:]
