"""Messages name an option as in Python, so that command line and window can name it as their readers know it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import typer

import napari_swig_qmri
from napari_swig_qmri.cli.app import app
from napari_swig_qmri.cli.console import NAMED
from napari_swig_qmri.super_resolution.options import Options

SOURCE = Path(napari_swig_qmri.__file__).parent
SHARED = ("data", "evaluation", "physics", "simulation", "super_resolution", "synthesis")  # by all front ends
OPTIONS = {each.name for each in fields(Options)}
IN_PYTHON_ALONE = {"lr_noise"}


def messages(path: Path) -> Iterator[str]:
    """Texts of more than one word in a module, without docstrings; ``{}`` stands for what is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Expr) for part in parts(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if " " in text:
            yield text


def parts(node: ast.JoinedStr | ast.Expr) -> list[ast.expr]:
    """Pieces of an f-string, or the text that a statement consists of: a docstring."""
    return list(node.values) if isinstance(node, ast.JoinedStr) else [node.value]


def faults(text: str) -> list[str]:
    """What a message does that not every reader understands."""
    unknown = set(re.findall(r"`(\w+)`", text)) - set(NAMED) - IN_PYTHON_ALONE
    bare = {each for each in re.findall(r"\w+", re.sub(r"`\w+`", "", text)) if each in OPTIONS and "_" in each}
    of_commands = re.findall(r"(?<![\w-])--[a-z][\w-]*|\bcommand line\b|\bin Python\b|\b\w+=True\b", text)
    return sorted({*unknown, *bare, *of_commands})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("leave out maps_from.", ["maps_from"]),
        ("give --units ms, units= in Python.", ["--units", "in Python"]),
        ("choose a smaller `voxle_size`.", ["voxle_size"]),
        ("choose a smaller `voxel_size` - or {} -- of `swig-qmri train`.", []),
    ],
)
def test_a_planted_name_is_found(text: str, found: list[str]) -> None:
    assert faults(text) == found


def test_messages_that_all_front_ends_show_leave_the_names_of_options_to_them() -> None:
    modules = [path for package in SHARED for path in (SOURCE / package).rglob("*.py")]
    told = {f"{path.relative_to(SOURCE)}: {text}": faults(text) for path in modules for text in messages(path)}
    assert len(told) > 300  # messages are found at all
    assert not {text: found for text, found in told.items() if found}, "name options in backquotes, as in Python"


def test_names_on_the_command_line_are_options_of_commands() -> None:
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    options = {each for command in commands for parameter in command.params for each in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in NAMED} <= options
