"""A protocol rendered from one subject's maps: all its contrasts, as a picture, as NIfTI files and as DICOM."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.dicom_export import Study, radiological_slices, write_series
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.files import check_folder, check_free, describe_dataset, ignore_in_dataset, write_volume
from napari_swig_qmri.data.provenance import generated_by, made_here, relative_sources
from napari_swig_qmri.data.sidecars import to_sidecar
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.physics.signal_models import T2Flair
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.brightness import central_signals, signal_limits
from napari_swig_qmri.synthesis.contrast_maps import check_maps, for_sequence
from napari_swig_qmri.synthesis.lazy_contrast import lazy_contrast
from napari_swig_qmri.synthesis.protocol import described

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps
    from napari_swig_qmri.synthesis.protocol import Protocol

    Picture = npt.NDArray[np.uint8]

FORMATS = {"png": "PNG sheet", "nifti": "NIfTI (BIDS)", "dicom": "DICOM"}
PANE = 360  # pixels, width of one picture on a sheet
SMALL, LARGE = 13, 20  # pixels, height of letters
MARGIN = 8  # pixels
BAR = 50.0  # mm, the length on a picture
_GREY, _WHITE, _AMBER = (160, 165, 170), (255, 255, 255), (220, 174, 85)

FLAIR_CAVEAT = (
    "In a synthetic T2-FLAIR an error of T1 by 1 % changes CSF by about 18 %, so its rim may look bright; "
    "a real T2-FLAIR differs by up to 19 % in grey and white matter. Do not judge lesions next to CSF by it."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sheet:
    """The contrasts of a protocol for one subject."""

    protocol: Protocol
    subject: str  # sub-01, or sub-01_ses-02: start of file names
    volumes: tuple[Volume, ...]  # one per contrast, in its order


def render(
    maps: ContrastMaps, protocol: Protocol, subject: str, origin: Mapping[str, Any] | None = None
) -> Generator[Progress, None, Sheet]:
    """Compute every contrast of a protocol from the maps of a subject.

    `origin` goes into every sidecar: field strength of the maps and their files.
    """
    for contrast in protocol.contrasts:  # before there is work to lose
        check_maps(contrast.sequence, maps.arrays)
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
                suffix=find_suffix(Evidence(stem=contrast.name))[0],
                sidecar=to_sidecar(contrast.sequence) | lazy.rendering.to_sidecar() | made | dict(origin or {}),
            )
        )
    return Sheet(protocol=protocol, subject=subject, volumes=tuple(volumes))


def write_sheet(
    sheet: Sheet, folder: Path, formats: Sequence[str], overwrite: bool = False
) -> Generator[Progress, None, list[Path]]:
    """Write a sheet into a folder in some of `FORMATS`; the paths written.

    The picture is ``SUBJECT_sheet.png``; NIfTI files make the folder a BIDS derivative dataset; each contrast is a
    folder of DICOM slices under ``dicom``. What BIDS has no names for is listed in ``.bidsignore``. FileExistsError
    where there are such files, unless `overwrite`.
    """
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or not formats:
        named = unknown[0] if unknown else "nothing"
        raise ValueError(f"a sheet cannot be written as {named}: choose among {', '.join(FORMATS)}.")
    check_folder(folder)
    names = _labels(sheet)
    subject = [part for part in sheet.subject.split("_") if part.startswith(("sub-", "ses-"))]
    place = folder.joinpath(*subject, "anat")
    images = [place / f"{sheet.subject}_{name}.nii.gz" for name in _file_names(sheet)]
    picture_path = folder / f"{sheet.subject}_sheet.png"
    series = [folder / "dicom" / sheet.subject / name for name in names]
    wanted = {"png": [picture_path], "nifti": images, "dicom": series}
    check_free([path for each in formats for path in wanted[each]], overwrite, "overwrite it")
    study = Study.new(sheet.protocol.title) if "dicom" in formats else None  # before there is work to lose
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for each in formats:
        yield Progress(0.6, f"Writing {FORMATS[each]}")
        if each == "png":
            Image.fromarray(picture(sheet)).save(picture_path)
            written.append(picture_path)
        elif each == "nifti":
            place.mkdir(parents=True, exist_ok=True)
            for volume, path in zip(sheet.volumes, images, strict=True):
                written += write_volume(_with_sources(volume, place), path, overwrite)
            written += describe_dataset(folder, f"Contrasts of the protocol {sheet.protocol.title}")
        elif study is not None:
            written += yield from _write_dicom(sheet, study, series)
    ends = zip(_file_names(sheet), sheet.volumes, strict=True)
    nameless = [f"*_{end}.*" for end, volume in ends if not volume.suffix]
    return [*written, *ignore_in_dataset(folder, ["/dicom", "*_sheet.png", *nameless])]


def picture(sheet: Sheet, columns: int | None = None) -> Picture:
    """All contrasts in one picture of red, green and blue: the axial slice through the middle of the head each.

    Seen from the feet, the patient's left on the right, as radiologists do, with marks, a bar of 5 cm and the
    notice that nothing here was acquired; below a T2-FLAIR, what not to judge by it.
    """
    n = len(sheet.volumes)
    columns = columns or (n if n <= 2 else int(np.ceil(np.sqrt(n))))
    panes = [_pane(volume, sheet, index) for index, volume in enumerate(sheet.volumes)]
    height, rows = max(pane.height for pane in panes), -(-n // columns)
    top = LARGE + SMALL + 3 * MARGIN
    width = columns * (PANE + MARGIN) + MARGIN
    has_flair = any(isinstance(contrast.sequence, T2Flair) for contrast in sheet.protocol.contrasts)
    caveat = _wrapped(FLAIR_CAVEAT, width - 2 * MARGIN) if has_flair else []
    bottom = top + rows * (height + MARGIN)
    whole = Image.new("RGB", (width, bottom + len(caveat) * (SMALL + MARGIN)))
    draw = ImageDraw.Draw(whole)
    draw.text((MARGIN, MARGIN), f"{sheet.protocol.title}: {sheet.subject}", _WHITE, ImageFont.load_default(LARGE))
    notice = f"SYNTHETIC, research use only. Computed from PD, T1 and T2 maps by {generated_by()['Name']}."
    draw.text((MARGIN, LARGE + 2 * MARGIN), notice, _GREY, ImageFont.load_default(SMALL))
    for index, pane in enumerate(panes):
        row, column = divmod(index, columns)
        whole.paste(pane, (MARGIN + column * (PANE + MARGIN), top + row * (height + MARGIN)))
    for index, line in enumerate(caveat):
        draw.text((MARGIN, bottom + index * (SMALL + MARGIN)), line, _AMBER, ImageFont.load_default(SMALL))
    return np.asarray(whole)


def _pane(volume: Volume, sheet: Sheet, index: int) -> Image.Image:
    """One contrast with its name and settings above, marks of left and right, and a length."""
    slices, affine = radiological_slices(volume.data, volume.grid)
    values = np.nan_to_num(slices[_middle(slices)])
    low, high = signal_limits(central_signals(values))
    across, down = (float(np.linalg.norm(affine[:3, axis])) for axis in (0, 1))
    zoom = PANE / (values.shape[1] * across)  # pixels per mm
    grey = Image.fromarray((255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8))
    grey = grey.resize((PANE, max(1, round(values.shape[0] * down * zoom))), Image.Resampling.BICUBIC)
    head = 2 * SMALL + 2 * MARGIN
    pane = Image.new("RGB", (PANE, head + grey.height))
    pane.paste(grey, (0, head))
    draw, font = ImageDraw.Draw(pane), ImageFont.load_default(SMALL)
    draw.text((0, 0), volume.name, _WHITE, font)
    settings = described(sheet.protocol.contrasts[index])
    draw.text((0, SMALL + MARGIN // 2), settings, _GREY, _fitting(settings))
    middle = head + grey.height // 2
    draw.text((2, middle), "R", _WHITE, font, anchor="lm")
    draw.text((PANE - 2, middle), "L", _WHITE, font, anchor="rm")
    bottom = pane.height - MARGIN
    draw.line((PANE - MARGIN - BAR * zoom, bottom, PANE - MARGIN, bottom), _WHITE, 2)
    draw.text((PANE - MARGIN, bottom - 3), f"{BAR:g} mm", _WHITE, font, anchor="rb")
    draw.text((2, bottom), "synthetic", _GREY, font, anchor="lb")
    return pane


def _wrapped(text: str, width: int) -> list[str]:
    """A text in small letters as lines of at most a width in pixels."""
    font, lines = ImageFont.load_default(SMALL), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return lines


def _fitting(text: str) -> Any:
    """The largest letters, of no more than the usual size, in which a text fits the width of a pane."""
    sizes = range(SMALL, SMALL // 2, -1)
    fonts = [ImageFont.load_default(size) for size in sizes]
    return next((font for font in fonts if font.getlength(text) <= PANE), fonts[-1])


def _middle(slices: FloatArray) -> int:
    """Slice in the middle of those that hold a signal."""
    filled = np.flatnonzero(np.nan_to_num(slices).any(axis=(1, 2)))
    return int((filled[0] + filled[-1]) // 2) if filled.size else len(slices) // 2


def _labels(sheet: Sheet) -> list[str]:
    """Names of the contrasts as letters and digits, all different."""
    names: list[str] = []
    for number, volume in enumerate(sheet.volumes, start=1):
        name = re.sub(r"[^A-Za-z0-9]", "", volume.name) or "contrast"
        names.append(f"{name}{number}" if name in names else name)
    return names


def _file_names(sheet: Sheet) -> list[str]:
    """Ends of the names of NIfTI files: ``desc-synthetic_T2w``, ``desc-syntheticDIR`` where BIDS has no suffix."""
    names = []
    for label, volume in zip(_labels(sheet), sheet.volumes, strict=True):
        kind = "" if label == volume.suffix else label
        names.append(f"desc-synthetic{kind}" + (f"_{volume.suffix}" if volume.suffix else ""))
    return names


def _with_sources(volume: Volume, place: Path) -> Volume:
    """A volume whose sidecar names its sources as they are seen from a folder."""
    told = {**volume.sidecar, **relative_sources(volume.sidecar.get("Sources", ()), place)}
    return Volume(data=volume.data, grid=volume.grid, name=volume.name, suffix=volume.suffix, sidecar=told)


def _write_dicom(sheet: Sheet, study: Study, folders: Sequence[Path]) -> Generator[Progress, None, list[Path]]:
    written: list[Path] = []
    for index, (volume, folder) in enumerate(zip(sheet.volumes, folders, strict=True)):
        yield Progress(0.6 + 0.4 * index / len(folders), f"Writing {FORMATS['dicom']}")
        how = f"{described(sheet.protocol.contrasts[index])}, computed from PD, T1 and T2 maps"
        for stale in folder.glob("*.dcm"):
            stale.unlink()
        written += write_series(volume, folder, study, index + 1, how)
    return written
