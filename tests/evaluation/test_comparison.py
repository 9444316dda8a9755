"""Choice of the acquired image of a contrast, its gain, and the scores of contrasts against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.evaluation.comparison import (
    ComparisonData,
    ContrastComparison,
    brain_of,
    choose_acquired,
    gain_of,
    prepare_comparison,
    score,
)
from napari_swig_qmri.metrics import hfen, nrmse, ssim
from napari_swig_qmri.physics.signal_models import (
    DoubleInversionRecovery,
    Mp2rageUni,
    Mprage,
    SignalModel,
    Spgr,
    SpinEcho,
    Stir,
    T2Flair,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.weighting import display_name
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast, synthesise

T2W, UNI = TurboSpinEcho.from_typical(), Mp2rageUni.from_typical()
GAIN = 321.0
TRUTH = make_phantom(5.0, extent=((-75, 75), (-90, 90), (-30, 45)))  # 30 x 36 x 15 voxels
BIASED = replace(
    TRUTH.maps,
    data=TRUTH.maps.data * np.random.default_rng(0).uniform(0.9, 1.1, TRUTH.maps.data.shape).astype(np.float32),
)
LR_MAPS = degrade(TRUTH.maps, 2, {}, generator=np.random.default_rng(0))[0]


def acquired(sequence: SignalModel = T2W, gain: float = GAIN) -> Volume:
    data = gain * synthesise(sequence, *TRUTH.maps.data)
    return Volume(data=data, grid=TRUTH.maps.grid, name="T2w", suffix="T2w", sidecar=to_sidecar(sequence))


def prepared_with(**more: Any) -> ComparisonData:
    mask = Volume(data=TRUTH.mask.astype(np.float32), grid=TRUTH.maps.grid, name="mask", suffix="mask")
    options = {"maps": {"SR": TRUTH.maps, "LR": LR_MAPS}, "acquired": acquired(), "mask": mask, "max_slices": 99} | more
    return drained(prepare_comparison(**options))


def scores(prepared: ComparisonData, sequence: SignalModel = T2W) -> ContrastComparison:
    return drained(score(prepared, sequence))


@pytest.mark.parametrize(
    ("sequence", "chosen"),
    [
        (T2Flair.from_typical(), 1),
        (TurboSpinEcho.from_typical(), 0),
        (Mprage.from_typical(), 2),
        (Stir.from_typical(), 3),
        (DoubleInversionRecovery.from_typical(), 4),
        (TurboSpinEcho.from_typical(echo_time=0.012), None),
    ],
)
def test_the_image_of_the_contrast_is_chosen(sequence: SignalModel, chosen: int | None) -> None:
    images: list[Any] = [
        ("sub-01 T2w", "T2w", {}),
        ("dark fluid", None, {"PulseSequenceType": "T2-FLAIR"}),
        ("sub-01_T1w", None, {}),
        ("sub-01 STIR", "STIR", {}),
        ("x", None, to_sidecar(DoubleInversionRecovery.from_typical())),
        ("whatever", None, {}),
    ]
    assert choose_acquired(sequence, images) == chosen
    assert choose_acquired(sequence, []) is None


def test_uniform_images_go_with_uniform_contrasts_alone() -> None:
    uni: list[Any] = [
        ("sub-01 UNIT1", "UNIT1", {}),
        ("x", None, {"ImageType": ["DERIVED", "UNI"], "InversionTime": 0.7}),
    ]
    t1w: Any = ("sub-01 T1w", "T1w", {})
    for image in uni:
        assert choose_acquired(Mp2rageUni.from_typical(), [t1w, image]) == 1
        assert choose_acquired(Mprage.from_typical(), [image]) is None
    assert choose_acquired(Mp2rageUni.from_typical(), [t1w]) is None


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        (lambda uni: uni + 0.5, "stored as 0 to 1"),
        (lambda uni: np.round((uni + 0.5) * 4095), "stored as 0 to 4095"),
        (lambda uni: np.round((uni + 0.5) * 4095).astype(np.int16), "stored as 0 to 4095"),
    ],
)
def test_a_uniform_image_has_no_gain_however_it_is_stored(stored: Callable[[Any], Any], note: str) -> None:
    image = acquired(UNI, gain=1.0)
    plain, found = (
        scores(prepared_with(maps={"SR": BIASED}, acquired=replace(image, data=data)), UNI)
        for data in (image.data, stored(image.data))
    )
    assert (plain.gains, found.gains) == ({}, {})  # a gain would hide a bias
    assert any(note in each for each in found.notes)
    assert not any("stored" in each for each in plain.notes)
    assert plain.scores["SR"]["tissue"].nrmse > 0.05
    for region, expected in plain.scores["SR"].items():
        # a step of 1 in 4095 is 2.4e-4
        assert found.scores["SR"][region].nrmse == pytest.approx(expected.nrmse, abs=1e-3)
        assert found.scores["SR"][region].ssim == pytest.approx(expected.ssim, abs=1e-3)
    assert gain_of(prepared_with(maps={"SR": BIASED}, acquired=image), UNI) == 1


def test_a_uniform_image_of_another_scale_is_refused() -> None:
    uni = acquired(UNI, gain=1.0)
    with pytest.raises(ValueError, match=r"stored as -0\.5 to 0\.5 or as 0 to 4095, but its values go from"):
        prepared_with(acquired=replace(uni, data=65535 * (uni.data + 0.5)))
    empty = replace(uni, data=np.full_like(uni.data, np.nan))
    with pytest.raises(ValueError, match="covers no brain tissue"):
        prepared_with(acquired=empty)


def test_of_several_images_the_nearest_settings_win() -> None:
    kinds = [SpinEcho.from_typical(), Mprage.from_typical(inversion_time=1.1), Mprage.from_typical()]
    images = [(f"image {n}", "T1w", to_sidecar(kind)) for n, kind in enumerate(kinds)]
    assert choose_acquired(Mprage.from_typical(), images) == 2
    assert choose_acquired(SpinEcho.from_typical(), images) == 0
    assert display_name(TurboSpinEcho.from_typical(echo_time=0.012), "") == "PDw"


def test_perfect_maps_get_perfect_scores_and_the_gain() -> None:
    found = scores(prepared_with())
    assert found.reference == "acquired"
    assert found.gains["SR"] == pytest.approx(GAIN, rel=1e-5)
    assert set(found.scores["SR"]) == {"tissue", "WM", "GM", "CSF"}
    for region in found.scores["SR"].values():
        assert region.ssim == pytest.approx(1)
        assert region.hfen == pytest.approx(0, abs=1e-4)
        assert region.nrmse == pytest.approx(0, abs=1e-5)
    assert found.scores["LR"]["tissue"].nrmse > 0.05
    assert found.scores["LR"]["tissue"].ssim < 0.97
    assert any(note.startswith("CSF: T1 ≥ 2200 ms or T2 ≥ 150 ms. WM: T1 < ") for note in found.notes)


def test_scores_are_those_of_the_metrics() -> None:
    prepared = prepared_with(maps={"SR": BIASED})
    label = prepared.finest
    (found, gain) = scores(prepared).scores[label]["tissue"], scores(prepared).gains[label]
    image = synthesise(T2W, *prepared.maps[label].data)
    target = acquired().data / gain
    tissue = prepared.regions["tissue"].copy()
    scored = np.zeros_like(tissue)
    scored[..., prepared.scored[2]] = True
    tissue &= scored
    top = float(np.percentile(target[tissue], 99.5))
    assert found.n_voxels == tissue.sum()
    assert found.ssim == pytest.approx(ssim(image, target, tissue, top), rel=1e-5)
    assert found.hfen == pytest.approx(hfen(image, target, tissue, top), rel=1e-4)
    assert found.nrmse == pytest.approx(nrmse(image, target, tissue, np.inf), rel=1e-4)


def test_without_an_image_the_finest_maps_are_the_reference() -> None:
    found = scores(prepared_with(acquired=None))
    assert (found.reference, list(found.scores), found.gains) == ("SR", ["LR"], {})


def test_the_quick_gain_is_the_one_of_the_scores() -> None:
    prepared = prepared_with(acquired=acquired(SpinEcho(echo_time=0.1, repetition_time=5.0)))
    assert gain_of(prepared, T2W) == pytest.approx(scores(prepared).gains["SR"], rel=0.02)
    assert gain_of(prepared_with(acquired=None), T2W) == 1.0


def test_an_image_on_another_grid_is_resampled() -> None:
    whole, (nx, ny, nz) = acquired(), TRUTH.maps.grid.shape
    change = np.diag([-1.0, 1, 1, 1])
    change[0, 3] = nx - 1
    flipped = replace(whole, data=whole.data[::-1], grid=VoxelGrid((nx, ny, nz), whole.grid.affine @ change))
    found = scores(prepared_with(acquired=flipped))
    assert found.scores["SR"]["tissue"].nrmse < 1e-3
    assert any("resampled" in note for note in found.notes)
    part = replace(whole, data=whole.data[:, :, 8:], grid=whole.grid.box((0, 0, 8), (nx, ny, nz - 8)))
    prepared = prepared_with(acquired=part)
    assert not prepared.regions["tissue"][:, :, :8].any()
    assert np.isnan(prepared.acquired[:, :, :8]).all()


def test_fewer_slices_are_spread_evenly() -> None:
    few = prepared_with(max_slices=6)
    assert 3 <= len(range(TRUTH.maps.grid.shape[2])[few.scored[2]]) <= 6
    assert "axial slices, every" in scores(few).notes[0]
    assert scores(few).scores["SR"]["tissue"].nrmse == pytest.approx(0, abs=1e-5)


def test_the_brain_is_found_in_the_maps() -> None:
    maps = TRUTH.maps
    found = brain_of(maps)
    overlap = 2 * (found & TRUTH.mask).sum() / (found.sum() + TRUTH.mask.sum())
    assert overlap > 0.85
    assert not brain_of(replace(maps, data=0 * maps.data)).any()
    assert "taken from the maps" in " ".join(prepared_with(mask=None).notes)


def test_a_region_need_not_touch_every_slice() -> None:
    csf = prepared_with().regions["CSF"]
    csf[..., :7] = False
    mask = Volume(data=np.where(TRUTH.mask & ~csf, 1.0, 0.0), grid=TRUTH.maps.grid, name="mask")
    found = scores(prepared_with(mask=mask)).scores["SR"]["CSF"]
    assert found.n_voxels > 0
    assert found.ssim == pytest.approx(1)


def test_one_map_set_alone_and_an_empty_mask_are_refused() -> None:
    with pytest.raises(ValueError, match="two map sets"):
        prepared_with(maps={"SR": TRUTH.maps}, acquired=None)
    empty = Volume(data=np.zeros(TRUTH.maps.grid.shape), grid=TRUTH.maps.grid, name="mask")
    with pytest.raises(ValueError, match="the mask is empty"):
        prepared_with(mask=empty)


def test_missing_voxels_count_nowhere() -> None:
    data = TRUTH.maps.data.copy()
    data[:, :15] = np.nan
    prepared = prepared_with(maps={"SR": QuantitativeMaps(data=data, grid=TRUTH.maps.grid), "LR": LR_MAPS})
    assert not any(region[:15].any() for region in prepared.regions.values())
    assert np.isfinite(scores(prepared).scores["LR"]["tissue"].ssim)


def test_contrasts_are_scored_with_their_t2star_and_transmit_field() -> None:
    sequence = Spgr.from_typical(echo_time=0.02, repetition_time=0.03)
    slope = np.linspace(0.8, 1.2, TRUTH.maps.grid.shape[0], dtype=np.float32)[:, None, None]
    field = np.broadcast_to(slope, TRUTH.maps.grid.shape)
    seen = ContrastMaps(maps=TRUTH.maps, t2star=0.5 * TRUTH.maps["T2"], transmit_field=field)
    image = Volume(data=GAIN * np.asarray(lazy_contrast(seen, sequence)), grid=TRUTH.maps.grid, name="T1w")
    alike = prepared_with(maps={"SR": TRUTH.maps}, acquired=image, contrast_maps={"SR": seen})
    assert gain_of(alike, sequence) == pytest.approx(GAIN, rel=1e-4)
    assert scores(alike, sequence).scores["SR"]["tissue"].nrmse < 1e-4
    plain = prepared_with(maps={"SR": TRUTH.maps}, acquired=image)
    assert scores(plain, sequence).scores["SR"]["tissue"].nrmse > 0.05
