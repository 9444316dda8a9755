"""The command ``super-resolve``: read maps and guides, run, save the result and report it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_swig_qmri.cli.console import Report, drain, plan_report, say
from napari_swig_qmri.cli.contrast_options import settings_text
from napari_swig_qmri.cli.guide_inputs import read_guides_with, sequences_of
from napari_swig_qmri.cli.statements import guide_statements, map_statements
from napari_swig_qmri.data.inputs import other_subject, paths_of, read_maps, subject_of
from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.recognition.sidecars import field_strength_of
from napari_swig_qmri.data.storage.input_files import InputFile
from napari_swig_qmri.data.storage.output import check_output
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.data.wording import cost_text, size_text
from napari_swig_qmri.evaluation.report.proofs import Proofs, read_proofs
from napari_swig_qmri.super_resolution.options import AUTO
from napari_swig_qmri.super_resolution.results import (
    REPORT,
    SuperResolution,
    result_folder,
    save_super_resolution,
)
from napari_swig_qmri.super_resolution.weights import WEIGHTS

if TYPE_CHECKING:
    from napari_swig_qmri.cli.parameters import MapArguments
    from napari_swig_qmri.data.inputs import MapFiles
    from napari_swig_qmri.data.volumes import BoolArray, WeightedImage
    from napari_swig_qmri.super_resolution.options import Options
    from napari_swig_qmri.super_resolution.plan import RunPlan


def super_resolve_files(
    arguments: MapArguments,
    guide_paths: Sequence[Path],
    sequences: Sequence[str],
    output: Path | None,
    options: Options,
    mask_path: Path | None = None,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    with_report: bool = False,
) -> Report:
    """Super-resolve the maps in files and save the result in a folder; with `dry_run`, only report the plan.

    `sequences` describe the sequences of the guides in their order, see `guide_sequences`. With `with_report` the
    folder also gets a page on the run.
    """
    from napari_swig_qmri.evaluation.report.page import write_report
    from napari_swig_qmri.super_resolution.pipeline import super_resolution_steps  # these load torch: over a second
    from napari_swig_qmri.super_resolution.preflight import describe

    given = read_run_maps(arguments, options)
    stem = subject_of((*given.volumes, *given.t2star))
    if output is not None and not dry_run:
        check_output(output, [f"{stem}_desc-swig*", *([REPORT] if with_report else [])], overwrite=overwrite)
    guide_volumes, guides, planned = planned_run(given, guide_paths, sequences, options, mask_path)
    statements = (*describe(planned), cost_text(planned.seconds, planned.memory))
    if dry_run or output is None:
        return run_plan_report(planned, (*map_statements(given), *guide_statements(guide_volumes, guides), *statements))
    say(*statements)
    started = time.perf_counter()
    result = drain(super_resolution_steps(planned))
    seconds = time.perf_counter() - started
    say(*(text for text in (*result.notices, *result.verdict.reasons) if text not in statements))
    place = result_folder(output, stem)
    told = sequences_of(guide_volumes, guide_paths, sequences)
    run = run_record(arguments, given, told, options, mask_path, place)
    sources = list(dict.fromkeys(place / each["file"] for each in run["Inputs"]))
    tesla = field_strength_of(*(volume.sidecar for volume in given.volumes))
    files = save_super_resolution(
        result, output, stem=stem, overwrite=overwrite, sources=sources, field_strength=tesla, run=run
    )
    proofs = read_proofs(output, run)
    if with_report:
        files.append(write_report(result, output, seconds, proofs, run["Inputs"]))
    return _super_resolution_report(result, planned.problem.tissue.numpy(), files, seconds, proofs)


def run_record(
    arguments: MapArguments,
    given: MapFiles,
    guides: Mapping[Path, str],
    options: Options,
    mask_path: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """What repeats a run whose results lie in `folder`, JSON-ready: options, unit of the maps, and all inputs.

    `guides` are the files of guides with the texts of their sequences.
    """
    roles = {path.resolve(): name for name, path in arguments.named.items()}
    maps = [*given.paths, *paths_of(given.t2star)]
    transmit = given.transmit_map.path if isinstance(given.transmit_map, Volume) else given.transmit_map
    others = {"mask": mask_path, "b1": options.b1 or transmit, "weights": options.weights}
    files = {role: Path(path) for role, path in others.items() if isinstance(path, str | Path) and path not in WEIGHTS}
    inputs = [
        *((path, roles.get(path.resolve(), "map"), AUTO) for path in maps),
        *((path, "guide", text) for path, text in guides.items()),
        *((path, role, AUTO) for role, path in files.items() if path.exists()),  # weights may be those of a hub
    ]
    records = [asdict(InputFile.of(path, role, folder, text)) for path, role, text in inputs]
    return {"Options": options.to_record(), "Units": arguments.units, "Inputs": records}


def read_run_maps(arguments: MapArguments, options: Options) -> MapFiles:
    """Maps of a run, with T2* and the transmit field beside them."""
    return read_maps(
        arguments.paths, arguments.units, arguments.named, uses_t2star=True, uses_transmit_field=options.field
    )


def planned_run(
    given: MapFiles, guide_paths: Sequence[Path], sequences: Sequence[str], options: Options, mask_path: Path | None
) -> tuple[list[Volume], list[WeightedImage], RunPlan]:
    """Guides of a run as volumes and with their sequences, and its plan."""
    from napari_swig_qmri.super_resolution.plan import plan  # loads torch: over a second

    guide_volumes, guides = read_guides_with(guide_paths, sequences)
    about_subjects = [other_subject(volume, given.volumes) for volume in guide_volumes]
    guides = [
        replace(guide, notices=(*guide.notices, *(f"{guide.name}: {sentence}" for sentence in told)))
        for guide, told in zip(guides, about_subjects, strict=True)
    ]
    try:
        return guide_volumes, guides, plan(given, guides, options, mask_path)
    except ValueError:
        say(*given.notices, *(text for guide in guides for text in guide.notices))  # what was read may be the cause
        raise


def run_plan_report(plan: RunPlan, statements: Sequence[str]) -> Report:
    """Report of a dry run: how the files are understood, and what a run would do with its grid, device and costs."""
    return plan_report(
        statements,
        plan.notices,
        sequences={each.name: settings_text(each.sequence) for each in plan.guides if each.sequence},
        voxel_size_mm=plan.hr_grid.voxel_size,
        shape=plan.hr_grid.shape,
        device=str(plan.device),
        estimated_seconds=plan.seconds,
        estimated_memory_bytes=plan.memory,
        weights_sha256=plan.weights_sha256,
        options=plan.options.to_json(),
    )


def _super_resolution_report(
    result: SuperResolution, tissue: BoolArray, files: Sequence[Path], seconds: float, proofs: Proofs
) -> Report:
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(result.lr_residual.data / result.lr_maps.data)[:, tissue]
    residual = dict(zip(result.lr_maps.titles, np.nanmedian(relative, axis=1).tolist(), strict=True))
    gains = {guide.name: gain for guide, gain in zip(result.guides, result.gains, strict=True)}
    size = size_text(result.maps.grid.voxel_size)
    lines = [
        f"{', '.join(result.maps.titles)} at {size} mm in {seconds:.1f} s",
        *(f"gain of {name}: {gain:.5g}" for name, gain in gains.items()),
        *(f"LR residual of {name}: {100 * value:.3g} % (median over tissue)" for name, value in residual.items()),
        *(f"wrote {path}" for path in files),
        f"Verdict: {result.verdict.word}",
        *([proofs.detection_limit] if proofs.detection_limit else []),
        f"These maps are {RESEARCH_NOTICE}.",
    ]
    return {
        "outputs": list(files),
        "voxel_size_mm": result.maps.grid.voxel_size,
        "seconds": seconds,
        "gains": gains,
        "median_relative_lr_residual": residual,
        "verdict": result.verdict.word,
        "reasons": list(result.verdict.reasons),
        "detection_limit": proofs.detection_limit or None,
        "notices": list(result.notices),
        "parameters": dict(result.parameters),
        "text": "\n".join(lines),
    }
