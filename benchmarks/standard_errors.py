"""Share of the errors that standard errors cover, on random simulated subjects, by map and tissue.

    python benchmarks/standard_errors.py [--method METHOD] [--scans N] [--plot FILE] LABELS...
    python benchmarks/standard_errors.py --measured R1MAP PDMAP

LABELS are label maps of BrainWeb. Subjects are those of `random_subject`, each with tissues, lesions, sequences, voxel
sizes and noise of its own. One standard error should cover 68 %, and 1.96 of them 95 %. The last column is the root
mean square of the errors over that of the standard errors, in fifths of the voxels with rising standard errors.
`--plot` draws the observed share against the expected one, as median over subjects, per map and tissue.

`--measured` takes the maps of a subject for the truth instead, R1 in 1/s: they are truncated to half the resolution
with 2 % noise, without T2, and two spoiled gradient echoes (4 and 18 degrees) are guides.
"""

from __future__ import annotations

import argparse
import math

import nibabel as nib
import numpy as np
from brains import table
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation
from scipy.stats import norm

from napari_swig_qmri import Options, QuantitativeMaps, Spgr, VoxelGrid, degrade, super_resolve
from napari_swig_qmri.simulation.label_maps import random_crop
from napari_swig_qmri.simulation.subjects import Subject, random_subject
from napari_swig_qmri.super_resolution.network.configuration import read_upright_anatomy

