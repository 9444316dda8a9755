"""Results of finished runs: which one is shown, saving it, and the adaptation of its network to the subject."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.appearance import sentence, set_role, set_text, show_note, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, button, column, row
from napari_swig_qmri._napari.parts.viewer_layers import show
from napari_swig_qmri._napari.super_resolve.preflight_panel import bullets
from napari_swig_qmri.data.wording import duration_text, for_qt
from napari_swig_qmri.super_resolution.results import (
    DO_NOT_USE,
    GOOD,
    LOOK,
    SuperResolution,
    save_super_resolution,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot, SuperResolveInputs
    from napari_swig_qmri.super_resolution.preflight import Preflight

VERDICTS = {  # what is shown, and the role of the text
    GOOD: ("Verdict: good. Nothing speaks against these maps.", "text"),
    LOOK: ("Verdict: look at these maps before you use them.", "assumption"),
    DO_NOT_USE: ("Verdict: do not use these maps.", "problem"),
}
SAVE = "Write maps, residuals and synthesised guides with their sidecars to a folder."
EXISTS = "This folder holds a result of this subject already, which is kept: choose another folder."
REPORT = "Open a page on this run in the browser: verdict, maps, standard errors, guides and settings."
ADAPT = "Train a copy of the network on this subject, for as long as that lowers its cross-scale error."


@dataclass(frozen=True, eq=False, kw_only=True)
class FinishedRun:
    """Inputs and layers of a finished run."""

    number: int
    label: str  # guides and method: T1w + T2w, posterior
    model: str  # the same with the name of the model: M_12 (T1w + T2w), posterior
    result: SuperResolution
    method: str  # that ran
    inputs: SuperResolveInputs
    origin: Mapping[str, Any]  # sidecar fields of the results, as of `origin_of`
    adaptable: Snapshot | None  # inputs to adapt the network to; None for other methods, which would only keep copies
    layers: tuple[Layer, ...]
    names: tuple[str, ...]  # of the layers, without the number of the run
    first_shown: tuple[bool, ...]  # whether each layer is visible at first
    base: FinishedRun | None = None  # run with the network that this run adapted

    @property
    def title(self) -> str:
        """Number and label."""
        return f"Run {self.number}: {self.label}"

    def visible_names(self) -> set[str]:
        """Names of the layers that are visible now, without the number of the run."""
        return {name for name, layer in zip(self.names, self.layers, strict=True) if layer.visible}


class ResultPanel(QWidget):
    """Chooser of the run whose layers are shown, and buttons that adapt its network or undo that."""

    adaptation_wanted = Signal(object)  # the run with the network to adapt
    adaptation_undone = Signal(object)  # the run that is shown instead
    saved = Signal()  # a run was saved, or could not be
    changed = Signal()  # a run was added or removed, or another one is shown

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._is_busy = False
        self._runs: list[FinishedRun] = []
        self._refusals: dict[FinishedRun, str] = {}  # why a network cannot be adapted
        self._costs: dict[FinishedRun, str] = {}  # duration of an adaptation
        self._asked: FinishedRun | None = None
        self.verdict = wrapped_label()
        self.reasons = wrapped_label()
        self.reasons.setTextFormat(Qt.TextFormat.RichText)
        self.box = ChoiceBox(lambda: [(run.title, run) for run in self._runs])
        self.save_button = button("Save result…", f"{SAVE} Existing files are kept.", self._ask_folder)
        self.report_button = button("Report", REPORT, self.open_report)
        self.adapt_button = button(LABELS["adapt"], "", lambda: self.adaptation_wanted.emit(self.shown))
        tooltip = "Remove the layers of the adapted network, and show those of the network as it was."
        self.undo_button = button("Undo adaptation", tooltip, self.undo)
        self.message = wrapped_label(role="note")
        self._saving = BackgroundQuery(self, lasting=True)
        self._saving.answered.connect(self._say_saved)
        self._saving.failed.connect(partial(show_note, self.message, problem=True))
        self._saving.ended.connect(self._update)
        self._saving.ended.connect(self.saved)
        self._reporting = BackgroundQuery(self, pause=0)
        self._reporting.answered.connect(_open)
        self._reporting.failed.connect(partial(show_note, self.message, problem=True))
        self._query = BackgroundQuery(self)
        self._query.answered.connect(self._take_preflight)
        self._query.failed.connect(self._refuse_asked)
        buttons = row(self.save_button, self.report_button, self.adapt_button, self.undo_button)
        self.setLayout(column(self.box, self.verdict, self.reasons, buttons, self.message))
        self.box.changed.connect(self._switch)
        self._update()

    @property
    def shown(self) -> FinishedRun | None:
        """The run whose layers are shown."""
        run: FinishedRun | None = self.box.value
        return run

    def add(self, run: FinishedRun) -> None:
        """Show a new run, hide the others."""
        before = self.shown
        self._runs.append(run)
        self._choose(run)
        self._show_instead(before, run)

    def run_of(self, inputs: SuperResolveInputs) -> FinishedRun | None:
        """Last run with the same inputs in use."""
        same = [run for run in self._runs if run.inputs.effective == inputs.effective]
        return same[-1] if same else None

    def show_run(self, run: FinishedRun) -> None:
        """Show a run, hide the others."""
        self.box.value = run

    def undo(self) -> None:
        """Remove the layers of the shown run with an adapted network, and show the run before the adaptation."""
        run = self.shown
        if run is None or run.base is None:
            return
        if run.base in self._runs:
            self.show_run(run.base)
        for layer in run.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)  # `refresh` removes a run with its last layer
        self.adaptation_undone.emit(self.shown)

    def save(self, folder: Path) -> None:
        """Save the shown run as a BIDS derivative dataset, in the background; ignored while a run is saved."""
        if self.shown is not None and not self._saving.is_running:
            show_note(self.message, "Saving…")
            self._saving.ask(partial(_saved, self.shown, folder))
            self._update()

    def open_report(self) -> None:
        """Open a page on the shown run in the browser; it is written to a temporary folder in the background."""
        if self.shown is not None:
            self._reporting.ask(partial(_reported, self.shown))

    def refuse(self, run: FinishedRun, reason: str) -> None:
        """Disable the adaptation of a run's network, and show the reason."""
        self._refusals[run] = reason
        self._update()

    def ask_about_adapting(self, check: Callable[[], Preflight]) -> None:
        """Find out in the background whether the network of the shown run can be adapted, and how long that takes."""
        self._asked = self.shown
        self._query.ask(check)

    def set_busy(self, busy: bool) -> None:
        """Disable the buttons while a job runs."""
        self._is_busy = busy
        self._update()

    def refresh(self) -> None:
        """Drop the runs whose layers were all removed from the viewer."""
        kept = [run for run in self._runs if any(layer in self._viewer.layers for layer in run.layers)]
        if len(kept) < len(self._runs):
            before = self.shown
            self._runs = kept
            show_note(self.message, "")
            self._refusals = {run: reason for run, reason in self._refusals.items() if run in kept}
            self._costs = {run: cost for run, cost in self._costs.items() if run in kept}
            shown = before if before in kept else kept[-1] if kept else None
            self._choose(shown)
            if shown is not None and shown is not before:
                self._show_instead(None, shown)

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Save the result to this folder"):
            self.save(Path(folder))

    def _say_saved(self, files: list[Path]) -> None:
        show_note(self.message, f"Saved {len(files)} files to {files[0].parent}.")

    def _choose(self, run: FinishedRun | None) -> None:
        with self.box.changed.blocked():
            self.box.reset_choices()
            self.box.choose(run)
        self._update()

    def _switch(self, run: FinishedRun | None) -> None:
        if run is not None:
            others = [each for each in self._runs if each is not run]
            before = next((each for each in others if each.visible_names()), None)
            self._show_instead(before, run)
        self._update()

    def _show_instead(self, before: FinishedRun | None, run: FinishedRun) -> None:
        """Show the layers of a run whose counterparts in the run before are visible; hide all other runs."""
        wanted = before.visible_names() if before is not None else set()
        visible = [name in wanted for name in run.names]
        for layer, is_visible in zip(run.layers, visible if any(visible) else run.first_shown, strict=True):
            show(layer, is_visible)
        active = self._viewer.layers.selection.active
        for other in self._runs:
            for name, layer in zip(other.names, other.layers, strict=True) if other is not run else ():
                show(layer, False)
                if layer is active and name in run.names:
                    self._select(run.layers[run.names.index(name)])

    def _select(self, layer: Layer) -> None:
        """Select the counterpart of the hidden layer, so that the layer controls stay useful."""
        if layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer

    def _take_preflight(self, answer: Preflight) -> None:
        if answer.problems:
            self._refuse_asked(answer.problems[0])
        elif self._asked is not None:
            self._costs[self._asked] = f"Takes about {duration_text(answer.seconds)}."
            self._update()

    def _refuse_asked(self, problem: str) -> None:
        if self._asked is not None:
            self.refuse(self._asked, sentence(problem))

    def _update(self) -> None:
        run = self.shown
        self.setVisible(run is not None)
        refusal, cost = (self._refusals.get(run), self._costs.get(run, "")) if run is not None else (None, "")
        self.adapt_button.visible = run is not None and run.adaptable is not None
        self.adapt_button.enabled = not self._is_busy and refusal is None
        self.adapt_button.tooltip = for_qt(refusal or f"{ADAPT} {cost}".strip())
        self.undo_button.visible = run is not None and run.base is not None
        self.undo_button.enabled = not self._is_busy
        self.save_button.enabled = not self._saving.is_running
        self.box.tooltip = "" if run is None else for_qt(run.model)
        if run is not None:
            words, role = VERDICTS[run.result.verdict.word]
            set_role(self.verdict, role)
            set_text(self.verdict, words)
            set_text(self.reasons, bullets(run.result.verdict.reasons))
        width: int = self.box.native.view().sizeHintForColumn(0)
        self.box.native.view().setMinimumWidth(width + 24)  # the list shows whole labels, the box shortens them
        self.changed.emit()


def _reported(run: FinishedRun) -> Path:
    """Write the page on a run to a new temporary folder; returns its path."""
    from napari_swig_qmri.evaluation.report.page import write_report  # loads jinja2

    return write_report(run.result, Path(tempfile.mkdtemp(prefix="swig-qmri-report-")))


def _open(page: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))


def _saved(run: FinishedRun, folder: Path) -> list[Path]:
    """Save a run with the files that it was made from; returns the written files."""
    sources, field_strength = run.origin.get("Sources", ()), run.origin.get("MagneticFieldStrength")
    try:
        return save_super_resolution(run.result, folder, sources=sources, field_strength=field_strength)
    except FileExistsError as error:
        raise ValueError(EXISTS) from error
