"""The layers of a super-resolution result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_swig_qmri._napari.display import appearance, contrast_limits
from napari_swig_qmri._napari.layers import METADATA_KEY, hidden, to_layer_data
from napari_swig_qmri._napari.placement import display_frame
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.sidecars import field_strength_of
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.physics.weighting import contrast_of, model_label
from napari_swig_qmri.super_resolution.results import conflict_volume, provenance, residual_volumes
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from napari_swig_qmri._napari.layers import LayerData
    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.super_resolution.results import SuperResolution

MODEL_KEY = "swig_model"  # metadata of result layers: guides and method that made them


def result_layers(
    result: SuperResolution,
    frame: FloatArray | None = None,
    origin: Mapping[str, Any] | None = None,
) -> list[LayerData]:
    """Layers of a run in one display frame (default: that of the HR grid), the maps last and on top.

    Residuals and the conflict are there but hidden. The super-resolved maps are shown between the limits of the
    measured ones. `origin`, as of `origin_of`, goes into every sidecar; metadata name the model (`result_label`).
    """
    origin = origin or {}
    frame = display_frame(result.maps.grid) if frame is None else frame
    conflict = conflict_volume(result)
    beside = [*residual_volumes(result), *([conflict] if conflict else [])]
    layers = [hidden(to_layer_data(_with_origin(volume, origin), frame)) for volume in beside]
    measured = map_volumes(result.lr_maps, "LR", origin)
    super_resolved = map_volumes(result.maps, "SR", {**provenance(result), **origin})
    for volume, lr_map in zip(super_resolved, measured, strict=True):
        data, attributes, kind = to_layer_data(volume, frame)
        layers.append((data, attributes | appearance(volume, contrast_limits(lr_map)), kind))
    return [_labelled(layer, result_label(result)) for layer in layers]


def result_label(result: SuperResolution) -> str:
    """Which guides and method made a result: ``M_12 (T1w + T2w), network, adapted``.

    Weights are named where they are not the usual ones.
    """
    model = model_label([contrast_of(guide.sequence, guide.name) for guide in result.guides])
    words = [model, str(result.parameters["method"])]
    weights = result.parameters.get("weights")
    if weights is not None and weights["name"] != DEFAULT_WEIGHTS:
        words.append(Path(weights["name"]).name)
    if result.parameters.get("adapted") is not None:
        words.append("adapted")
    return ", ".join(words)


def origin_of(maps: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """What results say of the layers they are made of: the field strength of the maps, and the files of all.

    A layer that was computed and not saved yet stands for the files that it was made of itself.
    """
    records = [attributes.get("metadata", {}).get(METADATA_KEY, {}) for attributes in (*maps, *others)]
    field_strength = field_strength_of(*(record.get("sidecar", {}) for record in records[: len(maps)]))
    paths = list(dict.fromkeys(path for record in records for path in _files_behind(record)))
    strength = {} if field_strength is None else {"MagneticFieldStrength": field_strength}
    return strength | ({"Sources": paths} if paths else {})


def _files_behind(record: Mapping[str, Any]) -> list[str]:
    """The file of a layer, else those it was made of."""
    if record.get("path"):
        return [str(Path(record["path"]).absolute())]
    sources = record.get("sidecar", {}).get("Sources")
    return [source for source in sources if isinstance(source, str)] if isinstance(sources, list) else []


def _with_origin(volume: Volume, origin: Mapping[str, Any]) -> Volume:
    return replace(volume, sidecar={**volume.sidecar, **origin})


def _labelled(layer: LayerData, label: str) -> LayerData:
    data, attributes, kind = layer
    return data, {**attributes, "metadata": {**attributes["metadata"], MODEL_KEY: label}}, kind
