"""The "Super-resolve" dock: choose maps and guides, see what will happen, run, and get layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, FloatSpinBox
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._widgets.appearance import (
    Foldable,
    exists,
    form,
    heading,
    native_of,
    wrapped_label,
)
from napari_swig_qmri._widgets.dock import Dock
from napari_swig_qmri._widgets.inputs import GuideChoice, GuideList, MapChoice, MapChooser
from napari_swig_qmri._widgets.layer_choice import choose_guides, choose_maps
from napari_swig_qmri._widgets.preferences import GIGABYTE, Options, read_preferences
from napari_swig_qmri._widgets.preflight_panel import PreflightPanel
from napari_swig_qmri._widgets.run_panel import RunPanel, time_left
from napari_swig_qmri._widgets.viewer_layers import (
    add_results,
    as_map,
    facts_of,
    follow_layers,
    image_layers,
)
from napari_swig_qmri.conversion import as_guide, as_maps, map_notices
from napari_swig_qmri.layers import frame_of, from_layer, result_layers
from napari_swig_qmri.results import RESEARCH_NOTICE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Image

    from napari_swig_qmri.pipeline import Preflight
    from napari_swig_qmri.results import Progress, SuperResolution
    from napari_swig_qmri.signal_models import SignalModel
    from napari_swig_qmri.volumes import FloatArray, QuantitativeMaps, Volume, WeightedImage

    Solver = Callable[..., Generator[Progress, None, SuperResolution]]
    Inspector = Callable[..., Preflight]

METHODS = [("Posterior", "posterior"), ("Regression", "regression")]
DEVICES = ["auto", "cuda", "mps", "cpu"]


@dataclass(frozen=True, kw_only=True)
class SuperResolveInputs:
    """Everything a person chooses for a run."""

    maps: Mapping[str, MapChoice] = field(default_factory=dict)  # by quantity: PD, T1, T2
    guides: tuple[GuideChoice, ...] = ()
    options: Options = field(default_factory=Options)


class OptionsEditor(QWidget):
    """Method, voxel size, device and memory limit, each with one line that says what it does."""

    changed = Signal()

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._method = ComboBox(label="Method", choices=METHODS)
        self._voxel_size = FloatSpinBox(label="Voxel size", min=0, max=20, step=0.1)
        self._device = ComboBox(label="Device", choices=DEVICES)
        self._memory = FloatSpinBox(label="Memory limit", min=0, max=4096, step=1)
        for spin_box, special, unit in (
            (self._voxel_size, "as the finest guide", " mm"),
            (self._memory, "automatic", " GB"),
        ):
            spin_box.native.setSpecialValueText(special)
            spin_box.native.setSuffix(unit)
            spin_box.native.setDecimals(2)
        explained: tuple[tuple[ValueWidget[Any], str], ...] = (
            (
                self._method,
                "Posterior, the most accurate, refines the fast regression until all agree.",
            ),
            (self._voxel_size, "Edge of the new voxels; 0 takes the grid of the finest guide."),
            (self._device, "auto takes the graphics card if there is one, else the processor."),
            (self._memory, "Volumes beyond this run in blocks, with the same result."),
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


class SuperResolveWidget(Dock):
    """Super-resolve maps that are layers of a viewer, with weighted images that are layers too.

    `solver` and `inspector` stand in for `pipeline.super_resolve` and `pipeline.preflight`.
    """

    changed = Signal()

    def __init__(
        self, napari_viewer: Viewer, solver: Solver | None = None, inspector: Inspector | None = None
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._solver = solver or _solve
        self._inspector = inspector or _inspect
        self._frame: FloatArray | None = None  # display frame of the inputs of the run
        layers = partial(image_layers, napari_viewer)
        self.maps = MapChooser(layers)
        self.guides = GuideList(layers)
        self.options = OptionsEditor(read_preferences())
        self.preflight = PreflightPanel()
        self.run = RunPanel(
            "Super-resolve", "Compute the maps on the grid of the guides and add them as layers"
        )
        self._lay_out()
        for part in (self.maps, self.guides, self.options):
            part.changed.connect(self._ask)
        self.preflight.checked.connect(self.run.set_ready)
        self.run.requested.connect(self.start)
        self.run.succeeded.connect(self._add_result)
        follow_layers(napari_viewer, self._follow_layers)
        self._follow_layers()

    def value(self) -> SuperResolveInputs:
        """What is chosen."""
        return SuperResolveInputs(
            maps=self.maps.value(), guides=self.guides.value(), options=self.options.value()
        )

    def set_value(self, inputs: SuperResolveInputs) -> None:
        """Show these choices and stop proposing others."""
        self.maps.is_untouched = self.guides.is_untouched = False
        self.maps.set_value(inputs.maps)
        self.guides.set_value(inputs.guides)
        self.options.set_value(inputs.options)

    def start(self) -> None:
        """Run with what is chosen; the layers are read now, later changes do not matter."""
        snapshot = Snapshot.of(self.value())
        self._frame = snapshot.frame
        self.run.start(partial(_run, self._solver, snapshot))

    def _lay_out(self) -> None:
        scrolled = [
            heading("Maps to resolve"),
            self.maps,
            heading("Guides"),
            self.guides,
            Foldable("Options", self.options),
            heading("What will happen"),
            self.preflight,
        ]
        notice = wrapped_label(f"Results are {RESEARCH_NOTICE} only.", role="note")
        self.lay_out(scrolled, [self.run, notice])

    def _follow_layers(self, _event: object = None) -> None:
        """Refresh the choices and propose layers where the user has not chosen."""
        if not exists(self):  # the dock was closed, Python has not noticed yet
            return
        self.maps.refresh()
        self.guides.refresh()
        layers = image_layers(self._viewer)
        facts = [facts_of(layer) for layer in layers]
        if self.maps.is_untouched:
            self._propose_maps({name: layers[index] for name, index in choose_maps(facts).items()})
        if self.guides.is_untouched:
            self.guides.propose([layers[index] for index in choose_guides(facts)])
        self._ask()

    def _propose_maps(self, layers: Mapping[str, Image]) -> None:
        """Show these layers; rows that show them already keep their unit."""
        for name, row in self.maps.rows.items():
            row.layer.value = layers.get(name)

    def _ask(self) -> None:
        inputs = self.value()
        problems = self.guides.problems()
        if not inputs.maps:
            problems.append("Open a PD, T1 or T2 map, or choose its layer above.")
        self.run.set_ready(False)
        self.order_tabs()
        if problems:
            self.preflight.show_problems(problems)
        else:
            self.preflight.ask(partial(_ask_engine, self._inspector, Snapshot.of(inputs)))
        self.changed.emit()

    def _add_result(self, result: SuperResolution) -> None:
        added = add_results(self._viewer, result_layers(result, self._frame))
        took = time_left(self.run.seconds_since_start())
        notices = "".join(f"\n{notice}" for notice in result.notices)
        self.run.show_message(f"Done in {took}: {len(added)} layers added, {RESEARCH_NOTICE}.{notices}")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Layers and options as they were when a question was asked, safe to read in a thread."""

    maps: tuple[tuple[Any, dict[str, Any], str, str], ...]  # data and attributes of a layer, quantity, unit
    guides: tuple[tuple[Any, dict[str, Any], SignalModel | None], ...]
    options: Options

    @classmethod
    def of(cls, inputs: SuperResolveInputs) -> Snapshot:
        """The state of the chosen layers now; arrays are not copied."""
        return cls(
            tuple(
                (*choice.layer.as_layer_data_tuple()[:2], quantity, choice.unit or "")
                for quantity, choice in inputs.maps.items()
            ),
            tuple(
                (*guide.layer.as_layer_data_tuple()[:2], guide.sequence)
                for guide in inputs.guides
                if guide.layer is not None
            ),
            inputs.options,
        )

    @property
    def frame(self) -> FloatArray:
        """Display frame of the guides, or of the maps without guides: the one to show results in."""
        return frame_of(self.guides[0][1] if self.guides else self.maps[0][1])

    def arguments(self) -> tuple[QuantitativeMaps, list[WeightedImage], dict[str, Any]]:
        """What the engine takes."""
        guides = [_guide(*guide) for guide in self.guides]
        return as_maps(self._map_volumes()), guides, vars(self.options)

    def notices(self) -> tuple[str, ...]:
        """What is changed in the maps before the engine gets them."""
        return map_notices(self._map_volumes())

    def _map_volumes(self) -> list[Volume]:
        return [
            as_map(from_layer(data, attributes), quantity, unit)
            for data, attributes, quantity, unit in self.maps
        ]


def _guide(data: Any, attributes: dict[str, Any], sequence: SignalModel | None) -> WeightedImage:
    return replace(as_guide(from_layer(data, attributes))[0], sequence=sequence)


def _run(solver: Solver, snapshot: Snapshot) -> Generator[Progress, None, SuperResolution]:
    maps, guides, options = snapshot.arguments()
    return (yield from solver(maps, guides, **options))


def _ask_engine(inspector: Inspector, snapshot: Snapshot) -> Preflight:
    maps, guides, options = snapshot.arguments()
    answer = inspector(maps, guides, **options)
    return replace(answer, statements=(*snapshot.notices(), *answer.statements))


def _solve(
    maps: QuantitativeMaps, guides: Sequence[WeightedImage], **options: Any
) -> Generator[Progress, None, SuperResolution]:
    from napari_swig_qmri.pipeline import super_resolve  # in the thread: it loads torch

    return (yield from super_resolve(maps, guides, **options))


def _inspect(maps: QuantitativeMaps, guides: Sequence[WeightedImage], **options: Any) -> Preflight:
    from napari_swig_qmri.pipeline import preflight  # in the thread: it loads torch

    return preflight(maps, guides, **options)
