"""Contrasts of LR and SR maps beside the acquired image and the difference, with scores that follow the sliders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_swig_qmri._napari.display import difference_colormap
from napari_swig_qmri._napari.layers import LayerRecord, from_layer, to_layer_data
from napari_swig_qmri._napari.parts.appearance import exists, form, native_of, sentence, set_text, style, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.layer_box import LayerBox
from napari_swig_qmri._napari.parts.layer_choice import map_of
from napari_swig_qmri._napari.parts.preferences import VIEWS, preferred_view
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of
from napari_swig_qmri._napari.parts.view import choose_view, hide_marks, show_marks, view_of
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, image_layers, mask_layers
from napari_swig_qmri._napari.placement import place, same_frame
from napari_swig_qmri._napari.synthesize.score_table import VARIANT, scores_table, was_guide
from napari_swig_qmri.data.interpretation import as_signal
from napari_swig_qmri.data.provenance import made_here
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.evaluation.comparison import ACQUIRED, choose_acquired, gain_of, prepare_comparison, score
from napari_swig_qmri.synthesis.brightness import rounded_up
from napari_swig_qmri.synthesis.composites import Difference, OnGrid, Scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_swig_qmri._napari.parts.map_sets import Source
    from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.evaluation.comparison import ComparisonData, ContrastComparison
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.progress import Progress
    from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
    from napari_swig_qmri.synthesis.lazy_array import LazyArray
    from napari_swig_qmri.synthesis.rendering import Rendering

DIFFERENCE_SHARE = 0.25  # of the scale of the contrasts: the difference is shown from minus to plus this
NEEDS = "Compare needs PD, T1 and T2 maps on one grid: open those that are missing."


@dataclass(frozen=True, eq=False)
class Candidate:
    """A live contrast and the maps it comes from."""

    source: Source
    layer: Image
    transmit_map: Image | None = None  # layer of B1+ that it sees


class ComparePanel(QWidget):
    """The button, what to compare in, the scores; adds the acquired and the difference pane."""

    toggled = Signal(bool)
    arranged = Signal()  # panes came or went

    def __init__(self, viewer: ViewerModel, volumes: VolumeRendering) -> None:
        super().__init__()
        self._viewer = viewer
        self._volumes = volumes
        self._candidates: list[Candidate] = []
        self._bench: ComparisonData | None = None
        self._images: list[Image] = []  # that could be the acquired one
        self._chosen: Image | None = None
        self._kept: FloatArray | None = None  # acquired image on its own voxels, as shown
        self._on_grid: FloatArray | None = None  # acquired image on the voxels of the finest maps, as shown
        self.panes: dict[str, Image] = {}
        self._is_changing = False  # while panes come and go by this panel's own hand
        self.button = QPushButton("Compare")
        self.button.setCheckable(True)
        self.button.setToolTip(
            "Show the contrast from every ticked source beside the acquired image and the difference, with scores."
        )
        self.mask_box = LayerBox(partial(mask_layers, viewer), label="Mask")
        self.mask_box.tooltip = "Where to score; none takes the brain from the maps."
        self.view_box = ComboBox(
            label="View",
            choices=VIEWS,
            value=preferred_view(),
            tooltip="Patient's left on the right, or left. It is kept for the next start.",
        )
        self.needs = wrapped_label(role="note")
        self.table = wrapped_label()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.message = wrapped_label()
        self.notes = wrapped_label(role="note")
        self._preparing, self._scoring = BackgroundQuery(self), BackgroundQuery(self)
        self._lay_out()
        self._connect()

    def set_ready(self, sources: Sequence[Source], can_add: bool) -> None:
        """Say whether a contrast of these sources can be added and compared: one of them needs PD, T1 and T2."""
        lacks_maps = bool(sources) and not any(source.is_complete for source in sources)
        self.button.setEnabled(can_add and not lacks_maps)
        set_text(self.needs, NEEDS if lacks_maps else "")

    def start(self, candidates: Sequence[Candidate]) -> None:
        """Compare these live contrasts, of one sequence; what was compared before is left."""
        self._leave()
        self._candidates = list(candidates)
        self.button.setChecked(True)
        self._decorate(True)
        self._prepare()

    def take_map(self, layer: Image | None) -> None:
        """Compare the same contrasts in the transmit field of a layer."""
        self._candidates = [replace(each, transmit_map=layer) for each in self._candidates]
        self._prepare()

    def stop(self) -> None:
        """Take the panes of the comparison away."""
        if not self._candidates:
            return
        self._leave()
        self._decorate(False)
        self.button.setChecked(False)
        self.arranged.emit()

    def follow(self) -> None:
        """Bring panes and scores to the sequence that the live contrasts have now."""
        if not self._candidates or self._is_changing:
            return
        if any(each.layer not in self._viewer.layers for each in self._candidates):
            self.stop()
        elif self._choose() is not self._chosen:
            self._prepare()
        elif self._bench is not None:
            self._refresh()

    def refresh_layers(self) -> None:
        """List the masks anew after layers came or went."""
        self.mask_box.refresh()
        self.panes = {name: pane for name, pane in self.panes.items() if pane in self._viewer.layers}
        self.follow()

    def _lay_out(self) -> None:
        rows = form()
        for box in (self.mask_box, self.view_box):
            rows.addRow(box.label, native_of(box))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.button)
        layout.addWidget(self.needs)
        layout.addLayout(rows)
        for label in (self.message, self.table, self.notes):
            layout.addWidget(label)

    def _connect(self) -> None:
        self.button.clicked.connect(self.toggled)
        self.mask_box.changed.connect(lambda _: self._prepare())
        self.view_box.changed.connect(partial(choose_view, self._viewer))
        self._viewer.scene.camera.events.orientation.connect(self._show_view)
        self._preparing.answered.connect(self._take_bench)
        self._preparing.failed.connect(self._fail)
        self._scoring.answered.connect(self._show_scores)
        self._scoring.failed.connect(partial(self._say, problem=True))

    @property
    def contrasts(self) -> tuple[Image, ...]:
        """The compared contrasts, in the order of their sources."""
        return tuple(each.layer for each in self._candidates)

    @property
    def _sequence(self) -> Contrast:
        sequence: Contrast = self._candidates[0].layer.data.sequence
        return sequence

    @property
    def _rendering(self) -> Rendering:
        rendering: Rendering = self._candidates[0].layer.data.rendering
        return rendering

    @property
    def _finest(self) -> Candidate:
        return min(self._candidates, key=lambda each: float(np.prod(each.layer.scale)))

    def _choose(self) -> Image | None:
        """The measured image of the contrast among the layers."""
        layers = [(layer, facts_of(layer)) for layer in image_layers(self._viewer)]
        self._images = [layer for layer, facts in layers if not facts.is_synthetic and map_of(facts) is None]
        volumes = [LayerRecord.of(layer).volume for layer in self._images]
        images = [
            (layer.name, volume.suffix, volume.sidecar) for layer, volume in zip(self._images, volumes, strict=True)
        ]
        index = choose_acquired(self._sequence, images)
        return None if index is None else self._images[index]

    def _prepare(self) -> None:
        """Ask for the comparison of these maps with the image of this contrast."""
        if not self._candidates:
            return
        self._remove_panes()
        self._bench, self._chosen = None, self._choose()
        self._say("Preparing the comparison…")
        maps = {
            each.source.label: partial(contrast_maps_of, dict(each.source.layers), each.transmit_map)
            for each in self._candidates
        }
        image = None if self._chosen is None else self._chosen.as_layer_data_tuple()[:2]
        mask = None if self.mask_box.value is None else self.mask_box.value.as_layer_data_tuple()[:2]
        self._scoring.forget()
        self._preparing.ask(partial(_prepared, maps, image, mask))

    def _fail(self, problem: str) -> None:
        self._say(problem, problem=True)
        self._show_text("", "")

    def _take_bench(self, bench: ComparisonData) -> None:
        self._bench = bench
        self._add_panes(bench)
        self._refresh()

    def _add_panes(self, bench: ComparisonData) -> None:
        """The acquired image and the difference, in the frame of the finest maps."""
        self._viewer.canvas.grid.enabled = False  # until all are there: it would be laid out for each
        finest = self._finest.layer
        frame = LayerRecord.of(finest).frame
        blank = Volume(data=bench.maps[bench.finest]["T1"], grid=bench.grid, name="", sidecar=made_here())
        if self._chosen is not None and bench.acquired is not None:
            shown, _ = as_signal(from_layer(*self._chosen.as_layer_data_tuple()[:2]))
            data, attributes, _ = to_layer_data(replace(shown, name=f"Acquired: {shown.name}"), frame)
            self._kept = data
            self._on_grid = place(replace(blank, data=bench.acquired), frame).data
            self._add("acquired", Scaled(data), {**attributes, "colormap": "gray"})
        name = f"{bench.finest} − {ACQUIRED if bench.acquired is not None else bench.compared[0]}"
        _, attributes, _ = to_layer_data(replace(blank, name=name, suffix="residual"), frame)
        data = self._difference(1.0)
        if data is not None:
            self._add("difference", data, {**attributes, "colormap": difference_colormap()})
        self.arranged.emit()

    def _add(self, key: str, data: Any, attributes: Mapping[str, Any]) -> None:
        layer = Image(data, **{**attributes, "contrast_limits": (0.0, 1.0)}, multiscale=False)
        self.panes[key] = layer
        self._is_changing = True
        self._volumes.add([layer])
        self._is_changing = False
        _label(layer, True)

    def _difference(self, gain: float) -> Difference | None:
        """The finest contrast minus the acquired image, else minus the other maps' contrast; None if it cannot be."""
        finest = self._finest.layer
        if self._on_grid is not None:
            return Difference(finest.data, Scaled(self._on_grid, gain))
        other = next(each.layer for each in self._candidates if each.layer is not finest)
        if not same_frame(LayerRecord.of(finest).frame, LayerRecord.of(other).frame):
            return None
        step = np.asarray(finest.scale) / np.asarray(other.scale)
        offset = (np.asarray(finest.translate) - np.asarray(other.translate)) / np.asarray(other.scale)
        there = OnGrid(data=other.data, grid_shape=tuple(finest.data.shape), step=step, offset=offset)
        return Difference(finest.data, there)

    def _refresh(self) -> None:
        """Panes of the sequence on show, and the question for its scores."""
        bench = self._bench
        if bench is None:
            return
        low, high = self._finest.layer.contrast_limits
        gain = gain_of(bench, self._sequence, self._rendering)
        arrays: dict[Layer, LazyArray] = {}
        if "acquired" in self.panes and self._kept is not None:
            arrays[self.panes["acquired"]] = Scaled(self._kept, gain)
        difference = self._difference(gain) if "difference" in self.panes else None
        if difference is not None:
            arrays[self.panes["difference"]] = difference
        top = rounded_up(DIFFERENCE_SHARE * max(abs(low), abs(high)), is_signed=True)
        limits = {self.panes.get("acquired"): (low, high), self.panes.get("difference"): (-top, top)}
        self._volumes.change("panes", arrays, partial(_show, arrays, limits))
        self._say("Scoring…" if self.table.isHidden() else "")
        self._scoring.ask(partial(score, bench, self._sequence, self._rendering))

    def _show_scores(self, answer: ContrastComparison) -> None:
        self._say("")
        gains = ", ".join(f"{label} {gain:.4g}" for label, gain in answer.gains.items())
        fitted = [f"Gain of the acquired image, fitted over brain tissue: {gains}."] if gains else []
        self._show_text(scores_table(answer, self._fitted()), " ".join([*fitted, *answer.notes, VARIANT]))

    def _fitted(self) -> tuple[str, ...]:
        """Labels of the maps for which the acquired image was a guide."""
        image = self._chosen
        return (
            ()
            if image is None
            else tuple(each.source.label for each in self._candidates if was_guide(image, each.source.layers["T1"]))
        )

    def _show_text(self, table: str, notes: str) -> None:
        set_text(self.table, table)
        set_text(self.notes, notes)

    def _decorate(self, wanted: bool) -> None:
        """Names, colour bars, a length and the sides of the patient, or none of them."""
        for each in self._candidates:
            _label(each.layer, wanted)
        bar = self._viewer.canvas.overlays.scale_bar
        bar.visible = wanted
        bar.gridded = wanted
        if wanted:
            show_marks(self._viewer)
            self._show_view()
        else:
            hide_marks(self._viewer)

    def _show_view(self, _event: object = None) -> None:
        """Say which view the window has, whoever chose it."""
        if exists(self):
            with self.view_box.changed.blocked():
                self.view_box.value = view_of(self._viewer)

    def _leave(self) -> None:
        """Forget what was compared."""
        self._preparing.forget()
        self._scoring.forget()
        self._remove_panes()
        for each in self._candidates:
            if each.layer in self._viewer.layers:
                each.layer.colorbar.visible = False
        self._candidates, self._bench, self._chosen = [], None, None
        self._say("")
        self._show_text("", "")

    def _remove_panes(self) -> None:
        panes, self.panes = list(self.panes.values()), {}
        self._kept = self._on_grid = None
        self._is_changing = True
        for pane in panes:
            if pane in self._viewer.layers:
                self._viewer.layers.remove(pane)
        self._is_changing = False

    def _say(self, text: str, *, problem: bool = False) -> None:
        self.message.setStyleSheet(style("problem" if problem else "note"))
        set_text(self.message, sentence(text))


def _prepared(
    maps: Mapping[str, Callable[[], ContrastMaps]],
    image: tuple[Any, dict[str, Any]] | None,
    mask: tuple[Any, dict[str, Any]] | None,
) -> Generator[Progress, None, ComparisonData]:
    read = {label: read_maps() for label, read_maps in maps.items()}
    acquired, brain = (None if each is None else from_layer(*each) for each in (image, mask))
    plain = {label: each.maps for label, each in read.items()}
    return (yield from prepare_comparison(plain, acquired, brain, contrast_maps=read))


def _label(layer: Image, wanted: bool) -> None:
    layer.name_overlay.visible = True
    layer.colorbar.visible = wanted


def _show(arrays: Mapping[Layer, LazyArray], limits: Mapping[Layer | None, tuple[float, float]]) -> None:
    """Other values in panes, between other limits."""
    for layer, array in arrays.items():
        layer.data = array
        layer.contrast_limits_range = limits[layer]
        layer.contrast_limits = limits[layer]
