"""Choose a T1 that gives no signal: that of a tissue, a number, or the one of a voxel in the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.appearance import native_of, sentence, set_text, style, wrapped_label
from napari_swig_qmri.physics.nulling import TISSUES
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

NOTHING, OWN = "nothing", "a T1 of"
LONGEST_T1 = 20.0  # s
RANGE = "T1 may be {low:g} to {high:g} ms (the range is our choice)."


@dataclass(frozen=True)
class NullChoice:
    """Tissues to null, and whether they stay nulled while other settings change."""

    tissue: str = NOTHING  # a key of TISSUES, NOTHING, or OWN
    other: str = NOTHING  # a second tissue, for two inversions
    t1: float = 1.0  # s, where `tissue` is OWN
    is_locked: bool = True
    t2: float | None = None  # s, of the voxel that `t1` was taken from


class NullPanel(QWidget):
    """Which T1 is nulled; emits `changed` when a person chooses another."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._field = 3.0
        self._picked: tuple[float, float | None] = (0.0, None)  # T1 on show in ms, and T2 in s of the same voxel
        self.tissue_box = ComboBox(label="Null", choices=lambda _: self._listed(OWN), value=NOTHING)
        self.other_box = ComboBox(label="and", choices=lambda _: self._listed(), value=NOTHING)
        self.t1_box = FloatSpinBox(label="T1", min=1, max=1e3 * LONGEST_T1, step=10, value=1000)
        self.t1_box.native.setSuffix(" ms")
        self.t1_box.native.setDecimals(1)
        self.pick_button = QPushButton("Take T1 from a voxel")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip("Then click into a synthetic contrast: the T1 there is nulled.")
        self.lock_box = CheckBox(
            text="Keep it nulled",
            value=True,
            tooltip="The inversion time follows TR, the echo train and the other settings.",
        )
        self.note = wrapped_label(role="note")
        self._and = QLabel("and")
        self._lay_out()
        for box in (self.tissue_box, self.other_box, self.t1_box, self.lock_box):
            box.changed.connect(self._tell)
        self.set_value(NullChoice())

    def value(self) -> NullChoice:
        """What is chosen."""
        other = self.other_box.value if not self.other_box.native.isHidden() else NOTHING
        t1, t2 = self._picked
        t2 = t2 if self.tissue_box.value == OWN and self.t1_box.value == t1 else None
        return NullChoice(self.tissue_box.value, other, self.t1_box.value / 1e3, self.lock_box.value, t2)

    def set_value(self, choice: NullChoice) -> None:
        """Show a choice."""
        with self.tissue_box.changed.blocked(), self.other_box.changed.blocked(), self.t1_box.changed.blocked():
            self.tissue_box.value = choice.tissue
            self.other_box.value = choice.other
            self.t1_box.value = 1e3 * choice.t1
        self._picked = (self.t1_box.value, choice.t2)
        with self.lock_box.changed.blocked():
            self.lock_box.value = choice.is_locked
        self._tell()

    def t1s(self) -> tuple[float, ...]:
        """The T1 to null in s; none, one or two."""
        choice = self.value()
        chosen = [name for name in (choice.tissue, choice.other) if name != NOTHING]
        return tuple(choice.t1 if name == OWN else TISSUES[name].t1[self._field] for name in chosen)

    def name(self) -> str:
        """What is nulled, in a few words; empty where nothing is."""
        choice = self.value()
        chosen = [name for name in (choice.tissue, choice.other) if name != NOTHING]
        return " and ".join(f"T1 {1e3 * choice.t1:.4g} ms" if name == OWN else name for name in chosen)

    def t2s(self) -> tuple[float | None, ...]:
        """The T2 in s that belongs to each of the T1 to null, where it is known."""
        return (self.value().t2, None)[: len(self.t1s())]

    def show_times(self, t1: float, t2: float | None) -> None:
        """Choose T1 and T2 in s, as those of a voxel."""
        self.pick_button.setChecked(False)
        self.set_value(NullChoice(OWN, self.value().other, t1, self.value().is_locked, t2))

    def show_field(self, field_strength: float) -> None:
        """Offer the tissues whose T1 is known at a field strength in T."""
        before = self.value()
        self._field = field_strength
        with self.tissue_box.changed.blocked(), self.other_box.changed.blocked():
            for box in (self.tissue_box, self.other_box):
                box.native.clear()  # the labels hold the T1, which is another one now
                box.reset_choices()
        known = {NOTHING, OWN, *self._tissues()}
        tissue, other = (name if name in known else NOTHING for name in (before.tissue, before.other))
        self.set_value(replace(before, tissue=tissue, other=other))

    def show_for(self, *, n_inversions: int) -> None:
        """Offer two tissues for two inversions, and nothing for none."""
        self.setVisible(n_inversions > 0)
        for part in (self._and, self.other_box.native):
            part.setVisible(n_inversions > 1)

    def say(self, text: str) -> None:
        """Show why a T1 cannot be nulled; the range of its tissue if there is no reason."""
        tissue = self.value().tissue
        range_of = TISSUES[tissue].t1_range[self._field] if tissue in TISSUES else None
        known = [] if range_of is None else [RANGE.format(low=1e3 * range_of[0], high=1e3 * range_of[1])]
        known += ["The inversion time follows."] if self.t1s() and self.value().is_locked else []
        self.note.setStyleSheet(style("problem" if text else "note"))
        set_text(self.note, sentence(text) or " ".join(known))

    def _tell(self) -> None:
        own, something = self.tissue_box.value == OWN, self.tissue_box.value != NOTHING
        self.t1_box.native.setVisible(own)
        self.lock_box.native.setVisible(something)
        self.say("")
        self.changed.emit()

    def _tissues(self) -> list[str]:
        return [name for name, tissue in TISSUES.items() if self._field in tissue.t1]

    def _listed(self, *more: str) -> list[tuple[str, str]]:
        tissues = [(f"{name}, {1e3 * TISSUES[name].t1[self._field]:g} ms", name) for name in self._tissues()]
        return [(NOTHING, NOTHING), *tissues, *((name, name) for name in more)]

    def _lay_out(self) -> None:
        rows = (
            (QLabel("Null"), native_of(self.tissue_box), native_of(self.t1_box)),
            (self._and, native_of(self.other_box)),
            (self.pick_button, native_of(self.lock_box)),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for parts in rows:
            row = QHBoxLayout()
            row.setSpacing(4)
            for part in parts:
                row.addWidget(part)
            layout.addLayout(row)
        layout.addWidget(self.note)


def times_at(layers: Sequence[Image], position: Sequence[float]) -> tuple[float, float | None] | None:
    """T1 and T2 in s of the voxel of a synthetic contrast at a place in the world; None where there is no T1.

    Of contrasts that lie over each other the finest is read.
    """
    for layer in sorted(layers, key=lambda each: float(np.prod(each.scale))):
        if not isinstance(layer.data, LazyContrast):
            continue
        index = np.round(layer.world_to_data(position)).astype(int)
        if index.size == layer.data.ndim and (index >= 0).all() and (index < layer.data.shape).all():
            contrast = layer.data
            t1, t2 = (math.nan if each is None else float(each[tuple(index)]) for each in (contrast.t1, contrast.t2))
            if np.isfinite(t1) and t1 > 0:
                return t1, t2 if np.isfinite(t2) and t2 > 0 else None
    return None
