"""Sheets: all contrasts of a protocol for one subject, written as a picture, as NIfTI files and as DICOM series."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from napari_swig_qmri.data.provenance import generated_by, made_here, relative_sources
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.sidecars import to_sidecar
from napari_swig_qmri.data.storage.dicom_export import DicomStudy, radiological_slices, require_pydicom, write_series
from napari_swig_qmri.data.storage.files import describe_dataset, ignore_in_dataset, write_volumes
from napari_swig_qmri.data.storage.output import check_free, check_output, replacing
from napari_swig_qmri.data.volumes import FloatArray, Volume
from napari_swig_qmri.data.wording import for_terminal
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.brightness import central_signals, signal_limits
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, for_sequence, require_maps
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast
from napari_swig_qmri.synthesis.protocol import Protocol, described

Picture = npt.NDArray[np.uint8]

FORMATS = {"png": "PNG sheet", "nifti": "NIfTI (BIDS)", "dicom": "DICOM"}
PANE_WIDTH = 360  # pixels, of one contrast
SMALL_TEXT, LARGE_TEXT = 13, 20  # pixels, height of text
SPACING = 8  # pixels, between panes and lines
SCALE_BAR = 50.0  # mm
_GREY, _WHITE, _AMBER = (160, 165, 170), (255, 255, 255), (220, 174, 85)

FLAIR_CAVEAT = (
    "In a synthetic T2-FLAIR an error of T1 by 1 % changes CSF by about 18 %, so its rim may look bright; "
    "a real T2-FLAIR differs by up to 19 % in grey and white matter. Do not judge lesions next to CSF by it."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sheet:
    """The contrasts of a protocol for one subject."""

    protocol: Protocol
    subject: str  # sub-01 or sub-01_ses-02, the start of file names
    volumes: tuple[Volume, ...]  # one per contrast, in the order of the protocol


def render(
    maps: ContrastMaps, protocol: Protocol, subject: str, origin: Mapping[str, Any] | None = None
) -> Generator[Progress, None, Sheet]:
    """Compute every contrast of a protocol from the maps of a subject; yields progress and returns the sheet.

    `origin` is added to every sidecar, such as the field strength and the files of the maps. ValueError, before the
    computation starts, if a map is missing or a rendering does not apply to its sequence.
    """
    for contrast in protocol.contrasts:
        require_maps(contrast.sequence, maps.arrays)
        contrast.rendering.check(contrast.sequence)
    volumes = []
    for index, contrast in enumerate(protocol.contrasts):
        yield Progress(index / len(protocol.contrasts), f"Synthesising {contrast.name}")
        lazy = lazy_contrast(for_sequence(maps, contrast.sequence), contrast.sequence, contrast.rendering)
        made = made_here(Protocol=protocol.title)
        volumes.append(
            Volume(
                data=np.asarray(lazy),
                grid=maps.grid,
                name=contrast.name,
                suffix=_suffix_of(contrast.name),
                sidecar=to_sidecar(contrast.sequence) | lazy.rendering.to_sidecar() | made | dict(origin or {}),
            )
        )
    return Sheet(protocol=protocol, subject=subject, volumes=tuple(volumes))


def check_formats(formats: Sequence[str]) -> None:
    """Check before anything is computed that a sheet can be written in these formats.

    ValueError if a format is unknown or none is given; ModuleNotFoundError for DICOM without pydicom.
    """
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or not formats:
        given = unknown[0] if unknown else "nothing"
        raise ValueError(f"a sheet cannot be written as {given}: choose among {', '.join(FORMATS)}.")
    if "dicom" in formats:
        require_pydicom()


def check_sheet(
    protocol: Protocol, subject: str, folder: Path, formats: Sequence[str], overwrite: bool = False
) -> None:
    """Check before anything is computed that `write_sheet` can write the sheet; raises its errors."""
    check_formats(formats)
    check_output(folder)
    paths = _sheet_paths(protocol, subject, folder)
    check_free([path for each in formats for path in paths[each]], overwrite, "overwrite it")


def write_sheet(
    sheet: Sheet, folder: Path, formats: Sequence[str], overwrite: bool = False
) -> Generator[Progress, None, list[Path]]:
    """Write a sheet into a folder in some of `FORMATS`; yields progress and returns the paths written.

    The picture is ``SUBJECT_sheet.png``; NIfTI files make the folder a BIDS derivative dataset; each contrast is a
    folder of DICOM slices in ``dicom``. Files without a BIDS name are listed in ``.bidsignore``.
    ValueError if a format is unknown; FileExistsError if a file exists and `overwrite` is False.
    """
    check_sheet(sheet.protocol, sheet.subject, folder, formats, overwrite)
    paths = _sheet_paths(sheet.protocol, sheet.subject, folder)
    study = DicomStudy.new(sheet.protocol.title) if "dicom" in formats else None
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for each in formats:
        yield Progress(0.6, f"Writing {FORMATS[each]}")
        if each == "png":
            with replacing() as part:
                Image.fromarray(picture(sheet)).save(part(paths["png"][0]))
            written += paths["png"]
        elif each == "nifti":
            written += _write_nifti(sheet, folder, paths["nifti"], overwrite)
        elif study is not None:
            written += yield from _write_dicom(sheet, study, paths["dicom"])
    ends = zip(_file_ends(sheet.protocol), sheet.volumes, strict=True)
    without_suffix = [f"*_{end}.*" for end, volume in ends if not volume.suffix]
    return [*written, *ignore_in_dataset(folder, ["/dicom", "*_sheet.png", *without_suffix])]


def _sheet_paths(protocol: Protocol, subject: str, folder: Path) -> dict[str, list[Path]]:
    """Files of each format, or folders of DICOM series."""
    entities = [part for part in subject.split("_") if part.startswith(("sub-", "ses-"))]
    anat = folder.joinpath(*entities, "anat")
    return {
        "png": [folder / f"{subject}_sheet.png"],
        "nifti": [anat / f"{subject}_{end}.nii.gz" for end in _file_ends(protocol)],
        "dicom": [folder / "dicom" / subject / label for label in _contrast_labels(protocol)],
    }


def _write_nifti(sheet: Sheet, folder: Path, paths: Sequence[Path], overwrite: bool) -> list[Path]:
    traced = []
    for volume, path in zip(sheet.volumes, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        sources = relative_sources(volume.sidecar.get("Sources", ()), path.parent)
        traced.append((replace(volume, sidecar={**volume.sidecar, **sources}), path))
    written = write_volumes(traced, overwrite)
    return written + describe_dataset(folder, f"Contrasts of the protocol {sheet.protocol.title}")


def _write_dicom(sheet: Sheet, study: DicomStudy, folders: Sequence[Path]) -> Generator[Progress, None, list[Path]]:
    written: list[Path] = []
    for index, (volume, folder) in enumerate(zip(sheet.volumes, folders, strict=True)):
        yield Progress(0.6 + 0.4 * index / len(folders), f"Writing {FORMATS['dicom']}")
        description = f"{described(sheet.protocol.contrasts[index])}, computed from PD, T1 and T2 maps"
        written += write_series(volume, folder, study, index + 1, description)
    return written


def _contrast_labels(protocol: Protocol) -> list[str]:
    """Names of the contrasts reduced to letters and digits, with a number where two would be the same."""
    names: list[str] = []
    for number, contrast in enumerate(protocol.contrasts, start=1):
        name = re.sub(r"[^A-Za-z0-9]", "", contrast.name) or "contrast"
        names.append(f"{name}{number}" if name in names else name)
    return names


def _file_ends(protocol: Protocol) -> list[str]:
    """Ends of the NIfTI file names: ``desc-synthetic_T2w``, or ``desc-syntheticDIR`` where BIDS has no suffix."""
    names = []
    for label, contrast in zip(_contrast_labels(protocol), protocol.contrasts, strict=True):
        suffix = _suffix_of(contrast.name)
        kind = "" if label == suffix else label
        names.append(f"desc-synthetic{kind}" + (f"_{suffix}" if suffix else ""))
    return names


def _suffix_of(name: str) -> str | None:
    return find_suffix(Evidence(stem=name))[0]


def picture(sheet: Sheet, columns: int | None = None) -> Picture:
    """Picture ``(row, column, 3)`` of all contrasts, each by the axial slice in the middle of the head.

    Slices are shown as radiologists do, seen from the feet with the patient's left on the right, with marks, a scale
    bar of 5 cm and a notice that the images were not acquired. A T2-FLAIR adds a caveat below.
    """
    n = len(sheet.volumes)
    columns = columns or (n if n <= 2 else int(np.ceil(np.sqrt(n))))
    panes = [
        _contrast_pane(volume, described(each))
        for volume, each in zip(sheet.volumes, sheet.protocol.contrasts, strict=True)
    ]
    height, rows = max(pane.height for pane in panes), -(-n // columns)
    top = LARGE_TEXT + SMALL_TEXT + 3 * SPACING
    width = columns * (PANE_WIDTH + SPACING) + SPACING
    has_flair = any(isinstance(contrast.sequence, T2Flair) for contrast in sheet.protocol.contrasts)
    caveat = _wrapped(FLAIR_CAVEAT, width - 2 * SPACING) if has_flair else []
    bottom = top + rows * (height + SPACING)
    image = Image.new("RGB", (width, bottom + len(caveat) * (SMALL_TEXT + SPACING)))
    draw = ImageDraw.Draw(image)
    draw.text(
        (SPACING, SPACING),
        for_terminal(f"{sheet.protocol.title}: {sheet.subject}"),
        _WHITE,
        ImageFont.load_default(LARGE_TEXT),
    )
    notice = f"SYNTHETIC, research use only. Computed from PD, T1 and T2 maps by {generated_by()['Name']}."
    draw.text((SPACING, LARGE_TEXT + 2 * SPACING), notice, _GREY, ImageFont.load_default(SMALL_TEXT))
    for index, pane in enumerate(panes):
        row, column = divmod(index, columns)
        image.paste(pane, (SPACING + column * (PANE_WIDTH + SPACING), top + row * (height + SPACING)))
    for index, line in enumerate(caveat):
        draw.text((SPACING, bottom + index * (SMALL_TEXT + SPACING)), line, _AMBER, ImageFont.load_default(SMALL_TEXT))
    return np.asarray(image)


def _contrast_pane(volume: Volume, settings: str) -> Image.Image:
    """Slice of one contrast below its name and settings, with marks of left and right and a scale bar."""
    grey, pixels_per_mm = _slice_image(volume)
    header = 2 * SMALL_TEXT + 2 * SPACING
    pane = Image.new("RGB", (PANE_WIDTH, header + grey.height))
    pane.paste(grey, (0, header))
    draw, font = ImageDraw.Draw(pane), ImageFont.load_default(SMALL_TEXT)
    draw.text((0, 0), for_terminal(volume.name), _WHITE, font)
    draw.text((0, SMALL_TEXT + SPACING // 2), settings, _GREY, _fitting_font(settings))
    middle, bottom = header + grey.height // 2, pane.height - SPACING
    draw.text((2, middle), "R", _WHITE, font, anchor="lm")
    draw.text((PANE_WIDTH - 2, middle), "L", _WHITE, font, anchor="rm")
    right = PANE_WIDTH - SPACING
    draw.line((right - SCALE_BAR * pixels_per_mm, bottom, right, bottom), _WHITE, 2)
    draw.text((right, bottom - 3), f"{SCALE_BAR:g} mm", _WHITE, font, anchor="rb")
    draw.text((2, bottom), "synthetic", _GREY, font, anchor="lb")
    return pane


def _slice_image(volume: Volume) -> tuple[Image.Image, float]:
    """Grey image of the middle slice in the width of a pane, and its pixels per mm."""
    slices, affine = radiological_slices(volume.data, volume.grid)
    values = np.nan_to_num(slices[_middle_slice(slices)])
    low, high = signal_limits(central_signals(values))
    across, down = (float(np.linalg.norm(affine[:3, axis])) for axis in (0, 1))
    pixels_per_mm = PANE_WIDTH / (values.shape[1] * across)
    grey = Image.fromarray((255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8))
    size = (PANE_WIDTH, max(1, round(values.shape[0] * down * pixels_per_mm)))
    return grey.resize(size, Image.Resampling.BICUBIC), pixels_per_mm


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of a small text, each at most `width` pixels wide."""
    font, lines = ImageFont.load_default(SMALL_TEXT), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return lines


def _fitting_font(text: str) -> Any:
    """Largest font, at most the small one, in which a text fits the width of a pane."""
    fonts = [ImageFont.load_default(size) for size in range(SMALL_TEXT, SMALL_TEXT // 2, -1)]
    return next((font for font in fonts if font.getlength(text) <= PANE_WIDTH), fonts[-1])


def _middle_slice(slices: FloatArray) -> int:
    """Index of the middle one of the slices with a signal, of all slices ``(slice, row, column)``."""
    filled = np.flatnonzero(np.nan_to_num(slices).any(axis=(1, 2)))
    return int((filled[0] + filled[-1]) // 2) if filled.size else len(slices) // 2
