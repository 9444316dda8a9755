"""Difference of maps solved in overlapping blocks from maps solved as a whole: halves of a case along x.

    OMP_NUM_THREADS=1 python benchmarks/blocks.py cases/dev-clean cases/dev-noisy

A case holds `lr/`, `guides/` and `mask.nii.gz`. Gains and noise levels are those of the whole run.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_swig_qmri import Options, VoxelGrid, as_guide, as_maps, read_folder, read_volume, super_resolve

HALOS = (8, 16, 32, 48)  # HR voxels
TISSUE_T2 = 0.15  # s, above is CSF


def main() -> None:
    for folder in map(Path, sys.argv[1:]):
        maps = as_maps(read_folder(folder / "lr"))
        guides = [as_guide(read_volume(folder / f"guides/sub-01_{name}.nii.gz"))[0] for name in ("T1w", "T2w")]
        mask = np.asarray(read_volume(folder / "mask.nii.gz").data) > 0.5
        whole = super_resolve(maps, guides, Options(device="cpu"))
        found = {
            "gains": whole.gains,
            "lr_noise": whole.parameters["lr_noise"],
            "guide_noise": [guide["noise"] for guide in whole.parameters["guides"]],
        }
        n = whole.maps.grid.shape[0]
        factor = n // maps.grid.shape[0]
        for halo in HALOS:
            parts = []
            for low, high in ((0, n // 2), (n // 2, n)):
                first, last = (edge // factor * factor for edge in (max(0, low - halo), min(n, high + halo)))
                lr = replace(
                    maps,
                    data=maps.data[:, first // factor : last // factor],
                    grid=cropped(maps.grid, first // factor, last // factor),
                )
                part = [replace(g, data=g.data[first:last], grid=cropped(g.grid, first, last)) for g in guides]
                result = super_resolve(lr, part, Options(device="cpu", **found))
                parts.append(result.maps.data[:, low - first : high - first])
            gap = np.concatenate(parts, axis=1) - whole.maps.data
            tissue = mask & (whole.maps["T2"] < TISSUE_T2)
            print(folder.name, f"halo {halo}:", *(relative(gap, whole.maps.data, where) for where in (mask, tissue)))


def cropped(grid: VoxelGrid, first: int, last: int) -> VoxelGrid:
    """Return the grid of the planes from `first` up to, but not including, `last`."""
    affine = grid.affine.copy()
    affine[:3, 3] += first * affine[:3, 0]
    return VoxelGrid((last - first, *grid.shape[1:]), affine)


def relative(gap: np.ndarray, size: np.ndarray, where: np.ndarray) -> str:
    """Return the RMS difference of every map relative to its RMS, in %."""
    ratios = np.sqrt((gap[:, where] ** 2).mean(1) / (size[:, where] ** 2).mean(1))
    return " / ".join(f"{100 * ratio:.2f}" for ratio in ratios) + " %"


if __name__ == "__main__":
    main()
