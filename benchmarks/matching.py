"""Noise of MuPa-ZTE maps by flip angle, and seconds to match a whole brain with the dictionary.

    OMP_NUM_THREADS=1 python benchmarks/matching.py [THREADS]

The brain has 99 x 117 x 95 voxels, none of them background. The products with the dictionary, and the search for
the largest one, are timed separately, because compressing the images could save only these.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import torch

from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.solver.dictionary import N_COMPARED, Dictionary, make_dictionary, match

SHAPE = (99, 117, 95)
LOW, HIGH = torch.tensor([0.6, 0.5, 0.04]), torch.tensor([1.0, 4.0, 0.5])  # PD, T1 s, T2 s
NOISE = 0.005  # of water, in each image
TISSUES = {"white": (0.69, 0.9, 0.068), "grey": (0.81, 1.42, 0.09)}  # PD, T1 s, T2 s
ANGLES = (1, 1.5, 2, 3, 4, 5)  # degrees


def least_noise(model: MupaZte, tissue: tuple[float, float, float]) -> list[float]:
    """Return the Cramer-Rao bounds of PD, T1 and T2 in %, at the noise of the default angle relative to water."""
    values = torch.tensor(tissue, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda maps: model(*maps), values) * values
    noise = NOISE * math.sin(MupaZte().flip_angle) / math.sin(model.flip_angle)
    return (100 * noise * torch.linalg.inv(jacobian.T @ jacobian).diagonal().sqrt()).tolist()


def seconds(work: Callable[[], object]) -> str:
    """Return the wall time and the processor time of a call."""
    started, working = time.perf_counter(), time.process_time()
    work()
    return f"{time.perf_counter() - started:.1f} s ({time.process_time() - working:.1f} s of processor time)"


def compare(images: torch.Tensor, dictionary: Dictionary, find: bool) -> None:
    """Multiply all voxels by all entries and, if `find`, search the largest product of each voxel."""
    for part in torch.split(images.flatten(1).T, N_COMPARED):
        products = part @ dictionary.entries.T
        if find:
            products.max(dim=1)


def main() -> None:
    for angle in ANGLES:
        model = MupaZte(flip_angle=math.radians(angle))
        least = {name: " / ".join(f"{x:.2f}" for x in least_noise(model, tissue)) for name, tissue in TISSUES.items()}
        print(f"{angle:g} degrees, least noise of PD / T1 / T2 in %:", *(f"{k} {v}" for k, v in least.items()))
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    generator = torch.Generator().manual_seed(0)
    maps = LOW.view(3, 1, 1, 1) + (HIGH - LOW).view(3, 1, 1, 1) * torch.rand(3, *SHAPE, generator=generator)
    images = MupaZte()(*maps)
    images += NOISE * torch.randn(images.shape, generator=generator)
    dictionary = make_dictionary(MupaZte())
    print(f"{torch.get_num_threads()} threads, {len(dictionary.entries)} entries:")
    print("matched in", seconds(lambda: drained(match(images, dictionary, background=0.0))))
    print("products with the dictionary alone", seconds(lambda: compare(images, dictionary, find=False)))
    print("and the largest of them", seconds(lambda: compare(images, dictionary, find=True)))


if __name__ == "__main__":
    main()
