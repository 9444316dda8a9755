"""What is loaded when napari first uses the plugin."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_swig_qmri._napari.activation import DOCKS

LOADING = "from napari_swig_qmri._napari.activation import load_docks; load_docks().join()"


@pytest.mark.slow
def test_the_docks_load_in_a_thread_and_without_torch() -> None:
    code = f"import sys; {LOADING}; print(*[name for name in {(*DOCKS, 'torch')} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(DOCKS)
