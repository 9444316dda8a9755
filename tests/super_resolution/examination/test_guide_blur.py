import re
from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import plan

POSTERIOR = Options(method="posterior")


def planned(fwhm, options=POSTERIOR):
    """Plan with guides blurred by these widths in mm."""
    maps, guides = degraded(slab().maps, 2, guide_noise=0.0)
    edge = guides[0].grid.voxel_size[0]
    rng = np.random.default_rng(1)
    blurred = []
    for guide, width in zip(guides, fwhm, strict=True):
        data = gaussian_filter(guide.data, width / edge / 2.3548) if width else guide.data
        noise = 0.01 * np.median(data[data > data.mean()]) * rng.standard_normal(data.shape)
        blurred.append(replace(guide, data=np.abs(data + noise).astype(np.float32)))
    return plan(maps, blurred, options)


def widths_told(run):
    """Width in mm by the number of the guide in the notices."""
    told = [re.search(r"blurred to about ([\d.]+) mm", notice) for notice in run.notices]
    return [float(match[1]) for match in told if match]


@pytest.mark.slow  # the part is solved three times
@pytest.mark.parametrize("fwhm", [(4.5, 4.5), (6.0, 6.0), (7.5, 7.5)])
def test_width_is_found_and_told(fwhm):
    run = planned(fwhm)
    assert widths_told(run) == pytest.approx(fwhm, rel=0.15)


def test_sharp_guides_are_left_alone():
    run = planned((0, 0))
    assert widths_told(run) == []
    assert run.problem.coarse == ()


def test_nothing_is_sharpened_without_the_option():
    assert widths_told(planned((6.0, 6.0), replace(POSTERIOR, resolution=False))) == []
