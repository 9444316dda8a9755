"""Which layers to propose: decided from what each layer says it is, never from its voxels."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_GUIDES = 5

MAP_SUFFIXES = {
    "PD": ("PDmap", "S0map", "M0map"),
    "T1": ("T1map", "R1map"),
    "T2": ("T2map", "R2map"),
}
GUIDE_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "UNIT1", "inplaneT1", "inplaneT2")

# For layers without a suffix, in any case, between separators. A bare "T1" anywhere in a longer name could
# as well be a weighted image, so it counts only as the whole name.
MAP_NAMES = {
    "PD": r"pd[ _-]?map|proton[ _-]?density|m0|s0|^((lr|sr)[ _-])?pd$",
    "T1": r"t1[ _-]?map|r1[ _-]?map|qt1|r1|^((lr|sr)[ _-])?t1$",
    "T2": r"t2[ _-]?map|r2[ _-]?map|qt2|r2|^((lr|sr)[ _-])?t2$",
}
GUIDE_NAMES = r"t1[ _-]?w(eighted)?|t2[ _-]?w(eighted)?|pd[ _-]?w(eighted)?|flair|mp2?rage|uni|spgr|b?ssfp|psir|stir|dir"


@dataclass(frozen=True)
class LayerFacts:
    """What is known about one image layer without reading its voxels."""

    name: str
    suffix: str | None = None  # BIDS suffix, None if unknown
    shape: tuple[int, ...] = ()
    voxel_volume: float = 1.0  # mm^3
    position: tuple[float, ...] = ()  # of its frame, rounded; equal for layers on one grid
    run: int | None = None  # number of the super-resolution run that made it, None for measured layers
    part: str | None = None  # what a run made it as: "maps", "lr_residual", ...


def choose_maps(layers: list[LayerFacts]) -> dict[str, int]:
    """Index of the layer to propose for each of PD, T1 and T2; quantities without one are left out.

    Measured layers only. Of several candidates the coarsest wins, for these are the maps to
    resolve; the maps that share its grid come with it.
    """
    measured = [(index, facts) for index, facts in enumerate(layers) if facts.run is None]
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
    volumes = [index for index, facts in enumerate(layers) if facts.run is None and len(facts.shape) == 3]
    guides = [index for index in volumes if is_guide(layers[index])]
    return sorted(guides, key=lambda index: layers[index].suffix is None)[:MAX_GUIDES]


def map_of(facts: LayerFacts) -> str | None:
    """PD, T1 or T2 if the layer holds such a map by its suffix or, without one, by its name."""
    if facts.suffix is not None:
        return next((name for name, suffixes in MAP_SUFFIXES.items() if facts.suffix in suffixes), None)
    return next((name for name, pattern in MAP_NAMES.items() if _stands_in(pattern, facts.name)), None)


def is_guide(facts: LayerFacts) -> bool:
    """Whether the layer is a weighted image by its suffix or, without one, by its name."""
    if facts.suffix is not None:
        return facts.suffix in GUIDE_SUFFIXES
    return _stands_in(GUIDE_NAMES, facts.name)


@dataclass(frozen=True, eq=False)
class MapSet:
    """PD, T1 and T2 layers on one grid."""

    label: str  # LR, SR, SR run 2, maps
    layers: dict[str, int]  # quantity name -> index of its layer


def find_map_sets(layers: list[LayerFacts]) -> list[MapSet]:
    """Every complete set of PD, T1 and T2 maps on one grid, measured ones first."""
    grouped: dict[tuple[object, ...], dict[str, int]] = {}
    for index, facts in enumerate(layers):
        name = map_of(facts)
        if name is None or len(facts.shape) != 3 or (facts.run is not None and facts.part != "maps"):
            continue
        repeat = 0
        while name in grouped.get((facts.run, facts.shape, facts.position, repeat), {}):
            repeat += 1
        grouped.setdefault((facts.run, facts.shape, facts.position, repeat), {})[name] = index
    complete = [indices for indices in grouped.values() if len(indices) == len(MAP_SUFFIXES)]
    complete.sort(key=lambda indices: layers[indices["T1"]].run or 0)
    finest = min((layers[indices["T1"]].voxel_volume for indices in complete), default=0.0)
    return [MapSet(_set_label(layers[indices["T1"]], finest), indices) for indices in complete]


def _set_label(facts: LayerFacts, finest: float) -> str:
    if facts.run is None:
        return "LR" if facts.voxel_volume > 1.05 * finest else "maps"
    return "SR" if facts.run == 1 else f"SR run {facts.run}"


def _on_one_grid(one: LayerFacts, other: LayerFacts) -> bool:
    return (one.shape, one.position) == (other.shape, other.position)


def _stands_in(pattern: str, name: str) -> bool:
    return re.search(rf"(?<![a-z0-9])({pattern})(?![a-z0-9])", name.lower()) is not None
