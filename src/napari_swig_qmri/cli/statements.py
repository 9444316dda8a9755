"""Sentences on maps and guides, for dry runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_swig_qmri.cli.contrast_options import settings_text
from napari_swig_qmri.data.inputs import MapFiles
from napari_swig_qmri.data.interpretation import quantity_of
from napari_swig_qmri.data.volumes import Volume, WeightedImage
from napari_swig_qmri.data.wording import size_text


def map_statements(given: MapFiles) -> list[str]:
    """Sentence on each map, and on their voxels."""
    sources = zip(given.maps.names, _by_quantity(given), strict=True)
    lines = [f"{name} from {volume.source}, in {_unit(volume)}." for name, volume in sources]
    lines += [f"T2* from {volume.source}, in {_unit(volume)}." for volume in given.t2star]
    shape = " × ".join(str(n) for n in given.maps.grid.shape)
    return [*lines, f"The maps have {shape} voxels of {size_text(given.maps.grid.voxel_size)} mm."]


def guide_statements(volumes: Sequence[Volume], guides: Iterable[WeightedImage]) -> list[str]:
    """Sentence on each guide with its sequence."""
    return [
        f"Guide {volume.source}: {settings_text(guide.sequence) if guide.sequence else 'sequence unknown'}."
        for volume, guide in zip(volumes, guides, strict=True)
    ]


def _by_quantity(given: MapFiles) -> list[Volume]:
    """Volumes in the order of the names of the maps."""
    return [volume for name in given.maps.names for volume in given.volumes if quantity_of(volume) == name]


def _unit(volume: Volume) -> str:
    unit = volume.file_unit or volume.unit
    return f"{unit} units" if unit == "arbitrary" else str(unit)
