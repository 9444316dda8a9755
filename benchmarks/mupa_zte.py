"""SR of a 1-minute MuPa-ZTE scan compared with 5-minute scans at their own resolution, on simulated test brains.

    OMP_NUM_THREADS=1 python benchmarks/mupa_zte.py subject06_crisp.nii.gz subject42_crisp.nii.gz ...

The twelve images are computed from maps of 1 mm, truncated in k-space to the voxels of the scan, given noise and
matched with the dictionary, so that the maps have the errors of such a scan. Scans are interpolated to 1 mm as maps
(cubic splines, zero filling), or as images that are zero filled before matching, as scanners do. Noise is inversely
proportional to the volume of a voxel and to the root of the scan time. Voxel sizes, noise and sequence settings are
our choice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from brains import HEADING, Brain, brains_of, cells, interpolated, parser_of, resolved, table

from napari_swig_qmri import KSpaceTruncation, QuantitativeMaps, VoxelGrid, evaluate
from napari_swig_qmri.evaluation.scores import MapScores
from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade
from napari_swig_qmri.super_resolution.options import MAPS_FROM
from napari_swig_qmri.super_resolution.solver.dictionary import make_dictionary, match

GAINS = (812.0, 95.0, 400.0)
NOISE = 0.005  # of every image, relative to the magnetisation of water, in 8 mm^3 after a minute
SEED = 6


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Resolution and time of a scan."""

    minutes: float
    edge: float  # mm, of the voxels

    @property
    def title(self) -> str:
        """Name of the scan in tables."""
        return f"{self.minutes:g} min, {self.edge:g} mm"

    def grid(self, hr_grid: VoxelGrid) -> VoxelGrid:
        """Return the grid of the scan in the field of view of another grid."""
        nx, ny, nz = (round(extent / self.edge) for extent in hr_grid.field_of_view)
        return hr_grid.with_shape((nx, ny, nz))

    def noise(self, level: float) -> float:
        """Standard deviation in each image, relative to the magnetisation of water."""
        return level * (2 / self.edge) ** 3 / self.minutes**0.5


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--short", type=float, default=2.0, metavar="MM", help="voxel edge of the 1-minute scan")
    parser.add_argument("--long", type=float, nargs="+", default=[1.5, 1.25], metavar="MM", help="of 5-minute scans")
    parser.add_argument("--noise", type=float, default=NOISE, help=f"in 2 mm voxels after a minute ({NOISE:g})")
    parser.add_argument("--maps-from", choices=MAPS_FROM, default="mupa-zte", help="what SR takes the maps for")
    options = parser.parse_args()
    scans = [Scan(minutes=1, edge=options.short), *(Scan(minutes=5, edge=edge) for edge in options.long)]
    rows, found = [], []
    for brain in brains_of(options.labels):
        by_name = {}
        for name, maps in candidates(brain, scans, options):
            by_name[name] = evaluate(maps, brain.truth, brain.mask)
            rows.append([brain.name, name, *cells(by_name[name])])
            print(table(rows[-1], []).splitlines()[0], file=sys.stderr, flush=True)
        found.append(by_name)
    for scan in scans:
        print(f"{scan.title}: noise {scan.noise(options.noise):.4f} of water in each image")
    print(table(["brain", "maps", *HEADING], rows), *verdict(found), sep="\n")


def candidates(brain: Brain, scans: list[Scan], options: object) -> Iterator[tuple[str, QuantitativeMaps]]:
    """Return maps on the grid of the truth, by name: every scan interpolated, and the first super-resolved."""
    grid, measured = brain.truth.grid, []
    for scan in scans:
        truncate, images = acquired(brain.truth, scan, options.noise, np.random.default_rng(SEED))
        measured.append(matched(images, scan.grid(grid)))
        for kind, finer in interpolated(measured[-1], grid).items():
            yield f"{scan.title}, {kind}", finer
        yield f"{scan.title}, images zero filled", matched(truncate.zero_filled(images), grid)
    _, guides = degrade(brain.truth, 1, USUAL_GUIDES, guide_noise=options.guide_noise, gains=GAINS)
    for n, kind in ((2, "two guides"), (3, "three guides")):
        yield f"{scans[0].title}, SR, {kind}", resolved(measured[0], guides[:n], options, options.maps_from)


def acquired(
    truth: QuantitativeMaps, scan: Scan, level: float, generator: np.random.Generator
) -> tuple[KSpaceTruncation, torch.Tensor]:
    """Return the twelve noisy images of a scan, and the truncation that was applied."""
    pd, t1, t2 = (
        torch.as_tensor(truth[name]).clamp(min=0 if name == "PD" else QUANTITIES[name].bounds[0]) for name in QUANTITIES
    )
    truncate = KSpaceTruncation(truth.grid, scan.grid(truth.grid))
    images = truncate(MupaZte()(pd, t1, t2))
    noise = torch.as_tensor(generator.standard_normal(images.shape, dtype=np.float32))
    return truncate, images + scan.noise(level) * noise


def matched(images: torch.Tensor, grid: VoxelGrid) -> QuantitativeMaps:
    return QuantitativeMaps(data=drained(match(images, make_dictionary(MupaZte()))).numpy(), grid=grid)


def verdict(found: list[Mapping[str, Mapping[str, MapScores]]]) -> Iterator[str]:
    """Report where SR of the short scan is worse than the better interpolation of a long one, means over brains."""
    mean = {
        (name, quantity, measure): float(np.mean([vars(scores[name][quantity])[measure] for scores in found]))
        for name in found[0]
        for quantity in QUANTITIES
        for measure in ("ssim", "hfen")
    }
    titles = dict.fromkeys(name.rpartition(", ")[0] for name in found[0] if name.startswith("5 min"))
    for sr in (name for name in found[0] if "SR" in name):
        for title in titles:
            behind = []
            for quantity in QUANTITIES:
                names = [sr, *(name for name in found[0] if name.startswith(title))]
                ssim, hfen = ([mean[name, quantity, measure] for name in names] for measure in ("ssim", "hfen"))
                if ssim[0] < max(ssim[1:]):
                    behind.append(f"SSIM of {quantity} {ssim[0]:.4f} to {max(ssim[1:]):.4f}")
                if hfen[0] > min(hfen[1:]):
                    behind.append(f"HFEN of {quantity} {hfen[0]:.3f} to {min(hfen[1:]):.3f}")
            outcome = f"behind in {'; '.join(behind)}" if behind else "at least as good in all maps and both measures"
            yield f"\n{sr} against {title} (mean of {len(found)} brains): {outcome}."


if __name__ == "__main__":
    main()
