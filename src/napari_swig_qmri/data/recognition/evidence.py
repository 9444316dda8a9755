"""Information in a file about the kind and unit of its image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

_OTHER_WORDS = r"(?:sub|ses|run|space|from|to|res)-[a-z0-9]+"  # BIDS entities, unrelated to the kind of image
LONGEST_TEXT = 1000  # characters that are searched
_TEXT_KEYS = ("Quantity", "SeriesDescription", "ProtocolName", "Description", "SequenceName")


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Information about the kind and unit of an image. For the kind, earlier fields take precedence."""

    stem: str  # file name without extension
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    header_text: str = ""  # free-text fields of the header
    values: FloatArray | None = None  # any shape, in the unit of the file
    time_unit: str | None = None  # s or ms, of relaxation times; overrides sidecar, header and values
    default_unit: str | None = None  # s or ms, of relaxation times whose unit neither sidecar nor header states

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


def without_labels(text: str) -> str:
    """Text without the BIDS entities that say nothing about the kind of image."""
    return re.sub(rf"(?<![a-z0-9]){_OTHER_WORDS}", "", text, flags=re.IGNORECASE)
