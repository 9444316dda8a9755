"""The installed plugin in a napari of its own, started from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from volume_cases import numbered, volume

from napari_swig_qmri.data.storage.files import write_volume

pytestmark = [pytest.mark.gui, pytest.mark.slow]

# Runs `napari` with the words after it, reports what the window holds once the event loop runs, and closes it.
NAPARI = """
import json, sys
from napari import current_viewer
from napari.__main__ import main
from napari._qt.qt_event_loop import get_qapp
from qtpy.QtCore import QTimer

def look():
    if not app.thread().loopLevel():  # napari is still opening the file
        return
    timer.stop()
    viewer = current_viewer()
    (menu,) = [action.menu() for action in viewer.window.plugins_menu.actions() if "SWIG" in action.text()]
    for action in menu.actions():
        action.trigger()
    seen = {
        "layers": [layer.name for layer in viewer.layers],
        "menu": [action.text() for action in menu.actions()],
        "docks": list(viewer.window.dock_widgets),
    }
    print(json.dumps(seen))
    viewer.close()

app = get_qapp()
timer = QTimer(interval=50)
timer.timeout.connect(look)
timer.start()
main()
"""


def test_napari_opens_a_file_and_its_menu_opens_the_docks(tmp_path: Path) -> None:
    write_volume(volume(suffix="T1map", unit="s", data=numbered() / 100), tmp_path / "vol.nii")
    words = [sys.executable, "-c", NAPARI, "--plugin", "napari-swig-qmri", "vol.nii"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["layers"] == ["vol (ms)"]
    assert [title.split(" (")[0] for title in seen["menu"]] == ["Super-resolve", "Synthesize", "Inspect"]
    assert seen["docks"] == seen["menu"]
