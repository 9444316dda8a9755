"""Time of one slice with each option of a rendering, and effect of low refocusing angles and of marks.

    OMP_NUM_THREADS=1 python benchmarks/rendering.py

Times are processor times, so that other work on the machine does not count. The first slice after a change of
settings includes the tables that represent the phase graphs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.physics.quantities import T1, T2
from napari_swig_qmri.physics.signal_models import Mprage, SignalModel, Spgr, T2Flair, TurboSpinEcho
from napari_swig_qmri.simulation.phantom import make_phantom
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, synthesise
from napari_swig_qmri.synthesis.partial_volume import MARK_THRESHOLD, LazyPartialVolume, disagreement, tissue_level
from napari_swig_qmri.synthesis.rendering import Rendering

SHAPE = (25, 512, 512)
LONG = TurboSpinEcho(repetition_time=3.0, echo_time=0.3, echo_train_length=200, echo_spacing=0.004)
TISSUES = {"WM": (0.69, 0.939, 0.062), "GM": (0.81, 1.31, 0.071), "CSF": (1.0, 4.163, 1.4), "fat": (0.9, 0.38, 0.08)}


def low(sequence: SignalModel, degrees: float) -> SignalModel:
    return type(sequence)(**{**vars(sequence), "refocusing_angle": math.radians(degrees)})


CASES: list[tuple[str, SignalModel, Rendering]] = [
    ("T2-FLAIR, 180 degrees", T2Flair.from_typical(), Rendering()),
    ("T2-FLAIR, 120 degrees", low(T2Flair.from_typical(), 120), Rendering()),
    ("TSE, ETL 200, 100 degrees", low(LONG, 100), Rendering()),
    ("T2-FLAIR, B1+ 90 %", T2Flair.from_typical(), Rendering(transmit_field=0.9)),
    ("T2-FLAIR, SNR 20", T2Flair.from_typical(), Rendering(snr=20)),
]


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    pd, t1, t2 = (random.uniform(*ends, SHAPE).astype(np.float32) for ends in ((0.5, 1), (0.5, 4), (0.04, 0.5)))
    print("| 512 x 512 | first slice after a change, ms | next slices, ms (least / median) |\n|---|---|---|")
    for name, sequence, rendering in CASES:
        times = []
        contrast = LazyContrast(sequence=sequence, pd=pd, t1=t1, t2=t2, rendering=rendering)
        for index in range(SHAPE[0]):
            begin = time.thread_time()
            contrast[index]
            times.append(1e3 * (time.thread_time() - begin))
        print(f"| {name} | {times[0]:.0f} | {min(times[1:]):.1f} / {np.median(times[1:]):.1f} |")
    print("\n| signal, % of 180 degrees | " + " | ".join(TISSUES) + " |\n|---|" + "---|" * len(TISSUES))
    maps = np.array(list(TISSUES.values())).T
    for sequence in (TurboSpinEcho.from_typical(), T2Flair.from_typical(), LONG):
        ideal = synthesise(sequence, *maps)
        for degrees in (150, 120, 60):
            shares = 100 * synthesise(low(sequence, degrees), *maps) / ideal
            train = f"ETL {sequence.echo_train_length}, {degrees} degrees"  # type: ignore[attr-defined]
            print(f"| {sequence.title}, {train} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")
    report_maps()
    report_marks()


def report_maps() -> None:
    """Print the time of a slice with a map of the transmit field, and its error against an exact field per voxel."""
    random = np.random.default_rng(0)
    maps = [random.uniform(*ends, (8, 256, 256)).astype(np.float32) for ends in ((0.5, 1), (0.5, 4), (0.04, 1.5))]
    x, y = np.meshgrid(*[np.linspace(-1, 1, 256)] * 2)
    field = np.broadcast_to(1.25 - 0.3 * (x**2 + y**2), maps[0].shape).astype(np.float32)  # 65 to 125 %
    print(
        "\n| 256 x 256 | plain, ms | with a map of B1+, first and next, ms | largest error, % of the largest signal |"
    )
    print("|---|---|---|---|")
    for name, sequence in (
        ("SPGR", Spgr.from_typical()),
        ("MPRAGE", Mprage.from_typical()),
        ("TSE, ETL 16", TurboSpinEcho.from_typical()),
        ("T2-FLAIR, ETL 16", T2Flair.from_typical()),
        ("TSE, ETL 200, 100 degrees", low(LONG, 100)),
    ):
        plain, with_map = (
            LazyContrast(sequence=sequence, pd=maps[0], t1=maps[1], t2=maps[2], transmit_field=each)
            for each in (None, field)
        )
        times = [[_milliseconds(contrast, index) for index in range(8)] for contrast in (plain, with_map)]
        errors = []
        for row, column in zip(*np.unravel_index(random.integers(0, 256 * 256, 400), (256, 256)), strict=True):
            own = Rendering(transmit_field=float(field[0, row, column]))
            exact = synthesise(sequence, *(each[0, row, column][None] for each in maps), rendering=own)
            errors.append(abs(abs(exact.item()) - abs(with_map[0][row, column])))
        print(
            f"| {name} | {np.median(times[0][1:]):.1f} | {times[1][0]:.0f}, {np.median(times[1][1:]):.0f} | "
            f"{100 * max(errors) / with_map[0].max():.3f} |"
        )


def _milliseconds(contrast: LazyContrast, index: int) -> float:
    begin = time.thread_time()
    contrast[index]
    return 1e3 * (time.thread_time() - begin)


def report_marks() -> None:
    """Print the share of marked voxels of the built-in head, and of those among the voxels that differ."""
    maps = make_phantom((1.0, 1.0, 2.0)).maps
    pd, t1, t2 = (np.nan_to_num(maps[name]) for name in ("PD", "T1", "T2"))
    even = tuple(slice(0, n // 2 * 2) for n in pd.shape)
    pd, t1, t2 = pd[even], t1[even], t2[even]
    sequence = T2Flair.from_typical()
    level = tissue_level(sequence, pd, t1, t2)
    begin = time.thread_time()
    marked = np.asarray(LazyPartialVolume(sequence=sequence, pd=pd, t1=t1, t2=t2)) > 0
    seconds = time.thread_time() - begin
    tissue = halved(pd > 0.3) > 0.99
    found = halved(marked) > 0
    differs = differing(sequence, (pd, t1, t2), halved) & tissue
    fine = VoxelGrid(pd.shape, np.eye(4))
    truncation = KSpaceTruncation(fine, fine.with_shape(found.shape))
    rings = differing(sequence, (pd, t1, t2), lambda x: truncation(torch.from_numpy(x)[None])[0].numpy()) & tissue
    largest = np.abs(disagreement(sequence, pd, t1, t2)).max() / level
    print(
        f"\nT2-FLAIR of the built-in head, {pd.shape} voxels of 1 x 1 x 2 mm: {100 * marked[pd > 0.3].mean():.0f} % of "
        f"the voxels are marked ({seconds:.1f} s); of the voxels of 2 x 2 x 4 mm "
        f"{100 * differs.sum() / tissue.sum():.0f} % differ by more than {100 * MARK_THRESHOLD:.0f} %, and "
        f"{100 * found[differs].mean():.1f} % of these hold a mark. Largest disagreement: {largest:.1f} times the "
        f"signal of tissue. After a sharp cut of k-space instead of means {100 * rings.sum() / tissue.sum():.0f} % "
        f"differ, and {100 * found[rings].mean():.0f} % of these hold a mark, as "
        f"{100 * found[tissue].mean():.0f} % of all do."
    )


def differing(
    sequence: SignalModel, maps: Sequence[np.ndarray], lower: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return the coarse voxels in which the signal of averaged maps differs from the averaged signal."""
    limits = ((0, np.inf), T1.bounds, T2.bounds)
    coarse = (np.clip(lower(values), *ends).astype(np.float32) for values, ends in zip(maps, limits, strict=True))
    of_maps = synthesise(sequence, *coarse, rendering=Rendering(sign="signed"))
    signal = lower(synthesise(sequence, *maps, rendering=Rendering(sign="signed")))
    return np.abs(np.abs(of_maps) - np.abs(signal)) > MARK_THRESHOLD * tissue_level(sequence, *maps)


def halved(values: np.ndarray) -> np.ndarray:
    x, y, z = (n // 2 for n in values.shape)
    return values.reshape(x, 2, y, 2, z, 2).mean((1, 3, 5))


if __name__ == "__main__":
    main()
