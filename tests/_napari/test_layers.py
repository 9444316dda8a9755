"""Layers read back as the volumes that they show, and the same anatomy lies under the same world point."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers._layer_actions import _duplicate_layer
from volume_cases import AFFINE, CODES, SHAPE, numbered, rotation, stored_as, volume

from napari_swig_qmri._napari.layers import from_layer, to_layer_data, to_layers
from napari_swig_qmri._napari.placement import tilt_notice
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri.data.volumes import Volume, VoxelGrid

TILT = rotation((5, -3, 8))
SHEAR = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
VOXELS = [(0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (3, 1, 5)]


def shown(stored: Volume) -> Layer:
    return Layer.create(*to_layer_data(stored))


def read_back(layer: Layer) -> Volume:
    return from_layer(*layer.as_layer_data_tuple()[:2])


def all_orientations(affine: np.ndarray) -> Iterator[Volume]:
    """One volume stored in all 48 axis orders and directions."""
    for code in CODES:
        image = stored_as(code, affine)
        yield volume(data=np.asarray(image.dataobj), affine=image.affine, suffix="T2w", name=f"sub-1 {code}")


def blob(grid: VoxelGrid, centre: np.ndarray) -> Volume:
    """A smooth ball around a world point, sampled on a grid."""
    where = grid.world(np.stack(np.indices(grid.shape), axis=-1).astype(float))
    data = np.exp(-((where - centre) ** 2).sum(axis=-1) / (2 * 6.0**2)).astype(np.float32)
    return Volume(data=data, grid=grid, name="blob")


def centroid(layer: Layer) -> np.ndarray:
    """Centre of mass of a layer in its world, in mm, as (R, A, S)."""
    weights = np.asarray(layer.data, dtype=float)
    index = [np.average(axis, weights=weights) for axis in np.indices(weights.shape)]
    return np.asarray(layer.data_to_world(index))[::-1]


def test_all_48_orientations_show_the_same_anatomy_at_the_same_place() -> None:
    for stored in all_orientations(AFFINE):
        data, attributes, _ = to_layer_data(stored)
        for voxel in VOXELS:
            world = (AFFINE[:3, :3] @ voxel + AFFINE[:3, 3])[::-1]
            at = (world - attributes["translate"]) / attributes["scale"]
            assert data[tuple(np.rint(at).astype(int))] == numbered()[voxel]
        assert attributes["axis_labels"] == ("S", "A", "R")
        assert attributes["units"] == ("mm",) * 3
        np.testing.assert_allclose(attributes["scale"], (3.0, 1.5, 2.0))
        assert not LayerRecord.of(attributes).placement_notices


@pytest.mark.parametrize("code", CODES[::11])
def test_viewers_slice_the_right_voxels(code: str) -> None:
    image, viewer = stored_as(code), ViewerModel()
    layer = viewer.add_layer(shown(volume(data=np.asarray(image.dataobj), affine=image.affine)))
    for voxel in VOXELS:
        point = tuple((AFFINE[:3, :3] @ voxel + AFFINE[:3, 3])[::-1])
        viewer.dims.set_point(range(3), point)
        assert layer.get_value(point, world=True) == numbered()[voxel]


@pytest.mark.parametrize("affine", [AFFINE, TILT @ AFFINE, AFFINE @ SHEAR], ids=["straight", "tilted", "sheared"])
def test_layers_of_all_orientations_read_back_exactly(affine: np.ndarray) -> None:
    for index, stored in enumerate(all_orientations(affine)):
        data, attributes, kind = to_layer_data(stored)
        if index % 16 == 0:  # as napari hands a layer on
            data, attributes, _ = Layer.create(data, attributes, kind).as_layer_data_tuple()
        again = from_layer(data, attributes)
        np.testing.assert_array_equal(again.data, stored.data)
        np.testing.assert_array_equal(again.grid.affine, stored.grid.affine)
        assert (again.name, again.suffix, again.notices) == (stored.name, "T2w", ())


def test_tilted_volumes_are_shown_straight_without_resampling() -> None:
    for stored in all_orientations(TILT @ AFFINE):
        data, attributes, _ = to_layer_data(stored)
        frame = LayerRecord.of(attributes).frame
        assert set(np.unique(data)) == set(np.unique(numbered()))
        np.testing.assert_allclose(attributes["scale"], (3.0, 1.5, 2.0))
        at = ((frame @ TILT @ AFFINE @ (3, 1, 5, 1))[2::-1] - attributes["translate"]) / attributes["scale"]
        assert data[tuple(np.rint(at).astype(int))] == numbered()[3, 1, 5]
        assert "tilted by" in (tilt_notice(frame) or "")


def test_low_and_high_resolution_of_one_tilt_coincide_without_resampling() -> None:
    hr = VoxelGrid((30, 40, 20), TILT @ AFFINE)
    lr = hr.with_shape((15, 13, 10))
    centre = hr.world(np.array([14, 21, 9.0]))
    layers = [Layer.create(*layer) for layer in to_layers([blob(hr, centre), blob(lr, centre)])]
    assert not any(LayerRecord.of(layer).volume.data.size for layer in layers)
    np.testing.assert_allclose(centroid(layers[0]), centroid(layers[1]), atol=0.05)
    np.testing.assert_allclose(layers[0].extent.world.mean(axis=0), layers[1].extent.world.mean(axis=0))


@pytest.mark.parametrize("other", [rotation((10, 0, 0)), SHEAR], ids=["another tilt", "a shear"])
def test_volumes_of_different_tilt_share_a_frame_and_keep_their_own_voxels(other: np.ndarray) -> None:
    grids = [VoxelGrid((40, 40, 30), TILT @ AFFINE), VoxelGrid((40, 41, 30), other @ TILT @ AFFINE)]
    centre = grids[0].world(np.array([20.0, 20, 15]))
    volumes = [blob(grid, centre) for grid in (grids[0], grids[0], grids[1])]
    layers = [Layer.create(*layer) for layer in to_layers(volumes)]
    for layer in layers:
        np.testing.assert_allclose(centroid(layer), centroid(layers[0]), atol=0.05)
    assert any("Interpolated" in notice for notice in LayerRecord.of(layers[2]).placement_notices)
    again = read_back(layers[2])
    np.testing.assert_array_equal(again.data, volumes[2].data)
    np.testing.assert_array_equal(again.grid.affine, volumes[2].grid.affine)


def test_a_sheared_volume_is_interpolated_at_its_true_place() -> None:
    grid = VoxelGrid((40, 40, 30), SHEAR @ AFFINE)
    centre = grid.world(np.array([20.0, 20, 15]))
    np.testing.assert_allclose(centroid(shown(blob(grid, centre))), centre, atol=0.05)


def test_a_tilt_of_a_twentieth_degree_stays_in_the_scanner_frame() -> None:
    grid = VoxelGrid(SHAPE, rotation((0.05, 0, 0)) @ AFFINE)
    layer = shown(Volume(data=numbered(), grid=grid, name="image"))
    assert not LayerRecord.of(layer).placement_notices
    assert tilt_notice(LayerRecord.of(layer).frame) is None
    centre = (np.array(SHAPE) - 1) / 2
    np.testing.assert_allclose(layer.data_to_world(centre[::-1])[::-1], grid.world(centre), atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (5, 4, 3, 2, 4)])
def test_further_axes_come_first(shape: tuple[int, ...]) -> None:
    stored = volume(data=numbered(shape), affine=stored_as("LPS").affine)
    layer = shown(stored)
    assert layer.data.shape == (*shape[3:], 3, 4, 5)
    np.testing.assert_array_equal(read_back(layer).data, stored.data)


def test_relaxation_times_are_shown_in_ms_and_read_back_in_seconds() -> None:
    stored = volume(data=numbered() / 100, suffix="T1map", unit="s", file_unit="ms", name="sub-1 T1map")
    layer = shown(stored)
    assert layer.name == "sub-1 T1map (ms)"
    assert layer.data.max() == pytest.approx(1000 * stored.data.max())
    again = read_back(layer)
    np.testing.assert_allclose(again.data, stored.data, rtol=2e-7)
    assert (again.name, again.unit, again.file_unit) == ("sub-1 T1map", "s", "ms")


def test_duplicated_and_deep_copied_layers_keep_their_record() -> None:
    stored = volume(data=numbered() / 100, affine=AFFINE @ SHEAR, suffix="T1map", unit="s", name="sub-1 T1map")
    viewer = ViewerModel()
    viewer.add_layer(shown(stored))
    viewer.layers.selection.active = viewer.layers[0]
    _duplicate_layer(viewer.layers)
    data, attributes, _ = copy.deepcopy(viewer.layers[1].as_layer_data_tuple())
    again = from_layer(data, attributes)
    assert (again.suffix, again.unit, again.grid.shape) == ("T1map", "s", stored.grid.shape)
    np.testing.assert_array_equal(again.data, stored.data)


def test_edited_values_and_names_are_read_back() -> None:
    layer = shown(volume())
    layer.name, layer.data = "mine", 2 * layer.data
    again = read_back(layer)
    np.testing.assert_array_equal(again.data, 2 * numbered())
    np.testing.assert_array_equal(again.grid.affine, AFFINE)
    assert again.name == "mine"


def test_a_moved_layer_is_placed_where_it_was_moved_to() -> None:
    layer = shown(volume(affine=TILT @ AFFINE))
    layer.translate = np.add(layer.translate, (0, 0, 10))  # towards the right of the shown frame
    again = read_back(layer)
    step = TILT[:3, :3] @ (10, 0, 0)
    np.testing.assert_allclose(again.grid.world(np.zeros(3)), (TILT @ AFFINE)[:3, 3] + step, atol=1e-5)
    assert "moved" in again.notices[-1]


def test_an_edited_interpolated_layer_is_taken_as_shown() -> None:
    layer = shown(volume(affine=AFFINE @ SHEAR))
    np.testing.assert_array_equal(from_layer(layer.data.copy(), layer.as_layer_data_tuple()[1]).data, numbered())
    layer.data = 2 * layer.data
    again = read_back(layer)
    assert again.data.shape == layer.data.shape[::-1]
    assert "edited" in again.notices[-1]


def test_an_interpolated_mask_that_is_painted_in_place_is_not_lost() -> None:
    mask = volume(data=(numbered() > 9).astype(np.float32), affine=AFFINE @ SHEAR, suffix="mask", name="mask")
    layer = shown(mask)
    before = layer.data
    layer.selected_label = 3
    layer.paint((3, 3, 2), 3)
    assert layer.data is before
    again = read_back(layer)
    np.testing.assert_array_equal(again.data, layer.data.transpose())
    assert 3 in again.data
    assert "edited" in again.notices[-1]


def test_a_layer_from_elsewhere_is_placed_by_its_own_transform() -> None:
    layer = Image(numbered(), scale=(3, 2, 1), translate=(1, 2, 3), units=("mm", "mm", "um"), name="other")
    assert LayerRecord.of(layer).is_empty
    again = read_back(layer)
    np.testing.assert_array_equal(again.data, numbered().transpose())
    np.testing.assert_allclose(again.grid.affine, [[1e-3, 0, 0, 3e-3], [0, 2, 0, 2], [0, 0, 3, 1], [0, 0, 0, 1]])
    assert "not opened by this plugin" in again.notices[-1]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_rotated_and_sheared_layers_from_elsewhere_keep_their_transform() -> None:
    layer = Image(numbered(), scale=(3, 2, 1), rotate=(10, 20, 30), shear=(0.1, 0.2, 0.3), affine=TILT)
    world = layer.data_to_world((4, 3, 2))[::-1]
    np.testing.assert_allclose(read_back(layer).grid.world(np.array([2, 3, 4])), world, atol=1e-6)


def test_a_plain_image_becomes_one_slice_and_a_colour_image_its_mean() -> None:
    again = read_back(Image(numbered((6, 7))))
    assert again.data.shape == (7, 6, 1)
    assert "1 × 1 × 1 mm" in again.notices[-1]
    colours = np.stack([numbered((6, 7)) % 256] * 3, axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(read_back(Image(colours, rgb=True)).data[..., 0], colours[..., 0].transpose())
    with pytest.raises(ValueError, match="has 1 axis"):
        from_layer(np.zeros(3), {"name": "line"})


def test_masks_become_labels_and_hide_behind_images() -> None:
    mask = volume(data=(numbered() > 9).astype(np.float32), suffix="mask", name="mask")
    layers = [Layer.create(*layer) for layer in to_layers([volume(), mask])]
    assert isinstance(layers[1], Labels)
    assert not layers[1].visible
    assert to_layers([mask])[0][1].get("visible", True)
    np.testing.assert_array_equal(read_back(layers[1]).data, mask.data)
