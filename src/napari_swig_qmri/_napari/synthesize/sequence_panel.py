"""A contrast as a person sets it up: a preset, its sequence and parameters, and the T1 that gives no signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.synthesize.null_panel import NullChoice, NullPanel
from napari_swig_qmri._napari.synthesize.preset_panel import PresetPanel
from napari_swig_qmri.physics.nulling import doubly_nulled, nulled_from, nulled_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.presets import Preset

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
        """Name of the contrast: that of the preset whose settings are on show, else that of the sequence.

        Where the inversion time is not the preset's, the name says what it nulls.
        """
        preset, contrast = self.presets.value(), self.editor.value()
        if preset is not None:
            return preset.name if preset.contrast == contrast else f"{preset.name}, {self.null.name()} nulled"
        return "" if contrast is None else contrast.title

    def resting(self) -> tuple[str, ...]:
        """Inversion times that follow a nulled tissue, so that nobody moves them."""
        return self._nulled_times() if self.null.value().is_locked else ()

    def can_show(self, changes: Mapping[str, float]) -> bool:
        """Whether some settings (s, rad) can have other values, with a tissue that is nulled staying so.

        Anything can be shown while what is on show cannot be played out.
        """
        shown = self.editor.value()
        if shown is None:
            return True
        is_nulled = bool(self.resting()) and _can_be(self._nulled, type(shown), vars(shown))
        return _can_be(self._nulled if is_nulled else _as_set, type(shown), {**vars(shown), **changes})

    def _show_preset(self, preset: Preset, goes_on: bool) -> None:
        is_nulled = goes_on and bool(self.resting()) and type(preset.contrast) is self.editor.kind()
        if not is_nulled:
            self.null.set_value(NullChoice(is_locked=self.null.value().is_locked))  # a preset brings its own times
        self.null.show_field(preset.field_strength)
        self.editor.set_value(preset.contrast)

    def _follow_editor(self) -> None:
        kind = self.editor.kind()
        time = None if kind is None else nulled_time(kind)
        self.null.show_for(n_inversions=0 if time is None else 1 + TIMES.index(time))
        self._keep_null()
        self._tell()

    def _null(self) -> None:
        """A person chose what is nulled: do it once, locked or not."""
        self._keep_null(asked=True)
        self._tell()  # other times follow now, even where none has changed

    def _tell(self) -> None:
        self.presets.follow(self.editor.value(), self.resting())
        self.changed.emit()

    def _keep_null(self, *, asked: bool = False) -> None:
        """Set the inversion times that null the chosen T1, where they are locked or just asked for."""
        kind, times, resting = self.editor.kind(), self._nulled_times(), self.resting()
        for name, box in self.editor.parameter_boxes().items():
            if name in TIMES:
                box.enabled = name not in resting
        if kind is None or not times or not (resting or asked):
            return
        try:
            found = self._nulled(kind, self.editor.settings())
        except ValueError as error:
            self.null.say("" if str(error) == self.editor.problem() else str(error))
            return
        self.null.say("")
        for name in times:
            self.editor.show_setting(name, getattr(found, name))

    def _nulled_times(self) -> tuple[str, ...]:
        """Inversion times that null what is chosen; none where nothing is, or where there is no inversion."""
        kind, n_tissues = self.editor.kind(), len(self.null.t1s())
        time = None if kind is None else nulled_time(kind)
        if time is None or not n_tissues:
            return ()
        return TIMES if n_tissues == 2 else (time,)

    def _nulled(self, kind: type[Contrast], settings: Mapping[str, Any]) -> Contrast:
        """The sequence with the inversion times that null what is chosen; ValueError where there are none."""
        t1s, t2s = self.null.t1s(), self.null.t2s()
        if len(t1s) == 2:
            return doubly_nulled(settings, t1s[0], t1s[1], *t2s)
        return nulled_from(kind, settings, t1s[0], t2s[0])


def _as_set(kind: type[Contrast], settings: Mapping[str, Any]) -> Contrast:
    return kind(**settings)


def _can_be(
    make: Callable[[type[Contrast], Mapping[str, Any]], Contrast], kind: type[Contrast], settings: Mapping[str, Any]
) -> bool:
    """Whether a sequence can be made of these settings."""
    try:
        make(kind, settings)
    except ValueError:
        return False
    return True
