"""Several contrasts at once: a protocol that is opened, edited, saved, shown in a grid and exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.appearance import native_of, sentence, set_text, style, wrapped_label
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.physics.weighting import contrast_name
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol, described, read_protocol, write_protocol
from napari_swig_qmri.synthesis.sheets import FORMATS, render, write_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari.layers import Image

    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.progress import Progress
    from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
    from napari_swig_qmri.synthesis.rendering import Rendering

TOML = "Protocol (*.toml)"


class SheetPanel(QWidget):
    """A protocol and what can be done with it; who owns the panel shows and exports."""

    changed = Signal()
    show_requested = Signal(object)  # the Protocol
    export_requested = Signal(object, object, object)  # the Protocol, the folder, names of the formats

    def __init__(self, sequence: Callable[[], Contrast | None], rendering: Callable[[], Rendering]) -> None:
        super().__init__()
        self._sequence = sequence
        self._rendering = rendering
        self._protocol: Protocol | None = Protocol.usual()
        self._has_maps = False
        self._folder = ""  # of the last export
        self.layers: list[Image] = []  # on show, one per contrast
        self.list = QListWidget()
        self.list.setMaximumHeight(110)
        self.list.setToolTip("Double click on a contrast to rename it.")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.add_button = _button("Add current", "Put the sequence above with its settings and options on the sheet.")
        self.remove_button = _button("Remove", "Take the chosen contrast off the sheet.")
        self.open_button = _button("Open…", "Read a protocol from a TOML file.")
        self.save_button = _button("Save…", "Keep the protocol as a TOML file, to share or for the next subject.")
        self.show_button = _button("Show sheet", "All contrasts from the last ticked source, in a grid.")
        self.format_boxes = {name: CheckBox(text=text, value=name == "png") for name, text in FORMATS.items()}
        self.overwrite_box = CheckBox(text="Replace files that exist", value=False)
        self.message = wrapped_label()
        doing = "Compute all contrasts and write them into a folder."
        self.export = RunPanel("Export…", doing, unchanged="Files written before that stay.")
        self._lay_out()
        self._connect()
        self._show_protocol()

    def value(self) -> Protocol | None:
        """The protocol; None where no contrast is left."""
        return self._protocol

    def set_value(self, protocol: Protocol | None) -> None:
        """Show a protocol."""
        self._protocol = protocol
        self._show_protocol()

    def set_ready(self, ready: bool) -> None:
        """Say whether there are maps to render."""
        self._has_maps = ready
        self._show_state()

    def add_contrast(self) -> None:
        """Add the sequence that the owner shows now with its options, under the name of its contrast."""
        sequence, rendering = self._sequence(), self._rendering().with_map("")
        if sequence is None:
            return
        try:
            rendering.check(sequence)
        except ValueError as error:
            self._say(str(error), problem=True)
            return
        there = self._protocol.contrasts if self._protocol else ()
        base = contrast_name(sequence, "")
        numbered = (f"{base} {number}" for number in range(2, len(there) + 3))
        name = next(each for each in (base, *numbered) if each not in {contrast.name for contrast in there})
        new = (*there, NamedContrast(name=name, sequence=sequence, rendering=rendering))
        self.set_value(replace(self._protocol, contrasts=new) if self._protocol else Protocol(contrasts=new))

    def remove_contrast(self) -> None:
        """Take off the chosen contrast, the last one where none is chosen."""
        if self._protocol is None:
            return
        row = self.list.currentRow() if self.list.currentRow() >= 0 else self.list.count() - 1
        left = tuple(each for index, each in enumerate(self._protocol.contrasts) if index != row)
        self.set_value(replace(self._protocol, contrasts=left) if left else None)

    def rename_contrast(self, item: QListWidgetItem) -> None:
        """Ask for another name of a contrast."""
        if self._protocol is None:
            return
        contrasts, row = list(self._protocol.contrasts), self.list.row(item)
        name, wanted = QInputDialog.getText(self, "Rename", "Name of the contrast:", text=contrasts[row].name)
        if not wanted:
            return
        contrasts[row] = replace(contrasts[row], name=name.strip())
        try:
            self.set_value(replace(self._protocol, contrasts=tuple(contrasts)))
        except ValueError as error:
            self._say(str(error), problem=True)

    def open_protocol(self) -> None:
        """Ask for a file and show the protocol in it."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a protocol", "", TOML)
        if not path:
            return
        try:
            self.set_value(read_protocol(path))
        except (ValueError, OSError) as error:
            self._say(str(error), problem=True)

    def save_protocol(self) -> None:
        """Ask for a file and write the protocol into it, under the file's name as its title."""
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
            self._say(str(error), problem=True)
            return
        self.set_value(protocol)
        self._say(f"Saved as {target.name}.")

    def formats(self) -> tuple[str, ...]:
        """Names of the ticked formats."""
        return tuple(name for name, box in self.format_boxes.items() if box.value)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addLayout(_row(self.add_button, self.remove_button))
        layout.addLayout(_row(self.open_button, self.save_button))
        layout.addWidget(self.show_button)
        for box in (*self.format_boxes.values(), self.overwrite_box):
            layout.addWidget(native_of(box))
        layout.addWidget(self.export)
        layout.addWidget(self.message)

    def _connect(self) -> None:
        self.add_button.clicked.connect(self.add_contrast)
        self.remove_button.clicked.connect(self.remove_contrast)
        self.list.itemDoubleClicked.connect(self.rename_contrast)
        self.open_button.clicked.connect(self.open_protocol)
        self.save_button.clicked.connect(self.save_protocol)
        self.show_button.clicked.connect(lambda: self.show_requested.emit(self._protocol))
        self.export.requested.connect(self._ask_folder)
        self.export.succeeded.connect(self._tell_files)
        for box in self.format_boxes.values():
            box.changed.connect(self._show_state)

    def _show_protocol(self) -> None:
        self.list.clear()
        for contrast in self._protocol.contrasts if self._protocol else ():
            item = QListWidgetItem(f"{contrast.name}: {described(contrast)}")
            item.setToolTip(f"{described(contrast)}. Double click to rename it.")  # the line may be cut off
            self.list.addItem(item)
        self._say("")
        self._show_state()
        self.changed.emit()

    def _show_state(self, _value: object = None) -> None:
        is_there = self._protocol is not None
        self.remove_button.setEnabled(is_there)
        self.save_button.setEnabled(is_there)
        self.show_button.setEnabled(is_there and self._has_maps)
        self.export.set_ready(is_there and self._has_maps and bool(self.formats()))

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the sheet into this folder")
        if folder and self._protocol is not None:
            self._folder = folder
            self.export_requested.emit(self._protocol, Path(folder), self.formats())

    def start_export(self, job: Callable[[], Generator[Progress, None, list[Path]]]) -> None:
        """Write the sheet in the background."""
        self._say("")
        self.export.start(job)

    def _tell_files(self, files: list[Path]) -> None:
        counted = "1 file" if len(files) == 1 else f"{len(files)} files"
        self.export.show_message(f"Written: {counted} in {self._folder}, {RESEARCH_NOTICE} only.")

    def _say(self, text: str, *, problem: bool = False) -> None:
        self.message.setStyleSheet(style("problem" if problem else "note"))
        set_text(self.message, sentence(text))


def exported(
    read_maps: Callable[[], ContrastMaps],
    protocol: Protocol,
    subject: str,
    origin: Mapping[str, Any],
    folder: Path,
    formats: Sequence[str],
    overwrite: bool,
) -> Generator[Progress, None, list[Path]]:
    """Render a protocol and write it: the whole of an export."""
    sheet = yield from render(read_maps(), protocol, subject, origin)
    return (yield from write_sheet(sheet, folder, formats, overwrite))


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button


def _row(*buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    for button in buttons:
        row.addWidget(button)
    return row
