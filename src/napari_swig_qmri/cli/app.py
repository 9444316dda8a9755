"""The command line: swig-qmri super-resolve | synthesize | sheet | simulate | evaluate | train | ablate.

Times are given in ms and angles in degrees; files hold s, as BIDS asks. Results go to standard
output, progress and notices to standard error. Exit codes: 0 done, 1 refused input, 2 wrong usage,
130 cancelled.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_swig_qmri.cli.console import print_json, refusals, say
from napari_swig_qmri.cli.contrast_options import (
    DEFAULT_FIELD,
    OPTION_OF_FIELD,
    defaults_of,
    equation_of,
    preset_of,
    sequence_of,
)
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel
from napari_swig_qmri.physics.user_equation import VARIABLES
from napari_swig_qmri.super_resolution.options import DEFAULT_METHOD, Options
from napari_swig_qmri.super_resolution.weights import HUB, WEIGHTS

app = typer.Typer(
    name="swig-qmri",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Maps = Annotated[list[Path], typer.Argument(metavar="MAPS...", help="PD, T1, T2 maps: files or their folder.")]
OutputFile = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Image to write.")]
OutputFolder = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the results.")]
File = Annotated[Path | None, typer.Option(metavar="FILE")]
Milliseconds = Annotated[float | None, typer.Option(metavar="MS")]
Degrees = Annotated[float | None, typer.Option(metavar="DEG")]
Number = Annotated[float | None, typer.Option(metavar="NUMBER")]
Count = Annotated[int | None, typer.Option(metavar="N")]
Units = Annotated[
    Literal["s", "ms"] | None, typer.Option(help="Unit of T1 and T2 in MAPS [default: what their sidecars say].")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def main() -> None:
    """Entry point of the command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
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
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the results.")
    ] = None,
    guide: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Weighted image with its sidecar, or a folder of them; may be repeated."),
    ] = None,
    method: Annotated[
        Literal["posterior", "regression", "network"], typer.Option(help="How to solve.")
    ] = DEFAULT_METHOD,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Of the network: {', '.join(WEIGHTS)}, a file of `swig-qmri train`, or {HUB}OWNER/NAME.",
        ),
    ] = None,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Train the network on this subject first, while that helps.")
    ] = False,
    device: Annotated[Literal["auto", "cuda", "mps", "cpu"], typer.Option(help="Where to compute.")] = "auto",
    voxel_size: Annotated[
        str | None,
        typer.Option(metavar="MM", help="Of the result, 1 or 1x1x2 [default: the finest guide's]."),
    ] = None,
    mask: Annotated[Path | None, typer.Option(metavar="FILE", help="Voxels to solve for.")] = None,
    keep_noise: Annotated[
        bool, typer.Option("--keep-noise", help="Do not average voxels with neighbours that differ by noise alone.")
    ] = False,
    units: Units = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and write nothing.")] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Super-resolve low-resolution maps with weighted images as guides."""
    size = None if voxel_size is None else _three(voxel_size, "--voxel-size")
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
        _show(report, as_json)


@app.command()
def synthesize(
    maps: Maps,
    output: OutputFile,
    sequence: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"One of {', '.join(SEQUENCES)}, or choose --preset or --equation."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Named settings, as T2w TSE; the others change some of them.")
    ] = None,
    field: Annotated[float | None, typer.Option(metavar="T", help="Field strength of --preset [default: 3].")] = None,
    preset_file: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file that holds --preset.")] = None,
    equation: Annotated[
        str | None, typer.Option(metavar="TEXT", help=f"Your own, of {', '.join(VARIABLES)}; s and rad.")
    ] = None,
    tr: Milliseconds = None,
    te: Milliseconds = None,
    ti: Milliseconds = None,
    ti2: Milliseconds = None,
    flip_angle: Degrees = None,
    flip_angle_2: Annotated[float | None, typer.Option("--flip-angle-2", metavar="DEG")] = None,
    echo_train_length: Count = None,
    echo_spacing: Milliseconds = None,
    refocusing_angle: Degrees = None,
    n_partitions: Count = None,
    inversion_efficiency: Number = None,
    t2star: Annotated[Path | None, typer.Option(metavar="FILE", help="T2* map; T2* is taken as T2 without.")] = None,
    b1: Annotated[
        str, typer.Option(metavar="NUMBER|FILE", help="Transmit field, relative to the nominal one, or a map of it.")
    ] = "1",
    snr: Annotated[float | None, typer.Option(metavar="NUMBER", help="Add noise [default: none].")] = None,
    noise_reference: Annotated[
        Literal["signal", "proton density"], typer.Option(help="Of which the SNR is that of the 90th percentile.")
    ] = "signal",
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    sign: Annotated[
        Literal["usual", "magnitude", "signed"], typer.Option(help="Keep the sign of the signal or not.")
    ] = "usual",
    units: Units = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute the weighted image that a sequence would give, times in ms and angles in degrees."""
    times = (tr, te, ti, ti2)
    train = (echo_train_length, echo_spacing, refocusing_angle)
    others = (flip_angle, flip_angle_2, *train, n_partitions, inversion_efficiency)
    settings = dict(zip(OPTION_OF_FIELD, (*times, *others), strict=True))
    if sum(each is not None for each in (sequence, preset, equation)) != 1:
        raise typer.BadParameter("give one of --sequence, --preset and --equation.")
    if preset is None and (field is not None or preset_file is not None):
        raise typer.BadParameter("--field and --preset-file go with --preset: add it, or leave them out.")
    kind = None if sequence is None else _sequence_class(sequence)
    with refusals():
        from napari_swig_qmri.cli.commands import synthesize_file
        from napari_swig_qmri.synthesis.rendering import Rendering

        transmit_field, b1_path = _number_or_file(b1)
        rendering = Rendering(
            transmit_field=transmit_field,
            snr=math.inf if snr is None else snr,
            noise_reference=noise_reference,
            seed=seed,
            sign=sign,
        )
        given = {name: value for name, value in settings.items() if value is not None}
        model: Contrast
        if preset is not None:
            model, assumed = preset_of(preset, DEFAULT_FIELD if field is None else field, preset_file, given)
        elif kind is None:
            model, assumed = equation_of(equation or "", given), ()
        else:
            model = sequence_of(kind, given)
            assumed = defaults_of(model, given)
        say(*assumed)
        report = synthesize_file(
            maps, model, output, t2star, b1_path, rendering=rendering, units=units, overwrite=overwrite
        )
        _show(report | {"notices": (*assumed, *report["notices"])}, as_json)


@app.command()
def sheet(
    protocol: Annotated[Path, typer.Argument(metavar="PROTOCOL.toml", help="Contrasts that a sheet was saved with.")],
    maps: Maps,
    output: OutputFolder,
    form: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="png, nifti or dicom; may be repeated [default: png and nifti]."),
    ] = None,
    b1: Annotated[Path | None, typer.Option(metavar="FILE", help="Map of the transmit field.")] = None,
    units: Units = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute all contrasts of a protocol from one subject's maps."""
    with refusals():
        from napari_swig_qmri.cli.commands import sheet_files

        report = sheet_files(protocol, maps, output, form or ["png", "nifti"], b1, units=units, overwrite=overwrite)
        _show(report, as_json)


