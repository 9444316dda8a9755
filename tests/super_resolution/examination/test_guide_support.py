from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab

from napari_swig_qmri.data.truncation import truncation_matrix
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

POSTERIOR = Options(method="posterior")


def zero_filled(guide, kept):
    """Guide of which `kept` samples were measured along the first axis."""
    n = guide.grid.shape[0]
    matrix = truncation_matrix(n, kept)
    return replace(
        guide, data=np.abs(np.tensordot(matrix.T @ matrix * n / kept, guide.data, axes=1)).astype(np.float32)
    )


@pytest.mark.parametrize("options", [POSTERIOR, replace(POSTERIOR, resolution=False)])
def test_zero_filled_guides_are_compared_at_their_resolution(options):
    maps, guides = degraded(slab().maps, 2, map_noise=0.01, guide_noise=0.01)
    run = plan(maps, [guides[0], zero_filled(guides[1], 36)], options)
    assert [each.guide for each in run.problem.coarse] == ([1] if options.resolution else [])
    assert any("compared at this resolution" in notice for notice in run.notices) == options.resolution
    for coarse in run.problem.coarse:
        assert abs(coarse.image.shape[0] - 36) <= 2
        assert coarse.image.shape[1:] == guides[1].grid.shape[1:]
        level = float(run.problem.guide_levels[1])
        difference = coarse.average(run.problem.guides[1]) - coarse.image
        assert float(difference.abs().median()) < 0.02 * level


def test_guides_as_measured_are_compared_voxel_by_voxel():
    maps, guides = degraded(slab().maps, 2, map_noise=0.01, guide_noise=0.01)
    assert plan(maps, guides, POSTERIOR).problem.coarse == ()
