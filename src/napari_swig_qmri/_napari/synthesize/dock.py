"""The "Synthesize" dock: contrasts computed from maps, which follow sliders and can be compared side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

from magicgui.widgets import CheckBox
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal

from napari_swig_qmri._napari.parts.appearance import Foldable, exists, heading, wrapped_label
from napari_swig_qmri._napari.parts.boxes import Part, button, row
from napari_swig_qmri._napari.parts.contrast_layers import contrast_layer, missing_map_notice
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.map_sets import SourceList, sources_among
from napari_swig_qmri._napari.parts.status_line import StatusLine
from napari_swig_qmri._napari.parts.transmit_layers import transmit_notices
from napari_swig_qmri._napari.parts.view import follow_view
from napari_swig_qmri._napari.parts.viewer_layers import (
    follow_layers,
    image_layers,
    transmit_layers,
    transmit_measurements,
)
from napari_swig_qmri._napari.synthesize.blend_panel import OFF, BlendPanel
from napari_swig_qmri._napari.synthesize.canvas_drag import HELP, HINT, follow_canvas
from napari_swig_qmri._napari.synthesize.compare_panel import Candidate, ComparePanel
from napari_swig_qmri._napari.synthesize.field_preparation import FieldPreparation
from napari_swig_qmri._napari.synthesize.live_contrasts import LiveContrasts, Setting
from napari_swig_qmri._napari.synthesize.rendering_options import RenderingEditor
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel
from napari_swig_qmri._napari.synthesize.sheet_panel import SheetPanel
from napari_swig_qmri._napari.synthesize.side_by_side import SideBySide
from napari_swig_qmri._napari.synthesize.t1_picker import T1Picker
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering
from napari_swig_qmri.synthesis.sheets import FLAIR_CAVEAT

SHORT_CAVEAT = "Do not judge lesions next to CSF by a synthetic T2-FLAIR."


@dataclass(frozen=True, kw_only=True)
class SynthesizeInputs:
    """Settings of a contrast and of its display."""

    sequence: Contrast | None  # None if its parameters are impossible
    sources: tuple[str, ...] = ()  # labels of the ticked map sets, such as "LR" and "SR"
    side_by_side: bool = True
    auto_contrast: bool = True  # adjust the contrast limits while the sliders move
    rendering: Rendering = PLAIN
    mark_partial_volume: bool = False


class SynthesizeWidget(Dock):
    """Adds synthetic contrasts from the maps of a viewer, and changes them while the sliders move.

    A script sets the inputs with `set_value` and adds the layers with `run`.
    """

    title = "Synthesize"
    changed = Signal()
    _move_requested = Signal()  # handled after the current event, but before the next repaint

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.live = LiveContrasts(napari_viewer, self)
        self._last_move: tuple[Setting, str] | None = None  # last requested setting, and why it is not shown
        self._live_keys: list[tuple[int, ...]] = []  # sources of the live contrasts
        self._side_by_side = SideBySide(napari_viewer)
        self.sources = SourceList()
        self.panel = SequencePanel()
        self._picker = T1Picker(napari_viewer, self.live, self._side_by_side, self)
        self.editor = self.panel.editor
        self.editor.set_value(T2Flair.from_typical())
        self.rendering = RenderingEditor()
        self.fields = FieldPreparation(self.rendering.map_box, self.sources, self)
        self.options = Foldable("Options", self.rendering)
        self.caveat = wrapped_label(SHORT_CAVEAT, role="assumption")
        self.caveat.setToolTip(FLAIR_CAVEAT)
        self.side_by_side = CheckBox(
            text="Side by side, hide other layers", value=True, tooltip="Show the contrasts in a grid of linked views."
        )
        self.auto_contrast = CheckBox(
            text="Adjust brightness while sliders move",
            value=True,
            tooltip="Use the same contrast limits for all layers that follow the sliders.",
        )
        self.add_button = button(
            "Add contrast",
            "Add one layer per ticked source. The sliders change the layers added last.",
            self.add_contrast,
        )
        self.freeze_button = button(
            "Freeze",
            "Convert the layers that follow the sliders to ordinary image layers. They no longer change, and any other "
            "tool can process them.",
            self.freeze,
        )
        self.status = StatusLine(HELP)
        self.compare = ComparePanel(napari_viewer, self.live.volumes)
        self.blend = BlendPanel(napari_viewer)
        self.sheet = SheetPanel(
            napari_viewer, self.live.volumes, self.sources, self.editor, self.rendering, self._side_by_side
        )
        self.folds = (
            Foldable("Swipe, flicker, checkerboard", self.blend),
            Foldable("Protocol sheet: several contrasts at once", self.sheet),
        )
        self._is_due = False  # whether a move was requested and not handled yet
        self._shown_kind: type[object] | None = None  # class of the sequence whose parameters are shown
        self._lay_out()
        self._connect()
        follow_layers(napari_viewer, self._follow_layers)
        follow_canvas(napari_viewer, self.live, self.panel)
        follow_view(napari_viewer)
        self._follow_layers()

    def value(self) -> SynthesizeInputs:
        """Current inputs."""
        return SynthesizeInputs(
            sequence=self.editor.value(),
            sources=tuple(source.label for source in self.sources.value()),
            side_by_side=self.side_by_side.value,
            auto_contrast=self.auto_contrast.value,
            rendering=self.rendering.value(),
            mark_partial_volume=self.rendering.mark.value,
        )

    def set_value(self, inputs: SynthesizeInputs) -> None:
        """Show these inputs; ValueError if the viewer lacks a source."""
        labels = [source.label for source, _ in self.sources.rows]
        for label in inputs.sources:
            if label not in labels:
                raise ValueError(f"there are no maps {label!r}: choose among {', '.join(labels) or 'none'}.")
        self.editor.set_value(inputs.sequence)
        self.sources.set_value(inputs.sources)
        self.side_by_side.value = inputs.side_by_side
        self.auto_contrast.value = inputs.auto_contrast
        self.rendering.set_value(inputs.rendering)
        self.rendering.mark.value = inputs.mark_partial_volume

    def run(self) -> list[Image]:
        """Add the current contrast from each ticked source, and return the layers.

        The sliders change these layers until others are added. Their values are computed when they are needed, so
        the call returns at once.

        Raises
        ------
        ValueError
            If the parameters are impossible, or if no ticked source has the maps that the sequence needs.
        """
        sequence, title = self.editor.value(), self.panel.title()
        if sequence is None:
            raise ValueError(self.editor.problem())
        rendering = self.rendering.value(sequence)
        rendering.check(sequence)
        sources = self.sources.value()
        if not sources:
            raise ValueError(f"no ticked source has the maps that {sequence.title} needs: tick or open another one.")
        how = {"title": title, "transmit_map": self.rendering.field_layer}
        tuples = [contrast_layer(source, sequence, rendering, **how) for source in sources]
        self._last_move = Setting(sequence, rendering.with_map(""), title), ""
        self._end_other_displays()
        self.sheet.layers = []
        self.live.add(tuples, title)
        self._live_keys = [source.key for source in sources]
        self._adjust_contrast()
        self._mark()
        self._arrange()
        self.status.settle()
        self._show_live_layers()
        return list(self.live.layers)

    def add_contrast(self) -> list[Image]:
        """Like `run`, but show a problem in the status line instead of raising it."""
        try:
            return self.run()
        except ValueError as error:
            self.status.refuse(str(error))
            return []

    def freeze(self) -> None:
        """Convert the layers that follow the sliders to ordinary arrays, in the background."""
        self.compare.stop()
        self.status.settle()
        self.live.freeze()

    def add_comparison(self, wanted: bool = True) -> None:
        """Add the contrast of each ticked source and compare them with the acquired image, or end the comparison."""
        if not wanted:
            self.compare.stop()
            return
        sources = self.sources.value()
        is_shown = [source.key for source in sources] == self._live_keys and len(self.live.layers) == len(sources)
        layers = self.live.layers if is_shown else self.add_contrast()
        self.compare.button.value = bool(layers)
        if layers:
            self.side_by_side.value = True
            pairs = zip(sources, layers, strict=True)
            field = self.rendering.field_layer
            self.compare.start([Candidate(*pair, field) for pair in pairs if pair[0].is_complete])

    def _lay_out(self) -> None:
        scrolled: list[Part] = [
            heading("Source maps"),
            self.sources,
            heading("Sequence"),
            self.panel,
            self.caveat,
            self.options,
            self.side_by_side,
            self.auto_contrast,
            heading("Side by side"),
            self.compare,
            *self.folds,
        ]
        notice = wrapped_label(f"Contrasts are {RESEARCH_NOTICE} only.", role="note")
        buttons = row(self.add_button, self.freeze_button, stretch=(1, 0))
        self.lay_out(scrolled, [self.compare.scores, buttons, self.status.label, notice])

    def _connect(self) -> None:
        self._move_requested.connect(self._move, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]
        for inputs in (self.panel, self.rendering):
            inputs.changed.connect(self._move_soon)
            inputs.changed.connect(self._update_state)
        self.panel.null.pick_button.native.toggled.connect(self._picker.set_active)
        self._picker.picked.connect(self.panel.null.show_times)
        self._picker.picked.connect(self.status.settle)
        self._picker.failed.connect(self.status.refuse)
        self.live.moved.connect(self._follow_move)
        self.live.frozen.connect(self._follow_freeze)
        self.live.said.connect(self._show_progress)
        self.live.failed.connect(self.status.refuse)
        self.rendering.map_changed.connect(self._show_map_notices)
        self.rendering.map_changed.connect(self.fields.start)
        self.rendering.mark.changed.connect(self._change_marks)
        self.fields.changed.connect(self._follow_preparation)
        self.fields.done.connect(self._take_map)
        self.fields.refused.connect(self.status.refuse)
        self.sources.changed.connect(self._update_state)
        self.side_by_side.changed.connect(self._arrange)
        self.auto_contrast.changed.connect(self._adjust_contrast)
        self.compare.toggled.connect(self.add_comparison)
        self.compare.arranged.connect(self._arrange)
        self.sheet.opening.connect(self._end_other_displays)
        self.sheet.shown.connect(self._follow_sheet)
        for panel in (self.sources, self.blend, self.sheet):
            panel.changed.connect(self.order_tabs)

    def _follow_layers(self, _event: object = None) -> None:
        if not exists(self):  # the dock was closed, but Python has not deleted it yet
            return
        layers = image_layers(self._viewer)
        self.sources.show_sources(*sources_among(layers))
        self.live.forget_removed()
        self.rendering.show_maps(transmit_layers(layers), transmit_measurements(layers))
        self.fields.follow()
        self.sheet.forget_removed()
        self.compare.refresh_layers()
        self.blend.refresh_layers()
        if self._side_by_side.is_empty:
            self._arrange()
        if not self.live.layers:
            self.status.settle()
        self._show_live_layers()

    def _update_state(self) -> None:
        """Update the texts and the enabled buttons after an input changed."""
        sequence = self.editor.value()
        self.caveat.setVisible(isinstance(sequence, T2Flair))
        problem = self.rendering.show_problem(sequence)
        self.sources.show_sequence(sequence)
        self.options.set_title(self.rendering.summary(sequence))
        can_start = bool(self.sources.value()) and not self.fields.is_busy
        self.add_button.enabled = sequence is not None and not problem and can_start
        self.compare.set_ready(self.sources.value(), self.add_button.enabled)
        self.sheet.set_ready(can_start)
        if type(sequence) is not self._shown_kind:  # a new kind of sequence brings new boxes
            self._shown_kind = type(sequence)
            self.order_tabs()
        self.changed.emit()

    def _move_soon(self) -> None:
        """Move the live layers once, after all inputs that change together have changed."""
        if not self._is_due:
            self._is_due = True
            self._move_requested.emit()

    def _move(self) -> None:
        """Show the current inputs in the live layers."""
        self._is_due = False
        sequence = self.editor.value()
        if sequence is None:
            return
        setting = Setting(sequence, self.rendering.value(sequence), self.panel.title())
        excluded = self.rendering.show_problem(sequence)
        problem = (
            f"The layers were not changed: {excluded}" if excluded else missing_map_notice(self.live.layers, sequence)
        )
        move = replace(setting, rendering=setting.rendering.with_map("")), problem
        if move == self._last_move:
            return
        self._last_move = move
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
        except ValueError:  # shown by `fields`, which reads the map as well
            notices = ()
        self.rendering.show_map_notices(notices)

    def _follow_preparation(self, is_busy: bool) -> None:
        self._update_state()
        self._show_progress("Resampling the B1+ map to the grid of the maps…" if is_busy else "")

    def _take_map(self) -> None:
        """Use the chosen B1+ map in the live layers."""
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

    def _change_marks(self) -> None:
        self._mark()
        self._show_together()

    def _end_other_displays(self) -> None:
        """End the comparison and the combined image before other layers are shown."""
        self.status.settle()
        self.compare.stop()
        self.blend.mode_box.value = OFF

    def _follow_sheet(self) -> None:
        self.side_by_side.value = True
        self._arrange()

    def _arrange(self) -> None:
        self._show_together()
        if self.blend.layer is None:
            self._viewer.reset_view()

    def _show_together(self) -> None:
        """Show only the live layers, or those of the sheet, in a linked grid, or leave the grid.

        Partial-volume marks share a cell with their contrast. They are hidden if panes or a sheet are shown.
        """
        if self.blend.layer is not None:
            return
        panes, live, marks = list(self.compare.panes.layers.values()), self.live.layers, self.live.marks
        has_marks = bool(marks) and not (panes or self.sheet.layers)
        shown = self.sheet.layers or [*live, *(marks.values() if has_marks else []), *panes]
        is_paired = has_marks and len(marks) == len(live)
        pairs = [(layer, marks[layer]) for layer in live] if is_paired else []
        self._side_by_side.show(shown if self.side_by_side.value else [], pairs)

    def _show_live_layers(self) -> None:
        """Show in the status line which layers the sliders change."""
        self.freeze_button.enabled = bool(self.live.layers)
        names = [layer.name for layer in self.live.layers]
        changed = names[0] if len(names) == 1 else f"{len(names)} layers"
        self.status.say(f"The sliders change {changed}. {HINT}" if names else "")

    def _follow_freeze(self) -> None:
        self._show_live_layers()
        self.status.say("The contrasts are ordinary image layers now and no longer follow the sliders.")

    def _show_progress(self, text: str) -> None:
        if text:
            self.status.say(text)
        else:
            self._show_live_layers()
