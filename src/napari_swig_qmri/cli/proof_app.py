"""Arguments and options of the commands ``validate``, ``audit`` and ``rerun``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_swig_qmri.cli.console import NOT_TO_BE_USED, print_report, refusals
from napari_swig_qmri.cli.parameters import (
    DryRun,
    Json,
    Maps,
    OutputFolder,
    Overwrite,
    PdFile,
    Quiet,
    T1File,
    T2File,
    Units,
    examples,
    map_arguments,
)
from napari_swig_qmri.cli.run_parameters import (
    B1Map,
    CorrectSequence,
    Device,
    GuideFiles,
    KeepNoise,
    MapsFrom,
    MaskFile,
    Method,
    NoField,
    NoPose,
    NoResolution,
    Sequences,
    VoxelSize,
    Weights,
    run_options,
)
from napari_swig_qmri.super_resolution.options import AUTO, DEFAULT_METHOD

if TYPE_CHECKING:
    from napari_swig_qmri.cli.proof_commands import RunArguments

ReportFolder = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FOLDER", help="Folder that the report is written to. [default: none]"),
]


def add_proof_commands(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        "validate",
        epilog=examples(
            "swig-qmri validate case/lr --guide case/guides",
            "swig-qmri validate case/lr --guide case/guides --json -o out",
        ),
    )(_validate)
    app.command(
        "audit",
        epilog=examples(
            "swig-qmri audit case/lr --guide case/guides",
            "swig-qmri audit case/lr --guide case/guides --radius 1.5 --radius 3 --places 10 -o out",
            "swig-qmri audit case/lr --guide case/guides --change 0.97,1.1,1.8 --json",
        ),
    )(_audit)
    app.command(
        "rerun",
        epilog=examples(
            "swig-qmri rerun out/sub-01/anat/sub-01_desc-swig_T1map.json -o again",
            "swig-qmri rerun sub-01_desc-swig_T1map.json --inputs case -o again --json",
        ),
    )(_rerun)


def _validate(
    context: typer.Context,
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    output: ReportFolder = None,
    guide: GuideFiles = None,
    sequence: Sequences = None,
    method: Method = DEFAULT_METHOD,
    weights: Weights = None,
    device: Device = "auto",
    voxel_size: VoxelSize = None,
    mask: MaskFile = None,
    keep_noise: KeepNoise = False,
    no_resolution: NoResolution = False,
    no_pose: NoPose = False,
    no_field: NoField = False,
    b1: B1Map = None,
    correct_sequence: CorrectSequence = False,
    maps_from: MapsFrom = AUTO,
    units: Units = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Leave out each guide, then high frequencies of the maps, and score what a run predicts of them."""
    with refusals(quiet):
        from napari_swig_qmri.cli.proof_commands import validate_run

        print_report(validate_run(_run_of(context.params)), as_json)


def _audit(
    context: typer.Context,
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    output: ReportFolder = None,
    radius: Annotated[
        list[float] | None,
        typer.Option(metavar="MM", help="Radius of the lesions; may be repeated. [default: 1, 1.5, 2, 3, 4 and 6]"),
    ] = None,
    change: Annotated[
        str | None,
        typer.Option(
            metavar="PD,R1,R2", help="Factors on PD, R1 and R2 in a lesion. [default: 1.08,0.65,0.5, inflamed]"
        ),
    ] = None,
    places: Annotated[int, typer.Option(metavar="N", help="Number of places in flat tissue.")] = 6,
    guide: GuideFiles = None,
    sequence: Sequences = None,
    method: Method = DEFAULT_METHOD,
    weights: Weights = None,
    device: Device = "auto",
    voxel_size: VoxelSize = None,
    mask: MaskFile = None,
    keep_noise: KeepNoise = False,
    no_resolution: NoResolution = False,
    no_pose: NoPose = False,
    no_field: NoField = False,
    b1: B1Map = None,
    correct_sequence: CorrectSequence = False,
    maps_from: MapsFrom = AUTO,
    units: Units = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Plant lesions in maps, guides or both, and report which sizes a run hides or invents."""
    factors = None if change is None else _three_factors(change)
    with refusals(quiet):
        from napari_swig_qmri.cli.proof_commands import audit_run

        print_report(audit_run(_run_of(context.params), radius or (), factors, places), as_json)


def _rerun(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="JSON file beside a super-resolved map.")],
    output: OutputFolder,
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--inputs",
            metavar="FOLDER",
            help="Folder that holds maps, guides and the other inputs, if they were moved; may be repeated.",
        ),
    ] = None,
    changed_inputs: Annotated[
        bool, typer.Option("--changed-inputs", help="Take inputs whose content is no longer that of the run.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Repeat a run from the sidecar of its result, and say whether the maps are equal."""
    with refusals(quiet):
        from napari_swig_qmri.cli.proof_commands import rerun
        from napari_swig_qmri.super_resolution.results import DO_NOT_USE

        report = rerun(result, output, inputs or [], changed_inputs=changed_inputs, overwrite=overwrite)
        print_report(report, as_json)
    if report["verdict"] == DO_NOT_USE:
        raise typer.Exit(NOT_TO_BE_USED)


def _run_of(given: Mapping[str, Any]) -> RunArguments:
    """The run that the parameters of a command describe, by name."""
    from napari_swig_qmri.cli.proof_commands import RunArguments

    return RunArguments(
        maps=map_arguments(*(given[name] for name in ("maps", "pd", "t1", "t2", "units"))),
        guides=given["guide"] or [],
        sequences=given["sequence"] or [],
        options=run_options(given),
        mask=given["mask"],
        output=given["output"],
        overwrite=given["overwrite"],
        dry_run=given["dry_run"],
    )


def _three_factors(text: str) -> tuple[float, float, float]:
    """Factors from ``1.08,0.65,0.5``; a BadParameter if they are not three positive numbers."""
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if len(factors) != 3 or not all(math.isfinite(each) and each > 0 for each in factors):
        raise typer.BadParameter(f"{text!r} is not three numbers above 0, as 1.08,0.65,0.5.", param_hint="'--change'")
    return factors[0], factors[1], factors[2]
