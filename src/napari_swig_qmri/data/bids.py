"""What a file is and in which unit: BIDS names, sidecars, header texts and, last, the values.

Every rule that had to assume something returns a sentence for the person who opened the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

DESCRIPTION = "dataset_description.json"  # makes a folder a dataset
MAP_UNITS = {  # suffix of a map -> unit of its numbers once read
    "T1map": "s",
    "T2map": "s",
    "T2starmap": "s",
    "R1map": "1/s",
    "R2map": "1/s",
    "R2starmap": "1/s",
    "PDmap": "arbitrary",
    "S0map": "arbitrary",
    "M0map": "arbitrary",
    "TB1map": "arbitrary",  # of the nominal flip angle
}
RESIDUAL_UNITS = {"PDresidual": "arbitrary", "T1residual": "s", "T2residual": "s"}
UNITS = MAP_UNITS | RESIDUAL_UNITS
RESULTS = (*RESIDUAL_UNITS, "residual", "conflict")  # what a run leaves beside its maps
CONTRASTS = (
    *("T1w", "T2w", "PDw", "T2starw", "FLAIR", "STIR", "UNIT1", "PDT2", "inplaneT1", "inplaneT2"),
    *("angio", "bold", "dwi"),
)
METHODS = ("MP2RAGE", "IRT1", "MESE", "MEGRE", "VFA", "MPM")  # in a name, they also tell how a map was measured
WEIGHTED = (*CONTRASTS, *METHODS)
LABELS = ("mask", "dseg")
OTHER_MAPS = ("RB1map", "MTRmap", "MTsat", "MTVmap", "MWFmap", "Chimap", "probseg")
SUFFIX_KEY = "Suffix"  # of a sidecar: tells the kind of an image whose file name does not
SUFFIXES = (*MAP_UNITS, *WEIGHTED, *LABELS, *OTHER_MAPS, *RESULTS)

LIKELY_FIELDS = (0.3, 1.8)  # median of B1+ in a head, as a fraction of the nominal one
UNIT_FACTORS = {  # unit in a file -> (unit once read, factor)
    "s": ("s", 1.0),
    "ms": ("s", 1e-3),
    "0.1 ms": ("s", 1e-4),
    "us": ("s", 1e-6),
    "1/s": ("1/s", 1.0),
    "mHz": ("1/s", 1e-3),
    "1/ms": ("1/s", 1e3),
    "arbitrary": ("arbitrary", 1.0),
    "percent": ("arbitrary", 0.01),
}
_SPELLINGS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "0.1 ms": ("0.1 ms", "0.1ms"),
    "us": ("us", "µs", "microsecond", "microseconds"),
    "1/s": ("1/s", "s^-1", "s-1", "hz", "1/sec", "per second"),
    "mHz": ("mhz", "1/1000 s", "1/ks"),
    "1/ms": ("1/ms", "ms^-1", "ms-1", "khz", "1/msec", "per millisecond"),
    "arbitrary": ("arbitrary", "a.u.", "au", "arb", "arb.", "arbitrary units"),
    "percent": ("percent", "%", "pu"),
}
_UNIT_IN_TEXT = (  # not after a number, which is a setting of the scan
    ("1/ms", r"1/ms(?:ec)?\b|ms\^?-1"),
    ("1/s", r"1/s(?:ec)?\b|\bs\^?-1|\bhz\b"),
    ("ms", r"\bms(?:ecs?)?\b|\bmilliseconds?\b"),
    ("s", r"\bsec(?:onds?|s)?\b|[\[(]s[\])]|\bunits?\s*[:=]?\s*s\b"),
)
_NAMES = (  # suffix, what spells it out in file names and series descriptions
    *((suffix, suffix.lower()) for suffix in SUFFIXES if suffix not in METHODS),
    ("TB1map", r"t?b1(?:\+|plus)?[-_ ]?map(?:ping)?"),
    ("MP2RAGE", r"inv[-_]?[12](?:[-_ ](?:part-)?(?:mag|phase?))?"),  # one of its inversions, whatever stands before
    ("UNIT1", r"uni[-_ ]?(?:images?|den)|mp2rage[-_ ](?:[a-z0-9=.]+[-_ ])*uni"),
    ("R2starmap", r"r2(?:star|\*|s)(?:[-_ ]?(?:map|ols|wls\d?))?"),
    ("T2starmap", r"t2(?:star|\*|s)[-_ ]?map"),
    ("R1map", r"r1[-_ ]?map"),
    ("R2map", r"r2[-_ ]?map"),
    ("T1map", r"q?t1[-_ ]?map(?:ping)?|qt1|t1[-_ ]?images?"),
    ("T2map", r"q?t2[-_ ]?map(?:ping)?|qt2"),
    ("PDmap", r"q?pd[-_ ]?map|qpd|proton[-_ ]?density[-_ ]?map"),
    ("M0map", r"m0[-_ ]?map"),
    ("S0map", r"s0[-_ ]?map"),
    ("FLAIR", r"(?:t2[-_ ]?)?flair"),
    ("T2starw", r"t2(?:star|\*|s)w"),
    ("T1w", r"t1[-_ ]?w(?:eighted|i)?|mp[-_ ]?rage"),
    ("T2w", r"t2[-_ ]?w(?:eighted|i)?"),
    ("PDw", r"pd[-_ ]?w(?:eighted|i)?"),
    ("mask", r"(?:brain|head)?mask"),
    ("dseg", r"seg|aseg|labels?"),
)
_LOOSE_NAMES = (("T2starw", r"t2(?:star|\*|s)"), ("PDw", r"proton[-_ ]?density"))  # that a map may have, too
_BARE = (("T1", "t1"), ("T2", "t2"), ("PD", "pd"))
_ONLY_MAPS = (("M0", "m0"), ("S0", "s0"))
_MADE_BY = r"(?<![a-z0-9])(?:q(?:uant)?maps?|symaps?|symri|qalas|mrf|fingerprint(?:ing|s)?|mpm|hmri|qmri)(?![a-z0-9])"
_OF_IMAGE_TYPE = r"/(t1|t2|pd|r1|r2|b1)(?:[ _]?map)?(?=/)"  # of a derived image, in DICOM
_OTHER_WORDS = r"(?:sub|ses|run|space|from|to|res)-[a-z0-9]+"  # labels that do not tell the kind
_SPREAD = r"sd|std(?:ev|dev|err)?|sem|err(?:ors?)?|cov|var(?:iance)?|rmse|uncertainty"  # of a map, not the map
_UNITS_OF_MEDIANS = {  # unit of a map by its median: that of the last number that lies below it
    "T1map": ((0, "s"), (20, "ms"), (5e3, "0.1 ms"), (1e5, "us")),
    "T2map": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "T2starmap": ((0, "s"), (4, "ms"), (4e3, "0.1 ms"), (2e4, "us")),
    "R1map": ((0, "1/ms"), (0.05, "1/s"), (50, "mHz")),
    "R2map": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "R2starmap": ((0, "1/ms"), (0.25, "1/s"), (500, "mHz")),
    "TB1map": ((0, "arbitrary"), (70, "percent"), (130, "arbitrary")),  # else it may be degrees
}
_LONG_T2 = 0.4  # s; tissue is below it, and above it in ms is what is stored in tenths of a ms
_CUT_OFF = (0.002, 0.5)  # share of voxels with the largest value from which, and to which, a map was cut off there
_CUT_ABOVE = 2  # medians; what is cut off is fluid
_TEXT_KEYS = ("Quantity", "SeriesDescription", "ProtocolName", "Description", "SequenceName")


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Everything that can tell what a file holds, in the order in which it is believed."""

    stem: str  # file name without extension
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    header_text: str = ""  # free-text fields of the header
    values: FloatArray | None = None  # any shape, in the file's unit
    time_unit: str | None = None  # s or ms, of relaxation times, where a person said it; believed before all else

    @property
    def series(self) -> str:
        """Descriptive texts of the sidecar in one string."""
        return " ".join(str(self.sidecar[key]) for key in _TEXT_KEYS if key in self.sidecar)

    @property
    def image_type(self) -> str:
        """DICOM's image type, as in ``DERIVED/PRIMARY/T1``."""
        value = self.sidecar.get("ImageType", "")
        return "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value).replace("\\", "/")


