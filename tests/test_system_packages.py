"""First step of the tox environments: install what is missing and nothing else, where that is possible."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux packages")


def write_command(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def fake_system(folder: Path, *, present: str = "", user: int = 0, sudo_status: int | None = None) -> Path:
    """A PATH with an apt-get that logs its words and a dpkg-query that knows the packages of `present`."""
    write_command(folder, "apt-get", f'echo "$DEBIAN_FRONTEND apt-get $*" >> {folder}/log')
    known = "|".join(present.split()) or "none"
    write_command(folder, "dpkg-query", f'case "$3" in {known}) printf installed;; *) exit 1;; esac')
    if sudo_status is not None:
        write_command(
            folder,
            "sudo",
            f'[ {sudo_status} = 0 ] || exit 1; shift; echo "sudo" >> {folder}/log; "$@"',
        )
    (folder / "env").symlink_to("/usr/bin/env")
    (folder / "sitecustomize.py").write_text(f"import os\nos.geteuid = lambda: {user}\n")
    return folder


def run(folder: Path) -> tuple[str, str]:
    environment = {"PATH": str(folder), "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "ci" / "system_packages.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    log = folder / "log"
    return done.stdout, log.read_text() if log.exists() else ""


def test_root_installs_exactly_the_missing_packages(tmp_path: Path) -> None:
    everything_else = (
        "libglib2.0-0t64 libdbus-1-3 libfontconfig1 libegl1 libgl1 libxkbcommon0 xauth "
        "libxcb-cursor0 libxcb-keysyms1 libxcb-shape0 libxkbcommon-x11-0"
    )
    _, log = run(fake_system(tmp_path, present=everything_else))
    assert log.splitlines() == [
        "noninteractive apt-get update",
        "noninteractive apt-get install -y --no-install-recommends xvfb libxcb-icccm4",
    ]


def test_sudo_without_password_is_used(tmp_path: Path) -> None:
    _, log = run(fake_system(tmp_path, user=1000, sudo_status=0))
    words = [line.split(" libglib")[0] for line in log.splitlines()]
    assert words == [
        "sudo",  # asks whether it may
        "sudo",
        "noninteractive apt-get update",
        "sudo",
        "noninteractive apt-get install -y --no-install-recommends",
    ]


def test_a_plain_user_gets_the_line_to_run_and_goes_on(tmp_path: Path) -> None:
    printed, log = run(fake_system(tmp_path, user=1000, sudo_status=1))
    assert "sudo apt-get install -y --no-install-recommends libglib2.0-0" in printed
    assert log == ""


def test_other_systems_get_the_names_and_go_on(tmp_path: Path) -> None:
    (tmp_path / "env").symlink_to("/usr/bin/env")
    printed, log = run(tmp_path)
    assert "xvfb" in printed
    assert log == ""


def test_failing_apt_does_not_stop_the_caller(tmp_path: Path) -> None:
    folder = fake_system(tmp_path)
    write_command(folder, "apt-get", "exit 100")
    printed, _ = run(folder)
    assert "Going on without some of: libglib2.0-0" in printed


def import_script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "ci"))
    return import_module(name)


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="needs dpkg")
def test_a_real_dpkg_query_understands_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    is_installed = import_script("system_packages", monkeypatch).is_installed
    assert is_installed("dpkg")
    assert not is_installed("no-such-package-here")


def test_a_script_runs_on_the_screen_or_on_xvfb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = import_script("with_display", monkeypatch).command
    write_command(tmp_path, "xvfb-run", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    assert command(["demo.py"]) == [sys.executable, "demo.py"]
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert command(["demo.py"])[0] == str(tmp_path / "xvfb-run")
    assert command(["demo.py"])[-2:] == [sys.executable, "demo.py"]
