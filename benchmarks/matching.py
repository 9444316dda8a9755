"""Seconds to match a whole brain of 99 x 117 x 95 voxels with the MuPa-ZTE dictionary, no voxel being background.

python benchmarks/matching.py [THREADS]
"""

from __future__ import annotations

import sys
import time

import torch

from napari_swig_qmri.matching import make_dictionary, match
from napari_swig_qmri.mupa_zte import MupaZte
from napari_swig_qmri.steps import drained

SHAPE = (99, 117, 95)
LOW, HIGH = torch.tensor([0.6, 0.5, 0.04]), torch.tensor([1.0, 4.0, 0.5])  # PD, T1 s, T2 s
NOISE = 0.005


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    generator = torch.Generator().manual_seed(0)
    maps = LOW.view(3, 1, 1, 1) + (HIGH - LOW).view(3, 1, 1, 1) * torch.rand(3, *SHAPE, generator=generator)
    images = MupaZte()(*maps)
    images += NOISE * torch.randn(images.shape, generator=generator)
    started, working = time.perf_counter(), time.process_time()
    drained(match(images, make_dictionary(MupaZte()), background=0.0))
    wall, work = time.perf_counter() - started, time.process_time() - working
    print(f"{torch.get_num_threads()} threads: {wall:.1f} s, {work:.1f} s of processor time")


if __name__ == "__main__":
    main()