def find_suffix(evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """BIDS suffix of a file (None if nothing tells) and what was assumed to find it."""
    last = re.split(r"[_\s]", evidence.stem)[-1]
    exact = next((suffix for suffix in SUFFIXES if suffix.lower() == last.lower()), None)
    if exact and not _is_spread(exact, evidence.stem):
        return exact, ()
    told = str(evidence.sidecar.get(SUFFIX_KEY))
    if told in SUFFIXES:
        return told, ()
    in_image_type = _suffix_of_image_type(evidence.image_type)
    if in_image_type and _last_of(_NAMES, _without_labels(evidence.stem)) not in CONTRASTS:
        return in_image_type, (f"Taken as {in_image_type} because of its DICOM image type, {evidence.image_type!r}.",)
    sources = (
        ("its name", evidence.stem),
        ("its sidecar", evidence.series),
        ("its header", evidence.header_text),
    )
    for source, text in sources:
        suffix = _suffix_in(text, evidence)
        if suffix and _is_spread(suffix, text):
            return None, (f"Not taken as {suffix}: {source}, {text!r}, tells of its spread or error.",)
        if suffix:
            return suffix, (f"Taken as {suffix} because of {source}, {text!r}.",)
    if evidence.values is not None and _is_binary(evidence.values):
        return "mask", ("Taken as a mask because its values are 0 and 1.",)
    return None, ("Nothing tells what this image is: choose its kind before using it as a map or guide.",)


def find_unit(suffix: str | None, evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """Unit of the numbers in a file (a key of `UNIT_FACTORS`; None if it has none) and what was assumed."""
    base = UNITS.get(suffix or "")
    if base is None:
        return None, ()
    if evidence.time_unit and base != "arbitrary":
        return evidence.time_unit if base == "s" else f"1/{evidence.time_unit}", ()
    declared = parse_unit(evidence.sidecar.get("Units"))
    guessed = _unit_of_values(suffix or "", evidence.values)
    if suffix == "TB1map" and is_in_degrees(evidence.sidecar):
        return base, ("The sidecar says degrees: divide them by the nominal flip angle before using it as B1+.",)
    if suffix == "TB1map" and declared in (None, "arbitrary") and guessed:  # BIDS calls fractions and percent arbitrary
        return guessed, _told_of_transmit(guessed, _median(evidence.values))
    if declared and _measures(declared, base):
        return declared, _doubt("sidecar", declared, guessed)
    ignored = f"The sidecar's Units {evidence.sidecar['Units']!r} do not fit a {suffix}. " if declared else ""
    in_text = _unit_in(evidence.header_text, base)
    if in_text:
        told = f"{ignored}Unit {in_text} taken from the header text {evidence.header_text!r}."
        return in_text, (told, *_doubt("header", in_text, guessed))
    if base == "arbitrary":
        return base, (ignored.strip(),) if ignored else ()
    if guessed is None:
        return base, (f"{ignored}No unit given: {base} assumed, as BIDS asks of a {suffix}.",)
    told = f"{ignored}No unit given: {guessed} assumed from the size of the values. Change it if wrong."
    return guessed, (told, *_long_t2(suffix or "", guessed, evidence.values))


def cut_off(suffix: str | None, values: FloatArray, unit: str | None) -> tuple[str, ...]:
    """A sentence where many voxels of a map share its largest value, to which longer times were cut."""
    sample = _positive_sample(values)
    if not sample.size or MAP_UNITS.get(suffix or "") != "s":
        return ()
    top, (low, high) = sample.max(), _CUT_OFF
    share = float(np.mean(sample == top))
    if not low < share < high or top < _CUT_ABOVE * np.median(sample):
        return ()
    return (f"Cut off at {top:g} {unit}: {100 * share:.1f} % of its voxels have just this value, the largest.",)


def quantities_of_stack(evidence: Evidence, n: int) -> tuple[str, ...]:
    """Suffixes of the `n` maps in one file, in their order, where image type or name tell them; else none."""
    in_type = re.search(r"multi_qmap/((?:(?:t1|t2|pd)/){2,})", f"{evidence.image_type.lower()}/")
    words = evidence.stem.lower()
    in_name = re.search(r"(?<![a-z0-9])(?:(?:t1|t2|pd)[-_ ]?){2,}(?![a-z0-9])", words)
    told = in_type or (in_name if re.search(f"{_MADE_BY}|(?<![a-z0-9])maps?(?![a-z0-9])", words) else None)
    order = re.findall("t1|t2|pd", told[0]) if told else []
    return tuple(f"{each.upper()}map" for each in order) if len(set(order)) == len(order) == n else ()


def parse_unit(text: object) -> str | None:
    """Key of `UNIT_FACTORS` that a unit in a sidecar means, None if unknown."""
    wanted = str(text).strip().lower()
    return next((unit for unit, spellings in _SPELLINGS.items() if wanted in spellings), None)


def is_in_degrees(sidecar: Mapping[str, Any]) -> bool:
    """Whether a sidecar says that the numbers are angles in degrees."""
    return re.search("deg|°", str(sidecar.get("Units", "")).lower()) is not None


def short_name(stem: str) -> str:
    """Name for a person: the entities of a BIDS name separated by blanks."""
    parts = [part for part in stem.split("_") if part and not part.startswith(("space-", "res-"))]
    return " ".join(parts) or stem


def read_sidecar(image: Path, stem: str, root: Path | None = None) -> dict[str, Any]:
    """Sidecar of an image with everything it inherits from folders up to the dataset's root.

    ValueError if one cannot be read: its settings would be replaced by assumed ones.
    """
    merged: dict[str, Any] = {}
    for path in _sidecar_paths(image, stem, root):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(content, dict):
                raise ValueError("it holds no JSON object")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path.name}, the sidecar of {image.name}, could not be read: {error}. Repair or remove it."
            ) from error
        merged |= content
    return merged


