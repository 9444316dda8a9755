"""The digital head: partial volume at any voxel size, tissue values, and structures in place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_swig_qmri.simulation.phantom import CLASSES, PAINTED_TISSUES, Phantom, make_phantom

SLAB = ((-72, 72), (-104, 76), (6, 18))  # mm, through cortex, ventricles and deep grey matter
PART = ((20, 50), (-40, -10), (6, 18))


@pytest.fixture(scope="module")
def slab() -> Phantom:
    return make_phantom(1.0, extent=SLAB)


@pytest.fixture(scope="module")
def coarse_slab() -> Phantom:
    return make_phantom(2.0, extent=SLAB)


def block_mean(array: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    c, x, y, z = array.shape
    a, b, d = size
    return array.reshape(c, x // a, a, y // b, b, z // d, d).mean(axis=(2, 4, 6))


@pytest.mark.parametrize("size", [(1, 1, 4), (3, 3, 1)])
def test_a_coarse_voxel_is_the_average_of_fine_ones(slab: Phantom, size: tuple[int, int, int]) -> None:
    coarse = make_phantom(size, extent=SLAB)
    assert coarse.maps.grid.voxel_size == size
    np.testing.assert_allclose(coarse.maps.grid.world(np.zeros(3)), np.array(SLAB)[:, 0] + np.array(size) / 2)
    np.testing.assert_allclose(coarse.fractions, block_mean(slab.fractions, size), atol=1e-5)
    np.testing.assert_allclose(coarse.maps["PD"], block_mean(slab.maps.data[:1], size)[0], atol=1e-5)


def test_partial_volume_converges_below_the_largest_painted_voxel() -> None:
    """A border one voxel wide equals the box average up to a few percent of a voxel of curvature."""
    fine = block_mean(make_phantom(0.5, extent=PART).fractions, (2, 2, 2))
    error = make_phantom(1.0, extent=PART).fractions - fine
    assert np.abs(error).mean() < 0.01
    assert np.abs(error.mean(axis=(1, 2, 3))).max() < 0.01


def test_a_part_of_the_head_equals_the_same_part_of_a_larger_one(slab: Phantom) -> None:
    part = make_phantom(1.0, extent=PART)
    np.testing.assert_allclose(part.maps.data, slab.maps.data[:, 92:122, 64:94], atol=1e-5)


def test_relaxation_mixes_by_proton_density(slab: Phantom, coarse_slab: Phantom) -> None:
    """In a mixed voxel, PD and PD R2 are the averages over the finer voxels, and T2 is their ratio."""
    rate = block_mean((slab.maps["PD"] / np.maximum(slab.maps["T2"], 1e-3))[None], (2, 2, 2))[0]
    mixed = coarse_slab.mask & (coarse_slab.fractions[0] > 0.2) & (coarse_slab.fractions[0] < 0.8)
    assert mixed.sum() > 1000
    expected = coarse_slab.maps["PD"][mixed] / rate[mixed]
    np.testing.assert_allclose(coarse_slab.maps["T2"][mixed], expected, rtol=1e-3)


def test_fractions_are_fractions(slab: Phantom) -> None:
    assert slab.fractions.min() >= 0
    np.testing.assert_array_less(slab.fractions.sum(axis=0), 1 + 1e-5)
    assert slab.fractions[:, slab.mask].sum(axis=0).mean() == pytest.approx(1, abs=0.01)
    assert set(slab.tissues) == {"CSF", "GM", "WM", "deep GM", "lesion"}
    assert all((slab.fractions[CLASSES.index(name)][where] > 0.95).all() for name, where in slab.tissues.items())


@pytest.mark.parametrize("column", [0, 1])
def test_tissues_have_the_values_of_their_field_strength(slab: Phantom, column: int) -> None:
    phantom = slab if column else make_phantom(1.0, extent=SLAB, field_strength=1.5)
    for name, tissue in (("WM", "white"), ("GM", "cortex"), ("CSF", "csf")):
        where = phantom.fractions[CLASSES.index(name)] > 0.99
        values = PAINTED_TISSUES[tissue]
        medians = np.median(phantom.maps.data[:, where], axis=1)
        np.testing.assert_allclose(medians, [values.pd, values.t1[column], values.t2[column]], rtol=0.03)


def test_tissue_values_lie_in_published_ranges_at_3_t() -> None:
    ranges = {  # PD, T1 and T2 of training data in use
        "white": ((0.5, 0.9), (0.8, 1.5), (0.060, 0.100)),
        "cortex": ((0.7, 1.0), (1.2, 2.0), (0.080, 0.120)),
        "csf": ((0.9, 1.0), (2.0, 4.0), (1.3, 2.0)),
        "fat": ((0.0, 1.0), (0.3, 0.5), (0.060, 0.100)),
    }
    for name, limits in ranges.items():
        tissue = PAINTED_TISSUES[name]
        for value, (low, high) in zip((tissue.pd, tissue.t1[1], tissue.t2[1]), limits, strict=True):
            assert low <= value <= high


def test_texture_varies_inside_tissue_and_differs_between_maps(slab: Phantom) -> None:
    values = slab.maps.data[:, slab.fractions[CLASSES.index("WM")] > 0.999]
    spread = values.std(axis=1) / values.mean(axis=1)
    assert (spread > 0.01).all()
    assert (spread < 0.08).all()
    assert np.abs(np.corrcoef(values)[np.triu_indices(3, 1)]).max() < 0.6


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ((28, 4, 2), "deep GM"),  # putamen
        ((-28, 4, 2), "deep GM"),
        ((12, -18, 8), "deep GM"),  # thalamus
        ((0, 10, 25), "WM"),  # corpus callosum
        ((0, -24, -34), "WM"),  # pons
        ((9, 18, 11), "CSF"),  # frontal horn
        ((-9, 18, 11), "CSF"),
        ((0, -44, -33), "CSF"),  # fourth ventricle
        ((24, -38, 30), "WM"),  # centrum semiovale
        ((31, 58, -30), "other"),  # eye
    ],
)
def test_structures_are_where_they_belong(position: tuple[float, float, float], expected: str) -> None:
    voxel = make_phantom(1.0, extent=tuple((p - 0.5, p + 0.5) for p in position))  # type: ignore[arg-type]
    assert voxel.labels.item() == 1 + CLASSES.index(expected)


def test_air_is_empty() -> None:
    above = make_phantom(2.0, extent=((-4, 4), (-4, 4), (98, 104)))
    assert (above.labels == 0).all()
    assert (above.maps.data == 0).all()


def test_cortex_is_a_ribbon_of_usual_thickness(slab: Phantom) -> None:
    """Distance to white matter from where the cortex meets CSF, voxel centre to voxel centre."""
    grey, white, csf = (slab.labels == 1 + CLASSES.index(name) for name in ("GM", "WM", "CSF"))
    distance = ndi.distance_transform_edt(~white)[grey & ndi.binary_dilation(csf)]
    assert 2.4 < np.median(distance) < 3.6
    assert np.percentile(distance, 75) < 4.5


def test_hemispheres_are_alike_but_not_mirrored(slab: Phantom) -> None:
    labels, brain = slab.labels[:, :, 6], slab.mask[:, :, 6]
    assert 0.5 < (labels == labels[::-1])[brain].mean() < 0.95


def test_lesions_can_be_left_out_without_changing_the_rest(coarse_slab: Phantom) -> None:
    without = make_phantom(2.0, extent=SLAB, lesion=False)
    share = coarse_slab.fractions[CLASSES.index("lesion")]
    assert without.fractions[CLASSES.index("lesion")].max() == 0
    assert ndi.label(share > 0.5)[1] >= 3
    np.testing.assert_array_equal(coarse_slab.maps.data[:, share == 0], without.maps.data[:, share == 0])
    core = share > 0.9
    assert np.median(coarse_slab.maps["T2"][core]) > 1.8 * np.median(without.maps["T2"][core])


@pytest.mark.slow
def test_a_seed_is_a_head() -> None:
    first, again, other = (make_phantom(1.0, extent=PART, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.maps.data, again.maps.data)
    assert (first.labels != other.labels).mean() > 0.05


@pytest.mark.slow
def test_a_whole_head_has_the_size_of_usual_templates() -> None:
    head = make_phantom(4.0)
    litres = {name: part.sum() * 64e-6 for name, part in zip(CLASSES, head.fractions, strict=True)}
    assert 1.1 < litres["GM"] + litres["WM"] + litres["deep GM"] + litres["lesion"] < 1.6
    assert 0.9 < litres["GM"] / litres["WM"] < 2.0
    assert 0.10 < litres["CSF"] < 0.45
    assert np.isfinite(head.maps.data).all()
    assert (head.maps.data[:, head.labels == 0].max(axis=1) < 10).all()


@pytest.mark.parametrize(
    ("size", "field_strength", "message"),
    [
        (4.0, 7.0, r"1\.5 and 3 T only, not at 7\.0 T"),
        (0, 3.0, "must be positive, but 0"),
        ((1, -1, 1), 3.0, "positive"),
    ],
)
def test_impossible_phantoms_are_refused(size: float, field_strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_phantom(size, field_strength=field_strength)
