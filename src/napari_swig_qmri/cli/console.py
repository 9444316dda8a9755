"""Standard output and standard error of the commands: reports, notices, errors and progress."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

import typer

from napari_swig_qmri.progress import Progress, drained, is_out_of_memory, mapped

REFUSED = 1  # exit codes; 2 is a usage error
INTERRUPTED = 130

Report = dict[str, Any]  # JSON object of a command; its entry "text" is the report in words
T = TypeVar("T")


def say(*sentences: str) -> None:
    """Print sentences on standard error, so that standard output holds results only."""
    for sentence in sentences:
        typer.echo(sentence, err=True)


def print_report(report: Report, as_json: bool) -> None:
    """Print a report on standard output: as JSON, or its text."""
    content = dict(report)
    text = content.pop("text")
    if as_json:
        print_json(content)
    else:
        typer.echo(text)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    typer.echo(json.dumps(_finite(content), indent=2, default=str))


def drain(steps: Generator[Progress, None, T]) -> T:
    """Run a generator of progress to its end with a progress bar on standard error, and return its result."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
    )
    with closing(steps), progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting", total=1.0)
        update = partial(bar.update, task)
        result = drained(mapped(steps, lambda step: update(completed=step.fraction, description=step.stage)))
        update(completed=1.0, description="Done")
    return result


@contextmanager
def refusals() -> Iterator[None]:
    """Report user errors on stderr in one line and exit with 1.

    User errors are unusable input (ValueError, OSError), a missing optional package and too little memory; other
    exceptions pass. An interruption with Ctrl-C exits with 130.
    """
    try:
        with _warnings_as_sentences():
            yield
    except KeyboardInterrupt:
        say("Cancelled.")
        raise typer.Exit(INTERRUPTED) from None
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).split(".")[0]
        say(f"swig-qmri: this needs {package}, which is not installed: run `pip install {package}`.")
        raise typer.Exit(REFUSED) from None
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        say(f"swig-qmri: {_one_line(error)}")
        raise typer.Exit(REFUSED) from None


@contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Print the message of a UserWarning alone, without the source line that Python adds."""
    show_warning = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if issubclass(category, UserWarning):
            say(str(message))
        else:
            show_warning(message, category, *where, **options)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _one_line(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "there is not enough memory: choose a larger --voxel-size or close other programs."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _finite(value: Any) -> Any:
    """JSON-ready copy of a value, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
