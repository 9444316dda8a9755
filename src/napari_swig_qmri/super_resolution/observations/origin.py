"""What LR maps are averages of: HR maps, or the signals of a protocol that they were fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.observations.lr_signals import LrSignals, lr_signals
from napari_swig_qmri.super_resolution.options import AVERAGED, UNKNOWN, Options

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import QuantitativeMaps
    from napari_swig_qmri.physics.mapping import MappingProtocol


AS_AVERAGES = "the maps are taken as averages of the finer ones"


def signals_of_maps(options: Options, maps: QuantitativeMaps) -> tuple[LrSignals | None, tuple[str, ...]]:
    """Signals that LR maps were fitted to, and a sentence if their files name the protocol.

    None if LR maps are averages of HR maps, and for regression alone, which compares maps. The table of the signals is
    on the CPU.

    Raises
    ------
    ValueError
        If the options name a protocol that measures other quantities than the maps.
    """
    dtype = getattr(torch, options.dtype)
    if options.protocol is not None and (unlike := _difference(options.protocol, maps.names)):
        raise ValueError(f"{unlike}: choose another value of `maps_from`, such as {UNKNOWN}.")
    if options.maps_from == AVERAGED or options.method == "regression":
        return None, ()
    if options.maps_from == UNKNOWN:
        if set(maps.names) != set(QUANTITIES):
            return None, (f"Signals of an unknown protocol need PD, T1 and T2: {AS_AVERAGES}.",)
        return lr_signals(UNKNOWN, dtype=dtype), ()
    if options.protocol is not None:
        return lr_signals(options.protocol, dtype=dtype), ()
    return _by_files(maps, dtype)


def _by_files(maps: QuantitativeMaps, dtype: torch.dtype) -> tuple[LrSignals | None, tuple[str, ...]]:
    """Signals of the protocol that the files of the maps name."""
    if maps.protocol is None:  # the data do not decide yet
        return None, ()
    protocol = PROTOCOLS[maps.protocol]()
    how = "otherwise name another one, or its settings, with `maps_from`"
    if unlike := _difference(protocol, maps.names):
        return None, (f"{unlike}: {AS_AVERAGES}; {how}.",)
    told = f"The files name {protocol.title}: the signals of its usual settings are compared with those of the maps"
    return lr_signals(maps.protocol, dtype=dtype), (f"{told}; {how}.",)


def _difference(protocol: MappingProtocol, names: tuple[str, ...]) -> str:
    """Clause on quantities that either the protocol or the maps lack; empty if they are the same."""
    if set(names) == set(protocol.measured):
        return ""
    return f"{protocol.title} measures {joined(protocol.measured)}, but the maps are {joined(names)}"
