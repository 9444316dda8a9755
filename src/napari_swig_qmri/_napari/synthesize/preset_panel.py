"""Choose a preset by field strength, take one from a file, and save the settings on show as one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.appearance import native_of, sentence, set_text, style, wrapped_label
from napari_swig_qmri._napari.parts.choice import CHOOSE
from napari_swig_qmri.synthesis import presets as preset_files
from napari_swig_qmri.synthesis.presets import Preset, all_presets, built_in_presets, read_presets, write_presets

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_swig_qmri.physics.sequence import Contrast

OWN = "own settings"
FOLLOWS = "the preset's settings, but for the inversion time, which follows what is nulled"
START_FIELD = 3.0  # T


class PresetPanel(QWidget):
    """A field strength and the presets there.

    Emits `chosen` with the preset that a person picks, and whether it only goes on from the one before: to the same
    contrast at another field strength, or a step up or down the list. Then a tissue that is nulled stays so.
    """

    chosen = Signal(object, bool)
    field_changed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._files: list[Path] = []
        self._preset: Preset | None = None  # the last one that was picked
        self._contrast: Contrast | None = None
        self._free: tuple[str, ...] = ()  # settings that follow a nulled tissue, and so need not be the preset's
        self._has_problem = False  # which the note tells
        self._presets, problems = all_presets()
        self.field_box = ComboBox(
            label="Field strength", choices=lambda _: self._fields(), value=START_FIELD, tooltip="Of the presets"
        )
        self.preset_box = ComboBox(
            label="Preset", choices=lambda _: self._names(), value=OWN, tooltip="Settings of a usual protocol"
        )
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip(f"Save preset: keep these settings as a TOML file in {preset_files.user_folder()}")
        self.source_note = wrapped_label(role="note")
        self.note = wrapped_label(role="note")
        self._lay_out()
        self.field_box.changed.connect(self._take_field)
        self.preset_box.changed.connect(self._take)
        self.save_button.clicked.connect(self.save)
        self._say(" ".join(problems), problem=bool(problems))

    @property
    def field_strength(self) -> float:
        """Chosen field strength in T."""
        return float(self.field_box.value)

    def value(self) -> Preset | None:
        """The preset that was picked, as long as its settings are on show but for times that follow a nulled tissue."""
        return self._preset if self._is_followed() else None

    def pick(self, preset: Preset, *, goes_on: bool = False) -> None:
        """Choose a preset as a person would."""
        self._select(preset)
        self._say("")
        self.chosen.emit(preset, goes_on)

    def step(self, n_presets: int, can_show: Callable[[Contrast], bool] = lambda _: True) -> None:
        """Go down or up the list at this field strength, and round at its ends, from the preset picked last.

        Presets whose contrast cannot be shown are passed over; if none can be, everything stays.
        """
        there = [each for each in self._presets if each.field_strength == self.field_strength]
        names, last = [each.name for each in there], self._preset.name if self._preset is not None else ""
        before = names.index(last) if last in names else -1 if n_presets > 0 else 0
        way = [there[(before + n * n_presets) % len(there)] for n in range(1, len(there) + 1)]
        found = next((each for each in way if can_show(each.contrast)), None)
        if found is not None:
            self.pick(found, goes_on=True)

    def follow(self, contrast: Contrast | None, free: tuple[str, ...] = ()) -> None:
        """Show whether the settings on show are still those of the preset; `free` ones follow a nulled tissue."""
        if contrast != self._contrast and not (self._has_problem or self.note.isHidden()):
            self._say("")  # what was saved is not what is on show any more
        self._contrast, self._free = contrast, free
        preset = self.value()
        self.save_button.setEnabled(contrast is not None)
        told = "" if preset is None else preset.source if preset.contrast == contrast else FOLLOWS
        set_text(self.source_note, f"{sentence(told)}." if told else "")
        name = OWN if preset is None else preset.name
        if self.preset_box.value != name:
            with self.preset_box.changed.blocked():
                self.preset_box.value = name

    def open_file(self, path: Path) -> None:
        """List the presets of a file, and choose its first."""
        try:
            presets = read_presets(path)
        except (OSError, ValueError) as error:
            self._say(str(error), problem=True)
            return
        self._files.append(path)
        self._presets, _ = all_presets(self._files)
        self.pick(presets[0])

    def save(self) -> None:
        """Ask for a name and keep the settings on show under it; nothing is replaced unasked."""
        if self._contrast is None:
            return
        suggested = self._preset.name if self._preset is not None else self._contrast.title
        name, wanted = QInputDialog.getText(self, "Save preset", "Name of the preset:", text=f"{suggested} mine")
        if not wanted:
            return
        try:
            self._save(name.strip(), self._contrast)
        except (OSError, ValueError) as error:
            self._say(str(error), problem=True)

    def _save(self, name: str, contrast: Contrast) -> None:
        preset = Preset(name=name, field_strength=self.field_strength, contrast=contrast)
        if preset.key in {each.key for each in built_in_presets()}:
            raise ValueError(f"{name} is a preset of the package: choose another name.")
        path = preset_files.user_folder() / preset.file_name
        if path.exists() and not self._may_replace(path):
            return
        write_presets(path, [preset], overwrite=path.exists())
        self._presets, _ = all_presets(self._files)
        self._select(preset)
        self.follow(contrast)
        self._say(f"Saved as {path}.")

    def _select(self, preset: Preset) -> None:
        """Take a preset for the one on show."""
        self._preset = preset
        self._contrast = preset.contrast
        self._refresh(preset.field_strength, preset.name)

    def _may_replace(self, path: Path) -> bool:
        asked = f"{path.name} already in {path.parent}. Replace it?"
        return QMessageBox.question(self, "Save preset", asked) == QMessageBox.StandardButton.Yes

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        native_of(self.field_box).setFixedWidth(76)
        row.addWidget(self.field_box.native, 0)
        row.addWidget(native_of(self.preset_box), 1)
        row.addWidget(self.save_button, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.source_note)
        layout.addWidget(self.note)

    def _fields(self) -> list[tuple[str, float]]:
        return [(f"{field:g} T", field) for field in sorted({each.field_strength for each in self._presets})]

    def _names(self) -> list[tuple[str, str]]:
        field = self.field_strength if hasattr(self, "field_box") else START_FIELD
        names = [each.name for each in self._presets if each.field_strength == field]
        return [(OWN, OWN), *((name, name) for name in names), (CHOOSE, CHOOSE)]

    def _take_field(self, field: float) -> None:
        """Go to the preset of the same name at another field strength, if its settings are on show."""
        before = self.value()
        same = [each for each in self._presets if before is not None and each.key == (before.name, field)]
        if same:
            self.pick(same[0], goes_on=True)
        else:
            self._refresh(field, OWN)
        self.field_changed.emit(field)

    def _is_followed(self) -> bool:
        """Whether the preset is on show but for the times that follow a nulled tissue."""
        picked, shown = self._preset, self._contrast
        if picked is None or type(shown) is not type(picked.contrast):
            return False
        changed = {name for name, value in asdict(picked.contrast).items() if getattr(shown, name) != value}
        return changed <= set(self._free)

    def _take(self, name: str) -> None:
        if name == CHOOSE:
            file, _ = QFileDialog.getOpenFileName(self, "Presets", "", "Presets (*.toml);;All files (*)")
            if file:
                self.open_file(Path(file))
            self.follow(self._contrast)
            return
        found = [each for each in self._presets if each.key == (name, self.field_strength)]
        if found:
            self.pick(found[0])
        else:
            self.follow(self._contrast)

    def _refresh(self, field: float, name: str) -> None:
        """List what there is at a field strength, and show one of it."""
        with self.field_box.changed.blocked(), self.preset_box.changed.blocked():
            self.field_box.native.clear()  # new choices would come last, not in their order
            self.field_box.reset_choices()
            self.field_box.value = field
            self.preset_box.native.clear()
            self.preset_box.reset_choices()
            self.preset_box.value = name

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._has_problem = problem
        self.note.setStyleSheet(style("problem" if problem else "note"))
        set_text(self.note, sentence(text))
