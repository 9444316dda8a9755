"""Label maps of heads as tissues, and crops of them: the anatomy of simulated subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid, bright_voxels

Shape = tuple[int, int, int]

LABELLED_TISSUES = ("white", "grey", "deep grey", "csf", "fat", "muscle", "bone", "dura", "blood")  # labels 1 to 9
BRAIN_TISSUES = ("white", "grey", "deep grey", "csf")

BRAINWEB_LABELS = dict(
    enumerate(("csf", "grey", "white", "fat", "muscle", "muscle", "bone", "blood", "fat", "dura", "fat"), 1)
)
_FREESURFER_IDS = {  # of both hemispheres
    "white": (2, 41, 7, 46, 16, 28, 60, 85),
    "grey": (3, 42, 8, 47, 17, 53, 18, 54),
    "deep grey": (10, 49, 11, 50, 12, 51, 13, 52, 26, 58),
    "csf": (4, 43, 5, 44, 14, 15, 24),
    "fat": (258,),
}
FREESURFER_LABELS = {label: tissue for tissue, labels in _FREESURFER_IDS.items() for label in labels}
PHANTOM_LABELS = dict(enumerate(("csf", "grey", "white", "deep grey", "grey", "muscle"), 1))  # of `phantom.CLASSES`
SCHEMES: Mapping[str, Mapping[int, str]] = {
    "brainweb": BRAINWEB_LABELS,
    "freesurfer": FREESURFER_LABELS,
    "phantom": PHANTOM_LABELS,
}

LEAST_TISSUE = 0.35  # share of tissue that a random crop should have
CROP_STEP = 4  # HR voxels; crops are drawn by their share of tissue on a grid so much coarser
MAX_DRAWS = 100  # of a crop, after which the last one is taken


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissue labels of a head on a grid twice as fine as the HR maps simulated from it."""

    labels: npt.NDArray[np.uint8]  # (2X, 2Y, 2Z), 0 for air, then `LABELLED_TISSUES` from 1
    grid: VoxelGrid

    @property
    def is_brain(self) -> BoolArray:
        """Mask ``(2X, 2Y, 2Z)`` of brain tissue and CSF."""
        return np.isin(self.labels, labels_of(BRAIN_TISSUES))

    @property
    def brain_mask(self) -> BoolArray:
        """Mask ``(X, Y, Z)`` of the HR voxels more than half of which is brain tissue or CSF."""
        return np.asarray(halved(self.is_brain.astype(np.float32)) > 0.5)

    def crop(self, corner: Shape, shape: Shape) -> Anatomy:
        """The part of `shape` HR voxels that starts at the HR voxel `corner`."""
        x, y, z = (slice(2 * first, 2 * (first + n)) for first, n in zip(corner, shape, strict=True))
        labels = self.labels[x, y, z]
        nx, ny, nz = labels.shape
        return Anatomy(labels, self.grid.box((x.start, y.start, z.start), (nx, ny, nz)))


def anatomy_of(labels: npt.NDArray[np.integer], grid: VoxelGrid, scheme: Mapping[int, str]) -> Anatomy:
    """Anatomy of a label map ``(2X, 2Y, 2Z)``.

    `scheme` is the tissue of each label, one of `SCHEMES`; other labels become air. ValueError if no voxel has a label
    of the scheme.
    """
    table = np.zeros(int(max(labels.max(), max(scheme))) + 1, np.uint8)
    for label, tissue in scheme.items():
        (table[label],) = labels_of([tissue])
    tissues = table[np.clip(np.asarray(labels, int), 0, None)]
    if not tissues.any():
        raise ValueError(
            f"the label map has no label of the scheme ({sorted(scheme)[:5]} ...): choose the scheme it was made with."
        )
    return Anatomy(tissues, grid)


def labels_of(tissues: Sequence[str]) -> list[int]:
    """Labels that an `Anatomy` has for tissues."""
    return [1 + LABELLED_TISSUES.index(tissue) for tissue in tissues]


def halved(volume: FloatArray) -> FloatArray:
    """Averages of 2 x 2 x 2 voxels; an odd last plane is dropped."""
    nx, ny, nz = (n // 2 for n in volume.shape)
    boxes = volume[: 2 * nx, : 2 * ny, : 2 * nz].reshape(nx, 2, ny, 2, nz, 2)
    averages: FloatArray = boxes.mean(axis=(1, 3, 5))
    return averages


def random_crop(anatomy: Anatomy, edge: int, seed: int | Sequence[int]) -> Anatomy:
    """Random part of an anatomy with `edge` HR voxels along each axis, or the whole axis where it is shorter.

    Parts with at least 35 % of brain are preferred.
    """
    nx, ny, nz = (n // 2 for n in anatomy.labels.shape)
    step = 2 * CROP_STEP
    is_brain = replace(anatomy, labels=anatomy.labels[::step, ::step, ::step]).is_brain
    return anatomy.crop(*_random_box(is_brain, (nx, ny, nz), edge, seed))


def crop_of_maps(maps: QuantitativeMaps, edge: int, seed: int | Sequence[int]) -> QuantitativeMaps:
    """Random part of HR maps with `edge` voxels along each axis, or the whole axis where it is shorter.

    Parts in which at least 35 % of the voxels have a high PD are preferred.
    """
    is_tissue = bright_voxels(maps["PD"][::CROP_STEP, ::CROP_STEP, ::CROP_STEP])
    corner, shape = _random_box(is_tissue, maps.grid.shape, edge, seed)
    x, y, z = (slice(first, first + n) for first, n in zip(corner, shape, strict=True))
    return replace(maps, data=maps.data[:, x, y, z], grid=maps.grid.box(corner, shape))


def _random_box(is_tissue: BoolArray, shape: Shape, edge: int, seed: int | Sequence[int]) -> tuple[Shape, Shape]:
    """Corner and shape of a random box in a grid of `shape`; `is_tissue` has every fourth voxel along each axis."""
    generator = np.random.default_rng(seed)
    size = np.minimum(shape, edge)
    for _ in range(MAX_DRAWS):
        corner = generator.integers(0, np.asarray(shape) - size + 1)
        x, y, z = (slice(c // CROP_STEP, (c + n) // CROP_STEP) for c, n in zip(corner, size, strict=True))
        if is_tissue[x, y, z].mean() > LEAST_TISSUE:
            break
    first, lengths = corner.tolist(), size.tolist()
    return (first[0], first[1], first[2]), (lengths[0], lengths[1], lengths[2])