@app.command()
def simulate(
    output: OutputFolder,
    maps: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MAPS...", help="PD, T1, T2 maps [default: a built-in head]."),
    ] = None,
    factor: Annotated[str, typer.Option(metavar="N", help="LR voxel edge in HR voxels: 2 or 1x1x4.")] = "2",
    guide: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="T1w, T2w or FLAIR; may be repeated [default: all]."),
    ] = None,
    gain: Annotated[
        list[float] | None, typer.Option(metavar="NUMBER", help="Of a guide, in their order [default: 1].")
    ] = None,
    map_noise: Annotated[float, typer.Option(min=0, help="Relative noise of the LR maps.")] = 0.0,
    guide_noise: Annotated[float, typer.Option(min=0, help="Relative noise of the guides.")] = 0.0,
    domain: Annotated[Literal["maps", "signals"], typer.Option(help="What is truncated.")] = "maps",
    voxel_size: Annotated[str, typer.Option(metavar="MM", help="Of the built-in head: 1 or 1x1x2.")] = "1",
    field_strength: Annotated[float, typer.Option(help="Of the built-in head in T: 1.5 or 3.")] = 3.0,
    lesion: Annotated[bool, typer.Option(help="Put a lesion into the built-in head.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the built-in head and of the noise.")] = 0,
    units: Units = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make LR maps and guides from maps or from a built-in head, with the truth beside them."""
    edges, size = _three(factor, "--factor"), _three(voxel_size, "--voxel-size")
    with refusals():
        from napari_swig_qmri.cli.commands import Simulation, simulate_files

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
        _show(simulate_files(maps or [], output, settings, units=units, overwrite=overwrite), as_json)


@app.command()
def evaluate(
    maps: Maps,
    reference: Annotated[list[Path], typer.Option(metavar="MAPS", help="Reference maps; files may be repeated.")],
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Voxels to score [default: reference above zero].")
    ] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="Bring MAPS to the voxels of the reference by cubic splines.")
    ] = False,
    units: Units = None,
    as_json: Json = False,
) -> None:
    """Score maps against reference maps: SSIM, HFEN, errors and bias per tissue."""
    with refusals():
        from napari_swig_qmri.cli.commands import evaluate_files

        _show(evaluate_files(maps, reference, mask, interpolate=interpolate, units=units), as_json)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the run; see training/.")],
    as_json: Json = False,
) -> None:
    """Train a network on simulated subjects, or go on where a killed run stood."""
    with refusals():
        from napari_swig_qmri.cli.commands import train_network

        _show(train_network(config), as_json)


@app.command()
def ablate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the study; see training/.")],
    as_json: Json = False,
) -> None:
    """Train the models of the ablation study and score them, or go on where a killed study stood."""
    with refusals():
        from napari_swig_qmri.cli.commands import ablate_models

        _show(ablate_models(config), as_json)


def _sequence_class(name: str) -> type[SignalModel]:
    if name not in SEQUENCES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(SEQUENCES)}.", param_hint="'--sequence'")
    return SEQUENCES[name]


def _number_or_file(text: str) -> tuple[float, Path | None]:
    """A number, or 1 and the file that a text names."""
    try:
        return float(text), None
    except ValueError:
        return 1.0, Path(text)


def _three(text: str, option: str) -> tuple[float, float, float]:
    """One positive number per axis from ``2`` or ``1x1x4``."""
    try:
        numbers = [float(part) for part in text.lower().split("x")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise typer.BadParameter(f"{text!r} is not one number, as 2, or three, as 1x1x4.", param_hint=f"'{option}'")
    return numbers[0], numbers[1], numbers[2]


def _show(report: dict[str, Any], as_json: bool) -> None:
    """Print a report: all of it as JSON, or its text."""
    text = report.pop("text")
    if as_json:
        print_json(report)
    else:
        typer.echo(text)
