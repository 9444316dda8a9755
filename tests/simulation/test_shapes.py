"""Signed distances of shapes, and fields between the points of their lattice."""

from __future__ import annotations

import numpy as np
import pytest

from napari_swig_qmri.simulation.shapes import Lattice, ellipsoid, smooth_min, spline_field, tube, waves

LATTICE = Lattice((-6, -6, -6), (6, 6, 6), 1.5)


def test_a_field_passes_through_its_samples_and_is_smooth_between() -> None:
    p = np.meshgrid(*LATTICE.axes, indexing="ij")
    field = spline_field(np.sin(p[0] / 3) + 0.1 * p[1] * p[2], LATTICE)
    np.testing.assert_allclose(field(*LATTICE.axes), np.sin(p[0] / 3) + 0.1 * p[1] * p[2], atol=1e-4)
    x = np.linspace(-2, 2, 7)
    expected = np.sin(x / 3)[:, None, None] + 0.1 * x[:, None] * x
    np.testing.assert_allclose(field(x, x, x), expected, atol=0.01)  # mirrored edges die out within a few samples


def test_a_lattice_overlaps_the_part_of_a_grid_inside_it() -> None:
    axes = (np.arange(-9.0, 9.0), np.arange(4.0, 9.0), np.arange(-3.0, 3.0))
    assert LATTICE.overlap(axes) == (slice(3, 16), slice(0, 3), slice(0, 6))
    assert LATTICE.overlap((axes[0], np.arange(7.0, 9.0), axes[2])) is None


def test_shapes_are_distances() -> None:
    p = (np.array([0.0, 3.0, 10.0]), np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(ellipsoid(p, (0, 0, 0), (5, 5, 5)), (-5, -2, 5), atol=0.01)
    np.testing.assert_allclose(tube(p, ((-4, 0, 0, 1), (4, 0, 0, 1))), (-1, -1, 5), atol=1e-6)
    np.testing.assert_allclose(tube(p, ((0, -9, 0, 1), (0, 9, 0, 1)), (2, 1, 1)), (-1, 0.5, 4), atol=1e-6)
    assert smooth_min(np.array(1.0), np.array(9.0), 2.0) == 1
    assert smooth_min(np.array(1.0), np.array(1.0), 2.0) == pytest.approx(0.5)


def test_waves_have_unit_variance_and_one_wavelength() -> None:
    x = np.arange(0, 4000, 0.5, dtype=np.float32)
    field = waves((x, 0 * x, 0 * x), 20.0, np.random.default_rng(0), 200)
    assert field.std() == pytest.approx(1, abs=0.1)
    frequency = np.fft.rfftfreq(len(x), 0.5)
    power = np.abs(np.fft.rfft(field)) ** 2
    assert power[frequency < 1.2 / 20].sum() > 0.98 * power.sum()  # along x, waves at an angle look longer


def test_waves_on_axes_are_those_on_their_grid() -> None:
    axes = np.ix_(*(np.linspace(-50, 60, n).astype(np.float32) for n in (7, 9, 11)))
    grid = np.broadcast_arrays(*axes)
    both = [waves(p, 20.0, np.random.default_rng(3), 12) for p in (axes, grid)]
    np.testing.assert_allclose(*both, atol=1e-4)
