"""The result of a super-resolution run, and how it is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, SOFTWARE, made_here, relative_sources, version_of
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.recognition.suffixes import ERROR_DESCRIPTION, RESULTS
from napari_swig_qmri.data.storage.files import UNKNOWN, describe_dataset, ignore_in_dataset, write_volumes
from napari_swig_qmri.data.storage.output import check_free, check_output
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps, Volume, WeightedImage
from napari_swig_qmri.super_resolution.map_evidence import LR_MAPS, MapEvidence

NOT_MEASURED = "not measured, estimated from the guides and the usual values of tissue"
STANDARD_ERROR = "Standard error of the super-resolved map, in its unit, calibrated on simulated subjects"
EVIDENCE = "Share of the measured map in the super-resolved one, averaged over a voxel of the former, in percent"
REPORT = "report.html"  # name of the page on a run
GOOD, LOOK, DO_NOT_USE = "good", "look", "do not use"  # verdicts


@dataclass(frozen=True)
class Verdict:
    """Whether the maps of a run can be used.

    Parameters
    ----------
    word
        ``"good"``: nothing speaks against the maps; ``"look"``: look at what the reasons name before you use them;
        ``"do not use"``: a map is probably worse than interpolation.
    reasons
        One sentence each; none if `word` is ``"good"``.

    Examples
    --------
    >>> from napari_swig_qmri import Verdict
    >>> str(Verdict("look", ("The guides disagree with the T2 map.",)))
    'look: The guides disagree with the T2 map.'
    """

    word: str = GOOD
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.word}: {' '.join(self.reasons)}" if self.reasons else self.word


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SuperResolution:
    """Super-resolved maps, with what is needed to judge, show and save them.

    Attributes
    ----------
    maps
        SR maps on the HR grid: PD in the unit of the measured map, T1 and T2 in s. T2 is T2* if
        `maps.is_t2_star`, because a T2* map was measured in its place.
    guides
        Acquired guides on the HR grid, in their own unit.
    synthesised
        The guides as `maps` predict them, same order and unit.
    lr_residual
        Measured LR maps minus truncated SR maps, on the LR grid.
    lr_maps
        Measured LR maps as the solver used them.
    standard_errors
        Standard errors of the measured quantities among `maps`, in the same units; None after interpolation or
        regression. 68 % of the errors are smaller than one, and 95 % than two (docs/results.md has what was measured).
    evidence
        Shares of the LR maps, each guide and the local regression in each map; None after interpolation or regression.
    conflict
        ``(X, Y, Z)`` on the HR grid, from 0 (guides and LR maps agree) to 1 (the LR maps were followed); None
        after interpolation or regression.
    gains
        Image value per unit of PD, one per guide.
    estimated
        Quantities by name of those `maps` that were not measured (``Options(all_maps=True)``); T2* for a T2 that only
        gradient echoes see.
    verdict
        Whether the maps can be used, with reasons.
    notices
        What was assumed, repaired or left out, one sentence each.
    parameters
        Every setting of the run and what it estimated, JSON-ready.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, super_resolve
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> result = super_resolve(maps, guides, Options(method="regression"))
    >>> result.to_nifti()["T1"].shape
    (20, 24, 8)
    """

    maps: QuantitativeMaps
    guides: tuple[WeightedImage, ...]
    synthesised: tuple[WeightedImage, ...]
    lr_residual: QuantitativeMaps
    lr_maps: QuantitativeMaps
    standard_errors: QuantitativeMaps | None = None
    evidence: MapEvidence | None = None
    conflict: FloatArray | None = None
    gains: tuple[float, ...] = ()
    estimated: Mapping[str, str] = field(default_factory=dict)
    verdict: Verdict = Verdict()
    notices: tuple[str, ...] = ()
    parameters: Mapping[str, Any]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.maps.grid.shape))
        edges = " x ".join(f"{edge:.4g}" for edge in self.maps.grid.voxel_size)
        guides = f", guides {', '.join(guide.name for guide in self.guides)}" if self.guides else ""
        return (
            f"<SuperResolution: {', '.join(self.maps.titles)} on {shape} voxels of {edges} mm, "
            f"method {self.parameters.get('method')}{guides}; verdict {self.verdict.word}>"
        )

    @property
    def guide_residuals(self) -> tuple[FloatArray, ...]:
        """Acquired minus synthesised guides, one ``(X, Y, Z)`` array each."""
        return tuple(g.data - s.data for g, s in zip(self.guides, self.synthesised, strict=True))

    def to_nifti(self) -> dict[str, nib.Nifti1Image]:
        """Return the SR maps as nibabel images by name; T1 and T2 in s. Headers say that they are synthetic."""
        images = {}
        for name, title in zip(self.maps.names, self.maps.titles, strict=True):
            image = nib.Nifti1Image(self.maps[name].astype(np.float32), self.maps.grid.affine)
            image.header.set_xyzt_units("mm", "sec")
            image.header["descrip"] = RESEARCH_NOTICE.encode()
            images[title] = image
        return images

    def save(self, folder: str | Path, *, stem: str | None = None, overwrite: bool = False) -> list[Path]:
        """Save everything as a BIDS derivative and return the paths; see `save_super_resolution`."""
        return save_super_resolution(self, folder, stem, overwrite)


def map_volumes_of(result: SuperResolution) -> list[Volume]:
    """Return the SR maps as volumes; names and sidecars of maps that were not measured say so."""
    pairs = zip(result.maps.names, map_volumes(result.maps, "SR", provenance(result)), strict=True)
    return [_as_estimate(each, result.estimated[name]) if name in result.estimated else each for name, each in pairs]


def _as_estimate(volume: Volume, quantity: str) -> Volume:
    """Volume of a map that was not measured."""
    suffix = "T2starmap" if quantity == "T2*" else volume.suffix
    sidecar = {**volume.sidecar, "Measured": False, "Description": f"{quantity}, {NOT_MEASURED}"}
    return replace(volume, name=f"{quantity} estimate (not measured)", suffix=suffix, sidecar=sidecar)


def residual_volumes(result: SuperResolution) -> list[Volume]:
    """Return residuals as volumes: acquired minus synthesised guides, then measured minus truncated SR maps."""
    sidecar = provenance(result)
    guides = [
        Volume(data=data, grid=g.grid, name=f"{g.name} residual", suffix="residual", sidecar=sidecar)
        for g, data in zip(result.guides, result.guide_residuals, strict=True)
    ]
    maps = map_volumes(result.lr_residual, "LR residual", sidecar)
    return [*guides, *(replace(v, suffix=v.suffix.replace("map", "residual")) for v in maps if v.suffix)]


def error_volumes(result: SuperResolution) -> list[Volume]:
    """Return the standard errors of the SR maps as volumes; none after interpolation or regression."""
    if result.standard_errors is None:
        return []
    sidecar = {**provenance(result), "Description": STANDARD_ERROR}
    volumes = map_volumes(result.standard_errors, "SR standard error", sidecar)
    return [replace(each, suffix=str(each.suffix).replace("map", "error")) for each in volumes]


def evidence_volumes(result: SuperResolution) -> list[Volume]:
    """Return the shares of the LR maps in the SR maps in percent as volumes; none after interpolation or regression."""
    if result.evidence is None:
        return []
    evidence, sidecar = result.evidence, {**provenance(result), "Description": EVIDENCE}
    titles = dict(zip(result.maps.names, result.maps.titles, strict=True))
    return [
        Volume(
            data=evidence.information[number, evidence.sources.index(LR_MAPS)].astype(np.float32),
            grid=result.maps.grid,
            name=f"{titles[name]} evidence: {LR_MAPS} (%)",
            suffix=f"{titles[name].replace('*', 'star')}evidence",
            sidecar=sidecar,
        )
        for number, name in enumerate(evidence.maps)
    ]


def conflict_volume(result: SuperResolution) -> Volume | None:
    """Return the conflict map as a volume: 0 = guides and LR maps agree, 1 = the LR maps were followed."""
    if result.conflict is None:
        return None
    sidecar, grid = provenance(result), result.maps.grid
    return Volume(data=result.conflict, grid=grid, name="Conflict", suffix="conflict", sidecar=sidecar)


def synthesised_volumes(result: SuperResolution) -> list[Volume]:
    """Return the guides as the SR maps predict them, with their sequences in the sidecars."""
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
    """Return the sidecar entries that say how a result was made."""
    return made_here(
        PackageVersions={name: version_of(name) for name in SOFTWARE},
        Parameters=dict(result.parameters),
        Guides=[guide.name for guide in result.guides],
        Gains=list(result.gains),
        Verdict=result.verdict.word,
        Reasons=list(result.verdict.reasons),
        Assumed=list(result.notices),
    )


def save_super_resolution(
    result: SuperResolution,
    folder: str | Path,
    stem: str | None = None,
    overwrite: bool = False,
    sources: Sequence[str | Path] = (),
    field_strength: float | None = None,
    run: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Save a result as a BIDS derivative dataset.

    Files of a subject go to its ``anat`` folder. The synthesised guides, LR residuals, the conflict and evidence maps
    are saved beside the maps, each with a JSON sidecar.

    Parameters
    ----------
    result
        The result of a run.
    folder
        Root of the dataset; made if missing.
    stem
        First part of all file names, ``sub-01`` or ``sub-01_ses-02``. By default subject and session in the name of
        the first of `sources` that has them, else ``sub-01``.
    overwrite
        Replace files that exist.
    sources
        Files that the result was made from, recorded in the sidecars.
    field_strength
        Field strength of the measured maps in T, recorded in the sidecars.
    run
        What ``swig-qmri rerun`` needs to repeat the run, JSON-ready; entry ``Run`` of the sidecars.

    Returns
    -------
    list of Path
        Written files, the SR maps first.

    Raises
    ------
    FileExistsError
        If a file exists and `overwrite` is False.
    ValueError
        If a map has no finite value.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from napari_swig_qmri import Options, degrade, make_phantom, save_super_resolution, super_resolve
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> result = super_resolve(maps, guides, Options(method="regression"))
    >>> with TemporaryDirectory() as folder:
    ...     save_super_resolution(result, folder)[0].name
    'sub-01_desc-swig_PDmap.nii.gz'
    """
    folder = Path(folder)
    check_output(folder)
    _check_values(result)
    stem = _stem_of(sources) if stem is None else stem
    volumes = dict(_result_volumes(result, stem))
    place = result_folder(folder, stem)
    targets = [place / name for name in volumes]
    check_free(targets, overwrite, "use `overwrite`")
    place.mkdir(parents=True, exist_ok=True)
    origin: dict[str, Any] = relative_sources(sources, place)
    if field_strength is not None:
        origin["MagneticFieldStrength"] = field_strength
    if run is not None:
        origin["Run"] = dict(run)
    traced = [replace(volume, sidecar={**volume.sidecar, **origin}) for volume in volumes.values()]
    written = write_volumes(zip(traced, targets, strict=True), overwrite)
    written += describe_dataset(folder, "Super-resolved quantitative maps")
    return [*written, *ignore_in_dataset(folder, [f"*_{kind}.*" for kind in (*RESULTS, UNKNOWN)])]


