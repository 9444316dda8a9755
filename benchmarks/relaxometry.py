"""Super-resolve one measured slice: FITTED_MAPS.npz [NOISE] [--method METHOD] [--weights FILE].

Noise of maps and guides is relative. Without a method, regression and posterior run. The file holds `T1_ms`,
`T2_ms`, `M0_IR_au`, `mask_T1` and `mask_T2` of one axial slice, as fitted from inversion-recovery and spin-echo
series. The maps are truncated by 2 x 2 in k-space; the guides are a T1w and a T2w image of the full maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
from brains import solver_options

from napari_swig_qmri import Options, QuantitativeMaps, VoxelGrid, evaluate, super_resolve
from napari_swig_qmri.evaluation.scores import format_scores
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.simulation.degradation import degrade

GAINS = (812.0, 95.0)
GUIDES = {
    "T1w": SpinEcho(repetition_time=0.6, echo_time=0.012),
    "T2w": SpinEcho(repetition_time=5.0, echo_time=0.09),
}
RUNS = (("regression", False), ("posterior", False), ("posterior", True))  # method, noise kept
LIMITS = (2.0, 5.0, 2.5)  # PD, T1 s, T2 s: fits beyond them have failed


def measured_slice(path: Path) -> tuple[QuantitativeMaps, np.ndarray]:
    """Return the maps and the brain mask of the file, PD relative to water."""
    fitted = np.load(path)
    t1, t2, m0 = fitted["T1_ms"] / 1e3, fitted["T2_ms"] / 1e3, fitted["M0_IR_au"]
    inside = fitted["mask_T1"] & fitted["mask_T2"] & (m0 > 0) & (t1 > 0) & (t2 > 0)
    pd = 0.8 * m0 / np.median(m0[inside & (t1 < 2)])
    maps = [np.where(inside, np.clip(v, 0, limit), 0) for v, limit in zip((pd, t1, t2), LIMITS, strict=True)]
    data = np.stack(maps).astype(np.float32)[..., None]
    grid = VoxelGrid((*inside.shape, 1), np.diag([1.0, 1.0, 3.0, 1.0]))
    return QuantitativeMaps(data=data, grid=grid), ndi.binary_erosion(inside)[..., None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fitted_maps", type=Path, metavar="FITTED_MAPS.npz")
    parser.add_argument("noise", type=float, nargs="?", default=0.0, help="of maps and guides, relative (0)")
    solver_options(parser)
    parser.set_defaults(method=None)
    options = parser.parse_args()
    truth, mask = measured_slice(options.fitted_maps)
    noise = options.noise
    lr_maps, guides = degrade(truth, (2, 2, 1), GUIDES, gains=GAINS, map_noise=noise, guide_noise=noise)
    cubic = np.stack([ndi.zoom(v, (2, 2, 1), order=3, grid_mode=True, mode="nearest") for v in lr_maps.data])
    print("cubic", format_scores(evaluate(QuantitativeMaps(data=cubic, grid=truth.grid), truth, mask)), sep="\n")
    for method, keep_noise in [(options.method, False)] if options.method else RUNS:
        result = super_resolve(lr_maps, guides, Options(method=method, weights=options.weights, keep_noise=keep_noise))
        errors = [f"{100 * (found / gain - 1):+.2f} %" for found, gain in zip(result.gains, GAINS, strict=True)]
        print(method, "with its noise kept" if keep_noise else "", "gain errors", *errors)
        print(format_scores(evaluate(result.maps, truth, mask)), *result.notices, sep="\n")


if __name__ == "__main__":
    main()
