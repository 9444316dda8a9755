"""Simulated scans of known maps: low-resolution maps and high-resolution weighted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_swig_qmri.data.truncation import KSpaceTruncation
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, WeightedImage
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signal_models import SignalModel, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.simulation.threads import in_threads

if TYPE_CHECKING:
    from torch import Tensor

DOMAINS = ("maps", "signals")
SATURATION_TIME = 1.5  # s, repetition time of the signal from which T1 is estimated in the signal domain
ECHO_TIME = 0.08  # s, of the signal from which T2 is estimated in the signal domain
EMPTY_PD = 0.02  # of the largest PD; voxels below it are empty
TRUE_TISSUE_PD = 0.3  # of the largest PD, which has no outliers in true maps; voxels above it are tissue

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
    """Simulate low-resolution maps and weighted images at the resolution of the maps.

    Parameters
    ----------
    maps
        True PD, T1 and T2, times in s; 0 or NaN outside tissue.
    factor
        LR voxel edge in HR voxels, 1 or more, one number or one per axis; need not be whole.
    sequences
        Sequence of each weighted image by name, usually the BIDS suffix.
    map_noise
        Standard deviation of Gaussian noise in every LR voxel, relative to its value.
    guide_noise
        Standard deviation of noise in the weighted images relative to their median over tissue: Rician in
        magnitude images, Gaussian in signed ones.
    gains
        Scanner units per unit of signal, one for each sequence; 1 if None.
    domain
        ``"maps"`` truncates the maps in k-space; ``"signals"`` truncates the signals from which maps are estimated, so
        that voxels with tissue and CSF have the apparent PD, T1 and T2 of their mixed signal.
    generator
        Source of the noise; a fixed seed if None.

    Returns
    -------
    lr_maps
        Maps ``(3, x, y, z)`` on a grid of larger voxels with the same field of view.
    guides
        Weighted images ``(X, Y, Z)`` in the order of `sequences`.

    Raises
    ------
    ValueError
        If a map is missing, a factor is below 1, the domain is unknown or gains do not match the sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_swig_qmri import QuantitativeMaps, VoxelGrid, degrade
    >>> data = np.ones((3, 8, 8, 8)) * np.reshape([0.7, 0.9, 0.07], (3, 1, 1, 1))  # PD, T1 and T2 of white matter
    >>> maps = QuantitativeMaps(data=data, grid=VoxelGrid((8, 8, 8), np.eye(4)))
    >>> lr_maps, guides = degrade(maps, 2, map_noise=0.02)
    >>> lr_maps.grid.voxel_size, [guide.name for guide in guides]
    ((2.0, 2.0, 2.0), ['T1w', 'T2w', 'FLAIR'])
    """
    generator = np.random.default_rng(0) if generator is None else generator
    gains = [1.0] * len(sequences) if gains is None else gains
    if domain not in DOMAINS:
        raise ValueError(f"the domain must be one of {', '.join(DOMAINS)}, but it is {domain!r}.")
    if len(gains) != len(sequences):
        raise ValueError(
            f"{len(sequences)} sequences need one gain each, but {len(gains)} were given: pass one per sequence."
        )
    tensor = torch.as_tensor(np.nan_to_num(maps.data), dtype=torch.float32)
    lr_maps = _low_resolution(maps, tensor, factor, domain)
    noisy = lr_maps.data * (1 + map_noise * generator.standard_normal(lr_maps.data.shape, dtype=np.float32))
    pd, t1, t2 = _bounded(maps, tensor)
    tissue = (pd > TRUE_TISSUE_PD * pd.max()).numpy()

    def guide(name: str, gain: float, noise: Sequence[FloatArray]) -> WeightedImage:
        signal = sequences[name](pd, t1, t2).numpy()
        if noise:
            deviation = np.float32(guide_noise * np.median(np.abs(signal[tissue])))
            signal = _with_noise(signal, [deviation * each for each in noise])
        return WeightedImage(data=np.float32(gain) * signal, grid=maps.grid, name=name, sequence=sequences[name])

    def noise_of(sequence: SignalModel) -> list[FloatArray]:
        n_parts = 0 if guide_noise == 0 else 1 if sequence.is_signed else 2
        return [generator.standard_normal(maps.grid.shape, dtype=np.float32) for _ in range(n_parts)]

    # drawn one after the other, while the images before are computed
    parts = ((name, gain, noise_of(sequences[name])) for name, gain in zip(sequences, gains, strict=True))
    guides = in_threads(lambda each: guide(*each), parts)
    return QuantitativeMaps(data=noisy, grid=lr_maps.grid, names=maps.names), guides


def _low_resolution(
    maps: QuantitativeMaps, tensor: Tensor, factor: float | Sequence[float], domain: str
) -> QuantitativeMaps:
    """Maps truncated in k-space to voxels `factor` times as large; `tensor` has their values without NaN."""
    factors = np.broadcast_to(np.asarray(factor, float), (3,))
    if not np.all(factors >= 1):
        raise ValueError(f"factors must be 1 or more, but they are {factor}: LR voxels cannot be finer than HR voxels.")
    nx, ny, nz = (max(1, round(n / f)) for n, f in zip(maps.grid.shape, factors, strict=True))
    grid = maps.grid.with_shape((nx, ny, nz))
    truncate = KSpaceTruncation(maps.grid, grid)
    data = truncate(tensor) if domain == "maps" else _apparent(maps, tensor, truncate)
    return QuantitativeMaps(data=data.numpy(), grid=grid, names=maps.names)


def _apparent(maps: QuantitativeMaps, tensor: Tensor, truncate: KSpaceTruncation) -> Tensor:
    """Maps ``(3, x, y, z)`` estimated per voxel from the truncated PD, PD exp(-TR/T1) and PD exp(-TE/T2)."""
    pd, t1, t2 = _bounded(maps, tensor)
    signals = truncate(torch.stack([pd, pd * (-SATURATION_TIME / t1).exp(), pd * (-ECHO_TIME / t2).exp()]))
    lr_pd = signals[0]
    decays = (signals[1:] / lr_pd.clamp(min=1e-3)).clamp(1e-6, 1 - 1e-6)
    values = {"PD": lr_pd, "T1": -SATURATION_TIME / decays[0].log(), "T2": -ECHO_TIME / decays[1].log()}
    is_empty = lr_pd < EMPTY_PD * lr_pd.max()
    return torch.stack([values[name].clamp(max=QUANTITIES[name].bounds[1]) * ~is_empty for name in maps.names])


def _bounded(maps: QuantitativeMaps, tensor: Tensor) -> list[Tensor]:
    """PD, T1 and T2 with relaxation times clipped to their bounds, so that empty voxels have a finite signal."""
    missing = [name for name in QUANTITIES if name not in maps.names]
    if missing:
        raise ValueError(
            f"weighted images need PD, T1 and T2 maps, but there is no {' or '.join(missing)} map: add it."
        )
    pd, t1, t2 = (tensor[maps.names.index(name)] for name in QUANTITIES)
    return [pd.clamp(min=0), t1.clamp(*QUANTITIES["T1"].bounds), t2.clamp(*QUANTITIES["T2"].bounds)]


def _with_noise(signal: FloatArray, noise: Sequence[FloatArray]) -> FloatArray:
    """The signal with real noise, or with the magnitude of real and imaginary noise, which is Rician."""
    real, *imaginary = noise
    real += signal
    for each in imaginary:
        np.square(real, out=real)
        real += np.square(each, out=each)
        np.sqrt(real, out=real)
    return real
