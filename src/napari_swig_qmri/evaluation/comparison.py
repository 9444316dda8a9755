"""Contrasts of several map sets beside an acquired image: which image, which gain, and how close they come.

Everything is scored on the voxels of the finest maps, in the units of the synthetic signal: the acquired image is
divided by one gain per map set, fitted over tissue.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes, find_objects, generate_binary_structure
from scipy.ndimage import label as components

from napari_swig_qmri.data.bids import find_suffix
from napari_swig_qmri.data.evidence import Evidence
from napari_swig_qmri.data.interpretation import as_signal, is_uniform_image
from napari_swig_qmri.data.resampling import resampled, spline
from napari_swig_qmri.data.sidecars import from_sidecar
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.data.wording import size_text
from napari_swig_qmri.evaluation.scores import (
    TISSUE_LIMITS,
    axial_axis,
    tissue_masks,
    white_matter_limit,
    without_small_slices,
)
from napari_swig_qmri.metrics import edge_map, relative_norm, similarity_map
from napari_swig_qmri.physics.weighting import contrast_name
from napari_swig_qmri.progress import Progress, mapped
from napari_swig_qmri.synthesis.brightness import signal_limits
from napari_swig_qmri.synthesis.contrast_maps import ContrastMaps, for_sequence
from napari_swig_qmri.synthesis.lazy_contrast import PLAIN, LazyContrast, lazy_contrast

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import BoolArray, FloatArray, Volume
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.synthesis.rendering import Rendering

ACQUIRED = "acquired"
N_SLICES = 24  # that are scored while sliders move
N_SAMPLES = 20_000  # voxels of tissue that a gain is fitted to
MARGIN = 8  # voxels around the mask that its edges are filtered with
BRAIN = {"T1": (0.42, 6.0), "T2": (0.04, 4.0)}  # s; leaves out fat, muscle, bone and air (our choice)
DARK = 0.2  # of the 99th percentile of PD; less is air
NECK = 2.5  # mm; what is thinner than twice this does not join the brain to what lies around it


@dataclass(frozen=True, kw_only=True)
class ContrastScores:
    """How close a contrast comes to its reference over one region."""

    n_voxels: int
    ssim: float
    hfen: float
    nrmse: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """Map sets and what they are compared with, ready for any sequence."""

    maps: Mapping[str, QuantitativeMaps]  # by label, the finest last
    acquired: FloatArray | None  # (x, y, z) on the finest grid, scanner units, NaN where it was not seen
    has_gain: bool  # whether the acquired image has a unit of its own; MP2RAGE UNI has none
    regions: Mapping[str, BoolArray]  # tissue, WM, GM, CSF on the finest grid
    sample: npt.NDArray[np.intp]  # flat indices of some voxels of tissue
    slices: tuple[int, int, int]  # first scored slice, step, number
    axis: int  # across the slices
    notes: tuple[str, ...]
    beside: Mapping[str, ContrastMaps] = field(default_factory=dict)  # with T2* and the transmit field, by label

    def contrast(self, label: str, sequence: Contrast, rendering: Rendering) -> LazyContrast:
        """Contrast of one map set on its own voxels."""
        maps = self.beside.get(label) or ContrastMaps(maps=self.maps[label])
        return lazy_contrast(for_sequence(maps, sequence), sequence, rendering)

    @property
    def finest(self) -> str:
        """Label of the maps whose voxels are scored."""
        return list(self.maps)[-1]

    @property
    def grid(self) -> VoxelGrid:
        """Grid that is scored."""
        return self.maps[self.finest].grid

    @property
    def reference(self) -> str:
        """What the others are compared with."""
        return self.finest if self.acquired is None else ACQUIRED

    @property
    def judged(self) -> tuple[str, ...]:
        """Labels of the map sets that are compared with the reference."""
        return tuple(label for label in self.maps if label != self.reference)


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Scores of one contrast, by map set and region."""

    sequence: Contrast
    reference: str
    scores: Mapping[str, Mapping[str, ContrastScores]]
    gains: Mapping[str, float]  # scanner units per unit of signal; empty where none is fitted
    notes: tuple[str, ...]


