"""Quantitative MRI super-resolution guided by weighted images.

The public names below are loaded when they are first used, so that importing the package costs
nothing and needs neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_swig_qmri.conversion import as_guide as as_guide
    from napari_swig_qmri.conversion import as_maps as as_maps
    from napari_swig_qmri.files import read_folder as read_folder
    from napari_swig_qmri.files import read_volume as read_volume
    from napari_swig_qmri.files import save_super_resolution as save_super_resolution
    from napari_swig_qmri.files import write_volume as write_volume
    from napari_swig_qmri.layers import from_layer as from_layer
    from napari_swig_qmri.layers import result_layers as result_layers
    from napari_swig_qmri.layers import to_layer_data as to_layer_data
    from napari_swig_qmri.metrics import evaluate as evaluate
    from napari_swig_qmri.metrics import hfen as hfen
    from napari_swig_qmri.metrics import ssim as ssim
    from napari_swig_qmri.metrics import tissue_errors as tissue_errors
    from napari_swig_qmri.operators import KSpaceTruncation as KSpaceTruncation
    from napari_swig_qmri.outlook import Preflight as Preflight
    from napari_swig_qmri.outlook import preflight as preflight
    from napari_swig_qmri.phantom import Phantom as Phantom
    from napari_swig_qmri.phantom import make_phantom as make_phantom
    from napari_swig_qmri.pipeline import super_resolve as super_resolve
    from napari_swig_qmri.quantities import QUANTITIES as QUANTITIES
    from napari_swig_qmri.results import Progress as Progress
    from napari_swig_qmri.results import SuperResolution as SuperResolution
    from napari_swig_qmri.signal_models import SEQUENCES as SEQUENCES
    from napari_swig_qmri.simulate import degrade as degrade
    from napari_swig_qmri.volumes import QuantitativeMaps as QuantitativeMaps
    from napari_swig_qmri.volumes import Volume as Volume
    from napari_swig_qmri.volumes import VoxelGrid as VoxelGrid
    from napari_swig_qmri.volumes import WeightedImage as WeightedImage

_NAMES_OF_MODULE = {
    "conversion": ("as_guide", "as_maps"),
    "files": ("read_folder", "read_volume", "save_super_resolution", "write_volume"),
    "layers": ("from_layer", "result_layers", "to_layer_data"),
    "metrics": ("evaluate", "hfen", "ssim", "tissue_errors"),
    "operators": ("KSpaceTruncation",),
    "phantom": ("Phantom", "make_phantom"),
    "pipeline": ("super_resolve",),
    "outlook": ("Preflight", "preflight"),
    "quantities": ("QUANTITIES",),
    "results": ("Progress", "SuperResolution"),
    "signal_models": ("SEQUENCES",),
    "simulate": ("degrade",),
    "volumes": ("QuantitativeMaps", "Volume", "VoxelGrid", "WeightedImage"),
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("napari-swig-qmri")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    if name in _MODULE_OF_NAME:
        return getattr(import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF_NAME, "__version__"])
