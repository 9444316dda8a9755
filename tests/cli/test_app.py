"""The program as a whole: help, version, start, interruption, and the page that describes it."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import typer
from cli_cases import Run
from paths import DOCS
from typer.testing import CliRunner

from napari_swig_qmri.cli.app import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_every_option_in_a_sentence(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.exit_code == 0
    for parameter in COMMANDS[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", done.stdout), option
        assert re.fullmatch(r"[A-Z].*[.\])]", parameter.help or ""), f"{parameter.opts}: {parameter.help!r}"
        assert " ".join(parameter.help.split()) in " ".join(done.stdout.split()).replace("- ", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_that_the_command_understands(run: Run, name: str) -> None:
    shown = run(name, "-h").stdout
    lines = [line.strip() for line in COMMANDS[name].epilog.splitlines() if "swig-qmri" in line]
    assert lines
    for line in lines:
        assert line in shown
        program, command, *words = shlex.split(line)
        assert (program, command) == ("swig-qmri", name)
        COMMANDS[name].make_context(name, words)  # raises for options and values that are unknown


def test_shells_complete_commands_options_and_names(run: Run) -> None:
    def completed(words: str) -> str:
        environment = {"_SWIG_QMRI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return CliRunner().invoke(app, [], env=environment, prog_name="swig-qmri").stdout

    assert "super-resolve" in completed("swig-qmri super")
    assert "--voxel-size" in completed("swig-qmri super-resolve --voxel")
    assert "spin-echo" in completed("swig-qmri super-resolve --sequence spin")
    assert "mprage" in completed("swig-qmri synthesize --sequence mpr")
    assert "T2w TSE" in completed("swig-qmri synthesize --preset T2w")


def test_a_command_alone_and_the_program_describe_themselves(run: Run) -> None:
    listed = run("--help").stdout
    for name, command in COMMANDS.items():
        assert re.fullmatch(r"[A-Z].*\.", command.help), name
        assert f"  {name} " in listed
    assert run("--version").stdout[0].isdigit()


def test_help_starts_without_torch_and_nibabel() -> None:
    code = (
        "import sys; sys.argv = ['swig-qmri', '--help']\n"
        "from napari_swig_qmri.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'nibabel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"


@pytest.mark.slow
def test_the_commands_of_the_how_to_page_run_one_after_another(run: Run) -> None:
    lines = (DOCS / "howto" / "command-line.md").read_text(encoding="utf-8").splitlines()
    page = (DOCS / "howto" / "compare.md").read_text(encoding="utf-8")
    _, protocol, _ = re.split(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    Path("brain.toml").write_text(protocol, encoding="utf-8")  # the protocol that the page names
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("swig-qmri ")]
    assert len(commands) > 8
    commands[0] += ["--voxel-size", "5"]  # faster than the default of 1 mm
    for words in commands:
        result = run(*(word.replace("1x1x2", "5x5x10") for word in words))
        assert result.exit_code == 0, f"{words}: {result.stderr}"
    (code,) = (line.split('"', 1)[1].rstrip('"') for line in lines if line.startswith("python -c"))
    exec(code)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_stops_a_real_process_cleanly(tmp_path: Path) -> None:
    code = "from napari_swig_qmri.cli.app import main; main()"
    command = [sys.executable, "-c", code, "simulate", "--voxel-size", "0.6", "-o", "case"]
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background may inherit SIG_IGN
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True, preexec_fn=default) as process:
        time.sleep(4)  # loaded, with work for half a minute left
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Cancelled." in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob("*.nii.gz"))
