"""The "Inspect" dock: values and signal curves under the cursor, the best contrast of two regions, a region table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any
from weakref import WeakSet, ref

import numpy as np
from napari.layers import Image, Labels
from napari.viewer import Viewer
from superqt.utils import QSignalDebouncer, QSignalThrottler

from napari_swig_qmri._napari.inspect.curve_panel import CurvePanel, Entry
from napari_swig_qmri._napari.inspect.design_panel import DesignPanel, LabelledMaps, Optimiser, design_title
from napari_swig_qmri._napari.inspect.pin_layer import PinLayer, pin_colours, pinning
from napari_swig_qmri._napari.inspect.probe import Probe, errors_beside, place_text, probe_of
from napari_swig_qmri._napari.inspect.region_panel import RegionPanel
from napari_swig_qmri._napari.parts.appearance import Foldable, exists, sentence, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, Form
from napari_swig_qmri._napari.parts.contrast_layers import contrast_layer
from napari_swig_qmri._napari.parts.dock import Dock
from napari_swig_qmri._napari.parts.layer_choice import kind_of, map_of
from napari_swig_qmri._napari.parts.map_sets import Source, recency, sources_among
from napari_swig_qmri._napari.parts.plots import legible
from napari_swig_qmri._napari.parts.view import follow_view
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, follow_layers, image_layers, volume_of
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.recognition.suffixes import RESULTS
from napari_swig_qmri.data.volumes import FloatArray
from napari_swig_qmri.evaluation.regions import RegionSource, RegionStatistics, regions_on
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.synthesis.design import optimise
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast

FRAME = 16  # ms; moves of the cursor within a frame are shown together
SETTLED = 300  # ms after the last stroke of a brush until the regions are read again
MOST_CURVES = 8  # regions with a curve; the region table has all
PLACING_EVENTS = ("data", "scale", "translate", "rotate", "shear", "affine")  # events that change values or places
OPEN_MAPS = "Open PD, T1 and T2 maps that lie on one grid."
READING = "Reading the maps…"
POINT = "Move the mouse over the maps. Shift-click pins a voxel."
OUTSIDE = "The cursor is outside the maps."
ONLY_2D = "Switch to 2D to read voxels: the depth of the cursor in 3D is unknown."
UNMEASURED = "{voxel}: nothing was measured here."


@dataclass(frozen=True, kw_only=True)
class InspectInputs:
    """Maps, regions, sequence, pins and images that are inspected."""

    maps: str | None = None  # label of the map set, such as "SR"; None if there is none
    regions: str | None = None  # name of the labels layer; None for none
    sequence: Contrast | None = None  # of the signal curves; None if its settings are impossible
    pins: tuple[tuple[float, float, float], ...] = ()  # scanner positions (x, y, z) in mm
    images: tuple[str, ...] = ()  # names of the layers to measure in the regions


class InspectWidget(Dock):
    """Reads voxels and regions of the maps of a viewer.

    A script sets the inputs with `set_value` and measures images in regions with `run`.

    Parameters
    ----------
    napari_viewer
        Viewer with maps.
    optimiser
        Function with the signature of `synthesis.design.optimise`; tests use a quick one.
    """

    title = "Inspect"

    def __init__(self, napari_viewer: Viewer, optimiser: Optimiser = optimise) -> None:
        super().__init__(napari_viewer)
        self._sources: dict[tuple[int, ...], Source] = {}
        self._probe: Probe | None = None  # of the chosen maps, once it is needed
        self._unreadable = ""  # why there is none
        self._labelled_maps: LabelledMaps | None = None  # chosen maps and labels, once they are needed
        self._pins: list[tuple[str, FloatArray]] = []  # name, scanner position in mm
        self._pin_layer = PinLayer(napari_viewer)
        self._has_chosen = False  # whether the user, or a script, chose the maps
        self._is_proposing = False
        self._followed: WeakSet[Any] = WeakSet()  # layers whose events are connected
        self.maps = ChoiceBox(label="Maps", tooltip="Maps to read")
        self.regions = ChoiceBox(label="Regions", none="none", tooltip="Labels layer with the regions to inspect")
        self.curves = CurvePanel(SpinEcho.from_typical())
        self.design = DesignPanel(optimiser)
        self.table = RegionPanel()
        self._reading = BackgroundQuery(self, pause=0)  # of the probe
        self._moves = QSignalThrottler(parent=self)  # emits at once, then at most once per frame
        self._moves.setTimeout(FRAME)
        self._moves.triggered.connect(self._show_cursor)
        self._strokes = QSignalDebouncer(parent=self)
        self._strokes.setTimeout(SETTLED)
        self._strokes.triggered.connect(self._forget_regions)
        self._lay_out()
        self._connect()
        follow_layers(napari_viewer, self._follow_layers)
        follow_view(napari_viewer)
        self._follow_layers()
        self.design.show_sequence(self.curves.sequence())

    def value(self) -> InspectInputs:
        """Current inputs."""
        source, regions = self._source, self.regions.value
        return InspectInputs(
            maps=None if source is None else source.label,
            regions=None if regions is None else regions.name,
            sequence=self.curves.sequence(),
            pins=tuple((float(x), float(y), float(z)) for _, (x, y, z) in self._pins),
            images=self.table.value(),
        )

    def set_value(self, inputs: InspectInputs) -> None:
        """Show these inputs; ValueError if the viewer lacks the maps or the regions."""
        keys = {source.label: key for key, source in self._sources.items()}
        layers = {layer.name: layer for layer in self.regions.choices if layer is not None}
        if inputs.maps is not None and inputs.maps not in keys:
            raise ValueError(f"there are no maps {inputs.maps!r}: choose among {', '.join(keys) or 'none'}.")
        if inputs.regions is not None and inputs.regions not in layers:
            raise ValueError(
                f"no labels layer is called {inputs.regions!r}: choose among {', '.join(layers) or 'none'}."
            )
        if inputs.maps is not None:
            self.maps.value = keys[inputs.maps]
        self.regions.value = layers.get(inputs.regions or "")
        if inputs.sequence is not None:
            self.curves.set_sequence(inputs.sequence)
        self._pins = [(f"Pin {number}", np.array(pin)) for number, pin in enumerate(inputs.pins, start=1)]
        self.table.set_value(inputs.images)
        self._show_fixed()

    def run(self) -> tuple[RegionStatistics, ...]:
        """Measure the ticked images in all regions, show the region table, and return its rows.

        The window stays responsive, and *Cancel* works, in the meantime.

        Raises
        ------
        ValueError
            If no labels layer is chosen or no image is ticked.
        RuntimeError
            If a measurement is under way, fails or is cancelled, with the message that the panel shows.
        """
        return self.table.run()

    def pin(self, shown: Sequence[float]) -> None:
        """Keep the curve of the voxel at a position of the viewer; nothing happens outside the maps."""
        probe = self._read_probe()
        if probe is None or probe.voxel(probe.position(shown)) is None:
            return
        number = 1 + max((int(name.split()[-1]) for name, _ in self._pins), default=0)
        self._pins.append((f"Pin {number}", probe.position(shown)))
        self._show_fixed()

    def unpin(self) -> None:
        """Remove all pinned voxels."""
        self._pins = []
        self._show_fixed()

    @property
    def _source(self) -> Source | None:
        """Chosen maps."""
        return self._sources.get(self.maps.value)

    def _lay_out(self) -> None:
        folds = [
            Foldable("Voxels and their signals", self.curves, unfolded=True),
            Foldable("Best contrast of two regions", self.design),
            Foldable("Table of regions", self.table),
        ]
        notice = wrapped_label(f"Signals are {RESEARCH_NOTICE} only.", role="note")
        self.lay_out(folds, [notice])
        layout = self.layout()
        if layout is not None:
            layout.insertLayout(0, Form(self.maps, self.regions))  # type: ignore[attr-defined]

    def _connect(self) -> None:
        self._reading.answered.connect(self._take_probe)
        self._reading.failed.connect(self._refuse_maps)
        self.maps.changed.connect(self._keep_maps)  # first: what follows may list the layers again
        self.maps.changed.connect(self._forget_maps)
        self.regions.changed.connect(self._forget_regions)
        self.regions.changed.connect(self._offer_images)
        self.curves.sequence_changed.connect(self._follow_sequence)
        self.curves.unpin_wanted.connect(self.unpin)
        self.design.settings_wanted.connect(self.curves.set_sequence)
        self.design.image_wanted.connect(self._add_contrast)
        self._viewer.cursor.events.position.connect(self._follow_cursor)
        self._viewer.dims.events.ndisplay.connect(self._follow_cursor)
        self._viewer.mouse_drag_callbacks.append(pinning(ref(self)))
        self.curves.plot.recoloured.connect(self._show_fixed)
        self.curves.plot.recoloured.connect(self._show_cursor)

    def _follow_layers(self, _event: object = None) -> None:
        if not exists(self):  # the dock was closed, but Python has not deleted it yet
            return
        layers = image_layers(self._viewer)
        sources = [source for source in sources_among(layers)[0] if source.is_complete]
        sources.sort(key=recency, reverse=True)
        self._sources = {source.key: source for source in sources}
        if not sources:
            self._has_chosen, self._pins = False, []  # of the last patient
        if self._pin_layer.was_removed:
            self.unpin()
        contrasts = [each for each in self._viewer.layers if isinstance(each.data, LazyContrast)]
        labels = [each for each in self._viewer.layers if isinstance(each, Labels) and each.ndim == 3]
        for layer in (*layers, *labels):
            self._connect_events(layer, PLACING_EVENTS, self._follow_layer)
        for layer in labels:
            self._connect_events(layer, ("paint", "labels_update"), self._follow_painting)
        for layer in contrasts:
            self._connect_events(layer, ("data",), self._follow_contrast)
        self._followed.update((*layers, *labels, *contrasts))
        self._is_proposing = True
        self.maps.set_choices([(source.label, source.key) for source in sources])
        if sources and not self._has_chosen:
            self.maps.value = sources[0].key
        self._is_proposing = False
        had_labels = len(self.regions) > 1
        self.regions.set_choices([(layer.name, layer) for layer in labels])
        self.regions.enabled = bool(labels)
        if labels and not had_labels:
            self.regions.value = labels[0]
        self.curves.set_followable([(layer.name, layer) for layer in contrasts])
        self._offer_images()
        self._show_cursor()

    def _connect_events(self, layer: Any, events: Sequence[str], callback: Callable[..., None]) -> None:
        if layer not in self._followed:
            for event in events:
                getattr(layer.events, event).connect(callback)

    def _offer_images(self) -> None:
        layers = [(each, facts_of(each)) for each in self._viewer.layers if _is_measurable(each)]
        layers.sort(key=lambda pair: map_of(pair[1]) is None)
        sources = [
            RegionSource(
                name=layer.name,
                read=partial(volume_of, layer),
                read_errors=errors_beside(layer, self._viewer),
                kind=kind_of(facts),
                is_synthetic=facts.is_synthetic,
            )
            for layer, facts in layers
        ]
        labels = self.regions.value
        self.table.show_sources(sources, None if labels is None else partial(volume_of, labels))

    def _follow_layer(self, event: Any) -> None:
        if not exists(self):
            return
        if isinstance(event.source, Labels):
            self._strokes.throttle()
        elif any(event.source in source.layers.values() for source in self._sources.values()):
            self._forget_maps()

    def _follow_painting(self, event: Any) -> None:
        if exists(self) and event.source is self.regions.value:
            self._strokes.throttle()

    def _follow_contrast(self, event: Any) -> None:
        if exists(self) and event.source is self.curves.follow.value:
            self.curves.refresh_followed()

    def _follow_cursor(self, _event: object = None) -> None:
        if exists(self):
            self._moves.throttle()

    def _follow_sequence(self) -> None:
        self.design.show_sequence(self.curves.sequence())
        self.order_tabs()

    def _add_contrast(self, sequence: Contrast) -> None:
        """Add the image of a sequence from the chosen maps, below the labels."""
        source, labels = self._source, self.regions.value
        if source is None:
            return
        data, attributes, _ = contrast_layer(source, sequence, title=design_title(sequence))
        layer = Image(data, **attributes)
        layers = self._viewer.layers
        layers.insert(len(layers) if labels is None else layers.index(labels), layer)
        layer.name_overlay.visible = True

    def _forget_maps(self) -> None:
        self._reading.forget()
        self._probe, self._unreadable = None, ""
        self._forget_regions()
        self._show_cursor()

    def _forget_regions(self) -> None:
        self._labelled_maps = None
        self._show_fixed()

    def _read_probe(self) -> Probe | None:
        """Probe of the chosen maps, which are read when it is first needed; None if there are none or on an error."""
        source = self._source
        if self._probe is None and source is not None:
            try:
                self._probe = probe_of(source, self._viewer)
            except ValueError as error:
                self._refuse_maps(str(error))
        return self._probe

    def _take_probe(self, probe: Probe) -> None:
        self._probe = probe
        self._show_cursor()

    def _refuse_maps(self, problem: str) -> None:
        self._unreadable = sentence(problem)
        self._show_cursor()

    def _read_labelled_maps(self) -> LabelledMaps | None:
        """Chosen maps with the chosen labels on their grid."""
        labels = self.regions.value
        probe = None if labels is None else self._read_probe()
        if self._labelled_maps is None and probe is not None:
            regions = regions_on(volume_of(labels), probe.maps.grid)
            self._labelled_maps = LabelledMaps(probe.maps, regions, probe.t2star)
        return self._labelled_maps

    def _show_cursor(self) -> None:
        position = self._viewer.cursor.position
        if not self._sources:
            self.curves.show_cursor(None, OPEN_MAPS)
        elif self._viewer.dims.ndisplay == 3:
            self.curves.show_cursor(None, ONLY_2D)
        elif len(position) < 3:
            self.curves.show_cursor(None, POINT)
        elif self._probe is not None:
            self._show_voxel(self._probe, position)
        else:
            self.curves.show_cursor(None, self._unreadable or READING)
            if not self._unreadable and not self._reading.is_running and (source := self._source) is not None:
                self._reading.ask(partial(probe_of, source, self._viewer))

    def _show_voxel(self, probe: Probe, shown: Sequence[float]) -> None:
        position = probe.position(shown)
        voxel = probe.voxel(position)
        if voxel is None:
            self.curves.show_cursor(None, OUTSIDE if any(shown) else f"{OUTSIDE} {POINT}")
            return
        text = f"Voxel {', '.join(map(str, voxel))} at {place_text(position)}{probe.evidence_text(voxel)}"
        tissue = probe.tissue(voxel, "Cursor")
        entry = Entry(tissue, self.curves.plot.text_colour, errors=probe.standard_errors(voxel))
        self.curves.show_cursor(entry, text if tissue.is_measured else UNMEASURED.format(voxel=text))

    def _show_fixed(self) -> None:
        """Show pins and regions, and offer the regions to the search."""
        layer, maps = self.regions.value, self._read_labelled_maps()
        labels = [] if maps is None else list(maps.regions)
        taken = [layer.get_color(label) for label in labels[:MOST_CURVES]]
        entries = self._show_pins(pin_colours([colour for colour in taken if colour is not None]))
        if maps is not None:
            entries += [
                Entry(maps.tissue(label, label), _label_colour(layer, label, self._viewer.theme), is_region=True)
                for label in labels[:MOST_CURVES]
            ]
        self.curves.show_fixed(entries)
        self.design.show_regions(labels, None if maps is None else self._required_maps)

    def _show_pins(self, colours: Sequence[str]) -> list[Entry]:
        """Mark the pins in the picture, and return the values of those inside the maps."""
        probe = self._read_probe() if self._pins else None
        entries, marks = [], []
        for (name, position), colour in zip(self._pins, cycle(colours), strict=False):
            voxel = None if probe is None else probe.voxel(position)
            if probe is not None and voxel is not None:
                entries.append(Entry(probe.tissue(voxel, name), colour, errors=probe.standard_errors(voxel)))
                marks.append((name, probe.shown(position), colour))
        source = self._source
        self._pin_layer.show(marks, None if source is None else source.layers["T1"])
        return entries

    def _keep_maps(self) -> None:
        self._has_chosen = self._has_chosen or not self._is_proposing

    def _required_maps(self) -> LabelledMaps:
        maps = self._read_labelled_maps()
        if maps is None:
            raise ValueError("the maps or labels were removed: choose others.")
        return maps


def _is_measurable(layer: Any) -> bool:
    """Whether a layer can be measured in regions: maps, weighted images and contrasts can, residuals cannot."""
    if not isinstance(layer, Image) or layer.rgb or layer.multiscale or layer.ndim < 3:
        return False
    return facts_of(layer).suffix not in RESULTS


def _label_colour(layer: Labels, label: int, theme: str) -> str:
    colour = layer.get_color(label)
    return legible(np.full(3, 0.5) if colour is None else colour, theme)
