"""Tissue quantities that are mapped: proton density and the relaxation times T1 and T2."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A mapped tissue quantity.

    The values of every tissue lie within `bounds`, and solvers stay within them.
    """

    name: str
    unit: str
    suffix: str  # BIDS suffix of its map
    bounds: tuple[float, float]  # in `unit`
    colormap: str  # name in the cmap package; ISMRM recommendation, doi 10.1002/mrm.30290


PD = Quantity(name="PD", unit="arbitrary", suffix="PDmap", bounds=(1e-3, 4.0), colormap="gray")
T1 = Quantity(name="T1", unit="s", suffix="T1map", bounds=(0.02, 8.0), colormap="crameri:lipari")
T2 = Quantity(name="T2", unit="s", suffix="T2map", bounds=(2e-3, 4.0), colormap="crameri:navia")

QUANTITIES = {quantity.name: quantity for quantity in (PD, T1, T2)}
