"""The layers of a super-resolution result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_swig_qmri._napari.display import appearance, contrast_limits
from napari_swig_qmri._napari.layers import LayerData, hidden, to_layer_data
from napari_swig_qmri._napari.placement import display_frame
from napari_swig_qmri._napari.records import LayerRecord, with_record
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.recognition.sidecars import field_strength_of
from napari_swig_qmri.data.volumes import FloatArray, Volume
from napari_swig_qmri.physics.weighting import model_label, weighting_of
from napari_swig_qmri.super_resolution.results import (
    SuperResolution,
    conflict_volume,
    error_volumes,
    evidence_volumes,
    map_volumes_of,
    residual_volumes,
)
from napari_swig_qmri.super_resolution.weights import DEFAULT_WEIGHTS


def result_layers(
    result: SuperResolution,
    frame: FloatArray | None = None,
    origin: Mapping[str, Any] | None = None,
) -> list[LayerData]:
    """Return the layers of a result in one display frame, the SR maps last and on top.

    Residuals, the conflict, standard errors and evidence are hidden. The SR maps have the contrast limits of the LR
    maps. The metadata name the model (`result_label`).

    Parameters
    ----------
    result
        Result of a run.
    frame
        Display frame ``(4, 4)``, as of `shared_frame`. By default that of the HR grid.
    origin
        Entries for every sidecar, as of `origin_of`.

    Returns
    -------
    list of tuple
        Data, attributes and type of each layer, for ``Layer.create`` of napari.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, result_layers, super_resolve
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> result = super_resolve(maps, guides[:1], Options(method="regression"))
    >>> [attributes["name"] for _, attributes, _ in result_layers(result)][-3:]
    ['PD SR', 'T1 SR (ms)', 'T2 SR (ms)']
    """
    origin = origin or {}
    frame = display_frame(result.maps.grid) if frame is None else frame
    conflict = conflict_volume(result)
    diagnostics = [
        *residual_volumes(result),
        *([conflict] if conflict else []),
        *error_volumes(result),
        *evidence_volumes(result),
    ]
    layers = [hidden(to_layer_data(_with_origin(volume, origin), frame)) for volume in diagnostics]
    measured = {volume.suffix: volume for volume in map_volumes(result.lr_maps, "LR", origin)}
    for volume in map_volumes_of(result):
        data, attributes, kind = to_layer_data(_with_origin(volume, origin), frame)
        limits = contrast_limits(measured.get(volume.suffix, volume))
        layers.append((data, attributes | appearance(volume, limits), kind))
    return [_labelled(layer, result_label(result)) for layer in layers]


def result_label(result: SuperResolution, *, with_model: bool = True) -> str:
    """Guides and method of a result, as ``M_12 (T1w + T2w), network, adapted``; with the weights unless default.

    Without the name of the model, ``T1w + T2w, network, adapted``.
    """
    contrasts = [weighting_of(guide.sequence, guide.name) for guide in result.guides]
    label = model_label(contrasts) if with_model or not contrasts else " + ".join(contrasts)
    words = [label, str(result.parameters["method"])]
    weights = result.parameters.get("weights")
    if weights is not None and weights["name"] != DEFAULT_WEIGHTS:
        words.append(Path(weights["name"]).name)
    if result.parameters.get("adapted") is not None:
        words.append("adapted")
    return ", ".join(words)


def origin_of(maps: Iterable[Any], others: Iterable[Any] = ()) -> dict[str, Any]:
    """Sidecar fields of results: the field strength of the maps, and the files of all layers as sources.

    A computed layer that was not saved yet is replaced by its own sources. Layers may be given as their attributes.
    """
    of_maps = [LayerRecord.of(layer).volume for layer in maps]
    volumes = [*of_maps, *(LayerRecord.of(layer).volume for layer in others)]
    field_strength = field_strength_of(*(volume.sidecar for volume in of_maps))
    paths = list(dict.fromkeys(path for volume in volumes for path in _source_files(volume)))
    strength = {} if field_strength is None else {"MagneticFieldStrength": field_strength}
    return strength | ({"Sources": paths} if paths else {})


def _source_files(volume: Volume) -> list[str]:
    """File of a volume; if it has none, the files of its sources."""
    if volume.path:
        return [str(Path(volume.path).absolute())]
    sources = volume.sidecar.get("Sources")
    return [source for source in sources if isinstance(source, str)] if isinstance(sources, list) else []


def _with_origin(volume: Volume, origin: Mapping[str, Any]) -> Volume:
    return replace(volume, sidecar={**volume.sidecar, **origin})


def _labelled(layer: LayerData, label: str) -> LayerData:
    """The same layer with the guides and the method of the run in its record."""
    data, attributes, kind = layer
    return data, {**attributes, "metadata": with_record(attributes["metadata"], model=label)}, kind
