"""What LR maps are averages of: HR maps, or the signals of a protocol that they were fitted to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.protocols import PROTOCOLS
from napari_swig_qmri.physics.quantities import QUANTITIES
from napari_swig_qmri.super_resolution.observations.lr_signals import LrSignals, lr_signals
from napari_swig_qmri.super_resolution.options import AVERAGED, UNKNOWN, Options

if TYPE_CHECKING:
    from torch import Tensor

    from napari_swig_qmri.data.volumes import QuantitativeMaps
    from napari_swig_qmri.physics.mapping import MappingProtocol


LATER = 0.015  # s between two echoes that tell T2* apart, half a usual train of echoes
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
    if options.protocol is not None and (unlike := _difference(options.protocol, maps)):
        raise ValueError(f"{unlike}: choose another value of `maps_from`, such as {UNKNOWN}.")
    if options.maps_from == AVERAGED or options.method == "regression":
        return None, ()
    if options.maps_from == UNKNOWN:
        if set(maps.names) != set(QUANTITIES):
            return None, (f"Signals of an unknown protocol need PD, T1 and T2: {AS_AVERAGES}.",)
        return lr_signals(UNKNOWN, dtype=dtype), ()
    if options.protocol is not None:
        return _signals_of(options.protocol, maps, dtype), ()
    return _by_files(maps, dtype)


def _by_files(maps: QuantitativeMaps, dtype: torch.dtype) -> tuple[LrSignals | None, tuple[str, ...]]:
    """Signals of the protocol that the files of the maps name."""
    if maps.protocol is None:  # the data do not decide yet
        return None, ()
    protocol = PROTOCOLS[maps.protocol]()
    how = "otherwise name another one, or its settings, with `maps_from`"
    if unlike := _difference(protocol, maps):
        return None, (f"{unlike}: {AS_AVERAGES}; {how}.",)
    told = f"The files name {protocol.title}: the signals of its usual settings are compared with those of the maps"
    return _signals_of(protocol, maps, dtype), (f"{told}; {how}.",)


def _signals_of(protocol: MappingProtocol, maps: QuantitativeMaps, dtype: torch.dtype) -> LrSignals:
    """Signals of a protocol; if T2* was measured beside its quantities, also of its images at a later echo."""
    if not maps.is_t2_star:
        return lr_signals(protocol, dtype=dtype)

    def at_two_echoes(pd: Tensor, t1: Tensor, t2_star: Tensor) -> Tensor:
        first = protocol(pd, t1, t2_star)
        return torch.cat([first, first * (-LATER / t2_star).exp()])

    return replace(lr_signals(at_two_echoes, dtype=dtype), name=protocol.title)


def _difference(protocol: MappingProtocol, maps: QuantitativeMaps) -> str:
    """Clause on quantities that either the protocol or the maps lack, but for T2*; empty if they are the same."""
    if set(maps.titles) - {"T2*"} == set(protocol.measured):
        return ""
    return f"{protocol.title} measures {joined(protocol.measured)}, but the maps are {joined(maps.titles)}"
