"""Time that each sample takes to open, with its imports, in a process of its own.

    python benchmarks/samples.py

On a busy machine only the processor time counts; several cores share it.
"""

from __future__ import annotations

import subprocess
import sys

SAMPLES = ("phantom_1mm", "phantom_2mm", "low_resolution_case")
CODE = """
import time
started = time.perf_counter()
from napari_swig_qmri._napari import sample_data
sample_data.{name}()
print(f"{name}: {{time.perf_counter() - started:.1f}} s, {{time.process_time():.1f}} s of processor time")
"""


def main() -> None:
    for name in SAMPLES:
        subprocess.run([sys.executable, "-c", CODE.format(name=name)], check=True)


if __name__ == "__main__":
    main()
