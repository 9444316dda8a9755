"""Options of a contrast: transmit field, noise, sign and partial-volume marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, SpinBox
from magicgui.widgets.bases import ValueWidget
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.appearance import set_role, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, Form
from napari_swig_qmri._napari.parts.viewer_layers import file_name
from napari_swig_qmri._napari.records import LayerRecord, with_record
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.physics.sequence import Contrast, SignalModel
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast
from napari_swig_qmri.synthesis.partial_volume import PARTIAL_VOLUME_CAVEAT, LazyPartialVolume
from napari_swig_qmri.synthesis.rendering import Rendering

SIGNS = [("as usual", "usual"), ("magnitude", "magnitude"), ("signed", "signed")]
REFERENCES = [("contrast", "signal"), ("PD", "proton density")]
NO_MARKS = "Marking partial volume needs PD, T1 and T2 maps on one grid: open those that are missing."
NO_PULSES = "The B1+ map is not used: a typed equation has no pulses that the map could scale."
NOT_RELATIVE = (
    "a B1+ measurement, such as the flip angle in each voxel, cannot be used directly: divide it by the nominal flip "
    "angle and open the result as TB1map."
)
MARK_COLOUR = "#ff9f1c"
MARK_OPACITY = 0.35
TOOLTIPS = (  # in the order of the boxes
    "Scales excitation, flip and refocusing angles. Inversion pulses are assumed to be adiabatic.",
    "Layer with a B1+ map, which scales the angles in each voxel in addition to the number above.",
    "Signal divided by the standard deviation of the noise in each receive channel. The noise is Rician in magnitude "
    "images. 0 adds no noise.",
    "The signal is the 90th percentile of this image. Relative to PD, the noise does not depend on TE, TR and TI.",
    "The same number gives the same noise in every voxel.",
    "Signed images are phase sensitive (PSIR): tissue that is still inverted is negative.",
    "Add a layer over each contrast with the voxels that mix tissues. Scrolling becomes slower.",
)


class RenderingEditor(QWidget):
    """Boxes for the options of a rendering; emits `changed` when one of them changes."""

    changed = Signal()
    map_changed = Signal()  # another B1+ map was chosen, or none

    def __init__(self) -> None:
        super().__init__()
        self._field = FloatSpinBox(label="Transmit field (B1+)", min=10, max=200, step=5, value=100)
        self.map_box = ChoiceBox(label=LABELS["b1"], none="none")
        self._snr = FloatSpinBox(label="Signal-to-noise ratio", min=0, max=10_000, step=5, value=0)
        self._reference = ComboBox(label="Relative to", choices=REFERENCES)
        self._seed = SpinBox(label="Noise seed", min=0, max=999_999)
        self._sign = ComboBox(label="Sign", choices=SIGNS)
        self.mark = CheckBox(text="Mark partial volume", value=False)
        self._boxes: list[ValueWidget[Any]] = [self._field, self.map_box, self._snr, self._reference]
        self._boxes += [self._seed, self._sign, self.mark]
        self._field.native.setSuffix(" %")
        self._field.native.setDecimals(0)
        self._snr.native.setSpecialValueText("no noise")
        self._snr.native.setDecimals(1)
        self.map_hint = wrapped_label(role="assumption")  # assumptions about the chosen B1+ map
        self.map_note = wrapped_label(role="note")
        self.problem_label = wrapped_label(role="problem")
        self.caveat = wrapped_label(role="note")
        self._lay_out()
        self.show_maps([])
        self.map_box.changed.connect(lambda _: self.map_changed.emit())
        for box, tooltip in zip(self._boxes, TOOLTIPS, strict=True):
            box.tooltip = tooltip
            box.changed.connect(self._update)
        self._update()

    def value(self, sequence: Contrast | None = None) -> Rendering:
        """Current options, without the B1+ map if `sequence` has no pulses."""
        return Rendering(
            transmit_field=self._field.value / 100,
            transmit_map="" if self._ignores_map(sequence) else file_name(self.field_layer),
            snr=self._snr.value or math.inf,
            noise_reference=self._reference.value,
            seed=self._seed.value,
            sign=self._sign.value,
        )

    def set_value(self, rendering: Rendering) -> None:
        """Show these options."""
        self._field.value = 100 * rendering.transmit_field
        self.map_box.choose(next((each for each in self._maps if file_name(each) == rendering.transmit_map), None))
        self._snr.value = rendering.snr if rendering.has_noise else 0
        self._reference.value = rendering.noise_reference
        self._seed.value = rendering.seed
        self._sign.value = rendering.sign

    @property
    def field_layer(self) -> Image | None:
        """Layer of the chosen B1+ map; None without one."""
        layer: Image | None = self.map_box.value
        return layer

    def show_maps(self, layers: Sequence[Image], measurements: Sequence[str] = ()) -> None:
        """Offer B1+ maps.

        Parameters
        ----------
        layers
            B1+ maps, relative to the nominal flip angle.
        measurements
            Names of layers with B1+ measurements that are not relative; a note says how to convert them.
        """
        set_text(self.map_note, f"{', '.join(measurements)}: {NOT_RELATIVE}" if measurements else "")
        self._maps = list(layers)
        self.map_box.set_choices((layer.name, layer) for layer in layers)

    def show_map_notices(self, notices: Sequence[str]) -> None:
        """Show what was assumed about the chosen B1+ map."""
        set_text(self.map_hint, " ".join(notices))

    def show_problem(self, sequence: Contrast | None) -> str:
        """Show which option a sequence cannot have, or that it ignores the B1+ map; returns the problem or ""."""
        problem = ""
        try:
            if sequence is not None:
                self.value(sequence).check(sequence)
        except ValueError as error:
            problem = str(error)
        note = NO_PULSES if self._ignores_map(sequence) else ""
        set_role(self.problem_label, "problem" if problem else "assumption")
        set_text(self.problem_label, problem or note)
        return problem

    def refuse_marks(self) -> None:
        """Untick the box for marks, and show which maps they need."""
        self.mark.value = False
        set_text(self.caveat, NO_MARKS)

    def _ignores_map(self, sequence: Contrast | None) -> bool:
        has_pulses = sequence is None or isinstance(sequence, SignalModel)
        return self.field_layer is not None and not has_pulses

    def summary(self, sequence: Contrast | None = None) -> str:
        """Title of the folded options, such as ``Options: B1+ 90 %, SNR 20``."""
        parts = [*self.value(sequence).words(), *(["partial volume"] if self.mark.value else [])]
        return f"Options: {', '.join(parts)}" if parts else "Options"

    def _lay_out(self) -> None:
        layout = Form(self._field, self.map_box)
        layout.setContentsMargins(4, 0, 0, 0)
        layout.addRow(self.map_hint)
        layout.addRow(self.map_note)
        for box in (self._snr, self._reference, self._seed, self._sign):
            layout.add(box)
        layout.addRow(self.problem_label)
        layout.add(self.mark)
        layout.addRow(self.caveat)
        self.setLayout(layout)

    def _update(self) -> None:
        for box in (self._reference, self._seed):
            box.enabled = self._snr.value > 0
        set_text(self.caveat, PARTIAL_VOLUME_CAVEAT if self.mark.value else "")
        self.changed.emit()


def can_be_marked(contrast: LazyContrast) -> bool:
    """Whether a contrast has the maps that partial volume is computed from, even if its signal does not need them."""
    return contrast.pd is not None and contrast.t2 is not None


def marks_of(contrast: LazyContrast) -> LazyPartialVolume:
    """Partial-volume marks of a contrast; ValueError without PD or T2."""
    if contrast.pd is None or contrast.t2 is None:
        raise ValueError(NO_MARKS)
    return LazyPartialVolume(
        sequence=contrast.sequence,
        pd=contrast.pd,
        t1=contrast.t1,
        t2=contrast.t2,
        rendering=contrast.rendering.signed(),
    )


def mark_layer(layer: Image) -> Labels:
    """Translucent layer that marks the voxels of a contrast layer whose signal is changed by partial volume."""
    attributes = layer.as_layer_data_tuple()[1]
    sidecar = {"Notice": RESEARCH_NOTICE, "Description": PARTIAL_VOLUME_CAVEAT}
    volume = replace(LayerRecord.of(layer).volume, suffix="mask", sidecar=sidecar)
    name = f"Partial volume in {layer.name}"
    kept = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    marks = Labels(
        marks_of(layer.data),
        **{name: attributes[name] for name in kept},
        name=name,
        opacity=MARK_OPACITY,
        colormap=DirectLabelColormap(color_dict={1: MARK_COLOUR, None: "transparent"}),
        metadata=with_record(layer.metadata, volume=volume, shown_name=name),
    )
    marks.editable = False
    return marks
