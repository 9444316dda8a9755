"""Super-resolution of quantitative MRI maps guided by weighted images.

Public names are loaded when they are first used, so that importing the package needs neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_swig_qmri._napari.layers import from_layer as from_layer
    from napari_swig_qmri._napari.layers import to_layer_data as to_layer_data
    from napari_swig_qmri._napari.result_layers import result_layers as result_layers
    from napari_swig_qmri.data.coercion import Guide as Guide
    from napari_swig_qmri.data.files import read_folder as read_folder
    from napari_swig_qmri.data.files import read_volume as read_volume
    from napari_swig_qmri.data.files import write_volume as write_volume
    from napari_swig_qmri.data.interpretation import as_guide as as_guide
    from napari_swig_qmri.data.interpretation import as_maps as as_maps
    from napari_swig_qmri.data.truncation import KSpaceTruncation as KSpaceTruncation
    from napari_swig_qmri.data.volumes import QuantitativeMaps as QuantitativeMaps
    from napari_swig_qmri.data.volumes import Volume as Volume
    from napari_swig_qmri.data.volumes import VoxelGrid as VoxelGrid
    from napari_swig_qmri.data.volumes import WeightedImage as WeightedImage
    from napari_swig_qmri.evaluation.scores import evaluate as evaluate
    from napari_swig_qmri.evaluation.scores import tissue_errors as tissue_errors
    from napari_swig_qmri.metrics import hfen as hfen
    from napari_swig_qmri.metrics import ssim as ssim
    from napari_swig_qmri.physics.mupa_zte import MupaZte as MupaZte
    from napari_swig_qmri.physics.quantities import QUANTITIES as QUANTITIES
    from napari_swig_qmri.physics.signal_models import SEQUENCES as SEQUENCES
    from napari_swig_qmri.physics.signal_models import BalancedSsfp as BalancedSsfp
    from napari_swig_qmri.physics.signal_models import DoubleInversionRecovery as DoubleInversionRecovery
    from napari_swig_qmri.physics.signal_models import InversionRecovery as InversionRecovery
    from napari_swig_qmri.physics.signal_models import Mp2rageUni as Mp2rageUni
    from napari_swig_qmri.physics.signal_models import Mprage as Mprage
    from napari_swig_qmri.physics.signal_models import (
        PhaseSensitiveInversionRecovery as PhaseSensitiveInversionRecovery,
    )
    from napari_swig_qmri.physics.signal_models import Spgr as Spgr
    from napari_swig_qmri.physics.signal_models import SpinEcho as SpinEcho
    from napari_swig_qmri.physics.signal_models import Stir as Stir
    from napari_swig_qmri.physics.signal_models import T2Flair as T2Flair
    from napari_swig_qmri.physics.signal_models import TurboSpinEcho as TurboSpinEcho
    from napari_swig_qmri.progress import Progress as Progress
    from napari_swig_qmri.simulation.degradation import degrade as degrade
    from napari_swig_qmri.simulation.phantom import Phantom as Phantom
    from napari_swig_qmri.simulation.phantom import make_phantom as make_phantom
    from napari_swig_qmri.super_resolution.options import Options as Options
    from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps as super_resolution_steps
    from napari_swig_qmri.super_resolution.pipeline import super_resolve as super_resolve
    from napari_swig_qmri.super_resolution.plan import RunPlan as RunPlan
    from napari_swig_qmri.super_resolution.plan import plan as plan
    from napari_swig_qmri.super_resolution.preflight import Preflight as Preflight
    from napari_swig_qmri.super_resolution.preflight import preflight as preflight
    from napari_swig_qmri.super_resolution.results import SuperResolution as SuperResolution
    from napari_swig_qmri.super_resolution.results import save_super_resolution as save_super_resolution
    from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast as lazy_contrast
    from napari_swig_qmri.synthesis.lazy_contrast import synthesise as synthesise
    from napari_swig_qmri.synthesis.rendering import Rendering as Rendering

_NAMES_OF_MODULE = {
    "_napari.layers": "from_layer to_layer_data",
    "_napari.result_layers": "result_layers",
    "data.coercion": "Guide",
    "data.files": "read_folder read_volume write_volume",
    "data.interpretation": "as_guide as_maps",
    "data.truncation": "KSpaceTruncation",
    "data.volumes": "QuantitativeMaps Volume VoxelGrid WeightedImage",
    "evaluation.scores": "evaluate tissue_errors",
    "metrics": "hfen ssim",
    "physics.mupa_zte": "MupaZte",
    "physics.quantities": "QUANTITIES",
    "physics.signal_models": "SEQUENCES BalancedSsfp DoubleInversionRecovery InversionRecovery Mp2rageUni Mprage "
    "PhaseSensitiveInversionRecovery Spgr SpinEcho Stir T2Flair TurboSpinEcho",
    "progress": "Progress",
    "simulation.degradation": "degrade",
    "simulation.phantom": "Phantom make_phantom",
    "super_resolution.options": "Options",
    "super_resolution.pipeline": "super_resolution_steps super_resolve",
    "super_resolution.plan": "RunPlan plan",
    "super_resolution.preflight": "Preflight preflight",
    "super_resolution.results": "SuperResolution save_super_resolution",
    "synthesis.lazy_contrast": "lazy_contrast synthesise",
    "synthesis.rendering": "Rendering",
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names.split()}

__all__ = sorted(_MODULE_OF_NAME)


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
    return __all__
