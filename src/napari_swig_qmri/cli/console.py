"""What every command shares: a progress bar, refusals in one sentence, results as JSON."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from napari_swig_qmri.progress import is_out_of_memory

if TYPE_CHECKING:
    from napari_swig_qmri.progress import Progress

REFUSED = 1  # exit codes; 2 is a usage error and 130 an interruption
INTERRUPTED = 130

Result = TypeVar("Result")


def say(*sentences: str) -> None:
    """Print for a person, away from the results on standard output."""
    for sentence in sentences:
        typer.echo(sentence, err=True)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    typer.echo(json.dumps(_finite(content), indent=2, default=str))


def drain(steps: Generator[Progress, None, Result]) -> Result:
    """Run a generator of progress to its end under a bar on standard error; what it returns."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Starting", total=1.0)
        try:
            while True:
                step = next(steps)
                bar.update(task, completed=step.fraction, description=step.stage)
        except StopIteration as end:
            bar.update(task, completed=1.0, description="Done")
            result: Result = end.value
            return result
        finally:
            steps.close()


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a person can mend into one sentence on standard error and an exit code."""
    try:
        with _spoken_warnings():
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
def _spoken_warnings() -> Iterator[None]:
    """Show warnings of this package as sentences instead of source lines."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if issubclass(category, UserWarning):
            say(str(message))
        else:
            shown(message, category, *where, **options)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _one_line(error: BaseException) -> str:
    if is_out_of_memory(error):
        return "there is not enough memory: choose a smaller --voxel-size or close other programs."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
