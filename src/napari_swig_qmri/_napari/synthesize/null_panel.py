"""Choice of the T1 that an inversion nulls: the T1 of a tissue, a typed T1, or the T1 of a clicked voxel."""

from __future__ import annotations

from dataclasses import dataclass, replace

from magicgui.widgets import CheckBox, FloatSpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QWidget

from napari_swig_qmri._napari.parts.appearance import show_note, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, button, column, row
from napari_swig_qmri.physics.nulling import NULLED_TISSUES

NOTHING, ANY_T1 = "nothing", "a T1 of"
LONGEST_T1 = 20.0  # s
T1_RANGE = "Plausible T1: {low:g} to {high:g} ms (the range is our choice)."


@dataclass(frozen=True)
class NullChoice:
    """Tissues to null, and whether they stay nulled when other settings change."""

    tissue: str = NOTHING  # a key of NULLED_TISSUES, NOTHING, or ANY_T1
    other: str = NOTHING  # second tissue, for sequences with two inversions
    t1: float = 1.0  # s, used if `tissue` is ANY_T1
    is_locked: bool = True
    t2: float | None = None  # s, of the voxel that `t1` was taken from


class NullPanel(QWidget):
    """Boxes for the T1 to null; emits `changed` when the choice changes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._field = 3.0  # T
        self._picked: tuple[float, float | None] = (0.0, None)  # T1 in ms and T2 in s of the picked voxel
        self.tissue_box = ChoiceBox(lambda: self._choices(ANY_T1), value=NOTHING)
        self.other_box = ChoiceBox(self._choices, value=NOTHING)
        self.t1_box = FloatSpinBox(label="T1", min=1, max=1e3 * LONGEST_T1, step=10, value=1000)
        self.t1_box.native.setSuffix(" ms")
        self.t1_box.native.setDecimals(1)
        self.pick_button = button("From voxel", "Click into a synthetic contrast afterwards to null the T1 there.")
        self.pick_button.native.setCheckable(True)
        self.lock_box = CheckBox(
            text="Keep it nulled",
            value=True,
            tooltip="Adjust the inversion time whenever TR, the echo train or another setting changes.",
        )
        self.note = wrapped_label(role="note")
        self._and = QLabel("and")
        self._lay_out()
        for box in (self.tissue_box, self.other_box, self.t1_box, self.lock_box):
            box.changed.connect(self._update)
        self.set_value(NullChoice())

    def value(self) -> NullChoice:
        """Current choice."""
        other = self.other_box.value if not self.other_box.native.isHidden() else NOTHING
        t1, t2 = self._picked
        t2 = t2 if self.tissue_box.value == ANY_T1 and self.t1_box.value == t1 else None
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
        self._update()

    def t1s(self) -> tuple[float, ...]:
        """T1 to null in s; zero, one or two values."""
        choice = self.value()
        return tuple(
            choice.t1 if name == ANY_T1 else NULLED_TISSUES[name].t1[self._field] for name in _nulled_names(choice)
        )

    def t2s(self) -> tuple[float | None, ...]:
        """T2 in s of the same tissues, None where it is unknown."""
        return (self.value().t2, None)[: len(self.t1s())]

    def name(self) -> str:
        """Short name of the nulled tissues, such as ``CSF and WM``; empty if none."""
        choice = self.value()
        return " and ".join(
            f"T1 {1e3 * choice.t1:.4g} ms" if name == ANY_T1 else name for name in _nulled_names(choice)
        )

    def show_times(self, t1: float, t2: float | None) -> None:
        """Choose T1 and T2 of a voxel, in s."""
        self.pick_button.value = False
        self.set_value(NullChoice(ANY_T1, self.value().other, t1, self.value().is_locked, t2))

    def show_field(self, field_strength: float) -> None:
        """Offer the tissues whose T1 is known at a field strength in T."""
        before = self.value()
        self._field = field_strength
        with self.tissue_box.changed.blocked(), self.other_box.changed.blocked():
            for box in (self.tissue_box, self.other_box):
                box.reset_choices()
        known = {NOTHING, ANY_T1, *self._tissues()}
        tissue, other = (name if name in known else NOTHING for name in (before.tissue, before.other))
        self.set_value(replace(before, tissue=tissue, other=other))

    def show_for(self, *, n_inversions: int) -> None:
        """Offer as many tissues as the sequence has inversions, up to two; hide the panel if it has none."""
        self.setVisible(n_inversions > 0)
        for part in (self._and, self.other_box.native):
            part.setVisible(n_inversions > 1)

    def say(self, problem: str) -> None:
        """Show why a T1 cannot be nulled, or, without a problem, the range of its T1."""
        tissue = self.value().tissue
        limits = NULLED_TISSUES[tissue].t1_range[self._field] if tissue in NULLED_TISSUES else None
        notes = [] if limits is None else [T1_RANGE.format(low=1e3 * limits[0], high=1e3 * limits[1])]
        notes += ["The inversion time is adjusted."] if self.t1s() and self.value().is_locked else []
        show_note(self.note, problem or " ".join(notes), problem=bool(problem))

    def _update(self) -> None:
        self.t1_box.native.setVisible(self.tissue_box.value == ANY_T1)
        self.lock_box.native.setVisible(self.tissue_box.value != NOTHING)
        self.say("")
        self.changed.emit()

    def _tissues(self) -> list[str]:
        return [name for name, tissue in NULLED_TISSUES.items() if self._field in tissue.t1]

    def _choices(self, *more: str) -> list[tuple[str, str]]:
        tissues = [(f"{name}, {1e3 * NULLED_TISSUES[name].t1[self._field]:g} ms", name) for name in self._tissues()]
        return [(NOTHING, NOTHING), *tissues, *((name, name) for name in more)]

    def _lay_out(self) -> None:
        rows = (
            row(QLabel("Null"), self.tissue_box, self.t1_box, self.pick_button, stretch=(0, 1, 1, 0)),
            row(self._and, self.other_box),
            self.lock_box,
        )
        self.setLayout(column(*rows, self.note, spacing=2))


def _nulled_names(choice: NullChoice) -> list[str]:
    return [name for name in (choice.tissue, choice.other) if name != NOTHING]
