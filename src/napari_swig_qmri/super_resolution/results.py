"""What a super-resolution run reports while it works and returns when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.data.bids import RESULTS, find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.files import (
    UNKNOWN,
    check_folder,
    check_free,
    describe_dataset,
    ignore_in_dataset,
    write_volume,
)
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, SOFTWARE, generated_by, relative_path, version_of
from napari_swig_qmri.data.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume

if TYPE_CHECKING:
    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, WeightedImage


@dataclass(frozen=True, eq=False, kw_only=True)
class SuperResolution:
    """Super-resolved maps with everything needed to judge, show and save them."""

    maps: QuantitativeMaps  # on the HR grid
    guides: tuple[WeightedImage, ...]  # acquired, on the HR grid, scanner units
    synthesised: tuple[WeightedImage, ...]  # from `maps`, same order, gain applied (scanner units)
    lr_residual: QuantitativeMaps  # measured LR maps minus truncated SR maps, LR grid
    lr_maps: QuantitativeMaps  # the measured maps as the solver saw them
    conflict: FloatArray | None = None  # (x, y, z) on the HR grid, 0 = guides and LR maps agree, 1 = LR maps followed
    gains: tuple[float, ...] = ()  # scanner units per unit of PD, one per guide
    notices: tuple[str, ...] = ()  # what was assumed, repaired or left out, one sentence each
    parameters: Mapping[str, Any]  # every setting of the run, JSON-ready

    @property
    def guide_residuals(self) -> tuple[FloatArray, ...]:
        """Acquired minus synthesised, one ``(x, y, z)`` array per guide."""
        return tuple(g.data - s.data for g, s in zip(self.guides, self.synthesised, strict=True))


def residual_volumes(result: SuperResolution) -> list[Volume]:
    """Acquired minus synthesised guides, then measured minus truncated SR maps."""
    sidecar = provenance(result)
    guides = [
        Volume(data=data, grid=g.grid, name=f"{g.name} residual", suffix="residual", sidecar=sidecar)
        for g, data in zip(result.guides, result.guide_residuals, strict=True)
    ]
    maps = map_volumes(result.lr_residual, "LR residual", sidecar)
    return [*guides, *(replace(v, suffix=v.suffix.replace("map", "residual")) for v in maps if v.suffix)]


def conflict_volume(result: SuperResolution) -> Volume | None:
    """Where the LR maps were followed against the guides, 0 to 1."""
    if result.conflict is None:
        return None
    sidecar, grid = provenance(result), result.maps.grid
    return Volume(data=result.conflict, grid=grid, name="Conflict", suffix="conflict", sidecar=sidecar)


def synthesised_volumes(result: SuperResolution) -> list[Volume]:
    """The guides as the SR maps predict them, with the settings of their sequences."""
    return [
        Volume(
            data=image.data,
            grid=image.grid,
            name=f"{image.name} synthesised",
            suffix=find_suffix(Evidence(stem=image.name))[0],
            sidecar=(to_sidecar(image.sequence) if image.sequence else {}) | provenance(result),
        )
        for image in result.synthesised
    ]


def provenance(result: SuperResolution) -> dict[str, Any]:
    """What a super-resolved layer or file says about itself."""
    return {
        "Notice": RESEARCH_NOTICE,
        "GeneratedBy": [generated_by()],
        "PackageVersions": {name: version_of(name) for name in SOFTWARE},
        "Parameters": dict(result.parameters),
        "Guides": [guide.name for guide in result.guides],
        "Gains": list(result.gains),
        "Assumed": assumptions(result),
    }


def assumptions(result: SuperResolution) -> list[str]:
    """What was assumed about the guides and in the run, one sentence each."""
    return [*(notice for guide in result.guides for notice in guide.notices), *result.notices]


def save_super_resolution(
    result: SuperResolution,
    folder: str | Path,
    stem: str | None = None,
    overwrite: bool = False,
    sources: Sequence[str | Path] = (),
    field_strength: float | None = None,
) -> list[Path]:
    """Save a run as a BIDS derivative dataset; the paths written, the SR maps first.

    `stem` is the beginning of all file names, ``sub-01`` or ``sub-01_ses-02``; by default subject and session of the
    first of `sources` whose name tells them, else ``sub-01``. Files of a subject lie in its ``anat`` folder. The
    synthesised guides, LR residuals and the conflict map are saved beside the maps.
    Their sidecars name the files in `sources` and the field strength of the measured maps, in T, if known.
    """
    folder = Path(folder)
    check_folder(folder)
    _check_values(result)
    stem = _stem_of(sources) if stem is None else stem
    volumes = dict(_result_volumes(result, stem))
    subject = [part for part in stem.split("_") if part.startswith(("sub-", "ses-"))]
    place = folder.joinpath(*subject, "anat") if subject else folder
    targets = [place / name for name in volumes]
    check_free(targets, overwrite, "pass overwrite=True")
    place.mkdir(parents=True, exist_ok=True)
    origin: dict[str, Any] = {"Sources": [relative_path(source, place) for source in sources]} if sources else {}
    if field_strength is not None:
        origin["MagneticFieldStrength"] = field_strength
    written = []
    for target, volume in zip(targets, volumes.values(), strict=True):
        written += write_volume(replace(volume, sidecar={**volume.sidecar, **origin}), target, overwrite)
    written += describe_dataset(folder, "Super-resolved quantitative maps")
    return [*written, *ignore_in_dataset(folder, [f"*_{kind}.*" for kind in (*RESULTS, UNKNOWN)])]


def _stem_of(sources: Sequence[str | Path]) -> str:
    """Subject and session of the first file whose name tells them."""
    for source in sources:
        parts = Path(source).name.split(".")[0].split("_")
        if any(part.startswith("sub-") for part in parts):
            return "_".join(part for part in parts if part.startswith(("sub-", "ses-")))
    return "sub-01"


def _result_volumes(result: SuperResolution, stem: str) -> list[tuple[str, Volume]]:
    """File names and volumes of everything a run leaves, the SR maps first."""
    maps = map_volumes(result.maps, "SR", provenance(result))
    named = [(f"{stem}_desc-swig_{volume.suffix}.nii.gz", volume) for volume in maps]
    for index, volume in enumerate(synthesised_volumes(result), start=1):
        kinds = [other.suffix for other in synthesised_volumes(result)]
        number = "" if kinds.count(volume.suffix) == 1 else str(index)
        named.append((f"{stem}_desc-swigsynth{number}_{volume.suffix or UNKNOWN}.nii.gz", volume))
    extra = [v for v in (*residual_volumes(result), conflict_volume(result)) if v and v.suffix != "residual"]
    return [*named, *((f"{stem}_desc-swig_{volume.suffix}.nii.gz", volume) for volume in extra)]


def _check_values(result: SuperResolution) -> None:
    """ValueError if a map of a result holds no number at all."""
    empty = [name for name in result.maps.names if not np.isfinite(result.maps[name]).any()]
    if empty:
        raise ValueError(
            f"the super-resolved {' and '.join(empty)} hold no finite value, so nothing was saved: check the units of "
            "the maps and the sequences of the guides."
        )
