"""Choice of a preset by field strength, from the package or a file; saves the current settings as a preset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_swig_qmri._napari.parts.appearance import sentence, set_text, show_note, wrapped_label
from napari_swig_qmri._napari.parts.boxes import CHOOSE_FILE, ChoiceBox, button, column, row
from napari_swig_qmri.data.wording import for_qt
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.synthesis import presets as preset_files
from napari_swig_qmri.synthesis.presets import Preset, all_presets, built_in_presets, read_presets, write_presets

NO_PRESET = "own settings"
NULLED = "Settings of the preset, except the inversion time, which follows the nulled tissue"
START_FIELD = 3.0  # T


class PresetPanel(QWidget):
    """Boxes for a field strength and a preset.

    Emits `chosen` with the chosen preset, and whether a nulled tissue stays nulled: it does when the choice goes
    to the same contrast at another field strength, or up or down the list.
    """

    chosen = Signal(object, bool)
    field_changed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._files: list[Path] = []
        self._preset: Preset | None = None  # chosen last
        self._contrast: Contrast | None = None
        self._locked: tuple[str, ...] = ()  # settings that follow a nulled tissue and may differ from the preset
        self._has_problem = False  # whether the note shows a problem
        self._presets, problems = all_presets()
        self.field_box = ChoiceBox(self._fields, value=START_FIELD, tooltip="Field strength of the presets")
        self.preset_box = ChoiceBox(self._names, value=NO_PRESET, tooltip="Settings of a typical protocol")
        self.save_button = button(
            "Save…", f"Save these settings as a preset, a TOML file in {preset_files.user_folder()}", self.save
        )
        self.source_note = wrapped_label(role="note")
        self.note = wrapped_label(role="note")
        self._lay_out()
        self.field_box.changed.connect(self._choose_field)
        self.preset_box.changed.connect(self._choose_name)
        self._say(" ".join(problems), problem=bool(problems))

    @property
    def field_strength(self) -> float:
        """Chosen field strength in T."""
        return float(self.field_box.value)

    def value(self) -> Preset | None:
        """Chosen preset; None if the current settings differ from it, other than in locked inversion times."""
        chosen, current = self._preset, self._contrast
        if chosen is None or type(current) is not type(chosen.contrast):
            return None
        changed = {name for name, value in asdict(chosen.contrast).items() if getattr(current, name) != value}
        return chosen if changed <= set(self._locked) else None

    def choose(self, preset: Preset, *, keeps_null: bool = False) -> None:
        """Choose a preset, as by clicking on it."""
        self._show(preset)
        self._say("")
        self.chosen.emit(preset, keeps_null)

    def step(self, n_presets: int, can_show: Callable[[Contrast], bool] = lambda _: True) -> None:
        """Choose the preset `n_presets` further down the list of this field strength, which wraps around.

        Counts from the preset chosen last, and skips presets that cannot be shown.
        """
        listed = [each for each in self._presets if each.field_strength == self.field_strength]
        names, last = [each.name for each in listed], self._preset.name if self._preset is not None else ""
        start = names.index(last) if last in names else -1 if n_presets > 0 else 0
        order = [listed[(start + n * n_presets) % len(listed)] for n in range(1, len(listed) + 1)]
        preset = next((each for each in order if can_show(each.contrast)), None)
        if preset is not None:
            self.choose(preset, keeps_null=True)

    def follow(self, contrast: Contrast | None, locked: tuple[str, ...] = ()) -> None:
        """Show whether the current settings are those of the preset.

        Parameters
        ----------
        contrast
            Current settings; None if they are impossible.
        locked
            Names of the inversion times that follow a nulled tissue.
        """
        if contrast != self._contrast and not (self._has_problem or self.note.isHidden()):
            self._say("")  # the note was about settings that are gone
        self._contrast, self._locked = contrast, locked
        preset = self.value()
        self.save_button.enabled = contrast is not None
        is_nulled = preset is not None and preset.contrast != contrast
        source = NULLED if is_nulled else "" if preset is None else preset.source
        set_text(self.source_note, f"{sentence(source)}." if source else "")
        name = NO_PRESET if preset is None else preset.name
        if self.preset_box.value != name:
            with self.preset_box.changed.blocked():
                self.preset_box.value = name

    def open_file(self, path: Path) -> None:
        """Add the presets of a file to the list and choose the first of them."""
        try:
            presets = read_presets(path)
        except (OSError, ValueError) as error:
            self._say(str(error), problem=True)
            return
        self._files.append(path)
        self._presets, _ = all_presets(self._files)
        self.choose(presets[0])

    def save(self) -> None:
        """Ask for a name and save the current settings under it; asks again before a file is replaced."""
        if self._contrast is None:
            return
        suggested = self._preset.name if self._preset is not None else self._contrast.title
        name, accepted = QInputDialog.getText(self, "Save preset", "Name of the preset:", text=f"My {suggested}")
        if not accepted:
            return
        try:
            self._save(name.strip(), self._contrast)
        except (OSError, ValueError) as error:
            self._say(str(error), problem=True)

    def _save(self, name: str, contrast: Contrast) -> None:
        preset = Preset(name=name, field_strength=self.field_strength, contrast=contrast)
        if preset.key in {each.key for each in built_in_presets()}:
            raise ValueError(f"{name} is a built-in preset: choose another name.")
        path = preset_files.user_folder() / preset.file_name
        if path.exists() and not self._may_replace(path):
            return
        write_presets(path, [preset], overwrite=path.exists())
        self._presets, _ = all_presets(self._files)
        self._show(preset)
        self.follow(contrast)
        self._say(f"Saved as {path}.")

    def _show(self, preset: Preset) -> None:
        """Show a preset in the boxes, without a signal."""
        self._preset = preset
        self._contrast = preset.contrast
        self._refresh(preset.field_strength, preset.name)

    def _may_replace(self, path: Path) -> bool:
        question = f"{path.name} already exists in {path.parent}. Replace it?"
        return QMessageBox.question(self, "Save preset", for_qt(question)) == QMessageBox.StandardButton.Yes

    def _lay_out(self) -> None:
        self.field_box.native.setFixedWidth(76)
        boxes = row(self.field_box, self.preset_box, self.save_button, stretch=(0, 1, 0))
        self.setLayout(column(boxes, self.source_note, self.note, spacing=2))

    def _fields(self) -> list[tuple[str, float]]:
        return [(f"{field:g} T", field) for field in sorted({each.field_strength for each in self._presets})]

    def _names(self) -> list[tuple[str, str]]:
        names = [each.name for each in self._presets if each.field_strength == self.field_strength]
        return [(NO_PRESET, NO_PRESET), *((name, name) for name in names), (CHOOSE_FILE, CHOOSE_FILE)]

    def _find(self, name: str, field: float) -> Preset | None:
        return next((each for each in self._presets if each.key == (name, field)), None)

    def _choose_field(self, field: float) -> None:
        """Choose the current preset at another field strength; other settings stay."""
        current = self.value()
        preset = None if current is None else self._find(current.name, field)
        if preset is None:
            self._refresh(field, NO_PRESET)
        else:
            self.choose(preset, keeps_null=True)
        self.field_changed.emit(field)

    def _choose_name(self, name: str) -> None:
        preset = self._find(name, self.field_strength)
        if preset is not None:
            self.choose(preset)
            return
        if name == CHOOSE_FILE:
            file, _ = QFileDialog.getOpenFileName(self, "Presets", "", "Presets (*.toml);;All files (*)")
            if file:
                self.open_file(Path(file))
        self.follow(self._contrast)

    def _refresh(self, field: float, name: str) -> None:
        """List the presets of a field strength and select one, without a signal."""
        with self.field_box.changed.blocked(), self.preset_box.changed.blocked():
            self.field_box.reset_choices()
            self.field_box.value = field
            self.preset_box.reset_choices()
            self.preset_box.value = name

    def _say(self, text: str, *, problem: bool = False) -> None:
        self._has_problem = problem
        show_note(self.note, text, problem=problem)
