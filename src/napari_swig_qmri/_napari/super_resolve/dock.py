"""The Super-resolve dock: choose maps and guides, read what will happen, run, and get layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari.viewer import Viewer
from qtpy.QtCore import Signal

from napari_swig_qmri._napari.parts.appearance import Foldable, exists, heading, wrapped_label
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.layer_choice import map_of
from napari_swig_qmri._napari.parts.preferences import preferred_weights, read_preferences
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri._napari.parts.view import follow_view
from napari_swig_qmri._napari.parts.viewer_layers import (
    ResultsToAdd,
    facts_of,
    follow_layers,
    image_layers,
    mask_layers,
    proposed_guides,
    proposed_maps,
    transmit_layers,
)
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.result_layers import result_label, result_layers
from napari_swig_qmri._napari.super_resolve.inputs import GuideList, MapChooser
from napari_swig_qmri._napari.super_resolve.options import OptionsEditor
from napari_swig_qmri._napari.super_resolve.preflight_panel import PreflightPanel
from napari_swig_qmri._napari.super_resolve.result_panel import FinishedRun, ResultPanel
from napari_swig_qmri._napari.super_resolve.snapshot import Snapshot, SuperResolveInputs
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.wording import duration_text
from napari_swig_qmri.physics.weighting import weighting_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari.layers import Layer

    from napari_swig_qmri._napari.layers import LayerData
    from napari_swig_qmri.progress import Progress
    from napari_swig_qmri.super_resolution.plan import RunPlan
    from napari_swig_qmri.super_resolution.preflight import Preflight
    from napari_swig_qmri.super_resolution.results import SuperResolution

    Solver = Callable[..., Generator[Progress, None, SuperResolution]] | None
    Inspector = Callable[..., Preflight] | None


NO_MAPS = "Open a PD, T1 or T2 map, or choose its layer above."
RESOLVED = "The maps in the viewer are super-resolved already. Open the measured ones to resolve them again."
GAINED = "The cross-scale error fell from {error_before:.2%} to {error_after:.2%} of that without a network."
NOTHING_GAINED = (
    "Nothing was gained in {took}: the cross-scale error stays at {error_before:.2%} of that without a network. "
    "The weights stay as they were, and no layers were added."
)
ACTION = "Super-resolve"
LONGEST_ACTION = 36  # characters that a button of a narrow dock shows


@dataclass(frozen=True, eq=False)
class RunRequest:
    """Inputs of a run, what was planned for them, and the finished run with the network that it adapts."""

    inputs: SuperResolveInputs
    snapshot: Snapshot
    checked: Snapshot | None = None  # layers as they were when `plan` was made
    plan: RunPlan | None = None
    base: FinishedRun | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """Result of a run, and its layers."""

    request: RunRequest
    result: SuperResolution
    layers: list[LayerData]


class SuperResolveWidget(Dock):
    """Super-resolves maps that are layers of a viewer, guided by weighted images that are layers, too.

    A script sets the inputs with `set_value` and adds the result layers with `run`. `solver` and `inspector` replace
    `super_resolution_steps` and `preflight` in tests.
    """

    title = "Super-resolve"
    changed = Signal()

    def __init__(self, napari_viewer: Viewer, solver: Solver = None, inspector: Inspector = None) -> None:
        super().__init__(napari_viewer)
        self._solver = solver
        self._inspector = inspector
        self._added: list[Layer] = []  # by the last run
        self._checked: SuperResolveInputs | None = None  # inputs of the last preflight
        self._checked_layers: Snapshot | None = None
        layers = partial(image_layers, napari_viewer)
        self.maps = MapChooser(layers)
        self.guides = GuideList(layers)
        self.options = OptionsEditor(
            read_preferences(),
            partial(mask_layers, napari_viewer),
            preferred_weights(),
            lambda: transmit_layers(layers()),
        )
        self.options_fold = Foldable("Options", self.options)
        self.preflight = PreflightPanel()
        self.run_panel = RunPanel(ACTION, "Compute the maps on the grid of the guides and add them as layers")
        self.results = ResultPanel(napari_viewer)
        self._lay_out()
        for part in (self.maps, self.guides, self.options):
            part.changed.connect(self._ask)
        self.preflight.checked.connect(self.run_panel.set_ready)
        self.run_panel.requested.connect(self.start)
        self.run_panel.succeeded.connect(self._take_result)
        self.run_panel.ended.connect(self._free_results)
        self.results.adaptation_wanted.connect(self.adapt)
        self.results.adaptation_undone.connect(self._say_undone)
        self.results.changed.connect(self._name_action)
        follow_layers(napari_viewer, self._follow_layers)
        follow_view(napari_viewer)
        self._follow_layers()

    def value(self) -> SuperResolveInputs:
        """Current inputs."""
        return SuperResolveInputs(
            maps=self.maps.value(),
            guides=self.guides.value(),
            options=self.options.value(),
            mask=self.options.mask_box.value,
            transmit_map=self.options.transmit_box.value,
        )

    def set_value(self, inputs: SuperResolveInputs) -> None:
        """Show these inputs, and propose no others from now on."""
        self.maps.is_untouched = self.guides.is_untouched = False
        self.maps.set_value(inputs.maps)
        self.guides.set_value(inputs.guides)
        self.options.set_value(inputs.options)
        self.options.mask_box.value = inputs.mask
        self.options.transmit_box.value = inputs.transmit_map

    def run(self) -> list[Layer]:
        """Super-resolve with the current inputs, and return the layers that are added.

        The call returns when the run has ended. The window stays responsive, and *Cancel* works, in the meantime.

        Raises
        ------
        ValueError
            If the inputs are incomplete or impossible.
        RuntimeError
            If another run is under way, or if the run fails or is cancelled, with the message that the dock shows.
            If the layers cannot be added to the viewer.
        """
        if problems := self._problems(self.value()):
            raise ValueError(problems[0])
        if self.run_panel.is_running:
            raise RuntimeError("another run is under way: wait until it has ended, or cancel it.")
        self.start()
        self.run_panel.wait()
        return list(self._added)

    def start(self) -> None:
        """Start a run with the current inputs in the background. Later changes of the layers have no effect on it."""
        inputs, answer = self.value(), self.preflight.answer
        plan = answer.plan if answer is not None and inputs == self._checked else None
        self._start(RunRequest(inputs, Snapshot.of(inputs).copied, self._checked_layers, plan))

    def adapt(self, run: FinishedRun) -> None:
        """Start a run with the inputs of a finished run that adapts its network first."""
        if run.adaptable is not None:
            self._start(RunRequest(run.inputs, run.adaptable, base=run))

    def _start(self, request: RunRequest) -> None:
        if self.run_panel.is_running:
            return
        self.results.set_busy(True)
        self.run_panel.start(partial(_run, self._solver, request), self._layers_to_add)

    def _free_results(self) -> None:
        self.results.set_busy(False)

    def _lay_out(self) -> None:
        scrolled = [
            heading("Maps to resolve"),
            self.maps,
            heading("Guides"),
            self.guides,
            self.options_fold,
            heading("What will happen"),
            self.preflight,
        ]
        notice = wrapped_label(f"Results are {RESEARCH_NOTICE} only.", role="note")
        self.lay_out(scrolled, [self.run_panel, self.results, notice])

    def _follow_layers(self, _event: object = None) -> None:
        """Update the choices, and propose layers as long as the user has chosen none."""
        if not exists(self):  # the dock was closed, but the viewer still calls
            return
        if not image_layers(self._viewer):  # the next patient is proposed afresh
            self.maps.is_untouched = self.guides.is_untouched = True
        self.maps.refresh()
        self.guides.refresh()
        self.options.mask_box.reset_choices()
        self.options.transmit_box.reset_choices()
        self.results.refresh()
        self._added = [layer for layer in self._added if layer in self._viewer.layers]
        if self.results.shown is None and not self.run_panel.is_running:
            self.run_panel.show_message("")  # about layers that are gone
        if self.maps.is_untouched:
            self.maps.propose(proposed_maps(self._viewer))
        if self.guides.is_untouched:
            self.guides.propose(proposed_guides(self._viewer))
        self._ask()

    def _problems(self, inputs: SuperResolveInputs) -> list[str]:
        """Reasons why these inputs cannot be run, as far as they are known without a preflight."""
        problems = [*self.guides.problems(), *filter(None, [self.options.problem()])]
        if not inputs.maps:
            facts = [facts_of(layer) for layer in image_layers(self._viewer)]
            problems.append(RESOLVED if any(each.is_synthetic and map_of(each) for each in facts) else NO_MAPS)
        return problems

    def _ask(self) -> None:
        inputs = self.value()
        problems = self._problems(inputs)
        self.order_tabs()
        self.options_fold.set_title(f"Options: method {inputs.options.method}")
        if problems:
            self._checked = None
            self.run_panel.set_ready(False)
            self.preflight.show_problems(problems, "note" if problems == [NO_MAPS] else "problem")
        elif inputs != self._checked:
            self._checked = inputs
            self.run_panel.set_ready(False)
            self._checked_layers = Snapshot.of(inputs)
            self.preflight.ask(partial(_ask_engine, self._inspector, self._checked_layers))
            if (same := self.results.run_of(inputs)) is not None:
                self.results.show_run(same)
        self._name_action()
        self.changed.emit()

    def _name_action(self) -> None:
        """Write on the button how the next run differs from the result shown."""
        shown = self.results.shown
        self.run_panel.set_action(ACTION if shown is None else _again(self.value(), shown.inputs))

    def _layers_to_add(self, outcome: Outcome) -> Iterator[Callable[[], object]]:
        """Functions that add the layers of a result one by one; none if adapting the network gained nothing."""
        self._added = []
        errors = outcome.result.parameters.get("adapted")
        if outcome.request.base is not None and errors and errors["error_after"] >= errors["error_before"]:
            return
        results = ResultsToAdd(self._viewer, outcome.layers)
        yield from results.pieces()
        self._added = results.layers()

    def _refuse_adapting(self, outcome: Outcome) -> None:
        """Say that adapting the network gained nothing."""
        if outcome.request.base is not None:
            self.results.refuse(outcome.request.base, "Adapting the network to this subject gained nothing.")
        took = duration_text(self.run_panel.seconds_since_start())
        self.run_panel.show_message(NOTHING_GAINED.format(took=took, **outcome.result.parameters["adapted"]))

    def _take_result(self, outcome: Outcome) -> None:
        """List a run whose layers were added."""
        request, result, added = outcome.request, outcome.result, self._added
        if not added:
            self._refuse_adapting(outcome)
            return
        is_first = result.parameters["method"] == "network" and request.base is None
        adaptable = request.snapshot.adapting() if is_first else None
        self.results.add(
            FinishedRun(
                number=LayerRecord.of(added[0]).run,
                label=result_label(result, with_model=False),
                model=result_label(result),
                result=result,
                method=str(result.parameters["method"]),
                inputs=request.inputs,
                origin=request.snapshot.origin,
                adaptable=adaptable,
                layers=tuple(added),
                names=tuple(attributes["name"] for _, attributes, _ in outcome.layers),
                first_shown=tuple(attributes.get("visible", True) for _, attributes, _ in outcome.layers),
                base=request.base,
            )
        )
        errors = result.parameters.get("adapted")
        gained = "" if request.base is None or not errors else f" {GAINED.format(**errors)}"
        took = duration_text(self.run_panel.seconds_since_start())
        done = f"Done in {took}: {len(added)} layers added, {RESEARCH_NOTICE}.{gained}"
        self.run_panel.show_message(done, notes=result.notices)
        if adaptable is not None:
            self.results.ask_about_adapting(partial(_ask_engine, self._inspector, adaptable))

    def _say_undone(self, _run: FinishedRun | None) -> None:
        self.run_panel.show_message("The adaptation was undone: its layers are removed, those from before are shown.")


def _again(inputs: SuperResolveInputs, before: SuperResolveInputs) -> str:
    """Text of the button for the next run; `before` are the inputs of the result shown."""
    new, old = inputs.effective, before.effective
    words = []
    if new.guides != old.guides:
        words.append(" + ".join(_contrasts(new)) or "no guide")
    if new.options.method != old.options.method:
        words.append(new.options.method)
    if not words:
        return "Run again"
    action = f"Run again with {', '.join(words)}"
    return action if len(action) <= LONGEST_ACTION else f"Run again with {len(new.guides)} guides"


def _contrasts(inputs: SuperResolveInputs) -> list[str]:
    return [weighting_of(guide.sequence, guide.layer.name) for guide in inputs.guides if guide.layer is not None]


def _run(solver: Solver, request: RunRequest) -> Generator[Progress, None, Outcome]:
    """Run a request and prepare the layers of its result."""
    result = yield from _solved(solver, request)
    return Outcome(request, result, result_layers(result, request.snapshot.frame, request.snapshot.origin))


def _solved(solver: Solver, request: RunRequest) -> Generator[Progress, None, SuperResolution]:
    """Run the plan of a request, or plan again if the layers have changed since."""
    if solver is None:
        from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps  # loads torch

        solver = super_resolution_steps
    snapshot, checked = request.snapshot, request.checked
    if request.plan is not None and checked is not None and checked.copied.fingerprint == snapshot.fingerprint:
        return (yield from solver(request.plan))
    return (yield from solver(*snapshot.arguments(), mask=snapshot.mask_volume()))


def _ask_engine(inspector: Inspector, snapshot: Snapshot) -> Preflight:
    if inspector is None:
        from napari_swig_qmri.super_resolution.preflight import preflight  # loads torch

        inspector = preflight
    snapshot = snapshot.copied  # here, in the thread, so that choosing stays quick
    answer = inspector(*snapshot.arguments(), mask=snapshot.mask_volume())
    noted = snapshot.noted_at_rows()
    return replace(answer, statements=tuple(each for each in answer.statements if each not in noted))
