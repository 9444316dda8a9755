"""Arguments and options that several commands have, and parsers of option values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

Maps = Annotated[
    list[Path], typer.Argument(metavar="MAPS...", help="PD, T1 and T2 maps: files, or folders that hold them.")
]
OutputFolder = Annotated[
    Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder that the results are written to.")
]
TransmitMap = Annotated[Path | None, typer.Option(metavar="FILE", help="Map of the transmit field (B1+).")]
Units = Annotated[
    Literal["s", "ms"] | None,
    typer.Option(help="Unit of T1 and T2 in MAPS. [default: the unit in their sidecars]"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as a JSON object.")]


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
