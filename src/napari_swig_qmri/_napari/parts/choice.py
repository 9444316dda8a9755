"""A box to choose one of several things that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_swig_qmri._napari.parts.appearance import MiddleElided

if TYPE_CHECKING:
    from collections.abc import Sequence

CHOOSE = "Choose a file…"


class Choice(QComboBox):
    """Texts that stand for values; emits `chosen` whenever the value becomes another, by whomever."""

    chosen = Signal()

    def __init__(self, tooltip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip(tooltip)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setMinimumWidth(60)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        MiddleElided(self)
        self._values: list[Any] = []
        self._last: Any = None
        self.currentIndexChanged.connect(self._tell)

    def value(self) -> Any:
        """What is chosen; None without choices."""
        index = self.currentIndex()
        return self._values[index] if 0 <= index < len(self._values) else None

    def set_value(self, value: Any) -> None:
        """Choose a value that is offered; another one is passed over."""
        if value in self._values:
            self.setCurrentIndex(self._values.index(value))

    def set_choices(self, choices: Sequence[tuple[str, Any]]) -> None:
        """Offer these texts and values; what was chosen stays chosen where it is still there, else the first is."""
        kept = bool(self._values) and self.value() in [value for _, value in choices]
        before = self.value()
        self.blockSignals(True)
        self.clear()
        self.addItems([text for text, _ in choices])
        self._values = [value for _, value in choices]
        self.setCurrentIndex(self._values.index(before) if kept else min(0, len(choices) - 1))
        self.blockSignals(False)
        self.setEnabled(len(choices) > 0)
        self._tell()

    def _tell(self) -> None:
        if self.value() != self._last:
            self._last = self.value()
            self.chosen.emit()
