"""What a file says about the image it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray

_OTHER_WORDS = r"(?:sub|ses|run|space|from|to|res)-[a-z0-9]+"  # labels that do not tell the kind
_TEXT_KEYS = ("Quantity", "SeriesDescription", "ProtocolName", "Description", "SequenceName")


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Everything that can tell what a file holds, in the order in which it is believed."""

    stem: str  # file name without extension
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    header_text: str = ""  # free-text fields of the header
    values: FloatArray | None = None  # any shape, in the file's unit
    time_unit: str | None = None  # s or ms, of relaxation times; overrides sidecar, header and values
    default_unit: str | None = None  # s or ms, of relaxation times whose unit neither sidecar nor header states

    @property
    def series(self) -> str:
        """Descriptive texts of the sidecar in one string."""
        return " ".join(str(self.sidecar[key]) for key in _TEXT_KEYS if key in self.sidecar)

    @property
    def image_type(self) -> str:
        """DICOM's image type, as in ``DERIVED/PRIMARY/T1``."""
        value = self.sidecar.get("ImageType", "")
        return "/".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value).replace("\\", "/")


def without_labels(text: str) -> str:
    """A text without the labels that do not tell the kind."""
    return re.sub(rf"(?<![a-z0-9]){_OTHER_WORDS}", "", text, flags=re.IGNORECASE)
