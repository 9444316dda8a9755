"""Maps of the transmit field (B1+): units, implausible values, and resampling to the grid of other maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from volume_cases import volume

from napari_swig_qmri.data.storage.files import read_volume
from napari_swig_qmri.data.transmit_field import as_transmit_map, transmit_field_on
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.progress import drained

SHAPE = (6, 8, 10)
GRID = VoxelGrid(SHAPE, np.diag([2.0, 2.0, 3.0, 1.0]))
FIELD = np.random.default_rng(0).uniform(0.6, 1.4, SHAPE).astype(np.float32)


def stored(values: np.ndarray, **more: Any) -> Any:
    return volume(**{"data": values.astype(np.float32), "affine": GRID.affine, "name": "B1"} | more)


@pytest.mark.parametrize("factor", [1, 100])
def test_fractions_and_percent_are_distinguished(factor: float) -> None:
    found = as_transmit_map(stored(factor * FIELD))
    np.testing.assert_allclose(found.data, FIELD, rtol=1e-6)
    assert ("percent" if factor == 100 else "a fraction") in found.notices[-1]


@pytest.mark.parametrize(
    ("values", "more", "words"),
    [
        (55 * FIELD, {}, 'median of .*: divide angles in degrees by .*put "Units": "percent" into the sidecar'),
        (140 * FIELD, {}, "has a median of"),
        (800 * FIELD, {}, "'B1' has a median of .*, but a B1\\+ map is a fraction of the nominal flip angle"),
        (80 * FIELD, {"sidecar": {"Units": "degrees"}}, "has a median of .* degrees, but"),
        (0 * FIELD, {}, "has a median of 0"),
        (FIELD[..., None] * np.ones(2), {}, "has the shape .*: save one volume of it"),
    ],
)
def test_implausible_maps_are_refused(values: np.ndarray, more: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_transmit_map(stored(values, **more))


@pytest.mark.parametrize("factor", [55, 85, 140])
def test_percent_and_degrees_are_stated_by_units(tmp_path: Path, factor: float) -> None:
    values = (factor * FIELD).astype(np.float32)
    written = tmp_path / "sub-01_TB1map.nii.gz"
    nib.save(nib.Nifti1Image(values, GRID.affine), written)
    if factor == 85:
        assert "degrees would look the same" in as_transmit_map(read_volume(written)).notices[-1]
    else:
        found = read_volume(written)
        np.testing.assert_allclose(found.data, values, rtol=1e-6)
        assert "fits neither fraction nor percent" in found.notices[-1]
        with pytest.raises(ValueError, match="divide angles in degrees"):
            as_transmit_map(found)
    sidecar = tmp_path / "sub-01_TB1map.json"
    sidecar.write_text('{"Units": "percent"}')
    np.testing.assert_allclose(as_transmit_map(read_volume(written)).data, values / 100, rtol=1e-5)
    sidecar.write_text('{"Units": "degrees"}')
    assert read_volume(written).file_unit == "arbitrary"
    with pytest.raises(ValueError, match=r"degrees, but .* by the nominal one\.$"):
        as_transmit_map(read_volume(written))


def smooth(positions: np.ndarray) -> np.ndarray:
    """A field that varies over the head, by positions in mm."""
    return 1 + 0.01 * positions[..., 0] - 0.008 * positions[..., 1] + 0.005 * positions[..., 2]


def positions(grid: VoxelGrid) -> np.ndarray:
    return grid.world(np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1).astype(float))


def test_a_map_on_another_grid_is_resampled() -> None:
    coarse = GRID.with_shape((3, 4, 5))
    given = as_transmit_map(volume(data=smooth(positions(coarse)).astype(np.float32), affine=coarse.affine))
    found = drained(transmit_field_on(given, GRID))
    inner = (slice(1, -1),) * 3  # without the outer voxels, which lie beyond the centres of the coarse ones
    np.testing.assert_allclose(found[inner], smooth(positions(GRID))[inner], atol=0.02)  # splines end flat
    assert (found > 0.8).all()


def test_holes_and_voxels_beyond_the_map_take_the_nearest_value() -> None:
    values = np.full(SHAPE, 0.9)
    values[2:4, 3:5, 4:6] = 0
    found = drained(transmit_field_on(as_transmit_map(stored(values[..., :5])), GRID))
    np.testing.assert_allclose(found, 0.9, rtol=1e-3)
    far = VoxelGrid(SHAPE, GRID.affine + np.array([[0, 0, 0, 500.0], [0] * 4, [0] * 4, [0] * 4]))
    with pytest.raises(ValueError, match="do not overlap"):
        drained(transmit_field_on(as_transmit_map(stored(values)), far))
