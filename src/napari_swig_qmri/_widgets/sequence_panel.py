"""A contrast as a person sets it up: a preset, its sequence and parameters, and the T1 that gives no signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_swig_qmri._widgets.acquisition import AcquisitionEditor
from napari_swig_qmri._widgets.null_panel import NullChoice, NullPanel
from napari_swig_qmri._widgets.preset_panel import PresetPanel
from napari_swig_qmri.nulling import doubly_nulled, nulled_from, nulled_time

if TYPE_CHECKING:
    from napari_swig_qmri.presets import Preset

TIMES = ("inversion_time", "second_inversion_time")


class SequencePanel(QWidget):
    """Presets above the editor of a sequence, and the T1 to null below; `changed` follows the editor's."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.presets = PresetPanel()
        self.editor = AcquisitionEditor(sliders=True, optional=False, equations=True)
        self.null = NullPanel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self.presets, self.editor, self.null):
            layout.addWidget(part)
        self.presets.chosen.connect(self._show_preset)
        self.presets.field_changed.connect(self.null.show_field)
        self.editor.changed.connect(self._follow_editor)
        self.null.changed.connect(self._null)
        self._follow_editor()

    def title(self) -> str:
        """Name of the contrast: that of the preset whose settings are on show, else that of the sequence."""
        preset, contrast = self.presets.value(), self.editor.value()
        if preset is not None:
            return preset.name
        return "" if contrast is None else contrast.title

    def _show_preset(self, preset: Preset) -> None:
        self.null.set_value(NullChoice(is_locked=self.null.value().is_locked))  # a preset brings its own times
        self.null.show_field(preset.field_strength)
        self.editor.set_value(preset.contrast)

    def _follow_editor(self) -> None:
        kind = self.editor.kind()
        time = None if kind is None else nulled_time(kind)
        self.null.show_for(n_inversions=0 if time is None else 1 + TIMES.index(time))
        self._keep_null()
        self.presets.follow(self.editor.value())
        self.changed.emit()

    def _null(self) -> None:
        """A person chose what is nulled: do it once, locked or not."""
        self._keep_null(asked=True)

    def _keep_null(self, *, asked: bool = False) -> None:
        """Set the inversion times that null the chosen T1, where they are locked or just asked for."""
        kind, t1s, t2s = self.editor.kind(), self.null.t1s(), self.null.t2s()
        time = None if kind is None else nulled_time(kind)
        if kind is None or time is None:
            return
        is_locked = self.null.value().is_locked and bool(t1s)
        times = TIMES if len(t1s) == 2 else (time,)
        for name, box in self.editor.parameter_boxes().items():
            if name in TIMES:
                box.enabled = not (is_locked and name in times)
        if not t1s or not (is_locked or asked):
            return
        try:
            settings = self.editor.settings()
            if len(t1s) == 2:
                found = doubly_nulled(settings, t1s[0], t1s[1], *t2s)
            else:
                found = nulled_from(kind, settings, t1s[0], t2s[0])
        except ValueError as error:
            self.null.say("" if str(error) == self.editor.problem() else str(error))
            return
        self.null.say("")
        for name in times:
            self.editor.show_setting(name, getattr(found, name))
