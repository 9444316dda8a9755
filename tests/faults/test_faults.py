"""Planted faults: writers that are killed, full disks, folders that may not be written to. Files stay whole.

All of them: `pytest -q tests/faults`. Processes are forked, so that they start in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fault_cases import WRITERS, Writer, leftovers

pytestmark = [
    pytest.mark.slow,  # fifty processes are started and killed for every kind of file
    pytest.mark.skipif(sys.platform != "linux", reason="forks and kills processes"),
]
FORK = multiprocessing.get_context("fork") if sys.platform == "linux" else None
N_KILLED = 50
LIMIT = 2048  # bytes of a file on the full disk


def write_for_ever(writer: Writer, folder: Path) -> None:
    value = 1
    while True:
        writer.write(folder, value)
        value = 3 - value


def wait(folder: Path, generator: np.random.Generator, *, for_a_write: bool) -> None:
    """Wait for a random time, after a write has begun or in any case."""
    end = time.monotonic() + 2
    while for_a_write and not any(leftovers(folder)) and time.monotonic() < end:
        time.sleep(0.0002)
    time.sleep(generator.uniform(0, 0.003 if for_a_write else 0.1))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_killed_write_leaves_the_old_file_or_the_new_one(tmp_path: Path, kind: str) -> None:
    writer, generator = WRITERS[kind], np.random.default_rng(1)
    for value in (2, 1):
        writer.write(tmp_path, value)
    n_unfinished = 0
    for number in range(N_KILLED):
        process = FORK.Process(target=write_for_ever, args=(writer, tmp_path))
        process.start()
        wait(tmp_path, generator, for_a_write=number % 2 == 0)
        process.kill()
        process.join()
        assert writer.read(tmp_path) <= {1, 2}
        unfinished = list(leftovers(tmp_path))
        n_unfinished += bool(unfinished)
        for path in unfinished:
            path.unlink()
    print(f"\n{kind}: {N_KILLED} killed, {n_unfinished} of them within a write", end="")
    assert n_unfinished  # otherwise nothing was tested


def in_a_process(action: Callable[[], object]) -> str:
    """Name and message of the error that an action raises in a process of its own; empty if it raises none."""
    reader, writer = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            action()
            writer.send("")
        except Exception as error:
            writer.send(f"{'OSError' if isinstance(error, OSError) else type(error).__name__}: {error}")

    process = FORK.Process(target=run)
    process.start()
    text = reader.recv() if reader.poll(60) else "no answer"
    process.join()
    return text


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, kind: str) -> None:
    writer = WRITERS[kind]
    writer.write(tmp_path, 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        writer.write(tmp_path, 2)

    assert "OSError" in in_a_process(fail)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_that_may_not_be_written_to_is_an_error(tmp_path: Path, kind: str) -> None:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    place = tmp_path / "closed"
    place.mkdir(mode=0o755)
    WRITERS[kind].write(place, 1)
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o555)

    def fail() -> None:
        if os.geteuid() == 0:  # who may write everywhere
            os.seteuid(65534)
        WRITERS[kind].write(place, 2)

    assert "OSError" in in_a_process(fail)
    assert WRITERS[kind].read(place) == {1}
