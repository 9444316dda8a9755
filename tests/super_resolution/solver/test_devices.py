"""Devices and slabs: what a name means, and how many planes fit."""

from __future__ import annotations

import pytest
import torch

from napari_swig_qmri.super_resolution.solver.devices import (
    BYTES_PER_VOXEL,
    CPU_SLAB,
    choose_device,
    planes_of_a_slab,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("shape", "device", "limit", "times", "n_planes"),
    [
        ((200, 100, 100), CPU, None, 1, CPU_SLAB // 10_000),
        ((200, 100, 100), CPU, None, 3, 3 * CPU_SLAB // 10_000),
        ((20, 10, 10), CPU, None, 1, 20),  # the whole volume
        ((200, 100, 100), CPU, 7 * 10_000 * BYTES_PER_VOXEL, 3, 7),
        ((200, 100, 100), CPU, 1, 1, 1),  # at least one
        ((200, 1000, 1000), CPU, None, 1, 1),
        ((200, 100, 100), CUDA, None, 1, 200),
    ],
)
def test_planes_of_a_slab(shape, device, limit, times, n_planes):
    assert planes_of_a_slab(shape, device, limit, times=times) == n_planes


def test_devices_are_chosen_by_name():
    assert choose_device("cpu") == CPU
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == best
    with pytest.raises(ValueError, match="the device must be auto, cuda, mps or cpu, but it is 'tpu'"):
        choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_refused():
    with pytest.raises(ValueError, match="there is no cuda device on this machine: choose 'auto' or 'cpu'"):
        choose_device("cuda:0")