def dataset_root(path: Path) -> Path | None:
    """Folder of the BIDS dataset that holds a file, None outside a dataset."""
    return next((folder for folder in path.parents if (folder / DESCRIPTION).is_file()), None)


def _sidecar_paths(image: Path, stem: str, root: Path | None) -> list[Path]:
    """JSON files that apply to an image, the most general first (BIDS inheritance principle)."""
    own = image.parent / f"{stem}.json"
    found = [own] if own.is_file() else []
    if root is None:
        return found
    *entities, suffix = stem.split("_")
    folders = [image.parent, *image.parent.parents]
    for folder in folders[: folders.index(root) + 1]:
        names = sorted(folder.glob(f"*{suffix}.json"), key=lambda path: -path.stem.count("_"))
        found += [p for p in names if p != own and _applies(p.stem.split("_"), entities, suffix)]
    return found[::-1]


def _applies(parts: Sequence[str], entities: Sequence[str], suffix: str) -> bool:
    return parts[-1] == suffix and set(parts[:-1]) <= set(entities)


def _suffix_in(text: str, evidence: Evidence) -> str | None:
    """Suffix that a text spells out, else what a bare "T1" means, a rate "R1", or how the image was measured."""
    words = _without_labels(text)
    spelt = _last_of((*_NAMES, *_LOOSE_NAMES), words)
    bare = _last_of(_BARE, words)
    rates = re.findall(r"(?<![A-Za-z0-9])R[12](?![A-Za-z0-9])", words)  # small letters count runs and raters
    if spelt or bare:
        return spelt or (f"{bare}map" if _is_map_of(words, evidence) else f"{bare}w")
    size = _last_of(_ONLY_MAPS, words)
    if size and _is_map_of(words, evidence):
        return f"{size}map"
    return f"{rates[-1]}map" if rates else _last_of([(method, method.lower()) for method in METHODS], words)


