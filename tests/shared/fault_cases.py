"""Every way in which the product writes files: a function that writes a value, and one that reads it back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import numpy as np
import pydicom
import torch
from PIL import Image
from volume_cases import AFFINE

from napari_swig_qmri.data.storage.dicom_export import DicomStudy, write_series
from napari_swig_qmri.data.storage.files import describe_dataset, ignore_in_dataset, read_volume, write_volume
from napari_swig_qmri.data.storage.output import write_text
from napari_swig_qmri.data.volumes import Volume, VoxelGrid
from napari_swig_qmri.data.wording import csv_text
from napari_swig_qmri.physics.signal_models import SpinEcho
from napari_swig_qmri.progress import drained
from napari_swig_qmri.super_resolution.network.tensor_files import read_tensors, write_tensors
from napari_swig_qmri.synthesis.presets import Preset, read_presets, write_presets
from napari_swig_qmri.synthesis.protocol import NamedContrast, Protocol, read_protocol, write_protocol
from napari_swig_qmri.synthesis.sheets import Sheet, write_sheet

SHAPE, N_ROWS, N_LINES = (48, 48, 24), 50_000, 500


@dataclass(frozen=True)
class Writer:
    """A kind of file."""

    write: Callable[[Path, int], object]  # of a value, 1 or 2, into a folder
    read: Callable[[Path], set[int]]  # the values in the folder; an error if a file is not whole


def volume(value: int) -> Volume:
    noise = np.random.default_rng(value).uniform(0.1, 0.4, SHAPE).astype(np.float32)  # does not pack well
    return Volume(data=value + noise, grid=VoxelGrid(SHAPE, AFFINE), name="T1w", sidecar={"EchoTime": 0.01 * value})


def values_of(data: np.ndarray) -> set[int]:
    return set(np.unique(np.floor(data)).astype(int).tolist())


def write_image(name: str) -> Callable[[Path, int], object]:
    return lambda folder, value: write_volume(volume(value), folder / name, overwrite=True)


def read_image(name: str) -> Callable[[Path], set[int]]:
    def read(folder: Path) -> set[int]:
        found = read_volume(folder / name)
        assert found.sidecar["EchoTime"] in (0.01, 0.02)
        return values_of(found.data)

    return read


def write_dicom(folder: Path, value: int) -> None:
    study = DicomStudy("x", "1.2", "1.3", pydicom.valuerep.DT("20260101"))
    write_series(volume(value), folder / "dicom", study, 1, f"value {value}" + " x" * 400)


def read_dicom(folder: Path) -> set[int]:
    slices = [pydicom.dcmread(path) for path in (folder / "dicom").glob("[0-9]*.dcm")]
    assert len({each.pixel_array.shape for each in slices}) == 1
    assert len(slices) == SHAPE[2]
    return {int(each.DerivationDescription.split("value ")[1][0]) for each in slices}


def write_picture(folder: Path, value: int) -> None:
    contrasts = (NamedContrast(name=f"value {value}", sequence=SpinEcho(echo_time=0.01, repetition_time=0.5)),)
    sheet = Sheet(protocol=Protocol(contrasts=contrasts), subject="sub-1", volumes=(volume(value),))
    drained(write_sheet(sheet, folder, ["png"], overwrite=True))


def read_picture(folder: Path) -> set[int]:
    with Image.open(folder / "sub-1_sheet.png") as image:
        image.load()
    return {1}


def preset(value: int) -> list[Preset]:
    sequence = SpinEcho(echo_time=0.01, repetition_time=0.5)
    return [Preset(name=f"{value}: {n}", field_strength=3.0, contrast=sequence) for n in range(200)]


def write_toml(folder: Path, value: int) -> None:
    write_presets(folder / "presets.toml", preset(value), overwrite=True)
    contrasts = tuple(NamedContrast(name=each.name, sequence=each.contrast) for each in preset(value))
    write_protocol(Protocol(contrasts=contrasts, title=str(value)), folder / "protocol.toml")


def read_toml(folder: Path) -> set[int]:
    found = read_presets(folder / "presets.toml")
    assert len(found) == len(read_protocol(folder / "protocol.toml").contrasts) == 200
    return {int(each.name[0]) for each in found}


@cache
def table(value: int) -> str:
    return csv_text([[value, n] for n in range(N_ROWS)])


def write_table(folder: Path, value: int) -> None:
    write_text(table(value), folder / "log.csv")


def read_table(folder: Path) -> set[int]:
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [int(row[1]) for row in rows] == list(range(N_ROWS))
    return {int(row[0]) for row in rows}


def write_weights(folder: Path, value: int) -> None:
    tensors = {name: torch.full((200, 200), float(value)) for name in "abcd"}
    write_tensors(folder / "x.safetensors", tensors, {"step": str(value)})


def read_weights(folder: Path) -> set[int]:
    tensors, _ = read_tensors(folder / "x.safetensors")
    return {int(value) for tensor in tensors.values() for value in tensor.unique()}


def write_dataset(folder: Path, value: int) -> None:
    path = folder / ".bidsignore"
    if path.exists() and path.stat().st_size > 300_000:
        path.unlink()  # so that the test does not slow down
    describe_dataset(folder, "x" * 5000)
    ignore_in_dataset(folder, [f"/{uuid4().hex}.{n} {value}" for n in range(N_LINES)])


def read_dataset(folder: Path) -> set[int]:
    assert json.loads((folder / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    path = folder / ".bidsignore"
    lines = path.read_text().split("\n") if path.exists() else [""]
    assert lines.pop() == ""
    assert len(lines) % N_LINES == 0
    return {int(line[-1]) for line in lines}


WRITERS = {
    "NIfTI": Writer(write_image("a_T1w.nii.gz"), read_image("a_T1w.nii.gz")),
    "pair": Writer(write_image("a_T1w.hdr"), read_image("a_T1w.hdr")),
    "DICOM": Writer(write_dicom, read_dicom),
    "PNG": Writer(write_picture, read_picture),
    "TOML": Writer(write_toml, read_toml),
    "CSV": Writer(write_table, read_table),
    "safetensors": Writer(write_weights, read_weights),
    "dataset": Writer(write_dataset, read_dataset),
}


def leftovers(folder: Path) -> Iterator[Path]:
    """Unfinished files in a folder."""
    return (path for path in folder.rglob(".*") if ".part" in path.name)
