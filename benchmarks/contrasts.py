"""Contrasts that were not guides, synthesised from LR and from SR maps, compared with acquired ones.

    OMP_NUM_THREADS=1 python benchmarks/contrasts.py subject06_crisp.nii.gz subject42_crisp.nii.gz ...

T1w and T2w are the guides of the SR maps. Every contrast is "acquired" from the true maps with the noise of the
guides; the row `truth` is the contrast of the true maps without noise, which no method can beat. Brain without CSF and
CSF are scored separately. The range of SSIM and HFEN is the 99.5th percentile of the true contrast in the brain.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from brains import Brain, brains_of, interpolated, parser_of, resolved, table
from numpy.typing import NDArray

from napari_swig_qmri import SEQUENCES, QuantitativeMaps
from napari_swig_qmri.evaluation.scores import tissue_masks
from napari_swig_qmri.metrics import hfen, nrmse, ssim
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.simulation.degradation import DOMAINS, USUAL_GUIDES, degrade

CONTRASTS = {
    "T2-FLAIR": SEQUENCES["t2-flair"].from_typical(),
    "DIR": SEQUENCES["dir"].from_typical(),
    "MPRAGE": SEQUENCES["mprage"].from_typical(),
    "T2w, TE 140 ms": SEQUENCES["tse"].from_typical(echo_time=0.14),
}
SEED = 7


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--factor", type=float, default=2.0, help="LR voxel edge in HR voxels (2)")
    parser.add_argument("--map-noise", type=float, default=0.02, help="of LR maps, relative (0.02)")
    parser.add_argument("--domain", choices=DOMAINS, default="maps", help="what is truncated (maps)")
    options = parser.parse_args()
    found: dict[tuple[str, str], list[NDArray[np.floating]]] = {}
    for brain in brains_of(options.labels):
        generator = np.random.default_rng(SEED)
        _, acquired = degrade(brain.truth, 1, CONTRASTS, guide_noise=options.guide_noise, generator=generator)
        tissues = tissue_masks(brain.truth, brain.mask)
        regions = {"brain without CSF": brain.mask & ~tissues["CSF"], "CSF": tissues["CSF"]}
        for source, maps in sources(brain, options, generator):
            print(brain.name, source, file=sys.stderr, flush=True)
            for image in acquired:
                limit = float(np.percentile(synthesised(brain.truth, image.name)[brain.mask], 99.5))
                scores = scored(synthesised(maps, image.name), image.data, regions, limit)
                found.setdefault((image.name, source), []).append(scores)
    rows = [[contrast, source, *cells(np.mean(scores, axis=0))] for (contrast, source), scores in found.items()]
    rows.sort(key=lambda row: list(CONTRASTS).index(row[0]))
    print(f"Mean of {len(options.labels)} brains; LR voxels of {options.factor:g} mm, truncated {options.domain}.\n")
    print(table(["contrast", "maps", *[f"{r}: SSIM / HFEN / NRMSE, %" for r in regions]], rows))


def sources(brain: Brain, options: object, generator: np.random.Generator) -> Iterator[tuple[str, QuantitativeMaps]]:
    """Return the maps from which contrasts are computed, by name."""
    guides = {name: USUAL_GUIDES[name] for name in ("T1w", "T2w")}
    lr_maps, images = degrade(
        brain.truth,
        options.factor,
        guides,
        map_noise=options.map_noise,
        guide_noise=options.guide_noise,
        domain=options.domain,
        generator=generator,
    )
    for kind, maps in interpolated(lr_maps, brain.truth.grid).items():
        yield f"LR, {kind}", maps
    yield f"SR, {options.method}", resolved(lr_maps, images, options)
    yield "truth", brain.truth


def synthesised(maps: QuantitativeMaps, contrast: str) -> NDArray[np.float32]:
    """Return a contrast of maps whose relaxation times are clipped to the bounds of the quantities."""
    pd, t1, t2 = (
        torch.as_tensor(maps[name]).clamp(0.0 if name == "PD" else quantity.bounds[0], quantity.bounds[1])
        for name, quantity in QUANTITIES.items()
    )
    image: NDArray[np.float32] = CONTRASTS[contrast](pd, t1, t2).numpy()
    return image


def scored(
    image: NDArray[np.float32], acquired: NDArray[np.floating], regions: Mapping[str, NDArray[np.bool_]], limit: float
) -> NDArray[np.floating]:
    """Return the scores, ``(region, measure)``."""
    measures = (ssim, hfen, nrmse)
    return np.array([[measure(image, acquired, where, limit) for measure in measures] for where in regions.values()])


def cells(scores: NDArray[np.floating]) -> list[str]:
    return [f"{similarity:.4f} / {edges:.3f} / {100 * error:.1f}" for similarity, edges, error in scores]


if __name__ == "__main__":
    main()
