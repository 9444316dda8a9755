"""Maps from which contrasts are computed, and which of them a contrast needs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, VoxelGrid
from napari_swig_qmri.data.wording import joined
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel


@dataclass(frozen=True, eq=False, kw_only=True)
class ContrastMaps:
    """Any of PD, T1 and T2, and T2* and the transmit field if they are known, all on one grid."""

    maps: QuantitativeMaps
    t2star: FloatArray | None = None  # (x, y, z) in s
    transmit_field: FloatArray | None = None  # (x, y, z), B1+ as a fraction of the nominal one
    transmit_map: str = ""  # name of the file or layer of the transmit field, for the sidecar

    @property
    def grid(self) -> VoxelGrid:
        """Grid of all maps."""
        return self.maps.grid

    @property
    def arrays(self) -> dict[str, FloatArray]:
        """Given maps ``(x, y, z)`` by name: PD, T1, T2 and T2*."""
        t2star = {} if self.t2star is None else {"T2*": self.t2star}
        return {name: self.maps[name] for name in self.maps.names} | t2star


def for_sequence(maps: ContrastMaps, sequence: Contrast) -> ContrastMaps:
    """The same maps, without the transmit field if the contrast is a typed equation, which has no pulses."""
    return maps if isinstance(sequence, SignalModel) else replace(maps, transmit_field=None, transmit_map="")


def missing_maps(sequence: Contrast, given: Collection[str]) -> tuple[str, ...]:
    """Names of the maps that a contrast needs and that are not among `given`; T2 can replace T2*."""
    replaced = {"T2*"} if "T2" in given else set()
    return tuple(name for name in sequence.maps_in_use if name not in given and name not in replaced)


def require_maps(sequence: Contrast, given: Collection[str]) -> None:
    """Raise a ValueError if a map that a contrast needs is missing; it lists the sequences that need no other map."""
    missing = missing_maps(sequence, given)
    if not missing:
        return
    needed = joined([name.replace("T2*", "T2* or T2") for name in missing])
    possible = [kind.title for kind in SEQUENCES.values() if not missing_maps(kind.from_typical(), given)]
    alternative = f", or choose {joined(possible, 'or')}" if possible else ""
    them = "it" if len(missing) == 1 else "them"
    raise ValueError(f"{sequence.title} needs {needed} besides {joined(given)}: open {them}{alternative}.")
