"""Small volumes that differ along every axis and direction, and runs made of them, for the tests."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
from napari.layers import Image, Labels
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.super_resolution.map_evidence import LR_MAPS, PRIOR, MapEvidence
from napari_swig_qmri.super_resolution.results import SuperResolution

PAIRS = ("RL", "AP", "SI")
CODES = ["".join(code) for axes in permutations(PAIRS) for code in product(*axes)]
SHAPE = (5, 6, 7)
AFFINE = np.array([[2.0, 0, 0, -3.5], [0, 1.5, 0, 4.25], [0, 0, 3.0, 7.0], [0, 0, 0, 1]])


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """Rotation (4, 4) about x, then y, then z."""
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(*np.deg2rad(degrees[::-1]))
    return matrix


def numbered(shape: tuple[int, ...] = SHAPE, dtype: type = np.float32) -> np.ndarray:
    """An array whose every value occurs once."""
    return np.arange(1, np.prod(shape) + 1).reshape(shape).astype(dtype)


def stored_as(code: str, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    """The RAS volume ``numbered()`` stored in the axis order and directions of `code`."""
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(code))
    data = nib.orientations.apply_orientation(numbered(), change)
    return nib.Nifti1Image(data, affine @ inv_ornt_aff(change, SHAPE))


def volume(**options: object) -> Volume:
    """A volume of unknown kind on a straight grid, unless `options` say otherwise."""
    data = options.pop("data", numbered())
    affine = options.pop("affine", AFFINE)
    defaults = {"data": data, "grid": VoxelGrid(data.shape[:3], affine), "name": "image"}
    return Volume(**(defaults | options))


def small_run(affine: np.ndarray = AFFINE) -> SuperResolution:
    """A finished run on a few voxels: three maps and their errors, two guides, residuals and a conflict map."""
    generator = np.random.default_rng(1)
    hr, lr = VoxelGrid((4, 6, 8), affine), VoxelGrid((4, 6, 8), affine).with_shape((2, 3, 4))
    scale = np.array([0.8, 1.2, 0.08], dtype=np.float32)[:, None, None, None]

    def maps(grid: VoxelGrid, offset: float = 1.0) -> QuantitativeMaps:
        noise = generator.normal(offset, 0.1, (3, *grid.shape)).astype(np.float32)
        return QuantitativeMaps(data=scale * noise, grid=grid)

    def image(name: str) -> WeightedImage:
        data = generator.normal(100, 10, hr.shape).astype(np.float32)
        sequence = SpinEcho(echo_time=0.012, repetition_time=0.6)
        return WeightedImage(data=data, grid=hr, name=name, sequence=sequence)

    return SuperResolution(
        maps=maps(hr),
        guides=(image("sub-01 T1w"), image("sub-01 T2w")),
        synthesised=(image("sub-01 T1w"), image("sub-01 T2w")),
        lr_residual=maps(lr, 0.0),
        lr_maps=maps(lr),
        conflict=generator.uniform(0, 1, hr.shape).astype(np.float32),
        gains=(812.0, 95.0),
        standard_errors=maps(hr, 0.1),
        evidence=_evidence(hr),
        notices=("One thing was assumed.",),
        parameters={"method": "posterior", "lr_noise": {"T1": 0.02}},
    )


def _evidence(grid: VoxelGrid) -> MapEvidence:
    """Shares that differ by map and source and add up to 100 %: LR maps 20, 30 and 40 %."""
    shares = np.empty((3, 4, *grid.shape), np.uint8)
    for number in range(3):
        of_sources = np.array([20 + 10 * number, 15, 5, 60 - 10 * number])
        shares[number] = of_sources[:, None, None, None]
    sources = (LR_MAPS, "sub-01 T1w", "sub-01 T2w", PRIOR)
    return MapEvidence(maps=("PD", "T1", "T2"), sources=sources, information=shares, detail=shares)


def painted(image: Image, voxel: tuple[int, int, int], value: int = 1) -> Labels:
    """Labels drawn over an image as a user sees it, where the picture shows the value of ``numbered()[voxel]``."""
    drawn = np.where(np.isclose(image.data, numbered()[voxel]), value, 0).astype(np.uint8)
    return Labels(drawn, scale=image.scale, translate=image.translate, units=image.units, name="drawn")


def far_from(path: str, place: np.ndarray) -> float:
    """Distance in mm from the centre of the labels in a file, as nibabel reads it, to a place in the scanner."""
    saved = nib.load(path)
    voxels = np.argwhere(np.asarray(saved.dataobj) == 1)
    return float(np.linalg.norm(nib.affines.apply_affine(saved.affine, voxels.mean(axis=0)) - place))
