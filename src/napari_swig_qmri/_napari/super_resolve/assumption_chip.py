"""One line on what was assumed about an image, with buttons that confirm it and save it to the sidecar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_swig_qmri._napari.parts.appearance import Foldable, sentence, set_role, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import button, column
from napari_swig_qmri.data.recognition.sidecars import REMEDY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

IF_WRONG = f"; if wrong, {REMEDY}"
ABOVE = "choose it above"  # in the window, in place of the advice to edit a file


class AssumptionChip(QWidget):
    """Number of assumptions, whose sentences unfold, until they are confirmed or replaced; then an offer to save them.

    It is hidden where nothing was assumed.
    """

    confirmed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._save: Callable[[], Path] | None = None
        self.details = wrapped_label(role="assumption")
        self.confirm_button = button("Confirm", "What was assumed is right.", self.confirmed.emit)
        self.save_button = button(
            "Save to sidecar", "Write this into the JSON file beside the image, for the next time.", self.save
        )
        for each in (self.confirm_button, self.save_button):
            each.native.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.fold = Foldable("", self.details, beside=(self.confirm_button.native, self.save_button.native))
        set_role(self.fold.button, "assumption")
        self.outcome = wrapped_label(role="note")
        self.setLayout(column(self.fold, self.outcome, spacing=0))
        self.show_assumptions(())

    def show_assumptions(self, sentences: Sequence[str], *, can_confirm: bool = True) -> None:
        """Show what was assumed; hides the chip if nothing was."""
        texts = [sentence(each.replace(IF_WRONG, "").replace(REMEDY, ABOVE)) for each in sentences]
        count = "1 assumption" if len(texts) == 1 else f"{len(texts)} assumptions"
        self._show(count, "\n".join(texts), can_confirm=can_confirm)
        self.setVisible(bool(texts))

    def show_confirmed(self, save: Callable[[], Path] | None) -> None:
        """Offer to save what the user confirmed or typed; `save` returns the sidecar, and is None without a file."""
        self._save = save
        self._show("Confirmed", "")
        self.setVisible(save is not None)

    def save(self) -> None:
        """Save to the sidecar, and say so or why not."""
        if self._save is None:
            return
        try:
            path = self._save()
        except (OSError, ValueError) as error:
            set_role(self.outcome, "problem")
            set_text(self.outcome, sentence(str(error)))
            return
        self._save = None
        self._show("", "")
        set_role(self.outcome, "note")
        set_text(self.outcome, f"Saved to {path.name}.")

    def _show(self, title: str, details: str, *, can_confirm: bool = False) -> None:
        self.fold.set_title(title)
        self.fold.button.setEnabled(bool(details))
        self.fold.setVisible(bool(title))
        self.fold.set_unfolded(False)
        self.details.setText(details)
        self.confirm_button.visible = can_confirm
        self.save_button.visible = self._save is not None
        set_text(self.outcome, "")
