"""Devices to compute on, and the size of the slabs that fit into their memory."""

from __future__ import annotations

import torch

from napari_swig_qmri.data.wording import joined

CPU_SLAB, GPU_SLAB = 300_000, 30_000_000  # HR voxels that are linearised at a time
BYTES_PER_VOXEL = 400  # of working memory for these voxels, in float32


def choose_device(name: str, dtype: str = "float32") -> torch.device:
    """Return the device of a name; ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If there is no such device on this machine, or it cannot compute in `dtype`.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, is_available in available.items() if is_available)
    kind = name.split(":")[0]
    if kind not in available:
        raise ValueError(f"the device must be auto, cuda, mps or cpu, but it is {name!r}.")
    if not available[kind]:
        raise ValueError(f"there is no {kind} device on this machine: choose 'auto' or 'cpu'.")
    if kind == "mps" and dtype == "float64":
        raise ValueError("MPS devices have no float64: choose dtype 'float32' or device 'cpu'.")
    n_devices = torch.cuda.device_count() if kind == "cuda" else 1
    if name not in (kind, *(f"{kind}:{index}" for index in range(n_devices))):
        listed = joined([kind, *(f"{kind}:{index}" for index in range(n_devices))], "or")
        raise ValueError(f"the device {name!r} is not on this machine: choose {listed}.")
    return torch.device(name)


def planes_of_a_slab(
    shape: tuple[int, int, int], device: torch.device, memory_limit: int | None, *, times: int = 1
) -> int:
    """Number of HR planes of a slab whose working memory stays within a limit in bytes.

    Without a limit it is `times` the default of the device: more for computations that need less memory per voxel.
    """
    n_voxels = times * (CPU_SLAB if device.type == "cpu" else GPU_SLAB)
    if memory_limit is not None:
        n_voxels = min(n_voxels, memory_limit // BYTES_PER_VOXEL)
    return max(1, min(shape[0], n_voxels // (shape[1] * shape[2])))
