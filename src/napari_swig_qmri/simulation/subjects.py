"""Random subjects for training and testing networks: true maps, LR maps and guides.

The anatomy comes from a label map, or the true maps from a scan. Everything else is drawn: relaxation of each tissue,
texture, lesions, sequences of the guides, resolution of the LR maps, gains, bias fields, noise and small shifts. The
same seed gives the same subject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import shift

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, WeightedImage, bright_voxels
from napari_swig_qmri.physics.signal_models import SEQUENCES, SignalModel
from napari_swig_qmri.simulation.degradation import degrade
from napari_swig_qmri.simulation.label_maps import Anatomy
from napari_swig_qmri.simulation.tissue_maps import FIELD_STRENGTHS, random_maps

LOW_NOISE, NOISE_RANGE = 1e-3, (5e-3, 0.06)  # relative noise of maps and guides
RARE = 0.1  # share of subjects with a particular imperfection
USUAL_KINDS = (("spin-echo", "mprage", "spgr"), ("tse", "spin-echo"), ("t2-flair",))  # of T1w, T2w and FLAIR guides


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A simulated subject: the true maps, the LR maps and guides, and what they were degraded with."""

    truth: QuantitativeMaps
    lr_maps: QuantitativeMaps
    guides: tuple[WeightedImage, ...]
    mask: BoolArray  # (X, Y, Z), brain and its CSF
    lesions: FloatArray  # (X, Y, Z), share of lesion in each voxel of the maps or the guides
    map_noise: float  # standard deviation relative to the value
    guide_noise: float  # standard deviation relative to the median over tissue
    gains: tuple[float, ...]  # scanner units per unit of signal


def random_subject(anatomy: Anatomy, seed: int | Sequence[int], n_guides: int | None = None) -> Subject:
    """Random subject with an anatomy and 1 to 3 guides; their number is drawn if `n_guides` is None."""
    generator = np.random.default_rng(seed)
    field_strength = float(generator.choice(FIELD_STRENGTHS))
    healthy, ill, lesions = random_maps(anatomy, field_strength, generator)
    truth, seen_by_guides = _with_and_without_lesions(healthy, ill, generator)
    return _scanned(truth, seen_by_guides, anatomy.brain_mask, lesions, n_guides, generator)


def random_scan(maps: QuantitativeMaps, seed: int | Sequence[int], n_guides: int | None = None) -> Subject:
    """Random subject whose true PD, T1 and T2 are given; only the scan is drawn, and no lesions are added."""
    tissue = bright_voxels(maps["PD"])
    no_lesions = np.zeros(tissue.shape, np.float32)
    return _scanned(maps, maps, tissue, no_lesions, n_guides, np.random.default_rng(seed))


def _scanned(
    truth: QuantitativeMaps,
    seen_by_guides: QuantitativeMaps,
    mask: BoolArray,
    lesions: FloatArray,
    n_guides: int | None,
    generator: np.random.Generator,
) -> Subject:
    """Subject with a random scan of its true maps; guides are computed from maps that may have other lesions."""
    n_guides = int(generator.choice([1, 2, 2, 2, 3, 3])) if n_guides is None else n_guides
    sequences = random_protocol(n_guides, generator)
    factors = random_factors(generator)
    map_noise, guide_noise = (random_noise(generator) for _ in range(2))
    gains = tuple((10 ** generator.uniform(0, 3, n_guides)).tolist())
    domain = "signals" if generator.uniform() < RARE else "maps"
    lr_maps, _ = degrade(truth, factors, {}, map_noise=map_noise, domain=domain, generator=generator)
    _, guides = degrade(seen_by_guides, 1, sequences, guide_noise=guide_noise, gains=gains, generator=generator)
    return Subject(
        truth=truth,
        lr_maps=lr_maps,
        guides=tuple(_misaligned(_shaded(guide, generator), generator) for guide in guides),
        mask=mask,
        lesions=lesions,
        map_noise=map_noise,
        guide_noise=guide_noise,
        gains=gains,
    )


def _with_and_without_lesions(
    healthy: QuantitativeMaps, ill: QuantitativeMaps, generator: np.random.Generator
) -> tuple[QuantitativeMaps, QuantitativeMaps]:
    """Maps behind the LR maps and behind the guides: mostly both have the lesions, rarely only one of them."""
    draw = generator.uniform()
    if draw < RARE / 2:
        return ill, healthy
    return (healthy, ill) if draw < RARE else (ill, ill)


def random_protocol(n_guides: int, generator: np.random.Generator) -> dict[str, SignalModel]:
    """Sequences of the guides by name: mostly T1w, T2w and FLAIR in this order, else any."""
    if generator.uniform() < 0.8:
        kinds = [str(generator.choice(choices)) for choices in USUAL_KINDS[:n_guides]]
        if n_guides == 1:
            kinds = [str(generator.choice(USUAL_KINDS[int(generator.integers(2))]))]
        return {f"guide{k}": random_sequence(generator, kind) for k, kind in enumerate(kinds)}
    return {f"guide{k}": random_sequence(generator) for k in range(n_guides)}


def random_sequence(generator: np.random.Generator, kind: str | None = None) -> SignalModel:
    """Sequence with random settings: times within a factor of 1.6 of the typical ones, angles within 1.4.

    `kind` is a key of `SEQUENCES`, drawn if None.
    """
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
        except ValueError:  # the sequence cannot be played out with these settings
            continue


def random_noise(generator: np.random.Generator) -> float:
    """Random relative noise, very low in one of five images."""
    if generator.uniform() < 0.2:
        return LOW_NOISE
    return float(10 ** generator.uniform(*np.log10(NOISE_RANGE)))


def random_factors(generator: np.random.Generator) -> tuple[float, float, float]:
    """LR voxel edges in HR voxels: equal along all axes, larger in plane, thick slices, or 1 to 4 along each axis."""
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


def _shaded(guide: WeightedImage, generator: np.random.Generator) -> WeightedImage:
    """The guide times a smooth receive field of geometric mean 1, up to 5 % off in its corners; mostly unchanged."""
    strength = generator.uniform(0, 0.05) if generator.uniform() < RARE else 0.0
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in guide.data.shape], indexing="ij", sparse=True)
    slopes, curvatures = generator.uniform(-1, 1, 3), generator.uniform(-0.5, 0.5, 3)
    field = sum(slope * axis + curve * axis**2 for slope, curve, axis in zip(slopes, curvatures, axes, strict=True))
    log_field = strength * field / max(1e-6, float(np.abs(field).max()))
    bias = np.exp(log_field - log_field.mean())
    return replace(guide, data=(guide.data * bias).astype(np.float32))


def _misaligned(guide: WeightedImage, generator: np.random.Generator) -> WeightedImage:
    """The guide shifted by up to a third of a voxel along each axis; mostly unchanged."""
    if generator.uniform() > RARE / 2:
        return guide
    moved = shift(guide.data, generator.uniform(-1 / 3, 1 / 3, 3), order=3, mode="nearest")
    return replace(guide, data=moved if guide.sequence is not None and guide.sequence.is_signed else np.abs(moved))
