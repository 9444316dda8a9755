"""What is printed where, and how errors and interruptions end a command."""

from __future__ import annotations

import io
import json
import time
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest
import typer

from napari_swig_qmri.cli.console import drain, print_report, refusals, say
from napari_swig_qmri.progress import Progress


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("T1 is\n  wrong."), 1, "swig-qmri: T1 is wrong."),
        (ValueError(), 1, "swig-qmri: ValueError"),
        (ValueError("leave out `all_maps`."), 1, "swig-qmri: leave out --all-maps."),
        (FileNotFoundError(2, "No such file", "maps"), 1, "swig-qmri: maps: No such file."),
        (OSError("disk full"), 1, "swig-qmri: disk full"),
        (MemoryError(), 1, "swig-qmri: there is not enough memory: choose a larger --voxel-size or"),
        (RuntimeError("CUDA out of memory"), 1, "swig-qmri: there is not enough memory"),
        (ModuleNotFoundError("No module named 'torch.fft'", name="torch.fft"), 1, "swig-qmri: this needs torch, which"),
        (KeyboardInterrupt(), 130, "Cancelled."),
    ],
)
def test_user_errors_are_one_line_on_stderr(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, sentence: str
) -> None:
    with pytest.raises(typer.Exit) as end, refusals():
        raise error
    printed = capsys.readouterr()
    assert end.value.exit_code == code
    assert printed.err.startswith(sentence)
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


def test_other_errors_are_not_caught() -> None:
    with pytest.raises(RuntimeError, match="a bug"), refusals():
        raise RuntimeError("a bug")


def test_user_warnings_are_printed_as_sentences_and_other_warnings_are_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with refusals():
            warnings.warn("The table is missing.", UserWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "The table is missing.\n"
    assert [each.category for each in others] == [DeprecationWarning]


def steps(seconds: float, stage: str = "half [/b] \x1b[31m") -> Generator[Progress, None, int]:
    yield Progress(0.5, stage, 90.0)
    time.sleep(seconds)
    return 7


def test_short_work_is_silent_and_long_work_prints_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    assert drain(steps(0)) == 7
    assert capsys.readouterr().err == ""
    assert drain(steps(0.3), pause=0.05) == 7
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert set(lines) == {r" 50 % after 1 s: half [/b] \x1b[31m, 90 s left"}
    assert 1 <= len(lines) <= 4  # after 0.05, 0.125 and 0.24 s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_that_is_gone_before_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", screen := Terminal())
    monkeypatch.setenv("TERM", "xterm")

    def failing() -> Generator[Progress, None, None]:
        yield Progress(0.5, "half [/b]")
        time.sleep(0.3)
        raise ValueError("The file t1.nii is empty.")

    with pytest.raises(typer.Exit), refusals():
        drain(failing())
    shown, _, rest = screen.getvalue().rpartition("\x1b[2K")  # clears the line of the bar
    assert "half [/b]" in shown
    assert rest.strip().startswith("swig-qmri: The file t1.nii is empty.")


def test_quiet_leaves_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        say("T1 was assumed to be in ms.")
        drain(steps(0.1), pause=0.01)
        warnings.warn("The table is missing.", UserWarning, stacklevel=1)
        raise ValueError("T1 is wrong.")

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(typer.Exit), refusals(quiet=True):
            work()
    assert capsys.readouterr().err == "swig-qmri: T1 is wrong.\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_drain_closes_the_work_when_it_is_interrupted(error: type[BaseException]) -> None:
    def steps() -> Generator[Progress, None, None]:
        yield Progress(0.1, "working")
        raise error

    work = steps()
    with pytest.raises(error):
        drain(work)
    assert work.gi_frame is None


def test_a_report_is_text_or_json_with_null_for_numbers_that_are_not_finite(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = {"a": float("nan"), "b": [1.0, float("inf")], "c": Path("x"), "notices": ("use `t1`",), "text": "`t1`"}
    print_report(report, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.0, None], "c": "x", "notices": ["use --t1"]}
    print_report(report, as_json=False)
    assert capsys.readouterr().out == "--t1\n"
