"""Choose the layers of a run: three maps with their units, and up to five guides with their sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.appearance import Foldable, native_of, style, wrapped_label
from napari_swig_qmri._napari.parts.boxes import layer_box
from napari_swig_qmri._napari.parts.layer_choice import MAP_SUFFIXES, MAX_GUIDES
from napari_swig_qmri._napari.parts.viewer_layers import correct_unit, unit_of, units_of, volume_of
from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.sidecars import from_sidecar
from napari_swig_qmri.physics.sequence import summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

    from napari_swig_qmri._napari.parts.boxes import Layers
    from napari_swig_qmri.physics.signal_models import SignalModel


SHORT_UNITS = {"arbitrary": "a.u.", "percent": "%"}


@dataclass(frozen=True)
class MapChoice:
    """A map's layer and the unit its stored numbers are in (None: what the layer or its values say)."""

    layer: Image
    unit: str | None = None


class MapRow(QObject):
    """One map: its layer, the unit of its numbers, and what was assumed about it."""

    changed = Signal()
    chosen = Signal()  # by the user, not by a proposal

    def __init__(self, quantity: str, layers: Layers, parent: QWidget) -> None:
        super().__init__(parent)
        self._quantity = quantity
        self.layer = layer_box(layers, tooltip=f"Low-resolution {quantity} map; none leaves {quantity} out.")
        self.unit = ComboBox(
            choices=[(SHORT_UNITS.get(unit, unit), unit) for unit in units_of(quantity)],
            tooltip="Unit of the numbers in the file. Choosing another corrects the layer.",
        )
        native_of(self.unit).setFixedWidth(72)
        self.note = wrapped_label(role="assumption")
        self.layer.changed.connect(self._read_unit)
        self.layer.native.activated.connect(lambda _: self.chosen.emit())
        self.unit.changed.connect(self._correct_unit)
        self._read_unit(None)

    def value(self) -> MapChoice | None:
        """The layer and its unit; None without a layer."""
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
        self.unit.native.setVisible(layer is not None)
        self.note.setText("\n".join(notices))
        self.note.setVisible(bool(notices))
        self.changed.emit()

    def _correct_unit(self, unit: str) -> None:
        if self.layer.value is not None:
            correct_unit(self.layer.value, self._quantity, unit)
        self.changed.emit()


class MapChooser(QWidget):
    """The layers of the PD, T1 and T2 maps; emits `changed` with every change."""

    changed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.is_untouched = True
        self.rows = {quantity: MapRow(quantity, layers, self) for quantity in MAP_SUFFIXES}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.setColumnStretch(1, 1)
        self._stored = QLabel("Times are shown in ms. Unit in the file:")
        self._stored.setStyleSheet(style("note"))
        grid.addWidget(self._stored, 0, 0, 1, 3, Qt.AlignmentFlag.AlignRight)
        for number, (quantity, row) in enumerate(self.rows.items()):
            grid.addWidget(QLabel(quantity), 2 * number + 1, 0)
            grid.addWidget(row.layer.native, 2 * number + 1, 1)
            grid.addWidget(row.unit.native, 2 * number + 1, 2)
            grid.addWidget(row.note, 2 * number + 2, 0, 1, 3)
            row.changed.connect(self._show_header)
            row.chosen.connect(self._touch)
        self._show_header()

    def value(self) -> dict[str, MapChoice]:
        """The choices by quantity; quantities without a layer are left out."""
        choices = {name: row.value() for name, row in self.rows.items()}
        return {name: choice for name, choice in choices.items() if choice is not None}

    def set_value(self, choices: Mapping[str, MapChoice]) -> None:
        """Show a choice for each quantity named, none for the others."""
        for name, row in self.rows.items():
            row.set_value(choices.get(name))

    def refresh(self) -> None:
        """Follow the layers of the viewer."""
        for row in self.rows.values():
            row.layer.reset_choices()

    def _show_header(self) -> None:
        self._stored.setVisible(bool(self.value()))
        self.changed.emit()

    def _touch(self) -> None:
        self.is_untouched = False


@dataclass(frozen=True)
class GuideChoice:
    """A guide's layer, how it was acquired (None: not known yet), and whether it is used."""

    layer: Image | None
    sequence: SignalModel | None = None
    is_used: bool = True


