"""ContrastComparison of the contrasts of map sets with an acquired image, with scores that follow the sliders."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from magicgui.widgets import ComboBox
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.appearance import exists, set_text, show_note, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import Form, button, column, layer_box
from napari_swig_qmri._napari.parts.layer_choice import map_of
from napari_swig_qmri._napari.parts.map_sets import Source
from napari_swig_qmri._napari.parts.preferences import VIEWS, preferred_view
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of
from napari_swig_qmri._napari.parts.view import choose_view, view_of
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, image_layers, mask_layers
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.synthesize.compare_panes import ComparePanes
from napari_swig_qmri._napari.synthesize.score_table import METHOD, scores_table, was_guide
from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
from napari_swig_qmri.evaluation.comparison import (
    ComparisonData,
    ContrastComparison,
    choose_acquired,
    gain_of,
    prepare_comparison,
    score,
)
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

NEEDS = "Compare needs PD, T1 and T2 maps on one grid: open those that are missing."


@dataclass(frozen=True, eq=False)
class Candidate:
    """A live contrast and the maps that it is computed from."""

    source: Source
    layer: Image
    transmit_map: Image | None = None  # layer of the B1+ map in use


class ComparePanel(QWidget):
    """The Compare button, the mask, the view and the scores; `panes` holds the layers of a comparison."""

    toggled = Signal(bool)  # the button was pressed or released by the user
    arranged = Signal()  # panes were added or removed

    def __init__(self, viewer: ViewerModel, volumes: VolumeRendering) -> None:
        super().__init__()
        self._viewer = viewer
        self._candidates: list[Candidate] = []
        self._data: ComparisonData | None = None
        self._acquired: Image | None = None
        self.panes = ComparePanes(viewer, volumes)
        self.button = button(
            "Compare",
            "Show the contrast of each ticked source, the acquired image and the difference side by side, with scores.",
        )
        self.button.native.setCheckable(True)
        self.mask_box = layer_box(
            partial(mask_layers, viewer),
            label="Mask",
            tooltip="Region of the scores. Without a mask, the brain is found from the maps.",
        )
        self.view_box = ComboBox(
            label="View",
            choices=VIEWS,
            value=preferred_view(),
            tooltip="Radiological: the patient's left is on the right side. Neurological: on the left side. "
            "napari starts with the view chosen last.",
        )
        self.needs = wrapped_label(role="note")
        self.table = wrapped_label()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.table.setToolTip(METHOD)
        self.scores = QWidget()  # stays in sight while the sliders above it move
        self.message = wrapped_label()
        self.notes = wrapped_label(role="note")
        self._preparing, self._scoring = BackgroundQuery(self), BackgroundQuery(self)
        self._lay_out()
        self._connect()

    @property
    def contrasts(self) -> tuple[Image, ...]:
        """Layers of the compared contrasts, in the order of their sources."""
        return tuple(each.layer for each in self._candidates)

    def set_ready(self, sources: Sequence[Source], can_add: bool) -> None:
        """Enable the button if contrasts of these sources can be added and one source has PD, T1 and T2."""
        lacks_maps = bool(sources) and not any(source.is_complete for source in sources)
        self.button.enabled = can_add and not lacks_maps
        set_text(self.needs, NEEDS if lacks_maps else "")

    def start(self, candidates: Sequence[Candidate]) -> None:
        """Compare these live contrasts, all of one sequence, in place of the present ones."""
        self._leave()
        self._candidates = list(candidates)
        self.button.value = True
        self.panes.decorate(self.contrasts, True)
        self._show_view()
        self._prepare()

    def take_map(self, layer: Image | None) -> None:
        """Compare the same contrasts with another B1+ map, or with none."""
        self._candidates = [replace(each, transmit_map=layer) for each in self._candidates]
        self._prepare()

    def stop(self) -> None:
        """End the comparison and remove its panes."""
        if not self._candidates:
            return
        self._leave()
        self.panes.decorate((), False)
        self.button.value = False
        self.arranged.emit()

    def follow(self) -> None:
        """Update panes and scores after the live contrasts changed."""
        if not self._candidates or self.panes.is_changing:
            return
        if any(layer not in self._viewer.layers for layer in self.contrasts):
            self.stop()
        elif self._find_acquired() is not self._acquired:
            self._prepare()
        elif self._data is not None:
            self._update(self._data)

    def refresh_layers(self) -> None:
        """Follow layers that were added to or removed from the viewer."""
        self.mask_box.reset_choices()
        self.panes.forget_removed()
        self.follow()

    def _lay_out(self) -> None:
        boxes = Form(self.mask_box, self.view_box)
        self.setLayout(column(self.button, self.needs, boxes, self.notes))
        self.scores.setLayout(column(self.message, self.table, spacing=0))

    def _connect(self) -> None:
        self.button.changed.connect(self.toggled.emit)
        self.mask_box.changed.connect(self._prepare)
        self.view_box.changed.connect(partial(choose_view, self._viewer))
        self._viewer.scene.camera.events.orientation.connect(self._show_view)
        self._preparing.answered.connect(self._take_data)
        self._preparing.failed.connect(self._fail)
        self._scoring.answered.connect(self._show_scores)
        self._scoring.failed.connect(partial(show_note, self.message, problem=True))

    @property
    def _contrast(self) -> LazyContrast:
        """First of the compared contrasts; all have its sequence and rendering."""
        contrast: LazyContrast = self._candidates[0].layer.data
        return contrast

    def _find_acquired(self) -> Image | None:
        """Measured image of the compared contrast among the layers."""
        layers = [(layer, facts_of(layer)) for layer in image_layers(self._viewer)]
        measured = [layer for layer, facts in layers if not facts.is_synthetic and map_of(facts) is None]
        volumes = [LayerRecord.of(layer).volume for layer in measured]
        images = [(layer.name, each.suffix, each.sidecar) for layer, each in zip(measured, volumes, strict=True)]
        index = choose_acquired(self._contrast.sequence, images)
        return None if index is None else measured[index]

    def _prepare(self) -> None:
        """Prepare the comparison of these maps with the image of this contrast, in the background."""
        if not self._candidates:
            return
        self.panes.remove()
        self._data, self._acquired = None, self._find_acquired()
        show_note(self.message, "Preparing the comparison…")
        maps = {
            each.source.label: partial(contrast_maps_of, dict(each.source.layers), each.transmit_map)
            for each in self._candidates
        }
        image = None if self._acquired is None else self._acquired.as_layer_data_tuple()[:2]
        mask = None if self.mask_box.value is None else self.mask_box.value.as_layer_data_tuple()[:2]
        self._scoring.forget()
        self._preparing.ask(partial(_prepared, maps, image, mask))

    def _fail(self, problem: str) -> None:
        show_note(self.message, problem, problem=True)
        self._show_text("", "")

    def _take_data(self, data: ComparisonData) -> None:
        self._data = data
        self.panes.add(self.contrasts, self._acquired, data)
        self.arranged.emit()
        self._update(data)

    def _update(self, data: ComparisonData) -> None:
        """Show the panes of the present sequence, and compute its scores in the background."""
        sequence, rendering = self._contrast.sequence, self._contrast.rendering
        self.panes.update(gain_of(data, sequence, rendering))
        show_note(self.message, "Computing scores…" if self.table.isHidden() else "")
        self._scoring.ask(partial(score, data, sequence, rendering))

    def _show_scores(self, answer: ContrastComparison) -> None:
        show_note(self.message, "")
        image = self._acquired
        guided = [
            each.source.label
            for each in self._candidates
            if image is not None and was_guide(image, each.source.layers["T1"])
        ]
        gains = ", ".join(f"{label} {gain:.4g}" for label, gain in answer.gains.items())
        gain_note = [f"Gain of the acquired image, fitted over brain tissue: {gains}."] if gains else []
        self._show_text(scores_table(answer, guided), " ".join([*gain_note, *answer.notes]))

    def _show_text(self, table: str, notes: str) -> None:
        set_text(self.table, table)
        set_text(self.notes, notes)

    def _show_view(self, _event: object = None) -> None:
        """Show the view of the window in the box."""
        if exists(self):
            with self.view_box.changed.blocked():
                self.view_box.value = view_of(self._viewer)

    def _leave(self) -> None:
        """Forget the compared contrasts, and remove the panes and the scores."""
        self._preparing.forget()
        self._scoring.forget()
        self.panes.remove()
        self._candidates, self._data, self._acquired = [], None, None
        show_note(self.message, "")
        self._show_text("", "")


def _prepared(
    maps: Mapping[str, Callable[[], ContrastMaps]],
    image: tuple[Any, dict[str, Any]] | None,
    mask: tuple[Any, dict[str, Any]] | None,
) -> Generator[Progress, None, ComparisonData]:
    """Read maps, image and mask from their layers, and prepare the comparison."""
    read = {label: read_maps() for label, read_maps in maps.items()}
    acquired, brain = (None if each is None else from_layer(*each) for each in (image, mask))
    plain = {label: each.maps for label, each in read.items()}
    return (yield from prepare_comparison(plain, acquired, brain, contrast_maps=read))
