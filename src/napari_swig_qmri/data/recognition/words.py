"""Words in names and descriptions of images, from the table in ``words.toml``, and texts prepared for them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class Word:
    """Spellings of one meaning."""

    group: str  # key of `GROUPS`; a table of the file
    meaning: str  # BIDS suffix or sequence, else a description for messages
    spellings: tuple[str, ...]


Hit = tuple[int, int, Word]  # end of a word in a text, its negative start, and the word
GROUPS = {
    "part": "phase, real or imaginary part: never a guide",
    "agent": "acquired after a contrast agent: a guide only if it is given by name",
    "derived": "made from an image: neither map nor guide",
    "mask": "mask",
    "dseg": "labels",
    "other": "another kind of image: neither map nor guide",
    "map": "map",
    "maker": "makes maps, so that a plain T1 beside it is a map",
    "fit": "as the first word before a plain T1: a map fitted by QUIT",
    "plain": "beside a plain T1: a weighted image",
    "step": "beside a plain T1: nothing but a step of processing",
    "neutral": "says nothing about the kind of an image",
    "weighted": "weighted image",
    "bare": "map or weighted image: the values decide",
}
NUMBERS_AT_END = r"(?:[-_ .]+(?:[0-9]+[ab]?|[ei][0-9]+|nd))*$"  # of series, echoes and images, by dcm2niix
_SEQUENCES = (  # key of `SEQUENCES` and regular expression; the first match counts; < and > exclude a letter there
    ("mp2rage-uni", r"mp2rage|unit1"),
    ("psir", r"psir|phase.?sensitive"),
    ("dir", r"double.?inversion|<d?dir>(?!-|_(?:ap|pa|lr|rl))"),
    ("mprage", r"mp.?rage|bravo|ir.?f?spgr|spgr.*<ir.?prep|<tfl|<(?:3d|t1w?)?[_ -]?tfe|turbo.?(?:flash|field)"),
    ("stir", r"<stir"),
    ("t2-flair", r"flair|dark.?fluid|da.fl>|<tirm?>"),
    ("bssfp", r"bssfp|balanced|tru.?fi|true.?fisp|fiesta|<b.?ffe|<tfi>|<ciss"),
    ("spgr", r"spgr|spoiled|flash|<fl[23]d|vibe|lava|thrive|<t?[12]?w?_?ffe|<e?fgre|<gre>|gradient.?echo"),
    ("tse", r"[tf]se>|<space|<spc|<cube|<vista|brain.?view|<rare>|(?:turbo|fast).?spin|haste|propeller|<blade>"),
    ("ir-se", r"inversion.?recovery|<ir.?se>"),
    ("spin-echo", r"spin.?echo|<se>"),
    ("mprage", r"<mpr>"),  # last, because it also stands for multiplanar reformats
)

_KEEPING = ("map", "maker", "fit", "plain", "step", "neutral", "weighted", "bare", "agent")  # groups
_ENTITIES = (
    "sub|ses|run|space|from|to|res|task|dir|tpl|den|cohort|hemi|echo|flip|inv|chunk|split|recording|mode|orient|mt|trc"
)
_NEUTRAL = rf"(?<![a-z0-9])(?:{_ENTITIES})-[a-z0-9+]+"
_ACQUIRED = r"(?<![a-z0-9])(?:acq|rec)-[a-z0-9+]+"
_TARGET = (
    r"(?:[-_ ]to[-_ ]|(?<=reg)2_?)(?:mni|std|t1w?|t2w?|flair|pdw?|bold|dwi|fa|asl|pet|ct|native"
    r"|template|[a-z]*space)[a-z0-9]*"
    r"|(?<=[-_ ])in[-_ ](?:t[12]w?|flair|bold|dwi|mni|std|native)(?:[-_ ]?space)?(?![a-z0-9])"
)
_CORRECTED = r"[-_ ](?:n4[-_ ]?)?bias[-_ ]?(?:field)?[-_ ]?correct(?:ed|ion)"
_STANDARD = r"(?<=[-_ ])mni[a-z0-9]*|^mni[a-z0-9]*"


def named_sequence(text: str) -> str | None:
    """Key in `SEQUENCES` of the sequence named in a text in lower case; None if unknown."""
    return next((name for name, pattern in _sequences() if pattern.search(text)), None)


@lru_cache(maxsize=4096)
def prepared(text: str, with_acquisition: bool = False) -> str:
    """Text in lower case with words set apart, without BIDS entities that say nothing about the kind of image.

    `with_acquisition` keeps the labels of ``acq-`` and ``rec-``, which name sequences and tools.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "_", text)
    lower = re.sub(r"(?<=[0-9])(?=(?:t1|t2|flair|pd)(?![0-9]))", "_", apart.lower())
    lower = re.sub(r"(?<![a-z0-9])([23]d)(?=t1|t2|flair|pd|tof)", r"\1_", lower)
    lower = re.sub(_CORRECTED, "_corrected", re.sub(_TARGET, "_registered", lower))
    for pattern in (_NEUTRAL, _STANDARD, *([] if with_acquisition else [_ACQUIRED])):
        lower = re.sub(pattern, "", lower)
    return lower


