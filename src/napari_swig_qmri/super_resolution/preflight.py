"""What a run will do, in plain words, before it is started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.checks import check
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD
from napari_swig_qmri.super_resolution.solver.devices import BYTES_PER_VOXEL, choose_device, planes_of_a_slab
from napari_swig_qmri.super_resolution.solver.gains import start_gains
from napari_swig_qmri.super_resolution.solver.posterior import signal_and_slope
from napari_swig_qmri.super_resolution.solver.problem import check_guide, check_mask, choose_hr_grid, prepare

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import QuantitativeMaps, WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel

TISSUES = {"WM": (0.69, 0.9, 0.07), "GM": (0.81, 1.4, 0.09), "CSF": (1.0, 4.0, 1.5)}  # PD, T1 s, T2 s at 3 T
TEXTURE = (0.02, 0.04, 0.05)  # spread of log PD, T1 and T2 inside a tissue, what there is to see
GUIDE_NOISE = 0.01  # relative to the signal of white matter
SEEN, PARTLY_SEEN = 0.75, 0.3  # share of the spread that the guides take away
WORDS = ("well", "partly", "hardly")
VOLUMES = {
    "regression": 25,
    "posterior": 36,
    "network": 70,
}  # float32 volumes held at the same time beside guides, measured
SECONDS_PER_VOXEL = {"regression": 1.2e-6, "posterior": 3.5e-6, "network": 4.5e-6}  # HR voxel, two guides, two cores
VOLUMES_TO_ADAPT = 32  # more, measured
SECONDS_TO_ADAPT = 90.0  # for the steps, beside solving the problem once more


@dataclass(frozen=True)
class Preflight:
    """What a run will do, and why it cannot if there are problems."""

    statements: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: float
    memory: int  # bytes


def preflight(maps: QuantitativeMaps, guides: Sequence[WeightedImage], **options: Any) -> Preflight:
    """Describe a run of `pipeline.super_resolve` with the same arguments, without running it."""
    method = options.get("method", DEFAULT_METHOD)
    try:
        check(maps, guides, **options)
        device = choose_device(options.get("device", "auto"))
        hr_grid = choose_hr_grid(maps, guides, options.get("voxel_size"), options.get("reference"))
        check_mask(options.get("mask"), hr_grid)
        gains = _gains(maps, guides, options)
    except (ValueError, FileNotFoundError) as error:
        return Preflight((), (str(error),), 0.0, 0)
    n_voxels = int(np.prod(hr_grid.shape))
    n_volumes = VOLUMES[method] + 2 * len(guides) + (VOLUMES_TO_ADAPT if options.get("adapt") else 0)
    memory = 4 * n_voxels * n_volumes
    if method != "regression":
        n_planes = planes_of_a_slab(hr_grid.shape, device, options.get("memory_limit"))
        memory += BYTES_PER_VOXEL * n_planes * n_voxels // hr_grid.shape[0]
    there = machine_memory()
    if there is not None and memory > there:
        problem = (
            f"this needs about {memory / 1e9:.1f} GB of memory, but the machine has {there / 1e9:.1f} GB: choose a "
            "larger voxel size, the method regression or a larger machine."
        )
        return Preflight((), (problem,), 0.0, memory)
    adapting = SECONDS_TO_ADAPT + SECONDS_PER_VOXEL["posterior"] * n_voxels if options.get("adapt") else 0.0
    seconds = adapting + SECONDS_PER_VOXEL[method] * n_voxels * (1 + 0.25 * max(0, len(guides) - 2))
    statements = [
        f"LR {_size(maps.grid.voxel_size)} → HR {_size(hr_grid.voxel_size)} mm, "
        f"{' x '.join(str(n) for n in hr_grid.shape)} voxels.",
        *_grids(maps, guides, hr_grid),
        f"Runs on {str(device).upper()}.",
    ]
    if guides:
        statements.append(gains)
        statements += determination([guide.sequence for guide in guides if guide.sequence is not None], guides)
    else:
        statements.append("No guide: the maps are only interpolated, no detail is added.")
    return Preflight(tuple(statements), (), seconds, memory)


def machine_memory() -> int | None:
    """Bytes of memory this machine has, where it tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def visible_share(sequences: Sequence[SignalModel], tissue: tuple[float, float, float]) -> tuple[float, ...]:
    """Share of the spread of PD, T1 and T2 inside a tissue that the guides determine, from their Jacobian.

    1 - posterior standard deviation / prior standard deviation, for independent texture and 1 % noise in the guides.
    """
    maps = torch.tensor(tissue).view(3, 1)
    reference = torch.tensor(TISSUES["WM"]).view(3, 1)
    prior = torch.diag(torch.tensor(TEXTURE).square().reciprocal())
    precision = prior.clone()
    for sequence in sequences:
        _, slope = signal_and_slope(sequence, maps)
        noise = GUIDE_NOISE * float(sequence(*reference).abs())
        precision += slope @ slope.T / noise**2
    spread = torch.linalg.inv(precision).diagonal().sqrt()
    return tuple((1 - spread / torch.tensor(TEXTURE)).tolist())


