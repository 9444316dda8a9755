"""Scores of maps against reference maps, over a mask and per tissue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.filters import threshold_otsu

from napari_swig_qmri.data.labels import mask_on
from napari_swig_qmri.data.volumes import Volume
from napari_swig_qmri.metrics import DATA_RANGE, LOG_SIGMA, LOG_WINDOW, SSIM_WINDOW, hfen, nrmse, ssim

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid

TISSUE_LIMITS = {"T1": 2.2, "T2": 0.15}  # s; a voxel whose reference is below both is tissue, not CSF
WATER_PD_RANGE = (0.1, 4.0)  # of `bright_pd` where PD is relative to water
PERCENT_PD_RANGE = (50, 130)  # of `bright_pd` where PD is in percent of water
BRIGHT_PERCENTILE = 99
SLICE_AREA = 200.0  # mm^2 of mask that a slice needs to be scored: 200 voxels of 1 mm


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Differences of a map from its reference over some voxels, in percent of the reference.

    `limits` are the limits of agreement of Bland and Altman (1986), the mean difference -+ 1.96 standard deviations.
    `bias` is the median difference, which is robust against outliers.
    """

    n_voxels: int
    median_ape: float  # %, median absolute percentage error
    bias: float  # %
    mean_difference: float  # %
    limits: tuple[float, float]  # %


@dataclass(frozen=True, kw_only=True)
class MapScores(Agreement):
    """Scores of one map: SSIM, HFEN and NRMSE over the mask, and agreement over the tissue in it (without CSF)."""

    ssim: float
    hfen: float
    nrmse: float


def evaluate(sr: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray | Volume) -> dict[str, MapScores]:
    """Scores of maps against reference maps on the same grid.

    SSIM, HFEN and NRMSE clip the maps to 0 .. `DATA_RANGE`. SSIM and HFEN are means over axial slices, that is, slices
    across the stored axis nearest to head-foot, without those that hold little of the mask. PD of both maps is
    multiplied by `pd_factor` of the reference, so that a wrong scale counts as an error.
    Source: SSIM from Wang et al. 2004, HFEN from Ravishankar and Bresler 2011.

    Parameters
    ----------
    sr
        Maps to score, T1 and T2 in s; missing voxels (NaN) count as zero.
    reference
        Reference maps; voxels that are missing in one of them are left out.
    mask
        Voxels to score: ``(x, y, z)`` on the grid of the reference, or a volume, which its affine brings there.

    Returns
    -------
    dict
        Scores by name of the map, for every map that both have.

    Raises
    ------
    ValueError
        If grids or shapes differ, the maps have no quantity in common, or the mask is empty.

    Examples
    --------
    >>> from napari_swig_qmri import QuantitativeMaps, evaluate, make_phantom
    >>> head = make_phantom(5.0, extent=((-45, 45), (-60, 20), (0, 50)))  # mm
    >>> maps = QuantitativeMaps(data=1.05 * head.maps.data, grid=head.maps.grid)
    >>> round(evaluate(maps, head.maps, head.mask)["T1"].bias, 3)
    5.0
    """
    mask = _valid_mask(sr, reference, mask)
    tissue = _without_csf(reference, mask)
    axis = axial_axis(reference.grid)
    scored = without_small_slices(mask, reference.grid, axis)
    scores = {}
    for name in _shared_names(sr, reference):
        factor, limit = pd_factor(reference) if name == "PD" else 1.0, DATA_RANGE[name]
        x, r = factor * np.nan_to_num(sr[name]), factor * np.nan_to_num(reference[name])
        scores[name] = MapScores(
            ssim=ssim(x, r, scored, limit, axis),
            hfen=hfen(x, r, scored, limit, axis),
            nrmse=nrmse(x, r, mask, limit),
            **vars(agreement(x, r, tissue)),
        )
    return scores


