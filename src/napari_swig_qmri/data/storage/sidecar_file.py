"""Additions to the JSON sidecar of an image file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_swig_qmri.data.storage.image_files import split_extension
from napari_swig_qmri.data.storage.output import write_text


def add_to_sidecar(image: Path, fields: Mapping[str, Any]) -> Path:
    """Add fields to the sidecar beside an image, which is made if missing; other fields stay. Returns its path.

    Raises
    ------
    ValueError
        If the present sidecar is no JSON object; it is left as it is.
    OSError
        If the sidecar cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     add_to_sidecar(Path(folder) / "sub-01_T1map.nii.gz", {"Units": "s"}).name
    'sub-01_T1map.json'
    """
    path = image.with_name(f"{split_extension(image)[0]}.json")
    content: Any = {}
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"{path.name} is no JSON file, so nothing was added to it: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object, so nothing was added to it.")
    return write_text(f"{json.dumps(content | dict(fields), indent=2, ensure_ascii=False)}\n", path)
