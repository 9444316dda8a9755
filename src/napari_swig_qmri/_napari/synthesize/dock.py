"""The "Synthesize" dock: any contrast from maps, live under sliders, LR and SR side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_swig_qmri._napari.parts.appearance import (
    Foldable,
    exists,
    heading,
    native_of,
    wrapped_label,
)
from napari_swig_qmri._napari.parts.contrast_layers import contrast_layer, lack_of, sheet_layer
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.map_sets import SourceList, sources_among
from napari_swig_qmri._napari.parts.status_line import StatusLine
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of, transmit_notices
from napari_swig_qmri._napari.parts.view import hide_marks, show_marks, start_as_preferred
from napari_swig_qmri._napari.parts.viewer_layers import (
    follow_layers,
    image_layers,
    transmit_layers,
    transmit_measurements,
)
from napari_swig_qmri._napari.result_layers import origin_of
from napari_swig_qmri._napari.synthesize.blend_panel import OFF, BlendPanel
from napari_swig_qmri._napari.synthesize.canvas_drag import HELP, HINT, follow_canvas
from napari_swig_qmri._napari.synthesize.compare_panel import Candidate, ComparePanel
from napari_swig_qmri._napari.synthesize.field_preparation import FieldPreparation
from napari_swig_qmri._napari.synthesize.live_contrasts import LiveContrasts, Setting
from napari_swig_qmri._napari.synthesize.null_panel import times_at
from napari_swig_qmri._napari.synthesize.rendering_options import RenderingEditor
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri._napari.synthesize.sheet_panel import SheetPanel, exported
from napari_swig_qmri._napari.synthesize.side_by_side import SideBySide
from napari_swig_qmri.data.inputs import subject_in
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.synthesis.rendering import PLAIN
from napari_swig_qmri.synthesis.sheets import FLAIR_CAVEAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.protocol import Protocol
    from napari_swig_qmri.synthesis.rendering import Rendering


@dataclass(frozen=True, kw_only=True)
class SynthesizeInputs:
    """What a person chooses for a contrast."""

    sequence: Contrast | None
    sources: tuple[str, ...] = ()  # labels of the chosen map sets
    side_by_side: bool = True
    auto_contrast: bool = True
    rendering: Rendering = PLAIN
    mark_partial_volume: bool = False


class SynthesizeWidget(Dock):
    """Add synthetic contrasts from the maps of a viewer, and move their parameters."""

    changed = Signal()
    _due = Signal()  # the live layers are to be moved, before anything is painted

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.live = LiveContrasts(napari_viewer, self)
        self._tried: tuple[Setting, str] | None = None  # that the live layers have, or what keeps them from it
        self._together = SideBySide(napari_viewer)
        self.sources = SourceList()
        self.panel = SequencePanel()
        self.editor = self.panel.editor
        self.editor.set_value(T2Flair.from_typical())
        self.rendering = RenderingEditor()
        self.fields = FieldPreparation(self.rendering.map_box, self.sources, self)
        self.options = Foldable("Options", self.rendering)
        self.caveat = wrapped_label(role="assumption")
        self.side_by_side = CheckBox(
            text="Side by side, hide other layers", value=True, tooltip="Show the contrasts in a linked grid"
        )
        self.auto_contrast = CheckBox(
            text="Adjust brightness while sliders move", value=True, tooltip="One scale for all live layers"
        )
        self.add_button = QPushButton("Add contrast")
        self.add_button.setToolTip("Add one layer per ticked source. The newest layers follow the sliders.")
        self.bake_button = QPushButton("Bake")
        self.bake_button.setToolTip(
            "Turn the contrasts that follow the sliders into ordinary arrays in memory, which stay as they are and "
            "which any other tool can work on."
        )
        self.status = StatusLine(HELP)
        self.compare = ComparePanel(napari_viewer, self.live.volumes)
        self.blend = BlendPanel(napari_viewer)
        self.sheet = SheetPanel(self.editor.value, self.rendering.value)
        self.folds = (
            Foldable("Swipe, flicker, checkerboard", self.blend),
            Foldable("Protocol sheet: several contrasts at once", self.sheet),
        )
        self._is_due = False
        self._kind: type[object] | None = None  # of the sequence on show
        self._lay_out()
        self._connect()
        follow_layers(napari_viewer, self._follow_layers)
        follow_canvas(napari_viewer, self)
        start_as_preferred(napari_viewer)
        self._follow_layers()

    def value(self) -> SynthesizeInputs:
        """What is chosen."""
        return SynthesizeInputs(
            sequence=self.editor.value(),
            sources=tuple(source.label for source in self.sources.value()),
            side_by_side=self.side_by_side.value,
            auto_contrast=self.auto_contrast.value,
            rendering=self.rendering.value(),
            mark_partial_volume=self.rendering.mark.value,
        )

    def set_value(self, inputs: SynthesizeInputs) -> None:
        """Show these choices."""
        self.editor.set_value(inputs.sequence)
        self.sources.set_value(inputs.sources)
        self.side_by_side.value = inputs.side_by_side
        self.auto_contrast.value = inputs.auto_contrast
        self.rendering.set_value(inputs.rendering)
        self.rendering.mark.value = inputs.mark_partial_volume

    def add_contrast(self) -> list[Image]:
        """Add a layer for each ticked source; they follow the sliders until the next ones are added."""
        sequence, title = self.editor.value(), self.panel.title()
        if sequence is None:
            return []
        try:
            rendering = self.rendering.value(sequence)
            how = {"title": title, "transmit_map": self.rendering.field_layer}
            tuples = [contrast_layer(source, sequence, rendering, **how) for source in self.sources.value()]
        except ValueError as error:
            self.status.refuse(str(error))
            return []
        self.blend.mode_box.value = OFF
        self.sheet.layers = []
        self._tried = Setting(sequence, rendering.with_map(""), title), ""
        self.live.add(tuples, title)
        self.compare.stop()
        self._adjust_contrast()
        self._mark()
        self._arrange()
        self.status.settle()
        self._say_what_moves()
        return list(self.live.layers)

    def bake(self) -> None:
        """Turn the layers that follow the sliders into ordinary arrays, in the background."""
        self.compare.stop()
        self.status.settle()
        self.live.bake()

    def add_comparison(self, wanted: bool = True) -> None:
        """Add the contrast of each ticked source and compare them with each other and with what was acquired."""
        if not wanted:
            self.compare.stop()
            return
        sources = self.sources.value()
        layers = self.add_contrast()
        self.compare.button.setChecked(bool(layers))
        if layers:
            self.side_by_side.value = True
            pairs = zip(sources, layers, strict=True)
            field = self.rendering.field_layer
            self.compare.start([Candidate(*pair, field) for pair in pairs if pair[0].is_complete])

    def show_sheet(self, protocol: Protocol) -> list[Image]:
        """Show every contrast of a protocol from the last ticked source, in place of the sheet before."""
        source = self.sources.value()[-1]
        try:
            field = self.rendering.field_layer
            tuples = [sheet_layer(source, each, field) for each in protocol.contrasts]
        except ValueError as error:
            self.status.refuse(str(error))
            return []
        self.status.settle()
        self.compare.stop()
        self.blend.mode_box.value = OFF
        self._viewer.canvas.grid.enabled = False
        for layer in self.sheet.layers:
            self._viewer.layers.remove(layer)
        layers = [Image(data, **attributes) for data, attributes, _ in tuples]
        self.live.volumes.add(layers)
        for layer in layers:
            layer.name_overlay.visible = True
        self.sheet.layers = layers
        show_marks(self._viewer)
        self.side_by_side.value = True
        self._arrange()
        return layers

    def export_sheet(self, protocol: Protocol, folder: Path, formats: Sequence[str]) -> None:
        """Write every contrast of a protocol from the last ticked source into a folder, in the background."""
        source = self.sources.value()[-1]
        field = self.rendering.field_layer
        maps = source.layers.values()
        origin = origin_of(maps, [] if field is None else [field])
        subject = subject_in(Path(path) for path in origin_of(maps).get("Sources", ()))
        read = partial(contrast_maps_of, dict(source.layers), field)
        overwrite = self.sheet.overwrite_box.value
        self.sheet.start_export(partial(exported, read, protocol, subject, origin, folder, formats, overwrite))

    def _lay_out(self) -> None:
        scrolled = [
            heading("Source maps"),
            self.sources,
            heading("Sequence"),
            self.panel,
            self.caveat,
            self.options,
            native_of(self.side_by_side),
            native_of(self.auto_contrast),
            heading("Side by side"),
            self.compare,
            *self.folds,
        ]
        notice = wrapped_label(f"Contrasts are {RESEARCH_NOTICE} only.", role="note")
        buttons = QWidget()
        line = QHBoxLayout(buttons)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.add_button, 1)
        line.addWidget(self.bake_button)
        self.lay_out(scrolled, [buttons, self.status.label, notice])

    def _connect(self) -> None:
        self.panel.changed.connect(self._move_soon)
        self._due.connect(self._move, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        self.live.moved.connect(self._follow_move)
        self.live.baked.connect(self._follow_bake)
        self.live.said.connect(self._say_progress)
        self.live.failed.connect(self.status.refuse)
        self.panel.changed.connect(self._show_state)
        self.panel.null.pick_button.toggled.connect(self._pick)
        self.rendering.map_changed.connect(self._show_map_notices)
        self.rendering.map_changed.connect(self.fields.start)
        self.fields.changed.connect(self._follow_preparation)
        self.fields.done.connect(self._take_map)
        self.fields.refused.connect(self.status.refuse)
        self.rendering.changed.connect(self._move_soon)
        self.rendering.changed.connect(self._show_state)
        self.rendering.mark.changed.connect(self._mark_and_show)
        self.sources.changed.connect(self._show_state)
        self.sources.changed.connect(self.order_tabs)
        self.side_by_side.changed.connect(self._arrange)
        self.auto_contrast.changed.connect(self._adjust_contrast)
        self.add_button.clicked.connect(self.add_contrast)
        self.bake_button.clicked.connect(self.bake)
        self.compare.toggled.connect(self.add_comparison)
        self.compare.arranged.connect(self._arrange)
        self.sheet.show_requested.connect(self.show_sheet)
        self.sheet.export_requested.connect(self.export_sheet)
        for panel in (self.blend, self.sheet):
            panel.changed.connect(self.order_tabs)

    def _follow_layers(self, _event: object = None) -> None:
        if not exists(self):  # the dock was closed, Python has not noticed yet
            return
        layers = image_layers(self._viewer)
        self.sources.show_sources(*sources_among(layers))
        self.live.forget_removed()
        self.rendering.show_maps(transmit_layers(layers), transmit_measurements(layers))
        self.fields.follow()
        self.sheet.layers = [layer for layer in self.sheet.layers if layer in self._viewer.layers]
        self.compare.refresh_layers()
        self.blend.refresh_layers()
        if self._together.is_deserted:
            hide_marks(self._viewer)
            self._arrange()
        if not self.live.layers:
            self.status.settle()
        self._say_what_moves()

    def _show_state(self) -> None:
        sequence = self.editor.value()
        self.caveat.setText(FLAIR_CAVEAT)
        self.caveat.setVisible(isinstance(sequence, T2Flair))
        excluded = self.rendering.show_problem(sequence)
        self.sources.show_sequence(sequence)
        self.options.set_title(self.rendering.summary(sequence))
        can_start = bool(self.sources.value()) and not self.fields.is_busy
        self.add_button.setEnabled(sequence is not None and not excluded and can_start)
        self.compare.set_ready(self.sources.value(), self.add_button.isEnabled())
        self.sheet.set_ready(can_start)
        if type(sequence) is not self._kind:  # another sequence has other boxes
            self._kind = type(sequence)
            self.order_tabs()
        self.changed.emit()

    def _pick(self, wanted: bool) -> None:
        """Take the T1 to null from the voxel that is clicked next, or no longer."""
        callbacks = self._viewer.mouse_drag_callbacks
        if wanted:
            callbacks.append(self._take_t1)
        elif self._take_t1 in callbacks:
            callbacks.remove(self._take_t1)

    def _take_t1(self, _viewer: Viewer, event: Any) -> None:
        if not exists(self):  # the dock was closed meanwhile
            return
        clicked = [layer for layer in self.live.layers if layer.visible and self._together.is_in(event.viewbox, layer)]
        times = times_at(clicked, event.position)
        if times is None:
            self.status.refuse("There is no T1: add a contrast and click into it.")
        else:
            self.status.settle()
            self.panel.null.show_times(*times)

    def _move_soon(self) -> None:
        """Move once, after all that changes at the same time."""
        if not self._is_due:
            self._is_due = True
            self._due.emit()

    def _move(self) -> None:
        """Bring the live layers to the parameters on show."""
        self._is_due = False
        sequence = self.editor.value()
        if sequence is None:
            return
        setting = Setting(sequence, self.rendering.value(sequence), self.panel.title())
        excluded = self.rendering.show_problem(sequence)
        problem = f"The picture stays as it is: {excluded}" if excluded else lack_of(self.live.layers, sequence)
        tried = replace(setting, rendering=setting.rendering.with_map("")), problem
        if tried == self._tried:
            return
        self._tried = tried
        if not problem:
            self.status.settle()
            self.live.move(setting)
        elif self.live.layers:
            self.status.refuse(problem)

    def _follow_move(self) -> None:
        self._adjust_contrast()
        self.compare.follow()
        self.blend.follow()

    def _show_map_notices(self) -> None:
        try:
            notices = transmit_notices(self.rendering.field_layer)
        except ValueError:  # which is told when it is brought onto the voxels
            notices = ()
        self.rendering.show_map_notices(notices)

    def _follow_preparation(self, is_busy: bool) -> None:
        self._show_state()
        self._say_progress("Bringing the B1+ map onto the voxels…" if is_busy else "")

    def _take_map(self) -> None:
        """Give the live layers the map of B1+ that was chosen."""
        try:
            self.live.take_map(self.rendering.field_layer)
        except ValueError as error:
            self.fields.refuse(str(error))
        else:
            self.status.settle()
            self.compare.take_map(self.rendering.field_layer)

    def _adjust_contrast(self) -> None:
        if self.auto_contrast.value:
            self.live.adjust()

    def _mark(self) -> None:
        if self.rendering.mark.value and self.live.lacks_maps_for_marks():
            self.rendering.refuse_marks()
        self.live.mark(wanted=self.rendering.mark.value)

    def _mark_and_show(self) -> None:
        self._mark()
        self._show_together()

    def _arrange(self) -> None:
        self._show_together()
        if self.blend.layer is None:
            self._viewer.reset_view()

    def _show_together(self) -> None:
        """Show only the live layers, or those of the sheet, in a linked grid, or undo that.

        Marks of partial volume share a cell with their contrast, so they are hidden where other layers have cells.
        """
        if self.blend.layer is not None:
            return
        panes, live, marks = list(self.compare.panes.values()), self.live.layers, self.live.marks
        has_marks = bool(marks) and not (panes or self.sheet.layers)
        shown = self.sheet.layers or [*live, *(marks.values() if has_marks else []), *panes]
        is_paired = has_marks and len(marks) == len(live)
        pairs = [(layer, marks[layer]) for layer in live] if is_paired else []
        self._together.show(shown if self.side_by_side.value else [], pairs)

    def _say_what_moves(self) -> None:
        self.bake_button.setEnabled(bool(self.live.layers))
        names = " and ".join(layer.name for layer in self.live.layers)
        self.status.say(f"The sliders move {names}, {HINT}." if names else "")

    def _follow_bake(self) -> None:
        self._say_what_moves()
        self.status.say("The contrasts are ordinary arrays now, which the sliders no longer move.")

    def _say_progress(self, text: str) -> None:
        if text:
            self.status.say(text)
        else:
            self._say_what_moves()
