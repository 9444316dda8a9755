"""Arguments and options of the commands ``synthesize`` and ``sheet``."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_swig_qmri.cli.console import print_report, refusals, say
from napari_swig_qmri.cli.contrast_options import (
    DEFAULT_FIELD,
    OPTION_OF_FIELD,
    defaults_of,
    equation_with,
    preset_with,
    sequence_with,
)
from napari_swig_qmri.cli.guide_sequences import names_among, preset_names
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
    TransmitMap,
    Units,
    examples,
    map_arguments,
)
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.physics.user_equation import VARIABLES

_name = partial(typer.Option, metavar="NAME")
_file = partial(typer.Option, metavar="FILE")
_ms = partial(typer.Option, metavar="MS")
_degrees = partial(typer.Option, metavar="DEG")
_number = partial(typer.Option, metavar="NUMBER")


SYNTHESIZE_EXAMPLES = examples(
    "swig-qmri synthesize out --sequence t2-flair --tr 9000 --te 120 --ti 2500 -o flair.nii.gz",
    'swig-qmri synthesize out --preset "T2w TSE" --field 1.5 -o t2w.nii.gz',
    "swig-qmri synthesize --t1 t1.nii --t2 t2.nii --pd pd.nii --sequence spin-echo --tr 500 --te 15 -o t1w.nii",
)
SHEET_EXAMPLES = examples(
    "swig-qmri sheet brain.toml out -o sheet",
    "swig-qmri sheet brain.toml out --format dicom -o sheet --dry-run",
)


def synthesize(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="NIfTI file to write.")],
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    sequence: Annotated[
        str | None, _name(help=f"Sequence: {', '.join(SEQUENCES)}.", autocompletion=names_among(SEQUENCES))
    ] = None,
    preset: Annotated[
        str | None,
        _name(
            help="Named sequence with its settings, such as T2w TSE; other options change the settings.",
            autocompletion=preset_names,
        ),
    ] = None,
    field: Annotated[
        float | None, typer.Option(metavar="T", help="Field strength of the preset in T. [default: 3]")
    ] = None,
    preset_file: Annotated[Path | None, _file(help="TOML file that holds the preset.")] = None,
    equation: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help=f"Signal equation in {', '.join(VARIABLES)}; units are s and rad."),
    ] = None,
    tr: Annotated[float | None, _ms(help="Repetition time (TR) in ms.")] = None,
    te: Annotated[float | None, _ms(help="Echo time (TE) in ms.")] = None,
    ti: Annotated[float | None, _ms(help="Inversion time (TI) in ms.")] = None,
    ti2: Annotated[float | None, _ms(help="Second inversion time (TI2) in ms, of dir and mp2rage-uni.")] = None,
    flip_angle: Annotated[float | None, _degrees(help="Flip angle in degrees.")] = None,
    flip_angle_2: Annotated[
        float | None, _degrees("--flip-angle-2", help="Second flip angle in degrees, of mp2rage-uni.")
    ] = None,
    echo_train_length: Annotated[int | None, typer.Option(metavar="N", help="Echoes per excitation.")] = None,
    echo_spacing: Annotated[float | None, _ms(help="Time between echoes or read-outs in ms.")] = None,
    refocusing_angle: Annotated[float | None, _degrees(help="Angle of the refocusing pulses in degrees.")] = None,
    n_partitions: Annotated[int | None, typer.Option(metavar="N", help="Read-outs per inversion.")] = None,
    inversion_efficiency: Annotated[float | None, _number(help="Inversion efficiency, from 0 to 1.")] = None,
    t2star: Annotated[Path | None, _file(help="T2* map. [default: one among MAPS, else the T2 map]")] = None,
    b1: Annotated[
        str, typer.Option(metavar="NUMBER|FILE", help="Transmit field (B1+) relative to the nominal one, or its map.")
    ] = "1",
    snr: Annotated[float | None, _number(help="Signal-to-noise ratio of added noise. [default: no noise]")] = None,
    noise_reference: Annotated[
        Literal["signal", "proton density"],
        typer.Option(help="Image whose 90th percentile the signal-to-noise ratio refers to."),
    ] = "signal",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    sign: Annotated[
        Literal["usual", "magnitude", "signed"],
        typer.Option(help="Keep the sign of the signal, drop it, or do as is usual for the sequence."),
    ] = "usual",
    units: Units = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute the weighted image of a sequence, a preset or an equation (give one of the three) from maps."""
    times, train = (tr, te, ti, ti2), (echo_train_length, echo_spacing, refocusing_angle)
    values = (*times, flip_angle, flip_angle_2, *train, n_partitions, inversion_efficiency)
    settings = {name: value for name, value in zip(OPTION_OF_FIELD, values, strict=True) if value is not None}
    _check_contrast(sequence, preset, equation, has_preset_options=not (field is None and preset_file is None))
    given = map_arguments(maps, pd, t1, t2, units)
    with refusals(quiet):
        from napari_swig_qmri.cli.contrast_commands import synthesize_file
        from napari_swig_qmri.synthesis.rendering import Rendering

        transmit_field, b1_path = _number_or_file(b1)
        rendering = Rendering(
            transmit_field=transmit_field,
            snr=math.inf if snr is None else snr,
            noise_reference=noise_reference,
            seed=seed,
            sign=sign,
        )
        strength = DEFAULT_FIELD if field is None else field
        contrast, assumed = _contrast(sequence, preset, equation, settings, strength, preset_file)
        say(*assumed)
        report = synthesize_file(
            given, contrast, output, t2star, b1_path, rendering=rendering, overwrite=overwrite, dry_run=dry_run
        )
        print_report(report | {"notices": (*assumed, *report["notices"])}, as_json)


