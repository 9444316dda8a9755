"""Signals that LR maps were fitted to, reduced to a few components that are quick to compute and to differentiate.

A scanner truncates the images of a mapping protocol and fits maps to them. Where a voxel holds tissue and CSF, these
maps are no averages of HR maps, but the images are averages of HR images. LR maps are therefore compared with HR maps
through the images of their protocol. An SVD over the range of tissues, partial volumes included, reduces the images to
the components with the most signal. All signals are PD times a function of T1 and T2, which is read from a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample

from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.physics.quantities import T1, T2

if TYPE_CHECKING:
    from torch import Tensor

    Protocol = Callable[[Tensor, Tensor, Tensor], Tensor]  # pd, t1, t2 ``(...)`` to images ``(n_images, ...)``

UNKNOWN = "unknown"  # protocol of LR maps of which nothing is known
N_ENTRIES = 192  # of the table along log T1 and log T2; interpolation is then exact to some 1e-3 of a signal
DIFFERENCE = 1e-4  # of the logarithms, for derivatives in double precision
TISSUES = (  # PD, T1 and T2 in s of white matter, grey matter, CSF and fat at 1.5 and 3 T; weight
    (0.70, 0.55, 0.070, 1.0),
    (0.70, 0.90, 0.068, 1.0),
    (0.82, 0.90, 0.085, 1.0),
    (0.82, 1.40, 0.085, 1.0),
    (1.00, 2.60, 0.400, 0.5),
    (1.00, 4.00, 1.500, 0.5),
    (0.90, 0.35, 0.080, 0.2),
)
SPREAD = 0.2  # of the logarithms of T1 and T2 within a tissue
SHARES = (0.25, 0.5, 0.75)  # of the first tissue in voxels that hold two


def generic_signals(pd: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    """Signals ``(3, ...)`` of maps from an unknown protocol: PD, PD exp(-1.5 s / T1) and PD exp(-80 ms / T2).

    They stand for density, recovery and decay at the times of tissue, which every fit of three maps must see.
    """
    return torch.stack([pd, pd * (-1.5 / t1).exp(), pd * (-0.08 / t2).exp()])


PROTOCOLS: dict[str, Protocol] = {UNKNOWN: generic_signals, "mupa-zte": MupaZte()}


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

    def __call__(self, maps: Tensor) -> Tensor:
        """Components ``(n_components, ...)`` of maps PD, T1 and T2 ``(3, ...)``, times in s, in the unit of PD."""
        return self._read(self.table[:, : self.n_components], maps)

    def linearised(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Components ``(n_components, ...)`` and their derivatives by the log maps ``(n_components, 3, ...)``."""
        slope = self._read(self.table, maps).unflatten(0, (3, self.n_components)).movedim(0, 1)
        return slope[:, 0], slope

    def _read(self, table: Tensor, maps: Tensor) -> Tensor:
        """Entries of a table ``(1, n, ...)`` at T1 and T2 of maps ``(3, ...)``, times PD; ``(n, ...)``."""
        places = [_place(maps[i], bounds) for i, bounds in ((2, T2.bounds), (1, T1.bounds))]
        grid = torch.stack([place.flatten() for place in places], dim=-1)[None, None]
        entries = grid_sample(table, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return entries[0, :, 0].unflatten(1, maps.shape[1:]) * maps[0]


def _place(times: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Places of times in s on a log axis on which the bounds are -1 and 1."""
    low, high = (math.log(bound) for bound in bounds)
    return (times.clamp(min=bounds[0]).log() - low) * (2 / (high - low)) - 1


def lr_signals(
    protocol: str | Protocol,
    n_components: int = 3,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LrSignals:
    """Components of the images of a protocol with the most signal over tissue.

    Parameters
    ----------
    protocol
        A key of `PROTOCOLS`, or a function of PD, T1 and T2 ``(...)``, times in s, that returns images
        ``(n_images, ...)`` proportional to PD.
    n_components
        Largest number of components; there are no more than images.
    device, dtype
        Of the table. Maps must have both.

    Raises
    ------
    ValueError
        If there is no such protocol.
    """
    if isinstance(protocol, str) and protocol not in PROTOCOLS:
        raise ValueError(f"the protocol of the maps must be one of {', '.join(PROTOCOLS)}, but it is {protocol!r}.")
    model = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
    name = protocol if isinstance(protocol, str) else getattr(protocol, "title", "protocol")
    components = principal_components(model, n_components)
    table = _table(model, components)
    return LrSignals(name, components.to(device, dtype), table.to(device, dtype))


def principal_components(model: Protocol, n_components: int) -> Tensor:
    """Orthonormal rows ``(n_components, n_images)`` that hold the most signal of tissues and of their mixtures."""
    tissues, weights = _tissues()
    images = model(*tissues)  # (n_images, tissue, within it)
    pairs = list(combinations(range(images.shape[1]), 2))
    mixed = [share * images[:, a] + (1 - share) * images[:, b] for (a, b), share in product(pairs, SHARES)]
    of_pairs = [weights[a] * weights[b] / len(pairs) for (a, b), _ in product(pairs, SHARES)]
    samples = torch.cat([images * weights[:, None].sqrt(), torch.stack(_scaled(mixed, of_pairs), dim=1)], dim=1)
    left, _, _ = torch.linalg.svd(samples.flatten(1), full_matrices=False)
    components = left.T[:n_components]
    return components * _sign_of_largest(components)[:, None]


def _scaled(images: Iterable[Tensor], weights: Iterable[Tensor]) -> list[Tensor]:
    return [image * weight.sqrt() for image, weight in zip(images, weights, strict=True)]


def _tissues() -> tuple[Tensor, Tensor]:
    """PD, T1 and T2 in s ``(3, tissue, 9)``, varied within each tissue, and the weight of each tissue."""
    centres = torch.tensor(TISSUES, dtype=torch.float64)
    offsets = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * 2).T
    varied = centres.T[1:3, :, None] * (SPREAD * offsets[:, None]).exp()
    return torch.cat([centres.T[:1, :, None].expand(1, -1, 9), varied]), centres[:, 3]


def _sign_of_largest(rows: Tensor) -> Tensor:
    """Sign of the entry with the largest magnitude in each row: the SVD leaves it open."""
    return rows.gather(1, rows.abs().argmax(1, keepdim=True))[:, 0].sign()


def _table(model: Protocol, components: Tensor) -> Tensor:
    """Components of PD 1 and their derivatives by log T1 and log T2, ``(1, 3 n, N_ENTRIES, N_ENTRIES)``."""
    axes = [
        torch.linspace(math.log(low), math.log(high), N_ENTRIES, dtype=torch.float64)
        for low, high in (T1.bounds, T2.bounds)
    ]
    log_t1, log_t2 = torch.meshgrid(*axes, indexing="ij")

    def at(by_t1: float, by_t2: float) -> Tensor:
        images = model(torch.ones_like(log_t1), (log_t1 + by_t1).exp(), (log_t2 + by_t2).exp())
        return torch.tensordot(components, images, dims=1)

    step = DIFFERENCE
    by_t1, by_t2 = at(step, 0) - at(-step, 0), at(0, step) - at(0, -step)
    return torch.cat([at(0, 0), by_t1 / (2 * step), by_t2 / (2 * step)])[None]
