"""Weights of the network: those in the package, and how other ones are found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

WEIGHTS: Mapping[str, str] = {
    "self-supervised": "learned without high-resolution maps, from the posterior's maps of simulated scans",
    "supervised": "learned from the true maps of simulated subjects",
}
DEFAULT_WEIGHTS = "self-supervised"
HUB = "hub:"  # prefix of a repository on the Hugging Face hub
FILE = "swignet.safetensors"  # file name of weights in a training folder and in a repository


def weights_file(name: str | Path) -> Path:
    """Path of weights given as a key of `WEIGHTS`, as ``hub:owner/repository`` on the Hugging Face hub, or as a path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the hub is asked and its extra is not installed.
    """
    if str(name) in WEIGHTS:
        return Path(str(files("napari_swig_qmri").joinpath("pretrained", f"{name}.safetensors")))
    if str(name).startswith(HUB):
        return _from_hub(str(name).removeprefix(HUB))
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no weights {str(name)!r}: name {', '.join(WEIGHTS)}, a file that `swig-qmri train` wrote, or "
            f"{HUB}owner/repository."
        )
    return path


def fingerprint(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _from_hub(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download  # an optional extra
    except ImportError:
        raise ValueError(
            "weights from the hub need huggingface_hub: install napari-swig-qmri[hub], or name a file."
        ) from None
    return Path(hf_hub_download(repository, FILE))