EDGE, SEED = 64, 41  # HR voxels of a part of a head, and the seed of all subjects
TISSUES = ("WM and GM", "borders", "CSF", "lesions")
FLUID = 0.5  # s, T2
LEAST = 50  # voxels of a tissue
EXPECTED = np.array([10, 20, 30, 40, 50, 60, 68.27, 80, 90, 95, 99])  # % of the errors
WIDTHS = norm.ppf(0.5 + EXPECTED / 200)  # of intervals that hold them, in standard errors
ONE, TWO = (int(np.argmin(np.abs(EXPECTED - share))) for share in (68.27, 95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="*")
    parser.add_argument("--measured", nargs=2, metavar=("R1MAP", "PDMAP"))
    parser.add_argument("--method", default="network")
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--plot", metavar="FILE")
    options = parser.parse_args()
    if options.measured:
        print(table(("map", "68 %", "95 %", "fifths"), measured_subject(*options.measured)))
        return
    shares: dict[tuple[str, str], list[list[float]]] = {}  # observed, for each subject, as `EXPECTED`
    ratios: dict[str, list[list[float]]] = {}
    for number in range(options.scans):
        label_map = options.labels[number % len(options.labels)]
        anatomy = random_crop(read_upright_anatomy(label_map, "brainweb"), EDGE, (SEED, number))
        try:
            subject = random_subject(anatomy, (SEED, number))
            result = super_resolve(subject.lr_maps, subject.guides, Options(method=options.method))
        except ValueError as refusal:
            print(f"subject {number} left out: {refusal}")
            continue
        if result.standard_errors is None or result.maps.grid.shape != subject.truth.grid.shape:
            continue
        tissues = tissues_of(subject)
        for name in result.standard_errors.names:
            errors = result.maps[name] - subject.truth[name]
            stated = np.maximum(result.standard_errors[name], 1e-9)
            for tissue, where in tissues.items():
                if where.sum() >= LEAST:
                    within = np.abs(errors[where]) / stated[where]
                    found = [100 * float(np.mean(within < width)) for width in WIDTHS]
                    shares.setdefault((name, tissue), []).append(found)
            ratios.setdefault(name, []).append(in_fifths(errors[subject.mask], stated[subject.mask]))
    rows = []
    for (name, tissue), found in sorted(shares.items(), key=lambda each: (each[0][0], TISSUES.index(each[0][1]))):
        one, two = np.array(found).T[[ONE, TWO]]
        spread = [
            f"{np.median(each):.0f} ({np.quantile(each, 0.1):.0f} to {np.quantile(each, 0.9):.0f})"
            for each in (one, two)
        ]
        fifths = np.median(ratios[name], axis=0)
        rows.append((name, tissue, str(len(found)), *spread, " ".join(f"{each:.2f}" for each in fifths)))
    print(table(("map", "tissue", "subjects", "68 %: median (10th to 90th)", "95 %", "fifths"), rows))
    if options.plot:
        drawn(shares).savefig(options.plot, dpi=100)


def drawn(shares: dict[tuple[str, str], list[list[float]]]) -> Figure:
    """Observed against expected coverage by map and tissue, as median and 10th to 90th percentile over subjects."""
    names = sorted({name for name, _ in shares})
    figure = Figure(figsize=(3.4 * len(names), 3.7), layout="constrained")
    for name, axes in zip(names, np.atleast_1d(figure.subplots(1, len(names), sharey=True)), strict=True):
        axes.plot([0, 100], [0, 100], color="0.6", linewidth=1)
        for tissue in TISSUES:
            if found := shares.get((name, tissue)):
                low, median, high = np.quantile(found, [0.1, 0.5, 0.9], axis=0)
                (line,) = axes.plot(EXPECTED, median, label=tissue, linewidth=1.8)
                axes.fill_between(EXPECTED, low, high, color=line.get_color(), alpha=0.08, linewidth=0)
        axes.set(title=name, xlabel="expected, %", xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.legend(loc="lower right", frameon=False, fontsize="small")
    figure.supylabel("observed, %", fontsize="medium")
    return figure


def measured_subject(r1_file: str, pd_file: str) -> list[tuple[str, ...]]:
    """Rows of coverage for a subject whose measured maps are taken for the truth."""
    image = nib.load(r1_file)
    r1, pd = image.get_fdata(), nib.load(pd_file).get_fdata()
    even = tuple(slice(0, n // 2 * 2) for n in r1.shape)
    r1, pd = r1[even], pd[even]
    inside = (r1 > 0.1) & (pd > 0.05)
    maps = np.stack([pd, 1 / np.maximum(r1, 0.1), np.full(r1.shape, 0.08)]) * inside
    truth = QuantitativeMaps(data=maps.astype(np.float32), grid=VoxelGrid(r1.shape, image.affine))
    sequences = {
        f"{angle} degrees": Spgr.from_typical(flip_angle=math.radians(angle), repetition_time=0.019, echo_time=0.002)
        for angle in (4, 18)
    }
    lr_maps, guides = degrade(
        truth, 2, sequences, map_noise=0.02, guide_noise=0.02, generator=np.random.default_rng(SEED)
    )
    measured = QuantitativeMaps(data=lr_maps.data[:2], grid=lr_maps.grid, names=("PD", "T1"))
    result = super_resolve(measured, guides)
    rows = []
    for name in measured.names:
        errors, stated = (result.maps[name] - truth[name])[inside], result.standard_errors[name][inside]
        within = np.abs(errors) / np.maximum(stated, 1e-9)
        shares = (f"{100 * float(np.mean(within < limit)):.0f}" for limit in (1, 1.96))
        rows.append((name, *shares, " ".join(f"{each:.2f}" for each in in_fifths(errors, stated))))
    return rows


def tissues_of(subject: Subject) -> dict[str, np.ndarray]:
    """Masks ``(X, Y, Z)`` of tissues inside the brain of a subject."""
    fluid = subject.truth["T2"] > FLUID
    lesion = subject.mask & (subject.lesions > 0.5)
    log_t1 = np.log(np.maximum(subject.truth["T1"], 1e-3))
    steep = sum(np.abs(np.gradient(log_t1, axis=axis)) for axis in range(3)) > 0.1
    border = subject.mask & (binary_dilation(fluid) ^ fluid | steep) & ~fluid & ~lesion
    return {
        "WM and GM": subject.mask & ~fluid & ~border & ~lesion,
        "borders": border,
        "CSF": subject.mask & fluid & ~lesion,
        "lesions": lesion,
    }


def in_fifths(errors: np.ndarray, stated: np.ndarray) -> list[float]:
    """Root mean square of errors over that of standard errors, in fifths of voxels by the latter."""
    order = np.argsort(stated)
    parts = zip(np.array_split(errors[order], 5), np.array_split(stated[order], 5), strict=True)
    return [float(np.sqrt(np.mean(error**2) / np.mean(state**2))) for error, state in parts]


if __name__ == "__main__":
    main()
