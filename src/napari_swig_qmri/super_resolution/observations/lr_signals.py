"""Signals that LR maps were fitted to, reduced to a few components that are quick to compute and to differentiate.

A scanner truncates the images of a mapping protocol and fits maps to them. Where a voxel holds tissue and CSF, these
maps are no averages of HR maps, but the images are averages of HR images. LR maps are therefore compared with HR maps
through the images of their protocol. An SVD over the range of tissues reduces the images to a few components, which are
averages of HR components just as well. All signals are PD times a function of T1 and T2, which is read from a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample

from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.physics.quantities import T1, T2

if TYPE_CHECKING:
    from torch import Tensor

    SeriesModel = Callable[[Tensor, Tensor, Tensor], Tensor]  # pd, t1, t2 ``(...)`` to images ``(n_images, ...)``

UNKNOWN = "unknown"  # protocol of LR maps of which nothing is known
N_ENTRIES = 192  # of the table along log T1 and log T2; linear interpolation is then exact to 3e-4 of a signal
DIFFERENCE = 1e-4  # of the logarithms, for derivatives in double precision
TISSUES = (  # PD, T1 and T2 in s of WM, GM, CSF and fat at 1.5 and 3 T, GM with CSF; weight
    (0.70, 0.55, 0.070, 1.0),
    (0.70, 0.90, 0.068, 1.0),
    (0.82, 0.90, 0.085, 1.0),
    (0.82, 1.40, 0.085, 1.0),
    (1.00, 2.60, 0.400, 0.5),
    (1.00, 4.00, 1.500, 0.5),
    (0.90, 0.35, 0.080, 0.2),
    (0.90, 1.80, 0.200, 0.5),
)
SPREAD = 0.2  # of the logarithms of T1 and T2 within a tissue


def generic_signals(pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    """Signals ``(3, ...)`` of maps from an unknown protocol: PD, PD exp(-1.5 s / T1) and PD exp(-80 ms / T2).

    They stand for density, recovery and decay at the times of tissue, which every fit of three maps must see.
    """
    return torch.stack([pd, pd * (-1.5 / t1).exp(), pd * (-0.08 / t2).exp()])


@dataclass(frozen=True, eq=False)
class LrSignals:
    """Components of the images of a mapping protocol as functions of maps.

    White noise of the images is white noise of the same level in the components. T1 and T2 outside the bounds of
    their quantities count as the nearest bound.
    """

    name: str
    components: Tensor  # (n_components, n_images), orthonormal rows
    table: Tensor  # (1, 3 n_components, n_entries, n_entries): components of PD 1, derivatives by log T1 and by log T2

    @property
    def n_components(self) -> int:
        """Number of volumes."""
        return len(self.components)

    def to(self, device: torch.device | str) -> LrSignals:
        """Return the same signals on a device."""
        return replace(self, components=self.components.to(device), table=self.table.to(device))

    def __call__(self, maps: Tensor) -> Tensor:
        """Components ``(n_components, ...)`` of maps PD, T1 and T2 ``(3, ...)``, times in s, in the unit of PD."""
        return self._read(self.table[:, : self.n_components], maps)

    def linearised(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Components ``(n_components, ...)`` and their derivatives by the log maps ``(n_components, 3, ...)``."""
        entries = self._read(self.table, maps)
        slope = entries.reshape(3, self.n_components, *maps.shape[1:]).movedim(0, 1)
        return slope[:, 0], slope

    def _read(self, table: Tensor, maps: Tensor) -> Tensor:
        """Entries of a table ``(1, n, ...)`` at T1 and T2 of maps ``(3, ...)``, times PD; ``(n, ...)``."""
        places = [_place(maps[i], bounds) for i, bounds in ((2, T2.bounds), (1, T1.bounds))]
        grid = torch.stack([place.flatten() for place in places], dim=-1)[None, None]
        entries: Tensor = grid_sample(table, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return entries.reshape(-1, *maps.shape[1:]) * maps[0]


def _place(times: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Places of times in s on a log axis on which the bounds are -1 and 1."""
    low, high = (math.log(bound) for bound in bounds)
    return (times.clamp(min=bounds[0]).log() - low) * (2 / (high - low)) - 1


def lr_signals(
    protocol: str | SeriesModel,
    n_components: int = 4,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LrSignals:
    """Components of the images of a protocol that tell the most about tissue.

    Parameters
    ----------
    protocol
        A key of `PROTOCOLS` for its usual settings, ``"unknown"`` for `generic_signals`, or a function of PD, T1 and
        T2 ``(...)``, times in s, that returns images ``(n_images, ...)`` proportional to PD, such as a protocol.
    n_components
        Largest number of components; there are no more than images.
    device, dtype
        Of the table. Maps must have both.

    Raises
    ------
    ValueError
        If there is no such protocol.
    """
    model = _model(protocol) if isinstance(protocol, str) else protocol
    name = protocol if isinstance(protocol, str) else getattr(protocol, "title", "protocol")
    components = principal_components(model, n_components)
    table = _table(model, components)
    return LrSignals(name, components.to(device, dtype), table.to(device, dtype))


def _model(name: str) -> SeriesModel:
    if name == UNKNOWN:
        return generic_signals
    if name not in PROTOCOLS:
        names = ", ".join((UNKNOWN, *PROTOCOLS))
        raise ValueError(f"the protocol of the maps must be one of {names}, but it is {name!r}.")
    return PROTOCOLS[name]()


def principal_components(model: SeriesModel, n_components: int) -> Tensor:
    """Orthonormal rows ``(n_components, n_images)`` with the most of the signals of tissues and of their derivatives.

    With derivatives by log T1 and log T2, at least as strong as signals, three components measure T1 and T2 of tissue
    nearly as well as all images; those of the signals alone leave T2 of white matter up to 1.7 times as noisy.
    """
    pd, t1, t2, weight = torch.tensor(TISSUES, dtype=torch.float64).T[:, :, None]
    offsets = torch.cartesian_prod(*[torch.tensor([-SPREAD, 0.0, SPREAD], dtype=torch.float64)] * 2)
    log_t1, log_t2 = t1.log() + offsets[:, 0], t2.log() + offsets[:, 1]
    samples = weight.sqrt() * pd * torch.stack(signals_and_slopes(model, log_t1, log_t2), dim=1)
    left, _, _ = torch.linalg.svd(samples.flatten(1), full_matrices=False)
    components: Tensor = left.T[:n_components]
    return components * _sign_of_largest(components)[:, None]


def _sign_of_largest(rows: Tensor) -> Tensor:
    """Sign of the entry with the largest magnitude in each row: the SVD leaves it open."""
    return rows.gather(1, rows.abs().argmax(1, keepdim=True))[:, 0].sign()


def _table(model: SeriesModel, components: Tensor) -> Tensor:
    """Components of PD 1 and their derivatives by log T1 and log T2, ``(1, 3 n, N_ENTRIES, N_ENTRIES)``."""
    axes = [
        torch.linspace(math.log(low), math.log(high), N_ENTRIES, dtype=torch.float64)
        for low, high in (T1.bounds, T2.bounds)
    ]
    images = signals_and_slopes(model, *torch.meshgrid(*axes, indexing="ij"))
    return torch.cat([torch.tensordot(components, each, dims=1) for each in images])[None]


def signals_and_slopes(model: SeriesModel, log_t1: Tensor, log_t2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(n_images, ...)`` of PD 1, and their derivatives by log T1 and by log T2."""

    def at(by_t1: float, by_t2: float) -> Tensor:
        return model(torch.ones_like(log_t1), (log_t1 + by_t1).exp(), (log_t2 + by_t2).exp())

    step = DIFFERENCE
    by_t1, by_t2 = at(step, 0) - at(-step, 0), at(0, step) - at(0, -step)
    return at(0, 0), by_t1 / (2 * step), by_t2 / (2 * step)
