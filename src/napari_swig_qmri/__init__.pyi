"""Public names, by the module that defines them. `__init__.py` loads each when it is first used."""

from ._napari.layers import from_layer as from_layer
from ._napari.layers import to_layer_data as to_layer_data
from ._napari.parts.view import show_radiologically as show_radiologically
from ._napari.result_layers import result_layers as result_layers
from ._napari.super_resolve.script import super_resolve_layers as super_resolve_layers
from .data.coercion import Guide as Guide
from .data.interpretation import as_guide as as_guide
from .data.interpretation import as_maps as as_maps
from .data.storage.files import read_folder as read_folder
from .data.storage.files import read_volume as read_volume
from .data.storage.files import write_volume as write_volume
from .data.truncation import KSpaceTruncation as KSpaceTruncation
from .data.volumes import (
    QuantitativeMaps as QuantitativeMaps,
)
from .data.volumes import (
    Volume as Volume,
)
from .data.volumes import (
    VoxelGrid as VoxelGrid,
)
from .data.volumes import (
    WeightedImage as WeightedImage,
)
from .evaluation.held_out import HeldOut as HeldOut
from .evaluation.held_out import hold_out as hold_out
from .evaluation.lesion_audit import LesionAudit as LesionAudit
from .evaluation.lesion_audit import audit_lesions as audit_lesions
from .evaluation.scores import evaluate as evaluate
from .evaluation.scores import tissue_errors as tissue_errors
from .metrics import hfen as hfen
from .metrics import ssim as ssim
from .physics.mapping import MappingProtocol as MappingProtocol
from .physics.mapping_readouts import Mp2rage as Mp2rage
from .physics.mapping_readouts import Qalas as Qalas
from .physics.mapping_series import IrMese as IrMese
from .physics.mapping_series import IrSeries as IrSeries
from .physics.mapping_series import Mdme as Mdme
from .physics.mapping_series import Mese as Mese
from .physics.mapping_series import Mpm as Mpm
from .physics.mapping_series import Vfa as Vfa
from .physics.mupa_zte import MupaZte as MupaZte
from .physics.quantities import QUANTITIES as QUANTITIES
from .physics.signal_models import (
    SEQUENCES as SEQUENCES,
)
from .physics.signal_models import (
    BalancedSsfp as BalancedSsfp,
)
from .physics.signal_models import (
    DoubleInversionRecovery as DoubleInversionRecovery,
)
from .physics.signal_models import (
    InversionRecovery as InversionRecovery,
)
from .physics.signal_models import (
    Mp2rageUni as Mp2rageUni,
)
from .physics.signal_models import (
    Mprage as Mprage,
)
from .physics.signal_models import (
    PhaseSensitiveInversionRecovery as PhaseSensitiveInversionRecovery,
)
from .physics.signal_models import (
    Spgr as Spgr,
)
from .physics.signal_models import (
    SpinEcho as SpinEcho,
)
from .physics.signal_models import (
    Stir as Stir,
)
from .physics.signal_models import (
    T2Flair as T2Flair,
)
from .physics.signal_models import (
    TurboSpinEcho as TurboSpinEcho,
)
from .progress import Progress as Progress
from .simulation.degradation import degrade as degrade
from .simulation.phantom import Phantom as Phantom
from .simulation.phantom import make_phantom as make_phantom
from .super_resolution.options import Options as Options
from .super_resolution.pipeline import super_resolution_steps as super_resolution_steps
from .super_resolution.pipeline import super_resolve as super_resolve
from .super_resolution.plan import RunPlan as RunPlan
from .super_resolution.plan import plan as plan
from .super_resolution.preflight import Preflight as Preflight
from .super_resolution.preflight import preflight as preflight
from .super_resolution.results import SuperResolution as SuperResolution
from .super_resolution.results import Verdict as Verdict
from .super_resolution.results import save_super_resolution as save_super_resolution
from .synthesis.lazy_contrast import lazy_contrast as lazy_contrast
from .synthesis.lazy_contrast import synthesise as synthesise
from .synthesis.rendering import Rendering as Rendering

__version__: str
