"""Boxes for the options of a run: method, weights, protocol of the maps, voxel size, device, mask and memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.appearance import sentence, wrapped_label
from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE, ChoiceBox, Form, Layers, layer_box
from napari_swig_qmri._napari.parts.preferences import GIGABYTE
from napari_swig_qmri._napari.super_resolve.map_protocol import MapProtocolEditor
from napari_swig_qmri.super_resolution.options import DEVICES, METHODS, Options
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Sequence


NOTES = {
    "pose": "Guides are moved, and smoothly warped, to the low-resolution maps.",
    "field": "Guides are divided by the smooth shading of their receive coils that the PD map does not share.",
    "all_maps": "Of PD, T1 and T2, those that were not measured are estimated from the guides and the usual values of "
    "tissue. Layers and files mark them as not measured.",
    "lr_lock": "Maps are changed as little as possible until they explain the measured ones to within their noise.",
    "voxel_size": "Edge of the new voxels. 0 takes the grid of the finest guide.",
    "device": "auto takes the graphics card if the computer has one, otherwise the processor.",
    "b1": "A map of the transmit field, relative to the nominal one. It scales the pulses of all guides.",
    "mask": "A mask on the grid of the guides. Voxels outside the mask stay empty.",
    "memory": "Volumes are processed in slabs that need no more than this, with the same result. The whole run needs "
    "more.",
}


class WeightsBox(ChoiceBox):
    """Chooser of the weights of the package, of files opened before, and of another file."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._chosen = DEFAULT_WEIGHTS
        super().__init__(self._names, label=LABELS["weights"], value=DEFAULT_WEIGHTS)
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
    """Boxes for the options of a run, each with a note that explains it."""

    changed = Signal()

    def __init__(
        self,
        options: Options,
        masks: Layers,
        weights: str = DEFAULT_WEIGHTS,
        transmit_maps: Layers = lambda: (),
    ) -> None:
        super().__init__()
        self._options, self._shown = options, (0.0, 0.0)
        self.method_box = ComboBox(label=LABELS["method"], choices=[(name.capitalize(), name) for name in METHODS])
        self.weights_box = WeightsBox()
        self.method_note, self.weights_note = wrapped_label("-", role="note"), wrapped_label("-", role="note")
        self.maps_from = MapProtocolEditor()
        self.all_maps_box = CheckBox(text=LABELS["all_maps"], tooltip=NOTES["all_maps"])
        self.lock_box = CheckBox(text=LABELS["lr_lock"], tooltip=NOTES["lr_lock"])
        self.pose_box = CheckBox(text=LABELS["pose"], tooltip=NOTES["pose"])
        self.field_box = CheckBox(text=LABELS["field"], tooltip=NOTES["field"])
        self._voxel_size = FloatSpinBox(
            label=LABELS["voxel_size"], min=0, max=20, step=0.1, tooltip=NOTES["voxel_size"]
        )
        self._device = ComboBox(label=LABELS["device"], choices=DEVICES, tooltip=NOTES["device"])
        self.transmit_box = layer_box(transmit_maps, label=LABELS["b1"], tooltip=NOTES["b1"])
        self.mask_box = layer_box(masks, label=LABELS["mask"], tooltip=NOTES["mask"])
        self._memory = FloatSpinBox(label=LABELS["memory_limit"], min=0, max=4096, step=1, tooltip=NOTES["memory"])
        for box, text_of_zero, unit in (
            (self._voxel_size, "as the finest guide", " mm"),
            (self._memory, "automatic", " GB"),
        ):
            box.native.setSpecialValueText(text_of_zero)
            box.native.setSuffix(unit)
            box.native.setDecimals(2)
        self._lay_out()
        self.weights_box.show_weights(weights)
        self.set_value(options)

    def value(self) -> Options:
        """Options in the boxes; options without a box (gains, noise levels, dtype) are as in `set_value`."""
        is_network = self.method_box.value == "network"
        edge, memory = self._voxel_size.value, self._memory.value
        return replace(
            self._options,
            method=self.method_box.value,
            weights=self._weights() if is_network else None,
            voxel_size=self._options.voxel_size if edge == self._shown[0] else edge or None,
            device=self._device.value,
            memory_limit=self._options.memory_limit if memory == self._shown[1] else round(memory * GIGABYTE) or None,
            adapt=self._options.adapt and is_network,
            keep_noise=self._options.keep_noise and not is_network,
            all_maps=self.all_maps_box.value and self.method_box.value != "regression",
            lr_lock=self.lock_box.value and self.method_box.value != "regression",
            pose=self.pose_box.value,
            field=self.field_box.value,
            maps_from=self.maps_from.value(),
        )

    def _weights(self) -> str | Path | None:
        """Chosen weights; those of `set_value` if they are the same, None for the default ones."""
        chosen = self.weights_box.chosen
        if chosen == str(self._options.weights or DEFAULT_WEIGHTS):
            return self._options.weights
        return None if chosen == DEFAULT_WEIGHTS else chosen

    def problem(self) -> str | None:
        """Reason why the options are impossible; None if they are possible."""
        return self.maps_from.problem()

    def set_value(self, options: Options) -> None:
        """Show these options."""
        self._options = options
        if options.method == "network":
            self.weights_box.show_weights(str(options.weights or DEFAULT_WEIGHTS))
        self.method_box.value = options.method
        if options.device not in self._device.choices:
            self._device.choices = [*self._device.choices, options.device]
        self._device.value = options.device
        self.all_maps_box.value = options.all_maps
        self.lock_box.value = options.lr_lock
        self.pose_box.value = options.pose
        self.field_box.value = options.field
        self.maps_from.set_value(options.maps_from)
        edge, memory = _first(options.voxel_size), (options.memory_limit or 0) / GIGABYTE
        self._voxel_size.max, self._memory.max = max(self._voxel_size.max, edge), max(self._memory.max, memory)
        self._voxel_size.value, self._memory.value = edge, memory
        self._shown = self._voxel_size.value, self._memory.value  # rounded: unless changed, they stand for `options`
        self._explain()

    def _lay_out(self) -> None:
        self._form = Form(self.method_box)
        self._form.setContentsMargins(4, 0, 0, 0)
        self._form.addRow(self.method_note)
        self._form.add(self.weights_box)
        self._form.addRow(self.weights_note)
        self._form.add(self.maps_from.box)
        self._form.addRow(self.maps_from)
        self.maps_from.changed.connect(self.changed)
        for box in (
            self.all_maps_box,
            self.lock_box,
            self.pose_box,
            self.field_box,
            self.transmit_box,
            self._voxel_size,
            self._device,
            self.mask_box,
            self._memory,
        ):
            self._form.add(box, note=box.tooltip or "")
            box.changed.connect(self.changed.emit)
        for box in (self.method_box, self.weights_box):
            box.changed.connect(self._explain)
        self.setLayout(self._form)

    def _explain(self) -> None:
        """Explain the chosen method and weights, and hide the weights of methods without a network."""
        is_network = self.method_box.value == "network"
        self.method_note.setText(f"{sentence(METHODS[self.method_box.value])}.")
        self.weights_note.setText(f"{sentence(explained(self.weights_box.chosen))}.")
        self.weights_note.setVisible(is_network)
        self._form.set_visible(self.weights_box, is_network)
        for box in (self.all_maps_box, self.lock_box):
            box.enabled = self.method_box.value != "regression"
        self.changed.emit()


def _first(edges: float | Sequence[float] | None) -> float:
    """First edge of a voxel, which is the one that the box shows; 0 for None."""
    return float(np.ravel(edges)[0]) if edges is not None else 0.0


def explained(weights: str) -> str:
    """Description of weights in one line."""
    return WEIGHTS.get(weights, f"the file {weights}")
