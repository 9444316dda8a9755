"""The "Inspect" dock: values and signal curves under the cursor, the best contrast of two regions, a region table."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

import numpy as np
from napari.layers import Image, Labels
from napari.viewer import Viewer
from superqt.utils import QSignalDebouncer, QSignalThrottler

from napari_swig_qmri._napari.inspect.curve_panel import CurvePanel, Entry
from napari_swig_qmri._napari.inspect.design_panel import Areas, DesignPanel, titled
from napari_swig_qmri._napari.inspect.probe import Probe, probe_of
from napari_swig_qmri._napari.inspect.region_panel import RegionPanel
from napari_swig_qmri._napari.layers import LayerRecord
from napari_swig_qmri._napari.parts.appearance import Foldable, exists, form, sentence, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri._napari.parts.contrast_layers import contrast_layer
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.layer_choice import kind_of, map_of
from napari_swig_qmri._napari.parts.map_sets import Source, sources_among
from napari_swig_qmri._napari.parts.plots import PALETTE, legible, text_colour
from napari_swig_qmri._napari.parts.view import start_as_preferred
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, follow_layers, image_layers, volume_of
from napari_swig_qmri.data.bids import RESULTS
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.evaluation.regions import RegionSource, regions_on
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.synthesis.design import optimise
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from napari_swig_qmri._napari.inspect.design_panel import Optimiser
    from napari_swig_qmri.data.volumes import FloatArray, Volume
    from napari_swig_qmri.physics.sequence import Contrast

FRAME = 16  # ms in which moves of the cursor are gathered
SETTLED = 300  # ms after the last stroke of a brush until regions are read again
MOST_CURVES = 8  # regions that are drawn; the table has all
STILL = 4  # pixels that a click may move
PLACING = ("data", "scale", "translate", "rotate", "shear", "affine")  # events after which maps or labels are others
NO_MAPS = "Open PD, T1 and T2 maps that lie on one grid."
POINT = "Move the mouse over the maps. Shift-click pins a voxel."
OUTSIDE = "The cursor is outside the maps."
FLAT_ONLY = "The cursor finds voxels in 2D; in 3D it does not say how deep it is."
UNMEASURED = "{place}: nothing was measured here."


class InspectWidget(Dock):
    """Look at voxels and regions of the maps of a viewer; `optimiser` stands in for `contrast_design.optimise`."""

    def __init__(self, napari_viewer: Viewer, optimiser: Optimiser = optimise) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._sources: dict[tuple[int, ...], Source] = {}
        self._probe: Probe | None = None  # of the chosen maps, once somebody looks
        self._areas: Areas | None = None  # of the chosen labels on the chosen maps
        self._pins: list[tuple[str, FloatArray]] = []  # name, scanner position in mm
        self._followed: WeakSet[Any] = WeakSet()
        self.maps = ChoiceBox(tooltip="The maps to read")
        self.regions = ChoiceBox(none="none", tooltip="A labels layer whose regions are to be looked at")
        self.curves = CurvePanel(SpinEcho.from_typical())
        self.design = DesignPanel(optimiser)
        self.table = RegionPanel()
        self._moves = QSignalThrottler(parent=self)  # the first move at once, those of a frame together after it
        self._moves.setTimeout(FRAME)
        self._moves.triggered.connect(self._show_cursor)
        self._strokes = QSignalDebouncer(parent=self)
        self._strokes.setTimeout(SETTLED)
        self._strokes.triggered.connect(self._forget_areas)
        self._lay_out()
        self._connect()
        follow_layers(napari_viewer, self._follow_layers)
        start_as_preferred(napari_viewer)
        self._follow_layers()
        self.design.show_sequence(self.curves.sequence())

    def pin(self, shown: Sequence[float]) -> None:
        """Keep the curve of the voxel at a position of the viewer; it is not kept where there are no maps."""
        probe = self._read_maps()
        if probe is None or probe.voxel(probe.position(shown)) is None:
            return
        number = 1 + max((int(name.split()[-1]) for name, _ in self._pins), default=0)
        self._pins.append((f"Pin {number}", probe.position(shown)))
        self._show_fixed()

    def unpin(self) -> None:
        """Forget all pinned voxels."""
        self._pins = []
        self._show_fixed()

    def _lay_out(self) -> None:
        rows = form()
        rows.addRow("Maps", self.maps.native)
        rows.addRow("Regions", self.regions.native)
        folds = [
            Foldable("Voxels and their signals", self.curves, unfolded=True),
            Foldable("Best contrast of two regions", self.design),
            Foldable("Table of regions", self.table),
        ]
        notice = wrapped_label(f"Signals are {RESEARCH_NOTICE} only.", role="note")
        self.lay_out(folds, [notice])
        layout = self.layout()
        if layout is not None:
            layout.insertLayout(0, rows)  # type: ignore[attr-defined]

    def _connect(self) -> None:
        self.maps.changed.connect(self._forget_maps)
        self.regions.changed.connect(self._forget_areas)
        self.regions.changed.connect(self._offer_images)
        self.curves.sequence_changed.connect(self._take_sequence)
        self.curves.unpin_wanted.connect(self.unpin)
        self.design.settings_wanted.connect(self.curves.set_sequence)
        self.design.image_wanted.connect(self._add_contrast)
        self._viewer.cursor.events.position.connect(self._cursor_moved)
        self._viewer.dims.events.ndisplay.connect(self._cursor_moved)
        self._viewer.mouse_drag_callbacks.append(_pinning(ref(self)))

    def _follow_layers(self, _event: object = None) -> None:
        if not exists(self):  # the dock was closed, Python has not noticed yet
            return
        layers = image_layers(self._viewer)
        sources = [source for source in sources_among(layers)[0] if source.is_complete]
        self._sources = {source.key: source for source in sources}
        contrasts = [each for each in self._viewer.layers if isinstance(each.data, LazyContrast)]
        painted = [each for each in self._viewer.layers if isinstance(each, Labels) and each.ndim == 3]
        for layer in (*layers, *painted):
            self._follow(layer, self._layer_changed, PLACING)
        for layer in painted:
            self._follow(layer, self._painted, ("paint", "labels_update"))
        for layer in contrasts:
            self._follow(layer, self._contrast_changed, ("data",))
        self._followed.update((*layers, *painted, *contrasts))
        self.maps.set_choices([(source.label, source.key) for source in sources])
        had_labels = len(self.regions) > 1
        self.regions.set_choices((layer.name, layer) for layer in painted)
        self.regions.enabled = len(painted) > 0
        if painted and not had_labels:
            self.regions.value = painted[0]
        self.curves.set_followable([(layer.name, layer) for layer in contrasts])
        self._offer_images()
        self._show_cursor()

    def _follow(self, layer: Any, callback: Callable[..., None], events: Sequence[str]) -> None:
        if layer not in self._followed:
            for event in events:
                getattr(layer.events, event).connect(callback)

    def _offer_images(self) -> None:
        layers = [(each, facts_of(each)) for each in self._viewer.layers if _is_measurable(each)]
        layers.sort(key=lambda told: map_of(told[1]) is None)
        sources = [
            RegionSource(
                name=each.name,
                read=partial(volume_of, each),
                kind=kind_of(facts),
                is_synthetic=facts.is_synthetic,
            )
            for each, facts in layers
        ]
        labels = self.regions.value
        self.table.show_sources(sources, None if labels is None else partial(self._labels_volume, labels))

    def _layer_changed(self, event: Any) -> None:
        if not exists(self):
            return
        if isinstance(event.source, Labels):
            self._strokes.throttle()
        elif any(event.source in source.layers.values() for source in self._sources.values()):
            self._forget_maps()

    def _painted(self, event: Any) -> None:
        if exists(self) and event.source is self.regions.value:
            self._strokes.throttle()

    def _contrast_changed(self, event: Any) -> None:
        if exists(self) and event.source is self.curves.follow.value:
            self.curves.refresh_followed()

    def _cursor_moved(self, _event: object = None) -> None:
        if exists(self):
            self._moves.throttle()

    def _take_sequence(self) -> None:
        self.design.show_sequence(self.curves.sequence())
        self.order_tabs()

    def _add_contrast(self, sequence: Contrast) -> None:
        """Show the image of a sequence from the chosen maps, below the labels."""
        source, labels = self._sources.get(self.maps.value), self.regions.value
        if source is None:
            return
        data, attributes, _ = contrast_layer(source, sequence, title=titled(sequence))
        layer = Image(data, **attributes)
        layers = self._viewer.layers
        layers.insert(len(layers) if labels is None else layers.index(labels), layer)
        layer.name_overlay.visible = True

    def _forget_maps(self) -> None:
        self._probe = None
        self._forget_areas()
        self._show_cursor()

    def _forget_areas(self) -> None:
        self._areas = None
        self._show_fixed()

    def _read_maps(self) -> Probe | None:
        """The chosen maps, read when they are needed first; None without any, and where they cannot be read."""
        source = self._sources.get(self.maps.value)
        if self._probe is None and source is not None:
            try:
                self._probe = probe_of(source, self._viewer)
            except ValueError as error:
                self.curves.show_cursor(None, sentence(str(error)))
        return self._probe

    def _read_areas(self) -> Areas | None:
        """The chosen labels on the voxels of the chosen maps."""
        labels, probe = self.regions.value, None if self.regions.value is None else self._read_maps()
        if self._areas is None and probe is not None:
            regions = regions_on(self._labels_volume(labels), probe.maps.grid)
            self._areas = Areas(probe.maps, regions, probe.t2star)
        return self._areas

    def _labels_volume(self, labels: Labels) -> Volume:
        """Labels where they are shown: those painted over tilted maps lie in the display frame of the maps."""
        volume = volume_of(labels)
        source = self._sources.get(self.maps.value)
        if source is None or not LayerRecord.of(labels).is_empty:
            return volume
        frame = LayerRecord.of(source.layers["T1"]).frame
        return replace(volume, grid=replace(volume.grid, affine=np.linalg.inv(frame) @ volume.grid.affine))

    def _show_cursor(self) -> None:
        if not self._sources:
            self.curves.show_cursor(None, NO_MAPS)
            return
        position = self._viewer.cursor.position
        if self._viewer.dims.ndisplay == 3:
            self.curves.show_cursor(None, FLAT_ONLY)
            return
        if len(position) < 3:
            self.curves.show_cursor(None, POINT)
            return
        probe = self._read_maps()
        if probe is None:
            return
        at = probe.position(position)
        voxel = probe.voxel(at)
        if voxel is None:
            self.curves.show_cursor(None, f"{OUTSIDE} {POINT}" if not any(position) else OUTSIDE)
            return
        place = f"Voxel {', '.join(map(str, voxel))} at {', '.join(f'{mm:.1f}' for mm in at)} mm"
        tissue = probe.tissue(voxel, "Cursor")
        entry = Entry(tissue, text_colour(), errors=probe.standard_errors(voxel))
        self.curves.show_cursor(entry, place if tissue.is_measured else UNMEASURED.format(place=place))

    def _show_fixed(self) -> None:
        entries, labels = [], self.regions.value
        probe = self._read_maps() if self._pins else None
        for index, (name, position) in enumerate(self._pins):
            voxel = None if probe is None else probe.voxel(position)
            if probe is not None and voxel is not None:
                colour = PALETTE[index % len(PALETTE)]
                entries.append(Entry(probe.tissue(voxel, name), colour, errors=probe.standard_errors(voxel)))
        areas = self._read_areas()
        for label in list(areas.regions)[:MOST_CURVES] if areas else []:
            if areas is not None:
                entries.append(Entry(areas.tissue(label, label), _colour(labels, label), is_region=True))
        self.curves.show_fixed(entries)
        self.design.show_areas(list(areas.regions) if areas else [], self._needed_areas if areas else None)

    def _needed_areas(self) -> Areas:
        areas = self._read_areas()
        if areas is None:
            raise ValueError("the maps or labels were removed: choose others.")
        return areas


def _pinning(dock: ref[InspectWidget]) -> Callable[..., Generator[None, None, None]]:
    """Mouse callback of a viewer that pins the voxel of a Shift-click, as long as the dock is there."""

    def pin_on_click(_viewer: Any, event: Any) -> Generator[None, None, None]:
        if "Shift" not in event.modifiers:
            return
        start = tuple(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        inspector = dock()
        if inspector is not None and exists(inspector) and math.dist(start, event.pos) <= STILL:
            inspector.pin(event.position)

    return pin_on_click


def _is_measurable(layer: Any) -> bool:
    """Whether a layer holds values to measure in regions: maps, weighted images and contrasts, no residuals."""
    if not isinstance(layer, Image) or layer.rgb or layer.multiscale or layer.ndim < 3:
        return False
    return facts_of(layer).suffix not in RESULTS


def _colour(labels: Labels, label: int) -> str:
    """Colour of a label in its layer."""
    colour = labels.get_color(label)
    return text_colour() if colour is None else legible(colour)
