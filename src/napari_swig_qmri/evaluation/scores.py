"""Scores of maps against reference maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.filters import threshold_otsu

from napari_swig_qmri.metrics import DATA_RANGE, LOG_SIGMA, LOG_WINDOW, SSIM_WINDOW, hfen, nrmse, ssim

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid

TISSUE_LIMITS = {"T1": 2.2, "T2": 0.15}  # s; a reference voxel below both is tissue, not CSF
PD_TOP = (0.1, 4.0)  # 99th percentile of a PD map relative to water
PERCENT = (50, 130)  # of one in percent of water

SLICE_AREA = 200.0  # mm^2 of mask that a slice needs to count: 200 voxels at 1 mm


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of a map with its reference over some voxels, in percent of the reference.

    `limits` are the limits of agreement of Bland and Altman (1986), the mean difference
    -+ 1.96 standard deviations; `bias` is the median difference, which outliers do not move.
    """

    n_voxels: int
    median_ape: float  # %, median absolute percentage error
    bias: float  # %
    mean_difference: float  # %
    limits: tuple[float, float]  # %


@dataclass(frozen=True, kw_only=True)
class MapScores(Agreement):
    """Scores of one map: image measures over the mask, agreement over its tissue (no CSF)."""

    ssim: float
    hfen: float
    nrmse: float


def agreement(image: FloatArray, reference: FloatArray, where: BoolArray) -> Agreement:
    """Percentage differences over the voxels `where` that have a positive reference."""
    where = where & (reference > 0)
    if not where.any():
        nan = float("nan")
        return Agreement(n_voxels=0, median_ape=nan, bias=nan, mean_difference=nan, limits=(nan, nan))
    percent = 100 * (image[where] - reference[where]) / reference[where]
    mean, spread = float(percent.mean(dtype=float)), 1.96 * float(percent.std(dtype=float))
    return Agreement(
        n_voxels=int(where.sum()),
        median_ape=float(np.median(np.abs(percent))),
        bias=float(np.median(percent)),
        mean_difference=mean,
        limits=(mean - spread, mean + spread),
    )


def tissue_masks(reference: QuantitativeMaps, mask: BoolArray) -> dict[str, BoolArray]:
    """White matter, grey matter and CSF of the reference maps inside the mask.

    CSF lies above either of `TISSUE_LIMITS`. White and grey matter part half-way between the
    two classes of T1 (of T2, without a T1 map) that Otsu's threshold finds, at any field
    strength. Partial-volume voxels go to the nearer tissue: pass label masks to `tissue_errors`
    where there are any.
    """
    tissue = _tissue(reference, mask)
    threshold = white_matter_limit(reference, mask)
    if threshold is None:
        return {"tissue": tissue}
    name, limit = threshold
    white = tissue & (reference[name] < limit)
    return {"WM": white, "GM": tissue & ~white, "CSF": mask & ~tissue}


def white_matter_limit(reference: QuantitativeMaps, mask: BoolArray) -> tuple[str, float] | None:
    """The map, T1 else T2, and its value in s below which tissue counts as white matter; None without either."""
    tissue = _tissue(reference, mask)
    names = [name for name in ("T1", "T2") if name in reference.names]
    if not names or not tissue.any():
        return None
    values = reference[names[0]][tissue]
    threshold = threshold_otsu(values)  # type: ignore[no-untyped-call]
    low, high = (np.median(values[side]) for side in (values <= threshold, values > threshold))
    return names[0], float((low + high) / 2)


def tissue_errors(
    sr: QuantitativeMaps,
    reference: QuantitativeMaps,
    mask: BoolArray,
    tissues: Mapping[str, BoolArray] | None = None,
) -> dict[str, dict[str, Agreement]]:
    """Agreement per map and tissue, ``errors["T1"]["WM"]``.

    `tissues` are named masks ``(x, y, z)``, from labels for instance; without them `tissue_masks`
    takes WM, GM and CSF from the reference. Voxels outside `mask` never count.
    """
    mask = _valid_mask(sr, reference, mask)
    tissues = tissue_masks(reference, mask) if tissues is None else tissues
    return {
        name: {
            tissue: agreement(np.nan_to_num(sr[name]), reference[name], mask & where)
            for tissue, where in tissues.items()
        }
        for name in _shared_names(sr, reference)
    }


def pd_factor(reference: QuantitativeMaps) -> float:
    """Factor that brings PD of the reference near 1 for water, where it is far from it; for both maps, then."""
    if "PD" not in reference.names:
        return 1.0
    values = reference["PD"][reference["PD"] > 0]
    top = float(np.percentile(values, 99)) if values.size else 1.0
    if PD_TOP[0] <= top <= PD_TOP[1]:
        return 1.0
    return 0.01 if PERCENT[0] <= top <= PERCENT[1] else 1 / top


def variant(reference: QuantitativeMaps) -> dict[str, Any]:
    """How `evaluate` scores against a reference, JSON-ready: what a score means nothing without."""
    return {
        "data_range": dict(DATA_RANGE),
        "ssim_window": SSIM_WINDOW,
        "hfen": {"sigma": LOG_SIGMA, "window": LOG_WINDOW},
        "tissue_limits_s": dict(TISSUE_LIMITS),
        "slice_axis": axial_axis(reference.grid),
        "least_slice_area_mm2": SLICE_AREA,
        "pd_factor": pd_factor(reference),
    }


