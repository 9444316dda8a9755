"""Super-resolve pseudo maps of a patient with measured T1W and T2W as guides: FOLDER [OUT].

There are no measured maps, so PD, T1 and T2 are looked up voxel by voxel from the three images with ASSUMED
sequences on the grid of the T1W, and truncated by 2 x 2 x 1. The guides are the T1W and the T2W on its own grid. This
is a check of geometry, gains and robustness, not of accuracy: real images do not follow ideal equations, and two of
the three are blurred by resampling.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.ndimage as ndi
import torch
from nibabel.processing import resample_from_to
from scipy.spatial import KDTree

from napari_swig_qmri import (
    KSpaceTruncation,
    Options,
    QuantitativeMaps,
    VoxelGrid,
    WeightedImage,
    hold_out,
    plan,
    save_super_resolution,
    super_resolve,
)
from napari_swig_qmri.evaluation.held_out import format_held_out
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES

SCANS = {"T1w": "*T1W.nii*", "T2w": "*T2W.nii*", "FLAIR": "*FLAIR.nii*"}
WHITE_MATTER = (0.69, 0.9, 0.07)  # PD, T1 s, T2 s, assumed for the brighter voxels of the T1W
HEAD, BRAIN = 40, 50  # image values
T1_RANGE, T2_RANGE = (0.25, 4.5), (0.025, 2.0)  # s, of the dictionary
N_TIMES = 90


def signals(maps: np.ndarray) -> np.ndarray:
    """Return the three contrasts ``(3, ...)`` of maps ``(3, ...)``."""
    tensors = torch.as_tensor(maps)
    return np.stack([sequence(*tensors).numpy() for sequence in USUAL_GUIDES.values()])


def pseudo_maps(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps ``(3, x, y, z)`` that explain three images, and the gains of the images."""
    brain = (images > BRAIN).all(axis=0)
    low, high = np.percentile(images[0][brain], [70, 85])
    white = brain & (images[0] > low) & (images[0] < high)
    gains = np.median(images[:, white], axis=1) / signals(np.array(WHITE_MATTER))
    t1, t2 = np.meshgrid(np.geomspace(*T1_RANGE, N_TIMES), np.geomspace(*T2_RANGE, N_TIMES), indexing="ij")
    times = np.stack([t1[t1 > t2], t2[t1 > t2]])
    entries = signals(np.stack([np.ones_like(times[0]), *times]))
    lengths = np.linalg.norm(entries, axis=0)
    head = images[0] > HEAD
    found = images[:, head] / gains[:, None]
    brightness = np.linalg.norm(found, axis=0)
    _, nearest = KDTree((entries / lengths).T).query((found / brightness).T)
    maps = np.zeros((3, *head.shape), np.float32)
    maps[:, head] = np.clip(brightness / lengths[nearest], 0, 1.6), *times[:, nearest]
    return maps, gains


def main() -> None:
    folder = Path(sys.argv[1])
    scans = {name: nib.load(next(folder.glob(pattern))) for name, pattern in SCANS.items()}
    on_first = [np.nan_to_num(resample_from_to(scan, scans["T1w"], order=1).get_fdata()) for scan in scans.values()]
    truth, gains = pseudo_maps(np.stack(on_first))
    hr_grid = VoxelGrid(truth.shape[1:], scans["T1w"].affine)
    lr_grid = hr_grid.with_shape((hr_grid.shape[0] // 2, hr_grid.shape[1] // 2, hr_grid.shape[2]))
    lr_maps = QuantitativeMaps(data=KSpaceTruncation(hr_grid, lr_grid)(torch.as_tensor(truth)).numpy(), grid=lr_grid)
    guides = [
        WeightedImage(
            data=np.asarray(scans[name].dataobj, np.float32),
            grid=VoxelGrid(scans[name].shape, scans[name].affine),
            name=name,
            sequence=USUAL_GUIDES[name],
        )
        for name in ("T1w", "T2w")
    ]
    options = Options(method="posterior", reference=0)
    result, noisy = (super_resolve(lr_maps, guides, replace(options, keep_noise=keep)) for keep in (False, True))
    middle = tuple(slice(n // 4, -(n // 4)) for n in truth.shape[1:])
    inside = (np.stack(on_first) > BRAIN).all(axis=0)[middle] & (truth[2][middle] < 0.15) & (truth[1][middle] < 2.2)
    zoom = np.divide(hr_grid.shape, lr_grid.shape)
    print("gains", *(f"{gain:.0f}" for gain in result.gains), "made with", *(f"{gain:.0f}" for gain in gains[:2]))
    for i, name in enumerate(lr_maps.names):
        cubic = ndi.zoom(lr_maps[name], zoom, order=3, grid_mode=True, mode="nearest")
        errors = [
            100 * np.median(np.abs(volume[middle][inside] / truth[i][middle][inside] - 1))
            for volume in (cubic, result.maps[name], noisy.maps[name])
        ]
        cubic_error, error, error_with_noise = (f"{each:.1f} %" for each in errors)
        print(f"{name}: median difference to the pseudo map, cubic {cubic_error}, SR {error}, {error_with_noise} noisy")
    print(*result.notices, sep="\n")
    print(format_held_out(drained(hold_out(plan(lr_maps, guides, options)))))
    if len(sys.argv) > 2:
        save_super_resolution(result, Path(sys.argv[2]), stem="sub-04", overwrite=True)


if __name__ == "__main__":
    main()
