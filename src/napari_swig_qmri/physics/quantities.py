"""The tissue quantities a map can hold: proton density and the two relaxation times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One mapped tissue quantity.

    The lower and upper bound, in `unit`, enclose every tissue; solvers never leave them.
    """

    name: str
    unit: str
    suffix: str  # BIDS suffix of a file that holds this map
    bounds: tuple[float, float]  # in `unit`
    colormap: str  # name known to cmap; ISMRM recommendation, doi 10.1002/mrm.30290


PD = Quantity(name="PD", unit="arbitrary", suffix="PDmap", bounds=(1e-3, 4.0), colormap="gray")
T1 = Quantity(name="T1", unit="s", suffix="T1map", bounds=(0.02, 8.0), colormap="crameri:lipari")
T2 = Quantity(name="T2", unit="s", suffix="T2map", bounds=(2e-3, 4.0), colormap="crameri:navia")

QUANTITIES = {quantity.name: quantity for quantity in (PD, T1, T2)}
