"""What PD, T1 and T2 that were not measured are likely to be, given those that were, from the values of tissues.

The tissues of a head, and mixtures of grey matter with CSF, are Gaussians of log PD, log T1 and log T2, with the ranges
that simulated subjects are drawn from (`simulation.tissue_maps`). Given the measured maps of a voxel each of them has a
probability, and the quantities that were not measured a mean and a variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_swig_qmri.simulation.tissue_maps import FIELD_STRENGTHS, TISSUE_RANGES

SHARES = {  # of the volume of a head, roughly
    "white": 1.0,
    "grey": 1.0,
    "deep grey": 0.2,
    "csf": 0.3,
    "fat": 0.2,
    "muscle": 0.2,
    "bone": 0.1,
    "dura": 0.05,
    "blood": 0.05,
}
FLUID_SHARES = (0.2, 0.4, 0.6, 0.8)  # of CSF in the mixtures
MIXED = 0.05  # share of the volume that each mixture has
SPREAD = (0.1, 0.1, 0.1)  # added standard deviation of log values in a voxel: receive field, disease, errors of methods
R2_PRIME = 2.5  # 1/(s T), usual R2' of tissue and fluid
R2_PRIME_VARIES = 0.6  # its relative standard deviation
VOXELS_THAT_COUNT = 30  # independent voxels that a volume of maps is worth when the field strength is judged
UNLIKELY = 0.01  # probability below which a field strength is left out
N_TOGETHER = 2**17  # voxels that are processed at a time
N_JUDGED = 20_000  # voxels that the field strength is judged by


@dataclass(frozen=True, eq=False, kw_only=True)
class TissuePrior:
    """Mixture of Gaussians of log PD (relative to water), log T1 and log T2 (in s)."""

    means: Tensor  # (component, 3)
    deviations: Tensor  # (component, 3)
    log_weights: Tensor  # (component,)

    def moments(self, log_maps: Tensor, measured: Sequence[bool]) -> tuple[Tensor, Tensor]:
        """Mean and variance ``(3, ...)`` of log maps ``(3, ...)`` given the quantities that were measured.

        Measured quantities have their own value as mean, and no variance.
        """
        means, variances = log_maps.clone(memory_format=torch.contiguous_format), torch.zeros_like(log_maps)
        unknown = [i for i, known in enumerate(measured) if not known]
        squares = (self.means.square() + self.deviations.square()).T
        for mean, variance in zip(_parts(means), _parts(variances), strict=True):
            share = self._log_shares(mean, measured).softmax(0)
            for i in unknown:
                mean[i] = self.means[:, i] @ share
                variance[i] = squares[i] @ share - mean[i].square()
        return means, variances

    def log_density(self, log_maps: Tensor, measured: Sequence[bool]) -> Tensor:
        """Log density of the measured quantities of log maps ``(3, n)``, ``(n,)``."""
        return self._log_shares(log_maps, measured).logsumexp(0)

    def _log_shares(self, log_maps: Tensor, measured: Sequence[bool]) -> Tensor:
        """Log of weight times density of the measured quantities, ``(component, n)``."""
        total = self.log_weights[:, None].expand(-1, log_maps.shape[1]).clone()
        for value, mean, deviation, known in zip(log_maps, self.means.T, self.deviations.T, measured, strict=True):
            if known:
                total -= ((value - mean[:, None]) / deviation[:, None]).square() / 2 + deviation[:, None].log()
        return total


def tissue_prior(log_maps: Tensor, measured: Sequence[bool], *, of_t2_star: bool = False) -> TissuePrior:
    """Prior of tissues at the field strength that measured log maps ``(3, n)`` of tissue speak for.

    Where they do not tell 1.5, 3 and 7 T apart, it has the tissues at all that are possible. With `of_t2_star` T2
    stands for T2*, as in gradient echoes.
    """
    sample = log_maps[:, :: max(1, log_maps.shape[1] // N_JUDGED)]
    priors = [_prior_at(index, log_maps.dtype) for index in range(len(FIELD_STRENGTHS))]
    if of_t2_star:
        priors = [_with_t2_star(prior, tesla) for prior, tesla in zip(priors, FIELD_STRENGTHS, strict=True)]
    evidence = torch.stack([prior.log_density(sample, measured).mean() for prior in priors])
    chances = (VOXELS_THAT_COUNT * evidence).softmax(0).tolist()
    kept = [(prior, chance) for prior, chance in zip(priors, chances, strict=True) if chance > UNLIKELY]
    return TissuePrior(
        means=torch.cat([prior.means for prior, _ in kept]),
        deviations=torch.cat([prior.deviations for prior, _ in kept]),
        log_weights=torch.cat([prior.log_weights + math.log(chance) for prior, chance in kept]),
    )


def _prior_at(index: int, dtype: torch.dtype) -> TissuePrior:
    """Prior at one of `FIELD_STRENGTHS`."""
    ranges = {name: (pd, t1[index], t2[index]) for name, (pd, t1, t2) in TISSUE_RANGES.items()}
    logs = {name: torch.tensor(ranges[name], dtype=dtype).log() for name in SHARES}  # (3, 2) each
    means = [each.mean(1) for each in logs.values()]
    deviations = [(each[:, 1] - each[:, 0]) / math.sqrt(12) for each in logs.values()]
    grey, fluid = logs["grey"].mean(1), logs["csf"].mean(1)
    means += [_mixture(grey, fluid, share) for share in FLUID_SHARES]
    wide = [torch.maximum(*(logs[name][:, 1] - logs[name][:, 0] for name in ("grey", "csf"))) / math.sqrt(12)]
    weights = torch.tensor([*SHARES.values(), *[MIXED] * len(FLUID_SHARES)], dtype=dtype)
    spread = torch.tensor(SPREAD, dtype=dtype)
    return TissuePrior(
        means=torch.stack(means),
        deviations=torch.hypot(torch.stack(deviations + wide * len(FLUID_SHARES)), spread),
        log_weights=weights.log(),
    )


def _with_t2_star(prior: TissuePrior, field_strength: float) -> TissuePrior:
    """Prior with T2* in place of T2: 1/T2* = 1/T2 + R2', with the usual R2' of a head and its variation."""
    means, deviations = prior.means.clone(), prior.deviations.clone()
    rate = R2_PRIME * field_strength
    means[:, 2] = -((-prior.means[:, 2]).exp() + rate).log()
    t2_star = means[:, 2].exp()
    share = t2_star / prior.means[:, 2].exp()  # of 1/T2 in 1/T2*
    deviations[:, 2] = torch.hypot(share * prior.deviations[:, 2], R2_PRIME_VARIES * rate * t2_star)
    return TissuePrior(means=means, deviations=deviations, log_weights=prior.log_weights)


def _mixture(tissue: Tensor, fluid: Tensor, share: float) -> Tensor:
    """Log values ``(3,)`` of a voxel with a share of fluid: PD is added, and rates are averaged with PD as weight."""
    log_pd = torch.stack([tissue[0] + math.log(1 - share), fluid[0] + math.log(share)])
    pd = log_pd.logsumexp(0)
    rates = [(log_pd - torch.stack([tissue[i], fluid[i]])).logsumexp(0) - pd for i in (1, 2)]
    return torch.stack([pd, *(-rate for rate in rates)])


def _parts(log_maps: Tensor) -> Iterator[Tensor]:
    """Views ``(3, n)`` of contiguous log maps ``(3, ...)``, some voxels each."""
    flat = log_maps.view(len(log_maps), -1)
    for first in range(0, flat.shape[1], N_TOGETHER):
        yield flat[:, first : first + N_TOGETHER]
