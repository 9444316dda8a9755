"""Kind of an image: its BIDS suffix from sidecar, name, header texts and values, with a confidence and reasons."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from napari_swig_qmri.data.recognition.acquisition import is_enhanced, part_of
from napari_swig_qmri.data.recognition.evidence import LONGEST_TEXT, Confidence, Evidence, Kind
from napari_swig_qmri.data.recognition.programs import (
    is_first_of_fit,
    made_by_spm,
    maker_of,
    of_freesurfer,
    other_image_type,
    suffix_of_image_type,
    without_spm_steps,
)
from napari_swig_qmri.data.recognition.suffixes import (
    CONTRASTS,
    ERROR_DESCRIPTION,
    ERROR_UNITS,
    LABELS,
    MAP_UNITS,
    METHODS,
    OTHER,
    RESULTS,
    SUFFIX_KEY,
    SUFFIXES,
)
from napari_swig_qmri.data.recognition.tissue import is_binary, is_grey, unit_of_map
from napari_swig_qmri.data.recognition.units import is_spread
from napari_swig_qmri.data.recognition.words import (
    NUMBERS_AT_END,
    Hit,
    capital_rates,
    found,
    named_sequence,
    prepared,
    unknown_word,
)

_HOW_TO_CORRECT = 'if wrong, put "{}": "{}" (or another BIDS suffix) into its sidecar'
_BIDS_NAME = r"sub-[a-zA-Z0-9+]+(?:_[a-zA-Z0-9]+-[a-zA-Z0-9+]+)*_([a-zA-Z0-9]+)"
_SHORT_WORDS = r"fa|md|rd|ad|ct|us|rho|loc|trace|kf|f|f0|rb|res|over|pet|afi|warp|t1diff"  # only at the end of a name
_SHORTEST_UNKNOWN = 3  # letters; shorter words are initials and directions
_QUANTITIES = {"T1": "T1w", "T2": "T2w", "PD": "PDw"}
_QUANTITY_NAMES = {"T1map": "T1", "T2map": "T2", "PDmap": "PD", "M0map": "M0", "S0map": "S0"}  # as plain words
_IN_WORDS = {"arbitrary": "fractions of water"}
_UNI = r"(?<![a-z0-9])uni(?![a-z0-9])"
_WHOLE_NAMES = {"uni": "UNIT1", "vfadata": "VFA", "irdata": "IRT1", "ir_data": "IRT1", "sedata": "MESE"}
_B1_AT_END = r"(?<![a-z0-9])b1\+?(?:[-_ ]?(?:rel|relative|norm|normali[sz]ed|percent))?$"
_ONE_OF_SERIES = r"(?<![a-z0-9])(?:(?:ti|te|fa|tsl)[-_ ]?[0-9]+|e[2-9](?![a-z0-9]))"  # behind a map: fitted to it
_MAPPING = (  # maps, or what is mapped
    r"(?<![a-z0-9])(?:maps?|map[-_ ]?(?:it|ping|ped)|relaxometry|quant[a-z]*|(?:sh)?molli|sasha)(?![a-z0-9])"
)
_TISSUE = r"(?<![a-z0-9])(?:gm|wm|csf)(?![a-z0-9])"


def find_suffix(evidence: Evidence) -> tuple[str | None, tuple[str, ...]]:
    """BIDS suffix of an image, None if unknown, and one sentence per assumption; see `find_kind`."""
    kind = find_kind(evidence)
    return kind.suffix, kind.notices


def find_kind(evidence: Evidence) -> Kind:
    """Kind of an image by the first of these that tells it.

    The key ``Suffix`` of the sidecar, the part of a complex image in name or DICOM image type, a BIDS name, files of
    FreeSurfer, a map in the image type, words of the file name, of the sidecar and of the header, and binary values.
    """
    rules: tuple[Callable[[Evidence], Kind | None], ...] = (
        _by_key,
        _by_part,
        _by_bids_name,
        _by_freesurfer,
        _by_image_type,
        _by_texts,
        _by_values,
    )
    kinds = (rule(evidence) for rule in rules)
    return next((kind for kind in kinds if kind is not None), _UNKNOWN)


def quantities_of_stack(evidence: Evidence, n: int) -> tuple[str, ...]:
    """Suffixes of the `n` maps in one file in their order, if DICOM image type or file name list them; else empty."""
    in_type = re.search(r"multi_qmap/((?:(?:t1|t2|pd)/){2,})", f"{evidence.image_type.lower()}/")
    stem = evidence.stem.lower()
    in_name = re.search(r"(?<![a-z0-9])(?:(?:t1|t2|pd)[-_ ]?){2,}(?![a-z0-9])", stem)
    is_of_maps = found("maker", stem) or re.search(r"(?<![a-z0-9])maps?(?![a-z0-9])", stem)
    listed = in_type or (in_name if is_of_maps else None)
    order = re.findall("t1|t2|pd", listed[0]) if listed else []
    return tuple(f"{each.upper()}map" for each in order) if len(set(order)) == len(order) == n else ()


_UNKNOWN = Kind(
    confidence="ask",
    reasons=("Neither name, sidecar nor header tell its kind.",),
    notices=("The kind of this image is unknown: choose it before using the image as a map or guide.",),
)


def _by_key(evidence: Evidence) -> Kind | None:
    told = str(evidence.sidecar.get(SUFFIX_KEY, "")).strip()
    if not told:
        return None
    suffix = next((each for each in SUFFIXES if each.lower() == told.lower()), None)
    return Kind(suffix=suffix, reasons=(f"Its sidecar says {SUFFIX_KEY} {told!r}.",)) if suffix else None


def _by_part(evidence: Evidence) -> Kind | None:
    part = part_of(evidence.stem, evidence)
    return _none(f"the {part} of an image", "its name or image type") if part else None


def _by_bids_name(evidence: Evidence) -> Kind | None:
    """Kind of a file whose whole name follows BIDS."""
    match = re.fullmatch(_BIDS_NAME, evidence.stem)
    suffix = match[1] if match else None
    if suffix not in SUFFIXES:
        return None
    if suffix in MAP_UNITS and f"_desc-{ERROR_DESCRIPTION}_" in evidence.stem:
        of_map = f"{suffix.removesuffix('map')}error"
        if of_map in ERROR_UNITS:
            return Kind(suffix=of_map, reasons=(f"Its name says {ERROR_DESCRIPTION}: standard errors of a {suffix}.",))
    if suffix in MAP_UNITS and is_spread(suffix, evidence.stem):
        return _spread(suffix, "its name", evidence.stem)
    described = " ".join(re.findall(r"(?:desc|label|class)-([a-zA-Z0-9+]+)", evidence.stem)).lower()
    if described and suffix not in RESULTS:
        changed = found("derived", described if suffix in LABELS else f"{prepared(described)} label {described}")
        if changed:
            return _none(changed[-1][2].meaning, f"its name, {evidence.stem!r}")
    kind = Kind(suffix=suffix, reasons=(f"Its name ends in {suffix}, a BIDS suffix.",))
    if suffix in OTHER:
        kind = replace(kind, reasons=(*kind.reasons, "Nothing here uses such images."))
    return kind


def _by_freesurfer(evidence: Evidence) -> Kind | None:
    suffix = of_freesurfer(evidence)
    return _decided(suffix, "likely", f"its name, {evidence.stem!r}, of FreeSurfer") if suffix else None


def _by_image_type(evidence: Evidence) -> Kind | None:
    """Kind by the DICOM image type: a map if it says so, not if it only repeats a contrast."""
    other = other_image_type(evidence)
    if other:
        return _none(other, f"its DICOM image type, {evidence.image_type!r}")
    suffix = suffix_of_image_type(evidence)
    explicit = _last_explicit(prepared(evidence.stem))
    is_star = (suffix, explicit) == ("T2starmap", "T2starw")
    if suffix is None or (suffix in MAP_UNITS and explicit in CONTRASTS and not is_star):
        return None
    reason = f"its DICOM image type, {evidence.image_type!r}"
    return _decided(suffix, "likely", reason)


def _by_texts(evidence: Evidence) -> Kind | None:
    sources = (
        ("its name", evidence.stem),
        ("its sidecar", evidence.series),
        ("its header", evidence.header_text[:LONGEST_TEXT]),
    )
    kinds = (_meaning(source, text, evidence) for source, text in sources if text)
    told = next((kind for kind in kinds if kind is not None), None)
    if told is None:
        told = _by_method(evidence)
    if told is None and evidence.folder == "fitresults":
        return _none("another result of a fit", "its folder, 'FitResults'")
    if told is None and named_sequence(prepared(evidence.stem)) == "mprage" and "MPR" not in evidence.image_type:
        return _decided("T1w", "likely", f"its name, {evidence.stem!r}")
    return told


def _by_values(evidence: Evidence) -> Kind | None:
    if evidence.values is None or not is_binary(evidence.values):
        return None
    sentence = "Taken as a mask because its values are 0 and 1."
    return Kind(suffix="mask", confidence="likely", reasons=(sentence,), notices=(sentence,))


def _meaning(source: str, text: str, evidence: Evidence) -> Kind | None:
    """Kind by the words of a text; None if they do not tell it."""
    is_name = source == "its name"
    words = prepared(text)
    why = f"{source}, {text!r}"
    if is_name:
        made_by = made_by_spm(text.lower())
        if made_by:
            return _none(made_by, why)
        words = prepared(without_spm_steps(text))
    told = _not_an_image(source, words, text, evidence)
    if told is not None:
        return told
    kind = _explicit(why, words, text) or _plain(why, words, text, evidence)
    if not is_name or kind is None or kind.suffix is None or kind.confidence == "ask":
        return kind
    doubt = _doubt(kind, words, text)
    return _ask(kind.suffix, f"{why}, {doubt}") if doubt else kind


def _not_an_image(source: str, words: str, text: str, evidence: Evidence) -> Kind | None:
    """Kind of what was made from an image, of masks and labels, and of other kinds of images."""
    why = f"{source}, {text!r}"
    explicit = _last_explicit(words)
    quantity = explicit or next(iter(capital_rates(text)), None)
    if quantity in MAP_UNITS and is_spread(quantity, text):
        return _spread(quantity, source, text)
    if explicit in MAP_UNITS and re.search(r"(?:map|fit)[-_ ]?(?:R2|RSQ)(?![0-9a-z])", text):
        return _none("the goodness of a fit", why)
    derived = _at_place(found("derived", words), words)
    if derived:
        return _none(derived[-1][2].meaning, why)
    is_exact = any(words.endswith(suffix.lower()) for suffix in CONTRASTS)
    for group in ("mask", "dseg"):
        if source == "its name" and found(group, words) and not (group == "dseg" and is_exact):
            return _label(group, why, evidence)
    tissue = re.search(_TISSUE, words)
    if source == "its name" and tissue and (not explicit or tissue.end() == len(words)):
        return _none("a map of one tissue", why)
    others = _at_place(found("other", words), words)
    if others and not is_exact and not (explicit in MAP_UNITS and others[-1][0] < found("map", words)[-1][0]):
        return _none(f"{others[-1][2].meaning}", why)
    return None


def _label(group: str, why: str, evidence: Evidence) -> Kind:
    if "brainmask" in evidence.stem.lower() and is_grey(evidence.values):
        return _decided("T1w", "likely", f"{why}, and its many values: FreeSurfer calls a masked image so")
    return _decided(group, "sure", why)


def _explicit(why: str, words: str, text: str) -> Kind | None:
    """Kind by words that name it: a map, or a weighted image."""
    suffix = _last_explicit(words)
    is_t1_flair = suffix == "FLAIR" and re.search(r"(?<![a-z0-9])t1w?[-_ ].*(?:flair|dark)", words)
    if is_t1_flair and not re.search("t2", words):
        return _decided("T1w", "likely", why)
    if suffix:
        is_exact = suffix in SUFFIXES and text.split("_")[-1].split(" ")[-1] == suffix
        if is_exact and why.startswith("its name"):
            return Kind(suffix=suffix, reasons=(f"Its name ends in {suffix}, a BIDS suffix.",))
        return _decided(suffix, "likely", why)
    if is_enhanced(text) and re.search(r"(?<![a-z0-9])t1|gado", words):
        return _decided("T1w", "likely", why)
    return None


def _doubt(kind: Kind, words: str, name: str) -> str | None:
    """Clause on what in a name makes its kind uncertain; None if nothing does."""
    maps = {hit[2].meaning for hit in found("map", words)} | set(capital_rates(name))
    is_map, named = kind.suffix in MAP_UNITS, {_QUANTITY_NAMES.get(each, each) for each in maps}
    if is_map and maps:
        named |= {hit[2].meaning for hit in found("bare", words)} - {"B1"}  # T1 maps are corrected for B1
    if is_map and len(named) > 1:
        return f"which names {' and '.join(sorted(named))}"
    if kind.suffix == "T1w" and re.search(_UNI, words):
        return "which also names the uniform image of MP2RAGE"
    contrasts = {hit[2].meaning[:2] for group in ("weighted", "bare") for hit in found(group, words)} & set(_QUANTITIES)
    if kind.suffix not in (*MAP_UNITS, *LABELS) and len(contrasts) > 1:
        return f"which names {' and '.join(sorted(contrasts))}"
    before = re.match(r"(.+?)[-_ .]?sub-[a-z0-9]", without_spm_steps(name), re.IGNORECASE)
    if before and (unknown := unknown_word(prepared(before[1]), _SHORTEST_UNKNOWN)):
        return f"in which {unknown!r} may change what it is"
    if kind.confidence == "sure":
        return None
    if not is_map and re.search(_MAPPING, words):
        return "which also speaks of mapping"
    unknown = _unknown_after_kind(is_map, words, name)
    return f"in which {unknown!r} may change what it is" if unknown else None


def _unknown_after_kind(is_map: bool, words: str, name: str) -> str | None:
    """First word behind the kind in a name that may change it; short ones count in names that begin like BIDS."""
    if not is_map and not name.startswith("sub-") and found("plain", words):
        return None  # a series of a scanner, with the words of its protocol
    hits = [hit for group in ("map", "weighted", "bare") for hit in found(group, words)]
    rates = [match.end() for match in re.finditer(r"(?<![a-z0-9])r[12](?![a-z0-9])", words)]
    end = max([*(hit[0] for hit in hits), *rates], default=len(words))
    of_series = re.search(_ONE_OF_SERIES, words[end:])
    if of_series and is_map:
        return of_series[0]
    return unknown_word(words[end:], 1 if name.startswith("sub-") else _SHORTEST_UNKNOWN)


def _last_explicit(words: str) -> str | None:
    """Suffix of the last word that names a map or weighted image, the longest of several; None if there is none."""
    hits = sorted((*found("map", words), *found("weighted", words)), key=lambda hit: hit[:2])
    return hits[-1][2].meaning if hits else None


def _plain(why: str, words: str, text: str, evidence: Evidence) -> Kind | None:
    """Kind by a plain T1, T2 or PD, a rate, or a method; the values decide where the name does not."""
    bare = [hit[2].meaning for hit in found("bare", words)]
    maker = maker_of(text, evidence)
    rates = capital_rates(text)
    if bare and bare[-1] in _QUANTITIES:
        if {"PD", "T2"} <= set(bare) and not maker:
            return _ask("PDT2", why)
        if re.search(r"(?<![a-z0-9])tirm?(?![a-z0-9])", words) and bare[-1] == "T2":
            return _ask("FLAIR", f"{why}, which may also be a STIR")
        if maker:
            return _decided(f"{bare[-1]}map", "likely", f"{why} ({maker})")
        if is_first_of_fit(words):
            return _ask(_QUANTITIES[bare[-1]], f"{why}, which begins like a map fitted by QUIT")
        return _by_distribution(bare[-1], why, words, evidence)
    if rates and not found("weighted", words):
        return _decided(rates[-1], "likely", why)
    if bare and (maker or (bare[-1] == "B1" and re.search(_B1_AT_END, words))):
        return _decided(f"{'TB1' if bare[-1] == 'B1' else bare[-1]}map", "likely", why)
    return None


def _by_method(evidence: Evidence) -> Kind | None:
    """Kind by the name of a method, which maps and images of it share, or by a whole name."""
    words = prepared(evidence.stem)
    method = next((each for each in METHODS if re.search(rf"(?<![a-z0-9]){each.lower()}(?![a-z0-9])", words)), None)
    why = f"its name, {evidence.stem!r}"
    if method == "MP2RAGE":
        return _decided("UNIT1", "likely", why) if re.search(_UNI, words) else _ask(method, why)
    suffix = _WHOLE_NAMES.get(words, method)
    is_last = suffix and (words in _WHOLE_NAMES or words.endswith(suffix.lower()))
    return _decided(suffix, "likely" if is_last else "ask", why) if suffix else None


def _by_distribution(quantity: str, why: str, words: str, evidence: Evidence) -> Kind:
    """Map or weighted image, whichever the values of a plain T1, T2 or PD look like."""
    weighted = _QUANTITIES[quantity]
    about = prepared(f"{words} {evidence.series}", with_acquisition=True)
    is_described = bool(evidence.series) and "mapping" not in evidence.series.lower()  # also of images that are fitted
    is_said = bool(found("plain", about) or is_enhanced(words, evidence) or is_described)
    is_worked_on = bool(found("step", about))
    if re.search(r"(?<![a-z0-9])(?:t[12]s?|pd)[-_ ]?(?:gre|ffe|fl[23]d)", about) and quantity == "T2":
        weighted = "T2starw"
    if evidence.values is None:
        return replace(
            _decided(weighted, "likely" if is_said or is_worked_on else "ask", why), needs_values=not is_said
        )
    unit, is_clear = (None, True) if is_said else unit_of_map(quantity, evidence.values)
    if not is_clear:
        return _ask(weighted, f"{why}, and values that may also be those of a {quantity} map")
    if unit is None:
        unlike = "" if is_said else f", and values that are not those of a {quantity} map"
        return _decided(weighted, "likely", f"{why}{unlike}")
    kind = _decided(
        f"{quantity}map", "likely", f"{why}, and values like those of a head in {_IN_WORDS.get(unit, unit)}"
    )
    return replace(kind, notices=tuple(f"{notice[:-1]}; {_correction(kind.suffix)}." for notice in kind.notices))


def _at_place(hits: list[Hit], words: str) -> list[Hit]:
    """Hits without short words that stand before the end of a name, where they may be initials."""
    trimmed = len(re.sub(NUMBERS_AT_END, "", words.removesuffix("_registered")))
    return [
        hit
        for hit in hits
        if hit[0] >= trimmed or not re.fullmatch(_SHORT_WORDS, words[-hit[1] : hit[0]].strip(" ._-"))
    ]


def _none(what: str, why: str) -> Kind:
    """Kind of an image that is of no use as a map or guide."""
    sentence = f"Neither a map nor a guide: {why}, says {what}."
    return Kind(confidence="likely", reasons=(sentence,), notices=(sentence,))


def _spread(suffix: str, source: str, text: str) -> Kind:
    sentence = f"Not taken as {suffix}: {source}, {text!r}, describes its standard deviation or error."
    return Kind(confidence="likely", reasons=(sentence,), notices=(sentence,))


def _decided(suffix: str, confidence: Confidence, why: str) -> Kind:
    sentence = f"Taken as {suffix} because of {why}."
    notice = (
        f"Please check: {sentence[0].lower()}{sentence[1:-1]}; {_correction(suffix)}."
        if confidence == "ask"
        else sentence
    )
    return Kind(suffix=suffix, confidence=confidence, reasons=(sentence,), notices=(notice,))


def _correction(suffix: str | None) -> str:
    """Clause on how to say that an image has another kind, with the likeliest one."""
    other = "T1map" if suffix not in MAP_UNITS else f"{str(suffix).removesuffix('map')}w"
    return _HOW_TO_CORRECT.format(SUFFIX_KEY, other)


def _ask(suffix: str, why: str) -> Kind:
    return _decided(suffix, "ask", why)
