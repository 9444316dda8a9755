"""Statistics of labelled regions, against what can be worked out by hand."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from volume_cases import AFFINE, SHAPE, rotation, volume

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.evaluation.regions import (
    TABLE_COLUMNS,
    RegionSource,
    as_csv,
    bland_altman,
    expected_difference,
    mean_tissue,
    paired_means,
    paired_voxels,
    regions_on,
    statistics,
    surroundings,
    tabulate,
)
from napari_swig_qmri.progress import drained

TILTED = rotation((10, -20, 35)) @ AFFINE
HR = VoxelGrid((12, 16, 10), np.diag([1.0, 1.0, 1.0, 1.0]))
LR = HR.with_shape((6, 8, 5))


def blocks(grid: VoxelGrid = HR) -> Volume:
    """Label 3 where x < 4 mm, label 7 where x > 8 mm."""
    x = grid.world(np.stack(np.indices(grid.shape), -1))[..., 0]
    return Volume(data=np.where(x < 3.5, 3, np.where(x > 7.5, 7, 0)), grid=grid, name="labels", suffix="dseg")


def image(grid: VoxelGrid, values: float | np.ndarray = 1.0, **more: object) -> Volume:
    data = np.broadcast_to(np.float32(values), grid.shape).copy()
    return Volume(**{"data": data, "grid": grid, "name": "T1", "suffix": "T1map", "unit": "s"} | more)  # type: ignore[arg-type]


def source(volume: Volume, name: str, is_synthetic: bool = False) -> RegionSource:
    return RegionSource(name=name, read=lambda: volume, is_synthetic=is_synthetic)


def test_labels_on_their_own_grid_are_their_voxels() -> None:
    labels = np.zeros(SHAPE)
    labels[1, 2, 3], labels[4, 5, 6], labels[0, 0, 0] = 2, 2, 9
    found = regions_on(volume(data=labels, affine=TILTED), VoxelGrid(SHAPE, TILTED))
    assert {label: where.tolist() for label, where in found.items()} == {
        2: np.ravel_multi_index(([1, 4], [2, 5], [3, 6]), SHAPE).tolist(),
        9: [0],
    }


def test_labels_on_another_grid_stay_in_place() -> None:
    found = regions_on(blocks(), LR)
    assert sorted(found) == [3, 7]
    assert {label: where.size for label, where in found.items()} == {3: 2 * 40, 7: 2 * 40}
    back = regions_on(blocks(LR), HR)
    np.testing.assert_array_equal(back[3], regions_on(blocks(), HR)[3])  # also the half voxel beyond the centres


@pytest.mark.parametrize("affine", [AFFINE, TILTED])
def test_each_voxel_gets_the_nearest_label(affine: np.ndarray) -> None:
    labels = volume(data=np.random.default_rng(0).integers(0, 4, SHAPE), affine=affine)
    tilted = rotation((3, 4, 5)) @ np.diag([1.3, 1.9, 2.1, 1.0])
    tilted[:3, 3] = affine[:3, :3] @ (np.array(SHAPE) / 2.1) + affine[:3, 3] - tilted[:3, :3] @ (3, 2, 4)
    grid = VoxelGrid((7, 5, 9), tilted)
    expected = np.zeros(grid.shape, int)
    for index in np.ndindex(grid.shape):
        at = np.linalg.inv(affine) @ [*grid.world(np.array(index)), 1]
        near = np.rint(at[:3]).astype(int)
        if (near >= 0).all() and (near < SHAPE).all():
            expected[index] = labels.data[tuple(near)]
    found = regions_on(labels, grid)
    assert sorted(found) == [1, 2, 3]
    for label, where in found.items():
        np.testing.assert_array_equal(where, np.flatnonzero(expected == label))


def test_labels_elsewhere_and_empty_ones_are_no_regions() -> None:
    far = np.eye(4)
    far[:3, 3] = 1000
    assert regions_on(blocks(), VoxelGrid((4, 4, 4), far)) == {}
    assert regions_on(replace(blocks(), data=np.zeros(HR.shape)), LR) == {}
    between = np.zeros((24, 32, 20))
    between[7, 7, 7] = 1  # no voxel of the coarse grid has its centre in this fine voxel
    assert regions_on(Volume(data=between, grid=HR.with_shape((24, 32, 20)), name="labels"), LR) == {}


def test_labels_of_four_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="labels have three axes"):
        regions_on(volume(data=np.ones((2, 3, 4, 5))), LR)


def test_statistics_by_hand() -> None:
    row = statistics(np.array([1.0, 2.0, math.nan, 3.0]), label=1, image="T1", unit="ms")
    assert (row.n, row.mean, row.deviation, row.median) == (3, 2.0, 1.0, 2.0)
    # Student's t for 97.5 % and 2 degrees of freedom is 4.3027
    assert row.interval == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), rel=1e-4)


def test_statistics_of_few_voxels_have_gaps() -> None:
    one = statistics(np.array([5.0]), label=1, image="T1", unit="ms")
    assert (one.n, one.mean) == (1, 5.0)
    assert math.isnan(one.deviation)
    assert math.isnan(one.interval[0])
    assert math.isnan(statistics(np.array([math.nan]), label=1, image="T1", unit="ms").mean)


def test_a_table_has_every_image_in_every_region_in_ms() -> None:
    rows = drained(
        tabulate([source(image(LR, 1.25), "LR"), source(image(HR, 1.5), "SR", True), source(image(LR), "B")], blocks())
    )
    assert [(row.label, row.image, row.unit, row.mean, row.n) for row in rows] == [
        *((3, "LR", "ms", 1250, 80), (3, "SR", "ms", 1500, 640), (3, "B", "ms", 1000, 80)),
        *((7, "LR", "ms", 1250, 80), (7, "SR", "ms", 1500, 640), (7, "B", "ms", 1000, 80)),
    ]


def test_an_image_of_several_volumes_counts_with_its_first() -> None:
    series = image(HR)
    series = replace(series, data=np.stack([series.data, 5 * series.data], -1))
    assert {row.mean for row in drained(tabulate([source(series, "series")], blocks()))} == {1000}


def test_a_table_without_regions_is_refused() -> None:
    with pytest.raises(ValueError, match="no label of 'labels' lies in any of the images"):
        drained(tabulate([source(image(HR), "T1")], replace(blocks(), data=np.zeros(HR.shape))))


def test_the_table_as_csv_can_be_read_back() -> None:
    rows = drained(tabulate([source(image(LR), "T1, LR"), source(image(HR), "T1 SR", True)], blocks()))
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert tuple(read[0]) == TABLE_COLUMNS
    assert [(row["image"], row["notice"]) for row in read[:2]] == [("T1, LR", ""), ("T1 SR", RESEARCH_NOTICE)]
    assert float(read[0]["mean"]) == 1000
    assert float(read[0]["ci95_high"]) == 1000
    single = statistics(np.array([2.0]), label=1, image="PD", unit="arbitrary")
    assert next(csv.DictReader(io.StringIO(as_csv([single]))))["sd"] == ""


def test_mean_and_median_tissue_leave_out_voxels_without_all_maps() -> None:
    data = np.ones((3, *LR.shape), np.float32)
    data[1].flat[:4] = [1.0, 2.0, 6.0, np.nan]
    data[2].flat[5] = 0
    maps = QuantitativeMaps(data=data, grid=LR)
    assert mean_tissue(maps, np.array([0, 1, 2, 3, 5]), "roi").t1 == 3.0
    assert mean_tissue(maps, np.array([0, 1, 2, 3, 5]), "roi", robust=True).t1 == 2.0
    assert not mean_tissue(maps, np.array([3, 5]), "roi").is_measured
    assert not mean_tissue(maps, np.array([], int), "roi").is_measured


def test_surroundings_are_a_shell_in_mm() -> None:
    grid = VoxelGrid((31, 31, 31), np.diag([1.0, 1.0, 2.0, 1.0]))
    centre = np.array([np.ravel_multi_index((15, 15, 15), grid.shape)])
    shell = np.zeros(grid.shape, bool)
    shell.flat[surroundings(centre, grid)] = True
    x, y, z = np.indices(grid.shape)
    distance = np.sqrt((x - 15) ** 2 + (y - 15) ** 2 + (2 * (z - 15)) ** 2)
    np.testing.assert_array_equal(shell, (distance > 1) & (distance <= 6))
    assert surroundings(np.array([], int), grid).size == 0


def test_standard_errors_of_voxels_are_pooled_over_regions_and_images() -> None:
    image = volume(data=np.ones(SHAPE, np.float32), suffix="T1map", unit="s", name="SR")
    errors = replace(
        image, data=np.where(np.arange(SHAPE[0])[:, None, None] < 2, 0.03, 0.04) * np.ones(SHAPE), name="SE"
    )
    labels = volume(data=1 + (np.arange(SHAPE[0])[:, None, None] >= 2) * np.ones(SHAPE, np.int32))
    sources = [
        RegionSource(name="SR", read=lambda: image, read_errors=lambda: errors, kind="T1"),
        RegionSource(name="LR", read=lambda: image, kind="T1"),
    ]
    rows = drained(tabulate(sources, labels))
    told = {(row.label, row.image): row.voxel_error for row in rows}
    assert told[1, "SR"] == pytest.approx(30)  # ms
    assert told[2, "SR"] == pytest.approx(40)
    assert math.isnan(told[1, "LR"])
    pooled = math.sqrt((2 * 30**2 + 3 * 40**2) / 5)
    assert expected_difference(rows, "SR", "LR") == pytest.approx(1.96 * pooled)
    assert expected_difference(rows, "SR", "SR") == pytest.approx(1.96 * math.sqrt(2) * pooled)
    assert math.isnan(expected_difference(rows, "LR", "LR"))
    header, first, *_ = csv.reader(io.StringIO(as_csv(rows)))
    assert dict(zip(header, first, strict=True))["voxel_standard_error"] in ("30", "")


def test_agreement_by_hand() -> None:
    made = bland_altman(np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 5.0, 1.0]))
    np.testing.assert_array_equal(made.differences, [1, 0, 2])
    np.testing.assert_array_equal(made.means, [1.5, 2, 4])
    assert made.bias == 1
    assert made.limits == pytest.approx((1 - 1.96, 1 + 1.96))  # the three differ by a deviation of 1


def test_agreement_of_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two regions or voxels in common"):
        bland_altman(np.array([1.0, np.nan]), np.array([1.0, 1.0]))


def test_means_are_paired_by_label() -> None:
    rows = [
        statistics(np.array([float(v)]), label=k, image=i, unit="")
        for k, i, v in [
            *((1, "a", 10), (2, "a", 20), (3, "a", 30)),
            *((3, "b", 33), (1, "b", 11)),
        ]
    ]
    first, second = paired_means(rows, "a", "b")
    assert dict(zip(first, second, strict=True)) == {10: 11, 30: 33}


def test_voxels_are_paired_on_the_coarser_grid() -> None:
    x = np.arange(12, dtype=np.float32)[:, None, None]
    fine = image(HR, 1 + x / 10)
    coarse = image(LR, 1 + (x[::2] + 0.5) / 10)
    one, other = drained(paired_voxels(coarse, fine, blocks()))
    assert one.size == 160
    assert one.max() == pytest.approx(2050)
    inner = (one > 1200) & (one < 1900)  # splines bend at the edge of the field of view
    np.testing.assert_allclose(other[inner], one[inner], rtol=2e-3)
    swapped = drained(paired_voxels(fine, coarse, blocks()))
    np.testing.assert_array_equal(swapped[1], one)
    same = drained(paired_voxels(fine, fine, blocks()))
    np.testing.assert_array_equal(*same)
