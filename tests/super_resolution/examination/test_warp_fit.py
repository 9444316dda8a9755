"""Warps of guides that were distorted by a known, smooth displacement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine_cases import degraded, slab
from scipy.ndimage import map_coordinates

from napari_swig_qmri import Options, super_resolve
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.examination import warp_fit
from napari_swig_qmri.super_resolution.examination.pose import unmoved, with_warps
from napari_swig_qmri.super_resolution.preparation.problem import prepare

VOXEL = 3.0  # mm, of the slab
STRENGTH = 2.5  # mm, largest displacement along an axis


def displacement(shape: tuple[int, ...], sign: int) -> np.ndarray:
    """Smooth displacement ``(3, x, y, z)`` in mm."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    waves = [np.sin(2.5 * y + 1) * np.cos(z), np.cos(2.5 * x), 0.5 * np.sin(2 * x + y)]
    return sign * STRENGTH * np.stack(waves)


def distorted(image, sign: int):
    """The image with each voxel read beside its place; its warp is the opposite to first order."""
    places = np.indices(image.grid.shape) + displacement(image.grid.shape, sign) / VOXEL
    return replace(image, data=map_coordinates(image.data, places, order=5, mode="nearest").astype(np.float32))


def warps(maps, images):
    problem = drained(prepare(maps, images, images[0].grid))
    return drained(with_warps(problem, images, [unmoved() for _ in images]))


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_guides_that_fit_are_left_exactly_alone(level: float) -> None:
    maps, images = degraded(slab().maps, map_noise=level, guide_noise=level)
    assert all(pose.warped is None for pose in warps(maps, images))


def test_images_without_contrast_are_left_alone() -> None:
    maps, (first, *_) = degraded(slab().maps)
    flat = replace(maps, data=np.full_like(maps.data, 0.8))
    assert all(pose.warped is None for pose in warps(flat, [replace(first, data=np.ones_like(first.data))]))


@pytest.mark.parametrize("sign", [1, -1])
def test_known_warps_are_found_with_their_sign(sign: int) -> None:
    maps, images = degraded(slab().maps)
    shading = np.linspace(0.8, 1.2, images[1].grid.shape[0])[:, None, None]
    bent = distorted(images[1], sign)
    first, second = warps(maps, [images[0], replace(bent, data=3 * shading * bent.data)])
    assert first.warp is None
    assert second.warp is not None
    head, true = slab().maps["PD"] > 0.5, displacement(images[1].grid.shape, sign)
    error = np.linalg.norm(second.warp.displacement() + true, axis=0)[head]
    assert np.linalg.norm(true, axis=0)[head].mean() > 2.0
    assert np.median(error) < 0.6  # a fifth of a voxel; the opposite displacement itself is off by 0.2 mm
    assert second.warped.largest > 2.0


def test_looking_at_few_voxels_first_finds_the_same_warp(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, images = degraded(slab().maps)
    bent = [images[0], distorted(images[1], 1)]
    _, all_at_once = warps(maps, bent)
    monkeypatch.setattr(warp_fit, "PROBED", 400)
    first, second = warps(maps, bent)
    assert first.warp is None
    np.testing.assert_array_equal(second.warp.coefficients, all_at_once.warp.coefficients)


def test_a_warp_is_corrected_and_told() -> None:
    truth = slab().maps
    maps, images = degraded(truth)
    bent = [images[0], distorted(images[1], 1)]
    brain = (truth["T2"] > 0.03) & (truth["T2"] < 0.15) & (truth["PD"] > 0.5)
    corrected, left = (super_resolve(maps, bent, Options(method="posterior", pose=pose)) for pose in (True, False))
    errors = [np.median(np.abs(result.maps["T2"][brain] / truth["T2"][brain] - 1)) for result in (corrected, left)]
    assert errors[0] < 0.6 * errors[1]
    straight, warped = corrected.parameters["guides"]
    assert straight["warp"] is None
    assert 1 < warped["warp"]["rms_mm"] < warped["warp"]["largest_mm"] < 6
    assert sum("warped" in notice for notice in corrected.notices) == 1
