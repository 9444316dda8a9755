"""Description of a run before it starts: what it will do, and how well its guides determine the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.wording import joined, size_text
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.physics.signals import signal_and_slope
from napari_swig_qmri.super_resolution.options import Options
from napari_swig_qmri.super_resolution.plan import RunPlan
from napari_swig_qmri.super_resolution.plan import plan as plan_run
from napari_swig_qmri.super_resolution.solver.gains import start_gains

if TYPE_CHECKING:
    from napari_swig_qmri.data.coercion import GuideLike, MapsLike, MaskLike
    from napari_swig_qmri.physics.signal_models import SignalModel

TYPICAL_TISSUES = {"WM": (0.69, 0.9, 0.07), "GM": (0.81, 1.4, 0.09), "CSF": (1.0, 4.0, 1.5)}  # PD, T1 s, T2 s at 3 T
TEXTURE = (0.02, 0.04, 0.05)  # standard deviation of log PD, T1 and T2 inside a tissue
UNMEASURED = (0.1, 0.3, 0.3)  # of their values where they were not measured
GUIDE_NOISE = 0.01  # relative to the signal of white matter
SEEN, PARTLY_SEEN = 0.75, 0.3  # fraction of the standard deviation that the guides remove
WORDS = ("well", "partly", "hardly")


@dataclass(frozen=True)
class Preflight:
    """What a run will do, or why it cannot start.

    Examples
    --------
    >>> from napari_swig_qmri import degrade, make_phantom, preflight
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> preflight(maps, guides).statements[0]
    'T1w: in place.'
    """

    statements: tuple[str, ...]  # one sentence each, empty if there are problems
    problems: tuple[str, ...]  # why the run cannot start
    seconds: float  # estimated duration
    memory: int  # bytes, estimated peak
    plan: RunPlan | None = field(default=None, compare=False)  # the run itself, if it can start
    sharpness: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # detail by map and tissue, see `WORDS`


def preflight(
    maps: MapsLike,
    guides: Sequence[GuideLike],
    options: Options = Options(),
    *,
    units: str | None = None,
    mask: MaskLike | None = None,
) -> Preflight:
    """Describe a run without starting it.

    Parameters
    ----------
    maps, guides, options, units, mask
        As for `super_resolve`.

    Returns
    -------
    Preflight
        What will happen, with estimates of time and memory; or the problem that the run would raise.

    Examples
    --------
    >>> from napari_swig_qmri import preflight
    >>> preflight([], []).problems
    ('no map was given: choose at least one PD, T1 or T2 map.',)
    """
    try:
        plan = plan_run(maps, guides, options, mask, units=units)
        return Preflight(describe(plan), (), plan.seconds, plan.memory, plan, _sharpness(plan))
    except (ValueError, FileNotFoundError) as error:
        return Preflight((), (str(error),), 0.0, getattr(error, "needed", 0))


def describe(plan: RunPlan) -> tuple[str, ...]:
    """Return what was assumed for a plan and what it will do, one sentence each."""
    lr_grid, hr_grid = plan.maps.grid, plan.hr_grid
    statements = [
        *plan.notices,
        *(verdict for verdict in plan.verdicts if verdict not in plan.notices),
        f"Maps {size_text(lr_grid.voxel_size)} mm become {size_text(hr_grid.voxel_size)} mm, "
        f"{' × '.join(str(n) for n in hr_grid.shape)} voxels.",
        f"Runs on {str(plan.device).upper()}.",
    ]
    if not plan.guides:
        return (*statements, "No guide: the maps are only interpolated, no detail is added.")
    titles = dict(zip(plan.maps.names, plan.maps.titles, strict=True))
    sharpness = {titles[name]: words for name, words in _sharpness(plan).items()}
    return (*statements, _gains(plan), *_unseen(sharpness, len(plan.guides)))


def _sharpness(plan: RunPlan) -> dict[str, dict[str, str]]:
    """`sharpness_of` the guides of a plan; empty without guides."""
    sequences = [guide.sequence for guide in plan.guides if guide.sequence is not None]
    return sharpness_of(sequences, plan.maps.names) if sequences else {}


def visible_share(
    sequences: Sequence[SignalModel], tissue: tuple[float, float, float], measured: Sequence[str] = tuple(QUANTITIES)
) -> tuple[float, ...]:
    """Fraction of the texture of PD, T1 and T2 in a tissue that the guides determine, from their Jacobian.

    1 - posterior standard deviation / prior standard deviation, for independent texture and 1 % noise in the guides.
    Quantities that were not `measured` have a wide prior in place of their texture.
    """
    spreads = [TEXTURE[i] if name in measured else UNMEASURED[i] for i, name in enumerate(QUANTITIES)]
    maps = torch.tensor(tissue).view(3, 1)
    reference = torch.tensor(TYPICAL_TISSUES["WM"]).view(3, 1)
    prior = torch.diag(torch.tensor(spreads).square().reciprocal())
    precision = prior.clone()
    for sequence in sequences:
        _, slope = signal_and_slope(sequence, maps)
        noise = GUIDE_NOISE * float(sequence(*reference).abs())
        precision += slope @ slope.T / noise**2
    spread = torch.linalg.inv(precision).diagonal().sqrt()
    return tuple((1 - spread / torch.tensor(spreads)).tolist())


def sharpness_of(
    sequences: Sequence[SignalModel], measured: Sequence[str] = tuple(QUANTITIES)
) -> dict[str, dict[str, str]]:
    """How well guides of these sequences determine the detail of each measured map.

    One of `WORDS` by quantity and tissue.
    """
    words: dict[str, dict[str, str]] = {name: {} for name in QUANTITIES if name in measured}
    for tissue, values in TYPICAL_TISSUES.items():
        for name, share in zip(QUANTITIES, visible_share(sequences, values, measured), strict=True):
            if name in words:
                words[name][tissue] = _word(share)
    return words


def _word(share: float) -> str:
    return WORDS[0 if share > SEEN else 1 if share > PARTLY_SEEN else 2]


def _unseen(sharpness: Mapping[str, Mapping[str, str]], n_guides: int) -> list[str]:
    """Sentence on the maps whose detail in white matter the guides hardly determine, if there are any."""
    unseen = [name for name, words in sharpness.items() if words["WM"] == WORDS[-1]]
    return [f"{joined(unseen)} detail in tissue comes mostly from the LR map{_remedy(n_guides)}."] if unseen else []


def _remedy(n_guides: int) -> str:
    if n_guides >= len(QUANTITIES):
        return ""
    return "; a FLAIR or PDw guide would fix it" if n_guides == 2 else "; more guides would add it"


def _gains(plan: RunPlan) -> str:
    """Sentence on the gains: those given, or first estimates."""
    names = [guide.name.split()[-1] for guide in plan.guides]
    if (gains := plan.options.gains) is not None:
        return f"Gains are given: {_listed(names, gains)}."
    estimates = start_gains(plan.problem) / plan.problem.gain_units
    return f"Gains found: {_listed(names, estimates.tolist())} (image values per unit of PD); the run checks them."


def _listed(names: Sequence[str], numbers: Sequence[float]) -> str:
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True))
