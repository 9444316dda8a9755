"""What is drawn over an image lies where it was drawn, whoever reads the layer."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation
from volume_cases import AFFINE, CODES, far_from, painted, stored_as, volume

from napari_swig_qmri._napari.layers import from_layer, to_layer_data
from napari_swig_qmri._napari.parts.view import follow_view
from napari_swig_qmri._napari.reader import Notice
from napari_swig_qmri._napari.records import LayerRecord, record_frame
from napari_swig_qmri._napari.writer import write_layer
from napari_swig_qmri.data.volumes import Volume

DEGREES = (0, 8, 20)
AXIS = np.array([3, -2, 4]) / np.sqrt(29)  # oblique
TILTS = [from_matvec(Rotation.from_rotvec(degrees * AXIS, degrees=True).as_matrix()) for degrees in DEGREES]
VOXEL = (3, 1, 5)
HALF = 0.75  # mm, half the shortest edge of a voxel


def shown(code: str, affine: np.ndarray) -> Layer:
    image = stored_as(code, affine)
    return Layer.create(*to_layer_data(volume(data=np.asarray(image.dataobj), affine=image.affine)))


def drawn_in(viewer: ViewerModel, code: str = "LIA", tilt: np.ndarray = TILTS[1]) -> Layer:
    """Labels drawn over an image in a viewer."""
    return viewer.add_layer(painted(viewer.add_layer(shown(code, tilt @ AFFINE)), VOXEL))


def saved(layer: Layer, folder: Path) -> str:
    return write_layer(folder / f"{uuid4()}.nii", *layer.as_layer_data_tuple()[:2])[0]


def place_of(tilt: np.ndarray) -> np.ndarray:
    return (tilt @ AFFINE @ (*VOXEL, 1))[:3]


def centre(labels: Volume) -> np.ndarray:
    return labels.grid.world(np.argwhere(labels.data > 0).mean(axis=0))


@pytest.mark.parametrize("tilt", TILTS, ids=[f"{degrees} degrees" for degrees in DEGREES])
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 5], ids=["48 orders", "10 orders"])
def test_labels_drawn_over_any_image_are_saved_where_they_were_drawn(
    tmp_path: Path, step: int, tilt: np.ndarray
) -> None:
    for code in CODES[::step]:
        image = shown(code, tilt @ AFFINE)
        labels = painted(image, VOXEL)
        record_frame([image, labels])
        assert far_from(saved(labels, tmp_path), place_of(tilt)) < HALF


def test_viewers_need_not_be_known_to_the_plugin_and_may_differ_in_frame(tmp_path: Path) -> None:
    viewers = [ViewerModel(), ViewerModel(), ViewerModel()]
    layers = [drawn_in(viewer, tilt=tilt) for viewer, tilt in zip(viewers, TILTS, strict=True)]
    for layer, tilt in zip(layers, TILTS, strict=True):
        assert far_from(saved(layer, tmp_path), place_of(tilt)) < HALF
        np.testing.assert_allclose(centre(from_layer(*layer.as_layer_data_tuple()[:2])), place_of(tilt), atol=HALF)


def test_labels_keep_their_place_when_the_image_is_removed_or_comes_later(viewer: ViewerModel) -> None:
    follow_view(viewer)
    image = shown("PSR", TILTS[1] @ AFFINE)
    labels = viewer.add_layer(painted(image, VOXEL))
    viewer.add_layer(image)
    viewer.layers.remove(image)
    with pytest.warns(Notice, match="Interpolated"):
        drawn_in(viewer, tilt=TILTS[2])
    np.testing.assert_allclose(centre(from_layer(*labels.as_layer_data_tuple()[:2])), place_of(TILTS[1]), atol=HALF)


def test_images_of_different_tilts_opened_one_by_one_lie_in_one_frame(viewer: ViewerModel) -> None:
    follow_view(viewer)
    first = viewer.add_layer(shown("RAS", TILTS[1] @ AFFINE))
    ball = np.linalg.norm(np.indices((24, 22, 20)) - np.reshape((10, 12, 9), (3, 1, 1, 1)), axis=0)
    data = (ball < 6).astype(np.float32)
    with pytest.warns(Notice, match=r"ball.*: Interpolated for display"):
        second = viewer.add_layer(Layer.create(*to_layer_data(volume(data=data, name="ball"))))
    np.testing.assert_array_equal(LayerRecord.of(second).frame, LayerRecord.of(first).frame)
    drawn = (second.data > 0.5).astype(np.uint8)
    labels = viewer.add_layer(Labels(drawn, scale=second.scale, translate=second.translate))
    read = from_layer(*labels.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(centre(read), (AFFINE @ (10, 12, 9, 1))[:3], atol=HALF)
    np.testing.assert_array_equal(from_layer(*second.as_layer_data_tuple()[:2]).data, data)


def test_moved_labels_and_series_of_labels_lie_where_they_are_shown(viewer: ViewerModel) -> None:
    labels = drawn_in(viewer)
    labels.translate = np.add(labels.translate, (0, 0, 10))  # towards the right of the picture
    moved = from_layer(*labels.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(centre(moved) - place_of(TILTS[1]), TILTS[1][:3, :3] @ (10, 0, 0), atol=HALF)
    series = viewer.add_labels(
        np.stack([labels.data] * 2), scale=(1, *labels.scale), translate=(0, *labels.translate), name="series"
    )
    read = from_layer(*series.as_layer_data_tuple()[:2])
    assert read.data.shape[3:] == (2,)
    np.testing.assert_allclose(read.grid.affine, moved.grid.affine, atol=1e-5)


def test_images_from_elsewhere_are_placed_as_shown_and_labels_with_the_metadata_of_a_map_stay_labels(
    viewer: ViewerModel,
) -> None:
    labels = drawn_in(viewer)
    blurred = viewer.add_image(
        labels.data.astype(np.float32), scale=labels.scale, translate=labels.translate, name="blur"
    )
    read = from_layer(*blurred.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(centre(read), place_of(TILTS[1]), atol=HALF)
    assert read.notices == ("blur: not opened by this plugin, so it is placed where its viewer shows it.",)
    t1 = Layer.create(*to_layer_data(volume(suffix="T1map", unit="s")))
    copied = Labels((t1.data > 0).astype(np.uint8), scale=t1.scale, translate=t1.translate, metadata=t1.metadata)
    assert from_layer(*copied.as_layer_data_tuple()[:2]).data.min() == 1


def test_without_an_image_of_the_plugin_the_picture_is_the_scanner(viewer: ViewerModel) -> None:
    viewer.add_layer(Image(np.zeros((4, 4, 4), np.float32)))
    labels = viewer.add_layer(painted(shown("RAS", TILTS[1] @ AFFINE), VOXEL))
    read = from_layer(*labels.as_layer_data_tuple()[:2])
    assert "not opened by this plugin" in read.notices[-1]
    assert np.linalg.norm(centre(read) - place_of(TILTS[1])) > 1
