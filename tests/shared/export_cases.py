"""Small stand-ins for what mapping tools export: their file names, units, storage and holes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (12, 12, 6)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def truth() -> dict[str, np.ndarray]:
    """PD, T1 and T2 (s) of three tissues side by side, T2* and B1+, and air around them where all are 0."""
    tissue = np.zeros(SHAPE, int)
    tissue[1:5, 2:-2, 1:-1], tissue[5:9, 2:-2, 1:-1], tissue[9:11, 2:-2, 1:-1] = 1, 2, 3  # WM, GM, CSF
    values = {
        "PD": (0, 0.7, 0.8, 1.0),
        "T1": (0, 0.85, 1.4, 4.2),
        "T2": (0, 0.07, 0.09, 1.8),
        "T2s": (0, 0.05, 0.06, 0.9),
        "B1": (0, 1.1, 0.95, 0.8),
    }
    return {name: np.array(each)[tissue] for name, each in values.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Exported:
    """One file of an export."""

    name: str
    values: np.ndarray
    dtype: str = "float32"
    slope: float = 1.0  # of a file of whole numbers
    sidecar: dict[str, Any] = field(default_factory=dict)
    text: str = ""  # free text of its header


def write(folder: Path, *files: Exported) -> Path:
    """Write an export; its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in files:
        image = nib.Nifti1Image(each.values.astype(np.float32), AFFINE)
        if each.dtype != "float32":
            image = nib.Nifti1Image(np.rint(each.values / each.slope).astype(each.dtype), AFFINE)
            image.header.set_slope_inter(each.slope, 0)
        image.header["descrip"] = each.text.encode()
        nib.save(image, folder / f"{each.name}.nii.gz")
        if each.sidecar:
            (folder / f"{each.name}.json").write_text(json.dumps(each.sidecar))
    return folder


def symri() -> list[Exported]:
    """Converted DICOM series: ms and percent as whole numbers, T1 cut off at 4000 and T2 at 1500 ms, 0 outside."""
    q = truth()

    def derived(name: str) -> dict[str, Any]:
        return {"ImageType": ["DERIVED", "PRIMARY", f"{name}MAP"], "SeriesDescription": "BRAIN SyMRI"}

    return [
        Exported(name="501_SyMRI", values=np.clip(1e3 * q["T1"], 0, 4000), dtype="int16", sidecar=derived("T1")),
        Exported(name="502_SyMRI", values=np.clip(1e3 * q["T2"], 0, 1500), dtype="int16", sidecar=derived("T2")),
        Exported(name="503_SyMRI", values=100 * q["PD"], dtype="int16", slope=0.1, sidecar=derived("PD")),
    ]


def symri_rates() -> list[Exported]:
    """R1 and R2 in 1/s, infinite where there is air."""
    q = truth()
    with np.errstate(divide="ignore"):
        return [
            Exported(name="SyMRI_R1", values=1 / q["T1"]),
            Exported(name="SyMRI_R2", values=1 / q["T2"]),
            Exported(name="SyMRI_PD", values=100 * q["PD"]),
        ]


def magic_stack() -> list[Exported]:
    """One series that bundles the three maps."""
    q = truth()
    stack = np.stack([1e3 * q["T1"], 1e3 * q["T2"], 100 * q["PD"]], axis=-1)
    image_type = ["DERIVED", "PRIMARY", "MULTI_QMAP", "T1", "T2", "PD"]
    return [Exported(name="9_MAGiC", values=stack, dtype="int16", sidecar={"ImageType": image_type})]


def qalas() -> list[Exported]:
    """BIDS names, floating point in ms, NaN outside the brain; synthetic images beside the maps."""
    q = {name: np.where(values > 0, values, np.nan) for name, values in truth().items()}
    return [
        Exported(name="sub-1_acq-QALAS_T1map", values=1e3 * q["T1"]),
        Exported(name="sub-1_acq-QALAS_T2map", values=1e3 * q["T2"]),
        Exported(name="sub-1_acq-QALAS_PDmap", values=q["PD"]),
        Exported(name="sub-1_acq-QALAS_T1w", values=500 * truth()["PD"]),
    ]


def fingerprints() -> list[Exported]:
    """Dictionary matches in ms: -1 where nothing matched, M0 in arbitrary units."""
    q = truth()
    return [
        Exported(name="MRF_T1", values=np.where(q["T1"] > 0, 1e3 * q["T1"], -1)),
        Exported(name="MRF_T2", values=np.where(q["T2"] > 0, 1e3 * q["T2"], -1)),
        Exported(name="MRF_M0", values=73 * q["PD"]),
    ]


def mp2rage() -> list[Exported]:
    """T1 in whole ms, the uniform image as 0..4095 and an inversion, whose name tells of a T1 map, too."""
    q, protocol = truth(), "5-t1_mp2rage_sag_T1map_0p8mm"
    uniform = np.where(q["T1"] > 0, 0.4 - 0.2 * q["T1"], 0)
    return [
        Exported(name=f"{protocol}_T1_Images", values=1e3 * q["T1"], dtype="int16"),
        Exported(name=f"{protocol}_UNI_Images", values=4095 * (0.5 + uniform), dtype="int16"),
        Exported(name=f"{protocol}_INV1", values=300 * q["PD"], dtype="int16"),
    ]


def hmri() -> list[Exported]:
    """Rates in 1/s, PD in percent units, and B1+ in percent, told by header texts."""
    q = truth()
    with np.errstate(divide="ignore"):
        rates = {name: np.nan_to_num(1 / values, posinf=0) for name, values in q.items()}
    return [
        Exported(name="sub1_MPM_R1", values=rates["T1"], text="R1 map [s-1] - RF correction"),
        Exported(name="sub1_MPM_R2s_OLS", values=rates["T2s"], text="R2* map [s-1] - ESTATICS model"),
        Exported(name="sub1_MPM_PD", values=100 * q["PD"], text="PD map [p.u.]"),
        Exported(name="sub1_MPM_B1map", values=100 * q["B1"]),
    ]


EXPORTS = {
    "SyMRI": symri,
    "SyMRI rates": symri_rates,
    "MAGiC stack": magic_stack,
    "QALAS": qalas,
    "MRF": fingerprints,
    "MP2RAGE": mp2rage,
    "hMRI": hmri,
}
