"""Signal equations of all sequences, by the name under which the command line and presets know them.

Each sequence is a frozen dataclass that holds its acquisition parameters and is called with maps. Times are in s,
angles in rad. An equation takes PD (any unit), T1, T2 and, for gradient echoes, T2* as tensors that broadcast against
each other, times in s and > 0, and returns the signal in the unit of PD.

In docstrings E(t) = exp(-t/T1), and eta is the inversion efficiency: an inversion turns M into -eta M. Pulses are
ideal (no slice profile or magnetisation transfer; `SignalModel.signed` takes a transmit field), and transverse
magnetisation is spoiled before every excitation, except in balanced SSFP.

Sources: McRobbie, MRI from Picture to Proton (spin echoes, gradient echoes, inversion recovery); Tofts 2009
(incomplete inversion); Marques et al. 2010 (MPRAGE, MP2RAGE); Weigel 2015 (refocusing below 180 degrees, `epg`).
"""

from __future__ import annotations

from napari_swig_qmri.physics.gradient_echoes import BalancedSsfp, Mp2rageUni, Mprage, Spgr
from napari_swig_qmri.physics.inversion_recovery import (
    DoubleInversionRecovery,
    InversionRecovery,
    InversionTurboSpinEcho,
    PhaseSensitiveInversionRecovery,
    Stir,
    T2Flair,
    nulling_inversion_time,
)
from napari_swig_qmri.physics.sequence import SignalModel
from napari_swig_qmri.physics.spin_echoes import SpinEcho, TurboSpinEcho

__all__ = [
    "SEQUENCES",
    "BalancedSsfp",
    "DoubleInversionRecovery",
    "InversionRecovery",
    "InversionTurboSpinEcho",
    "Mp2rageUni",
    "Mprage",
    "PhaseSensitiveInversionRecovery",
    "SignalModel",
    "Spgr",
    "SpinEcho",
    "Stir",
    "T2Flair",
    "TurboSpinEcho",
    "nulling_inversion_time",
]

SEQUENCES: dict[str, type[SignalModel]] = {
    "spin-echo": SpinEcho,
    "tse": TurboSpinEcho,
    "ir-se": InversionRecovery,
    "psir": PhaseSensitiveInversionRecovery,
    "t2-flair": T2Flair,
    "stir": Stir,
    "dir": DoubleInversionRecovery,
    "spgr": Spgr,
    "mprage": Mprage,
    "mp2rage-uni": Mp2rageUni,
    "bssfp": BalancedSsfp,
}