def result_folder(folder: Path, stem: str) -> Path:
    """Folder in a dataset that the files of a result go to."""
    subject = [part for part in stem.split("_") if part.startswith(("sub-", "ses-"))]
    return folder.joinpath(*subject, "anat") if subject else folder


def _stem_of(sources: Sequence[str | Path]) -> str:
    """Subject and session in the name of the first file that has them."""
    for source in sources:
        parts = Path(source).name.split(".")[0].split("_")
        if any(part.startswith("sub-") for part in parts):
            return "_".join(part for part in parts if part.startswith(("sub-", "ses-")))
    return "sub-01"


def _result_volumes(result: SuperResolution, stem: str) -> list[tuple[str, Volume]]:
    """File names and volumes of a result, the SR maps first."""
    named = []
    for volume in map_volumes_of(result):
        made = "swig" if volume.sidecar.get("Measured", True) else "swigestimated"
        named.append((f"{stem}_desc-{made}_{volume.suffix}.nii.gz", volume))
    for volume in error_volumes(result):
        suffix = str(volume.suffix).replace("error", "map")
        named.append((f"{stem}_desc-{ERROR_DESCRIPTION}_{suffix}.nii.gz", volume))
    for index, volume in enumerate(synthesised_volumes(result), start=1):
        kinds = [other.suffix for other in synthesised_volumes(result)]
        number = "" if kinds.count(volume.suffix) == 1 else str(index)
        named.append((f"{stem}_desc-swigsynth{number}_{volume.suffix or UNKNOWN}.nii.gz", volume))
    extra = [
        v
        for v in (*residual_volumes(result), conflict_volume(result), *evidence_volumes(result))
        if v and v.suffix != "residual"
    ]
    return [*named, *((f"{stem}_desc-swig_{volume.suffix}.nii.gz", volume) for volume in extra)]


def _check_values(result: SuperResolution) -> None:
    """ValueError if a map of a result holds no number at all."""
    empty = [name for name in result.maps.names if not np.isfinite(result.maps[name]).any()]
    if empty:
        raise ValueError(
            f"the super-resolved {' and '.join(empty)} hold no finite value, so nothing was saved: check the units of "
            "the maps and the sequences of the guides."
        )