def tissue_errors(
    sr: QuantitativeMaps,
    reference: QuantitativeMaps,
    mask: BoolArray | Volume,
    tissues: Mapping[str, BoolArray] | None = None,
) -> dict[str, dict[str, Agreement]]:
    """Agreement of maps with reference maps on the same grid, per tissue.

    Source: limits of agreement from Bland and Altman 1986.

    Parameters
    ----------
    sr
        Maps to score, T1 and T2 in s; missing voxels (NaN) count as zero.
    reference
        Reference maps; voxels that are missing in one of them are left out.
    mask
        Voxels to score: ``(x, y, z)`` on the grid of the reference, or a volume, which its affine brings there.
    tissues
        Mask ``(x, y, z)`` of each tissue by name, from labels for instance; by default white matter (WM), grey
        matter (GM) and CSF of the reference, by `tissue_masks`.

    Returns
    -------
    dict
        Agreement by map and tissue, as ``errors["T1"]["WM"]``.

    Raises
    ------
    ValueError
        If grids or shapes differ, or the maps have no quantity in common.

    Examples
    --------
    >>> from napari_swig_qmri import QuantitativeMaps, make_phantom, tissue_errors
    >>> head = make_phantom(5.0, extent=((-45, 45), (-60, 20), (0, 50)))  # mm
    >>> maps = QuantitativeMaps(data=1.05 * head.maps.data, grid=head.maps.grid)
    >>> errors = tissue_errors(maps, head.maps, head.mask)["T1"]
    >>> {tissue: round(error.bias, 3) for tissue, error in errors.items()}
    {'WM': 5.0, 'GM': 5.0, 'CSF': 5.0}
    """
    mask = _valid_mask(sr, reference, mask)
    tissues = tissue_masks(reference, mask) if tissues is None else tissues
    return {
        name: {
            tissue: agreement(np.nan_to_num(sr[name]), reference[name], mask & inside)
            for tissue, inside in tissues.items()
        }
        for name in _shared_names(sr, reference)
    }


def agreement(image: FloatArray, reference: FloatArray, where: BoolArray) -> Agreement:
    """Agreement over the voxels `where` whose reference is positive; all arrays are ``(x, y, z)``."""
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


def positive_voxels(maps: QuantitativeMaps) -> BoolArray:
    """Mask ``(x, y, z)`` of the voxels where every map is above zero."""
    with np.errstate(invalid="ignore"):
        return np.asarray((maps.data > 0).all(axis=0))


def tissue_masks(reference: QuantitativeMaps, mask: BoolArray) -> dict[str, BoolArray]:
    """Masks ``(x, y, z)`` of white matter (WM), grey matter (GM) and CSF of the reference maps inside a mask.

    A voxel is CSF where T1 or T2 reaches its limit in `TISSUE_LIMITS`. WM lies below, and GM above, the value half-way
    between the two classes of T1 (of T2, without a T1 map) that Otsu's threshold separates, so that it fits any field
    strength. Voxels of several tissues count to the nearest one. Without T1 and T2 there is one mask, "tissue".
    """
    tissue = _without_csf(reference, mask)
    threshold = white_matter_limit(reference, mask)
    if threshold is None:
        return {"tissue": tissue}
    name, limit = threshold
    white = tissue & (reference[name] < limit)
    return {"WM": white, "GM": tissue & ~white, "CSF": mask & ~tissue}


def white_matter_limit(reference: QuantitativeMaps, mask: BoolArray) -> tuple[str, float] | None:
    """Name of a map (T1, else T2) and its value in s that separates white from grey matter inside a mask.

    None without T1 and T2, or without tissue in the mask.
    """
    tissue = _without_csf(reference, mask)
    names = [name for name in TISSUE_LIMITS if name in reference.names]
    if not names or not tissue.any():
        return None
    values = reference[names[0]][tissue]
    threshold = threshold_otsu(values)  # type: ignore[no-untyped-call]
    low, high = (np.median(values[side]) for side in (values <= threshold, values > threshold))
    return names[0], float((low + high) / 2)


def bright_pd(maps: QuantitativeMaps) -> float:
    """99th percentile of the positive values of PD; 0 without any."""
    values = maps["PD"][maps["PD"] > 0]
    return float(np.percentile(values, BRIGHT_PERCENTILE)) if values.size else 0.0