def sheet(
    protocol: Annotated[
        Path, typer.Argument(metavar="PROTOCOL.toml", help="Protocol file, which lists the contrasts and settings.")
    ],
    output: OutputFolder,
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="NAME", help="One of png, nifti and dicom; may be repeated. [default: png and nifti]"
        ),
    ] = None,
    b1: TransmitMap = None,
    units: Units = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute all contrasts of a protocol from the maps of one subject."""
    given = map_arguments(maps, pd, t1, t2, units)
    with refusals(quiet):
        from napari_swig_qmri.cli.contrast_commands import sheet_files

        formats = form or ["png", "nifti"]
        report = sheet_files(protocol, given, output, formats, b1, overwrite=overwrite, dry_run=dry_run)
        print_report(report, as_json)


def _check_contrast(
    sequence: str | None, preset: str | None, equation: str | None, *, has_preset_options: bool
) -> None:
    """Raise a BadParameter unless exactly one known contrast is given."""
    if sum(each is not None for each in (sequence, preset, equation)) != 1:
        raise typer.BadParameter("give one of --sequence, --preset and --equation.")
    if preset is None and has_preset_options:
        raise typer.BadParameter("--field and --preset-file go with --preset: add it, or leave them out.")
    if sequence is not None and sequence not in SEQUENCES:
        raise typer.BadParameter(f"{sequence!r} is none of {', '.join(SEQUENCES)}.", param_hint="'--sequence'")


def _contrast(
    sequence: str | None,
    preset: str | None,
    equation: str | None,
    settings: dict[str, Any],
    field_strength: float,
    preset_file: Path | None,
) -> tuple[Contrast, tuple[str, ...]]:
    """Contrast of a sequence, a preset or an equation with these settings, and notices about what was assumed."""
    if preset is not None:
        return preset_with(preset, field_strength, preset_file, settings)
    if sequence is None:
        return equation_with(equation or "", settings), ()
    model = sequence_with(SEQUENCES[sequence], settings)
    return model, defaults_of(model, settings)


def _number_or_file(text: str) -> tuple[float, Path | None]:
    """Transmit field and no file if `text` is a number, else 1 and the file that `text` names."""
    try:
        return float(text), None
    except ValueError:
        return 1.0, Path(text)
