"""A result shows itself in one line, and gives its maps as images and as files."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from volume_cases import small_run

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE


def test_the_repr_is_one_line():
    assert repr(small_run()) == (
        "<SuperResolution: PD, T1, T2 on 4 x 6 x 8 voxels of 2 x 1.5 x 3 mm, method posterior, "
        "guides sub-01 T1w, sub-01 T2w>"
    )


def test_maps_become_nifti_images_in_seconds_that_say_they_are_synthetic():
    result = small_run()
    images = result.to_nifti()
    assert tuple(images) == result.maps.names
    for name, image in images.items():
        np.testing.assert_allclose(image.get_fdata(), result.maps[name], rtol=1e-6)
        np.testing.assert_array_equal(image.affine, result.maps.grid.affine)
        assert image.header.get_xyzt_units() == ("mm", "sec")
        assert bytes(image.header["descrip"]).decode().startswith(RESEARCH_NOTICE)


def test_a_result_saves_itself(tmp_path):
    result = small_run()
    paths = result.save(tmp_path, stem="sub-02")
    saved = {path.name: path for path in paths}
    np.testing.assert_allclose(
        nib.load(saved["sub-02_desc-swig_T1map.nii.gz"]).get_fdata(), result.maps["T1"], rtol=1e-6
    )
    with pytest.raises(FileExistsError, match="overwrite=True"):
        result.save(tmp_path, stem="sub-02")
    assert set(result.save(tmp_path, stem="sub-02", overwrite=True)) <= set(paths)
