"""SR with guides of settings and kinds on which the networks were not trained, on simulated test brains.

    OMP_NUM_THREADS=1 python benchmarks/unseen.py subject06_crisp.nii.gz subject42_crisp.nii.gz ...

Training draws times within a factor of 1.6 and angles within 1.4 of the typical settings of a sequence
(`simulation.subjects.random_sequence`). Every guide of every protocol below, except the first protocol, has settings
beyond that.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

import numpy as np
from brains import HEADING, brains_of, cells, interpolated, parser_of, resolved, table

from napari_swig_qmri import SEQUENCES, evaluate
from napari_swig_qmri.evaluation.scores import MapScores
from napari_swig_qmri.physics.signal_models import SignalModel
from napari_swig_qmri.simulation.degradation import USUAL_GUIDES, degrade

GAINS = (812.0, 95.0, 400.0)
SEED = 8


def sequence(kind: str, **settings: float) -> SignalModel:
    return SEQUENCES[kind].from_typical(**settings)


PROTOCOLS: Mapping[str, Mapping[str, SignalModel]] = {
    "usual: SE 600/12, TSE 5000/90": {name: USUAL_GUIDES[name] for name in ("T1w", "T2w")},
    "SE 1200/8, TSE 12000/200": {
        "T1w": sequence("spin-echo", repetition_time=1.2, echo_time=0.008),
        "T2w": sequence("tse", repetition_time=12.0, echo_time=0.2, echo_train_length=32),
    },
    "SPGR 50/8/45°, bSSFP 12/6/20°": {
        "T1w": sequence("spgr", repetition_time=0.05, echo_time=0.008, flip_angle=math.radians(45)),
        "T2w": sequence("bssfp", repetition_time=0.012, echo_time=0.006, flip_angle=math.radians(20)),
    },
    "PSIR 8000/800/30, STIR 2500/120/100": {
        "IRT1w": sequence("psir", repetition_time=8.0, inversion_time=0.8, echo_time=0.03),
        "STIR": sequence("stir", repetition_time=2.5, inversion_time=0.12, echo_time=0.1),
    },
    "IR-SE 12000/1500/30, TSE 12000/200": {
        "IRT1w": sequence("ir-se", repetition_time=12.0, inversion_time=1.5, echo_time=0.03),
        "T2w": sequence("tse", repetition_time=12.0, echo_time=0.2, echo_train_length=32),
    },
    "MPRAGE 4000/1800/16°, SE 10000/160": {
        "T1w": sequence("mprage", repetition_time=4.0, inversion_time=1.8, flip_angle=math.radians(16)),
        "T2w": sequence("spin-echo", repetition_time=10.0, echo_time=0.16),
    },
    "PSIR, STIR, bSSFP as above": {
        "IRT1w": sequence("psir", repetition_time=8.0, inversion_time=0.8, echo_time=0.03),
        "STIR": sequence("stir", repetition_time=2.5, inversion_time=0.12, echo_time=0.1),
        "T2w": sequence("bssfp", repetition_time=0.012, echo_time=0.006, flip_angle=math.radians(20)),
    },
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--factor", type=float, default=2.0, help="LR voxel edge in HR voxels (2)")
    parser.add_argument("--map-noise", type=float, default=0.02, help="of LR maps, relative (0.02)")
    options = parser.parse_args()
    rows = []
    for brain in brains_of(options.labels):
        for n, (title, sequences) in enumerate(PROTOCOLS.items()):
            lr_maps, guides = degrade(
                brain.truth,
                options.factor,
                sequences,
                map_noise=options.map_noise,
                guide_noise=options.guide_noise,
                gains=GAINS[: len(sequences)],
                generator=np.random.default_rng(SEED),
            )
            plain = interpolated(lr_maps, brain.truth.grid) if n == 0 else {}
            for name, maps in {**plain, title: resolved(lr_maps, guides, options)}.items():
                rows.append(row(brain.name, name, evaluate(maps, brain.truth, brain.mask)))
    print(f"LR voxels of {options.factor:g} mm, noise {options.map_noise:.0%} of maps, {options.guide_noise:.0%}.\n")
    print(table(["brain", "guides", *HEADING], rows))


def row(brain: str, guides: str, scores: Mapping[str, MapScores]) -> list[str]:
    words = [brain, guides, *cells(scores)]
    print(*words, sep=" | ", file=sys.stderr, flush=True)
    return words


if __name__ == "__main__":
    main()
