"""Export of synthetic contrasts as DICOM secondary captures, one file per axial slice, marked as synthetic.

Needs pydicom, the extra ``dicom``. DICOM coordinates point to the left, posterior and superior (LPS), those of NIfTI to
the right, anterior and superior. Columns of the slices run to the left of the patient, rows to the posterior. Patient
attributes are left empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from PIL import Image, ImageDraw, ImageFont

from napari_swig_qmri.data.provenance import generated_by
from napari_swig_qmri.data.storage.output import replacing
from napari_swig_qmri.data.volumes import FloatArray, Volume, VoxelGrid
from napari_swig_qmri.data.wording import for_terminal

Pixels = npt.NDArray[np.uint16]

BURNED_IN = "SYNTHETIC, research use only"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # SOP class; DICOM PS3.6
LARGEST = 4095  # largest stored value: 12 bits, as on scanners
FONT_SIZE = 10  # pixels
SKEW = 1e-3  # largest cosine of the angle between axes that count as perpendicular

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MISSING = 'DICOM needs pydicom, which is not installed: pip install "napari-swig-qmri[dicom]".'


@dataclass(frozen=True)
class DicomStudy:
    """Identifiers shared by all series of one export, so that viewers show them as one study in one space."""

    title: str
    study: str  # UID
    frame_of_reference: str  # UID
    made: datetime

    @classmethod
    def new(cls, title: str) -> DicomStudy:
        """Return a study with new identifiers and the present time."""
        uid = _pydicom("uid").generate_uid
        return cls(title, str(uid()), str(uid()), datetime.now())


def write_series(volume: Volume, folder: Path, study: DicomStudy, number: int, description: str) -> list[Path]:
    """Write a contrast as one new series of slices, ``0001.dcm`` upwards; other DICOM files of the folder are removed.

    Parameters
    ----------
    volume
        Contrast ``(x, y, z)``; its name becomes that of the series.
    folder
        Folder for the slices; created if missing.
    study
        Identifiers shared by all series of the export.
    number
        Series number.
    description
        Derivation of the image: sequence, settings, sources.

    Returns
    -------
    Paths of the slices, from inferior to superior.

    Raises
    ------
    ValueError
        If the grid is sheared, which DICOM cannot represent.
    ModuleNotFoundError
        If pydicom is not installed.
    """
    slices, affine = radiological_slices(volume.data, volume.grid)
    _check_shear(affine, volume.name)
    top, low = _range(volume.data)
    series = str(_pydicom("uid").generate_uid())
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / f"{index + 1:04d}.dcm" for index in range(len(slices))]
    with replacing() as part:
        for index, values in enumerate(slices):
            stored = np.clip((np.nan_to_num(values) - low) / (top - low) * LARGEST, 0, LARGEST)
            dataset = _dataset(study, series, number, index)
            _describe(dataset, volume.name, description)
            _place(dataset, affine, index)
            _fill(dataset, with_text(stored.round().astype(np.uint16)), low, top)
            dataset.save_as(part(written[index]), enforce_file_format=True)
    for stale in {*folder.glob("*.dcm")} - {*written}:
        stale.unlink()
    return written


def with_text(pixels: Pixels, text: str = BURNED_IN) -> Pixels:
    """Slice ``(row, column)`` with the text burned into an added band below it, in the largest value.

    Rows are added at the end, and columns if the words are wider than the slice, so that the first pixel keeps its
    position and no anatomy is covered.
    """
    font = ImageFont.load_default(FONT_SIZE)
    lines = _lines(text, font, pixels.shape[1])
    width = max(pixels.shape[1], *(int(np.ceil(font.getlength(line))) + 2 for line in lines))
    height = (FONT_SIZE + 3) * len(lines) + 2
    band = Image.new("L", (width, height))
    draw = ImageDraw.Draw(band)
    draw.fontmode = "1"  # no anti-aliasing: thin grey strokes would be invisible
    for index, line in enumerate(lines):
        draw.text((1, 1 + index * (FONT_SIZE + 3)), line, fill=255, font=font)
    burned = np.zeros((pixels.shape[0] + height, width), np.uint16)
    burned[: pixels.shape[0], : pixels.shape[1]] = pixels
    burned[pixels.shape[0] :] = np.asarray(band).astype(np.uint32) * LARGEST // 255
    return burned


def _lines(text: str, font: Any, width: int) -> list[str]:
    """Text broken into lines of at most `width` pixels; longer words get a line of their own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - 2:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def require_pydicom() -> None:
    """Raise ModuleNotFoundError if pydicom, which is an optional dependency, is not installed."""
    if find_spec("pydicom") is None:
        raise ModuleNotFoundError(MISSING, name="pydicom")


