"""Low-resolution maps and high-resolution weighted images, as a scanner would give them of known maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import SpinEcho, T2Flair, TurboSpinEcho

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.signal_models import SignalModel

DOMAINS = ("maps", "signals")
SATURATION_TIME = 1.5  # s, repetition time of the signal that T1 comes from in the signal domain
ECHO_TIME = 0.08  # s, of the signal that T2 comes from there
EMPTY_PD = 0.02  # of the largest PD; voxels below it have no signal to fit
TISSUE_PD = 0.3  # of the largest PD; voxels above it are tissue, for the level of the noise

USUAL_GUIDES: Mapping[str, SignalModel] = {
    "T1w": SpinEcho(repetition_time=0.6, echo_time=0.012),
    "T2w": TurboSpinEcho(repetition_time=5.0, echo_time=0.09),
    "FLAIR": T2Flair(repetition_time=9.0, echo_time=0.12, inversion_time=2.5),
}


def degrade(
    maps: QuantitativeMaps,
    factor: float | Sequence[float] = 2.0,
    sequences: Mapping[str, SignalModel] = USUAL_GUIDES,
    *,
    map_noise: float = 0.0,
    guide_noise: float = 0.0,
    gains: Sequence[float] | None = None,
    domain: str = "maps",
    generator: np.random.Generator | None = None,
) -> tuple[QuantitativeMaps, list[WeightedImage]]:
    """Maps at a lower resolution and weighted images at the resolution of `maps`.

    Parameters
    ----------
    maps
        PD, T1 and T2, the truth; voxels without tissue are 0 or NaN.
    factor
        LR voxel edge in HR voxels, one number or one per axis; need not be whole.
    sequences
        Sequence of each weighted image by name, usually the BIDS suffix.
    map_noise
        Standard deviation of Gaussian noise in every LR voxel, relative to its value.
    guide_noise
        Standard deviation of noise in the weighted images relative to their median over tissue: Rician in
        magnitude images, Gaussian in signed ones.
    gains
        Scanner units per unit of signal, one for each sequence; 1 by default.
    domain
        ``"maps"`` truncates the maps in k-space, ``"signals"`` the signals they are measured from, so that
        voxels of tissue and CSF take the apparent values of their mixed signal.
    generator
        Source of the noise; a fixed seed if None.
    """
    generator = np.random.default_rng(0) if generator is None else generator
    gains = [1.0] * len(sequences) if gains is None else gains
    if domain not in DOMAINS:
        raise ValueError(f"the domain must be one of {', '.join(DOMAINS)}, but it is {domain!r}.")
    if len(gains) != len(sequences):
        raise ValueError(f"{len(sequences)} sequences need one gain each, but {len(gains)} came: pass more.")
    parameters = torch.as_tensor(np.nan_to_num(maps.data), dtype=torch.float32)
    lr_maps = _low_resolution(maps, parameters, factor, domain)
    noisy = lr_maps.data * (1 + map_noise * generator.standard_normal(lr_maps.data.shape, dtype=np.float32))
    pd, t1, t2 = _bounded(maps, parameters)
    tissue = (pd > TISSUE_PD * pd.max()).numpy()
    guides = []
    for (name, sequence), gain in zip(sequences.items(), gains, strict=True):
        signal = sequence(pd, t1, t2).numpy()
        deviation = guide_noise * float(np.median(np.abs(signal[tissue])))
        data = np.float32(gain) * _acquired(signal, sequence, deviation, generator)
        guides.append(WeightedImage(data=data, grid=maps.grid, name=name, sequence=sequence))
    return QuantitativeMaps(data=noisy, grid=lr_maps.grid, names=maps.names), guides


def _low_resolution(
    maps: QuantitativeMaps, parameters: Tensor, factor: float | Sequence[float], domain: str
) -> QuantitativeMaps:
    """Truncate k-space to voxels `factor` times as large in the same field of view."""
    factors = np.broadcast_to(np.asarray(factor, float), (3,))
    if not np.all(factors >= 1):
        raise ValueError(f"factors must be 1 or more, but they are {factor}: LR voxels are never finer than HR ones.")
    nx, ny, nz = (max(1, round(n / f)) for n, f in zip(maps.grid.shape, factors, strict=True))
    grid = maps.grid.with_shape((nx, ny, nz))
    truncate = KSpaceTruncation(maps.grid, grid)
    data = truncate(parameters) if domain == "maps" else _apparent(maps, parameters, truncate)
    return QuantitativeMaps(data=data.numpy(), grid=grid, names=maps.names)


def _apparent(maps: QuantitativeMaps, parameters: Tensor, truncate: KSpaceTruncation) -> Tensor:
    """Maps that three truncated signals give: PD, PD exp(-TE/T2) and PD [1 - exp(-TR/T1)], per voxel."""
    pd, t1, t2 = _bounded(maps, parameters)
    signals = truncate(torch.stack([pd, pd * (-SATURATION_TIME / t1).exp(), pd * (-ECHO_TIME / t2).exp()]))
    lr_pd = signals[0]
    left = (signals[1:] / lr_pd.clamp(min=1e-3)).clamp(1e-6, 1 - 1e-6)
    times = {"PD": lr_pd, "T1": -SATURATION_TIME / left[0].log(), "T2": -ECHO_TIME / left[1].log()}
    empty = lr_pd < EMPTY_PD * lr_pd.max()
    return torch.stack([times[name].clamp(max=QUANTITIES[name].bounds[1]) * ~empty for name in maps.names])


def _bounded(maps: QuantitativeMaps, parameters: Tensor) -> list[Tensor]:
    """PD, T1 and T2 with relaxation times inside their bounds, so that empty voxels have a finite signal."""
    missing = [name for name in QUANTITIES if name not in maps.names]
    if missing:
        raise ValueError(f"weighted images need PD, T1 and T2, but there is no {' or '.join(missing)} map: add it.")
    pd, t1, t2 = (parameters[maps.names.index(name)] for name in QUANTITIES)
    return [pd.clamp(min=0), t1.clamp(*QUANTITIES["T1"].bounds), t2.clamp(*QUANTITIES["T2"].bounds)]


def _acquired(
    signal: FloatArray, sequence: SignalModel, deviation: float, generator: np.random.Generator
) -> FloatArray:
    """Add noise: Rician in a magnitude image, Gaussian in a signed one."""
    if deviation == 0:
        return signal
    real: FloatArray = signal + deviation * generator.standard_normal(signal.shape, dtype=np.float32)
    if sequence.is_signed:
        return real
    imaginary = deviation * generator.standard_normal(signal.shape, dtype=np.float32)
    magnitude: FloatArray = np.hypot(real, imaginary)
    return magnitude
