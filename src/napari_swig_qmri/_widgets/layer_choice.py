"""Which layers to propose: decided from what each layer says it is, never from its voxels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count

from napari_swig_qmri.bids import Evidence, find_suffix
from napari_swig_qmri.conversion import T2STAR_SUFFIXES

MAX_GUIDES = 5

MAP_SUFFIXES = {
    "PD": ("PDmap", "S0map", "M0map"),
    "T1": ("T1map", "R1map"),
    "T2": ("T2map", "R2map"),
}
_MEASUREMENTS = re.compile(r"(?<![a-z0-9])TB1(?:AFI|DAM|EPI|RFM|SRGE|TFL)(?![a-z0-9])", re.IGNORECASE)
T2STAR = "T2*"  # name of a T2* map in a set
GUIDE_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "STIR", "UNIT1", "PDT2", "inplaneT1", "inplaneT2", "IRT1")


@dataclass(frozen=True)
class LayerFacts:
    """What is known about one image layer without reading its voxels."""

    name: str
    suffix: str | None = None  # BIDS suffix, None if unknown
    shape: tuple[int, ...] = ()
    voxel_volume: float = 1.0  # mm^3
    position: tuple[float, ...] = ()  # of its frame, rounded; equal for layers on one grid
    is_synthetic: bool = False  # super-resolved or synthesised by this plugin, now or before it was saved
    run: int = 1  # number of the run that made it, if it was one


def choose_maps(layers: list[LayerFacts]) -> dict[str, int]:
    """Index of the layer to propose for each of PD, T1 and T2; quantities without one are left out.

    Measured layers only. Of several candidates the coarsest wins, for these are the maps to
    resolve; the maps that share its grid come with it.
    """
    measured = [(index, facts) for index, facts in enumerate(layers) if not facts.is_synthetic]
    found = {
        name: [index for index, facts in measured if map_of(facts) == name and len(facts.shape) == 3]
        for name in MAP_SUFFIXES
    }
    every = [index for candidates in found.values() for index in candidates]
    if not every:
        return {}
    coarsest = max(every, key=lambda index: layers[index].voxel_volume)
    chosen = {}
    for name, candidates in found.items():
        beside = [index for index in candidates if _on_one_grid(layers[index], layers[coarsest])]
        if beside or candidates:
            chosen[name] = (beside or candidates)[0]
    return chosen


def choose_guides(layers: list[LayerFacts]) -> list[int]:
    """Indices of the measured weighted images, by suffix first and then by name; at most five."""
    volumes = [index for index, facts in enumerate(layers) if not facts.is_synthetic and len(facts.shape) == 3]
    guides = [index for index in volumes if is_guide(layers[index])]
    return sorted(guides, key=lambda index: layers[index].suffix is None)[:MAX_GUIDES]


def map_of(facts: LayerFacts) -> str | None:
    """PD, T1 or T2 if the layer holds such a map by its suffix or, without one, by its name."""
    suffix = _suffix(facts)
    return next((name for name, suffixes in MAP_SUFFIXES.items() if suffix in suffixes), None)


def is_guide(facts: LayerFacts) -> bool:
    """Whether the layer is a weighted image by its suffix or, without one, by its name."""
    return _suffix(facts) in GUIDE_SUFFIXES


def _suffix(facts: LayerFacts) -> str | None:
    if facts.is_synthetic:  # its name may be that of a residual
        return facts.suffix
    return facts.suffix or find_suffix(Evidence(stem=facts.name))[0]


@dataclass(frozen=True, eq=False)
class MapSet:
    """T1 and any of PD, T2 and T2* as layers on one grid."""

    label: str  # LR, SR, SR run 2, maps, T1 only
    layers: dict[str, int]  # quantity name -> index of its layer

    @property
    def is_complete(self) -> bool:
        """Whether PD, T1 and T2 are there."""
        return self.layers.keys() >= MAP_SUFFIXES.keys()


def find_map_sets(layers: list[LayerFacts]) -> list[MapSet]:
    """Every set of maps on one grid that has a T1: complete ones first, and of these the measured ones first."""
    grouped: dict[tuple[object, ...], dict[str, int]] = {}
    for index, facts in enumerate(layers):
        name = map_of(facts)
        if name is None or len(facts.shape) != 3:
            continue
        place = (facts.is_synthetic, facts.run, facts.shape, facts.position)
        repeat = next(n for n in count() if name not in grouped.get((*place, n), {}))
        grouped.setdefault((*place, repeat), {})[name] = index
    found = [indices for indices in grouped.values() if "T1" in indices]
    partial = [indices for indices in found if len(indices) < len(MAP_SUFFIXES)]
    complete = [indices for indices in found if len(indices) == len(MAP_SUFFIXES)]
    complete.sort(key=lambda indices: (layers[indices["T1"]].is_synthetic, layers[indices["T1"]].run))
    finest = min((layers[indices["T1"]].voxel_volume for indices in complete), default=0.0)
    labels = [_set_label(layers[indices["T1"]], finest) for indices in complete]
    partial = [indices | _t2star_beside(layers, indices["T1"]) for indices in partial]
    labels += [f"{', '.join(name for name in (*MAP_SUFFIXES, T2STAR) if name in indices)} only" for indices in partial]
    complete = [indices | _t2star_beside(layers, indices["T1"]) for indices in complete]
    return [MapSet(label, indices) for label, indices in zip(labels, [*complete, *partial], strict=True)]


def stray_maps(layers: list[LayerFacts], sets: list[MapSet]) -> str:
    """One sentence on the maps that belong to no set because they lie elsewhere or are several in one layer."""
    used = {index for found in sets for index in found.layers.values()}
    known = [facts for index, facts in enumerate(layers) if index not in used and (map_of(facts) or _is_t2star(facts))]
    stacks = [facts.name for facts in known if len(facts.shape) > 3]
    elsewhere = [facts.name for facts in known if len(facts.shape) == 3]
    if stacks:
        return f"{', '.join(stacks)}: several volumes in one file; save one file per map."
    if elsewhere and sets and not any(found.is_complete for found in sets):
        first = layers[sets[0].layers["T1"]].name
        return f"{', '.join(elsewhere)}: not on the voxels of {first}, so no contrast uses both; resample one of them."
    return ""


def _t2star_beside(layers: list[LayerFacts], other: int) -> dict[str, int]:
    """The first measured T2* map on the grid of another layer, if there is one."""
    for index, facts in enumerate(layers):
        if _is_t2star(facts) and _on_one_grid(facts, layers[other]):
            return {T2STAR: index}
    return {}


def is_transmit_map(facts: LayerFacts) -> bool:
    """Whether the layer is a map of B1+ by its suffix or, without one, by its name."""
    return _suffix(facts) == "TB1map"


def is_transmit_measurement(facts: LayerFacts) -> bool:
    """Whether the layer is called as BIDS calls what B1+ is measured by, mostly angles in degrees."""
    return not facts.is_synthetic and _MEASUREMENTS.search(facts.name) is not None


def _is_t2star(facts: LayerFacts) -> bool:
    return _suffix(facts) in T2STAR_SUFFIXES


def _set_label(facts: LayerFacts, finest: float) -> str:
    if not facts.is_synthetic:
        return "LR" if facts.voxel_volume > 1.05 * finest else "maps"
    return "SR" if facts.run == 1 else f"SR run {facts.run}"


def _on_one_grid(one: LayerFacts, other: LayerFacts) -> bool:
    return (one.shape, one.position) == (other.shape, other.position)
