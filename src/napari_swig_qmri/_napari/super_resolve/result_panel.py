"""The results so far: which one is on show, and the network's adaptation to the subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.parts.appearance import native_of, sentence, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.run_panel import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot, SuperResolveInputs
    from napari_swig_qmri.super_resolution.preflight import Preflight

ADAPT = "Train a copy of the network on this subject, for as long as that lowers its cross-scale error."


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A finished run: what it was made of, and its layers."""

    number: int
    label: str  # M_12 (T1w + T2w), posterior
    method: str  # that ran
    inputs: SuperResolveInputs
    snapshot: Snapshot
    layers: tuple[Layer, ...]
    names: tuple[str, ...]  # of the layers without the number of the run
    first_shown: tuple[bool, ...]  # which layers a run shows at first
    base: Run | None = None  # whose network was adapted

    @property
    def title(self) -> str:
        """Label with the number that is in the names of the layers, from the second run on; a narrow dock shows it."""
        return f"{self.number}: {self.label}"

    def shown_names(self) -> set[str]:
        """Names of the layers that are visible now."""
        return {name for name, layer in zip(self.names, self.layers, strict=True) if layer.visible}


class ResultPanel(QWidget):
    """Shows one of the runs and hides the layers of the others; asks for an adaptation and takes it back."""

    adaptation_wanted = Signal(object)  # the run whose network it is
    adaptation_undone = Signal(object)  # the run that is shown instead
    changed = Signal()  # which runs there are, or which one is shown

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._is_busy = False
        self._runs: list[Run] = []
        self._refused: dict[Run, str] = {}  # why the network of a run is not adapted
        self._costs: dict[Run, str] = {}  # what adapting it takes
        self._asked: Run | None = None
        self._caption = wrapped_label("-", role="note")
        self.box = ComboBox(choices=lambda _: [(run.title, run) for run in self._runs])
        self.adapt_button = QPushButton("Adapt to this subject")
        self.undo_button = QPushButton("Undo adaptation")
        self.undo_button.setToolTip("Remove the layers of the adapted network and show those from before.")
        self._query = BackgroundQuery(self)
        self._query.answered.connect(self._take_preflight)
        self._query.failed.connect(self._refuse_asked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._caption)
        layout.addWidget(native_of(self.box))
        layout.addWidget(self.adapt_button)
        layout.addWidget(self.undo_button)
        self.box.changed.connect(self._switch)
        self.adapt_button.clicked.connect(lambda: self.adaptation_wanted.emit(self.shown))
        self.undo_button.clicked.connect(self.undo)
        self._update()

    @property
    def shown(self) -> Run | None:
        """The run whose layers are on show."""
        run: Run | None = self.box.value
        return run

    def add(self, run: Run) -> None:
        """Show a new run, hide the others."""
        before = self.shown
        self._runs.append(run)
        self._choose(run)
        self._show_instead(before, run)

    def run_of(self, inputs: SuperResolveInputs) -> Run | None:
        """The last run that was made of the same, whatever else is listed."""
        same = [run for run in self._runs if run.inputs.effective == inputs.effective]
        return same[-1] if same else None

    def show_run(self, run: Run) -> None:
        """Show a run, hide the others."""
        self.box.value = run

    def undo(self) -> None:
        """Remove the layers of the adapted network on show, and show those from before."""
        run = self.shown
        if run is None or run.base is None:
            return
        before = run.base if run.base in self._runs else None
        if before is not None:
            self.show_run(before)
        for layer in run.layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)  # the run goes with its last layer, see `refresh`
        self.adaptation_undone.emit(self.shown)

    def refuse(self, run: Run, reason: str) -> None:
        """Say why the network of a run is not adapted (again)."""
        self._refused[run] = reason
        self._update()

    def ask_about_adapting(self, question: Callable[[], Preflight]) -> None:
        """Find out how long adapting the network of the run on show takes, and whether it can be."""
        self._asked = self.shown
        self._query.ask(question)

    def set_busy(self, busy: bool) -> None:
        """Say whether a job is under way, during which nothing is adapted or undone."""
        self._is_busy = busy
        self._update()

    def refresh(self) -> None:
        """Forget the runs whose layers are all gone from the viewer."""
        kept = [run for run in self._runs if any(layer in self._viewer.layers for layer in run.layers)]
        if len(kept) < len(self._runs):
            before = self.shown
            self._runs = kept
            self._refused = {run: why for run, why in self._refused.items() if run in kept}
            self._costs = {run: cost for run, cost in self._costs.items() if run in kept}
            shown = before if before in kept else kept[-1] if kept else None
            self._choose(shown)
            if shown is not None and shown is not before:
                self._show_instead(None, shown)

    def _choose(self, run: Run | None) -> None:
        with self.box.changed.blocked():
            self.box.reset_choices()
            if run is not None:
                self.box.value = run
        self._update()

    def _switch(self, run: Run | None) -> None:
        if run is not None:
            others = [each for each in self._runs if each is not run]
            before = next((each for each in others if each.shown_names()), None)
            self._show_instead(before, run)
        self._update()

    def _show_instead(self, before: Run | None, run: Run) -> None:
        """Show of a run the kinds of layers that another one shows; hide all other runs."""
        wanted = before.shown_names() if before is not None else set()
        visible = [name in wanted for name in run.names]
        for layer, is_visible in zip(run.layers, visible if any(visible) else run.first_shown, strict=True):
            layer.visible = is_visible
        active = self._viewer.layers.selection.active
        for other in self._runs:
            for name, layer in zip(other.names, other.layers, strict=True) if other is not run else ():
                layer.visible = False
                if layer is active and name in run.names:
                    self._select(run.layers[run.names.index(name)])

    def _select(self, layer: Layer) -> None:
        """Let the layer controls go on with the layer of the same kind that is shown instead."""
        if layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer

    def _take_preflight(self, answer: Preflight) -> None:
        if answer.problems:
            self._refuse_asked(answer.problems[0])
        elif self._asked is not None:
            self._costs[self._asked] = f"Takes about {duration(answer.seconds)}."
            self._update()

    def _refuse_asked(self, problem: str) -> None:
        if self._asked is not None:
            self.refuse(self._asked, sentence(problem))

    def _update(self) -> None:
        run = self.shown
        self.setVisible(run is not None)
        refusal, cost = (self._refused.get(run), self._costs.get(run, "")) if run is not None else (None, "")
        self.adapt_button.setVisible(run is not None and run.method == "network" and run.base is None)
        self.adapt_button.setEnabled(not self._is_busy and refusal is None)
        self.adapt_button.setToolTip(refusal or f"{ADAPT} {cost}".strip())
        self.undo_button.setVisible(run is not None and run.base is not None)
        self.undo_button.setEnabled(not self._is_busy)
        self.box.tooltip = "" if run is None else run.title
        self._caption.setText("" if run is None else f"Result on show: run {run.number}")
        width: int = self.box.native.view().sizeHintForColumn(0)
        self.box.native.view().setMinimumWidth(width + 24)  # the list shows labels whole that the box cuts off
        self.changed.emit()
