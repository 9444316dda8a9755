"""Sets of maps among the layers of a viewer, as sources of contrasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGraphicsOpacityEffect, QWidget

from napari_swig_qmri._napari.parts.appearance import set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import column, native_of
from napari_swig_qmri._napari.parts.layer_choice import MAP_SUFFIXES, T2STAR, find_map_sets, stray_maps
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, volume_of
from napari_swig_qmri.data.volumes import VoxelGrid
from napari_swig_qmri.data.wording import for_qt, size_text
from napari_swig_qmri.synthesis.contrast_maps import missing_maps, require_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_swig_qmri.physics.sequence import Contrast

FADED = 0.7  # opacity of a disabled row


@dataclass(frozen=True, eq=False)
class Source:
    """Layers of T1 and any of PD, T2 and T2* on one grid."""

    label: str  # LR, SR, SR run 2, ...
    layers: dict[str, Image] = field(default_factory=dict)  # by quantity

    @property
    def is_complete(self) -> bool:
        """Whether the source has PD, T1 and T2."""
        return self.layers.keys() >= MAP_SUFFIXES.keys()

    @property
    def key(self) -> tuple[int, ...]:
        """Identity of the layers; equal for sources of the same layers."""
        return tuple(id(layer) for layer in self.layers.values())

    @property
    def key_of_row(self) -> tuple[int, bool]:
        """Identity of the T1 layer, and completeness; unlike `key`, it does not depend on a T2* map."""
        return id(self.layers["T1"]), self.is_complete


def sources_among(layers: Sequence[Image]) -> tuple[list[Source], str]:
    """Sources among layers, and a sentence on maps that belong to no source."""
    facts = [facts_of(layer) for layer in layers]
    found = find_map_sets(facts)
    sources = [Source(each.label, {name: layers[index] for name, index in each.layers.items()}) for each in found]
    return sources, stray_maps(facts, found)


def recency(source: Source) -> tuple[bool, int]:
    """Key to sort sources by: measured maps, then super-resolved ones by their run."""
    facts = facts_of(source.layers["T1"])
    return facts.is_synthetic, facts.run


class SourceList(QWidget):
    """Tick boxes for the sources in a viewer; sources without the maps that a sequence needs are disabled."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Source, CheckBox]] = []
        self._texts: list[str] = []  # of the rows, without the maps that they lack
        self._stray = ""  # sentence on maps that belong to no source
        self._hint = wrapped_label(role="note")
        self._layout = column(self._hint, spacing=2)
        self.setLayout(self._layout)

    def value(self) -> tuple[Source, ...]:
        """Ticked sources that have the maps of the sequence."""
        return tuple(source for source, box in self.rows if box.value and box.enabled)

    def grids(self) -> list[VoxelGrid]:
        """Grids of all sources, ticked or not."""
        return [volume_of(source.layers["T1"]).grid for source, _ in self.rows]

    def set_value(self, labels: Sequence[str]) -> None:
        """Tick the sources with these labels and no others."""
        for source, box in self.rows:
            box.value = source.label in labels

    def show_sequence(self, sequence: Contrast | None) -> None:
        """Disable the sources that lack a map that a sequence needs, and name the map."""
        for (source, box), text in zip(self.rows, self._texts, strict=True):
            missing = () if sequence is None else missing_maps(sequence, source.layers.keys())
            shown = f"{text}\n(no {' and '.join(missing)})" if missing else text
            if box.text != shown:
                box.enabled, box.text = not missing, shown
                box.native.graphicsEffect().setEnabled(bool(missing))
        set_text(self._hint, self._hint_on(sequence))

    def show_sources(self, sources: Sequence[Source], hint: str = "") -> None:
        """List these sources, and a hint on maps that belong to none.

        Sources that are listed already keep their tick. New ones are ticked, unless they are partial and another one
        is complete.
        """
        known = {source.key_of_row: box.value for source, box in self.rows}
        some_complete = any(source.is_complete for source in sources)
        for _, box in self.rows:
            self._layout.removeWidget(box.native)
            box.native.deleteLater()
        self.rows, self._texts = [], [_describe(source) for source in sources]
        for source, text in zip(sources, self._texts, strict=True):
            names = ", ".join(layer.name for layer in source.layers.values())
            box = CheckBox(
                text=text,
                value=known.get(source.key_of_row, source.is_complete or not some_complete),
                tooltip=for_qt(names),
            )
            box.changed.connect(self.changed.emit)
            self._layout.addWidget(native_of(box))
            faded = QGraphicsOpacityEffect(box.native)  # the theme fades the text of a disabled box, but not its tick
            faded.setOpacity(FADED)
            faded.setEnabled(False)
            box.native.setGraphicsEffect(faded)
            self.rows.append((source, box))
        self._stray = hint
        set_text(self._hint, self._hint_on(None))
        self.changed.emit()

    def _hint_on(self, sequence: Contrast | None) -> str:
        """Reason why no contrast can be made, or why some maps are left out; empty if there is none."""
        if self._stray or not self.rows:
            return self._stray or "Open PD, T1 and T2 maps that lie on one grid."
        try:
            if sequence is not None and not any(box.enabled for _, box in self.rows):
                require_maps(sequence, self.rows[0][0].layers.keys())
        except ValueError as error:
            return str(error)
        return ""


def _describe(source: Source) -> str:
    sizes = size_text(volume_of(source.layers["T1"]).grid.voxel_size)
    return f"{source.label}: {sizes} mm{', with T2*' if source.is_complete and T2STAR in source.layers else ''}"
