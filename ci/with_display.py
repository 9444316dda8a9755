"""Run a Python script on the current display, or on a virtual one (Xvfb) if there is none."""

from __future__ import annotations

import os
import shutil
import sys


def command(arguments: list[str]) -> list[str]:
    """Return the command line that runs ``python arguments`` with a display."""
    python = [sys.executable, *arguments]
    has_screen = not sys.platform.startswith("linux") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    xvfb_run = shutil.which("xvfb-run")
    if has_screen:
        return python
    if xvfb_run is None:
        print("There is neither a display nor Xvfb: no window can open. See ci/system_packages.py.")
        return python
    return [xvfb_run, "-a", "-s", "-screen 0 1600x1200x24", *python]


if __name__ == "__main__":
    words = command(sys.argv[1:])
    os.execv(words[0], words)
