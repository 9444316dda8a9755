"""The phantom: partial volume that is consistent over voxel sizes, tissue values, and an anatomy in place."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_swig_qmri.simulation.phantom import CLASSES, PAINTED_TISSUES, make_phantom
from napari_swig_qmri.simulation.shapes import Lattice, ellipsoid, smooth_min, spline_field, tube

CENTRE = ((-72, 72), (-104, 76), (6, 18))  # a slab through cortex, ventricles and deep grey matter
CORNER = ((20, 50), (-40, -10), (6, 18))


@pytest.fixture(scope="module")
def slab():
    return make_phantom(1.0, extent=CENTRE)


@pytest.fixture(scope="module")
def coarse_head():
    return make_phantom(4.0)


def block_mean(array: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    c, x, y, z = array.shape
    a, b, d = size
    return array.reshape(c, x // a, a, y // b, b, z // d, d).mean(axis=(2, 4, 6))


def at(phantom, x: float, y: float, z: float) -> str:
    """Class of the voxel at a world position."""
    i, j, k = np.round(np.linalg.inv(phantom.maps.grid.affine) @ [x, y, z, 1]).astype(int)[:3]
    label = phantom.labels[i, j, k]
    return CLASSES[label - 1] if label else "air"


@pytest.mark.parametrize("size", [(2, 2, 2), (1, 1, 4), (3, 3, 1)])
def test_a_coarse_voxel_is_the_average_of_fine_ones(slab, size):
    coarse = make_phantom(size, extent=CENTRE)
    np.testing.assert_allclose(coarse.fractions, block_mean(slab.fractions, size), atol=1e-5)
    np.testing.assert_allclose(coarse.maps["PD"], block_mean(slab.maps.data[:1], size)[0], atol=1e-5)


def test_partial_volume_converges_below_the_finest_painted_voxel():
    """Edges one voxel wide stand for the box average up to a few percent of a voxel of curvature."""
    fine = block_mean(make_phantom(0.5, extent=CORNER).fractions, (2, 2, 2))
    error = np.abs(make_phantom(1.0, extent=CORNER).fractions - fine)
    assert error.mean() < 0.01
    assert abs((make_phantom(1.0, extent=CORNER).fractions - fine).mean(axis=(1, 2, 3))).max() < 0.01


def test_relaxation_mixes_by_proton_density(slab):
    """In a mixed voxel, PD and PD R2 are the averages of the finer voxels, and T2 is their ratio."""
    coarse = make_phantom(2.0, extent=CENTRE)
    rate = block_mean((slab.maps["PD"] / np.maximum(slab.maps["T2"], 1e-3))[None], (2, 2, 2))[0]
    mixed = coarse.mask & (coarse.fractions[0] > 0.2) & (coarse.fractions[0] < 0.8)
    assert mixed.sum() > 1000
    expected = coarse.maps["PD"][mixed] / rate[mixed]
    np.testing.assert_allclose(coarse.maps["T2"][mixed], expected, rtol=1e-3)


def test_fractions_are_fractions(slab):
    assert slab.fractions.min() >= 0
    np.testing.assert_array_less(slab.fractions.sum(axis=0), 1 + 1e-5)
    assert slab.fractions[:, slab.mask].sum(axis=0).mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_tissues_have_the_values_of_their_field_strength(strength):
    phantom = make_phantom(1.0, extent=CENTRE, field_strength=strength)
    column = (1.5, 3.0).index(strength)
    for name, tissue in (("WM", "white"), ("GM", "cortex"), ("CSF", "csf")):
        where = phantom.fractions[CLASSES.index(name)] > 0.99
        expected = (PAINTED_TISSUES[tissue].pd, PAINTED_TISSUES[tissue].t1[column], PAINTED_TISSUES[tissue].t2[column])
        for values, value in zip(phantom.maps.data, expected, strict=True):
            assert np.median(values[where]) == pytest.approx(value, rel=0.03)


def test_published_ranges_hold_at_3_t():
    """Training ranges in use at 3 T for WM, GM, CSF and fat."""
    ranges = {
        "white": ((0.5, 0.9), (0.8, 1.5), (0.060, 0.100)),
        "cortex": ((0.7, 1.0), (1.2, 2.0), (0.080, 0.120)),
        "csf": ((0.9, 1.0), (2.0, 4.0), (1.3, 2.0)),
        "fat": ((0.0, 1.0), (0.3, 0.5), (0.060, 0.100)),
    }
    for name, limits in ranges.items():
        tissue = PAINTED_TISSUES[name]
        for value, (low, high) in zip((tissue.pd, tissue.t1[1], tissue.t2[1]), limits, strict=True):
            assert low <= value <= high


def test_values_vary_inside_tissue_and_differently_in_each_map(slab):
    white = slab.fractions[CLASSES.index("WM")] > 0.999
    values = slab.maps.data[:, white]
    spread = values.std(axis=1) / values.mean(axis=1)
    assert (spread > 0.01).all()
    assert (spread < 0.08).all()
    correlation = np.corrcoef(values)[np.triu_indices(3, 1)]
    assert np.abs(correlation).max() < 0.6


def test_anatomy_is_where_it_belongs(coarse_head):
    fine = make_phantom(1.0, extent=((-60, 60), (-90, 60), (-50, 36)))
    for place, expected in {
        (28, 4, 2): "deep GM",  # putamen
        (-28, 4, 2): "deep GM",
        (12, -18, 8): "deep GM",  # thalamus
        (0, 10, 25): "WM",  # corpus callosum
        (0, -24, -34): "WM",  # pons
        (9, 18, 11): "CSF",  # frontal horn
        (-9, 18, 11): "CSF",
        (0, -44, -33): "CSF",  # fourth ventricle
        (24, -38, 30): "WM",  # centrum semiovale
    }.items():
        assert at(fine, *place) == expected, place
    assert at(coarse_head, 0, 0, 104) == "air"
    assert at(coarse_head, 31, 58, -30) == "other"  # eye


def test_sizes_are_those_of_a_head(coarse_head):
    litres = {n: f.sum() * 64e-6 for n, f in zip(CLASSES, coarse_head.fractions, strict=True)}
    brain = litres["GM"] + litres["WM"] + litres["deep GM"] + litres["lesion"]
    assert 1.1 < brain < 1.6  # the head is as large as the usual templates
    assert 0.9 < litres["GM"] / litres["WM"] < 2.0
    assert 0.10 < litres["CSF"] < 0.45


def test_cortex_is_a_ribbon_of_usual_thickness(slab):
    """Distance to white matter from where the cortex meets CSF, voxel centre to voxel centre."""
    grey, white = (slab.labels == 1 + CLASSES.index(name) for name in ("GM", "WM"))
    pial = grey & ndi.binary_dilation(slab.labels == 1 + CLASSES.index("CSF"))
    distance = ndi.distance_transform_edt(~white)[pial]
    assert 2.4 < np.median(distance) < 3.6
    assert np.percentile(distance, 75) < 4.5


def test_hemispheres_are_alike_but_not_mirrored(slab):
    labels = slab.labels[:, :, 6]
    same = (labels == labels[::-1])[slab.mask[:, :, 6]].mean()
    assert 0.5 < same < 0.95


def test_lesions_can_be_left_out_without_changing_the_rest():
    extent = ((-50, 50), (-60, 50), (0, 40))
    with_, without = (make_phantom(2.0, extent=extent, lesion=lesion) for lesion in (True, False))
    spots = with_.fractions[CLASSES.index("lesion")]
    assert without.fractions[CLASSES.index("lesion")].max() == 0
    assert ndi.label(spots > 0.5)[1] >= 4
    np.testing.assert_array_equal(with_.maps.data[:, spots == 0], without.maps.data[:, spots == 0])
    core = spots > 0.9
    assert np.median(with_.maps["T2"][core]) > 1.8 * np.median(without.maps["T2"][core])


def test_seeds_make_other_heads_and_the_same_seed_the_same():
    first, again, other = (make_phantom(4.0, extent=CENTRE, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.maps.data, again.maps.data)
    assert (first.labels != other.labels).mean() > 0.05


def test_the_grid_follows_the_extent_and_the_voxel_size():
    phantom = make_phantom((2.0, 3.0, 4.0), extent=((-30, 30), (-20, 40), (0, 20)))
    assert phantom.maps.grid.shape == (30, 20, 5)
    np.testing.assert_allclose(phantom.maps.grid.world(np.zeros(3)), (-29, -18.5, 2))
    assert phantom.maps.grid.voxel_size == (2, 3, 4)


def test_a_part_of_the_head_equals_the_same_part_of_the_whole(slab):
    part = make_phantom(1.0, extent=CORNER)
    np.testing.assert_allclose(part.maps.data, slab.maps.data[:, 92:122, 64:94], atol=1e-5)


def test_empty_space_is_zero_and_everything_is_finite(coarse_head):
    assert np.isfinite(coarse_head.maps.data).all()
    assert (coarse_head.maps.data[:, coarse_head.labels == 0].max(axis=1) < 10).all()
    assert (coarse_head.maps.data[:, 0, 0, -1] == 0).all()


def test_impossible_phantoms_are_refused():
    with pytest.raises(ValueError, match=r"1\.5 and 3 T only, not at 7\.0 T"):
        make_phantom(4.0, field_strength=7.0)
    with pytest.raises(ValueError, match="must be positive, but 0"):
        make_phantom(0)


def test_fields_pass_through_their_samples_and_stay_smooth_between():
    lattice = Lattice((-6, -6, -6), (6, 6, 6), 1.5)
    p = np.meshgrid(*lattice.axes, indexing="ij")
    field = spline_field(np.sin(p[0] / 3) + 0.1 * p[1] * p[2], lattice)
    np.testing.assert_allclose(field(*lattice.axes), np.sin(p[0] / 3) + 0.1 * p[1] * p[2], atol=1e-4)
    x, y, z = (np.linspace(-2, 2, 7),) * 3
    expected = np.sin(x / 3)[:, None, None] + 0.1 * y[:, None] * z
    np.testing.assert_allclose(field(x, y, z), expected, atol=0.01)  # edges mirror, which does not die out at once


def test_shapes_are_distances():
    p = (np.array([0.0, 3.0, 10.0]), np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(ellipsoid(p, (0, 0, 0), (5, 5, 5)), (-5, -2, 5), atol=0.01)
    np.testing.assert_allclose(tube(p, ((-4, 0, 0, 1), (4, 0, 0, 1))), (-1, -1, 5), atol=1e-6)
    assert smooth_min(np.array(1.0), np.array(9.0), 2.0) == 1
    assert smooth_min(np.array(1.0), np.array(1.0), 2.0) == pytest.approx(0.5)
