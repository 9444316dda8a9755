"""Arguments and options of the commands ``simulate``, ``evaluate``, ``train`` and ``ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_swig_qmri.cli.console import print_report, refusals
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
    three_numbers,
)


def add_study_commands(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        "simulate",
        epilog=examples(
            "swig-qmri simulate -o case",
            "swig-qmri simulate --voxel-size 0.8 --factor 2 --map-noise 0.01 --guide-noise 0.01 --seed 3 -o case",
            "swig-qmri simulate case/truth --factor 1x1x4 --guide T1w --guide T2w -o thick",
        ),
    )(_simulate)
    app.command(
        "evaluate",
        epilog=examples(
            "swig-qmri evaluate out --reference case/truth --mask case/mask.nii.gz",
            "swig-qmri evaluate --t1 t1.nii.gz --units ms --reference case/truth --interpolate --json",
        ),
    )(_evaluate)
    app.command("train", epilog=examples("swig-qmri train training/self-supervised.toml --dry-run"))(_train)
    app.command("ablate", epilog=examples("swig-qmri ablate training/ablation.toml --dry-run"))(_ablate)


def _simulate(
    output: OutputFolder,
    maps: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MAPS",
            help="PD, T1 and T2 maps: files, or folders that hold them. [default: a built-in head]",
        ),
    ] = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
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
    texture: Annotated[
        bool, typer.Option("--texture", help="Make the tissues of the built-in head uneven, as in the demonstration.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the built-in head and of the noise.")] = 0,
    units: Units = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute low-resolution maps and guides from maps or a built-in head, and save them with the truth."""
    edges, size = three_numbers(factor, "--factor"), three_numbers(voxel_size, "--voxel-size")
    given = map_arguments(maps, pd, t1, t2, units, may_be_missing=True)
    with refusals(quiet):
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
            texture=texture,
            seed=seed,
        )
        print_report(simulate_files(given, output, settings, overwrite=overwrite, dry_run=dry_run), as_json)


def _evaluate(
    reference: Annotated[
        list[Path], typer.Option(metavar="MAPS", help="Reference maps: a file or a folder; may be repeated.")
    ],
    maps: Maps = None,
    pd: PdFile = None,
    t1: T1File = None,
    t2: T2File = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Mask of the voxels to score. [default: all reference maps above zero]"),
    ] = None,
    interpolate: Annotated[
        bool, typer.Option("--interpolate", help="Interpolate MAPS to the voxels of the reference by cubic splines.")
    ] = False,
    units: Units = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score maps against reference maps: SSIM, HFEN, NRMSE, and errors per tissue."""
    given = map_arguments(maps, pd, t1, t2, units)
    with refusals(quiet):
        from napari_swig_qmri.cli.study_commands import evaluate_files

        print_report(evaluate_files(given, reference, mask, interpolate=interpolate, dry_run=dry_run), as_json)


def _train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the training; see the folder training/.")
    ],
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a network on simulated subjects. An interrupted run is continued."""
    with refusals(quiet):
        from napari_swig_qmri.cli.study_commands import train_network

        print_report(train_network(config, dry_run=dry_run), as_json)


def _ablate(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="Settings of the study; see the folder training/.")
    ],
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train and score the models of the ablation study. An interrupted study is continued."""
    with refusals(quiet):
        from napari_swig_qmri.cli.study_commands import ablate_models

        print_report(ablate_models(config, dry_run=dry_run), as_json)
