"""Arguments and options that several commands have, and parsers of option values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

Maps = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="MAPS", help="PD, T1 and T2 maps: files, or folders that hold them; or use --pd, --t1 and --t2."
    ),
]
PdFile = Annotated[Path | None, typer.Option("--pd", metavar="FILE", help="PD map, whatever the name of the file.")]
T1File = Annotated[
    Path | None, typer.Option("--t1", metavar="FILE", help="T1 or R1 map, whatever the name of the file.")
]
T2File = Annotated[
    Path | None, typer.Option("--t2", metavar="FILE", help="T2 or R2 map, whatever the name of the file.")
]
OutputFolder = Annotated[
    Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder that the results are written to.")
]
TransmitMap = Annotated[Path | None, typer.Option(metavar="FILE", help="Map of the transmit field (B1+).")]
Units = Annotated[
    Literal["s", "ms"] | None,
    typer.Option(help="Unit of T1 and T2 in the maps. [default: the unit in their sidecars]"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and write nothing.")]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print no progress and no notices, only the result and errors.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as a JSON object.")]


@dataclass(frozen=True, kw_only=True)
class MapArguments:
    """Maps as they are named on the command line."""

    paths: Sequence[Path]  # files and folders
    named: Mapping[str, Path]  # files by the quantity that they hold: PD, T1 or T2
    units: Literal["s", "ms"] | None  # of T1 and T2; None if the files say it


def map_arguments(
    maps: Sequence[Path] | None,
    pd: Path | None,
    t1: Path | None,
    t2: Path | None,
    units: Literal["s", "ms"] | None,
    *,
    may_be_missing: bool = False,
) -> MapArguments:
    """Maps of the arguments of a command; a BadParameter if there are none, unless they may be missing."""
    named = {name: path for name, path in (("PD", pd), ("T1", t1), ("T2", t2)) if path is not None}
    if not maps and not named and not may_be_missing:
        raise typer.BadParameter("give maps: files, a folder that holds them, or --pd, --t1 and --t2.")
    return MapArguments(paths=tuple(maps or ()), named=named, units=units)


def examples(*commands: str) -> str:
    """End of the help of a command: one command per line."""
    return "\n".join(("Examples:\n\n\b", *(f"  {command}" for command in commands)))


def three_numbers(text: str, option: str) -> tuple[float, float, float]:
    """One positive number per axis, from ``2`` or ``1x1x4``.

    Raises
    ------
    typer.BadParameter
        If `text`, the value of `option`, is neither one nor three positive numbers.
    """
    try:
        numbers = [float(part) for part in text.lower().split("x")]
    except ValueError:
        numbers = []
    numbers = numbers * 3 if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise typer.BadParameter(f"{text!r} is not one number, as 2, or three, as 1x1x4.", param_hint=f"'{option}'")
    return numbers[0], numbers[1], numbers[2]
