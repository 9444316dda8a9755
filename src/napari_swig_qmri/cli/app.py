"""The program ``swig-qmri`` and the arguments and options of its commands.

Times are in ms and angles in degrees; files hold seconds, as in BIDS. Results go to standard output, progress and
notices to standard error. Exit codes: 0 done, 1 input refused, 2 wrong usage, 130 cancelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_swig_qmri.cli.console import print_report, refusals
from napari_swig_qmri.cli.contrast_app import sheet, synthesize
from napari_swig_qmri.cli.parameters import Json, Maps, OutputFolder, Overwrite, Units, three_numbers
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, Options
from napari_swig_qmri.super_resolution.weights import HUB, WEIGHTS

app = typer.Typer(
    name="swig-qmri",
    add_completion=False,
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


@app.callback()
def _program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Super-resolution of quantitative MRI maps guided by weighted images. For research use."""


@app.command("super-resolve")
def _super_resolve(
    maps: Maps,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder that the results are written to; needed without --dry-run."
        ),
    ] = None,
    guide: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Weighted image, or a folder that holds weighted images; may be repeated."),
    ] = None,
    method: Annotated[
        Literal["posterior", "regression", "network"], typer.Option(help="Method of super-resolution.")
    ] = DEFAULT_METHOD,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Weights of the network: {', '.join(WEIGHTS)}, a file of `swig-qmri train`, or {HUB}OWNER/NAME.",
        ),
    ] = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Train the network on this subject first, until it no longer improves.")
    ] = False,
    device: Annotated[Literal["auto", "cuda", "mps", "cpu"], typer.Option(help="Device to compute on.")] = "auto",
    voxel_size: Annotated[
        str | None,
        typer.Option(metavar="MM", help="Voxel size of the result in mm: 1 or 1x1x2. [default: as the finest guide]"),
    ] = None,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Mask of the voxels to super-resolve.")] = None,
    keep_noise: Annotated[
        bool, typer.Option("--keep-noise", help="Do not average voxels with neighbours that differ by noise only.")
    ] = False,
    units: Units = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan of the run, and write nothing.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Super-resolve low-resolution maps with weighted images as guides."""
    size = None if voxel_size is None else three_numbers(voxel_size, "--voxel-size")
    if output is None and not dry_run:
        raise typer.BadParameter("give a folder for the results, or --dry-run.", param_hint="'-o' / '--output'")
    with refusals():
        from napari_swig_qmri.cli.commands import super_resolve_files

        options = Options(
            method=method,
            weights=weights,
            adapt=adapt,
            device=device,
            voxel_size=size,
            keep_noise=keep_noise,
        )
        report = super_resolve_files(
            maps, guide or [], output, options, mask, units=units, overwrite=overwrite, dry_run=dry_run
        )
        print_report(report, as_json)


app.command()(synthesize)
app.command()(sheet)


@app.command("simulate")
def _simulate(
    output: OutputFolder,
    maps: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MAPS...",
            help="PD, T1 and T2 maps: files, or folders that hold them. [default: a built-in head]",
        ),
    ] = None,
    factor: Annotated[
        str, typer.Option(metavar="N", help="Edge of a low-resolution voxel in voxels of the maps: 2 or 1x1x4.")
    ] = "2",
    guide: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Guide to compute: T1w, T2w or FLAIR; may be repeated. [default: all]"),
    ] = None,
    gain: Annotated[
        list[float] | None,
        typer.Option(metavar="NUMBER", help="Gain of a guide; repeat it in the order of the guides. [default: 1]"),
    ] = None,
    map_noise: Annotated[
        float, typer.Option(min=0, help="Noise of the low-resolution maps, relative to the value.")
    ] = 0.0,
    guide_noise: Annotated[
        float, typer.Option(min=0, help="Noise of the guides, relative to their median over tissue.")
    ] = 0.0,
    domain: Annotated[
        Literal["maps", "signals"], typer.Option(help="Images that are truncated: maps, or the signals they come from.")
    ] = "maps",
    voxel_size: Annotated[
        str, typer.Option(metavar="MM", help="Voxel size of the built-in head in mm: 1 or 1x1x2.")
    ] = "1",
    field_strength: Annotated[
        float, typer.Option(metavar="T", help="Field strength of the built-in head in T: 1.5 or 3.")
    ] = 3.0,
    lesion: Annotated[bool, typer.Option(help="Add a lesion to the built-in head.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the built-in head and of the noise.")] = 0,
    units: Units = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute low-resolution maps and guides from maps or a built-in head, and save them with the truth."""
    edges, size = three_numbers(factor, "--factor"), three_numbers(voxel_size, "--voxel-size")
    with refusals():
        from napari_swig_qmri.cli.study_commands import Simulation, simulate_files

        settings = Simulation(
            factor=edges,
            guides=tuple(guide or ()),
            gains=tuple(gain or ()),
            map_noise=map_noise,
            guide_noise=guide_noise,
            domain=domain,
            voxel_size=size,
            field_strength=field_strength,
            lesion=lesion,
            seed=seed,
        )
        print_report(simulate_files(maps or [], output, settings, units=units, overwrite=overwrite), as_json)


@app.command("evaluate")
def _evaluate(
    maps: Maps,
    reference: Annotated[
        list[Path], typer.Option(metavar="MAPS", help="Reference maps: a file or a folder; may be repeated.")
    ],
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Mask of the voxels to score. [default: all reference maps above zero]"),
    ] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="Interpolate MAPS to the voxels of the reference by cubic splines.")
    ] = False,
    units: Units = None,
    as_json: Json = False,
) -> None:
    """Score maps against reference maps: SSIM, HFEN, NRMSE, and errors per tissue."""
    with refusals():
        from napari_swig_qmri.cli.study_commands import evaluate_files

        print_report(evaluate_files(maps, reference, mask, interpolate=interpolate, units=units), as_json)


@app.command("train")
def _train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the training; see the folder training/.")
    ],
    as_json: Json = False,
) -> None:
    """Train a network on simulated subjects. An interrupted run is continued."""
    with refusals():
        from napari_swig_qmri.cli.study_commands import train_network

        print_report(train_network(config), as_json)


@app.command("ablate")
def _ablate(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the study; see the folder training/.")
    ],
    as_json: Json = False,
) -> None:
    """Train and score the models of the ablation study. An interrupted study is continued."""
    with refusals():
        from napari_swig_qmri.cli.study_commands import ablate_models

        print_report(ablate_models(config), as_json)