def determination(sequences: Sequence[SignalModel], guides: Sequence[WeightedImage]) -> list[str]:
    """How well the guides determine each map in WM, GM and CSF: a heading, a line per map, what is not seen."""
    names = " + ".join(guide.name.split()[-1] for guide in guides)  # without the subject
    shares = zip(*(visible_share(sequences, values) for values in TISSUES.values()), strict=True)
    words = {name: [_word(share) for share in in_tissues] for name, in_tissues in zip(QUANTITIES, shares, strict=True)}
    lines = [f"HR detail from {names}, in white matter (WM), grey matter (GM) and fluid (CSF):"]
    lines += [f"{name}: {_where(in_tissues)}." for name, in_tissues in words.items()]
    unseen = [name for name, in_tissues in words.items() if in_tissues[0] == WORDS[-1]]  # WM comes first
    if unseen:
        remedy = _remedy(len(sequences))
        lines.append(f"{_joined(unseen)} detail in tissue comes mostly from the LR map{remedy}.")
    return lines


def _word(share: float) -> str:
    return WORDS[0 if share > SEEN else 1 if share > PARTLY_SEEN else 2]


def _where(words: Sequence[str]) -> str:
    """Where a map is well, partly and hardly determined, one word per tissue given: "well in WM and GM"."""
    found = {word: [tissue for tissue, said in zip(TISSUES, words, strict=True) if said == word] for word in WORDS}
    return ", ".join(f"{word} in {_joined(tissues)}" for word, tissues in found.items() if tissues)


def _joined(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _remedy(n_guides: int) -> str:
    if n_guides >= len(QUANTITIES):
        return ""
    return "; a FLAIR or PDw guide would fix it" if n_guides == 2 else "; more guides would add it"


def _size(edges: Sequence[float]) -> str:
    return " x ".join(f"{edge:.2f}".rstrip("0").rstrip(".") for edge in edges)


def _grids(maps: QuantitativeMaps, guides: Sequence[WeightedImage], hr_grid: Any) -> list[str]:
    moved = [guide.name for guide in guides if not guide.grid.is_aligned_with(hr_grid)]
    return [f"{', '.join(moved)} will be resampled to the HR grid."] if moved else []


def _gains(maps: QuantitativeMaps, guides: Sequence[WeightedImage], options: Mapping[str, Any]) -> str:
    """The gains that are given, or those that flat tissue shows in the guides on one grid."""
    grid = choose_hr_grid(maps, guides, None, options.get("reference"))
    ready = [guide for guide in guides if guide.grid.is_aligned_with(grid)]  # resampling takes seconds
    for guide in guides:
        if guide not in ready:
            check_guide(guide, maps.grid)
    mask = None if options.get("voxel_size") else options.get("mask")  # else it is on another grid
    problem = drained(prepare(maps, ready, grid, mask))
    found = start_gains(problem) / problem.gain_units
    if (gains := options.get("gains")) is not None:
        return f"Gains are given: {_listed([guide.name.split()[-1] for guide in guides], gains)}."
    names = [guide.name.split()[-1] for guide in ready]
    return f"Gains found: {_listed(names, found.tolist())} (image values per unit of PD); the run checks them."


def _listed(names: Sequence[str], numbers: Sequence[float]) -> str:
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(names, numbers, strict=True))
