"""Standard output and standard error of the commands: reports, notices, errors and progress."""

from __future__ import annotations

import io
import json
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, redirect_stderr
from typing import Any, TypeVar

import typer

from napari_swig_qmri.data.wording import duration_text, for_terminal, with_names
from napari_swig_qmri.progress import Progress, drained, is_out_of_memory

REFUSED, NOT_TO_BE_USED = 1, 4  # exit codes; 2 is a usage error
INTERRUPTED = 130

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 60.0  # s, between lines of progress

# Options of commands that messages name
NAMED = (
    *("adapt", "all_maps", "b1", "change", "changed_inputs", "device", "guide", "inputs", "interpolate"),
    *("keep_noise", "lr_lock", "maps_from", "mask", "method", "overwrite", "pd", "places", "radius"),
    *("sequence", "t1", "t2", "units", "voxel_size", "weights"),
)
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in NAMED}
_SENTENCES = ("notices", "reasons", "statements")  # entries of reports

Report = dict[str, Any]  # JSON object of a command; its entry "text" is the report in words
T = TypeVar("T")


def shown(text: str) -> str:
    """Text for a terminal, with the options of the commands where messages name those of Python."""
    return for_terminal(with_names(text, _OPTIONS))


def say(*sentences: str) -> None:
    """Print sentences on standard error, so that standard output holds results only."""
    for sentence in sentences:
        typer.echo(shown(sentence), err=True)


def print_report(report: Report, as_json: bool) -> None:
    """Print a report on standard output: as JSON, or its text."""
    content = dict(report)
    text = content.pop("text")
    if as_json:
        named = {key: [with_names(each, _OPTIONS) for each in content[key]] for key in _SENTENCES if key in content}
        print_json({**content, **named})
    else:
        typer.echo(shown(text))


def print_json(content: Mapping[str, Any] | list[Any]) -> None:
    """Print one JSON object or list on standard output; numbers that are not finite become null."""
    typer.echo(json.dumps(finite(content), indent=2, default=str))


def plan_report(statements: Sequence[str], notices: Sequence[str] = (), **more: Any) -> Report:
    """Report of a dry run: one sentence on each thing that the command would do."""
    return {
        "outputs": [],
        "statements": list(statements),
        **more,
        "notices": list(notices),
        "text": "\n".join(statements),
    }


def drain(steps: Generator[Progress, None, T], pause: float = FIRST_PAUSE) -> T:
    """Run a generator of progress to its end and return its result, with its progress on standard error.

    A terminal shows a bar, which disappears at the end. Elsewhere one line is printed `pause` seconds after the start,
    and then at intervals that grow to `LONGEST_PAUSE`.
    """
    shown = _bar() if sys.stderr.isatty() else _lines(pause)
    with closing(steps), shown as show:
        return drained(steps, show)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], object]]:
    """Show progress as a bar."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda step: bar.update(task, completed=step.fraction, description=for_terminal(step.stage))


@contextmanager
def _lines(pause: float) -> Iterator[Callable[[Progress], object]]:
    """Print progress as lines from a thread, so that a long step without progress of its own is not silent."""
    latest, ended, started = [Progress(0.0, "starting")], threading.Event(), time.monotonic()

    def print_lines() -> None:
        wait = pause
        while not ended.wait(wait):
            say(_progress_line(latest[-1], time.monotonic() - started))
            wait = min(1.5 * wait, LONGEST_PAUSE)

    def show(step: Progress) -> None:
        latest[:] = [step]

    printer = threading.Thread(target=print_lines, daemon=True)
    printer.start()
    try:
        yield show
    finally:
        ended.set()
        printer.join()


def _progress_line(step: Progress, elapsed: float) -> str:
    """Line such as ``35 % after 2 min: local regression on the guides, 4 min left``."""
    left = "" if step.seconds_left is None else f", {duration_text(step.seconds_left)} left"
    return f"{100 * step.fraction:3.0f} % after {duration_text(elapsed)}: {step.stage}{left}"


@contextmanager
def refusals(quiet: bool = False) -> Iterator[None]:
    """Report user errors on stderr in one line and exit with 1.

    User errors are unusable input (ValueError, OSError), a missing optional package and too little memory; other
    exceptions pass. An interruption with Ctrl-C exits with 130. If `quiet`, nothing else is printed on stderr.
    """
    try:
        with redirect_stderr(io.StringIO()) if quiet else nullcontext(), _warnings_as_sentences():
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
        return "there is not enough memory: choose a larger `voxel_size` or close other programs."
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def finite(value: Any) -> Any:
    """JSON-ready copy of a value, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
