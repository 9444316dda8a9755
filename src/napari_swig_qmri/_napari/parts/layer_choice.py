"""Which layers to propose: decided from what each layer says it is, never from its voxels."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.interpretation import T2STAR_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_GUIDES = 5

MAP_SUFFIXES = {
    "PD": ("PDmap", "S0map", "M0map"),
    "T1": ("T1map", "R1map"),
    "T2": ("T2map", "R2map"),
}
_MEASUREMENTS = re.compile(r"(?<![a-z0-9])TB1(?:AFI|DAM|EPI|RFM|SRGE|TFL)(?![a-z0-9])", re.IGNORECASE)
T2STAR = "T2*"  # name of a T2* map in a set
_NAMED_B1 = (
    r"(?<![a-z0-9])(?<!sub-)(?<!ses-)(?<!run-)b1(?:\+|p(?:lus)?)?"  # not a subject, session or run
    r"(?:[-_ ]?(?:rel|relative|norm|normali[sz]ed|percent))?$"
)
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

    @property
    def subject(self) -> tuple[str, str]:
        """Subject and session that the name tells as BIDS entities, each empty if it does not."""
        found = (re.search(rf"(?<![A-Za-z0-9]){each}-[A-Za-z0-9]+", self.name) for each in ("sub", "ses"))
        subject, session = (match[0] if match else "" for match in found)
        return subject, session


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


def kind_of(facts: LayerFacts) -> str:
    """What the layer shows: PD, T1, T2, or else its BIDS suffix; empty where none is known."""
    return map_of(facts) or _suffix(facts) or ""


def are_alike(kind: str, other: str) -> bool:
    """Whether values of two kinds can agree; those of a contrast can with any weighted image."""
    return kind == other or (not (kind and other) and kind + other in GUIDE_SUFFIXES)


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

    label: str  # LR, SR, SR run 2, maps, T1 only; unlike that of every other set: sub-01 maps, maps 2
    layers: dict[str, int]  # quantity name -> index of its layer

    @property
    def is_complete(self) -> bool:
        """Whether PD, T1 and T2 are there."""
        return self.layers.keys() >= MAP_SUFFIXES.keys()


def find_map_sets(layers: list[LayerFacts]) -> list[MapSet]:
    """Every set of maps on one grid that has a T1: complete ones first, and of these the measured ones first."""
    grouped: dict[tuple[object, ...], list[dict[str, int]]] = {}
    for index, facts in enumerate(layers):
        name = map_of(facts)
        if name is None or len(facts.shape) != 3:
            continue
        sets = grouped.setdefault((facts.is_synthetic, facts.run, facts.shape, facts.position), [])
        _put(sets, name, index, layers)
    found = [indices for sets in grouped.values() for indices in sets if "T1" in indices]
    partial = [indices for indices in found if len(indices) < len(MAP_SUFFIXES)]
    complete = [indices for indices in found if len(indices) == len(MAP_SUFFIXES)]
    complete.sort(key=lambda indices: (layers[indices["T1"]].is_synthetic, layers[indices["T1"]].run))
    finest = min((layers[indices["T1"]].voxel_volume for indices in complete), default=0.0)
    labels = [_set_label(layers[indices["T1"]], finest) for indices in complete]
    for sets in grouped.values():
        _add_t2star(sets, layers)
    labels += [f"{', '.join(name for name in (*MAP_SUFFIXES, T2STAR) if name in indices)} only" for indices in partial]
    return _told_apart([MapSet(*each) for each in zip(labels, [*complete, *partial], strict=True)], layers)


def _put(sets: list[dict[str, int]], name: str, index: int, layers: list[LayerFacts]) -> None:
    """Put a layer into the first set that lacks such a map and is not of another subject, else into a new one."""
    fitting = (each for each in sets if name not in each and _of_one_subject(layers, [*each.values(), index]))
    found = next(fitting, None)
    if found is None:
        sets.append({name: index})
    else:
        found[name] = index


def _add_t2star(sets: list[dict[str, int]], layers: list[LayerFacts]) -> None:
    """Give the sets on one grid the T2* maps there: those of the same subject, in their order, each to one set.

    A T2* map without a subject goes to the first set left without, one with a subject to none of another. Where
    a set tells no subject and T2* maps of several are there, it gets none.
    """
    with_t1 = [each for each in sets if "T1" in each]
    if not with_t1:
        return
    place = layers[with_t1[0]["T1"]]
    left = [index for index, facts in enumerate(layers) if _is_t2star(facts) and _on_one_grid(facts, place)]
    for each in with_t1:
        fitting = [index for index in left if _of_one_subject(layers, [*each.values(), index])]
        if fitting and _of_one_subject(layers, fitting):
            each[T2STAR] = fitting[0]
            left.remove(fitting[0])


def _of_one_subject(layers: list[LayerFacts], indices: Iterable[int]) -> bool:
    """Whether no two of some layers tell different subjects or sessions."""
    told = [layers[index].subject for index in indices]
    return all(len({each[part] for each in told} - {""}) <= 1 for part in (0, 1))


def _told_apart(sets: list[MapSet], layers: list[LayerFacts]) -> list[MapSet]:
    """The sets with labels that differ: by their subjects where these do, else by numbers."""
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


def _subject_of(found: MapSet, layers: list[LayerFacts]) -> str:
    """Subject and session that the layers of a set tell, as "sub-01 ses-02"; empty where they tell none."""
    told = [layers[index].subject for index in found.layers.values()]
    return " ".join(filter(None, (max(parts) for parts in zip(*told, strict=True))))


def stray_maps(layers: list[LayerFacts], sets: list[MapSet]) -> str:
    """One sentence on maps in no set: several in one layer, on other voxels, of another subject, or one too many."""
    used = {index for found in sets for index in found.layers.values()}
    known = [facts for index, facts in enumerate(layers) if index not in used and (map_of(facts) or _is_t2star(facts))]
    stacks = [facts.name for facts in known if len(facts.shape) > 3]
    elsewhere = [facts for facts in known if len(facts.shape) == 3]
    if stacks:
        return f"{', '.join(stacks)}: several volumes in one file; save one file per map."
    if not elsewhere or not sets or any(found.is_complete for found in sets):
        return ""
    first = layers[sets[0].layers["T1"]]
    names = ", ".join(facts.name for facts in elsewhere if not _on_one_grid(facts, first))
    if names:
        return f"{names}: not on the voxels of {first.name}, so no contrast uses both; resample one of them."
    names = ", ".join(facts.name for facts in elsewhere)
    return f"{names}: in no contrast, for no T1 map of the same subject and session is left that it could go with."


def is_transmit_map(facts: LayerFacts) -> bool:
    """Whether the layer is a map of B1+ by its suffix or, without one, by its name.

    A name that ends in B1, where nothing else tells what the layer is, is enough to offer it.
    """
    suffix = _suffix(facts)
    return suffix == "TB1map" or (
        suffix is None and not facts.is_synthetic and re.search(_NAMED_B1, facts.name.lower()) is not None
    )


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
