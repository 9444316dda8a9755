"""Guides that were acquired in a transmit field of which there is a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import degraded, slab, textured

from napari_swig_qmri import Mprage, Options, plan, super_resolve
from napari_swig_qmri.data.transmit_field import transmit_field_on
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.physics.transmit_field import in_field_map
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade

OPTIONS = Options(method="regression", pose=False, resolution=False, field=False)


def field_map(grid, strength, *, percent=False):
    """B1+ between 1 - strength and 1 + strength on voxels of 4 times the size."""
    coarse = grid.with_shape(tuple(-(-n // 4) for n in grid.shape))
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in coarse.shape], indexing="ij")
    data = 1 + strength * (1 - 2 * (x * x + y * y + z * z) / 3)
    return Volume(data=(data * (100 if percent else 1)).astype(np.float32), grid=coarse, name="B1")


def in_field(image, volume):
    """A guide as the field of a map on its own grid would have given it."""
    maps = [torch.as_tensor(each).flatten() for each in slab().maps.data]
    field = torch.as_tensor(volume).flatten()
    signed = image.sequence.signed
    actual = in_field_map(lambda b1, *parts: signed(*parts, transmit_field=b1), maps, field).abs()
    ratio = actual / signed(*maps).abs().clamp(min=1e-6)
    return replace(image, data=image.data * ratio.view(image.grid.shape).numpy())


def on_fine_voxels(volume, grid):
    """The field of a map on another grid."""
    return drained(transmit_field_on(volume, grid))


def test_a_nominal_field_changes_nothing():
    maps, images = degraded(slab().maps)
    plain = plan(maps, images, OPTIONS)
    run = plan(maps, images, replace(OPTIONS, b1=field_map(images[0].grid, 0.0)))
    torch.testing.assert_close(run.problem.guides, plain.problem.guides, rtol=1e-5, atol=0.0)
    assert {(each.transmit_field.lowest, each.transmit_field.highest) for each in run.findings} == {(1.0, 1.0)}


@pytest.mark.parametrize("t1w", [USUAL_GUIDES["T1w"], Mprage.from_typical()], ids=["spin echo", "MPRAGE"])
def test_guides_in_a_known_field_become_those_of_the_nominal_one(t1w):
    maps, images = degrade(slab().maps, 2.0, {"T1w": t1w, "T2w": USUAL_GUIDES["T2w"]}, gains=(812.0, 95.0))
    actual = on_fine_voxels(field_map(images[0].grid, 0.2), images[0].grid)
    planted = [in_field(image, actual) for image in images]
    run = plan(maps, planted, replace(OPTIONS, b1=field_map(images[0].grid, 0.2, percent=True)))
    inside = slab().maps["PD"] > 0.5
    for image, corrected, shaded in zip(images, run.problem.guides.numpy(), planted, strict=True):
        left, before = (np.abs(each[inside] / image.data[inside] - 1).mean() for each in (corrected, shaded.data))
        assert left < 0.003 < 0.015 < before
    assert any("percent" in notice for notice in run.notices)


def test_a_result_names_the_map_and_its_range():
    box = QuantitativeMaps(data=textured((16, 16, 12)), grid=VoxelGrid((16, 16, 12), np.eye(4)))
    maps, images = degraded(box, 1)
    found = super_resolve(maps, images, replace(OPTIONS, b1=field_map(images[0].grid, 0.1)))
    told = found.parameters["guides"][0]["doctor"]["transmit_field"]
    assert told["map"] == "B1"
    assert told["range"] == pytest.approx([0.9, 1.1], abs=0.03)
    assert found.parameters["options"]["b1"] == "B1"


def test_a_map_from_elsewhere_is_refused_with_the_distance():
    maps, images = degraded(slab().maps)
    given = field_map(images[0].grid, 0.1)
    affine = given.grid.affine.copy()
    affine[0, 3] += 500
    with pytest.raises(ValueError, match=r"B1.* 500 mm"):
        plan(maps, images, replace(OPTIONS, b1=replace(given, grid=VoxelGrid(given.grid.shape, affine))))
