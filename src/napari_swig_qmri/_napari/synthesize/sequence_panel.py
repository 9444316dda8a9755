"""Panel for one contrast: a preset, the sequence with its parameters, and the T1 to null."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.boxes import column
from napari_swig_qmri._napari.synthesize.null_panel import NullChoice, NullPanel
from napari_swig_qmri._napari.synthesize.preset_panel import PresetPanel
from napari_swig_qmri.physics.nulling import doubly_nulled, nulled_from, nulled_time
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.synthesis.presets import Preset

TIMES = ("inversion_time", "second_inversion_time")


class SequencePanel(QWidget):
    """Presets, the editor of a sequence, and the T1 to null; `changed` follows the editor."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.presets = PresetPanel()
        self.editor = AcquisitionEditor(sliders=True, optional=False, equations=True)
        self.null = NullPanel()
        self.setLayout(column(self.presets, self.editor, self.null))
        self.presets.chosen.connect(self._show_preset)
        self.presets.field_changed.connect(self.null.show_field)
        self.editor.changed.connect(self._follow_editor)
        self.null.changed.connect(self._null)
        self._follow_editor()

    def title(self) -> str:
        """Name of the contrast: that of the preset with the current settings, otherwise that of the sequence.

        If only the inversion time differs from the preset, the nulled tissue is added to the name.
        """
        preset, contrast = self.presets.value(), self.editor.value()
        if preset is not None:
            return preset.name if preset.contrast == contrast else f"{preset.name}, {self.null.name()} nulled"
        return "" if contrast is None else contrast.title

    def locked_settings(self) -> tuple[str, ...]:
        """Names of the inversion times that follow a nulled tissue and cannot be changed by hand."""
        return self._nulled_times() if self.null.value().is_locked else ()

    def can_show(self, changes: Mapping[str, float]) -> bool:
        """Whether the sequence is possible with some settings (s, rad) changed, and a locked tissue still nulled.

        True for any change while the current settings are impossible.
        """
        current = self.editor.value()
        if current is None:
            return True
        is_nulled = bool(self.locked_settings()) and _is_possible(self._nulled, type(current), vars(current))
        return _is_possible(self._nulled if is_nulled else _as_set, type(current), {**vars(current), **changes})

    def _show_preset(self, preset: Preset, keeps_null: bool) -> None:
        is_nulled = keeps_null and bool(self.locked_settings()) and type(preset.contrast) is self.editor.kind()
        if not is_nulled:  # use the inversion times of the preset
            self.null.set_value(NullChoice(is_locked=self.null.value().is_locked))
        self.null.show_field(preset.field_strength)
        self.editor.set_value(preset.contrast)

    def _follow_editor(self) -> None:
        kind = self.editor.kind()
        time = None if kind is None else nulled_time(kind)
        self.null.show_for(n_inversions=0 if time is None else 1 + TIMES.index(time))
        self._update_times()
        self._emit_changed()

    def _null(self) -> None:
        """Set the inversion times for a tissue that was just chosen, whether it is locked or not."""
        self._update_times(always=True)
        self._emit_changed()  # the locked settings may be others, even if no time changed

    def _emit_changed(self) -> None:
        self.presets.follow(self.editor.value(), self.locked_settings())
        self.changed.emit()

    def _update_times(self, *, always: bool = False) -> None:
        """Set the inversion times that null the chosen T1 if they are locked, or `always`."""
        kind, times, locked = self.editor.kind(), self._nulled_times(), self.locked_settings()
        for name, box in self.editor.parameter_boxes().items():
            if name in TIMES:
                box.enabled = name not in locked
        if kind is None or not times or not (locked or always):
            return
        try:
            nulled = self._nulled(kind, self.editor.settings())
        except ValueError as error:
            self.null.say("" if str(error) == self.editor.problem() else str(error))
            return
        self.null.say("")
        for name in times:
            self.editor.show_setting(name, getattr(nulled, name))

    def _nulled_times(self) -> tuple[str, ...]:
        """Names of the inversion times that the nulled tissues determine; empty without an inversion or a tissue."""
        kind, n_tissues = self.editor.kind(), len(self.null.t1s())
        time = None if kind is None else nulled_time(kind)
        if time is None or not n_tissues:
            return ()
        return TIMES if n_tissues == 2 else (time,)

    def _nulled(self, kind: type[Contrast], settings: Mapping[str, Any]) -> Contrast:
        """Sequence with the inversion times that null the chosen tissues; ValueError if no times do."""
        t1s, t2s = self.null.t1s(), self.null.t2s()
        if len(t1s) == 2:
            return doubly_nulled(settings, t1s[0], t1s[1], *t2s)
        return nulled_from(kind, settings, t1s[0], t2s[0])


def _as_set(kind: type[Contrast], settings: Mapping[str, Any]) -> Contrast:
    return kind(**settings)


def _is_possible(
    make: Callable[[type[Contrast], Mapping[str, Any]], Contrast], kind: type[Contrast], settings: Mapping[str, Any]
) -> bool:
    """Whether `make` accepts these settings of a sequence."""
    try:
        make(kind, settings)
    except ValueError:
        return False
    return True
