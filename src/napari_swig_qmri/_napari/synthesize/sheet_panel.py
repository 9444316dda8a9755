"""Protocol sheet: several contrasts that are edited, opened, saved, shown in a grid and exported together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from magicgui.widgets import CheckBox
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QListWidget, QListWidgetItem, QWidget

from napari_swig_qmri._napari.parts.acquisition import AcquisitionEditor
from napari_swig_qmri._napari.parts.appearance import set_text, show_note, wrapped_label
from napari_swig_qmri._napari.parts.boxes import button, column, row
from napari_swig_qmri._napari.parts.contrast_layers import sheet_layer
from napari_swig_qmri._napari.parts.map_sets import SourceList
from napari_swig_qmri._napari.parts.one_by_one import OneByOne
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of
from napari_swig_qmri._napari.result_layers import origin_of
from napari_swig_qmri._napari.synthesize.rendering_options import RenderingEditor
from napari_swig_qmri._napari.synthesize.side_by_side import SideBySide
from napari_swig_qmri._napari.synthesize.volume_rendering import VolumeRendering
from napari_swig_qmri.data.inputs import subject_in
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.wording import for_qt
from napari_swig_qmri.physics.weighting import display_name
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol, described, read_protocol, write_protocol
from napari_swig_qmri.synthesis.sheets import FORMATS, check_formats, check_sheet, render, write_sheet

TOML = "Protocol (*.toml)"


class SheetPanel(QWidget):
    """List of the contrasts of a protocol, and the layers that show them.

    Everything is computed from the last ticked source; `editor` and `rendering` hold the contrast that can be added.
    """

    changed = Signal()
    opening = Signal()  # the layers of the sheet are about to be added
    shown = Signal()  # the layers of the sheet were added

    def __init__(
        self,
        viewer: ViewerModel,
        volumes: VolumeRendering,
        sources: SourceList,
        editor: AcquisitionEditor,
        rendering: RenderingEditor,
        side_by_side: SideBySide,
    ) -> None:
        super().__init__()
        self._viewer, self._volumes, self._side_by_side = viewer, volumes, side_by_side
        self._sources, self._editor, self._rendering = sources, editor, rendering
        self._protocol: Protocol | None = Protocol.usual()
        self._has_maps = False
        self._folder = ""  # of the last export
        self.layers: list[Image] = []  # of the sheet in the viewer, one per contrast
        self.list = QListWidget()
        self.list.setMaximumHeight(110)
        self.list.setToolTip("Double-click a contrast to rename it.")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.add_button = button(
            "Add current", "Add the sequence above, with its parameters and options, to the sheet.", self.add_contrast
        )
        self.remove_button = button("Remove", "Remove the selected contrast from the sheet.", self.remove_contrast)
        self.open_button = button("Open…", "Read a protocol from a TOML file.", self.open_protocol)
        self.save_button = button("Save…", "Save the protocol as a TOML file, for other subjects.", self.save_protocol)
        self.show_button = button(
            "Show sheet", "Show all contrasts, computed from the last ticked source, in a grid.", self.start_sheet
        )
        self.format_boxes = {name: CheckBox(text=text, value=name == "png") for name, text in FORMATS.items()}
        self.format_problem = wrapped_label(role="problem")
        self.overwrite_box = CheckBox(text="Replace existing files", value=False)
        self.message = wrapped_label()
        self.export = RunPanel(
            "Export…",
            "Compute all contrasts and write them to a folder.",
            unchanged="Files that were already written are kept.",
            lasting=True,
        )
        self._adding = OneByOne(self)
        self._lay_out()
        self._connect()
        self._show_protocol()

    @property
    def is_adding(self) -> bool:
        """Whether the layers of a sheet are being added."""
        return self._adding.is_running

    def value(self) -> Protocol | None:
        """Current protocol; None without contrasts."""
        return self._protocol

    def set_value(self, protocol: Protocol | None) -> None:
        """Show a protocol."""
        self._protocol = protocol
        self._show_protocol()

    def set_ready(self, ready: bool) -> None:
        """Enable what needs maps if a source with all maps is ticked."""
        if not ready and not self.export.is_running:
            self.export.show_message("")  # about maps that are gone
        self._has_maps = ready
        self._update_buttons()

    def formats(self) -> tuple[str, ...]:
        """Names of the ticked file formats."""
        return tuple(name for name, box in self.format_boxes.items() if box.value)

    def show_sheet(self) -> list[Image]:
        """Show every contrast of the protocol, in place of the present sheet; returns the layers."""
        if self._protocol is None:
            return []
        try:
            for piece in self._pieces(self._protocol):
                piece()
        except ValueError as error:
            show_note(self.message, str(error), problem=True)
            return []
        return self.layers

    def start_sheet(self) -> None:
        """Like `show_sheet`, one contrast after the other, so that the window responds in the meantime."""
        if self._protocol is not None and not self._adding.is_running:
            show_note(self.message, "Adding the contrasts…")
            self._adding.start(self._pieces(self._protocol))

    def _pieces(self, protocol: Protocol) -> Generator[Callable[[], object], None, None]:
        """Functions that compute the contrasts and show them in place of the present sheet, each a small part of it."""
        source, field = self._sources.value()[-1], self._rendering.field_layer
        layers: list[Image] = []

        def make(contrast: NamedContrast) -> None:
            data, attributes, _ = sheet_layer(source, contrast, field)
            layers.append(Image(data, **attributes, visible=self._volumes.is_3d))  # in 3D, the panel shows it coarsely

        for contrast in protocol.contrasts:
            yield partial(make, contrast)
        yield self._open
        for layer in list(self.layers):
            yield partial(self._viewer.layers.remove, layer)
        for layer in layers:
            yield partial(self._add, layer)
        yield from self._side_by_side.in_turn(layers)
        yield self.shown.emit

    def _open(self) -> None:
        """End what would be shown beside the sheet."""
        self.opening.emit()
        self._viewer.canvas.grid.enabled = False
        show_note(self.message, "")

    def _add(self, layer: Image) -> None:
        self.layers.append(layer)  # first, because removed layers are forgotten
        self._volumes.add([layer])

    def export_to(self, folder: Path) -> None:
        """Compute every contrast of the protocol and write it to a folder, in the background."""
        if self._protocol is None:
            return
        source, field = self._sources.value()[-1], self._rendering.field_layer
        maps = source.layers.values()
        origin = origin_of(maps, [] if field is None else [field])
        subject = subject_in(Path(path) for path in origin_of(maps).get("Sources", ()))
        read = partial(contrast_maps_of, dict(source.layers), field)
        self._folder = str(folder)
        show_note(self.message, "")
        overwrite = self.overwrite_box.value
        self.export.start(partial(_exported, read, self._protocol, subject, origin, folder, self.formats(), overwrite))

    def forget_removed(self) -> None:
        """Forget layers of the sheet that were removed from the viewer."""
        self.layers = [layer for layer in self.layers if layer in self._viewer.layers]

    def add_contrast(self) -> None:
        """Add the current sequence with its options, named after its contrast."""
        sequence, rendering = self._editor.value(), self._rendering.value().with_map("")
        if sequence is None:
            return
        try:
            rendering.check(sequence)
        except ValueError as error:
            show_note(self.message, str(error), problem=True)
            return
        before = self._protocol.contrasts if self._protocol else ()
        base = display_name(sequence, "")
        numbered = (f"{base} {number}" for number in range(2, len(before) + 3))
        name = next(each for each in (base, *numbered) if each not in {contrast.name for contrast in before})
        contrasts = (*before, NamedContrast(name=name, sequence=sequence, rendering=rendering))
        self.set_value(
            replace(self._protocol, contrasts=contrasts) if self._protocol else Protocol(contrasts=contrasts)
        )

    def remove_contrast(self) -> None:
        """Remove the selected contrast, or the last one if none is selected."""
        if self._protocol is None:
            return
        selected = self.list.currentRow() if self.list.currentRow() >= 0 else self.list.count() - 1
        left = tuple(each for index, each in enumerate(self._protocol.contrasts) if index != selected)
        self.set_value(replace(self._protocol, contrasts=left) if left else None)

    def rename_contrast(self, item: QListWidgetItem) -> None:
        """Ask for another name of a contrast."""
        if self._protocol is None:
            return
        contrasts, index = list(self._protocol.contrasts), self.list.row(item)
        name, accepted = QInputDialog.getText(self, "Rename", "Name of the contrast:", text=contrasts[index].name)
        if not accepted:
            return
        contrasts[index] = replace(contrasts[index], name=name.strip())
        try:
            self.set_value(replace(self._protocol, contrasts=tuple(contrasts)))
        except ValueError as error:
            show_note(self.message, str(error), problem=True)

    def open_protocol(self) -> None:
        """Ask for a file and show its protocol."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a protocol", "", TOML)
        if not path:
            return
        try:
            self.set_value(read_protocol(path))
        except (ValueError, OSError) as error:
            show_note(self.message, str(error), problem=True)

    def save_protocol(self) -> None:
        """Ask for a file and write the protocol to it; the file name becomes the title."""
        if self._protocol is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save the protocol", f"{self._protocol.title}.toml", TOML)
        if not path:
            return
        target = Path(path) if path.endswith(".toml") else Path(f"{path}.toml")
        try:
            protocol = replace(self._protocol, title=target.stem)
            write_protocol(protocol, target)
        except OSError as error:
            show_note(self.message, str(error), problem=True)
            return
        self.set_value(protocol)
        show_note(self.message, f"Saved as {target.name}.")

    def _lay_out(self) -> None:
        self.setLayout(
            column(
                self.list,
                row(self.add_button, self.remove_button),
                row(self.open_button, self.save_button),
                self.show_button,
                *self.format_boxes.values(),
                self.format_problem,
                self.overwrite_box,
                self.export,
                self.message,
            )
        )

    def _connect(self) -> None:
        self.list.itemDoubleClicked.connect(self.rename_contrast)
        self._adding.failed.connect(self._refuse)
        self.export.requested.connect(self._ask_folder)
        self.export.succeeded.connect(self._report_files)
        for box in self.format_boxes.values():
            box.changed.connect(self._update_buttons)

    def _show_protocol(self) -> None:
        self.list.clear()
        for contrast in self._protocol.contrasts if self._protocol else ():
            item = QListWidgetItem(f"{contrast.name}: {described(contrast)}")
            item.setToolTip(
                for_qt(f"{described(contrast)}. Double-click to rename.")
            )  # the text may be cut off in the list
            self.list.addItem(item)
        show_note(self.message, "")
        self._update_buttons()
        self.changed.emit()

    def _update_buttons(self) -> None:
        has_contrasts = self._protocol is not None
        self.remove_button.enabled = has_contrasts
        self.save_button.enabled = has_contrasts
        self.show_button.enabled = has_contrasts and self._has_maps
        problem = _missing_package(self.formats())
        set_text(self.format_problem, problem)
        self.export.set_ready(has_contrasts and self._has_maps and bool(self.formats()) and not problem)

    def _refuse(self, error: Exception) -> None:
        show_note(self.message, str(error), problem=True)
        if not isinstance(error, ValueError):
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the sheet to this folder")
        if folder:
            self.export_to(Path(folder))

    def _report_files(self, files: list[Path]) -> None:
        count = "1 file" if len(files) == 1 else f"{len(files)} files"
        self.export.show_message(f"Wrote {count} to {self._folder}, {RESEARCH_NOTICE} only.")


def _missing_package(formats: Sequence[str]) -> str:
    """Why the formats cannot be written in this installation; empty if they can be."""
    try:
        check_formats(formats)
    except ImportError as error:
        return str(error)
    except ValueError:  # nothing is ticked, which the button shows
        pass
    return ""


def _exported(
    read_maps: Callable[[], ContrastMaps],
    protocol: Protocol,
    subject: str,
    origin: Mapping[str, Any],
    folder: Path,
    formats: Sequence[str],
    overwrite: bool,
) -> Generator[Progress, None, list[Path]]:
    """Render a protocol and write it; returns the paths of the files."""
    check_sheet(protocol, subject, folder, formats, overwrite)
    sheet = yield from render(read_maps(), protocol, subject, origin)
    return (yield from write_sheet(sheet, folder, formats, overwrite))
