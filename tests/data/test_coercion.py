"""Maps, guides and masks from paths, nibabel images, arrays with an affine, and volumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_swig_qmri.data.coercion import Guide, guides_from, maps_from, mask_from
from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho

AFFINE = np.array([[0, 2.0, 0, -3.5], [-1.5, 0, 0, 4.25], [0, 0, 3.0, 7.0], [0, 0, 0, 1]])
SECONDS = np.random.default_rng(0).uniform(0.8, 1.6, (5, 6, 7)).astype(np.float32)
SEQUENCE = SpinEcho(echo_time=0.012, repetition_time=0.6)


def saved(folder: Path, name: str, data: np.ndarray, sidecar: dict | None = None) -> Path:
    path = folder / f"{name}.nii.gz"
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    if sidecar is not None:
        (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return path


def test_every_kind_of_image_gives_the_same_map(tmp_path):
    path = saved(tmp_path, "anything", SECONDS)
    for image in (path, str(path), nib.load(path), (SECONDS, AFFINE), (SECONDS.tolist(), AFFINE.tolist())):
        maps, _ = maps_from({"T1": image}, units="s")
        np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-6)
        np.testing.assert_allclose(maps.grid.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize(("name", "factor"), [("T1", 1e3), ("R1", None)])
def test_units_are_those_of_maps_that_state_none(tmp_path, name, factor):
    stored = 1e3 * SECONDS if factor else 1e-3 / SECONDS  # ms, or 1/ms
    for image in ((stored, AFFINE), saved(tmp_path, f"sub-01_{name}map", stored)):
        maps, notices = maps_from({name: image}, units="ms")
        np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-5)
        assert not any("assumed" in notice for notice in notices)


def test_the_unit_in_a_sidecar_is_believed_before_units(tmp_path):
    path = saved(tmp_path, "sub-01_T1map", SECONDS, {"Units": "s"})
    maps, _ = maps_from({"T1": path}, units="ms")
    np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-6)


def test_a_guessed_unit_is_told():
    maps, notices = maps_from({"T1": (1e3 * SECONDS, AFFINE)})
    np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-5)
    assert any("ms assumed" in notice for notice in notices)


def test_folders_lists_and_volumes_are_taken(tmp_path):
    paths = [saved(tmp_path, "sub-01_T1map", SECONDS, {"Units": "s"}), saved(tmp_path, "sub-01_PDmap", SECONDS)]
    saved(tmp_path, "sub-01_T1w", SECONDS)  # not a map
    for given in (tmp_path, str(tmp_path), paths, [read_volume(path) for path in paths]):
        assert maps_from(given)[0].names == ("PD", "T1")
    bare = replace(read_volume(paths[0]), suffix=None, unit=None, file_unit=None)
    np.testing.assert_allclose(
        maps_from({"T1": replace(bare, data=1e3 * bare.data)}, "ms")[0]["T1"], SECONDS, rtol=1e-5
    )


def test_guides_bring_their_sequence_or_have_it_in_a_sidecar(tmp_path):
    sidecar = {"EchoTime": 0.09, "RepetitionTime": 5.0, "PulseSequenceType": "Spin echo"}
    path = saved(tmp_path, "sub-01_T2w", SECONDS, sidecar)
    first, second, third, fourth = guides_from(
        [Guide((SECONDS, AFFINE), SEQUENCE), path, Guide(path, SEQUENCE, name="mine"), nib.load(path)]
    )
    assert (first.sequence, first.name) == (SEQUENCE, "T1w")
    assert (second.sequence.echo_time, second.name) == (0.09, "sub-01 T2w")
    assert (third.sequence, third.name) == (SEQUENCE, "mine")
    assert fourth.sequence is None  # an image in memory has no sidecar
    (same,) = guides_from([replace(first, name="kept")])
    assert same.name == "kept"
    assert guides_from([Guide(first, name="renamed")])[0].sequence == SEQUENCE


def test_complex_images_become_magnitudes_and_complex_volumes_are_refused(tmp_path):
    turned = SECONDS * np.exp(2j)
    for image in (nib.Nifti1Image(turned.astype(np.complex64), AFFINE), (turned, AFFINE)):
        maps, notices = maps_from({"T1": image}, units="s")
        np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-5)
        assert any("Complex values: the magnitude was taken." in notice for notice in notices)
    grid = VoxelGrid(SECONDS.shape, AFFINE)
    for made in (
        lambda: Volume(data=turned, grid=grid, name="T1"),
        lambda: QuantitativeMaps(data=turned[None], grid=grid, names=("T1",)),
        lambda: WeightedImage(data=turned, grid=grid, name="T1w"),
    ):
        with pytest.raises(TypeError, match=r"is complex, .*pass np\.abs"):
            made()


def test_masks_are_arrays_or_images_on_the_grid(tmp_path):
    grid = VoxelGrid(SECONDS.shape, AFFINE)
    inside = SECONDS > 1.2
    maps = QuantitativeMaps(data=SECONDS[None], grid=grid, names=("T1",))
    image = nib.Nifti1Image(inside.astype(np.uint8), AFFINE)
    nib.save(image, tmp_path / "mask.nii.gz")
    for given in (inside, inside.astype(float), image, tmp_path / "mask.nii.gz", (inside, AFFINE)):
        np.testing.assert_array_equal(mask_from(given, grid, maps)[0], inside)
    assert mask_from(None, grid, maps) == (None, ())
    with pytest.raises(ValueError, match=r"the mask has the shape .*pass an image with its affine"):
        mask_from(inside[1:], grid, maps)


def test_a_mask_beside_the_measured_voxels_is_told_and_one_far_from_them_is_refused():
    grid = VoxelGrid((20, 20, 20), np.eye(4))
    head = np.zeros(grid.shape, np.float32)
    head[2:12, 5:15, 5:15] = 1
    maps = QuantitativeMaps(data=head[None], grid=grid, names=("PD",))
    said = {shift: mask_from(np.roll(head, shift, axis=0) > 0, grid, maps)[1] for shift in (0, 1, 4)}
    assert said[0] == said[1] == ()
    assert said[4] == ("The mask covers only 60% of the tissue of the maps; their centres are 4 mm apart.",)
    spiky = head.copy()
    spiky[tuple(np.random.default_rng(0).integers(0, 20, (3, 100)))] = 50  # outliers of a fit, in air, too
    assert mask_from(head > 0, grid, replace(maps, data=spiky[None]))[1] == ()
    with pytest.raises(ValueError, match="their centres are 8 mm apart: choose a mask"):
        mask_from(np.roll(head, 8, axis=0) > 0, grid, maps)


@pytest.mark.parametrize(
    ("maps", "units", "error", "sentence"),
    [
        ({"T9": (SECONDS, AFFINE)}, None, ValueError, "maps are named PD, T1, T2, R1 or R2, but 'T9' came"),
        ({"T1": (SECONDS, AFFINE)}, "min", ValueError, "units is that of T1 and T2, 's' or 'ms', but it is 'min'"),
        ({"T1": (SECONDS, np.eye(3))}, None, ValueError, "T1 needs a 4 x 4 affine"),
        ({"T1": SECONDS}, None, TypeError, "T1 is given as ndarray, but a path, a nibabel image, a pair"),
        (
            3,
            None,
            TypeError,
            "maps are given as a dict by name, a folder, a list of files, or QuantitativeMaps, but int",
        ),
        ({}, None, ValueError, "no map was given"),
        ({"T1": "nowhere.nii"}, None, FileNotFoundError, "nowhere.nii does not exist"),
    ],
)
def test_what_cannot_be_a_map_is_refused_in_one_sentence(maps, units, error, sentence):
    with pytest.raises(error, match=sentence):
        maps_from(maps, units)


def test_one_guide_is_given_as_a_list():
    with pytest.raises(TypeError, match="guides are given as a list, but one Guide came"):
        guides_from(Guide((SECONDS, AFFINE), SEQUENCE))


@pytest.mark.parametrize("sequence", [SpinEcho, "SpinEcho", 5])
def test_a_sequence_is_an_object_with_its_settings(sequence):
    with pytest.raises(TypeError, match="the sequence of guide 1 must be an object such as SpinEcho"):
        guides_from([Guide((SECONDS, AFFINE), sequence)])


@pytest.mark.parametrize("guides", [None, {"T1w": (SECONDS, AFFINE)}])
def test_guides_of_another_kind_get_a_sentence(guides):
    with pytest.raises(TypeError, match="guides are given as a list, but"):
        guides_from(guides)


def test_volumes_without_a_unit_are_in_units_however_they_are_given():
    for name, stored in (("T1", 1e3 * SECONDS), ("R1", 1e-3 / SECONDS)):
        bare = Volume(data=stored, grid=VoxelGrid(SECONDS.shape, AFFINE), name=name, suffix=f"{name}map")
        for given in ([bare], {name: bare}):
            np.testing.assert_allclose(maps_from(given, "ms")[0]["T1"], SECONDS, rtol=1e-5)


def test_a_rate_beside_its_time_is_left_out_of_a_folder(tmp_path):
    saved(tmp_path, "sub-01_T1map", SECONDS, {"Units": "s"})
    saved(tmp_path, "sub-01_R1map", 1 / SECONDS, {"Units": "1/s"})
    maps, notices = maps_from(tmp_path)
    np.testing.assert_allclose(maps["T1"], SECONDS, rtol=1e-6)
    assert any("left out" in notice for notice in notices)
