"""Edit how a run computes: method, weights, voxel size, device, mask and memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QWidget

from napari_swig_qmri._napari.parts.appearance import form, native_of, sentence, wrapped_label
from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE, ChoiceBox, layer_box
from napari_swig_qmri._napari.parts.preferences import GIGABYTE
from napari_swig_qmri.super_resolution.options import METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer

DEVICES = ["auto", "cuda", "mps", "cpu"]


class WeightsBox(ChoiceBox):
    """Chooser of the weights of the package, of files opened before, and of another file."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._chosen = DEFAULT_WEIGHTS
        super().__init__(self._names, label="Weights", value=DEFAULT_WEIGHTS)
        self.changed.connect(self._open)

    @property
    def chosen(self) -> str:
        """Name or file of the weights."""
        return self._chosen

    def show_weights(self, name: str) -> None:
        """Show weights by their name or file, and list a new file."""
        if name not in WEIGHTS and name not in self._files:
            self._files.append(name)
        self._chosen = name
        with self.changed.blocked():
            self.reset_choices()
            self.value = name
        for index, (_, each) in enumerate(self._names()):
            self.native.setItemData(index, "" if each == CHOOSE_FILE else explained(each), Qt.ItemDataRole.ToolTipRole)

    def _names(self) -> list[tuple[str, str]]:
        return [*((Path(name).name, name) for name in (*WEIGHTS, *self._files)), (CHOOSE_FILE, CHOOSE_FILE)]

    def _open(self, name: str) -> None:
        """Show the chosen weights, or those of a file chosen in a dialog."""
        if name == CHOOSE_FILE:
            folder = "" if self._chosen in WEIGHTS else str(Path(self._chosen).parent)
            name, _ = QFileDialog.getOpenFileName(
                self.native, "Weights of a network", folder, "Weights (*.safetensors);;All files (*)"
            )
        self.show_weights(name or self._chosen)


class OptionsEditor(QWidget):
    """How to compute, each option with one line that says what it does."""

    changed = Signal()

    def __init__(self, options: Options, masks: Callable[[], list[Layer]], weights: str = DEFAULT_WEIGHTS) -> None:
        super().__init__()
        self._options = options
        self.method_box = ComboBox(label="Method", choices=[(name.capitalize(), name) for name in METHODS])
        self.weights_box = WeightsBox()
        self._voxel_size = FloatSpinBox(label="Voxel size", min=0, max=20, step=0.1)
        self._device = ComboBox(label="Device", choices=DEVICES)
        self._memory = FloatSpinBox(label="Memory limit", min=0, max=4096, step=1)
        self.mask_box = layer_box(masks, label="Mask")
        for spin_box, special, unit in (
            (self._voxel_size, "as the finest guide", " mm"),
            (self._memory, "automatic", " GB"),
        ):
            spin_box.native.setSpecialValueText(special)
            spin_box.native.setSuffix(unit)
            spin_box.native.setDecimals(2)
        self.method_note, self.weights_note = wrapped_label("-", role="note"), wrapped_label("-", role="note")
        self._weights_label = QLabel(self.weights_box.label)
        notes: tuple[tuple[ValueWidget[Any], str], ...] = (
            (self._voxel_size, "Edge of the new voxels; 0 takes the grid of the finest guide."),
            (self._device, "auto takes the graphics card if there is one, else the processor."),
            (
                self.mask_box,
                "On the grid of the guides; what lies outside stays empty.",
            ),
            (
                self._memory,
                "Volumes are worked on in slabs that stay below this, with the same result. The whole run takes more.",
            ),
        )
        layout = form()
        self.setLayout(layout)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.addRow(self.method_box.label, native_of(self.method_box))
        layout.addRow(self.method_note)
        layout.addRow(self._weights_label, self.weights_box.native)
        layout.addRow(self.weights_note)
        for box, explanation in notes:
            box.tooltip = explanation
            layout.addRow(box.label, native_of(box))
            layout.addRow(wrapped_label(explanation, role="note"))
            box.changed.connect(self.changed.emit)
        for box in (self.method_box, self.weights_box):
            box.changed.connect(self._explain)
        self.weights_box.show_weights(weights)
        self.set_value(options)

    def value(self) -> Options:
        """Return the options shown; those without a box (gains, noise levels, dtype) are as in `set_value`."""
        is_network = self.method_box.value == "network"
        edges, edge = self._options.voxel_size, self._voxel_size.value
        return replace(
            self._options,
            method=self.method_box.value,
            weights=self.weights_box.chosen if is_network else None,
            voxel_size=edges if edge and edge == _first(edges) else edge or None,
            device=self._device.value,
            memory_limit=round(self._memory.value * GIGABYTE) or None,
            adapt=self._options.adapt and is_network,
            keep_noise=self._options.keep_noise and not is_network,
        )

    def set_value(self, options: Options) -> None:
        """Show these options."""
        self._options = options
        if options.weights is not None:
            self.weights_box.show_weights(str(options.weights))
        self.method_box.value = options.method
        self._voxel_size.value = _first(options.voxel_size)
        self._device.value = options.device
        self._memory.value = (options.memory_limit or 0) / GIGABYTE
        self._explain()

    def _explain(self) -> None:
        """Say what the chosen method and weights are; only the network has weights."""
        self.method_note.setText(f"{sentence(METHODS[self.method_box.value])}.")
        self.weights_note.setText(f"{sentence(explained(self.weights_box.chosen))}.")
        for part in (self._weights_label, self.weights_box.native, self.weights_note):
            part.setVisible(self.method_box.value == "network")
        self.changed.emit()


def _first(edges: float | Sequence[float] | None) -> float:
    """First edge of a voxel, 0 without one: the box shows one number."""
    return float(np.ravel(edges)[0]) if edges is not None else 0.0


def explained(weights: str) -> str:
    """What weights are, in one line."""
    return WEIGHTS.get(weights, f"the file {weights}")
