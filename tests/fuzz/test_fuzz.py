"""Damaged inputs are read or refused in one sentence: no other failure, nothing slow, and no memory that is not theirs.

`pytest -q tests/fuzz -s` tries as many damaged inputs as a minute allows, the same time for every kind, and prints how
many were read and refused; `SWIG_FUZZ=2000` in front of it, 2000 of every kind. The generator of an input depends on
its kind and number alone.
"""

from __future__ import annotations

import gzip
import logging
import os
import resource
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from fuzz_mutators import BINARY, TEXT, damaged
from fuzz_seeds import images, texts, weights
from volume_cases import AFFINE, numbered

from napari_swig_qmri._napari.reader import read
from napari_swig_qmri.data.interpretation import as_guide, is_map
from napari_swig_qmri.data.storage.files import read_folder, read_volumes
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.super_resolution.network.model import SwigNet
from napari_swig_qmri.super_resolution.network.training import read_config
from napari_swig_qmri.synthesis.presets import read_presets
from napari_swig_qmri.synthesis.protocol import read_protocol

pytestmark = pytest.mark.slow  # three seconds for every kind of input
N = int(os.environ.get("SWIG_FUZZ", "0"))  # inputs of a kind; 0: as many as there is time for, and the fewest at least
FEWEST, N_KINDS, BUDGET = 20, 18, 60.0  # s for all kinds
LONGEST, MOST_MEMORY = 5.0, 300.0  # s for one input; MB for all of a kind, beyond twice the largest
IMAGES, TEXTS = images(), texts()
WORDS = 700  # characters of a message


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No warnings of libraries, which are errors in other tests."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def numbers() -> Iterator[int]:
    """Numbers of the inputs of a kind."""
    end = time.monotonic() + BUDGET / N_KINDS
    for number in count():
        if number == N > 0 or (N == 0 and number >= FEWEST and time.monotonic() > end):
            return
        yield number


def tried(kind: str, make: Callable[[np.random.Generator], bytes], use: Callable[[bytes], object]) -> Counter[str]:
    """Use inputs, and count those that were read and refused; AssertionError names the first that fails."""
    outcomes: Counter[str] = Counter()
    before, largest = _memory(), 0
    for number in numbers():
        content = make(np.random.default_rng((zlib.crc32(kind.encode()), number)))
        largest, started = max(largest, _unpacked(content)), time.process_time()
        try:
            use(content)
            outcomes["read"] += 1
        except (ValueError, OSError) as refusal:
            outcomes["refused"] += 1
            text = str(refusal)
            assert 10 < len(text) < WORDS, (kind, number, text)
            assert "\n" not in text, (kind, number, text)
        except Exception as failure:
            raise AssertionError(f"{kind} {number}: {type(failure).__name__}: {failure}") from failure
        seconds = time.process_time() - started
        assert seconds < LONGEST, (kind, number, seconds)
    grown = _memory() - before
    assert grown < 2 * largest / 1e6 + MOST_MEMORY, (kind, grown)
    print(f"\n{kind}: {outcomes['read']} read, {outcomes['refused']} refused, {grown:.0f} MB", end="")
    return outcomes


def _memory() -> float:
    """Largest memory so far in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _unpacked(content: bytes) -> int:
    """Size of a file after unpacking, as far as it can be unpacked."""
    if content[:2] != b"\x1f\x8b":
        return len(content)
    unpacker = zlib.decompressobj(31)
    try:
        return len(unpacker.decompress(content))
    except zlib.error:
        return len(content)


def use_image(path: Path) -> None:
    """Everything that reads an image: the volume, the guide, the layer."""
    for volume in read_volumes(path):
        if not is_map(volume):
            as_guide(volume)
    read(path)


@pytest.mark.parametrize("kind", IMAGES)
def test_images(tmp_path: Path, kind: str) -> None:
    name, seeds = IMAGES[kind]
    if kind.endswith("of a pair"):
        nib.Nifti1Pair(numbered(), AFFINE).to_filename(tmp_path / name)

    def use(content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        use_image(tmp_path / name)

    assert tried(kind, lambda generator: damaged(seeds, BINARY, generator), use)["refused"]


def test_packed_images_with_damaged_headers(tmp_path: Path) -> None:
    _, seeds = IMAGES["NIfTI-1"]

    def use(content: bytes) -> None:
        (tmp_path / "a.nii.gz").write_bytes(content)
        use_image(tmp_path / "a.nii.gz")

    assert tried("headers", lambda generator: gzip.compress(damaged(seeds, BINARY, generator), 1), use)["refused"]


def test_sidecars(tmp_path: Path) -> None:
    for name in ("sub-1_T2w", "x"):
        nib.save(nib.Nifti1Image(numbered(), AFFINE), tmp_path / f"{name}.nii")

    def use(content: bytes) -> None:
        for name in ("sub-1_T2w", "x"):
            (tmp_path / f"{name}.json").write_bytes(content)
            use_image(tmp_path / f"{name}.nii")

    assert tried("sidecar", lambda generator: damaged(TEXTS["sidecar"], TEXT, generator), use)[
        "read"
    ]  # a damaged sidecar does not block its image


def test_folders_lose_nothing_but_the_damaged_file(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(numbered(), AFFINE), tmp_path / "sub-1_T1w.nii")
    kinds = [kind for kind in IMAGES if not kind.endswith("of a pair")]
    turns = count()

    def use(content: bytes) -> None:
        name = IMAGES[kinds[next(turns) % len(kinds)]][0]
        path = tmp_path / f"sub-[2**\x1b_<b>=1_{name}"
        path.write_bytes(content)
        found = [volume.path for volume in read_folder(tmp_path)]
        assert tmp_path / "sub-1_T1w.nii" in found
        assert len(read([tmp_path / "sub-1_T1w.nii", path])) >= 1
        path.unlink()

    def make(generator: np.random.Generator) -> bytes:
        return damaged(IMAGES[kinds[int(generator.integers(len(kinds)))]][1], BINARY, generator)

    outcomes = tried("folder", make, use)
    assert outcomes["read"]
    assert not outcomes["refused"]


def use_equation(content: bytes) -> None:
    maps = [torch.full((1, 1, 2, 2, 2), value) for value in (0.8, 1.2, 0.08)]
    equation = UserEquation(text=content.decode("utf-8", "replace"))
    assert equation(*maps).isfinite().all()
    assert isinstance(equation.degree_in_pd, float | None)


READERS: dict[str, Callable[[Path], object]] = {
    "presets": read_presets,
    "protocol": read_protocol,
    "training": read_config,
}


@pytest.mark.parametrize("kind", READERS)
def test_toml_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.toml"

    def use(content: bytes) -> None:
        path.write_bytes(content)
        READERS[kind](path)

    outcomes = tried(kind, lambda generator: damaged(TEXTS[kind], TEXT, generator), use)
    assert outcomes["refused"]


def test_equations() -> None:
    assert tried("equation", lambda generator: damaged(TEXTS["equation"], TEXT, generator), use_equation)["refused"]


@pytest.mark.parametrize("mutators", [BINARY, TEXT], ids=["bytes", "header"])
def test_weights(tmp_path: Path, mutators: tuple) -> None:
    path = tmp_path / "net.safetensors"

    def use(content: bytes) -> None:
        path.write_bytes(content)
        SwigNet.from_pretrained(path)

    assert tried(f"weights {len(mutators)}", lambda generator: damaged([weights()], mutators, generator), use)[
        "refused"
    ]
