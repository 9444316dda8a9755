"""The program ``swig-qmri`` and the arguments and options of its commands.

Times are in ms and angles in degrees; files hold seconds, as in BIDS. Results go to standard output, progress and
notices to standard error. Exit codes: 0 done, 1 input refused, 2 wrong usage, 4 done but the result should not be used,
130 cancelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_swig_qmri.cli.console import NOT_TO_BE_USED, print_report, refusals
from napari_swig_qmri.cli.contrast_app import SHEET_EXAMPLES, SYNTHESIZE_EXAMPLES, sheet, synthesize
from napari_swig_qmri.cli.info import add_info_command
from napari_swig_qmri.cli.parameters import (
    DryRun,
    Json,
    Maps,
    Overwrite,
    PdFile,
    Quiet,
    T1File,
    T2File,
    Units,
    examples,
    map_arguments,
)
from napari_swig_qmri.cli.proof_app import add_proof_commands
from napari_swig_qmri.cli.run_parameters import (
    Adapt,
    AllMaps,
    B1Map,
    CorrectSequence,
    Device,
    GuideFiles,
    KeepNoise,
    LrLock,
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
from napari_swig_qmri.cli.study_app import add_study_commands
from napari_swig_qmri.super_resolution.options import AUTO, DEFAULT_METHOD

app = typer.Typer(
    name="swig-qmri",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the program."""
    app()


def _print_version(is_asked: bool) -> None:
    if is_asked:
        import napari_swig_qmri

        typer.echo(napari_swig_qmri.__version__)
        raise typer.Exit


@app.callback(
    epilog=examples("swig-qmri simulate -o case", "swig-qmri super-resolve case/lr --guide case/guides -o out")
    + "\n\nEvery command has examples of its own: swig-qmri COMMAND -h. Exit codes: 0 done, 1 input refused, 2 wrong "
    "usage, 4 done but the result is not to be used, 130 cancelled."
)
def _program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Super-resolution of quantitative MRI maps guided by weighted images. For research use."""


@app.command(
    "super-resolve",
    epilog=examples(
        "swig-qmri super-resolve case/lr --guide case/guides -o out",
        "swig-qmri super-resolve lr --maps-from qalas,TR=4.5s --guide t1w.nii.gz --guide t2w.nii.gz -o out",
        "swig-qmri super-resolve --t1 t1.nii.gz --t2 t2.nii.gz --units ms --guide flair.nii.gz --dry-run",
        "swig-qmri super-resolve lr --guide a.nii.gz --sequence spin-echo,TR=500ms,TE=15ms -o out",
        'swig-qmri super-resolve lr --guide a.nii --sequence auto --guide b.nii --sequence "T2w TSE,field=1.5T" -o out',
    ),
)
def _super_resolve(
    context: typer.Context,
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder that the results are written to; needed without --dry-run."
        ),
    ] = None,
    guide: GuideFiles = None,
    sequence: Sequences = None,
    method: Method = DEFAULT_METHOD,
    weights: Weights = None,
    adapt: Adapt = False,
    device: Device = "auto",
    voxel_size: VoxelSize = None,
    mask: MaskFile = None,
    keep_noise: KeepNoise = False,
    lr_lock: LrLock = False,
    all_maps: AllMaps = False,
    no_resolution: NoResolution = False,
    no_pose: NoPose = False,
    no_field: NoField = False,
    b1: B1Map = None,
    correct_sequence: CorrectSequence = False,
    maps_from: MapsFrom = AUTO,
    units: Units = None,
    report_page: Annotated[
        bool, typer.Option("--report", help="Write a page on the run, report.html, into the folder as well.")
    ] = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Super-resolve low-resolution maps with weighted images as guides."""
    if output is None and not dry_run:
        raise typer.BadParameter("give a folder for the results, or --dry-run.", param_hint="'-o' / '--output'")
    given = map_arguments(maps, pd, t1, t2, units)
    with refusals(quiet):
        from napari_swig_qmri.cli.commands import super_resolve_files
        from napari_swig_qmri.super_resolution.results import DO_NOT_USE

        report = super_resolve_files(
            given,
            guide or [],
            sequence or [],
            output,
            run_options(context.params),
            mask,
            overwrite=overwrite,
            dry_run=dry_run,
            with_report=report_page,
        )
        print_report(report, as_json)
    if report.get("verdict") == DO_NOT_USE:
        raise typer.Exit(NOT_TO_BE_USED)


app.command(epilog=SYNTHESIZE_EXAMPLES)(synthesize)
app.command(epilog=SHEET_EXAMPLES)(sheet)
add_info_command(app)
add_proof_commands(app)
add_study_commands(app)
