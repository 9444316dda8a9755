"""Chooser of the protocol that maps were fitted to, with boxes for its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.control_names import LABELS
from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import Form, column
from napari_swig_qmri._napari.parts.setting_boxes import SettingBoxes
from napari_swig_qmri.physics.protocols import PROTOCOLS, protocol_name
from napari_swig_qmri.physics.sequence import settings_of
from napari_swig_qmri.super_resolution.options import AUTO, MAPS_FROM, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_swig_qmri.physics.mapping import MappingProtocol

    MapsFrom = str | MappingProtocol | Mapping[str, Mapping[str, Any]]


INDENT = 12  # pixels, of the settings


class MapProtocolEditor(QWidget):
    """Value of `Options.maps_from`; emits `changed` whenever it or its problem changes.

    `box`, which chooses the protocol, belongs into the form above; this widget explains it and has its settings.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._given: MapsFrom = AUTO
        self._kinds = dict(PROTOCOLS)  # and the class of a protocol that a script gave
        self.box = ComboBox(label=LABELS["maps_from"], choices=list(MAPS_FROM), tooltip="What the maps were fitted to.")
        self._note = wrapped_label("-", role="note")
        self._problem = wrapped_label(role="problem")
        form = Form()
        form.setContentsMargins(INDENT, 0, 0, 0)
        self._boxes = SettingBoxes(form, self._update)
        self.setLayout(column(self._note, form, self._problem))
        self.box.changed.connect(self._choose)
        self._choose()

    def value(self) -> MapsFrom:
        """Name of the protocol, or the protocol if its settings are not the usual ones; the last one if impossible."""
        name = self.box.value
        if name not in self._kinds:
            return str(name)
        if self.problem() is not None:
            return self._given
        protocol = self._kinds[name](**self._settings())
        if protocol == _protocol(self._given):
            return self._given
        return str(name) if name in PROTOCOLS and protocol == PROTOCOLS[name]() else protocol

    def set_value(self, maps_from: MapsFrom) -> None:
        """Show a protocol and its settings."""
        self._given, protocol = maps_from, _protocol(maps_from)
        name = str(maps_from) if protocol is None else protocol_name(protocol)
        if protocol is not None and name not in PROTOCOLS:
            self._kinds[name] = type(protocol)
            self.box.choices = [*MAPS_FROM, name]
        with self.box.changed.blocked():
            self.box.value = name
        self._show(protocol)

    def problem(self) -> str | None:
        """Reason why the settings are impossible; None if they are possible."""
        if self.box.value not in self._kinds:
            return None
        try:
            self._kinds[self.box.value](**self._settings())
        except ValueError as error:
            return str(error)
        return None

    def setting_boxes(self) -> dict[str, Any]:
        """Boxes of the chosen protocol by the name of their setting."""
        return self._boxes.by_name()

    def _settings(self) -> dict[str, Any]:
        return self._boxes.settings(settings_of(self._kinds[self.box.value]))

    def _choose(self, _name: object = None) -> None:
        """Show the chosen protocol with its usual settings."""
        kind = self._kinds.get(self.box.value)
        self._show(None if kind is None else kind())

    def _show(self, protocol: MappingProtocol | None) -> None:
        self._note.setText(f"{sentence(MAPS_FROM.get(self.box.value, self.box.value))}.")
        self._boxes.clear()
        for each in () if protocol is None else settings_of(protocol):
            self._boxes.add(each, getattr(protocol, each.name), each.default)
        self._update()

    def _update(self, _value: object = None) -> None:
        set_text(self._problem, sentence(self.problem() or ""))
        self.changed.emit()


def _protocol(maps_from: MapsFrom) -> MappingProtocol | None:
    return Options(maps_from=maps_from).protocol