def choose_acquired(sequence: Contrast, images: Sequence[tuple[str, str | None, Mapping[str, Any]]]) -> int | None:
    """Index of the acquired image that shows what `sequence` shows, None if there is none.

    Images are given by name, BIDS suffix and sidecar. Of several, one of the same sequence comes first, and among
    those the one with the nearest times and angles.
    """
    ranked = []
    for index, (name, suffix, sidecar) in enumerate(images):
        kind = suffix or find_suffix(Evidence(stem=name, sidecar=sidecar))[0]
        made = from_sidecar(sidecar, kind)[0] if kind or sidecar else None
        if type(made) is type(sequence) and contrast_name(made, name) == contrast_name(sequence, ""):
            ranked.append((0, _distance(made, sequence), index))
        elif contrast_name(made, kind or name) == contrast_name(sequence, ""):
            ranked.append((1, 0.0, index))
    return min(ranked)[2] if ranked else None


def _distance(one: Contrast, other: Contrast) -> float:
    """How far the settings of two sequences of one kind are apart, in factors of e."""
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return sum(abs(math.log(a / b)) for a, b in pairs if a > 0 and b > 0)


def brain_of(maps: QuantitativeMaps) -> BoolArray:
    """Brain and its CSF from the maps alone: the largest piece with plausible PD, T1 and T2, its holes filled.

    Good enough to score in, not a segmentation: give a mask where you have one.
    """
    top = np.nanpercentile(maps["PD"][maps["PD"] > 0], 99) if (maps["PD"] > 0).any() else 0.0
    with np.errstate(invalid="ignore"):
        plausible = maps["PD"] > DARK * top
        for name, (low, high) in BRAIN.items():
            plausible &= (maps[name] > low) & (maps[name] < high)
    n_times = max(1, round(NECK / min(maps.grid.voxel_size)))
    structure = generate_binary_structure(3, 1)
    pieces, n = components(binary_erosion(plausible, structure, iterations=n_times))
    if n == 0:
        return np.asarray(plausible)
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    grown = binary_dilation(largest, structure, iterations=n_times + 1) & plausible
    return np.asarray(binary_fill_holes(grown))