def evaluate(sr: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray) -> dict[str, MapScores]:
    """Scores of every map that both have, over `mask` ``(x, y, z)`` on their common grid.

    Voxels without a reference (NaN) do not count; missing voxels of `sr` count as zero. Slices
    are axial: they lie across the stored axis nearest to head-foot. PD of both is multiplied by
    `pd_factor` of the reference, so that a wrong scale is an error.
    """
    mask = _valid_mask(sr, reference, mask)
    tissue = _tissue(reference, mask)
    axis = axial_axis(reference.grid)
    counted = without_small_slices(mask, reference.grid, axis)
    scores = {}
    for name in _shared_names(sr, reference):
        factor, limit = pd_factor(reference) if name == "PD" else 1.0, DATA_RANGE[name]
        x, r = factor * np.nan_to_num(sr[name]), factor * np.nan_to_num(reference[name])
        scores[name] = MapScores(
            ssim=ssim(x, r, counted, limit, axis),
            hfen=hfen(x, r, counted, limit, axis),
            nrmse=nrmse(x, r, mask, limit),
            **vars(agreement(x, r, tissue)),
        )
    return scores


def format_scores(
    scores: Mapping[str, MapScores],
    errors: Mapping[str, Mapping[str, Agreement]] | None = None,
    *,
    pd_factor: float = 1.0,
) -> str:
    """Scores, and errors per tissue, as a table of plain text that names the variant of each measure."""
    lines = ["map     range    SSIM    HFEN  NRMSE %  median error %  bias %"]
    for name, s in scores.items():
        limit = f"0-{DATA_RANGE[name]:g}" + (" s" if name in TISSUE_LIMITS else "")
        measures = f"{s.ssim:7.4f} {s.hfen:7.4f} {100 * s.nrmse:8.2f} {s.median_ape:15.2f} {s.bias:+7.2f}"
        lines.append(f"{name:4} {limit:>8} {measures}")
    if errors:
        lines += ["", "map  tissue     voxels  median error %  bias %  limits of agreement %"]
    for name, tissues in (errors or {}).items():
        for tissue, a in tissues.items():
            limits = f"{a.limits[0]:+.2f} to {a.limits[1]:+.2f}"
            lines.append(f"{name:4} {tissue:8} {a.n_voxels:8d} {a.median_ape:15.2f} {a.bias:+7.2f}  {limits}")
    below = " and ".join(f"{name} < {limit:g} s" for name, limit in TISSUE_LIMITS.items())
    scaled = [f"PD of both maps was multiplied by {pd_factor:.4g}: the reference's water is then near 1."]
    window = f"{SSIM_WINDOW} x {SSIM_WINDOW}"
    lines += [
        "",
        f"SSIM {window}, HFEN with LoG 1.5 (15 x 15): per axial slice over the mask, clipped to the range.",
        f"Median error and bias of a whole map: over tissue, reference {below}.",
        *(scaled if pd_factor != 1 else []),
    ]
    return "\n".join(lines)


def _tissue(reference: QuantitativeMaps, mask: BoolArray) -> BoolArray:
    """Voxels of the mask that are not CSF."""
    tissue = mask.copy()
    for name, limit in TISSUE_LIMITS.items():
        if name in reference.names:
            tissue &= reference[name] < limit
    return tissue


def _shared_names(sr: QuantitativeMaps, reference: QuantitativeMaps) -> tuple[str, ...]:
    return tuple(name for name in sr.names if name in reference.names)


def _valid_mask(sr: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray) -> BoolArray:
    """Keep the mask where every reference map has a value, after checking that the grids agree."""
    if sr.grid.shape != reference.grid.shape:
        raise ValueError(
            f"the maps have {sr.grid.shape} voxels and the reference {reference.grid.shape}: interpolate the maps onto "
            "the grid of the reference (--interpolate on the command line)."
        )
    if not sr.grid.is_aligned_with(reference.grid, tolerance=0.1 * min(reference.grid.voxel_size)):
        raise ValueError(
            f"the corners of the maps and of the reference lie {sr.grid.distance_to(reference.grid):.2f} mm apart: "
            "interpolate the maps onto the grid of the reference (--interpolate on the command line)."
        )
    if mask.shape != reference.grid.shape:
        raise ValueError(
            f"the mask has shape {mask.shape}, the maps {reference.grid.shape}: resample it to their grid."
        )
    if not _shared_names(sr, reference):
        raise ValueError(
            f"the maps ({', '.join(sr.names)}) and the reference ({', '.join(reference.names)}) share no "
            "quantity: pass maps of the same kind."
        )
    valid: BoolArray = (mask > 0) & np.isfinite(reference.data).all(axis=0)
    return valid


def axial_axis(grid: VoxelGrid) -> int:
    """Find the stored axis that runs nearest to head-foot."""
    upwards = np.abs(grid.affine[2, :3]) / np.asarray(grid.voxel_size)
    return int(upwards.argmax())


def without_small_slices(mask: BoolArray, grid: VoxelGrid, axis: int) -> BoolArray:
    """Leave out slices that hold less than `SLICE_AREA` of the mask, or than half of the largest."""
    across = tuple(a for a in range(3) if a != axis)
    counts: npt.NDArray[Any] = mask.sum(axis=across)
    area = np.prod([grid.voxel_size[a] for a in across])
    enough: BoolArray = np.expand_dims(counts >= min(SLICE_AREA / area, counts.max() / 2), across)
    return mask & enough
