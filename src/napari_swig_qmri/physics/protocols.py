"""Mapping protocols by the name under which `maps_from` and the command line know them, with their usual settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_swig_qmri.physics.mapping import MappingProtocol
from napari_swig_qmri.physics.mapping_readouts import Mp2rage, Qalas
from napari_swig_qmri.physics.mapping_series import IrMese, IrSeries, Mdme, Mese, Mpm, Vfa
from napari_swig_qmri.physics.mupa_zte import MupaZte
from napari_swig_qmri.physics.sequence import settings_of

PROTOCOLS: dict[str, type[MappingProtocol]] = {
    "mupa-zte": MupaZte,
    "qalas": Qalas,
    "mdme": Mdme,
    "ir-mese": IrMese,
    "mp2rage": Mp2rage,
    "vfa": Vfa,
    "mpm": Mpm,
    "mese": Mese,
    "ir": IrSeries,
}


def protocol_from(name: str, settings: Mapping[str, Any]) -> MappingProtocol:
    """Protocol with its usual settings, except those given in s and rad by field name.

    Raises
    ------
    ValueError
        If there is no such protocol or setting, or a value is impossible.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"the protocol of maps must be one of {', '.join(PROTOCOLS)}, but it is {name!r}.")
    known = [each.name for each in settings_of(PROTOCOLS[name])]
    if unknown := [each for each in settings if each not in known]:
        raise ValueError(f"{PROTOCOLS[name].title} has no setting {unknown[0]!r}: they are {', '.join(known)}.")
    return PROTOCOLS[name](**settings)


def protocol_name(protocol: MappingProtocol) -> str:
    """Key in `PROTOCOLS` of a protocol; its title for a class of one's own."""
    return next((name for name, kind in PROTOCOLS.items() if type(protocol) is kind), protocol.title)
