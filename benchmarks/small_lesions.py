"""Share of a small lesion in T2 that remains after denoising, by its edge and its contrast to noise.

python benchmarks/small_lesions.py
"""

from __future__ import annotations

import torch

from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.denoising import denoise

SHAPE, PLACE, N_DRAWS = (24, 24, 24), 10, 24
NOISE = torch.tensor([0.01, 0.02, 0.03])  # of log PD, T1 and T2
EDGES, CONTRASTS = (1, 2, 3), (4, 6, 8, 10)


def kept(edge: int, contrast: float) -> float:
    """Return the contrast after denoising over that before, less the filtered noise, mean over draws."""
    lesion = (2, *[slice(PLACE, PLACE + edge)] * 3)
    flat, shares = torch.ones(SHAPE, dtype=torch.bool), []
    for seed in range(N_DRAWS):
        noise = NOISE.view(-1, 1, 1, 1) * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(seed))
        ill = noise.clone()
        ill[lesion] += contrast * NOISE[2]
        before, after = (
            drained(denoise(maps, flat, NOISE, (1, 1, 1), n_planes=SHAPE[0]))[lesion] for maps in (noise, ill)
        )
        shares.append((after - before).mean() / (contrast * NOISE[2]))
    return float(torch.stack(shares).mean())


def main() -> None:
    print("edge, voxels | " + " | ".join(f"{contrast} x noise" for contrast in CONTRASTS))
    for edge in EDGES:
        print(f"{edge} | " + " | ".join(f"{100 * kept(edge, contrast):.0f} %" for contrast in CONTRASTS))


if __name__ == "__main__":
    main()
