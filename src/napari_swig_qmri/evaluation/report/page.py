"""The report of a run: one HTML file that needs no network and no script, for the screen and for paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE, SOFTWARE, version_of
from napari_swig_qmri.data.storage.files import ignore_in_dataset
from napari_swig_qmri.data.storage.output import replacing
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.evaluation.audit_text import COLOURS, SHOWN_IN
from napari_swig_qmri.evaluation.report.pictures import Picture, head_of, slice_pictures
from napari_swig_qmri.evaluation.report.proofs import Proofs, audit_plots, audit_rows, validation_rows
from napari_swig_qmri.physics.weighting import weighting_of
from napari_swig_qmri.super_resolution.map_evidence import listed
from napari_swig_qmri.super_resolution.results import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_swig_qmri.super_resolution.results import SuperResolution

TEMPLATE = "page.html.jinja"
CAVEATS = (
    "For research, not for diagnosis. A super-resolved map is an estimate: detail that no input shows is missing.",
    "Standard errors were calibrated on simulated subjects. 68 % of the errors should be smaller than one of them, and "
    "95 % than two. On anatomy or faults unlike those of training they can be wrong: on the maps of a measured subject "
    "they were too small by a factor of 1.6.",
    "Where guides and measured maps disagree, the measured maps are followed, at their resolution.",
    "Signal equations are ideal: they have no slice profile and no magnetisation transfer.",
)


@dataclass(frozen=True, kw_only=True)
class MapSummary:
    """A super-resolved map in numbers and pictures; numbers are texts with their unit."""

    title: str
    median: str
    error: str  # median standard error
    relative_error: str
    residual: str  # median of the LR residual, relative
    evidence: str  # where the map and its detail come from; empty after interpolation or regression
    pictures: tuple[Picture, ...]


def report_page(
    result: SuperResolution,
    seconds: float | None = None,
    proofs: Proofs | None = None,
    inputs: Sequence[Mapping[str, str]] = (),
) -> str:
    """Return a result as an HTML page.

    Parameters
    ----------
    result
        Result of a run.
    seconds
        Duration of the run; left out if None.
    proofs
        What held-out data and planted lesions have shown; without it the page says how to find out.
    inputs
        Files of the run as its record in the sidecars has them, with ``role``, ``file`` and ``sha256``.

    Examples
    --------
    >>> from napari_swig_qmri import Options, degrade, make_phantom, super_resolve
    >>> from napari_swig_qmri.evaluation.report.page import report_page
    >>> maps, guides = degrade(make_phantom(4.0, extent=((-40, 40), (-48, 48), (0, 32))).maps, 2)
    >>> page = report_page(super_resolve(maps, guides[:2], Options(method="regression")))
    >>> page.startswith("<!doctype html>"), "Verdict: " in page
    (True, True)
    """
    environment = Environment(
        loader=PackageLoader("napari_swig_qmri.evaluation.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parameters, proofs = result.parameters, proofs or Proofs()
    page: str = environment.get_template(TEMPLATE).render(
        verdict=result.verdict,
        notice=RESEARCH_NOTICE,
        maps=list(_summaries(result)),
        guides=list(_guides(result)),
        conflict=None if result.conflict is None else f"{100 * float(np.mean(result.conflict > 0.5)):.2g} %",
        facts=_facts(result, seconds),
        notices=result.notices,
        proofs=proofs,
        validation=list(validation_rows(proofs.validation or {"guides": (), "lr_maps": {}})),
        audit=list(audit_rows(proofs.audit or {"results": ()})),
        plots=[] if proofs.audit is None else audit_plots(proofs.audit),
        legend={SHOWN_IN[kind]: colour for kind, colour in COLOURS.items()},
        inputs=inputs,
        caveats=CAVEATS,
        parameters=list(_flat(parameters)),
        versions={name: version_of(name) for name in SOFTWARE},
    )
    return page


def write_report(
    result: SuperResolution,
    folder: Path,
    seconds: float | None = None,
    proofs: Proofs | None = None,
    inputs: Sequence[Mapping[str, str]] = (),
) -> Path:
    """Write the page on a result into a folder, in place of an earlier one, and return its path."""
    path = folder / REPORT
    with replacing() as part:
        part(path).write_text(report_page(result, seconds, proofs, inputs), encoding="utf-8")
    ignore_in_dataset(folder, [REPORT])
    return path


def _summaries(result: SuperResolution) -> Iterator[MapSummary]:
    for name, title in zip(result.maps.names, result.maps.titles, strict=True):
        values = result.maps[name]
        inside = head_of(result)
        factor, unit = (1000, " ms") if name != "PD" else (1, "")
        has_errors = result.standard_errors is not None and name in result.standard_errors.names
        errors = result.standard_errors[name][inside] if has_errors and result.standard_errors is not None else None
        yield MapSummary(
            title=title,
            median=f"{factor * float(np.median(values[inside])):.4g}{unit}",
            error="none" if errors is None else f"{factor * float(np.median(errors)):.2g}{unit}",
            relative_error="none" if errors is None else f"{100 * float(np.median(errors / values[inside])):.2g} %",
            residual=_residual(result, name),
            evidence=_evidence(result, name),
            pictures=slice_pictures(result, name),
        )


def _evidence(result: SuperResolution, name: str) -> str:
    """Sentences on where a map and its detail come from, on average over the head."""
    if result.evidence is None or name not in result.evidence.maps:
        return ""
    shares = result.evidence.means(head_of(result))[name]
    return f"Comes from: {listed(shares['information'])}. Its detail: {listed(shares['detail'])}."


def _residual(result: SuperResolution, name: str) -> str:
    """Median magnitude of the LR residual over the LR map where it is high, as in tissue."""
    if name not in result.lr_maps.names:
        return "not measured"
    values, residual = result.lr_maps[name], result.lr_residual[name]
    seen = np.isfinite(residual) & (values > 0)
    where = seen & (values > np.median(values[seen]) / 4)
    return f"{100 * float(np.median(np.abs(residual[where] / values[where]))):.2g} %"


def _guides(result: SuperResolution) -> Iterator[dict[str, str]]:
    found = result.parameters.get("guides") or [{}] * len(result.guides)
    for guide, gain, told in zip(result.guides, result.gains, found, strict=True):
        doctor, level = told.get("doctor") or {}, max(float(np.median(guide.data[guide.data > 0])), 1e-12)
        yield {
            "name": guide.name,
            "sequence": weighting_of(guide.sequence, guide.name)
            + (f", {guide.sequence.title}" if guide.sequence else ""),
            "gain": f"{gain:.4g}",
            "noise": f"{100 * told['noise'] / level:.2g} %" if "noise" in told else "unknown",
            "verdict": str(doctor.get("verdict", "")).removeprefix(f"{guide.name}: "),
        }


def _facts(result: SuperResolution, seconds: float | None) -> dict[str, str]:
    parameters = result.parameters
    facts = {
        "Method": str(parameters["method"]),
        "Voxels of the result": f"{size_text(result.maps.grid.voxel_size)} mm",
        "Voxels of the measured maps": f"{size_text(result.lr_maps.grid.voxel_size)} mm",
    }
    return facts if seconds is None else facts | {"Duration": f"{seconds:.0f} s"}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings with the names of the groups that they are in, as texts."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, each in enumerate(value):
                yield from _flat(each, f"{prefix}{key}[{number}].")
        else:
            yield f"{prefix}{key}", str(value)
