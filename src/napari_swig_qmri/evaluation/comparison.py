"""Comparison of the contrasts of several map sets with an acquired image: choice of the image, gain and scores.

All contrasts are scored on the grid of the finest maps, in the unit of the synthetic signal: the acquired image is
divided by one gain per map set, fitted over tissue.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, find_objects, generate_binary_structure
from scipy.ndimage import label as components

from napari_swig_qmri.data.interpretation import as_signal, is_uniform_image
from napari_swig_qmri.data.labels import check_place, mask_on
from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_suffix
from napari_swig_qmri.data.recognition.sidecars import from_sidecar
from napari_swig_qmri.data.resampling import resampled, spline
from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, Volume, VoxelGrid
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.evaluation.scores import (
    TISSUE_LIMITS,
    axial_axis,
    bright_pd,
    tissue_masks,
    white_matter_limit,
    without_small_slices,
)
from napari_swig_qmri.metrics import edge_map, relative_norm, similarity_map
from napari_swig_qmri.physics.weighting import display_name
from napari_swig_qmri.progress import Progress, staged
from napari_swig_qmri.synthesis.brightness import signal_limits
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, for_sequence
from napari_swig_qmri.synthesis.lazy_contrast import LazyContrast, lazy_contrast
from napari_swig_qmri.synthesis.rendering import PLAIN, Rendering

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.physics.sequence import Contrast

ACQUIRED = "acquired"
MAX_SCORED_SLICES = 24  # so that scores can follow the sliders
MAX_GAIN_SAMPLES = 20_000  # tissue voxels that a gain is fitted to
EDGE_MARGIN = 8  # voxels kept around the regions, for the window of the edge filter
BRAIN_LIMITS = {"T1": (0.42, 6.0), "T2": (0.04, 4.0)}  # s; excludes fat, muscle, bone and air (our choice)
LEAST_BRAIN_PD = 0.2  # of `bright_pd`; excludes air
BRIDGE_RADIUS = 2.5  # mm; structures thinner than twice this do not connect the brain with its surroundings


@dataclass(frozen=True, kw_only=True)
class ContrastScores:
    """Scores of a contrast against its reference in one region."""

    n_voxels: int
    ssim: float
    hfen: float
    nrmse: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ComparisonData:
    """Map sets, the image that their contrasts are compared with, and the scored regions; for any sequence."""

    maps: Mapping[str, QuantitativeMaps]  # by label, the finest last
    acquired: FloatArray | None  # (x, y, z) on the grid of the finest maps, scanner units, NaN where not measured
    has_gain: bool  # whether the acquired image has a scale of its own; False for MP2RAGE UNI
    regions: Mapping[str, BoolArray]  # tissue, WM, GM and CSF, (x, y, z) on the grid of the finest maps
    sample: npt.NDArray[np.intp]  # flat indices of tissue voxels, for a quick gain
    scored: tuple[slice, ...]  # index of the scored voxels
    axis: int  # across the scored slices
    notes: tuple[str, ...]  # about mask, resampling and tissue thresholds
    contrast_maps: Mapping[str, ContrastMaps] = field(default_factory=dict)  # with T2* and transmit field, by label

    def contrast(self, label: str, sequence: Contrast, rendering: Rendering) -> LazyContrast:
        """Contrast of one map set on its own grid."""
        maps = self.contrast_maps.get(label) or ContrastMaps(maps=self.maps[label])
        return lazy_contrast(for_sequence(maps, sequence), sequence, rendering)

    @property
    def finest(self) -> str:
        """Label of the maps with the finest voxels."""
        return list(self.maps)[-1]

    @property
    def grid(self) -> VoxelGrid:
        """Grid of the finest maps, on which contrasts are scored."""
        return self.maps[self.finest].grid

    @property
    def reference(self) -> str:
        """Label of the reference: the acquired image, or else the finest maps."""
        return self.finest if self.acquired is None else ACQUIRED

    @property
    def compared(self) -> tuple[str, ...]:
        """Labels of the map sets that are compared with the reference."""
        return tuple(label for label in self.maps if label != self.reference)


@dataclass(frozen=True, eq=False, kw_only=True)
class ContrastComparison:
    """Scores of one contrast of several map sets."""

    sequence: Contrast
    reference: str  # label
    scores: Mapping[str, Mapping[str, ContrastScores]]  # by label and region
    gains: Mapping[str, float]  # by label, scanner units per unit of signal; empty for an image without a gain
    notes: tuple[str, ...]


def choose_acquired(sequence: Contrast, images: Sequence[tuple[str, str | None, Mapping[str, Any]]]) -> int | None:
    """Index of the acquired image that matches a contrast, or None.

    Each image is given by its name, BIDS suffix and sidecar. Images of the same sequence are preferred, among them
    the one with the nearest times and angles; then come images of the same weighting.
    """
    ranked = []
    for index, (name, suffix, sidecar) in enumerate(images):
        kind = suffix or find_suffix(Evidence(stem=name, sidecar=sidecar))[0]
        acquired = from_sidecar(sidecar, kind)[0] if kind or sidecar else None
        if type(acquired) is type(sequence) and display_name(acquired, name) == display_name(sequence, ""):
            ranked.append((0, _distance(acquired, sequence), index))
        elif display_name(acquired, kind or name) == display_name(sequence, ""):
            ranked.append((1, 0.0, index))
    return min(ranked)[2] if ranked else None


def _distance(first: Contrast, second: Contrast) -> float:
    """Sum of the absolute log ratios of the settings of two sequences of one class."""
    pairs = [(getattr(first, each.name), getattr(second, each.name)) for each in fields(first)]
    return sum(abs(math.log(a / b)) for a, b in pairs if a > 0 and b > 0)


def brain_of(maps: QuantitativeMaps) -> BoolArray:
    """Mask ``(x, y, z)`` of the brain and its CSF, estimated from PD, T1 and T2 alone.

    The mask is the largest connected piece with plausible values, with its holes filled. It is good enough to score
    in, but no segmentation.
    """
    with np.errstate(invalid="ignore"):
        plausible = maps["PD"] > LEAST_BRAIN_PD * bright_pd(maps)
        for name, (low, high) in BRAIN_LIMITS.items():
            plausible &= (maps[name] > low) & (maps[name] < high)
    n_times = max(1, round(BRIDGE_RADIUS / min(maps.grid.voxel_size)))
    neighbours = generate_binary_structure(3, 1)
    pieces, n_pieces = components(binary_erosion(plausible, neighbours, iterations=n_times))
    if n_pieces == 0:
        return np.asarray(plausible)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    grown = binary_dilation(largest, neighbours, iterations=n_times + 1) & plausible
    return np.asarray(binary_fill_holes(grown))


def prepare_comparison(
    maps: Mapping[str, QuantitativeMaps],
    acquired: Volume | None = None,
    mask: Volume | None = None,
    max_slices: int = MAX_SCORED_SLICES,
    contrast_maps: Mapping[str, ContrastMaps] | None = None,
) -> Generator[Progress, None, ComparisonData]:
    """Resample an acquired image and a mask to the finest maps, and find the tissues.

    Parameters
    ----------
    maps
        PD, T1 and T2 by label.
    acquired
        Image of the contrast, on any grid and scale; without it, the finest maps are the reference.
    mask
        Brain mask on any grid; by default `brain_of` the finest maps.
    max_slices
        Largest number of axial slices to score; they are evenly spread.
    contrast_maps
        The same maps with T2* and the transmit field, by label, where these are known.

    Raises
    ------
    ValueError
        If fewer than two images or map sets are given, image or mask lie elsewhere, or the mask covers no tissue.
    """
    if not maps or (len(maps) < 2 and acquired is None):
        raise ValueError(
            "comparing needs two map sets, or one map set and an acquired image of the contrast: open a second "
            "map set or an acquired image."
        )
    coarse_to_fine = sorted(maps, key=lambda label: -float(np.prod(maps[label].grid.voxel_size)))
    finest = maps[coarse_to_fine[-1]]
    yield Progress(0.0, "Finding the brain")
    inside = np.isfinite(finest.data).all(axis=0)
    notes = ["Brain: taken from the maps." if mask is None else f"Brain: {mask.name}."]
    if mask is None:
        inside &= brain_of(finest)
    else:
        region, about_mask = mask_on(mask, finest.grid, "the maps")
        inside &= region
        notes += about_mask
    image = None
    if acquired is not None:
        check_place(acquired.name, acquired.grid, finest.grid, "the maps")
        signal, notices = as_signal(acquired)
        data, measured = yield from _on_finest(signal, finest.grid)
        image = np.where(measured, data, np.nan).astype(np.float32)
        inside &= measured
        notes += [*notices, *_grid_notes(acquired, finest.grid)]
    yield Progress(0.8, "Finding the tissues")
    threshold = white_matter_limit(finest, inside)
    if threshold is None:
        raise ValueError("the mask covers no brain tissue that maps and image share: choose another mask or image.")
    tissues = tissue_masks(finest, inside)
    regions = {"tissue": inside & ~tissues["CSF"], **tissues}
    axis, sample = axial_axis(finest.grid), np.flatnonzero(regions["tissue"])
    slices = _spread(without_small_slices(inside, finest.grid, axis), axis, max_slices)
    return ComparisonData(
        maps={label: maps[label] for label in coarse_to_fine},
        acquired=image,
        has_gain=acquired is not None and not is_uniform_image(acquired),
        regions={name: region for name, region in regions.items() if region.any()},
        sample=sample[:: max(1, len(sample) // MAX_GAIN_SAMPLES)],
        scored=_scored_box(regions.values(), axis, slices),
        axis=axis,
        notes=(*notes, _tissue_note(*threshold)),
        contrast_maps=contrast_maps or {},
    )


def gain_of(data: ComparisonData, sequence: Contrast, rendering: Rendering = PLAIN) -> float:
    """Gain of the acquired image over the finest maps, fitted to a sample of tissue voxels; 1 without a gain."""
    if data.acquired is None or not data.has_gain:
        return 1.0
    where = np.unravel_index(data.sample, data.grid.shape)
    signal = data.contrast(data.finest, sequence, rendering).noiseless(where)
    return _gain(data.acquired.ravel()[data.sample], signal)


def score(
    data: ComparisonData, sequence: Contrast, rendering: Rendering = PLAIN
) -> Generator[Progress, None, ContrastComparison]:
    """Scores of a contrast of every map set against the reference, by region, without added noise."""
    signals = {}
    for index, label in enumerate(data.maps):
        signals[label] = yield from _signal(data, label, sequence, rendering, 0.4 * index / len(data.maps))
    regions = {name: region[data.scored] for name, region in data.regions.items()}
    reference = signals[data.finest] if data.acquired is None else data.acquired[data.scored]
    scores, gains = {}, {}
    for index, label in enumerate(data.compared):
        if data.has_gain:
            gains[label] = _gain(reference[regions["tissue"]], signals[label][regions["tissue"]])
        target = np.nan_to_num(reference) / np.float32(gains.get(label, 1.0))
        done, share = 0.4 + 0.6 * index / len(data.compared), 0.6 / len(data.compared)
        steps = _region_scores(signals[label], target, regions, data.axis)
        scores[label] = yield from staged(steps, done, done + share, "Comparing")
    step, n_slices = data.scored[data.axis].step, reference.shape[data.axis]
    sampling = f", every {_ordinal(step)} of {data.grid.shape[data.axis]}" if step > 1 else ""
    noise = ("Scores leave the added noise out.",) if rendering.has_noise else ()
    notes = (f"Scored in {n_slices} axial slices{sampling}.", *noise, *data.notes)
    return ContrastComparison(sequence=sequence, reference=data.reference, scores=scores, gains=gains, notes=notes)


def _tissue_note(name: str, limit: float) -> str:
    """Thresholds that separate the tissues in words; `limit`, in s, is that of white matter in a map."""
    csf = " or ".join(f"{each} ≥ {1e3 * value:g} ms" for each, value in TISSUE_LIMITS.items())
    return f"CSF: {csf}. WM: {name} < {1e3 * limit:.0f} ms; GM: {name} ≥ {1e3 * limit:.0f} ms (Otsu)."


def _grid_notes(acquired: Volume, grid: VoxelGrid) -> list[str]:
    if acquired.grid.is_aligned_with(grid):
        return []
    size = size_text(acquired.grid.voxel_size)
    return [f"{acquired.name} ({size} mm) was resampled to the voxels of the maps for scores and difference."]


def _on_finest(volume: Volume, grid: VoxelGrid) -> Generator[Progress, None, tuple[FloatArray, BoolArray]]:
    """Values ``(x, y, z)`` of the first volume of an image on a grid, and the mask of its measured voxels."""
    data = volume.data if volume.data.ndim == 3 else volume.data.reshape(*volume.data.shape[:3], -1)[..., 0]
    steps = resampled(np.asarray(data, np.float32), np.isfinite(data), volume.grid, grid)
    return (yield from staged(steps, 0.4, 0.8, f"Resampling {volume.name}"))


def _spread(mask: BoolArray, axis: int, max_slices: int) -> slice:
    """At most `max_slices` evenly spread slices of a mask."""
    first, last = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[[0, -1]].tolist()
    step = max(1, math.ceil((last - first + 1) / max_slices))
    return slice(first + (last - first) % step // 2, last + 1, step)


def _scored_box(regions: Iterable[BoolArray], axis: int, slices: slice) -> tuple[slice, ...]:
    """Index of slices across an axis, cropped to the regions and the margin that the edge filter needs."""
    (box,) = find_objects(np.logical_or.reduce(list(regions)).astype(np.uint8))
    index = [slice(max(0, part.start - EDGE_MARGIN), part.stop + EDGE_MARGIN) for part in box]
    index[axis] = slices
    return tuple(index)


def _signal(
    data: ComparisonData, label: str, sequence: Contrast, rendering: Rendering, done: float
) -> Generator[Progress, None, FloatArray]:
    """Contrast of one map set in the scored voxels: synthesised on its own grid, then interpolated."""
    yield Progress(done, "Synthesising")
    grid, contrast = data.maps[label].grid, data.contrast(label, sequence, rendering)
    if label == data.finest:
        return contrast.noiseless(data.scored)
    signal = np.empty(grid.shape, np.float32)
    for index in range(grid.shape[0]):
        if index % 16 == 0:
            yield Progress(done, "Synthesising")
        signal[index] = contrast.noiseless(index)
    target = _subgrid(data.grid, data.scored)
    return np.nan_to_num((yield from staged(spline(signal, grid, target), done, done, "Interpolating")))


def _subgrid(grid: VoxelGrid, index: tuple[slice, ...]) -> VoxelGrid:
    """Grid of the voxels that three slices with steps select."""
    ranges = [range(*part.indices(n)) for part, n in zip(index, grid.shape, strict=True)]
    affine = grid.affine.astype(float).copy()
    affine[:3, 3] = grid.world(np.array([each.start for each in ranges], float))
    affine[:3, :3] = grid.affine[:3, :3] * [each.step for each in ranges]
    nx, ny, nz = (len(each) for each in ranges)
    return VoxelGrid((nx, ny, nz), affine)


def _gain(reference: FloatArray, signal: FloatArray) -> float:
    """Least-squares factor from the signal to the reference; 1 where it is not positive."""
    r, x = np.nan_to_num(reference).astype(float).ravel(), signal.astype(float).ravel()
    power = float(x @ x)
    gain = float(r @ x) / power if power > 0 else 1.0
    return gain if gain > 0 else 1.0


def _region_scores(
    image: FloatArray, reference: FloatArray, regions: Mapping[str, BoolArray], axis: int
) -> Generator[float, None, dict[str, ContrastScores]]:
    """Scores of every region: SSIM and HFEN as means over slices, and NRMSE. Yields the fraction done.

    For SSIM and HFEN, values are clipped to `signal_limits` of the reference, over CSF for the region CSF and over
    tissue for the others. NRMSE takes unclipped values.
    """
    limits = {name: signal_limits(reference[regions["CSF" if name == "CSF" else "tissue"]]) for name in regions}
    similarities: dict[str, list[float]] = {name: [] for name in regions}
    edge_errors: dict[str, list[float]] = {name: [] for name in regions}
    for index in range(image.shape[axis]):
        yield index / image.shape[axis]
        plane = (slice(None),) * axis + (index,)
        for low, high in dict.fromkeys(limits.values()):
            names = [name for name in regions if limits[name] == (low, high) and regions[name][plane].any()]
            if not names:
                continue
            x, r = (np.clip(values[plane], low, high) - low for values in (image, reference))
            similarity, x_edges, r_edges = similarity_map(x, r, high - low), edge_map(x), edge_map(r)
            for name in names:
                region = regions[name][plane]
                similarities[name].append(float(similarity[region].mean()))
                edge_errors[name].append(relative_norm(x_edges[region], r_edges[region]))
    return {
        name: ContrastScores(
            n_voxels=int(region.sum()),
            ssim=float(np.mean(similarities[name])) if similarities[name] else math.nan,
            hfen=float(np.mean(edge_errors[name])) if edge_errors[name] else math.nan,
            nrmse=relative_norm(image[region], reference[region]) if region.any() else math.nan,
        )
        for name, region in regions.items()
    }


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
