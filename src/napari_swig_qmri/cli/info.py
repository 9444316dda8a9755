"""The command ``info``: what is understood of image files, and how to say otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_swig_qmri.cli.console import print_json, refusals, shown
from napari_swig_qmri.cli.parameters import Quiet, examples

if TYPE_CHECKING:
    from napari_swig_qmri.data.recognition.engine import Recognition

_COLUMNS = ("file", "kind", "unit", "sequence", "confidence")
_HOW = """
To say otherwise:
  maps       --t1 FILE, --t2 FILE, --pd FILE say what a file is; --units ms (or s) the unit of T1 and T2
  guides     --guide FILE with --sequence spin-echo,TR=500ms,TE=15ms (or another)
  sidecar    a file of the same name that ends in .json: {"Suffix": "T1map", "Units": "ms"}, or for a guide
             {"Suffix": "T1w", "PulseSequenceType": "MPRAGE", "EchoTime": 0.003, "RepetitionTime": 2.3}"""


def add_info_command(app: typer.Typer) -> None:
    """Add the command ``info`` to a program."""
    app.command("info", epilog=examples("swig-qmri info case", "swig-qmri info t1.nii.gz t2.nii.gz --json"))(_info)


def _info(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files, or folders that hold them.")],
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with an object per image.")] = False,
) -> None:
    """Print what is understood of images: kind, unit, sequence, how sure that is and why, and how to say otherwise."""
    with refusals(quiet):
        from napari_swig_qmri.data.understanding import images_in, understand

        found = {path: understand(path) for path in images_in(paths)}
        if as_json:
            print_json([_object(path, recognised) for path, recognised in found.items()])
        else:
            typer.echo(shown(_text(found)))


def _object(path: Path, recognised: Recognition) -> dict[str, Any]:
    """JSON object of an image."""
    return {
        "file": str(path),
        "kind": recognised.kind,
        "unit": recognised.unit,
        "sequence": recognised.sequence,
        "confidence": recognised.confidence,
        "reasons": list(recognised.reasons),
    }


def _text(found: Mapping[Path, Recognition]) -> str:
    """Table of all images, the reasons for each, and how to say otherwise."""
    rows = [tuple(str(value or "-") for value in list(_object(*item).values())[:5]) for item in found.items()]
    lines = [*_aligned([_COLUMNS, *rows]), "", "Why:"]
    for path, recognised in found.items():
        lines.append(f"  {path}")
        lines += [f"    {reason}" for reason in recognised.reasons]
        if recognised.confidence != "sure":
            lines.append(f"    If wrong: {recognised.how_to_correct}.")
    return "\n".join([*lines, _HOW])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
