"""What is said before a run."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from engine_cases import GAINS, degraded, textured

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.pipeline import super_resolve
from napari_swig_qmri.super_resolution.preflight import TYPICAL_TISSUES, preflight, visible_share


@pytest.fixture(scope="module")
def box():
    maps = QuantitativeMaps(data=textured((16, 16, 16)), grid=VoxelGrid((16, 16, 16), np.eye(4)))
    return degraded(maps, 3)


def said(lr, guides, *, mask=None, **options):
    outlook = preflight(lr, guides, Options(**options), mask=mask)
    assert outlook.problems == ()
    return " ".join(outlook.statements)


def test_sizes_and_device_are_said(box):
    lr, guides = box
    text = said(lr, guides[:2], device="cpu")
    assert "Maps 2 × 2 × 2 mm become 1 × 1 × 1 mm, 16 × 16 × 16 voxels." in text
    assert "Runs on CPU." in text
    assert "become 1 × 1 × 2 mm, 16 × 16 × 8 voxels." in said(lr, guides, voxel_size=(1, 1, 2))


def test_gains_are_found_or_given(box):
    lr, guides = box
    found = re.search(r"Gains found: T1w (\S+), T2w (\S+) \(", said(lr, guides[:2]))
    np.testing.assert_allclose([float(number) for number in found.groups()], GAINS[:2], rtol=0.03)
    assert "Gains are given: T1w 800, T2w 95." in said(lr, guides[:2], gains=[800, 95])


def test_maps_without_tissue_are_a_problem(box):
    lr, guides = box
    (problem,) = preflight(replace(lr, data=0 * lr.data), guides).problems
    assert "no voxel with a value" in problem


def test_what_two_guides_cannot_see_is_said(box):
    lr, guides = box
    text = said(lr, guides[:2])
    assert "PD detail in tissue comes mostly from the LR map; a FLAIR or PDw guide would fix it." in text


def test_a_third_guide_is_not_asked_for_again(box):
    lr, guides = box
    text = said(lr, guides)
    assert "would fix it" not in text


def test_how_sharp_each_map_can_get(box):
    lr, guides = box
    sharpness = preflight(lr, guides).sharpness
    assert sharpness["T1"] == {"WM": "partly", "GM": "partly", "CSF": "well"}
    assert sharpness["T2"] == {"WM": "well", "GM": "well", "CSF": "hardly"}
    assert list(preflight(lr, guides[:2]).sharpness) == ["PD", "T1", "T2"]
    assert preflight(lr, []).sharpness == {}


def test_without_guides_no_detail_is_promised(box):
    assert "no detail is added" in said(box[0], [], voxel_size=1)


def test_guides_on_another_grid_are_named(box):
    lr, guides = box
    grid = guides[1].grid.with_shape((8, 8, 8))
    moved = replace(guides[1], grid=grid, data=guides[1].data[::2, ::2, ::2])
    assert "T2w: voxels of 2 × 2 × 2 mm: corrected" in said(lr, [guides[0], moved])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gains": [1.0]}, "need one gain each"),
        ({"reference": 9}, "the reference must be a guide"),
    ],
)
def test_problems_are_those_the_run_would_raise(box, options, sentence):
    lr, guides = box
    outlook = preflight(lr, guides, Options(**options))
    assert outlook.statements == ()
    (problem,) = outlook.problems
    assert sentence in problem
    with pytest.raises(ValueError, match=sentence):
        super_resolve(lr, guides, Options(**options))


def test_a_guide_without_a_sequence_is_a_problem(box):
    lr, guides = box
    (problem,) = preflight(lr, [replace(guides[0], sequence=None)]).problems
    assert "the sequence of guide 'T1w' is not known" in problem


def test_larger_problems_take_longer_and_more_memory(box):
    lr, guides = box
    small, large = (preflight(lr, guides, Options(voxel_size=size)) for size in (1.0, 0.25))
    assert large.seconds == pytest.approx(64 * small.seconds)
    assert large.memory > small.memory
    assert preflight(lr, guides, Options(method="regression")).seconds < small.seconds
    limited = preflight(lr, guides, Options(voxel_size=0.25, memory_limit=10_000_000))
    assert limited.memory < large.memory
    adapted = preflight(lr, guides, Options(adapt=True))
    assert adapted.seconds > small.seconds
    assert adapted.memory > small.memory


def test_more_memory_than_the_machine_has_is_a_problem(box, monkeypatch):
    lr, guides = box
    needed = preflight(lr, guides).memory
    monkeypatch.setattr("napari_swig_qmri.super_resolution.plan.machine_memory", lambda: needed - 1)
    (problem,) = preflight(lr, guides).problems
    assert re.search(r"this needs about .* GB of memory, but the machine has", problem)
    monkeypatch.setattr("napari_swig_qmri.super_resolution.plan.machine_memory", lambda: None)
    assert preflight(lr, guides).problems == ()


def test_more_guides_never_show_less():
    sequences = list(USUAL_GUIDES.values())
    for tissue in TYPICAL_TISSUES.values():
        shares = [visible_share(sequences[:n], tissue) for n in range(4)]
        np.testing.assert_allclose(shares[0], 0, atol=1e-5)
        assert (np.diff(shares, axis=0) > -1e-5).all()
        assert np.max(shares) <= 1
