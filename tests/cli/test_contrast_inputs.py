"""Maps that contrasts are computed from, T2* and the transmit field among them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from cli_cases import AFFINE, SHAPE, save

from napari_swig_qmri.cli.contrast_inputs import read_contrast_maps
from napari_swig_qmri.cli.parameters import MapArguments

USE = "used as T2*, with which gradient echoes decay."


def test_t2star_is_the_given_file_or_else_the_map_among_the_others(maps: Path) -> None:
    assert read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, None)[1].t2star is None
    save(maps / "sub-07_R2starmap.nii.gz", np.full(SHAPE, 25.0), {"Units": "1/s"})
    save(maps.parent / "sub-07_T2starmap.nii.gz", np.full(SHAPE, 0.03), {"Units": "s"})
    given, inside, _ = read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, None)
    np.testing.assert_allclose(inside.t2star, 0.04, rtol=1e-6)
    assert f"sub-07 R2starmap: {USE}" in given.notices
    path = maps.parent / "sub-07_T2starmap.nii.gz"
    _, outside, beside = read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), path, None)
    np.testing.assert_allclose(outside.t2star, 0.03, rtol=1e-6)
    assert beside == [path]


def test_a_t2star_map_on_other_voxels_is_left_out_unless_it_is_given(maps: Path) -> None:
    path = maps / "sub-07_T2starmap.nii.gz"
    save(path, np.full((3, 3, 3), 0.03), {"Units": "s"})
    given, inputs, _ = read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, None)
    assert inputs.t2star is None
    assert any(notice.startswith("sub-07 T2starmap: left out, because") for notice in given.notices)
    with pytest.raises(ValueError, match=r"does not have the voxels of the other maps: it has .* Resample it first"):
        read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), path, None)


def test_a_t2star_map_stored_in_another_order_is_used_at_the_right_voxels(maps: Path) -> None:
    values = np.linspace(0.02, 0.06, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    stored = nib.Nifti1Image(values, AFFINE).as_reoriented([[2, 1], [0, -1], [1, -1]])
    nib.save(stored, maps / "sub-07_T2starmap.nii.gz")
    inputs = read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, None)[1]
    np.testing.assert_allclose(inputs.t2star, values, rtol=1e-5)


def test_a_transmit_field_is_a_fraction_and_its_notices_are_printed_once(
    maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = maps.parent / "sub-07_TB1map.nii.gz"
    save(path, np.full(SHAPE, 80.0))  # percent
    _, inputs, beside = read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, path)
    np.testing.assert_allclose(inputs.transmit_field, 0.8, rtol=1e-6)
    assert (inputs.transmit_map, beside) == (path.name, [path])
    assert capsys.readouterr().err.count("Read as percent of the nominal flip angle") == 1


def test_other_images_in_their_place_are_refused(maps: Path) -> None:
    save(maps.parent / "angles.nii.gz", np.full(SHAPE, 800.0))
    with pytest.raises(ValueError, match=r"is a T2map, not a T2\* map"):
        read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), maps / "sub-07_T2map.nii.gz", None)
    with pytest.raises(ValueError, match=r"a B1\+ map is a fraction of the nominal flip angle"):
        read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, maps.parent / "angles.nii.gz")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.nii\.gz does not exist"):
        read_contrast_maps(MapArguments(paths=[maps], named={}, units=None), None, maps.parent / "nowhere.nii.gz")
