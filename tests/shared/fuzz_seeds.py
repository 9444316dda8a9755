"""Valid inputs that the fuzzer damages: small image files, sidecars, TOML files, weights and equations."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from volume_cases import AFFINE, numbered

from napari_swig_qmri.super_resolution.network.model import NetworkConfig, SwigNet
from napari_swig_qmri.synthesis.protocol import Protocol, write_protocol

SIDECARS = (
    {"EchoTime": 0.09, "RepetitionTime": 5, "EchoTrainLength": 16, "ScanningSequence": ["SE"], "Units": "ms"},
    {"EchoTime": "90 ms", "SeriesDescription": "t2 tse", "ImageType": ["ORIGINAL", "PRIMARY", "T2 MAP"]},
    {
        "00180081": {"vr": "DS", "Value": [12, 34.5]},
        "InversionTime": [0.7, 2.7],
        "FlipAngle": [4, 5],
        "NumberShots": 176,
    },
    {"Suffix": "T1map", "Units": "0.1 ms", "Sources": ["a", "b"], "GeneratedBy": [{"Name": "x", "Version": "1"}]},
    {"SignalEquation": "PD * exp(-TE/T2)", "EchoTime": 0.02, "PulseSequenceDetails": "", "Description": "T1 map (s)"},
)
PRESETS = """
[[preset]]
name = "T2w long"
field_strength = 3.0
sequence = "tse"
source = "ours"
settings = { repetition_time = 6000.0, echo_time = 120.0, echo_train_length = 16, echo_spacing = 10.0 }

[[preset]]
name = "Ratio"
field_strength = 1.5
sequence = "equation"
equation = "PD * exp(-TE/T2)"
settings = { echo_time = 20.0 }
"""
TRAINING = """
output = "out"
examples = "examples"
n_steps = 10
learning_rate = 4e-4
network = {width = 4, n_blocks = 1}
terms = {guides = 0.5}
train = [{scheme = "phantom", files = ["1", "2"]}]
validation = [{scheme = "brainweb", files = ["a.nii.gz"]}]
"""
EQUATIONS = (
    "PD * (1 - exp(-TR/T1)) * exp(-TE/T2)",
    "abs(1 - 2*exp(-TI/T1) + exp(-TR/T1)) * sin(FA)",
    "minimum(T1, 2.5e-1) / maximum(T2s, 1E-3) ** 2 - -+3",
    "sqrt(log(1 + PD)) * cos(tan(FA))",
)


def images() -> dict[str, tuple[str, tuple[bytes, ...]]]:
    """By kind: a file name and the contents of valid files."""
    singles, pairs = _niftis(), _pairs()
    mgh = (nib.MGHImage(numbered(), AFFINE).to_bytes(), nib.MGHImage(numbered(dtype=np.int16), AFFINE).to_bytes())
    minc = Path(nib.__file__).parent / "tests" / "data" / "tiny.mnc"
    return {
        "NIfTI-1": ("sub-1_T1map.nii", singles),
        "NIfTI-2": ("sub-1_T2map.nii", (nib.Nifti2Image(numbered(), AFFINE).to_bytes(),)),
        "packed NIfTI": ("sub-1_T1w.nii.gz", tuple(map(gzip.compress, singles))),
        "unpacked name": ("sub-1_T1w.nii", (gzip.compress(singles[0]), singles[1])),
        "header of a pair": ("sub-1_PDmap.hdr", tuple(header for header, _ in pairs)),
        "image of a pair": ("sub-1_PDmap.img", tuple(image for _, image in pairs)),
        "FreeSurfer": ("brain.mgh", mgh),
        "packed FreeSurfer": ("brain.mgz", tuple(map(gzip.compress, mgh))),
        "MINC": ("t1.mnc", (minc.read_bytes(),)),
    }


def _niftis() -> tuple[bytes, ...]:
    scaled = nib.Nifti1Image(numbered(dtype=np.int16), AFFINE)
    scaled.header.set_slope_inter(0.5, -3)
    scaled.header["descrip"] = b"T1 map (ms); TE=12;TR=600"
    extended = nib.Nifti1Image(numbered(), AFFINE)
    extended.header.extensions.append(Nifti1Extension("comment", b"a comment"))
    extended.header.extensions.append(Nifti1Extension(2, b""))
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    series = nib.Nifti1Image(numbered((4, 4, 3, 2)), AFFINE)
    others = [nib.Nifti1Image(np.ones((3, 3, 3), kind), AFFINE) for kind in (np.complex64, np.uint8, np.float64)]
    return tuple(each.to_bytes() for each in (scaled, extended, nib.Nifti1Image(colours, AFFINE), series, *others))


def _pairs() -> tuple[tuple[bytes, bytes], ...]:
    found = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.hdr"
        for kind in (nib.Nifti1Pair, nib.Nifti2Pair, nib.Spm2AnalyzeImage, nib.AnalyzeImage):
            kind(numbered(), np.diag([2, 3, 4, 1.0])).to_filename(path)
            found.append((path.read_bytes(), path.with_suffix(".img").read_bytes()))
    return tuple(found)


@cache
def weights() -> bytes:
    """A tiny network."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        SwigNet(NetworkConfig(width=2, n_blocks=1)).save(path, {"steps": 3})
        return path.read_bytes()


@cache
def protocol() -> bytes:
    """The usual protocol."""
    with TemporaryDirectory() as folder:
        return write_protocol(Protocol.usual(), Path(folder) / "x.toml").read_bytes()


def texts() -> dict[str, tuple[bytes, ...]]:
    """By kind: contents of valid texts."""
    return {
        "sidecar": tuple(json.dumps(each).encode() for each in SIDECARS),
        "presets": (PRESETS.encode(),),
        "protocol": (protocol(),),
        "training": (TRAINING.encode(),),
        "equation": tuple(each.encode() for each in EQUATIONS),
    }
