"""Edit how a run computes: method, voxel size, device, mask and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, FloatSpinBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._widgets.appearance import form, native_of, wrapped_label
from napari_swig_qmri._widgets.inputs import LayerBox
from napari_swig_qmri._widgets.preferences import GIGABYTE, Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Layer

METHODS = [("Posterior", "posterior"), ("Regression", "regression")]
DEVICES = ["auto", "cuda", "mps", "cpu"]


class OptionsEditor(QWidget):
    """How to compute, each option with one line that says what it does."""

    changed = Signal()

    def __init__(self, options: Options, masks: Callable[[], list[Layer]]) -> None:
        super().__init__()
        self._method = ComboBox(label="Method", choices=METHODS)
        self._voxel_size = FloatSpinBox(label="Voxel size", min=0, max=20, step=0.1)
        self._device = ComboBox(label="Device", choices=DEVICES)
        self._memory = FloatSpinBox(label="Memory limit", min=0, max=4096, step=1)
        self.mask_box = LayerBox(masks, label="Mask")
        for spin_box, special, unit in (
            (self._voxel_size, "as the finest guide", " mm"),
            (self._memory, "automatic", " GB"),
        ):
            spin_box.native.setSpecialValueText(special)
            spin_box.native.setSuffix(unit)
            spin_box.native.setDecimals(2)
        explained: tuple[tuple[ValueWidget[Any], str], ...] = (
            (self._method, "Posterior, the most accurate, refines the fast regression until all agree."),
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
        for box, explanation in explained:
            box.tooltip = explanation
            layout.addRow(box.label, native_of(box))
            layout.addRow(wrapped_label(explanation, role="note"))
            box.changed.connect(self.changed.emit)
        self.set_value(options)

    def value(self) -> Options:
        """The options as chosen."""
        return Options(
            method=self._method.value,
            voxel_size=self._voxel_size.value or None,
            device=self._device.value,
            memory_limit=round(self._memory.value * GIGABYTE) or None,
        )

    def set_value(self, options: Options) -> None:
        """Show these options."""
        self._method.value = options.method
        self._voxel_size.value = options.voxel_size or 0
        self._device.value = options.device
        self._memory.value = (options.memory_limit or 0) / GIGABYTE