def pd_factor(reference: QuantitativeMaps) -> float:
    """Factor that makes PD of the reference relative to water; 1 where it is so already, or where there is no PD."""
    bright = bright_pd(reference) if "PD" in reference.names else 0.0
    if bright == 0 or WATER_PD_RANGE[0] <= bright <= WATER_PD_RANGE[1]:
        return 1.0
    return 0.01 if PERCENT_PD_RANGE[0] <= bright <= PERCENT_PD_RANGE[1] else 1 / bright


def variant(reference: QuantitativeMaps) -> dict[str, Any]:
    """Settings of the scores of `evaluate`, JSON-ready; scores can be compared only where these are equal."""
    return {
        "data_range": dict(DATA_RANGE),
        "ssim_window": SSIM_WINDOW,
        "hfen": {"sigma": LOG_SIGMA, "window": LOG_WINDOW},
        "tissue_limits_s": dict(TISSUE_LIMITS),
        "slice_axis": axial_axis(reference.grid),
        "least_slice_area_mm2": SLICE_AREA,
        "pd_factor": pd_factor(reference),
    }


def format_scores(
    scores: Mapping[str, MapScores],
    errors: Mapping[str, Mapping[str, Agreement]] | None = None,
    *,
    pd_factor: float = 1.0,
) -> str:
    """Table of scores, and of errors per tissue, as text with the settings of each measure."""
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
    tissue_limits = " and ".join(f"{name} < {limit:g} s" for name, limit in TISSUE_LIMITS.items())
    window = f"{SSIM_WINDOW} x {SSIM_WINDOW}"
    lines += [
        "",
        f"SSIM {window}, HFEN with LoG 1.5 (15 x 15): means over axial slices of the mask, clipped to the range.",
        f"Median error and bias of a map: over tissue, where the reference has {tissue_limits}.",
    ]
    if pd_factor != 1:
        lines.append(f"PD of both maps was multiplied by {pd_factor:.4g}, which makes the reference relative to water.")
    return "\n".join(lines)


def _without_csf(reference: QuantitativeMaps, mask: BoolArray) -> BoolArray:
    """Voxels of the mask whose relaxation times are below all limits of tissue."""
    tissue = mask.copy()
    for name, limit in TISSUE_LIMITS.items():
        if name in reference.names:
            tissue &= reference[name] < limit
    return tissue


def _shared_names(sr: QuantitativeMaps, reference: QuantitativeMaps) -> tuple[str, ...]:
    return tuple(name for name in sr.names if name in reference.names)


def _valid_mask(sr: QuantitativeMaps, reference: QuantitativeMaps, mask: BoolArray | Volume) -> BoolArray:
    """Voxels of the mask where every reference map has a value; ValueError if the maps cannot be compared."""
    if sr.grid.shape != reference.grid.shape:
        raise ValueError(
            f"the maps have {sr.grid.shape} voxels and the reference {reference.grid.shape}: interpolate the maps onto "
            "the grid of the reference (`interpolate`)."
        )
    if not sr.grid.is_aligned_with(reference.grid, tolerance=0.1 * min(reference.grid.voxel_size)):
        raise ValueError(
            f"the corners of the maps and of the reference lie {sr.grid.distance_to(reference.grid):.2f} mm apart: "
            "interpolate the maps onto the grid of the reference (`interpolate`)."
        )
    if isinstance(mask, Volume):
        mask = mask_on(mask, reference.grid, "the reference")[0]
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
    """Stored axis that is nearest to head-foot."""
    upwards = np.abs(grid.affine[2, :3]) / np.asarray(grid.voxel_size)
    return int(upwards.argmax())


def without_small_slices(mask: BoolArray, grid: VoxelGrid, axis: int) -> BoolArray:
    """Mask without the slices across `axis` that hold little of it.

    A slice is kept from `SLICE_AREA` on, or from half of the largest slice on if that is less.
    """
    across = tuple(a for a in range(3) if a != axis)
    counts: npt.NDArray[Any] = mask.sum(axis=across)
    area = np.prod([grid.voxel_size[a] for a in across])
    enough: BoolArray = np.expand_dims(counts >= min(SLICE_AREA / area, counts.max() / 2), across)
    return mask & enough