class GuideRow(QWidget):
    """One guide: whether it is used, its layer, a line that sums up its acquisition, and the editor below that line."""

    changed = Signal()
    chosen = Signal()  # by the user, not by a proposal
    removed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.layer = layer_box(layers, tooltip="High-resolution weighted image that guides the resolution.")
        self.editor = AcquisitionEditor()
        self.notes = wrapped_label(role="assumption")
        self.fold = Foldable("", self.editor)
        self.use_box = QCheckBox()
        self.use_box.setToolTip("Use this guide. Without the tick it is left out and keeps its settings.")
        self.use_box.setChecked(True)
        self.remove_button = QToolButton()
        self.remove_button.setText("✕")
        self.remove_button.setToolTip("Take this guide off the list")
        line = QHBoxLayout()
        line.addWidget(self.use_box)
        line.addWidget(self.layer.native)
        line.addWidget(self.remove_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(line)
        layout.addWidget(self.fold)
        layout.addWidget(self.notes)
        self.layer.changed.connect(self._read_sidecar)
        self.layer.native.activated.connect(lambda _: self.chosen.emit())
        self.editor.changed.connect(self._sum_up)
        self.use_box.toggled.connect(self._use)
        self.remove_button.clicked.connect(self.removed)
        self._read_sidecar(None)

    def value(self) -> GuideChoice:
        """The layer, its sequence and whether it is used."""
        return GuideChoice(self.layer.value, self.editor.sequence(), self.use_box.isChecked())

    def set_value(self, choice: GuideChoice) -> None:
        """Show a layer, its sequence and whether it is used."""
        self.layer.value = choice.layer
        self.editor.set_value(choice.sequence)
        self.use_box.setChecked(choice.is_used)

    def _use(self, used: bool) -> None:
        for part in (self.layer.native, self.fold, self.notes):
            part.setEnabled(used)
        self.changed.emit()

    def _read_sidecar(self, layer: Image | None) -> None:
        sequence: SignalModel | None = None
        notices: tuple[str, ...] = ()
        if layer is not None:
            volume = volume_of(layer)
            suffix = volume.suffix or find_suffix(Evidence(stem=layer.name))[0]
            sequence, assumed = from_sidecar(volume.sidecar, suffix)
            notices = (*volume.notices, *assumed)
        self._show_notes(notices)
        self.fold.setVisible(layer is not None)
        self.editor.set_value(sequence)
        self.fold.set_unfolded(layer is not None and sequence is None)

    def _show_notes(self, notices: Sequence[str]) -> None:
        self.notes.setText("\n".join(notices))
        self.notes.setVisible(bool(notices))

    def _sum_up(self) -> None:
        sequence = self.editor.value()
        if sequence is not None:
            self.fold.set_title(summary(sequence))
        elif self.editor.problem():
            self.fold.set_title("These settings are impossible")
        else:
            self.fold.set_title("Acquisition unknown: choose the sequence")
        self.changed.emit()


class GuideList(QWidget):
    """Up to five guides; emits `changed` with every change."""

    changed = Signal()

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.is_untouched = True
        self._layers = layers
        self.rows: list[GuideRow] = []
        self.add_button = QPushButton("Add guide")
        self.add_button.setToolTip(f"Up to {MAX_GUIDES} guides. Each one that sees another mix of PD, T1, T2 helps.")
        self._column = QVBoxLayout()
        self._column.setSpacing(6)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._column)
        layout.addWidget(self.add_button)
        self.add_button.clicked.connect(self._add_by_user)

    def value(self) -> tuple[GuideChoice, ...]:
        """The guides in their order."""
        return tuple(row.value() for row in self.rows)

    def set_value(self, choices: Sequence[GuideChoice]) -> None:
        """Show these guides and no others."""
        self._set_number(len(choices))
        for row, choice in zip(self.rows, choices, strict=True):
            row.set_value(choice)

    def propose(self, layers: Sequence[Image]) -> None:
        """Show these layers with what their sidecars say; rows that show them already stay as they are."""
        if [row.layer.value for row in self.rows] == list(layers):
            return
        known = {id(choice.layer): choice for choice in self.value()}
        self._set_number(len(layers))
        for row, layer in zip(self.rows, layers, strict=True):
            if row.layer.value is layer:
                continue
            row.layer.value = layer
            row.use_box.setChecked(True)
            if id(layer) in known:
                row.set_value(known[id(layer)])

    def refresh(self) -> None:
        """Follow the layers of the viewer; the row of a layer that went away goes with it."""
        for row in list(self.rows):
            gone = row.layer.value is not None and row.layer.value not in self._layers()
            if gone:
                self._remove(row)
            else:
                row.layer.reset_choices()

    def problems(self) -> list[str]:
        """What keeps guides from being used, one sentence each."""
        return [
            f"Guide {row.layer.value.name if row.layer.value else number}: {row.editor.problem()}"
            for number, row in enumerate(self.rows, start=1)
            if row.use_box.isChecked() and row.editor.problem()
        ]

    def _set_number(self, number: int) -> None:
        while len(self.rows) > number:
            self._remove(self.rows[-1])
        while len(self.rows) < number:
            self._add()

    def _add(self) -> GuideRow:
        row = GuideRow(self._layers)
        row.changed.connect(self.changed)
        row.chosen.connect(self._touch)
        row.removed.connect(lambda: self._remove_by_user(row))
        self.rows.append(row)
        self._column.addWidget(row)
        self._after_count_change()
        return row

    def _remove(self, row: GuideRow) -> None:
        self.rows.remove(row)
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._after_count_change()

    def _add_by_user(self) -> None:
        self._touch()
        self._add()

    def _remove_by_user(self, row: GuideRow) -> None:
        self._touch()
        self._remove(row)

    def _touch(self) -> None:
        self.is_untouched = False

    def _after_count_change(self) -> None:
        self.add_button.setEnabled(len(self.rows) < MAX_GUIDES)
        self.changed.emit()
