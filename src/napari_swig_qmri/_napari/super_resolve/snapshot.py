"""Inputs of a run as chosen, and a snapshot of them that is safe to read in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_swig_qmri._napari.layers import from_layer
from napari_swig_qmri._napari.parts.viewer_layers import as_map, unit_of, volume_of
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri._napari.result_layers import origin_of
from napari_swig_qmri.data.interpretation import as_guide, as_maps, map_notices
from napari_swig_qmri.super_resolution.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Layer

    from napari_swig_qmri._napari.super_resolve.inputs import GuideChoice, MapChoice
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, Volume, WeightedImage
    from napari_swig_qmri.physics.signal_models import SignalModel


@dataclass(frozen=True, kw_only=True)
class SuperResolveInputs:
    """Everything that a user chooses for a run."""

    maps: Mapping[str, MapChoice] = field(default_factory=dict)  # by quantity: PD, T1, T2
    guides: tuple[GuideChoice, ...] = ()
    options: Options = field(default_factory=Options)
    mask: Layer | None = None

    @property
    def effective(self) -> SuperResolveInputs:
        """The same without the guides that are not used."""
        guides = tuple(guide for guide in self.guides if guide.is_used and guide.layer is not None)
        return replace(self, guides=guides)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Data and attributes of the chosen layers at one time. Later changes of the layers have no effect on it."""

    maps: tuple[tuple[Any, dict[str, Any], str, str], ...]  # data and attributes of a layer, quantity, unit
    guides: tuple[tuple[Any, dict[str, Any], SignalModel | None], ...]
    mask: tuple[Any, dict[str, Any]] | None
    options: Options

    @classmethod
    def of(cls, inputs: SuperResolveInputs) -> Snapshot:
        """Snapshot of the chosen layers as they are now; arrays are not copied."""
        return cls(
            tuple(_map(choice, quantity) for quantity, choice in inputs.maps.items()),
            tuple(
                (*guide.layer.as_layer_data_tuple()[:2], guide.sequence)
                for guide in inputs.guides
                if guide.is_used and guide.layer is not None
            ),
            None if inputs.mask is None else inputs.mask.as_layer_data_tuple()[:2],
            inputs.options,
        )

    @property
    def frame(self) -> FloatArray:
        """Display frame for the results: that of the first guide, or of the maps without guides."""
        return LayerRecord.of(self.guides[0][1] if self.guides else self.maps[0][1]).frame

    @property
    def origin(self) -> dict[str, Any]:
        """Sidecar fields of the results: field strength and source files."""
        others = [attributes for _, attributes, _ in self.guides] + ([self.mask[1]] if self.mask else [])
        return origin_of([attributes for _, attributes, *_ in self.maps], others)

    def arguments(self) -> tuple[QuantitativeMaps, list[WeightedImage], Options]:
        """Maps, guides and options as `super_resolution_steps` takes them."""
        return as_maps(self._map_volumes()), [_guide(*guide) for guide in self.guides], self.options

    def mask_volume(self) -> Volume | None:
        """Mask layer on its own grid; None without one."""
        return None if self.mask is None else from_layer(*self.mask)

    def adapting(self) -> Snapshot:
        """The same with the option to adapt the network first."""
        return replace(self, options=replace(self.options, adapt=True))

    def notices(self) -> tuple[str, ...]:
        """Changes made to the maps before the run, one sentence each."""
        return map_notices(self._map_volumes())

    def _map_volumes(self) -> list[Volume]:
        return [as_map(from_layer(data, attributes), quantity, unit) for data, attributes, quantity, unit in self.maps]


def _map(choice: MapChoice, quantity: str) -> tuple[Any, dict[str, Any], str, str]:
    unit = choice.unit or unit_of(volume_of(choice.layer), quantity)[0]
    return (*choice.layer.as_layer_data_tuple()[:2], quantity, unit)


def _guide(data: Any, attributes: dict[str, Any], sequence: SignalModel | None) -> WeightedImage:
    guide = as_guide(from_layer(data, attributes))[0]
    return guide if guide.sequence == sequence else replace(guide, sequence=sequence, notices=())  # chosen by the user
