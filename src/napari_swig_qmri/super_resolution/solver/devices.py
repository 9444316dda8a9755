"""Devices to compute on."""

from __future__ import annotations

import torch


def choose_device(name: str) -> torch.device:
    """The device of a name; ``"auto"`` takes CUDA, then MPS, then the CPU."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    kind = name.split(":")[0]
    if kind not in available:
        raise ValueError(f"the device must be auto, cuda, mps or cpu, but it is {name!r}.")
    if not available[kind]:
        raise ValueError(f"there is no {kind} device on this machine: choose 'auto' or 'cpu'.")
    return torch.device(name)