def found(group: str, text: str) -> list[Hit]:
    """Words of a group in a prepared text as end, negative start and word; the last and longest word last."""
    anything, patterns = _patterns(group)
    if not anything.search(text):
        return []
    hits = [(match.end(), -match.start(), word) for word, pattern in patterns for match in pattern.finditer(text)]
    return sorted(hits, key=lambda hit: hit[:2])


def capital_rates(text: str) -> list[str]:
    """Suffixes of rates written as plain R1 and R2 in a text, in their order."""
    return [f"{rate}map" for rate in re.findall(r"(?<![A-Za-z0-9])R[12](?![A-Za-z0-9])", text)]


def unknown_word(text: str, n_letters: int) -> str | None:
    """First word of a prepared text with so many letters or more that does not keep the kind of an image; else None.

    Words of images, their sequences, processing and position keep it; numbers with a unit or a letter do, too.
    """
    for pattern in (*(_patterns(group)[0] for group in _KEEPING), *(pattern for _, pattern in _sequences())):
        text = pattern.sub("_", text)
    words = (word for word in re.split(r"[^a-z0-9]+", text) if len(word) >= n_letters)
    return next((word for word in words if not re.fullmatch(r"[a-z]{0,3}[0-9]+[a-z]{0,2}|registered", word)), None)


@cache
def _sequences() -> tuple[tuple[str, re.Pattern[str]], ...]:
    bounded = ((name, pattern.replace("<", "(?<![a-z])").replace(">", "(?![a-z])")) for name, pattern in _SEQUENCES)
    return tuple((name, re.compile(pattern)) for name, pattern in bounded)


@cache
def words() -> tuple[Word, ...]:
    """All words of the table."""
    tables = tomllib.loads(files(__package__).joinpath("words.toml").read_text(encoding="utf-8"))
    return tuple(
        Word(group=group, meaning=meaning, spellings=tuple(" ".join(text.split()).split(", ")))
        for group, table in tables.items()
        for meaning, text in table.items()
    )


@cache
def _patterns(group: str) -> tuple[re.Pattern[str], tuple[tuple[Word, re.Pattern[str]], ...]]:
    """Pattern of all words of a group, and those of single words."""
    of_group = [word for word in words() if word.group == group]
    anything = _pattern([spelling for word in of_group for spelling in word.spellings])
    return anything, tuple((word, _pattern(word.spellings)) for word in of_group)


def _pattern(spellings: Sequence[str]) -> re.Pattern[str]:
    """Regular expression for any of the spellings as whole words."""
    parts = [re.escape(each) for each in sorted(spellings, key=len, reverse=True)]
    joined = "|".join(parts).replace(r"\ ", "[-_ .]{0,3}").replace(r"\#", "[0-9]{0,3}").replace(r"\~", "[a-z0-9]*")
    return re.compile(rf"(?<![a-z0-9])(?:{joined})(?![a-z0-9])")