def _pydicom(module: str) -> Any:
    """Import a module of pydicom."""
    require_pydicom()
    return import_module(f"pydicom.{module}")


def _check_shear(affine: FloatArray, name: str) -> None:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > SKEW:
        raise ValueError(f"{name!r} lies on a sheared grid, which DICOM cannot represent: resample it, or write NIfTI.")


def _range(data: FloatArray) -> tuple[float, float]:
    """Largest value and smallest value (at most 0) of a volume, at least 1e-6 apart."""
    finite = data[np.isfinite(data)]
    low, top = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    low = min(low, 0.0)
    return max(top, low + 1e-6), low


def _dataset(study: DicomStudy, series: str, number: int, index: int) -> Any:
    """DICOM data set of one slice with its identifiers and with empty patient and study attributes."""
    uid = _pydicom("uid")
    meta = _pydicom("dataset").FileMetaDataset()
    meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset = _pydicom("dataset").Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = SECONDARY_CAPTURE, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study.study, series
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = study.frame_of_reference, ""
    empty = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
    for keyword in (*empty, "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "Laterality"):
        setattr(dataset, keyword, "")
    dataset.StudyDescription = _one_value(f"SYNTHETIC {study.title}")[:64]
    dataset.SeriesNumber, dataset.InstanceNumber = number, index + 1
    dataset.ContentDate, dataset.ContentTime = study.made.strftime("%Y%m%d"), study.made.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = dataset.ContentDate, dataset.ContentTime
    return dataset


def _describe(dataset: Any, name: str, description: str) -> None:
    """Mark the slice as synthetic in all suitable attributes."""
    maker = generated_by()
    dataset.Modality, dataset.ConversionType = "MR", "WSD"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SeriesDescription = _one_value(f"SYNTHETIC {name}")[:64]
    dataset.DerivationDescription = _one_value(f"{BURNED_IN}. {description}")[:1024]
    dataset.ImageComments = BURNED_IN
    dataset.BurnedInAnnotation, dataset.QualityControlImage = "YES", "NO"
    dataset.SecondaryCaptureDeviceManufacturer = maker["Name"]
    dataset.SecondaryCaptureDeviceSoftwareVersions = maker["Version"]


def _one_value(text: str) -> str:
    """Text without control characters, and without backslashes, which separate the values of an attribute."""
    return for_terminal(" ".join(text.split())).replace("\\", "/")


def _place(dataset: Any, affine: FloatArray, index: int) -> None:
    """Set position and orientation of a slice; `affine` maps (column, row, slice) to LPS mm."""
    columns, rows, normal = affine[:3, :3].T
    across, down, between = (float(np.linalg.norm(axis)) for axis in (columns, rows, normal))
    first = affine[:3, 3] + index * normal
    dataset.ImagePositionPatient = [_decimal(value) for value in first]
    dataset.ImageOrientationPatient = [_decimal(value) for value in (*(columns / across), *(rows / down))]
    dataset.PixelSpacing = [_decimal(down), _decimal(across)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(between)


def _fill(dataset: Any, pixels: Pixels, low: float, top: float) -> None:
    """Set the pixels, and the slope and intercept that convert stored values to signal."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleType = _decimal(low), "US"
    dataset.RescaleSlope = _decimal((top - low) / LARGEST)
    dataset.WindowCenter, dataset.WindowWidth = _decimal((top + low) / 2), _decimal(top - low)
    dataset.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()


def _decimal(value: float) -> str:
    """Number as DICOM decimal string, at most 16 characters."""
    return next(text for digits in range(12, 5, -1) if len(text := f"{value + 0.0:.{digits}g}") <= 16)


def radiological_slices(data: FloatArray, grid: VoxelGrid) -> tuple[FloatArray, FloatArray]:
    """Axial slices of a volume in radiological orientation.

    Slices follow the grid axis nearest to axial; oblique volumes are not interpolated.

    Parameters
    ----------
    data
        Image ``(x, y, z)``.
    grid
        Its grid.

    Returns
    -------
    slices
        Array ``(slice, row, column)`` from inferior to superior; columns run to the left of the patient, rows to the
        posterior.
    affine
        Matrix ``(4, 4)`` from (column, row, slice) to LPS mm, the coordinates of DICOM.
    """
    change = ornt_transform(io_orientation(grid.affine), axcodes2ornt("LPS"))
    turned: FloatArray = apply_orientation(data, change)
    affine: FloatArray = _RAS_TO_LPS @ grid.affine @ inv_ornt_aff(change, grid.shape)
    return turned.transpose(2, 1, 0), affine
