"""Sample data of the plugin: a digital head, and a case to super-resolve."""

from __future__ import annotations

import importlib
import threading
from typing import Any

import numpy as np

from napari_swig_qmri._napari.layers import LayerData, to_layers
from napari_swig_qmri.data.interpretation import guide_volume, map_volumes
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.simulation.phantom import CLASSES, Extent, Phantom
from napari_swig_qmri.simulation.textured_head import make_textured_head

CEREBRUM: Extent = ((-84, 84), (-124, 92), (4, 60))  # mm; small enough to open and to super-resolve in seconds
CASE_NOISE = 0.02  # relative, of LR maps and guides
DEGRADATION = "napari_swig_qmri.simulation.degradation"  # needs torch, which is loaded while the head is made
CASE_GAINS = (812.0, 95.0, 400.0)  # scanner units per unit of signal


def phantom_1mm() -> list[LayerData]:
    """PD, T1, T2 and tissue labels of a whole head at 1 mm."""
    return phantom_layers(make_textured_head(1.0))


def phantom_2mm() -> list[LayerData]:
    """PD, T1, T2 and tissue labels of a whole head at 2 mm."""
    return phantom_layers(make_textured_head(2.0))


def low_resolution_case(extent: Extent = CEREBRUM) -> list[LayerData]:
    """PD, T1 and T2 at 2 mm with T1w, T2w and FLAIR guides at 1 mm, all with noise."""
    loading = threading.Thread(target=importlib.import_module, args=[DEGRADATION])
    loading.start()
    truth = make_textured_head(1.0, extent=extent)
    loading.join()
    from napari_swig_qmri.simulation.degradation import degrade  # not at the top: it loads torch

    lr_maps, guides = degrade(
        truth.maps,
        2,
        map_noise=CASE_NOISE,
        guide_noise=CASE_NOISE,
        gains=CASE_GAINS,
        domain="signals",
        generator=np.random.default_rng(0),
    )
    images = [guide_volume(guide, _sidecar(truth)) for guide in guides]
    return to_layers([*images, *map_volumes(lr_maps, "LR", _sidecar(truth))])


def phantom_layers(phantom: Phantom) -> list[LayerData]:
    """Maps of a head, with hidden labels on top."""
    names = ", ".join(f"{i} {name}" for i, name in enumerate(("air", *CLASSES)))
    labels = Volume(
        data=phantom.labels.astype(np.float32),
        grid=phantom.maps.grid,
        name="Tissue labels",
        suffix="dseg",
        notices=(f"Labels: {names}.",),
    )
    maps = map_volumes(phantom.maps, "phantom", _sidecar(phantom))
    return to_layers([*maps, labels])


def _sidecar(phantom: Phantom) -> dict[str, Any]:
    return {"MagneticFieldStrength": phantom.field_strength}
