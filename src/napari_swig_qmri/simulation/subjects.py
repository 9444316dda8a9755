"""Endless random subjects from label maps: the data that networks are trained and tested on.

A label map gives the anatomy. Everything else is drawn: relaxation of each tissue from published ranges at
1.5, 3 and 7 T, texture that differs between maps, lesions, sequences of the guides, resolution of the LR maps,
gains, bias fields, noise and small shifts. The same seed gives the same subject.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid, WeightedImage
from napari_swig_qmri.physics.signal_models import SEQUENCES
from napari_swig_qmri.simulation.degradation import degrade

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.physics.signal_models import SignalModel

    Range = tuple[float, float]

FIELD_STRENGTHS = (1.5, 3.0, 7.0)  # T
QUIET, NOISE = 1e-3, (5e-3, 0.06)  # relative noise of maps and of guides: next to none, or within a range
RARE = 0.1  # share of subjects with any one kind of trouble
PROTOCOL = (("spin-echo", "mprage", "spgr"), ("tse", "spin-echo"), ("t2-flair",))  # T1w, T2w and FLAIR

# PD relative to water, T1 and T2 in s at 1.5, 3 and 7 T. Brain at 1.5 T spans BrainWeb, at 3 T values
# quoted from Zhu 2014, Stanisz 2005 and ICBM 2009a, none of which we have read; 7 T and the head are wide guesses.
RANGES: Mapping[str, tuple[Range, tuple[Range, Range, Range], tuple[Range, Range, Range]]] = {
    "white": (
        (0.62, 0.8),
        ((0.5, 0.75), (0.75, 1.15), (1.05, 1.45)),
        ((0.065, 0.09), (0.055, 0.11), (0.04, 0.065)),
    ),
    "grey": (
        (0.74, 0.92),
        ((0.8, 1.15), (1.2, 1.9), (1.7, 2.3)),
        ((0.078, 0.11), (0.07, 0.12), (0.045, 0.075)),
    ),
    "deep grey": (
        (0.72, 0.88),
        ((0.65, 1.0), (0.95, 1.5), (1.3, 1.9)),
        ((0.065, 0.095), (0.05, 0.095), (0.03, 0.06)),
    ),
    "csf": (
        (0.92, 1.0),
        ((2.4, 4.2), (2.8, 4.5), (3.5, 4.6)),
        ((0.33, 2.2), (0.3, 2.0), (0.3, 1.5)),
    ),
    "fat": (
        (0.8, 1.0),
        ((0.24, 0.38), (0.3, 0.5), (0.35, 0.6)),
        ((0.06, 0.1), (0.06, 0.1), (0.04, 0.08)),
    ),
    "muscle": (
        (0.65, 0.85),
        ((0.8, 1.1), (0.95, 1.45), (1.3, 1.9)),
        ((0.035, 0.055), (0.03, 0.05), (0.02, 0.04)),
    ),
    "bone": (
        (0.05, 0.2),
        ((0.3, 0.9), (0.4, 1.0), (0.5, 1.2)),
        ((0.008, 0.025), (0.008, 0.025), (0.006, 0.02)),
    ),
    "dura": (
        (0.55, 0.75),
        ((0.7, 1.1), (0.8, 1.3), (1.0, 1.6)),
        ((0.045, 0.075), (0.04, 0.07), (0.03, 0.06)),
    ),
    "blood": (
        (0.8, 0.95),
        ((1.3, 1.7), (1.5, 2.0), (2.0, 2.6)),
        ((0.1, 0.28), (0.06, 0.18), (0.02, 0.1)),
    ),
}
TISSUES = tuple(RANGES)  # label n of an anatomy is tissue n - 1; 0 is air
BRAIN = ("white", "grey", "deep grey", "csf")

BRAINWEB = dict(
    enumerate(("csf", "grey", "white", "fat", "muscle", "muscle", "bone", "blood", "fat", "dura", "fat"), 1)
)
_SIDES = {  # FreeSurfer ids of both hemispheres
    "white": (2, 41, 7, 46, 16, 28, 60, 85),
    "grey": (3, 42, 8, 47, 17, 53, 18, 54),
    "deep grey": (10, 49, 11, 50, 12, 51, 13, 52, 26, 58),
    "csf": (4, 43, 5, 44, 14, 15, 24),
    "fat": (258,),
}
FREESURFER = {label: tissue for tissue, labels in _SIDES.items() for label in labels}
PHANTOM = dict(enumerate(("csf", "grey", "white", "deep grey", "grey", "muscle"), 1))  # `phantom.CLASSES`
SCHEMES: Mapping[str, Mapping[int, str]] = {"brainweb": BRAINWEB, "freesurfer": FREESURFER, "phantom": PHANTOM}
LEAST_TISSUE = 0.35  # of a crop
COARSE = 4  # HR voxels, where crops are looked for
MAPPED_PD = 0.3  # of the 99th percentile; voxels above it count as tissue of measured maps


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Tissues of one head on a grid twice as fine as the maps that are made of it."""

    labels: npt.NDArray[np.uint8]  # (2X, 2Y, 2Z), 0 air, then `TISSUES` from 1
    grid: VoxelGrid

    def crop(self, corner: tuple[int, int, int], shape: tuple[int, int, int]) -> Anatomy:
        """The box of `shape` HR voxels whose first HR voxel is `corner`."""
        x, y, z = (slice(2 * first, 2 * (first + n)) for first, n in zip(corner, shape, strict=True))
        labels = self.labels[x, y, z]
        nx, ny, nz = labels.shape
        return Anatomy(labels, self.grid.box((x.start, y.start, z.start), (nx, ny, nz)))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Everything that is known of a simulated person."""

    truth: QuantitativeMaps
    lr_maps: QuantitativeMaps
    guides: tuple[WeightedImage, ...]
    mask: npt.NDArray[np.bool_]  # (X, Y, Z), brain and its CSF
    lesions: FloatArray  # (X, Y, Z), share of lesion in maps or guides
    map_noise: float  # standard deviation relative to the value
    guide_noise: float  # standard deviation relative to the median over tissue
    gains: tuple[float, ...]  # scanner units per unit of signal


def anatomy_of(labels: npt.NDArray[np.integer], grid: VoxelGrid, scheme: Mapping[int, str]) -> Anatomy:
    """Anatomy of a label map whose numbers mean the tissues of `scheme`; other numbers are air.

    Raises
    ------
    ValueError
        If no voxel has a number of the scheme.
    """
    table = np.zeros(int(max(labels.max(), max(scheme))) + 1, np.uint8)
    for number, tissue in scheme.items():
        table[number] = 1 + TISSUES.index(tissue)
    tissues = table[np.clip(np.asarray(labels, int), 0, None)]
    if not tissues.any():
        raise ValueError(
            f"no label of the scheme ({sorted(scheme)[:5]} ...) is in the label map: choose its own scheme."
        )
    return Anatomy(tissues, grid)


def random_crop(anatomy: Anatomy, edge: int, seed: int | Sequence[int]) -> Anatomy:
    """A box of `edge` HR voxels along each axis, mostly of brain if luck has it; the whole axis where it is shorter."""
    step = 2 * COARSE
    brain = np.isin(anatomy.labels[::step, ::step, ::step], labels_of(BRAIN))
    nx, ny, nz = (n // 2 for n in anatomy.labels.shape)
    return anatomy.crop(*_random_box(brain, (nx, ny, nz), edge, seed))


def crop_of_maps(maps: QuantitativeMaps, edge: int, seed: int | Sequence[int]) -> QuantitativeMaps:
    """The same of HR maps, mostly of where there is PD."""
    pd = maps.data[maps.names.index("PD"), ::COARSE, ::COARSE, ::COARSE]
    corner, shape = _random_box(pd > MAPPED_PD * np.percentile(pd, 99), maps.grid.shape, edge, seed)
    x, y, z = (slice(first, first + n) for first, n in zip(corner, shape, strict=True))
    return replace(maps, data=maps.data[:, x, y, z], grid=maps.grid.box(corner, shape))


def _random_box(
    wanted: npt.NDArray[np.bool_], shape: tuple[int, int, int], edge: int, seed: int | Sequence[int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Corner and shape of a box; `wanted` holds one of `COARSE` voxels along each axis."""
    generator = np.random.default_rng(seed)
    size = np.minimum(shape, edge)
    for _ in range(100):
        corner = generator.integers(0, np.asarray(shape) - size + 1)
        x, y, z = (slice(c // COARSE, (c + n) // COARSE) for c, n in zip(corner, size, strict=True))
        if wanted[x, y, z].mean() > LEAST_TISSUE:
            break
    first, last = corner.tolist(), size.tolist()
    return (first[0], first[1], first[2]), (last[0], last[1], last[2])


def labels_of(tissues: Sequence[str]) -> list[int]:
    """Labels of tissues in an anatomy."""
    return [1 + TISSUES.index(tissue) for tissue in tissues]


def random_subject(anatomy: Anatomy, seed: int | Sequence[int], n_guides: int | None = None) -> Subject:
    """A subject with this anatomy; `n_guides` is 1 to 3, drawn by default."""
    generator = np.random.default_rng(seed)
    field_strength = float(generator.choice(FIELD_STRENGTHS))
    healthy, ill, lesions = random_maps(anatomy, field_strength, generator)
    truth, seen_by_guides = _by_luck(healthy, ill, generator)
    brain = halved(np.isin(anatomy.labels, labels_of(BRAIN)).astype(np.float32)) > 0.5
    return _scanned(truth, seen_by_guides, brain, lesions, n_guides, generator)


def random_scan(maps: QuantitativeMaps, seed: int | Sequence[int], n_guides: int | None = None) -> Subject:
    """A subject whose HR maps are known: PD, T1 and T2, of which only the scan is drawn. No lesions are added."""
    pd = maps.data[maps.names.index("PD")]
    tissue = pd > MAPPED_PD * np.percentile(pd, 99)
    nothing = np.zeros(tissue.shape, np.float32)
    return _scanned(maps, maps, tissue, nothing, n_guides, np.random.default_rng(seed))


def _scanned(
    truth: QuantitativeMaps,
    seen_by_guides: QuantitativeMaps,
    mask: npt.NDArray[np.bool_],
    lesions: FloatArray,
    n_guides: int | None,
    generator: np.random.Generator,
) -> Subject:
    n_guides = int(generator.choice([1, 2, 2, 2, 3, 3])) if n_guides is None else n_guides
    sequences = random_protocol(n_guides, generator)
    factors = random_factors(generator)
    map_noise, guide_noise = (random_noise(generator) for _ in range(2))
    gains = tuple((10 ** generator.uniform(0, 3, n_guides)).tolist())
    domain = "signals" if generator.uniform() < RARE else "maps"
    lr_maps, _ = degrade(truth, factors, {}, map_noise=map_noise, domain=domain, generator=generator)
    _, guides = degrade(seen_by_guides, 1, sequences, guide_noise=guide_noise, gains=gains, generator=generator)
    imperfect = tuple(_misplaced(_shaded(guide, generator), generator) for guide in guides)
    return Subject(
        truth=truth,
        lr_maps=lr_maps,
        guides=imperfect,
        mask=mask,
        lesions=lesions,
        map_noise=map_noise,
        guide_noise=guide_noise,
        gains=gains,
    )


def _by_luck(
    healthy: QuantitativeMaps, ill: QuantitativeMaps, generator: np.random.Generator
) -> tuple[QuantitativeMaps, QuantitativeMaps]:
    """What maps and guides see: mostly the same lesions, now and then only one of them does."""
    luck = generator.uniform()
    if luck < RARE / 2:
        return ill, healthy
    return (healthy, ill) if luck < RARE else (ill, ill)


def random_maps(
    anatomy: Anatomy, field_strength: float, generator: np.random.Generator
) -> tuple[QuantitativeMaps, QuantitativeMaps, FloatArray]:
    """Maps with texture, averaged to voxels twice as large: without lesions, with them, and the share of lesion."""
    table = np.zeros((3, 1 + len(TISSUES)))
    for label, tissue in enumerate(TISSUES, 1):
        table[:, label] = _drawn(tissue, field_strength, generator)
    rates = table.astype(np.float32)[:, anatomy.labels]
    amplitudes = np.array([0.02, 0.04, 0.05]) * generator.uniform(0.3, 2.0)
    common = _texture(anatomy.labels.shape, generator)
    correlation = generator.uniform(0, 0.8)
    for volume, amplitude in zip(rates, amplitudes, strict=True):
        own = _texture(anatomy.labels.shape, generator)
        volume *= 1 + amplitude * (math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own)
    healthy = _halved_maps(rates, anatomy)
    lesions = _lesions(anatomy, generator)
    for volume, change in zip(rates, _lesion_changes(generator), strict=True):
        volume *= 1 + (change - 1) * lesions
    return healthy, _halved_maps(rates, anatomy), halved(lesions)


def _halved_maps(rates: FloatArray, anatomy: Anatomy) -> QuantitativeMaps:
    """Maps of voxels twice as large from PD, R1 and R2 ``(3, 2X, 2Y, 2Z)``, rates weighted by PD."""
    pd, rate1, rate2 = rates
    weight = halved(pd)
    safe = np.maximum(weight, 1e-6)
    times = [safe / np.maximum(halved(pd * rate), 1e-6) for rate in (rate1, rate2)]
    data = np.stack([weight, *(np.where(weight > 1e-3, time, 0) for time in times)]).astype(np.float32)
    nx, ny, nz = weight.shape
    grid = VoxelGrid((2 * nx, 2 * ny, 2 * nz), anatomy.grid.affine).with_shape((nx, ny, nz))
    return QuantitativeMaps(data=data, grid=grid)


def random_protocol(n_guides: int, generator: np.random.Generator) -> dict[str, SignalModel]:
    """Sequences of the guides: mostly T1w, T2w and FLAIR in this order, else any."""
    if generator.uniform() < 0.8:
        kinds = [str(generator.choice(choice)) for choice in PROTOCOL[:n_guides]]
        if n_guides == 1:
            kinds = [str(generator.choice(PROTOCOL[int(generator.integers(2))]))]
        return {f"guide{k}": random_sequence(generator, kind) for k, kind in enumerate(kinds)}
    return {f"guide{k}": random_sequence(generator) for k in range(n_guides)}


def random_sequence(generator: np.random.Generator, kind: str | None = None) -> SignalModel:
    """A sequence with settings around a usual protocol, times within a factor of 1.6, angles within 1.4."""
    kinds = [each for each in SEQUENCES if each != "mp2rage-uni"]
    model = SEQUENCES[kind or str(generator.choice(kinds))]
    while True:
        settings = {
            name: value * math.exp(generator.uniform(-1, 1) * math.log(1.4 if name.endswith("angle") else 1.6))
            for name, value in model.typical.items()
            if isinstance(value, float)  # counts stay
        }
        try:
            return model.from_typical(**settings)
        except ValueError:  # such a sequence cannot be played out
            continue


def random_noise(generator: np.random.Generator) -> float:
    """Relative noise, next to none in one image of five."""
    if generator.uniform() < 0.2:
        return QUIET
    return float(10 ** generator.uniform(*np.log10(NOISE)))


def random_factors(generator: np.random.Generator) -> tuple[float, float, float]:
    """LR voxel edges in HR voxels: all axes alike, in-plane, thick slices, or any from 1 to 4 along each axis."""
    kind = generator.integers(4)
    if kind == 0:
        x = y = z = generator.uniform(1.5, 3)
    elif kind == 1:
        x = y = generator.uniform(1.5, 4)
        z = 1.0
    elif kind == 2:
        x = y = 1.0
        z = generator.uniform(2, 4)
    else:
        x, y, z = generator.uniform(1, 4, 3)
    return float(x), float(y), float(z)


def halved(volume: FloatArray) -> FloatArray:
    """Averages of 2 x 2 x 2 voxels; an odd last plane is left out."""
    nx, ny, nz = (n // 2 for n in volume.shape)
    boxes = volume[: 2 * nx, : 2 * ny, : 2 * nz].reshape(nx, 2, ny, 2, nz, 2)
    averages: FloatArray = boxes.mean(axis=(1, 3, 5))
    return averages


def _drawn(tissue: str, field_strength: float, generator: np.random.Generator) -> tuple[float, float, float]:
    """PD, R1 and R2 of one tissue."""
    pd, t1, t2 = RANGES[tissue]
    strength = FIELD_STRENGTHS.index(field_strength)
    return (
        generator.uniform(*pd),
        1 / generator.uniform(*t1[strength]),
        1 / math.exp(generator.uniform(*np.log(t2[strength]))),
    )


def _texture(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """Random field of unit standard deviation with detail of two sizes."""
    total = np.zeros(shape, np.float32)
    for width in (generator.uniform(0.8, 2), generator.uniform(3, 8)):
        part = gaussian_filter(generator.standard_normal(shape, dtype=np.float32), width)
        total += part / (part.std() + 1e-12)
    return total / math.sqrt(2)


def _lesions(anatomy: Anatomy, generator: np.random.Generator) -> FloatArray:
    """Share of lesion: up to four balls with soft edges in brain tissue."""
    share = np.zeros(anatomy.labels.shape, np.float32)
    tissue = np.flatnonzero(np.isin(anatomy.labels, labels_of(("white", "grey", "deep grey"))))
    if not len(tissue):
        return share
    axes = [np.arange(size) for size in anatomy.grid.shape]
    for place in generator.choice(tissue, generator.integers(0, 5)):
        centre = np.unravel_index(place, share.shape)
        radius = generator.uniform(3, 10)
        stretch = generator.uniform(0.7, 1.4, 3)
        near = [np.flatnonzero(np.abs(axis - c) < 2.5 * radius) for axis, c in zip(axes, centre, strict=True)]
        offsets = np.meshgrid(*[(i - c) * s for i, c, s in zip(near, centre, stretch, strict=True)], indexing="ij")
        distance = np.sqrt(sum(offset**2 for offset in offsets))
        box = np.ix_(*near)
        share[box] = np.maximum(share[box], 1 / (1 + np.exp((distance - radius) * generator.uniform(0.7, 2))))
    outside = anatomy.labels == 0
    share[outside] = 0
    return share


def _lesion_changes(generator: np.random.Generator) -> tuple[float, float, float]:
    """Factors of PD, R1 and R2: mostly longer T1 and T2, now and then a long T2 with a short T1, or iron."""
    kind = generator.uniform()
    if kind < 0.7:
        return 1 + generator.uniform(0, 0.15), generator.uniform(0.5, 0.9), generator.uniform(0.3, 0.8)
    if kind < 0.85:
        return 1 + generator.uniform(0, 0.1), generator.uniform(1.1, 2.0), generator.uniform(0.4, 0.8)
    return 1.0, generator.uniform(0.9, 1.2), generator.uniform(1.2, 2.5)


def _shaded(guide: WeightedImage, generator: np.random.Generator) -> WeightedImage:
    """The guide under a smooth receive field, up to 5 % off in its corners, of mean 1; mostly there is none."""
    strength = generator.uniform(0, 0.05) if generator.uniform() < RARE else 0.0
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in guide.data.shape], indexing="ij", sparse=True)
    slopes, bends = generator.uniform(-1, 1, 3), generator.uniform(-0.5, 0.5, 3)
    field = sum(slope * axis + bend * axis**2 for slope, bend, axis in zip(slopes, bends, axes, strict=True))
    log_field = strength * field / max(1e-6, float(np.abs(field).max()))
    bias = np.exp(log_field - log_field.mean())
    return replace(guide, data=(guide.data * bias).astype(np.float32))


def _misplaced(guide: WeightedImage, generator: np.random.Generator) -> WeightedImage:
    """The guide moved against the maps by up to a third of a voxel per axis, in few subjects."""
    if generator.uniform() > RARE / 2:
        return guide
    moved = shift(guide.data, generator.uniform(-1 / 3, 1 / 3, 3), order=3, mode="nearest")
    return replace(guide, data=moved if guide.sequence is not None and guide.sequence.is_signed else np.abs(moved))
