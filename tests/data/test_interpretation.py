"""Volumes as maps and guides: rates, grids, wrong units, and MP2RAGE UNI as scanners store it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from nibabel.affines import from_matvec
from volume_cases import AFFINE, numbered, rotation, stored_as, volume

from napari_swig_qmri.data.interpretation import (
    as_guide,
    as_maps,
    as_signal,
    guide_volume,
    is_uniform_image,
    map_notices,
    map_volumes,
    uniform_image,
    with_pd_scale_of,
)
from napari_swig_qmri.data.recognition.sidecars import from_sidecar
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.signal_models import SpinEcho

SPIN_ECHO = {"EchoTime": 0.012, "RepetitionTime": 0.6, "ScanningSequence": "SE", "SequenceName": "SE"}


def test_maps_are_ordered_and_rates_become_times():
    r1 = np.full((2, 2, 2), 0.8, np.float32)
    r1[0, 0, 0] = 0
    r2 = volume(data=np.full((2, 2, 2), 10, np.float32), suffix="R2map", unit="1/s", name="r2")
    maps = as_maps([r2, volume(data=r1, suffix="R1map", unit="1/s", name="r1")])
    assert maps.names == ("T1", "T2")
    assert np.isnan(maps["T1"][0, 0, 0])
    np.testing.assert_allclose(maps["T1"].ravel()[1:], 1.25, rtol=1e-6)
    np.testing.assert_allclose(maps["T2"], 0.1, rtol=1e-6)


def test_proton_density_keeps_its_scale():
    pd = volume(data=4000 * numbered(), suffix="PDmap", unit="arbitrary", name="pd")
    np.testing.assert_array_equal(as_maps([pd])["PD"], 4000 * numbered())
    assert map_notices([pd]) == ()


@pytest.mark.parametrize("fill", [-9999, -32768, -1e30, 99999, 1e20, 3e38])
@pytest.mark.parametrize("is_turned", [False, True])
def test_fill_values_count_as_not_measured(fill: float, is_turned: bool):
    generator = np.random.default_rng(0)
    tissue = generator.lognormal(0, 0.4, (12, 12, 12)).astype(np.float32)
    tissue[4, 4, 4], tissue[5, 5, 5] = -0.1, 5  # noise around zero, and fluid
    images = []
    for number in (fill, np.nan):
        image = tissue.copy()
        image[:2], image[6, 6, 6] = number, number
        images.append(volume(data=image, suffix="T1map", unit="s", name="t1"))
    if is_turned:  # interpolated onto other maps: the number must not spread
        turned = VoxelGrid(tissue.shape, rotation((3, 0, 0)) @ images[0].grid.affine)
        pair = replace(volume(data=tissue, suffix="PDmap", unit="arbitrary", name="pd"), grid=turned)
        others = [pair, replace(pair, suffix="T2map", data=tissue / 10, unit="s", name="t2")]
    else:
        others = []
    told, plain = (as_maps([image, *others])["T1"] for image in images)
    np.testing.assert_array_equal(told, plain)
    (notice,) = [each for each in map_notices([images[0], *others]) if "Values such as" in each]
    assert f"t1: Values such as {fill:g}" in notice
    assert "(289 of its voxels)" in notice
    guide, notices = as_guide(replace(images[0], suffix="T1w", unit=None, sidecar=SPIN_ECHO))
    np.testing.assert_array_equal(guide.data, images[1].data)
    assert "289" in notices[0]


def test_maps_that_do_not_fit_together_are_refused():
    t1 = volume(suffix="T1map", unit="s", name="t1")
    with pytest.raises(ValueError, match=r"'image' is a T2w, but a PD, T1 or T2 map is needed"):
        as_maps([volume(suffix="T2w")])
    with pytest.raises(ValueError, match="one map per quantity"):
        as_maps([t1, volume(suffix="R1map", unit="1/s", name="r1")])
    with pytest.raises(ValueError, match="three axes"):
        as_maps([volume(data=numbered((3, 3, 3, 2)), suffix="T1map", unit="s")])
    with pytest.raises(ValueError, match="at least one"):
        as_maps([])


@pytest.mark.parametrize(
    ("suffix", "unit", "value"),
    [("T1map", "s", 1e3), ("T1map", "s", 1e-3), ("T2map", "s", 80), ("R2map", "1/s", 0.012)],
)
def test_times_in_a_wrong_unit_are_refused(suffix, unit, value):
    with pytest.raises(ValueError, match=r"T. 'x' has a median of .* s, but T. lies between .* and . s; .*`units`"):
        as_maps([volume(data=np.full((3, 3, 3), value), suffix=suffix, unit=unit, name="x")])


@pytest.mark.parametrize("code", ["RAS", "LAS", "LPS", "PIR", "SAL"])
def test_maps_in_another_voxel_order_are_reordered_exactly(code):
    tilted = rotation((3, 4, 5)) @ AFFINE
    image = stored_as(code, tilted)
    other = volume(data=np.asarray(image.dataobj) / 100, affine=image.affine, suffix="T2map", unit="s")
    t1, pd = (
        volume(data=numbered() / 100, affine=tilted, suffix=suffix, unit=unit, name=suffix)
        for suffix, unit in (("T1map", "s"), ("PDmap", "arbitrary"))
    )
    maps = as_maps([other, t1, pd])
    np.testing.assert_array_equal(maps.grid.affine, t1.grid.affine)  # of the majority
    np.testing.assert_array_equal(maps["T2"], numbered() / np.float32(100))
    told = map_notices([other, t1, pd])
    assert told == (() if code == "RAS" else (f"image: {KEPT}",))


KEPT = "its voxels were put into the order and field of view of the other maps; their values are unchanged."


def test_a_map_with_another_field_of_view_is_cropped_and_padded_without_interpolation():
    larger = VoxelGrid((6, 5, 7), np.eye(4))
    t1 = volume(data=numbered((4, 4, 4)) / 100, affine=np.eye(4), suffix="T1map", unit="s", name="T1map")
    data = np.random.default_rng(0).uniform(0.05, 0.1, larger.shape)
    shifted = from_matvec(np.eye(3), [1, -2, -1])
    t2 = volume(data=data, affine=shifted, suffix="T2map", unit="s", name="T2map")
    maps = as_maps([t1, t2])
    np.testing.assert_array_equal(maps["T2"][1:, :3], data[:3, 2:5, 1:5].astype(np.float32))
    assert np.isnan(maps["T2"][0]).all()
    assert np.isnan(maps["T2"][:, 3]).all()
    assert map_notices([t1, t2]) == (f"T2map: {KEPT}",)


def test_a_map_on_another_grid_is_interpolated_sharply_and_it_is_said():
    """A wave of four voxels is reproduced between them; linear interpolation would halve it there."""
    grid = VoxelGrid((24, 20, 20), np.eye(4))
    between = VoxelGrid((23, 20, 20), from_matvec(np.eye(3), [0.5, 0, 0]))
    t1, t2 = (
        volume(
            data=0.08 + 0.02 * np.sin(np.pi / 2 * each.world(np.moveaxis(np.indices(each.shape), 0, -1))[..., 0]),
            affine=each.affine,
            suffix=suffix,
            unit="s",
            name=suffix,
        )
        for each, suffix in ((grid, "T1map"), (between, "T2map"))
    )
    maps = as_maps([t1, t2])
    np.testing.assert_allclose(maps["T2"][6:-6], maps["T1"][6:-6], atol=5e-4)
    assert map_notices([t1, t2]) == ("T2map: interpolated onto the voxels of the other maps.",)
    part = as_maps([t1, replace(t2, data=t2.data[:12], grid=VoxelGrid((12, 20, 20), between.affine))])
    assert np.isnan(part["T2"][14:]).all()
    far = VoxelGrid(t2.grid.shape, from_matvec(np.eye(3), [200, 0, 0]))
    with pytest.raises(ValueError, match=r"T2map and the other maps do not overlap: their centres lie 200 mm apart"):
        as_maps([t1, replace(t2, grid=far)])


def test_a_guide_has_the_sequence_of_its_sidecar():
    guide, notices = as_guide(volume(suffix="T1w", sidecar=SPIN_ECHO))
    assert (guide.sequence, notices) == (SpinEcho(echo_time=0.012, repetition_time=0.6), ())
    with pytest.raises(ValueError, match="a guide is a weighted image"):
        as_guide(volume(suffix="T1map", unit="s"))


def test_the_first_volume_of_a_series_is_the_guide_and_assumptions_are_stated():
    series = numbered((3, 3, 3, 2))
    guide, notices = as_guide(volume(data=series, suffix="T2w", notices=("Something.",)))
    np.testing.assert_array_equal(guide.data, series[..., 0])
    assert "EchoTime (90 ms), RepetitionTime" in notices[1]
    assert "2 volumes" in notices[-1]
    assert guide.notices == tuple(f"image: {notice}" for notice in ("Something.", *notices))


def test_maps_and_guides_become_volumes_again():
    t1 = volume(data=numbered() / 100, suffix="T1map", unit="s")
    (back,) = map_volumes(as_maps([t1]), "SR", {"Key": 1})
    assert (back.name, back.suffix, back.unit, back.sidecar) == ("T1 SR", "T1map", "s", {"Key": 1})
    np.testing.assert_array_equal(back.data, t1.data)
    guide, _ = as_guide(volume(suffix="T1w", sidecar=SPIN_ECHO, name="T1w"))
    as_volume = guide_volume(guide, {"Key": 1})
    assert (from_sidecar(as_volume.sidecar, "T1w")[0], as_volume.sidecar["Key"]) == (guide.sequence, 1)


@pytest.mark.parametrize(
    ("stored", "notice"),
    [
        (lambda uniform: uniform, ()),
        (lambda uniform: uniform + 0.5, ("image is stored as 0 to 1 and was brought to -0.5 to 0.5.",)),
        (lambda uniform: 4095 * (uniform + 0.5), ("image is stored as 0 to 4095 and was brought to -0.5 to 0.5.",)),
    ],
)
def test_uniform_images_are_scaled_to_their_signal(stored, notice):
    uniform = np.linspace(-0.4, 0.45, 27, dtype=np.float32).reshape(3, 3, 3)
    image, notices = as_signal(volume(data=stored(uniform), suffix="UNIT1"))
    np.testing.assert_allclose(image.data, uniform, atol=1e-6)
    assert notices == notice
    assert as_signal(volume(suffix="T1w"))[1] == ()
    assert is_uniform_image(volume(sidecar={"PulseSequenceType": "MP2RAGE UNI"}))


def test_uniform_images_of_another_range_are_refused_and_unmeasured_voxels_are_zero():
    data = np.array([[[0, 2048, 4095.0]]])
    with pytest.raises(ValueError, match="its values go from -4095 to 4095"):
        uniform_image(np.array([[[-4095, 0, 4095.0]]]), np.ones((1, 1, 3), bool), "x", [])
    seen = np.array([[[False, True, True]]])
    np.testing.assert_allclose(uniform_image(data, seen, "x", [])[0, 0], (0, 2048 / 4095 - 0.5, 0.5), atol=1e-6)


@pytest.mark.parametrize(("factor", "expected"), [(100, 0.01), (0.01, 100), (1, 1), (4000, 1)])
def test_pd_in_percent_is_compared_as_a_fraction(factor, expected):
    pd = volume(data=(0.6 + 0.001 * numbered()).astype(np.float32), suffix="PDmap", unit="arbitrary")
    reference = as_maps([pd])
    maps = as_maps([volume(data=factor * pd.data, suffix="PDmap", unit="arbitrary")])
    scaled, notices = with_pd_scale_of(maps, reference)
    np.testing.assert_allclose(scaled["PD"], expected * maps["PD"], rtol=1e-6)
    assert bool(notices) == (expected != 1)


@pytest.mark.parametrize("name", ["sub-01_part-phase_T1w", "t1_mprage_ph", "sub-01_T1w_imaginary", "t1_tfe_real"])
def test_parts_of_complex_images_are_never_guides(name):
    with pytest.raises(ValueError, match="which cannot be a guide: choose the magnitude"):
        as_guide(volume(name=name, suffix="T1w"))
    with pytest.raises(ValueError, match="is the phase of an image"):
        as_guide(volume(suffix="T1w", sidecar={"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}))
    as_guide(volume(name=name, suffix="T1w", sidecar={"Suffix": "T1w"}))  # as the user says


@pytest.mark.parametrize(
    ("name", "sidecar", "is_enhanced"),
    [
        ("sub-01_ce-gadolinium_T1w", {}, True),
        ("T1_post_gad", {}, True),
        ("BraTS_001_t1ce", {}, True),
        ("T1w", {"ContrastBolusAgent": "Gadovist"}, True),
        ("T1w", {"SeriesDescription": "Ax T1 +C"}, True),
        ("T1w", {"ContrastBolusAgent": "NONE"}, False),
        ("sub-post_T1w", {}, False),
        ("T1w_pre_contrast", {}, False),
    ],
)
def test_an_image_after_a_contrast_agent_is_a_guide_with_a_warning(name, sidecar, is_enhanced):
    _, notices = as_guide(volume(name=name, suffix="T1w", sidecar={**SPIN_ECHO, **sidecar}))
    assert any("after a contrast agent" in notice for notice in notices) == is_enhanced
