"""Choose the layers of a run: three maps with their units, and up to five guides with their sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.appearance import Foldable, set_role
from napari_swig_qmri._napari.parts.boxes import Layers, button, column, layer_box, native_of, row
from napari_swig_qmri._napari.parts.layer_choice import MAP_SUFFIXES
from napari_swig_qmri._napari.parts.viewer_layers import (
    accept,
    correct_unit,
    saver,
    sequence_of,
    unit_of,
    units_of,
    volume_of,
)
from napari_swig_qmri._napari.super_resolve.assumption_chip import AssumptionChip
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.physics.sequence import summary
from napari_swig_qmri.super_resolution.options import MAX_GUIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

    from napari_swig_qmri.physics.signal_models import SignalModel


SHORT_UNITS = {"arbitrary": "a.u.", "percent": "%"}
UNIT_WIDTH, TICK_WIDTH, REMOVE_WIDTH = 72, 20, 26  # pixels


@dataclass(frozen=True)
class MapChoice:
    """Layer of a map, and the unit of its stored numbers; by default the unit that the layer or its values suggest."""

    layer: Image
    unit: str | None = None


@dataclass(frozen=True)
class GuideChoice:
    """Layer of a guide, its sequence (None if unknown), and whether the guide is used."""

    layer: Image | None
    sequence: SignalModel | None = None
    is_used: bool = True


class MapRow(QObject):
    """Boxes for the layer and the unit of one map, and a note with the assumptions about it."""

    changed = Signal()
    chosen = Signal()  # the user chose a layer

    def __init__(self, quantity: str, layers: Layers, parent: QWidget) -> None:
        super().__init__(parent)
        self._quantity = quantity
        self.layer = layer_box(layers, tooltip=f"Low-resolution {quantity} map. Choose none to leave {quantity} out.")
        self.unit = ComboBox(
            choices=[(SHORT_UNITS.get(unit, unit), unit) for unit in units_of(quantity)],
            tooltip="Unit of the numbers in the file. Choosing another unit corrects the layer.",
        )
        native_of(self.unit).setFixedWidth(UNIT_WIDTH)
        self.chip = AssumptionChip()
        self.layer.changed.connect(self._read_unit)
        self.layer.native.activated.connect(lambda _: self.chosen.emit())
        self.unit.changed.connect(self._correct_unit)
        self.chip.confirmed.connect(self._confirm)
        self._read_unit(None)

    def value(self) -> MapChoice | None:
        """Layer and unit; None without a layer."""
        return None if self.layer.value is None else MapChoice(self.layer.value, self.unit.value)

    def set_value(self, choice: MapChoice | None) -> None:
        """Show a layer and its unit."""
        self.layer.value = None if choice is None else choice.layer
        if choice is not None and choice.unit is not None:
            self.unit.value = choice.unit

    def _read_unit(self, layer: Image | None) -> None:
        notices: tuple[str, ...] = ()
        if layer is not None:
            volume = volume_of(layer)
            unit, assumed = unit_of(volume, self._quantity)
            notices = (*volume.notices, *assumed)
            with self.unit.changed.blocked():
                self.unit.value = unit
        self.unit.visible = layer is not None
        self.chip.show_assumptions(notices)
        self.changed.emit()

    def _correct_unit(self, unit: str) -> None:
        if self.layer.value is not None:
            correct_unit(self.layer.value, self._quantity, unit)
            self._confirm()

    def _confirm(self) -> None:
        """Take the shown unit for known."""
        layer, fields = self.layer.value, {"Units": self.unit.value}
        if layer is not None:
            accept(layer, fields)
            self.chip.show_confirmed(saver(layer, fields))
        self.changed.emit()


class MapChooser(QWidget):
    """Rows for the PD, T1 and T2 maps."""

    changed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.is_untouched = True  # the user has chosen no layer yet
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.setColumnStretch(1, 1)
        self._unit_label = QLabel()
        self._unit_label.setText(f"Times are shown in ms. {LABELS['units']}:")
        set_role(self._unit_label, "note")
        grid.addWidget(self._unit_label, 0, 0, 1, 3, Qt.AlignmentFlag.AlignRight)
        self.rows = {quantity: MapRow(quantity, layers, self) for quantity in MAP_SUFFIXES}
        for number, (quantity, each) in enumerate(self.rows.items()):
            grid.addWidget(QLabel(quantity), 2 * number + 1, 0)
            grid.addWidget(each.layer.native, 2 * number + 1, 1)
            grid.addWidget(each.unit.native, 2 * number + 1, 2)
            grid.addWidget(each.chip, 2 * number + 2, 0, 1, 3)
            each.changed.connect(self._update)
            each.chosen.connect(self._touch)
        self._update()

    def value(self) -> dict[str, MapChoice]:
        """Choices by quantity; quantities without a layer are left out."""
        choices = {name: each.value() for name, each in self.rows.items()}
        return {name: choice for name, choice in choices.items() if choice is not None}

    def set_value(self, choices: Mapping[str, MapChoice]) -> None:
        """Show the choices, and none for quantities without one."""
        for name, each in self.rows.items():
            each.set_value(choices.get(name))

    def propose(self, layers: Mapping[str, Image]) -> None:
        """Show these layers by quantity; rows that show them already keep their unit."""
        for name, each in self.rows.items():
            each.layer.value = layers.get(name)

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        for each in self.rows.values():
            each.layer.reset_choices()

    def _update(self) -> None:
        self._unit_label.setVisible(bool(self.value()))
        self.changed.emit()

    def _touch(self) -> None:
        self.is_untouched = False


class GuideRow(QWidget):
    """Boxes for one guide: whether it is used, its layer, and its sequence in a part that folds."""

    changed = Signal()
    chosen = Signal()  # the user chose a layer
    removed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.use_box = CheckBox(
            value=True, tooltip="Use this guide. A guide without the tick is left out and keeps its settings."
        )
        self.layer = layer_box(layers, tooltip="High-resolution weighted image")
        self.remove_button = button("✕", "Remove this guide from the list", self.removed.emit)
        self.editor = AcquisitionEditor()
        self.fold = Foldable("", self.editor)
        self.chip = AssumptionChip()
        self._read: SignalModel | None = None  # sequence from the sidecar, or assumed
        line = row(self.use_box, self.layer, self.remove_button)
        self.use_box.native.setFixedWidth(TICK_WIDTH)
        self.remove_button.native.setFixedWidth(REMOVE_WIDTH)
        self.setLayout(column(line, self.fold, self.chip, spacing=0))
        self.layer.changed.connect(self._read_sidecar)
        self.layer.native.activated.connect(lambda _: self.chosen.emit())
        self.editor.changed.connect(self._sum_up)
        self.use_box.changed.connect(self._use)
        self.chip.confirmed.connect(self._confirm)
        self._read_sidecar(None)

    def value(self) -> GuideChoice:
        """Layer, sequence and whether the guide is used."""
        return GuideChoice(self.layer.value, self.editor.sequence(), self.use_box.value)

    def set_value(self, choice: GuideChoice) -> None:
        """Show a layer, its sequence and whether it is used."""
        self.layer.value = choice.layer
        self.editor.set_value(choice.sequence)
        self.use_box.value = choice.is_used

    def _use(self, used: bool) -> None:
        for part in (self.layer.native, self.fold, self.chip):
            part.setEnabled(used)
        self.changed.emit()

    def _read_sidecar(self, layer: Image | None) -> None:
        sequence: SignalModel | None = None
        notices: tuple[str, ...] = ()
        if layer is not None:
            sequence, notices = sequence_of(layer)
        self._read = sequence
        self.chip.show_assumptions(notices, can_confirm=sequence is not None)
        self.fold.setVisible(layer is not None)
        self.editor.set_value(sequence)
        self.fold.set_unfolded(layer is not None and sequence is None)

    def _sum_up(self) -> None:
        """Show the sequence in the title of the part that folds."""
        sequence = self.editor.value()
        if sequence is not None:
            self.fold.set_title(summary(sequence))
            if sequence != self._read:
                self._confirm()
                return
        elif self.editor.problem():
            self.fold.set_title("These settings are impossible")
        else:
            self.fold.set_title("Acquisition unknown: choose the sequence")
        self.changed.emit()

    def _confirm(self) -> None:
        """Take the shown sequence for known, because the user confirmed or chose it."""
        layer, sequence = self.layer.value, self.editor.sequence()
        if layer is not None and sequence is not None:
            self._read, fields = sequence, to_sidecar(sequence)
            accept(layer, fields)
            self.chip.show_confirmed(saver(layer, fields))
        self.changed.emit()


class GuideList(QWidget):
    """Up to five rows of guides, and a button that adds one."""

    changed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.is_untouched = True  # the user has chosen no guide and removed none yet
        self._layers = layers
        self.rows: list[GuideRow] = []
        self.add_button = button(
            "Add guide",
            f"Up to {MAX_GUIDES} guides. A guide helps most if it weights PD, T1 and T2 unlike the others.",
            self._add_by_user,
        )
        self._column: QVBoxLayout = column(spacing=6)
        self.setLayout(column(self._column, self.add_button, spacing=6))

    def value(self) -> tuple[GuideChoice, ...]:
        """Choices in the order of the rows."""
        return tuple(each.value() for each in self.rows)

    def set_value(self, choices: Sequence[GuideChoice]) -> None:
        """Show these guides and no others."""
        self._set_number(len(choices))
        for each, choice in zip(self.rows, choices, strict=True):
            each.set_value(choice)

    def propose(self, layers: Sequence[Image]) -> None:
        """Show these layers with the sequences of their sidecars; rows that show them already stay as they are.

        Empty rows are filled first; if there is nothing new to show, they stay.
        """
        if [each.layer.value for each in self.rows if each.layer.value is not None] == list(layers):
            return
        known = {id(choice.layer): choice for choice in self.value()}
        self._set_number(len(layers))
        for each, layer in zip(self.rows, layers, strict=True):
            if each.layer.value is layer:
                continue
            each.layer.value = layer
            each.use_box.value = True
            if id(layer) in known:
                each.set_value(known[id(layer)])

    def refresh(self) -> None:
        """Follow the layers of the viewer; the row of a removed layer is removed."""
        for each in list(self.rows):
            if each.layer.value is not None and each.layer.value not in self._layers():
                self._remove(each)
            else:
                each.layer.reset_choices()

    def problems(self) -> list[str]:
        """Impossible settings of the guides in use, one sentence each."""
        return [
            f"Guide {each.layer.value.name if each.layer.value else number}: {each.editor.problem()}"
            for number, each in enumerate(self.rows, start=1)
            if each.use_box.value and each.editor.problem()
        ]

    def _set_number(self, number: int) -> None:
        while len(self.rows) > number:
            self._remove(self.rows[-1])
        while len(self.rows) < number:
            self._add()

    def _add(self) -> None:
        guide = GuideRow(self._layers)
        guide.changed.connect(self.changed)
        guide.chosen.connect(self._touch)
        guide.removed.connect(lambda: self._remove_by_user(guide))
        self.rows.append(guide)
        self._column.addWidget(guide)
        self._after_count_change()

    def _remove(self, guide: GuideRow) -> None:
        self.rows.remove(guide)
        self._column.removeWidget(guide)
        guide.hide()
        guide.deleteLater()
        self._after_count_change()

    def _add_by_user(self) -> None:
        self._add()

    def _remove_by_user(self, guide: GuideRow) -> None:
        if guide.layer.value is not None:
            self._touch()
        self._remove(guide)

    def _touch(self) -> None:
        self.is_untouched = False

    def _after_count_change(self) -> None:
        self.add_button.enabled = len(self.rows) < MAX_GUIDES
        self.changed.emit()
