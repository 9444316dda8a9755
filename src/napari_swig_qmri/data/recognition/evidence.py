"""Information about the kind, unit and sequence of an image, and what was concluded from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

LONGEST_TEXT = 1000  # characters that are searched
_TEXT_KEYS = ("Quantity", "SeriesDescription", "ProtocolName", "Description", "SequenceName")
Confidence = Literal["sure", "likely", "ask"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Information about the kind, unit and sequence of an image."""

    stem: str  # file name without extension
    path: Path | None = None  # of the file, whose folder and extension tell its program
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    header_text: str = ""  # free-text fields of the header
    values: FloatArray | None = None  # any shape, in the unit of the file; None if not read
    time_unit: str | None = None  # s or ms, of relaxation times; overrides sidecar, header and values
    default_unit: str | None = None  # s or ms, of relaxation times whose unit neither sidecar nor header states
    notices: tuple[str, ...] = ()  # on sidecars that could not be read in full, one sentence each

    @property
    def series(self) -> str:
        """Descriptive texts of the sidecar, joined by blanks."""
        return " ".join(str(self.sidecar[key]) for key in _TEXT_KEYS if key in self.sidecar)[:LONGEST_TEXT]

    @property
    def image_type(self) -> str:
        """DICOM image type, such as ``DERIVED/PRIMARY/T1``; empty if missing."""
        value = self.sidecar.get("ImageType", "")
        text = "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value).replace("\\", "/")
        return text[:LONGEST_TEXT]

    @property
    def folder(self) -> str:
        """Name of the folder of the file in lower case; empty if unknown."""
        return self.path.parent.name.lower() if self.path else ""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Kind of an image, and why.

    `notices` are sentences on assumptions for the user, empty if the kind is told by a BIDS name or a sidecar.
    """

    suffix: str | None = None  # BIDS suffix; None for images that are neither map, guide, mask nor labels
    confidence: Confidence = "sure"
    reasons: tuple[str, ...] = ()  # one sentence each
    notices: tuple[str, ...] = ()
    needs_values: bool = False  # whether the values decide about the kind, and were not given
