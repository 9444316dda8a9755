"""A plan refuses what cannot run in one sentence, and holds what follows from the inputs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from nibabel.affines import from_matvec
from run_cases import NAMES, case, solved

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps, super_resolve
from napari_swig_qmri.super_resolution.plan import plan
from napari_swig_qmri.super_resolution.preflight import preflight
from napari_swig_qmri.super_resolution.solver.devices import choose_device

FAST = Options(method="regression", device="cpu")
T1W = SpinEcho(repetition_time=0.6, echo_time=0.012)


def guide(name="T1w", sequence=T1W):
    grid = VoxelGrid((8, 8, 8), np.eye(4))
    data = np.linspace(1, 2, 512, dtype=np.float32).reshape(grid.shape)
    return WeightedImage(data=data, grid=grid, name=name, sequence=sequence)


def box(value=1.0):
    grid = VoxelGrid((4, 4, 4), from_matvec(np.eye(3) * 2, [0.5] * 3))
    return QuantitativeMaps(data=np.full((3, 4, 4, 4), value, np.float32), grid=grid)


def without(name, value):
    """Maps of which one has nothing but `value`."""
    data = box().data
    data[NAMES.index(name)] = value
    return replace(box(), data=data)


FAR = from_matvec(np.eye(3), [500, 0, 0])


FLAT = VoxelGrid((8, 8, 8), np.diag([1.0, 1.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("maps", "guides", "options", "sentence"),
    [
        (box(), [guide()] * 6, {}, "up to 5 guides can be used, but 6 came"),
        (box(), [guide(sequence=None)], {}, "the sequence of guide 'T1w' is not known"),
        (box(), [guide()], {"gains": [1.0, 2.0]}, "1 guides need one gain each, but 2 came"),
        (box(), [guide()], {"gains": 812}, "1 guides need one gain each, but 812 came"),
        (box(), [guide()], {"guide_noise": []}, "1 guides need one noise level each, but 0 came"),
        (box(), [guide()], {"lr_noise": {"PD": 0.01}}, "T1 and T2 is missing"),
        (box(), [guide()], {"lr_noise": dict.fromkeys((*NAMES, "T3"), 0.01)}, "names T3, but there is no such map"),
        (without("PD", 0.0), [guide()], {}, "the PD map holds no value above 0"),
        (without("T2", -1.0), [guide()], {}, "the T2 map holds no value above 0"),
        (box(), [guide()], {"mask": np.zeros((8, 8, 8))}, "the mask is empty"),
        (box(), [guide()], {"mask": np.ones((8, 8, 7))}, r"the mask has the shape \(8, 8, 7\)"),
        (box(), [replace(guide(), data=np.zeros((8, 8, 8)))], {}, "T1w holds no voxel with a value"),
        (
            box(),
            [replace(guide(), grid=VoxelGrid((8, 8, 8), FAR))],
            {},
            "T1w covers nothing of the low-resolution maps",
        ),
        (box(), [replace(guide(), grid=FLAT)], {}, "the affine of T1w is singular"),
        (box(), [replace(guide(), data=-guide().data)], {}, "T1w has no positive signal over the tissue"),
        (box(), [guide()], {"device": "cpu:foo"}, "the device 'cpu:foo' is not on this machine: choose cpu or cpu:0"),
        (replace(box(), grid=VoxelGrid((4, 4, 4), FLAT.affine)), [guide()], {}, "the affine of the low-res.* singular"),
        (QuantitativeMaps(data=np.ones((0, 4, 4, 4)), grid=box().grid, names=()), [guide()], {}, "no map was given"),
        (box(), [guide()], {"reference": 3}, "the reference must be a guide from 0 to 0, but it is 3"),
        (box(0), [guide()], {}, "the low-resolution maps hold no voxel with a value"),
        (box(np.nan), [guide()], {}, "the low-resolution maps hold no voxel with a value"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_before_and_in_a_run(maps, guides, options, sentence):
    mask = options.pop("mask", None)
    with pytest.raises(ValueError, match=sentence):
        super_resolution_steps(maps, guides, Options(**options), mask=mask)  # before the first step
    (problem,) = preflight(maps, guides, Options(**options), mask=mask).problems
    assert re.search(sentence, problem)


def test_a_plan_is_run_as_it_is_and_alone():
    lr, guides = case()
    planned = plan(lr, guides, FAST)
    result = super_resolve(planned)
    np.testing.assert_array_equal(result.maps.data, super_resolve(lr, guides, FAST).maps.data)
    assert result.parameters["options"] == FAST.to_json()
    for more in ({"guides": guides}, {"options": FAST}, {"units": "s"}, {"mask": np.ones(planned.hr_grid.shape)}):
        with pytest.raises(TypeError, match="a plan holds its guides, options, units and mask"):
            super_resolution_steps(planned, **more)


def test_notices_of_a_plan_are_in_the_result_once():
    lr, guides = case()
    gap = guides[0].data.copy()
    gap[20, 20, 10] = np.nan
    noted = [replace(guides[0], data=gap, notices=("T1w: something was assumed.",)), guides[1]]
    planned = plan(lr, noted, FAST)
    assert planned.notices[0] == "T1w: something was assumed."
    assert any("have no value" in notice for notice in planned.notices)
    assert super_resolve(planned).notices == planned.notices


def test_a_result_without_more_detail_is_refused():
    lr, guides = case()
    with pytest.raises(ValueError, match=f"the guide {guides[0].name!r} was given twice"):
        solved(lr, [guides[0], replace(guides[0], data=guides[0].data.copy())])
    edges = np.asarray(lr.grid.voxel_size) * (1, 1, 1.5)
    with pytest.raises(ValueError, match="mm would be coarser than those of the maps"):
        solved(lr, guides, voxel_size=edges)


@pytest.mark.parametrize("values", [(3.0, 3.0), (0.0, 1.0), (np.nan, 1.0)])
def test_a_guide_without_contrast_is_refused(values: tuple[float, float]) -> None:
    lr, guides = case()
    mask = np.where(guides[0].data > np.median(guides[0].data), values[1], values[0]).astype(np.float32)
    with pytest.raises(ValueError, match=f"the guide {guides[0].name!r} has no contrast, no two values other than 0"):
        solved(lr, [replace(guides[0], data=mask), guides[1]])


def test_a_given_reference_sets_the_grid():
    lr, guides = case()
    coarse = guides[1].grid.with_shape((24, 28, 12))
    smaller = KSpaceTruncation(guides[1].grid, coarse)(torch.as_tensor(guides[1].data)).numpy()
    pair = [guides[0], replace(guides[1], data=smaller, grid=coarse)]
    assert solved(lr, pair, method="regression").maps.grid is guides[0].grid
    assert solved(lr, pair, method="regression", reference=1).maps.grid is coarse


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_said():
    with pytest.raises(ValueError, match="there is no cuda device on this machine: choose 'auto' or 'cpu'"):
        choose_device("cuda")


def test_auto_finds_a_device():
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    assert choose_device("cpu") == torch.device("cpu")


def test_a_mask_with_the_shape_of_the_reference_lies_on_it_where_the_result_is_a_part():
    lr, guides = case()
    part = QuantitativeMaps(data=lr.data[..., 2:6], grid=lr.grid.box((0, 0, 2), (*lr.grid.shape[:2], 4)))
    mask = np.zeros(guides[0].grid.shape)
    mask[:24, :, 6:10] = 1
    inside = plan(part, guides, FAST, mask).mask
    assert inside.shape == (*guides[0].grid.shape[:2], 12)
    np.testing.assert_array_equal(inside, mask[:, :, 2:14] > 0)
    with pytest.raises(ValueError, match="the mask has the shape"):
        plan(part, guides, FAST, mask[1:])
