"""Which layers to propose as maps, guides and masks, from their names and records, without reading voxels."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES
from napari_swig_qmri.data.recognition.acquisition import is_enhanced
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.super_resolution.options import MAX_GUIDES

if TYPE_CHECKING:
    from collections.abc import Iterable

MAP_SUFFIXES = {
    "PD": ("PDmap", "S0map", "M0map"),
    "T1": ("T1map", "R1map"),
    "T2": ("T2map", "R2map"),
}
_MEASUREMENTS = re.compile(r"(?<![a-z0-9])TB1(?:AFI|DAM|EPI|RFM|SRGE|TFL)(?![a-z0-9])", re.IGNORECASE)
T2STAR = "T2*"  # key of a T2* map in a set
GUIDE_SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "STIR", "UNIT1", "PDT2", "inplaneT1", "inplaneT2", "IRT1")


@dataclass(frozen=True)
class LayerFacts:
    """Properties of an image layer that are known without reading its voxels."""

    name: str
    suffix: str | None = None  # BIDS suffix, None if unknown
    shape: tuple[int, ...] = ()
    voxel_volume: float = 1.0  # mm^3
    position: tuple[float, ...] = ()  # transform of the layer, rounded; equal for layers on one grid
    is_synthetic: bool = False  # super-resolved or synthesised by this plugin, also if read from a file
    run: int = 1  # number of the run that made the layer

    @property
    def subject(self) -> tuple[str, str]:
        """Subject and session from BIDS entities in the name, such as ``("sub-01", "")``; each may be empty."""
        matches = (re.search(rf"(?<![A-Za-z0-9]){each}-[A-Za-z0-9]+", self.name) for each in ("sub", "ses"))
        subject, session = (match[0] if match else "" for match in matches)
        return subject, session


def choose_maps(layers: list[LayerFacts]) -> dict[str, int]:
    """Index of the layer to propose for each of PD, T1 and T2; quantities without a layer are left out.

    Only measured layers are proposed. Of several candidates the one with the largest voxels is taken, because the
    maps to resolve are coarse, together with the maps on its grid.
    """
    measured = [(index, facts) for index, facts in enumerate(layers) if not facts.is_synthetic]
    candidates = {
        name: [index for index, facts in measured if map_of(facts) == name and len(facts.shape) == 3]
        for name in MAP_SUFFIXES
    }
    all_candidates = [index for indices in candidates.values() for index in indices]
    if not all_candidates:
        return {}
    coarsest = max(all_candidates, key=lambda index: layers[index].voxel_volume)
    chosen = {}
    for name, indices in candidates.items():
        on_its_grid = [index for index in indices if _on_one_grid(layers[index], layers[coarsest])]
        if indices:
            chosen[name] = (on_its_grid or indices)[0]
    return chosen


def choose_guides(layers: list[LayerFacts]) -> list[int]:
    """Indices of at most five measured weighted images; those with a BIDS suffix come first."""
    volumes = [index for index, facts in enumerate(layers) if not facts.is_synthetic and len(facts.shape) == 3]
    guides = [index for index in volumes if is_guide(layers[index]) and not is_enhanced(layers[index].name)]
    return sorted(guides, key=lambda index: layers[index].suffix is None)[:MAX_GUIDES]


def map_of(facts: LayerFacts) -> str | None:
    """PD, T1 or T2 if the layer is such a map according to its suffix or, without one, its name; otherwise None."""
    suffix = _suffix(facts)
    return next((name for name, suffixes in MAP_SUFFIXES.items() if suffix in suffixes), None)


def kind_of(facts: LayerFacts) -> str:
    """PD, T1, T2, or another BIDS suffix; empty if unknown."""
    return map_of(facts) or _suffix(facts) or ""


def are_alike(kind: str, other: str) -> bool:
    """Whether two kinds of `kind_of` can be compared: equal ones, or an unknown one with a weighted image."""
    return kind == other or (not (kind and other) and kind + other in GUIDE_SUFFIXES)


def is_guide(facts: LayerFacts) -> bool:
    """Whether the layer is a weighted image according to its suffix or, without one, its name."""
    return _suffix(facts) in GUIDE_SUFFIXES


def _suffix(facts: LayerFacts) -> str | None:
    if facts.is_synthetic:  # the name may be that of a residual, such as "T1 LR residual"
        return facts.suffix
    return facts.suffix or find_suffix(Evidence(stem=facts.name))[0]


@dataclass(frozen=True, eq=False)
class MapSet:
    """T1 and any of PD, T2 and T2* as layers on one grid."""

    label: str  # LR, SR, SR run 2, maps or T1 only; if these are not unique, sub-01 maps or maps 2
    layers: dict[str, int]  # quantity -> index of its layer

    @property
    def is_complete(self) -> bool:
        """Whether the set has PD, T1 and T2."""
        return self.layers.keys() >= MAP_SUFFIXES.keys()


def find_map_sets(layers: list[LayerFacts]) -> list[MapSet]:
    """Sets of maps on one grid with a T1 map. Complete sets come first, and measured ones among these."""
    grouped: dict[tuple[object, ...], list[dict[str, int]]] = {}
    for index, facts in enumerate(layers):
        name = map_of(facts)
        if name is None or len(facts.shape) != 3:
            continue
        sets = grouped.setdefault((facts.is_synthetic, facts.run, facts.shape, facts.position), [])
        _put(sets, name, index, layers)
    with_t1 = [indices for sets in grouped.values() for indices in sets if "T1" in indices]
    partial = [indices for indices in with_t1 if len(indices) < len(MAP_SUFFIXES)]
    complete = [indices for indices in with_t1 if len(indices) == len(MAP_SUFFIXES)]
    complete.sort(key=lambda indices: (layers[indices["T1"]].is_synthetic, layers[indices["T1"]].run))
    finest = min((layers[indices["T1"]].voxel_volume for indices in complete), default=0.0)
    labels = [_set_label(layers[indices["T1"]], finest) for indices in complete]
    for sets in grouped.values():
        _add_t2star(sets, layers)
    labels += [f"{', '.join(name for name in (*MAP_SUFFIXES, T2STAR) if name in indices)} only" for indices in partial]
    return _with_unique_labels([MapSet(*each) for each in zip(labels, [*complete, *partial], strict=True)], layers)


def _put(sets: list[dict[str, int]], name: str, index: int, layers: list[LayerFacts]) -> None:
    """Put a layer into the first set of its subject that lacks such a map, otherwise into a new set."""
    for each in sets:
        if name not in each and _of_one_subject(layers, [*each.values(), index]):
            each[name] = index
            return
    sets.append({name: index})


def _add_t2star(sets: list[dict[str, int]], layers: list[LayerFacts]) -> None:
    """Assign the T2* maps on a grid to the sets on it, in order, each to at most one set.

    A set never gets a T2* map of another subject. A set without a subject gets no T2* map if the maps on its grid are
    of several subjects.
    """
    with_t1 = [each for each in sets if "T1" in each]
    if not with_t1:
        return
    t1 = layers[with_t1[0]["T1"]]
    unassigned = [index for index, facts in enumerate(layers) if _is_t2star(facts) and _on_one_grid(facts, t1)]
    for each in with_t1:
        candidates = [index for index in unassigned if _of_one_subject(layers, [*each.values(), index])]
        if candidates and _of_one_subject(layers, candidates):
            each[T2STAR] = candidates[0]
            unassigned.remove(candidates[0])


def _of_one_subject(layers: list[LayerFacts], indices: Iterable[int]) -> bool:
    """Whether no two layers name different subjects or sessions."""
    subjects = [layers[index].subject for index in indices]
    return all(len({each[part] for each in subjects} - {""}) <= 1 for part in (0, 1))


def _with_unique_labels(sets: list[MapSet], layers: list[LayerFacts]) -> list[MapSet]:
    """The sets with unique labels: with their subject, or else with a number, where labels were equal."""
    labels = [each.label for each in sets]
    subjects = [_subject_of(each, layers) for each in sets]
    named = [
        f"{subject} {label}".strip() if labels.count(label) > 1 else label
        for subject, label in zip(subjects, labels, strict=True)
    ]
    numbers = [1 + named[:index].count(label) for index, label in enumerate(named)]
    return [
        replace(each, label=f"{label} {number}" if number > 1 else label)
        for each, label, number in zip(sets, named, numbers, strict=True)
    ]


def _subject_of(maps: MapSet, layers: list[LayerFacts]) -> str:
    """Subject and session of a set, as "sub-01 ses-02"; empty if unknown."""
    subjects = [layers[index].subject for index in maps.layers.values()]
    return " ".join(filter(None, (max(parts) for parts in zip(*subjects, strict=True))))


def stray_maps(layers: list[LayerFacts], sets: list[MapSet]) -> str:
    """Sentence on maps that belong to no set, with the reason; empty if there are none or a set is complete."""
    used = {index for each in sets for index in each.layers.values()}
    unused = [facts for index, facts in enumerate(layers) if index not in used and (map_of(facts) or _is_t2star(facts))]
    stacks = [facts.name for facts in unused if len(facts.shape) > 3]
    stray = [facts for facts in unused if len(facts.shape) == 3]
    if stacks:
        return f"{', '.join(stacks)}: several volumes in one file; save one file per map."
    if not stray or not sets or any(each.is_complete for each in sets):
        return ""
    first = layers[sets[0].layers["T1"]]
    names = ", ".join(facts.name for facts in stray if not _on_one_grid(facts, first))
    if names:
        return f"{names}: not on the voxels of {first.name}, so no contrast uses both; resample one of them."
    names = ", ".join(facts.name for facts in stray)
    return f"{names}: not used, because there is no other T1 map of the same subject and session on its grid."


def is_transmit_map(facts: LayerFacts) -> bool:
    """Whether the layer is a map of B1+ according to its suffix or, without one, its name."""
    return _suffix(facts) == "TB1map"


def is_transmit_measurement(facts: LayerFacts) -> bool:
    """Whether the name has a BIDS suffix of B1+ measurements, such as TB1AFI: mostly flip angles in degrees."""
    return not facts.is_synthetic and _MEASUREMENTS.search(facts.name) is not None


def _is_t2star(facts: LayerFacts) -> bool:
    return _suffix(facts) in T2STAR_SUFFIXES


def _set_label(facts: LayerFacts, finest: float) -> str:
    if not facts.is_synthetic:
        return "LR" if facts.voxel_volume > 1.05 * finest else "maps"
    return "SR" if facts.run == 1 else f"SR run {facts.run}"


def _on_one_grid(one: LayerFacts, other: LayerFacts) -> bool:
    return (one.shape, one.position) == (other.shape, other.position)