def prepare(
    maps: Mapping[str, QuantitativeMaps],
    acquired: Volume | None = None,
    mask: Volume | None = None,
    n_slices: int = N_SLICES,
    beside: Mapping[str, ContrastMaps] | None = None,
) -> Generator[Progress, None, Bench]:
    """Bring an acquired image and a mask to the voxels of the finest maps, and find the tissues.

    Parameters
    ----------
    maps
        PD, T1 and T2 by label.
    acquired
        Image of the contrast, on any grid and scale.
    mask
        Brain, on any grid; without it `brain_of` the finest maps.
    n_slices
        Axial slices that are scored at most, evenly spread.
    beside
        The same maps with T2* and the transmit field, by label, where there are such.

    Raises
    ------
    ValueError
        Where there is nothing to compare, or the mask covers no tissue.
    """
    if not maps or (len(maps) < 2 and acquired is None):
        raise ValueError("comparing needs two map sets, or one and an acquired image of the contrast: open another.")
    coarse_to_fine = sorted(maps, key=lambda label: -float(np.prod(maps[label].grid.voxel_size)))
    finest = maps[coarse_to_fine[-1]]
    yield Progress(0.0, "Finding the brain")
    where = np.isfinite(finest.data).all(axis=0)
    where &= brain_of(finest) if mask is None else (yield from _moved(mask, finest.grid))[0] > 0.5
    notes = [_mask_note(mask)]
    image = None
    if acquired is not None:
        signal, told = as_signal(acquired)
        notes += told
        data, seen = yield from _moved(signal, finest.grid)
        image = np.where(seen, data, np.nan).astype(np.float32)
        where &= seen
        notes += _grid_notes(acquired, finest.grid)
    yield Progress(0.8, "Finding the tissues")
    limit, tissues = white_matter_limit(finest, where), tissue_masks(finest, where)
    regions = {"tissue": where & ~tissues.get("CSF", np.zeros_like(where)), **tissues}
    if not regions["tissue"].any():
        raise ValueError("the mask covers no brain tissue that maps and image share: choose another mask or image.")
    axis = axial_axis(finest.grid)
    notes.append(tissue_note(limit))
    sample = np.flatnonzero(regions["tissue"])
    return Bench(
        maps={label: maps[label] for label in coarse_to_fine},
        acquired=image,
        has_gain=acquired is not None and not is_uniform_image(acquired),
        regions={name: region for name, region in regions.items() if region.any()},
        sample=sample[:: max(1, len(sample) // N_SAMPLES)],
        slices=_spread(without_small_slices(where, finest.grid, axis), axis, n_slices),
        axis=axis,
        notes=tuple(notes),
        beside=beside or {},
    )


def gain_of(bench: Bench, sequence: Contrast, rendering: Rendering = PLAIN) -> float:
    """Gain of the acquired image against the finest maps, from a sample of tissue: quick; 1 where it has none."""
    if bench.acquired is None or not bench.has_gain:
        return 1.0
    where = np.unravel_index(bench.sample, bench.grid.shape)
    signal = bench.contrast(bench.finest, sequence, rendering).noiseless(where)
    return _gain(bench.acquired.ravel()[bench.sample], signal)


def score(bench: Bench, sequence: Contrast, rendering: Rendering = PLAIN) -> Generator[Progress, None, Comparison]:
    """Scores of a contrast of every map set against the reference, over each region; without added noise."""
    signals = {}
    for index, label in enumerate(bench.maps):
        yield Progress(0.4 * index / len(bench.maps), "Synthesising")
        signals[label] = yield from _signal(bench, label, sequence, rendering)
    regions = {name: region[_scored(bench)] for name, region in bench.regions.items()}
    reference = signals[bench.finest] if bench.acquired is None else bench.acquired[_scored(bench)]
    scores, gains = {}, {}
    for index, label in enumerate(bench.judged):
        gain = _gain(*(values[regions["tissue"]] for values in (reference, signals[label]))) if bench.has_gain else 1.0
        target = np.nan_to_num(reference) / np.float32(gain)
        done = 0.4 + 0.6 * index / len(bench.judged)
        steps = _region_scores(signals[label], target, regions, bench.axis)
        scores[label] = yield from mapped(steps, lambda _, done=done: Progress(done, "Comparing"))  # type: ignore[misc]
        if bench.has_gain:
            gains[label] = gain
    _, step, n = bench.slices
    every = f", every {_ordinal(step)} of {bench.grid.shape[bench.axis]}" if step > 1 else ""
    sampled = f"Scored in {n} axial slices{every}."
    noise = ("Scores leave the added noise out.",) if rendering.has_noise else ()
    notes = (sampled, *noise, *bench.notes)
    return Comparison(sequence=sequence, reference=bench.reference, scores=scores, gains=gains, notes=notes)


def tissue_note(limit: tuple[str, float] | None) -> str:
    """How voxels were told apart, for a person."""
    above = " or ".join(f"{name} ≥ {1e3 * value:g} ms" for name, value in TISSUE_LIMITS.items())
    if limit is None:
        return f"CSF: {above}."
    return f"CSF: {above}; WM below, GM from {limit[0]} {1e3 * limit[1]:.0f} ms on (Otsu)."


def _mask_note(mask: Volume | None) -> str:
    return "Brain: taken from the maps." if mask is None else f"Brain: {mask.name}."


def _grid_notes(acquired: Volume, grid: VoxelGrid) -> list[str]:
    if acquired.grid.is_aligned_with(grid):
        return []
    size = size_text(acquired.grid.voxel_size)
    return [f"{acquired.name} ({size} mm) was resampled to the voxels of the maps for scores and difference."]


def _moved(volume: Volume, grid: VoxelGrid) -> Generator[Progress, None, tuple[FloatArray, BoolArray]]:
    """Values of an image on a grid, and where it was seen."""
    data = volume.data if volume.data.ndim == 3 else volume.data.reshape(*volume.data.shape[:3], -1)[..., 0]
    steps = resampled(np.asarray(data, np.float32), np.isfinite(data), volume.grid, grid)
    return (yield from mapped(steps, lambda _: Progress(0.4, f"Resampling {volume.name}")))


def _spread(mask: BoolArray, axis: int, n_slices: int) -> tuple[int, int, int]:
    """First, step and number of evenly spread slices of a mask."""
    found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    step = max(1, math.ceil((int(found[-1]) - int(found[0]) + 1) / n_slices))
    first = int(found[0]) + (int(found[-1]) - int(found[0])) % step // 2
    return first, step, 1 + (int(found[-1]) - first) // step


def _scored(bench: Bench) -> tuple[slice, ...]:
    """Index of the scored slices, cropped to what the mask needs."""
    first, step, n = bench.slices
    brain = np.logical_or.reduce(list(bench.regions.values()))
    box = list(find_objects(brain.astype(np.uint8))[0])
    margin = [slice(max(0, part.start - MARGIN), part.stop + MARGIN) for part in box]
    margin[bench.axis] = slice(first, first + (n - 1) * step + 1, step)
    return tuple(margin)


def _signal(
    bench: Bench, label: str, sequence: Contrast, rendering: Rendering
) -> Generator[Progress, None, FloatArray]:
    """Contrast of one map set in the scored slices: synthesised on its own voxels, then interpolated."""
    maps, where = bench.maps[label], _scored(bench)
    contrast = bench.contrast(label, sequence, rendering)
    if label == bench.finest:
        return contrast.noiseless(where)
    signal = np.empty(maps.grid.shape, np.float32)
    for index in range(maps.grid.shape[0]):
        if index % 16 == 0:
            yield Progress(0.1, "Synthesising")
        signal[index] = contrast.noiseless(index)
    moved = yield from mapped(
        spline(signal, maps.grid, _part(bench.grid, where)), lambda _: Progress(0.3, "Interpolating")
    )
    return np.nan_to_num(moved)


def _part(grid: VoxelGrid, where: tuple[slice, ...]) -> VoxelGrid:
    """Grid of the voxels that regular slices pick."""
    ranges = [range(*part.indices(n)) for part, n in zip(where, grid.shape, strict=True)]
    affine = grid.affine.astype(float).copy()
    affine[:3, 3] = grid.world(np.array([each.start for each in ranges], float))
    affine[:3, :3] = grid.affine[:3, :3] * [each.step for each in ranges]
    nx, ny, nz = (len(each) for each in ranges)
    return VoxelGrid((nx, ny, nz), affine)


def _gain(reference: FloatArray, signal: FloatArray) -> float:
    """Least-squares factor from the signal to the reference; 1 where there is no signal."""
    r, x = np.nan_to_num(reference).astype(float).ravel(), signal.astype(float).ravel()
    power = float(x @ x)
    gain = float(r @ x) / power if power > 0 else 1.0
    return gain if gain > 0 else 1.0


def _region_scores(
    image: FloatArray, reference: FloatArray, regions: Mapping[str, BoolArray], axis: int
) -> Generator[None, None, dict[str, ContrastScores]]:
    """SSIM and HFEN, means of the slices, and NRMSE of each region.

    SSIM and HFEN clip the values to the 0.5th (at most 0) to 99.5th percentile of the reference, over tissue for
    tissue and over CSF for CSF; NRMSE takes them as they are.
    """
    limits = {name: signal_limits(reference[regions["CSF" if name == "CSF" else "tissue"]]) for name in regions}
    similarity: dict[str, list[float]] = {name: [] for name in regions}
    edges: dict[str, list[float]] = {name: [] for name in regions}
    for index in range(image.shape[axis]):
        yield
        here = (slice(None),) * axis + (index,)
        for low, high in dict.fromkeys(limits.values()):
            names = [n for n in regions if limits[n] == (low, high) and regions[n][here].any()]
            if not names:
                continue
            x, r = (np.clip(values[here], low, high) - low for values in (image, reference))
            alike, found, expected = similarity_map(x, r, high - low), edge_map(x), edge_map(r)
            for name in names:
                region = regions[name][here]
                similarity[name].append(float(alike[region].mean()))
                edges[name].append(relative_norm(found[region], expected[region]))
    return {
        name: ContrastScores(
            n_voxels=int(region.sum()),
            ssim=float(np.mean(similarity[name])) if similarity[name] else math.nan,
            hfen=float(np.mean(edges[name])) if edges[name] else math.nan,
            nrmse=relative_norm(image[region], reference[region]) if region.any() else math.nan,
        )
        for name, region in regions.items()
    }


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
