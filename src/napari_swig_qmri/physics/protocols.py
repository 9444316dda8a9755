"""Mapping protocols by the name under which `maps_from` and the command line know them, with their usual settings."""

from __future__ import annotations

from napari_swig_qmri.physics.mapping import MappingProtocol
from napari_swig_qmri.physics.mapping_readouts import Mp2rage, Qalas
from napari_swig_qmri.physics.mapping_series import IrMese, IrSeries, Mdme, Mese, Mpm, Vfa
from napari_swig_qmri.physics.mupa_zte import MupaZte

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
