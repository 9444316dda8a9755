"""Options of a super-resolution run, which several commands have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_swig_qmri.cli.guide_sequences import KEYS, sequence_names
from napari_swig_qmri.cli.map_protocol import parse_maps_from, protocol_names
from napari_swig_qmri.cli.parameters import three_numbers
from napari_swig_qmri.super_resolution.options import MAPS_FROM, Options
from napari_swig_qmri.super_resolution.weights import HUB, WEIGHTS

GuideFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--guide", metavar="FILE", help="Weighted image, or a folder that holds weighted images; may be repeated."
    ),
]
Sequences = Annotated[
    list[str] | None,
    typer.Option(
        "--sequence",
        metavar="NAME,KEY=VALUE...",
        autocompletion=sequence_names,
        help="Sequence of a guide, in the order of --guide: spin-echo,TR=500ms,TE=15ms, the name of a preset, or "
        f"auto. Keys are {', '.join(KEYS).upper()}; times without a unit are in ms, angles in degrees. "
        "[default: auto, what its sidecar says]",
    ),
]
Method = Annotated[
    Literal["posterior", "regression", "network"], typer.Option("--method", help="Method of super-resolution.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help=f"Weights of the network: {', '.join(WEIGHTS)}, a file of `swig-qmri train`, or {HUB}OWNER/NAME.",
    ),
]
Adapt = Annotated[
    bool, typer.Option("--adapt", help="Train the network on this subject first, until it no longer improves.")
]
Device = Annotated[Literal["auto", "cuda", "mps", "cpu"], typer.Option("--device", help="Device to compute on.")]
VoxelSize = Annotated[
    str | None,
    typer.Option(
        "--voxel-size",
        metavar="MM",
        help="Voxel size of the result in mm: 1 or 1x1x2. [default: as the finest guide]",
    ),
]
MaskFile = Annotated[Path | None, typer.Option("--mask", metavar="FILE", help="Mask of the voxels to super-resolve.")]
KeepNoise = Annotated[
    bool, typer.Option("--keep-noise", help="Do not average voxels with neighbours that differ by noise only.")
]
LrLock = Annotated[
    bool, typer.Option("--lr-lock", help="Change the maps until they explain the low-resolution ones to their noise.")
]
AllMaps = Annotated[
    bool,
    typer.Option("--all-maps", help="Write maps that were not measured as well, estimated and marked as such."),
]
NoResolution = Annotated[
    bool, typer.Option("--no-resolution", help="Take maps and guides as stored, whatever was measured.")
]
NoPose = Annotated[bool, typer.Option("--no-pose", help="Neither move nor warp guides to the maps.")]
NoField = Annotated[bool, typer.Option("--no-field", help="Leave guides with the shading by their receive coils.")]
B1Map = Annotated[
    Path | None,
    typer.Option(
        "--b1",
        metavar="FILE",
        help="Map of the transmit field (B1+), which the guides are corrected by. [default: *_TB1map in the folder "
        "fmap beside the maps]",
    ),
]
CorrectSequence = Annotated[
    bool,
    typer.Option("--correct-sequence", help="Take the sequence or time that fits a guide, not only report it."),
]
MapsFrom = Annotated[
    str,
    typer.Option(
        "--maps-from",
        metavar="NAME,KEY=VALUE...",
        autocompletion=protocol_names,
        help=f"Protocol that the maps were fitted to: {', '.join(MAPS_FROM)}; settings as in qalas,TR=4.5s,FA=4.",
    ),
]


def run_options(given: Mapping[str, Any]) -> Options:
    """Options of a run from the values of its command's parameters, by name; what a command lacks keeps its default."""
    size = given["voxel_size"]
    same = {each.name: given[each.name] for each in fields(Options) if each.name in given}
    others = {
        "voxel_size": None if size is None else three_numbers(size, "--voxel-size"),
        "resolution": not given["no_resolution"],
        "pose": not given["no_pose"],
        "field": not given["no_field"],
        "maps_from": parse_maps_from(given["maps_from"]),
    }
    return Options(**(same | others))