def _without_labels(text: str) -> str:
    """A text without the labels that do not tell the kind."""
    return re.sub(rf"(?<![a-z0-9]){_OTHER_WORDS}", "", text, flags=re.IGNORECASE)


def _last_of(names: Iterable[tuple[str, str]], text: str) -> str | None:
    """Suffix whose spelling ends last in a text; of those that end together the longest."""
    found = [
        (match.end(), -match.start(), suffix)
        for suffix, pattern in names
        for match in re.finditer(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", text.lower())
    ]
    return max(found)[2] if found else None


def _is_map_of(words: str, evidence: Evidence) -> bool:
    """Whether a bare "T1", "T2" or "PD" is the map: sidecar, header or what made it say so, or it has a unit."""
    about = f"{evidence.series} {evidence.header_text}".lower()
    named_unit = re.search(r"(?:[Tt][12])[-_ (\[]+(?:ms|msec|sec)(?![A-Za-z0-9])", words)  # "MS" is a disease
    return bool(
        parse_unit(evidence.sidecar.get("Units"))
        or re.search(r"\bmap\b", about)
        or re.search(_MADE_BY, words.lower())
        or _unit_in(about, "s")
        or named_unit
    )


def _suffix_of_image_type(image_type: str) -> str | None:
    """Map or synthetic contrast that the tokens of a derived image's type name, as SyMRI and scanners write them."""
    tokens = f"{image_type.lower()}/"
    if "derived" not in tokens or re.search("myc|multi_qmap", tokens):
        return None
    star = re.search(r"/t2[_ ]?(?:star|\*)[ _]?map/", tokens)
    found = re.search(_OF_IMAGE_TYPE, tokens)
    if "synthetic" in tokens:
        contrast = re.search(r"/(?:(flair|stir)|(t1|t2|pd)w?)[/_]", tokens)
        return contrast and (contrast[1].upper() if contrast[1] else f"{contrast[2].upper()}w")
    if star:
        return "T2starmap"
    return found and {"b1": "TB1map"}.get(found[1], f"{found[1].upper()}map")


def _is_spread(suffix: str, text: str) -> bool:
    """Whether a text that tells of a map says that its numbers are the map's spread or error."""
    words = _without_labels(text.lower())
    return suffix in MAP_UNITS and re.search(rf"(?<![a-z0-9])(?:{_SPREAD})(?![a-z0-9])", words) is not None


def _is_binary(values: FloatArray) -> bool:
    sample = values.ravel()[:: max(1, values.size // 100_000)]
    return bool(np.isin(sample, (0, 1)).all() and np.any(sample == 1) and np.isin(values, (0, 1)).all())


def _measures(unit: str, base: str) -> bool:
    return UNIT_FACTORS[unit][0] == base


def _unit_in(text: str, base: str) -> str | None:
    found = (unit for unit, pattern in _UNIT_IN_TEXT if re.search(rf"(?<!\d)(?<!\d )(?:{pattern})", text.lower()))
    return next((unit for unit in found if _measures(unit, base)), None)


def _unit_of_values(suffix: str, values: FloatArray | None) -> str | None:
    """Unit that makes the median of the positive values a possible relaxation time, rate or transmit field."""
    median = _median(values) if suffix in _UNITS_OF_MEDIANS else None
    if median is None:
        return None
    return next(unit for lowest, unit in reversed(_UNITS_OF_MEDIANS[suffix]) if median > lowest)


def _median(values: FloatArray | None) -> float | None:
    """Median of the positive values, None where there are none."""
    sample = _positive_sample(values) if values is not None else np.empty(0)
    return float(np.median(sample)) if sample.size else None


def _positive_sample(values: FloatArray) -> FloatArray:
    sample = values.ravel()[:: max(1, values.size // 1_000_000)]
    positive: FloatArray = sample[np.isfinite(sample) & (sample > 0)]
    return positive


def _long_t2(suffix: str, unit: str, values: FloatArray | None) -> tuple[str, ...]:
    """Doubt about a T2 in ms that no tissue has, but in tenths of a ms would."""
    median = _median(values)
    if suffix not in ("T2map", "T2starmap") or unit != "ms" or median is None or median < 1e3 * _LONG_T2:
        return ()
    median_told = f"Its median of {median:.3g} ms is longer than that of tissue"
    return (f'{median_told}: if the file holds tenths of a ms, put "Units": "0.1 ms" into its sidecar.',)


def _told_of_transmit(unit: str, median: float | None) -> tuple[str, ...]:
    """What a map of B1+ without a unit was taken as, by the size of its values."""
    if unit == "percent":
        return ("Read as percent of the nominal flip angle, by the size of the values; degrees would look alike.",)
    if median and LIKELY_FIELDS[0] < median < LIKELY_FIELDS[1]:
        return ("Read as a fraction of the nominal flip angle, by the size of the values.",)
    return (f"Left as it is: its median of {median or 0:.3g} tells no fraction or percent of the nominal flip angle.",)


def _doubt(source: str, declared: str, guessed: str | None) -> tuple[str, ...]:
    if guessed is None or guessed == declared:
        return ()
    return (f"The {source} says {declared}, but the values look like {guessed}. Change it if wrong.",)
