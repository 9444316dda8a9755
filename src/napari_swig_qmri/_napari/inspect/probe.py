"""PD, T1, T2, T2*, their standard errors and where they come from at a position in a viewer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from nibabel.affines import apply_affine

from napari_swig_qmri._napari.parts.layer_choice import map_of
from napari_swig_qmri._napari.parts.map_sets import Source
from napari_swig_qmri._napari.parts.transmit_layers import contrast_maps_of
from napari_swig_qmri._napari.parts.viewer_layers import facts_of, image_layers, volume_of
from napari_swig_qmri._napari.placement import SPACE_AXES, scanner_position
from napari_swig_qmri._napari.records import LayerRecord
from napari_swig_qmri.data.interpretation import moved_to
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, Volume
from napari_swig_qmri.super_resolution.map_evidence import LR_MAPS
from napari_swig_qmri.synthesis.curves import TissueValues

STANDARD_ERROR = r"\b{name}\b.*\bstandard error\b"  # pattern of layer names
IN_MS = re.compile(r"\(ms\)")


@dataclass(frozen=True, eq=False)
class Probe:
    """Maps to read voxel by voxel, with their display frame and standard errors."""

    maps: QuantitativeMaps
    frame: FloatArray  # display frame (4, 4) of the maps
    t2star: FloatArray | None = None  # in s
    errors: Mapping[str, FloatArray] = field(
        default_factory=dict
    )  # standard errors by quantity, in the unit of the maps
    shares: Mapping[str, FloatArray] = field(default_factory=dict)  # of the LR maps by quantity, in percent

    def position(self, shown: Sequence[float]) -> FloatArray:
        """Scanner position (3,) in mm of a position in the viewer."""
        return scanner_position(shown, self.frame)

    def shown(self, position: FloatArray) -> FloatArray:
        """Position (S, A, R) in mm in the viewer of a scanner position."""
        shown: FloatArray = apply_affine(self.frame, position)[::-1]
        return shown

    def voxel(self, position: FloatArray) -> tuple[int, int, int] | None:
        """Voxel at a scanner position in mm; None outside the maps."""
        x, y, z = (int(i) for i in np.rint(apply_affine(np.linalg.inv(self.maps.grid.affine), position)))
        inside = all(0 <= i < n for i, n in zip((x, y, z), self.maps.grid.shape, strict=True))
        return (x, y, z) if inside else None

    def tissue(self, voxel: tuple[int, int, int], name: str) -> TissueValues:
        """PD, T1 and T2 of a voxel, and T2* if there is a T2* map."""
        pd, t1, t2 = (float(self.maps[quantity][voxel]) for quantity in ("PD", "T1", "T2"))
        t2star = None if self.t2star is None else float(self.t2star[voxel])
        return TissueValues(name=name, pd=pd, t1=t1, t2=t2, t2star=t2star)

    def standard_errors(self, voxel: tuple[int, int, int]) -> dict[str, float]:
        """Finite standard errors of a voxel by quantity, in the unit of the maps."""
        errors = {name: float(values[voxel]) for name, values in self.errors.items()}
        return {name: error for name, error in errors.items() if math.isfinite(error)}

    def evidence_text(self, voxel: tuple[int, int, int]) -> str:
        """How much of each map of a voxel comes from the LR maps, as a line; empty if it is not known."""
        shares = ", ".join(f"{name} {float(values[voxel]):.0f} %" for name, values in self.shares.items())
        return f"\nFrom the {LR_MAPS}: {shares}" if shares else ""


def place_text(position: FloatArray) -> str:
    """Scanner position (x, y, z), with its axes in the order in which napari's status bar shows them."""
    return ", ".join(f"{axis} {mm:.1f}" for axis, mm in zip(SPACE_AXES, position[::-1], strict=True)) + " mm"


def probe_of(source: Source, viewer: ViewerModel) -> Probe:
    """Maps of a source, with the standard errors and evidence among the layers of a viewer on the same grid."""
    contrast_maps = contrast_maps_of(source.layers)
    maps = contrast_maps.maps
    frame = LayerRecord.of(source.layers["T1"]).frame
    others = [layer for layer in image_layers(viewer) if layer not in source.layers.values()]
    errors, shares = {}, {}
    for name in maps.names:
        if (layer := error_layer(name, source.layers[name], others)) is not None:
            errors[name] = moved_to(error_volume(layer), maps.grid).data
        if (layer := _beside(source.layers[name], others, f"{name}evidence")) is not None:
            shares[name] = moved_to(volume_of(layer), maps.grid).data
    return Probe(maps, frame, contrast_maps.t2star, errors, shares)


def error_layer(name: str, of: Image, layers: Sequence[Image]) -> Image | None:
    """Layer on the grid of a map of a quantity that is the standard error of the map, by its kind or its name."""
    return _beside(of, layers, f"{name}error", re.compile(STANDARD_ERROR.format(name=name), re.IGNORECASE))


def errors_beside(layer: Image, viewer: ViewerModel) -> Callable[[], Volume] | None:
    """Reads the standard errors of a super-resolved map that a layer shows; None if they are not in the viewer."""
    facts = facts_of(layer)
    name = map_of(facts)
    found = error_layer(name, layer, image_layers(viewer)) if name and facts.is_synthetic else None
    return None if found is None else partial(error_volume, found)


def error_volume(layer: Image) -> Volume:
    """Standard errors of a layer in the unit of maps."""
    volume = volume_of(layer)
    in_ms = volume.unit is None and IN_MS.search(layer.name)
    return replace(volume, data=volume.data / 1e3) if in_ms else volume


def _beside(of: Image, layers: Sequence[Image], suffix: str, name: re.Pattern[str] | None = None) -> Image | None:
    """Layer on the grid of a map with a suffix, of the same run first, else with a name."""
    place = facts_of(of)
    there = [(each, facts_of(each)) for each in layers]
    there = [(each, facts) for each, facts in there if (facts.shape, facts.position) == (place.shape, place.position)]
    fitting = [(facts.run != place.run, each) for each, facts in there if facts.suffix == suffix]
    if fitting:
        return min(fitting, key=lambda pair: pair[0])[1]
    return next((each for each, _ in there if name is not None and name.search(each.name)), None)
