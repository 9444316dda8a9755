"""Inputs of a run as chosen, and a snapshot of them that is safe to read in a thread."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.viewer_layers import as_map, unit_of
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.result_layers import origin_of
from napari_swig_qmri.data.coercion import Guide, guides_from
from napari_swig_qmri.data.inputs import MapFiles, maps_among
from napari_swig_qmri.super_resolution.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Layer

    from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
    from napari_swig_qmri.data.volumes import FloatArray, Volume
    from napari_swig_qmri.physics.signal_models import SignalModel

PLACE = ("scale", "translate", "rotate", "shear", "affine")  # attributes of a layer that place it


@dataclass(frozen=True, kw_only=True)
class SuperResolveInputs:
    """Everything that a user chooses for a run."""

    maps: Mapping[str, MapChoice] = field(default_factory=dict)  # by quantity: PD, T1, T2
    guides: tuple[GuideChoice, ...] = ()
    options: Options = field(default_factory=Options)
    mask: Layer | None = None
    transmit_map: Layer | None = None

    @property
    def effective(self) -> SuperResolveInputs:
        """The same without the guides that are not used."""
        guides = tuple(guide for guide in self.guides if guide.is_used and guide.layer is not None)
        return replace(self, guides=guides)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Data and attributes of the chosen layers at one time. Later changes of the layers have no effect on it."""

    maps: tuple[tuple[Any, dict[str, Any], str, str | None], ...]  # data and attributes of a layer, quantity, unit
    guides: tuple[tuple[Any, dict[str, Any], SignalModel | None], ...]
    mask: tuple[Any, dict[str, Any]] | None
    options: Options
    transmit_map: tuple[Any, dict[str, Any]] | None = None

    @classmethod
    def of(cls, inputs: SuperResolveInputs) -> Snapshot:
        """Snapshot of the chosen layers as they are now; their arrays are shared until `copied` is asked for."""
        return cls(
            tuple(
                (*choice.layer.as_layer_data_tuple()[:2], quantity, choice.unit)
                for quantity, choice in inputs.maps.items()
            ),
            tuple(
                (*guide.layer.as_layer_data_tuple()[:2], guide.sequence)
                for guide in inputs.guides
                if guide.is_used and guide.layer is not None
            ),
            None if inputs.mask is None else inputs.mask.as_layer_data_tuple()[:2],
            inputs.options,
            None if inputs.transmit_map is None else inputs.transmit_map.as_layer_data_tuple()[:2],
        )

    @cached_property
    def copied(self) -> Snapshot:
        """The same with arrays of its own, as they are when it is first asked for: painting does not change them."""
        return replace(
            self,
            maps=tuple((np.array(data), *rest) for data, *rest in self.maps),  # type: ignore[misc]
            guides=tuple((np.array(data), *rest) for data, *rest in self.guides),  # type: ignore[misc]
            mask=_copied(self.mask),
            transmit_map=_copied(self.transmit_map),
        )

    @property
    def frame(self) -> FloatArray:
        """Display frame for the results: that of the first guide, or of the maps without guides."""
        return LayerRecord.of(self.guides[0][1] if self.guides else self.maps[0][1]).frame

    @property
    def origin(self) -> dict[str, Any]:
        """Sidecar fields of the results: field strength and source files."""
        others = [attributes for _, attributes, _ in self.guides]
        others += [each[1] for each in (self.mask, self.transmit_map) if each]
        return origin_of([attributes for _, attributes, *_ in self.maps], others)

    @cached_property
    def fingerprint(self) -> int:
        """Checksum of values and places of the layers, as they are when it is first asked for."""
        layers: list[tuple[Any, dict[str, Any]]] = [(each[0], each[1]) for each in self.maps]
        layers += [(each[0], each[1]) for each in self.guides]
        layers += [each for each in (self.mask, self.transmit_map) if each]
        found = 0
        for data, attributes in layers:
            found = zlib.crc32(np.asarray(data).ravel(order="K").data, found)
            found = zlib.crc32(repr([attributes[name] for name in PLACE]).encode(), found)
        return found

    def arguments(self) -> tuple[MapFiles, list[Guide], Options]:
        """Maps, guides and options as `super_resolution_steps` takes them."""
        volumes = [_map_volume(*each) for each in self.maps]
        guides = [Guide(from_layer(data, attributes), sequence) for data, attributes, sequence in self.guides]
        given = maps_among(volumes, [Path("the chosen layers")])
        if self.transmit_map is None:
            return given, guides, self.options
        return given, guides, replace(self.options, b1=from_layer(*self.transmit_map))

    def noted_at_rows(self) -> set[str]:
        """Assumptions about the layers that the rows of the dock show beside their layers."""
        maps, guides, _ = self.arguments()
        about_maps = (f"{volume.name}: {notice}" for volume in maps.volumes for notice in volume.notices)
        return {*about_maps, *(notice for guide in guides_from(guides) for notice in guide.notices)}

    def mask_volume(self) -> Volume | None:
        """Mask layer on its own grid; None without one."""
        return None if self.mask is None else from_layer(*self.mask)

    def adapting(self) -> Snapshot:
        """The same with the option to adapt the network first."""
        return replace(self, options=replace(self.options, adapt=True))


def _copied(layer: tuple[Any, dict[str, Any]] | None) -> tuple[Any, dict[str, Any]] | None:
    """Data and attributes of a layer with an array of its own."""
    return None if layer is None else (np.array(layer[0]), layer[1])


def _map_volume(data: Any, attributes: dict[str, Any], quantity: str, unit: str | None) -> Volume:
    """Map of a layer in the given unit, or in the one that it is assumed to have, with notices on that."""
    volume = from_layer(data, attributes)
    assumed, notices = unit_of(volume, quantity)
    told = notices if unit in (None, assumed) else ()
    return replace(as_map(volume, quantity, unit or assumed), notices=(*volume.notices, *told))
