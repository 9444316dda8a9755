"""Receive fields of guides that were shaded by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from engine_cases import degraded, slab

from napari_swig_qmri import Options, plan

OPTIONS = Options(method="posterior", pose=False, resolution=False)


def field_on(grid, strength):
    """Smooth field between 1 - strength and 1 + strength."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
    shape = 0.7 * x + 0.4 * y - 0.5 * z * z
    return 1 + strength * (2 * (shape - shape.min()) / np.ptp(shape) - 1)


def shaded(image, strength):
    return replace(image, data=(image.data * field_on(image.grid, strength)).astype(np.float32))


def errors(run, images, strengths):
    """RMS over tissue of what is left of the logarithm of each field."""
    inside = slab().maps["PD"] > 0.5
    left = []
    for field, image, strength in zip(run.fields, images, strengths, strict=True):
        ratio = np.log(field_on(image.grid, strength) / field.on(image.grid))[inside]
        left.append(float(np.std(ratio)))
    return left


def test_even_guides_are_left_exactly_alone():
    maps, images = degraded(slab().maps)
    run = plan(maps, images, OPTIONS)
    assert not any(field.is_corrected for field in run.fields)
    assert np.array_equal(run.problem.guides[1].numpy(), images[1].data)
    assert [found.receive_field for found in run.findings] == [0.0] * 2
    assert not any("receive field" in notice for notice in run.notices)


def test_a_planted_field_is_found_told_and_divided_out():
    strength = 0.3
    maps, images = degraded(slab().maps)
    run = plan(maps, [images[0], shaded(images[1], strength)], OPTIONS)
    assert max(errors(run, images, (0.0, strength))) < 0.02  # of 0.11
    assert not run.fields[0].is_corrected
    assert any("T2w: receive field ±" in notice and "corrected" in notice for notice in run.notices)
    assert np.abs(run.fields[1].on(images[1].grid)).max() < 1.5  # no wild values away from tissue
    kept = plan(maps, [images[0], shaded(images[1], strength)], replace(OPTIONS, field=False))
    assert kept.fields is None


def test_a_field_that_the_pd_map_shares_is_kept():
    maps, images = degraded(slab().maps)
    data = maps.data.copy()
    data[0] *= field_on(maps.grid, 0.3)
    run = plan(replace(maps, data=data), [shaded(image, 0.3) for image in images], OPTIONS)
    assert not any(field.is_corrected for field in run.fields)
