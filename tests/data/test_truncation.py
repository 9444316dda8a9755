"""Truncation of k-space: the laws of an operator, and content that stays where it is in the world."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from laws import assert_adjoint, assert_linear, blob, centroid
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from napari_swig_qmri.data.truncation import (
    KSpaceTruncation,
    SeparableOperator,
    contract_axis,
    linear_interpolation,
    truncation_matrix,
)
from napari_swig_qmri.data.volumes import VoxelGrid

OBLIQUE = Rotation.from_euler("xyz", [12, -20, 33], degrees=True).as_matrix()
MIRRORED = np.diag([-1.0, 1.0, 1.0])


def grid(shape, sizes=(1.0, 1.0, 1.0), turn=None, origin=(-20.0, 3.0, 7.0)):
    turn = np.eye(3) if turn is None else turn
    return VoxelGrid(tuple(shape), from_matvec(turn @ np.diag(sizes), origin))


PAIRS = {
    "even to even": (grid((12, 10, 8)), grid((12, 10, 8)).with_shape((6, 4, 4))),
    "odd to even": (grid((13, 11, 9)), grid((13, 11, 9)).with_shape((6, 4, 4))),
    "even to odd": (grid((14, 10, 6)), grid((14, 10, 6)).with_shape((7, 5, 3))),
    "odd to odd": (grid((15, 9, 7)), grid((15, 9, 7)).with_shape((5, 3, 7))),
    "thick slices": (grid((12, 12, 15)), grid((12, 12, 15)).with_shape((12, 12, 3))),
    "ratios 1.5 and 2.3": (grid((12, 23, 9)), grid((12, 23, 9)).with_shape((8, 10, 6))),
    "oblique": (grid((12, 11, 10), turn=OBLIQUE), grid((12, 11, 10), turn=OBLIQUE).with_shape((6, 5, 5))),
    "shifted": (grid((12, 12, 12)), grid((6, 5, 5), (2, 2, 2), origin=(-18.3, 3.9, 8.2))),
    "LR field of view larger": (grid((12, 12, 12)), grid((9, 8, 8), (2, 2, 2), origin=(-23.5, 1.5, 5.5))),
}
pairs = pytest.mark.parametrize(("hr", "lr"), PAIRS.values(), ids=PAIRS)


@pytest.mark.slow
@pairs
def test_adjoint_linear_and_constants(hr, lr):
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    assert_adjoint(truncate, (2, *hr.shape), (2, *lr.shape))
    assert_linear(truncate, hr.shape)
    ones = truncate(torch.ones(hr.shape, dtype=torch.float64))
    torch.testing.assert_close(ones, torch.ones(lr.shape, dtype=torch.float64))


@pytest.mark.parametrize("sizes", [(6, 8, 5), (9, 7, 10)])
def test_linear_interpolation_is_a_mean_and_exact_on_ramps(sizes):
    hr = grid(sizes)
    lr = hr.with_shape((3, 4, 5))
    interpolate = linear_interpolation(hr, lr, dtype=torch.float64)
    assert_adjoint(interpolate, lr.shape, hr.shape)
    ramp = torch.as_tensor(lr.world(np.stack(np.meshgrid(*map(np.arange, lr.shape), indexing="ij"), -1))[..., 0])
    expected = hr.world(np.stack(np.meshgrid(*map(np.arange, hr.shape), indexing="ij"), -1))[..., 0]
    inside = np.clip(expected, float(ramp.min()), float(ramp.max()))  # constant beyond the outer voxels
    np.testing.assert_allclose(interpolate(ramp), inside)


def fft_crop(image, shape):
    """Truncation by FFT: centred crop, the phase that aligns the fields of view, real part."""
    spectrum = np.fft.fftshift(np.fft.fftn(image))
    for axis, (n, m) in enumerate(zip(image.shape, shape, strict=True)):
        k = np.arange(m) - m // 2
        spectrum = np.take(spectrum, k + n // 2, axis)
        shift = (n / m - 1) / 2  # HR voxels from the first HR to the first LR voxel centre
        phase = np.exp(2j * np.pi * k * shift / n)
        spectrum = spectrum * phase.reshape([-1 if i == axis else 1 for i in range(3)])
    return np.fft.ifftn(np.fft.ifftshift(spectrum)).real * np.prod(shape) / image.size


@pytest.mark.parametrize("n_hr", [12, 13])
@pytest.mark.parametrize("n_lr", [4, 5, 6, 8, 12])
def test_along_one_axis_it_is_a_crop_of_k_space(n_hr, n_lr):
    image = np.random.default_rng(0).standard_normal((n_hr, 1, 1))
    expected = fft_crop(image, (n_lr, 1, 1))[:, 0, 0]
    np.testing.assert_allclose(truncation_matrix(n_hr, n_lr) @ image[:, 0, 0], expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 5, 3), (7, 5, 9), (5, 11, 5)])
def test_in_three_dimensions_it_is_a_crop_of_k_space(shape):
    hr = grid((14, 11, 9))
    image = np.random.default_rng(0).standard_normal(hr.shape)
    truncated = KSpaceTruncation(hr, hr.with_shape(shape), dtype=torch.float64)(torch.as_tensor(image))
    np.testing.assert_allclose(truncated, fft_crop(image, shape), atol=1e-12)


RATIOS = [(48, 24), (48, 12), (48, 21), (49, 24), (49, 25), (49, 33), (49, 17)]


@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE, OBLIQUE @ MIRRORED], ids=["straight", "oblique", "mirrored"])
def test_a_blob_keeps_its_place_in_the_world(turn):
    """Every parity, factors 1.5 to 4, whole and not, mixed over the axes; far below a tenth of a voxel."""
    for i, along_x in enumerate(RATIOS):
        along_y, along_z = RATIOS[(i + 5) % len(RATIOS)], RATIOS[i - 3]
        n_hr, n_lr = zip(along_x, along_y, along_z, strict=True)
        hr = grid(n_hr, (1.0, 1.1, 0.9), turn)
        lr = hr.with_shape(n_lr)
        centre = hr.world((np.array(n_hr) - 1) / 2 + [0.7, -0.6, 0.4])
        truncated = KSpaceTruncation(hr, lr, dtype=torch.float64)(blob(hr, centre, 4.4))
        np.testing.assert_allclose(centroid(truncated, lr), centre, atol=0.01, err_msg=f"{n_hr} to {n_lr}")


@pytest.mark.parametrize(
    ("shape", "sizes", "origin"),
    [
        ((12, 12, 12), (2.3, 2.3, 2.3), (-2.1, -1.4, -0.7)),
        ((12, 12, 5), (2, 2, 5), (0.4, 0.7, 1.3)),
        ((20, 20, 20), (2, 2, 2), (-8.3, -7.9, -9.0)),
        ((9, 9, 9), (2, 2, 2), (6.3, 7.1, 6.6)),
    ],
    ids=["non-integer, shifted", "thick slices, shifted", "LR field of view larger", "LR field of view smaller"],
)
def test_a_blob_keeps_its_place_between_shifted_fields_of_view(shape, sizes, origin):
    hr = grid((28, 28, 28), origin=(0, 0, 0))
    lr = grid(shape, sizes, origin=origin)
    centre = np.array([14.2, 14.6, 13.7])
    truncated = KSpaceTruncation(hr, lr, dtype=torch.float64)(blob(hr, centre, 2.6))
    np.testing.assert_allclose(_peak(truncated, lr), centre, atol=0.05)


def _peak(image, where):
    """Centre of mass in mm of what is above a hundredth of the maximum: periodic copies and ringing left out."""
    near = torch.where(image > 0.01 * image.max(), image, 0.0)
    return centroid(_largest_part(near), where)


def _largest_part(image):
    from scipy.ndimage import label

    parts, _ = label(image.numpy() > 0)
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return torch.where(torch.as_tensor(parts == largest), image, 0.0)


def test_zero_filling_keeps_constants_and_is_undone_by_truncation():
    hr = grid((15, 12, 13))
    lr = hr.with_shape((5, 7, 6))
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    lr_image = truncate(torch.rand(hr.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    smooth = truncate.zero_filled(lr_image)
    assert smooth.mean() == pytest.approx(float(lr_image.mean()), rel=1e-3)
    odd = KSpaceTruncation(hr, hr.with_shape((5, 7, 5)), dtype=torch.float64)  # odd: no lone Nyquist term
    lr_image = torch.rand((5, 7, 5), dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(odd(odd.zero_filled(lr_image)), lr_image)
    torch.testing.assert_close(odd.zero_filled(torch.ones_like(lr_image)), torch.ones(hr.shape, dtype=torch.float64))


def test_the_restricted_operator_is_the_submatrix():
    hr, lr = PAIRS["ratios 1.5 and 2.3"]
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    columns, rows = (slice(2, 9), slice(0, 20), slice(4, 9)), (slice(1, 5), slice(3, 10), slice(2, 6))
    part = truncate.restricted(columns, rows)
    block = torch.rand([s.stop - s.start for s in columns], dtype=torch.float64)
    padded = torch.zeros(hr.shape, dtype=torch.float64)
    padded[columns] = block
    torch.testing.assert_close(part(block), truncate(padded)[rows])
    assert_adjoint(part, tuple(block.shape), tuple(part(block).shape))
    lr_block = part(block)
    torch.testing.assert_close(part.zero_filled(lr_block), part.adjoint(lr_block) * truncate.n_hr_per_lr)


def test_operators_are_frozen():
    truncate = KSpaceTruncation(*PAIRS["even to even"])
    assert truncate.n_hr_per_lr == pytest.approx(2 * 2.5 * 2)
    for name in ("matrices", "n_hr_per_lr"):
        with pytest.raises(FrozenInstanceError):
            setattr(truncate, name, None)


def test_squared_maps_variances():
    """Row by row: the variance of a sum of independent values is the sum of squared weights times variances."""
    hr, lr = PAIRS["odd to even"]
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64)
    variance = torch.rand(hr.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = truncate.adjoint(torch.eye(int(np.prod(lr.shape)), dtype=torch.float64).view(-1, *lr.shape))
    expected = (weights.square() * variance).flatten(1).sum(1).view(lr.shape)
    torch.testing.assert_close(truncate.squared()(variance), expected)


def test_contract_axis_is_a_matrix_product_along_that_axis():
    x = torch.rand(2, 4, 5, 6)
    matrices = (torch.rand(3, 4), torch.rand(7, 5), torch.rand(2, 6))
    each = [contract_axis(x, matrix, axis) for axis, matrix in enumerate(matrices)]
    torch.testing.assert_close(each[0], torch.einsum("mx,bxyz->bmyz", matrices[0], x))
    torch.testing.assert_close(each[1], torch.einsum("my,bxyz->bxmz", matrices[1], x))
    torch.testing.assert_close(each[2], torch.einsum("mz,bxyz->bxym", matrices[2], x))
    whole = torch.einsum("ax,by,cz,nxyz->nabc", *matrices, x)
    torch.testing.assert_close(SeparableOperator(matrices)(x), whole)


@pytest.mark.parametrize(
    "turn",
    [OBLIQUE, np.eye(3)[[1, 0, 2]], MIRRORED, Rotation.from_euler("z", 1, degrees=True).as_matrix()],
    ids=["oblique", "axes swapped", "mirrored", "one degree"],
)
def test_grids_turned_against_each_other_are_refused(turn):
    with pytest.raises(ValueError, match=r"rotated by [0-9.]+ degrees: resample the maps"):
        KSpaceTruncation(grid((8, 8, 8)), grid((4, 4, 4), (2, 2, 2), turn))


def test_a_tilt_below_the_tolerance_is_accepted():
    tilt = Rotation.from_euler("z", 0.3, degrees=True).as_matrix()
    hr, lr = grid((8, 8, 8)), grid((4, 4, 4), (2, 2, 2), tilt)
    torch.testing.assert_close(KSpaceTruncation(hr, lr)(torch.ones(hr.shape)), torch.ones(lr.shape))


@pytest.mark.parametrize(("n_hr", "n_lr"), [(12, 6), (13, 6), (15, 5), (16, 4)])
def test_open_ends_keep_the_laws_of_truncation(n_hr, n_lr):
    """Only the open axis differs from truncation that joins its ends."""
    hr = grid((8, 9, n_hr))
    lr = hr.with_shape((4, 6, n_lr))
    truncate = KSpaceTruncation(hr, lr, dtype=torch.float64, open_axes=(2,))
    assert_adjoint(truncate, (2, *hr.shape), (2, *lr.shape))
    ones = truncate(torch.ones(hr.shape, dtype=torch.float64))
    torch.testing.assert_close(ones, torch.ones(lr.shape, dtype=torch.float64))
    joined = KSpaceTruncation(hr, lr, dtype=torch.float64)
    assert [torch.equal(a, b) for a, b in zip(truncate.matrices, joined.matrices, strict=True)] == [True, True, False]


def test_open_ends_know_nothing_of_the_other_end():
    """An image of two levels is truncated near its ends as one that goes on with them."""
    hr, long = grid((1, 1, 48)), grid((1, 1, 144), origin=(-20.0, 3.0, -41.0))
    lr = hr.with_shape((1, 1, 12))
    steps = torch.ones(1, 1, 144, dtype=torch.float64)
    steps[..., 72:] = 2
    expected = KSpaceTruncation(long, lr, dtype=torch.float64)(steps)
    opened, joined = (
        KSpaceTruncation(hr, lr, dtype=torch.float64, open_axes=axes)(steps[..., 48:96]) for axes in ((2,), ())
    )
    assert (opened - expected).abs().max() < 0.001 < 0.05 < (joined - expected).abs().max()


def test_a_blob_keeps_its_place_between_open_ends():
    hr = grid((1, 1, 40))
    lr = hr.with_shape((1, 1, 20))
    centre = hr.world(np.array([0, 0, 17.3]))
    low = KSpaceTruncation(hr, lr, dtype=torch.float64, open_axes=(2,))(blob(hr, centre, 3.0))
    np.testing.assert_allclose(centroid(low, lr), centroid(blob(hr, centre, 3.0), hr), atol=1e-3)
