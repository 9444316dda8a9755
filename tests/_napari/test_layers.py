"""Layers: the same anatomy lies under the same world point, colours and limits fit, and layers read back."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from cmap import Colormap
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.layers._layer_actions import _duplicate_layer
from volume_cases import AFFINE, CODES, SHAPE, numbered, rotation, small_run, stored_as, volume

from napari_swig_qmri._napari.display import appearance, contrast_limits, log_adapted
from napari_swig_qmri._napari.layers import (
    LayerRecord,
    from_layer,
    to_layer_data,
    to_layers,
)
from napari_swig_qmri._napari.placement import display_frame, same_frame, tilt_notice
from napari_swig_qmri._napari.result_layers import origin_of, result_label, result_layers
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

TILT = rotation((5, -3, 8))
SHEAR = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def shown(layer_data) -> Image:
    return Layer.create(*layer_data)


def value_at(layer: Layer, world: np.ndarray) -> float:
    """What napari reads under a world point (R, A, S) mm, sliced there like a user would."""
    viewer = ViewerModel()
    viewer.add_layer(layer)
    point = world[::-1]
    viewer.dims.set_point(range(3), point)
    return layer.get_value(tuple(point), world=True)


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


@pytest.mark.parametrize("code", CODES)
def test_all_48_orientations_show_the_same_anatomy(code):
    image = stored_as(code)
    stored = volume(data=np.asarray(image.dataobj), affine=image.affine)
    layer = shown(to_layer_data(stored))
    for voxel in [(0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (3, 1, 5)]:
        world = AFFINE[:3, :3] @ voxel + AFFINE[:3, 3]
        assert value_at(layer, world) == numbered()[voxel]
    assert tuple(layer.axis_labels) == ("S", "A", "R")
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    np.testing.assert_allclose(layer.scale, (3.0, 1.5, 2.0))
    assert not LayerRecord.of(layer).placement_notices


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("affine", [AFFINE, TILT @ AFFINE, AFFINE @ SHEAR], ids=["straight", "tilted", "sheared"])
def test_layers_read_back_exactly(code, affine):
    image = stored_as(code, affine)
    stored = volume(data=np.asarray(image.dataobj), affine=image.affine, suffix="T2w", name="sub-1 T2w")
    data, attributes, _ = shown(to_layer_data(stored)).as_layer_data_tuple()
    again = from_layer(data, attributes)
    np.testing.assert_array_equal(again.data, stored.data)
    np.testing.assert_array_equal(again.grid.affine, stored.grid.affine)
    assert (again.name, again.suffix, again.notices) == ("sub-1 T2w", "T2w", ())


@pytest.mark.parametrize("code", CODES)
def test_a_tilted_volume_is_shown_straight_without_resampling(code):
    image = stored_as(code, TILT @ AFFINE)
    layer = shown(to_layer_data(volume(data=np.asarray(image.dataobj), affine=image.affine)))
    assert set(np.unique(layer.data)) == set(np.unique(numbered()))
    np.testing.assert_allclose(layer.scale, (3.0, 1.5, 2.0))
    world = TILT @ AFFINE @ (3, 1, 5, 1)
    assert value_at(layer, (LayerRecord.of(layer).frame @ world)[:3]) == numbered()[3, 1, 5]
    assert "tilted by" in tilt_notice(LayerRecord.of(layer).frame)


def test_low_and_high_resolution_of_one_tilt_coincide_without_resampling():
    hr = VoxelGrid((30, 40, 20), TILT @ AFFINE)
    lr = hr.with_shape((15, 13, 10))
    centre = hr.world(np.array([14, 21, 9.0]))
    layers = [shown(layer) for layer in to_layers([blob(hr, centre), blob(lr, centre)])]
    assert not any(LayerRecord.of(layer).volume.data.size for layer in layers)
    np.testing.assert_allclose(centroid(layers[0]), centroid(layers[1]), atol=0.05)
    np.testing.assert_allclose(layers[0].extent.world.mean(axis=0), layers[1].extent.world.mean(axis=0))


@pytest.mark.parametrize("other", [rotation((10, 0, 0)), SHEAR], ids=["another tilt", "a shear"])
def test_volumes_of_different_tilt_share_a_frame_and_keep_their_own_voxels(other):
    grids = [VoxelGrid((40, 40, 30), TILT @ AFFINE), VoxelGrid((40, 41, 30), other @ TILT @ AFFINE)]
    centre = grids[0].world(np.array([20.0, 20, 15]))
    volumes = [blob(grid, centre) for grid in (grids[0], grids[0], grids[1])]
    layers = [shown(layer) for layer in to_layers(volumes)]
    for layer in layers:
        np.testing.assert_allclose(centroid(layer), centroid(layers[0]), atol=0.05)
    assert any("Interpolated" in n for n in LayerRecord.of(layers[2]).placement_notices)
    again = from_layer(*layers[2].as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(again.data, volumes[2].data)
    np.testing.assert_array_equal(again.grid.affine, volumes[2].grid.affine)


def test_a_sheared_volume_is_interpolated_at_its_true_place():
    grid = VoxelGrid((40, 40, 30), SHEAR @ AFFINE)
    centre = grid.world(np.array([20.0, 20, 15]))
    np.testing.assert_allclose(centroid(shown(to_layer_data(blob(grid, centre)))), centre, atol=0.05)


def test_a_tilt_of_a_twentieth_degree_stays_in_the_scanner_frame():
    grid = VoxelGrid(SHAPE, rotation((0.05, 0, 0)) @ AFFINE)
    layer = shown(to_layer_data(Volume(data=numbered(), grid=grid, name="image")))
    assert not LayerRecord.of(layer).placement_notices
    assert tilt_notice(LayerRecord.of(layer).frame) is None
    centre = (np.array(SHAPE) - 1) / 2
    np.testing.assert_allclose(layer.data_to_world(centre[::-1])[::-1], grid.world(centre), atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (5, 4, 3, 2, 4)])
def test_further_axes_come_first(shape):
    stored = volume(data=numbered(shape), affine=stored_as("LPS").affine)
    layer = shown(to_layer_data(stored))
    assert layer.data.shape == (*shape[3:], 3, 4, 5)
    np.testing.assert_array_equal(from_layer(*layer.as_layer_data_tuple()[:2]).data, stored.data)


def test_relaxation_times_are_shown_in_ms_and_read_back_in_seconds():
    stored = volume(data=numbered() / 100, suffix="T1map", unit="s", file_unit="ms", name="sub-1 T1map")
    layer = shown(to_layer_data(stored))
    assert layer.name == "sub-1 T1map (ms)"
    assert layer.data.max() == pytest.approx(1000 * stored.data.max())
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_allclose(again.data, stored.data, rtol=2e-7)
    assert (again.name, again.unit, again.file_unit) == ("sub-1 T1map", "s", "ms")


def test_duplicated_and_deep_copied_layers_keep_their_record():
    stored = volume(data=numbered() / 100, affine=AFFINE @ SHEAR, suffix="T1map", unit="s", name="sub-1 T1map")
    viewer = ViewerModel()
    viewer.add_layer(shown(to_layer_data(stored)))
    viewer.layers.selection.active = viewer.layers[0]
    _duplicate_layer(viewer.layers)
    data, attributes, _ = copy.deepcopy(viewer.layers[1].as_layer_data_tuple())
    again = from_layer(data, attributes)
    assert (again.suffix, again.unit, again.grid.shape) == ("T1map", "s", stored.grid.shape)
    np.testing.assert_array_equal(again.data, stored.data)


def test_edited_values_and_names_are_read_back():
    layer = shown(to_layer_data(volume()))
    layer.name, layer.data = "mine", 2 * layer.data
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(again.data, 2 * numbered())
    np.testing.assert_array_equal(again.grid.affine, AFFINE)
    assert again.name == "mine"


def test_a_moved_layer_is_placed_where_it_was_moved_to():
    layer = shown(to_layer_data(volume(affine=TILT @ AFFINE)))
    layer.translate = np.add(layer.translate, (0, 0, 10))  # towards the right of the shown frame
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    step = TILT[:3, :3] @ (10, 0, 0)
    np.testing.assert_allclose(again.grid.world(np.zeros(3)), (TILT @ AFFINE)[:3, 3] + step, atol=1e-5)
    assert "moved" in again.notices[-1]


def test_a_copy_of_an_interpolated_layer_still_has_its_own_voxels():
    data, attributes, _ = shown(to_layer_data(volume(affine=AFFINE @ SHEAR))).as_layer_data_tuple()
    np.testing.assert_array_equal(from_layer(data.copy(), attributes).data, numbered())


def test_an_edited_interpolated_layer_is_taken_as_shown():
    layer = shown(to_layer_data(volume(affine=AFFINE @ SHEAR)))
    layer.data = 2 * layer.data
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    assert again.data.shape == layer.data.shape[::-1]
    assert "edited" in again.notices[-1]


def test_an_interpolated_mask_that_is_painted_in_place_is_not_lost():
    mask = volume(data=(numbered() > 9).astype(np.float32), affine=AFFINE @ SHEAR, suffix="mask", name="mask")
    layer = shown(to_layer_data(mask))
    before = layer.data
    layer.selected_label = 3
    layer.paint((3, 3, 2), 3)
    assert layer.data is before
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(again.data, layer.data.transpose())
    assert 3 in again.data
    assert "edited" in again.notices[-1]


def test_a_layer_from_elsewhere_is_placed_by_its_own_transform():
    layer = Image(numbered(), scale=(3, 2, 1), translate=(1, 2, 3), units=("mm", "mm", "um"), name="other")
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(again.data, numbered().transpose())
    np.testing.assert_allclose(again.grid.affine, [[1e-3, 0, 0, 3e-3], [0, 2, 0, 2], [0, 0, 3, 1], [0, 0, 0, 1]])
    assert "not opened by this plugin" in again.notices[-1]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_rotated_and_sheared_layers_from_elsewhere_keep_their_transform():
    layer = Image(numbered(), scale=(3, 2, 1), rotate=(10, 20, 30), shear=(0.1, 0.2, 0.3), affine=TILT)
    again = from_layer(*layer.as_layer_data_tuple()[:2])
    world = layer.data_to_world((4, 3, 2))[::-1]
    np.testing.assert_allclose(again.grid.world(np.array([2, 3, 4])), world, atol=1e-6)


def test_a_plain_image_becomes_one_slice():
    again = from_layer(*Image(numbered((6, 7))).as_layer_data_tuple()[:2])
    assert again.data.shape == (7, 6, 1)
    assert "1 × 1 × 1 mm" in again.notices[-1]


def test_masks_become_labels_and_hide_behind_images():
    mask = volume(data=(numbered() > 9).astype(np.float32), suffix="mask", name="mask")
    layers = [shown(layer) for layer in to_layers([volume(), mask])]
    assert isinstance(layers[1], Labels)
    assert not layers[1].visible
    assert to_layers([mask])[0][1].get("visible", True)
    np.testing.assert_array_equal(from_layer(*layers[1].as_layer_data_tuple()[:2]).data, mask.data)


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (np.zeros((4, 4, 4)), (0, 1)),
        (np.full((4, 4, 4), np.nan), (0, 1)),
        (np.full((4, 4, 4), 7.0), (0, 7)),
        (np.linspace(0, 1000, 125).reshape(5, 5, 5), (5, 995)),
    ],
)
def test_contrast_limits_are_percentiles_and_never_equal(data, limits):
    assert contrast_limits(volume(data=data)) == pytest.approx(limits)


def test_one_bright_voxel_does_not_set_the_limits():
    data = np.random.default_rng(0).uniform(0, 100, (60, 60, 60))
    data[3, 3, 3] = 1e6
    assert contrast_limits(volume(data=data))[1] < 101


@pytest.mark.parametrize(
    ("sidecar", "limits"),
    [
        ({}, (400, 2500)),
        ({"MagneticFieldStrength": 3}, (400, 2500)),
        ({"MagneticFieldStrength": "1.494"}, (200, 2000)),
        ({"MagneticFieldStrength": 7}, (600, 3500)),
    ],
)
def test_t1_has_the_usual_range_of_its_field_strength(sidecar, limits):
    t1 = volume(data=np.linspace(0.3, 3, 125).reshape(5, 5, 5), suffix="T1map", unit="s", sidecar=sidecar)
    assert contrast_limits(t1) == limits


def test_maps_of_one_quantity_look_alike_however_much_fluid_and_ringing_they_hold():
    tissue = np.linspace(0.05, 0.11, 4000).reshape(10, 20, 20)
    air = np.full((5, 20, 20), 0.003)
    fluid = np.full((5, 20, 20), 1.5)
    for parts in ([tissue], [tissue, air, air], [tissue, fluid, fluid]):
        assert contrast_limits(volume(data=np.concatenate(parts), suffix="T2map", unit="s")) == (20, 180)


def test_values_far_from_those_of_a_brain_have_limits_of_their_own():
    data = np.linspace(0.3, 3, 125).reshape(5, 5, 5)
    solution = volume(data=data / 30, suffix="T1map", unit="s", sidecar={"MagneticFieldStrength": "3"})
    assert contrast_limits(solution)[1] < 101
    water = volume(data=0.5 * data, suffix="T2map", unit="s")
    assert contrast_limits(water) == pytest.approx((157, 1493), abs=1)


def test_fluid_does_not_leave_tissue_dark():
    data = np.full((20, 20, 20), 0.04)
    data[:5] = 1.5
    data[5] = 0.012
    assert contrast_limits(volume(data=data, suffix="T2starmap", unit="s")) == pytest.approx((12, 100))


def test_ringing_in_air_does_not_saturate_tissue():
    data = np.full((20, 20, 20), 0.003)
    data[:5] = np.linspace(0.3, 0.5, 2000).reshape(5, 20, 20)
    low, high = contrast_limits(volume(data=data, suffix="T2map", unit="s"))
    assert low == pytest.approx(300, abs=2)
    assert high == pytest.approx(500, abs=2)


def test_limits_do_not_depend_on_what_is_opened_beside():
    t1 = volume(data=np.linspace(0.3, 3, 210).reshape(SHAPE), suffix="T1map", unit="s")
    guide = volume(suffix="T1w", sidecar={"MagneticFieldStrength": 1.5})
    layers = {attributes["name"]: attributes for _, attributes, _ in to_layers([replace(t1, name="t1"), guide])}
    assert layers["t1 (ms)"]["contrast_limits"] == to_layers([t1])[0][1]["contrast_limits"]


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        ("T1map", "lipari"),
        ("R1map", "lipari"),
        ("T2map", "navia"),
        ("T2starmap", "navia"),
        ("R2map", "navia"),
    ],
)
def test_the_recommended_colours_really_show(suffix, name):
    is_rate = suffix.startswith("R")
    stored = volume(data=numbered() / 100, suffix=suffix, unit="1/s" if is_rate else "s")
    layer = shown(to_layer_data(stored))
    low, high = layer.contrast_limits
    table = Colormap(f"crameri:{name}").lut(256)
    ends = table[[-1, 1]] if is_rate else table[[1, -1]]
    np.testing.assert_allclose(layer.colormap.map(np.array([1 / 255, 1.0])), ends, atol=0.02)
    np.testing.assert_allclose(layer.colormap.map(0.0).ravel(), (0, 0, 0, 1))
    assert layer.colormap.name.startswith(name.title())
    assert (low, high) == tuple(contrast_limits(stored))


def test_colours_are_linear_below_a_third_and_logarithmic_above():
    """Worked by hand for limits 0 to e: half of the map at 1, then ln(value) / 2 more."""
    table = Colormap("crameri:lipari").lut(256)
    adapted = log_adapted("crameri:lipari", (0.0, np.e))
    values = np.linspace(0, np.e, 256)
    for value, position in [(0.5, 0.25), (1.0, 0.5), (2.0, 0.5 + np.log(2) / 2), (np.e, 1.0)]:
        index = int(np.abs(values - value).argmin())
        np.testing.assert_allclose(adapted[index], table[round(1 + 254 * position)], atol=0.02)


def test_two_maps_with_other_limits_keep_their_own_colours():
    first, second = (
        shown(to_layer_data(volume(data=numbered() * factor, suffix="T1map", unit="s"))) for factor in (1, 0.01)
    )
    assert first.colormap.name != second.colormap.name


def test_proton_density_and_images_are_grey_and_residuals_lie_around_zero():
    pd = volume(data=numbered() / 100, suffix="PDmap", unit="arbitrary")
    assert appearance(pd, (0, 1))["colormap"] == "gray"
    assert contrast_limits(pd)[0] == 0
    residual = shown(to_layer_data(volume(data=numbered() - 100, suffix="T1residual", unit="s")))
    assert residual.contrast_limits[0] == -residual.contrast_limits[1]
    assert residual.colormap.name.startswith("Vik")


def test_a_run_becomes_layers_with_maps_on_top_and_the_rest_hidden():
    run = small_run(TILT @ AFFINE)
    layers = [shown(layer) for layer in result_layers(run)]
    assert [layer.name for layer in layers if layer.visible] == ["PD SR", "T1 SR (ms)", "T2 SR (ms)"]
    assert [layer.name for layer in layers if not layer.visible] == [
        "sub-01 T1w residual",
        "sub-01 T2w residual",
        "PD LR residual",
        "T1 LR residual (ms)",
        "T2 LR residual (ms)",
        "Conflict",
    ]
    for layer in layers:
        shown_volume = LayerRecord.of(layer).volume
        assert shown_volume.sidecar["Notice"] == "synthetic: research use"
        assert not shown_volume.data.size
        np.testing.assert_allclose(layer.extent.world.mean(axis=0), layers[0].extent.world.mean(axis=0), atol=1e-4)
    t1 = layers[-2]
    np.testing.assert_allclose(from_layer(*t1.as_layer_data_tuple()[:2]).data, run.maps["T1"], rtol=2e-7)
    assert shown_volume.sidecar["Parameters"] == run.parameters


def test_super_resolved_measured_and_reopened_maps_share_limits():
    run = small_run()
    field = {"MagneticFieldStrength": 1.5}
    lr = volume(data=run.lr_maps["T1"], affine=run.lr_maps.grid.affine, suffix="T1map", unit="s", sidecar=field)
    measured = to_layer_data(lr)[1]
    origin = origin_of([measured])
    assert origin == field
    layers = {layer[1]["name"]: layer for layer in result_layers(run, origin=origin)}
    assert layers["T1 SR (ms)"][1]["contrast_limits"] == measured["contrast_limits"] == (200, 2000)
    again = from_layer(*layers["T1 SR (ms)"][:2])
    assert contrast_limits(again) == (200, 2000)
    assert again.sidecar["Notice"] == "synthetic: research use"


@pytest.mark.parametrize(("top", "limit"), [(0.0123, 0.015), (0.93, 1), (1, 1), (1.03, 1.2), (812, 1000)])
def test_proton_density_is_shown_up_to_a_round_number(top, limit):
    density = volume(data=np.full((3, 3, 3), top), suffix="PDmap")
    slightly_sharper = replace(density, data=0.99 * density.data)
    assert contrast_limits(density) == (0, limit)
    assert contrast_limits(slightly_sharper) == (0, limit)


def test_results_say_which_files_they_are_made_of(tmp_path):
    maps, guide = (
        to_layer_data(volume(path=tmp_path / name, sidecar={"MagneticFieldStrength": tesla}))[1]
        for name, tesla in (("sub-01_T1map.nii", 3), ("sub-01_T1w.nii", 1.5))
    )
    unknown = to_layer_data(volume())[1]
    sources = [str(tmp_path / "sub-01_T1map.nii"), str(tmp_path / "sub-01_T1w.nii")]
    assert origin_of([maps, unknown], [guide]) == {"MagneticFieldStrength": 3, "Sources": sources}
    assert origin_of([unknown]) == {}
    unsaved = to_layer_data(volume(sidecar={"Sources": sources}))[1]
    assert origin_of([unsaved], [guide]) == {"Sources": sources}
    layers = result_layers(small_run(), origin=origin_of([maps], [guide]))
    assert all(from_layer(*layer[:2]).sidecar["Sources"] == sources for layer in layers)


def test_results_go_into_the_frame_of_the_layers_they_came_from():
    frame = display_frame(VoxelGrid(SHAPE, TILT @ AFFINE))
    layers = result_layers(small_run(), frame)
    assert all(same_frame(LayerRecord.of(attributes).frame, frame) for _, attributes, _ in layers)


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        ({"method": "posterior", "weights": None, "adapted": None}, "posterior"),
        ({"method": "network", "weights": {"name": DEFAULT_WEIGHTS}, "adapted": None}, "network"),
        ({"method": "network", "weights": {"name": "/data/a.safetensors"}, "adapted": None}, "network, a.safetensors"),
        ({"method": "network", "weights": {"name": DEFAULT_WEIGHTS}, "adapted": {}}, "network, adapted"),
    ],
)
def test_results_are_labelled_by_guides_and_method(parameters: dict[str, object], label: str) -> None:
    run = replace(small_run(), parameters=parameters)
    assert result_label(run) == f"M_11 (T1w + T1w), {label}"
    assert {LayerRecord.of(attributes).model for _, attributes, _ in result_layers(run)} == {result_label(run)}
