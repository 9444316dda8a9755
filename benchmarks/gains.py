"""Errors of gains from flat tissue, and of gains adjusted until the LR residual has no bias, on the built-in head."""

from __future__ import annotations

import numpy as np

from napari_swig_qmri import degrade, make_phantom
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES
from napari_swig_qmri.super_resolution.preparation.problem import prepare
from napari_swig_qmri.super_resolution.solver.gains import find_gains, start_gains
from napari_swig_qmri.super_resolution.solver.prediction import predict

EXTENT = ((-84, 84), (-124, 92), (-10, 54))  # mm
TRUE = {"T1w": 812.0, "T2w": 95.0, "FLAIR": 400.0}
CHOICES = (("T1w",), ("T2w",), ("FLAIR",), ("T1w", "T2w"), ("T1w", "FLAIR"), ("T1w", "T2w", "FLAIR"))


def main() -> None:
    for voxel_size in (1.0, 2.0):
        head = make_phantom(voxel_size, extent=EXTENT)
        for noise in (0.0, 0.03):
            for names in CHOICES:
                sequences = {name: USUAL_GUIDES[name] for name in names}
                true = np.array([TRUE[name] for name in names])
                maps, guides = degrade(head.maps, 2, sequences, gains=true, map_noise=noise, guide_noise=noise)
                problem = drained(prepare(maps, guides, guides[0].grid, None))
                prediction = drained(predict(problem))
                start = start_gains(problem) / problem.pd_unit
                moved = drained(find_gains(problem, prediction, "cpu", trusted=0.0)) / problem.pd_unit
                errors = [np.round(100 * (np.asarray(found) / true - 1), 2) for found in (start, moved)]
                print(
                    f"{voxel_size:g} mm, noise {noise:.0%}, {'+'.join(names)}: flat {errors[0]} %, moved {errors[1]} %"
                )


if __name__ == "__main__":
    main()
