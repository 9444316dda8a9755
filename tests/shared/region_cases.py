"""Images that the tests of the region table share."""

from __future__ import annotations

from typing import Any

from widget_cases import HR, LR, lr_maps, make_guide, make_map

from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.evaluation.regions import RegionSource


def source(volume: Volume, kind: str, **more: Any) -> RegionSource:
    """An image to measure."""
    return RegionSource(name=volume.name, read=lambda: volume, kind=kind, **more)


SOURCES = [
    source(make_map("T1map", name="T1"), "T1"),
    source(make_map("T2map", name="T2"), "T2"),
    source(make_map("T1map", HR, name="T1 SR"), "T1", is_synthetic=True),
    source(make_guide("T1w", name="T1w"), "T1w"),
    source(make_guide("T1w", name="T1w synthetic"), "", is_synthetic=True),
    source(Volume(data=1 / lr_maps()["T1"], grid=LR, name="R1", suffix="R1map", unit="1/s"), "T1"),
]
