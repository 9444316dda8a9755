"""Implicit shapes of the brain, skull and face of a procedural head.

Coordinates are RAS+ mm with the origin near the anterior commissure, x to the right, y to the front, z up; sizes and
positions follow the anatomy of an adult head. `p` are positions (x, y, z), `m` the same with |x|, so that shapes of the
right side also describe the left. Fields are distances in mm, negative inside their structure, unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from scipy.fft import irfftn, rfftn
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_swig_qmri.data.volumes import BoolArray, FloatArray
from napari_swig_qmri.simulation.shapes import (
    Coordinates,
    Field,
    Lattice,
    ellipsoid,
    smooth_min,
    spline_field,
    tube,
    waves,
)
from napari_swig_qmri.simulation.threads import in_threads

HEAD_LATTICE = Lattice((-99, -138, -102), (99, 120, 114), 3)
BRAIN_LATTICE = Lattice((-78, -117, -75), (78, 81, 87), 3)
DEEP_LATTICE = Lattice((-46, -88, -64), (46, 46, 40), 2)
FACE_LATTICE = Lattice((-60, -40, -90), (60, 110, 6), 2)
PERIVENTRICULAR_LATTICE = Lattice((-54, -78, -15), (54, 60, 54), 1.5)

FAR = 12.0  # mm from a lesion, beyond which its distance does not matter
GYRUS_WAVELENGTH = 21.5  # mm, twice the distance between neighbouring sulci

CORPUS_CALLOSUM = (  # y, z, radius in the midsagittal plane, from rostrum to splenium
    (24, -5, 2.5), (30, 0, 4), (33.5, 7, 5), (31, 15, 4.8), (22, 21.5, 3.6), (8, 25.5, 3), (-8, 27, 3),
    (-22, 25, 2.9), (-33, 19, 3.4), (-39, 12, 5), (-38, 7, 4.5),
)  # fmt: skip
LATERAL_VENTRICLE = (  # x, y, z, radius from the frontal to the occipital horn
    (17, 32, 4, 2.5), (12, 25, 8, 5), (6, 12, 13, 5), (4.5, 3, 15, 4.2), (8, -10, 20, 4.2), (13, -24, 23, 5),
    (23, -40, 14, 6.5), (27, -54, 9, 4), (24, -72, 5, 1.5),
)  # fmt: skip
TEMPORAL_HORN = ((23, -40, 12, 5), (32, -37, 0, 4), (35, -23, -10, 2.8), (33, -8, -18, 2.2))
CAUDATE = (
    (13, 21, 2, 5), (14, 13, 8, 6), (15, 2, 15, 4.2), (18, -14, 21, 2.8), (24, -30, 17, 2), (27, -38, 6, 1.5),
)  # fmt: skip
HIPPOCAMPUS = ((24, -4, -19, 7.5), (27, -13, -18, 5), (30, -24, -13, 4), (27, -35, -3, 3))
BRAINSTEM = (
    (0, -29, -10, 12.5), (0, -30, -24, 13), (0, -33, -44, 10), (0, -42, -62, 7.5), (0, -48, -84, 6),
    (0, -53, -110, 6),
)  # fmt: skip
AQUEDUCT = ((0, -31, -2, 1.2), (0, -35, -14, 1.2), (0, -40, -24, 2))


@lru_cache(maxsize=2)
def head(seed: int = 0) -> dict[str, Field]:
    """All fields of one head by name; the seed varies folds, asymmetry, thicknesses, lesions and texture."""
    parts = (
        (BRAIN_LATTICE, _cerebrum),  # first, because it takes longest
        (HEAD_LATTICE, _outside),
        (DEEP_LATTICE, _deep),
        (FACE_LATTICE, _face),
        (PERIVENTRICULAR_LATTICE, _lesions),
        (BRAIN_LATTICE, _textures),
    )
    fields: dict[str, Field] = {}
    for part in in_threads(lambda each: _fields_of(*each, seed), parts):
        fields |= part
    return fields


def _fields_of(
    lattice: Lattice, shapes: Callable[[Lattice, int], Mapping[str, FloatArray]], seed: int
) -> dict[str, Field]:
    return {name: spline_field(values, lattice) for name, values in shapes(lattice, seed).items()}


def interhemispheric_fissure(fissure_x: FloatArray, core: FloatArray) -> FloatArray:
    """Distance in mm to the wall of the interhemispheric fissure, which ends at the bridges between the hemispheres."""
    result: FloatArray = np.sqrt(fissure_x**2 + np.maximum(-core, 0) ** 2) - 0.7
    return result


def _positions(lattice: Lattice, seed: int) -> tuple[Coordinates, Coordinates]:
    """Sample positions (x, y, z), 3-D each, slightly warped so that both sides differ, and the same with |x|."""
    axes = np.ix_(*lattice.axes)
    x, y, z = (c + 1.1 * _noise(axes, 90, seed, i, 12) for i, c in enumerate(axes))
    return (x, y, z), (np.abs(x), y, z)


def _noise(p: Coordinates, wavelength: float, seed: int, stream: int, count: int = 24) -> FloatArray:
    return waves(p, wavelength, np.random.default_rng((seed, stream)), count)


def _hemispheres(m: Coordinates, spacing: float) -> FloatArray:
    """Cerebral hemispheres with their temporal lobes, without folds and fissures."""
    a, y, z = m
    width = 66.5 * (1 - 0.0011 * (y + 25) - 0.000007 * np.maximum(y - 10, 0) ** 2)
    height = np.where(z > 14, (z - 14) / 61, (14 - z) / 46)
    power = 2.45
    level = ((a / width) ** power + (np.abs(y + 17) / 87) ** power + height**power) ** (1 / power)
    slope = np.sqrt(sum(g * g for g in np.gradient(level, spacing)))
    temporal = ellipsoid((a, y, z + 0.33 * (y + 14)), (43, -16, -23), (22, 44, 20))
    occipital = ellipsoid(m, (29, -70, -8), (27, 28, 17))
    return smooth_min(smooth_min((level - 1) / (slope + 1e-3), temporal, 5), occipital, 5)


def _above_tentorium(m: Coordinates) -> FloatArray:
    """Height above the tentorium in mm, positive above."""
    a, y, z = m
    behind = np.maximum(-44 - y, 0)
    ridge = 2 - 0.31 * behind - 1.3 * np.maximum(y + 44, 0)
    edge = ridge - (0.42 - 0.0045 * behind) * a
    return (z - edge) / 1.15


def _cerebellum(m: Coordinates) -> FloatArray:
    hemisphere = ellipsoid(m, (25, -63, -33), (30, 33, 29))
    vermis = ellipsoid(m, (0, -63, -28), (12, 27, 27))
    result: FloatArray = np.maximum(smooth_min(hemisphere, vermis, 7), _above_tentorium(m) + 1.2)
    return result


def _brainstem(m: Coordinates) -> FloatArray:
    pons = ellipsoid(m, (0, -25, -34), (17.5, 13, 15))
    stem = smooth_min(pons, tube(m, BRAINSTEM, (1.15, 1, 1)), 5)
    return smooth_min(stem, tube(m, ((13, -27, -35, 7), (24, -48, -38, 6))), 5)


def _outside(lattice: Lattice, seed: int) -> dict[str, FloatArray]:
    """Intracranial space, skull and skin, brainstem; `bone` is the thickness of the skull in mm."""
    p, m = _positions(lattice, seed)
    a, _, z = m
    stem = _brainstem(m)
    brain = _hemispheres(m, lattice.spacing) - 1.2 - 0.015 * np.maximum(z, 0)
    cavity = smooth_min(smooth_min(brain, _cerebellum(m) - 1.8, 16), stem - 5, 10)
    bone = 6 + 0.45 * _noise(p, 70, seed, 10, 16) - np.clip(0.035 * (a - 50), -1, 1.5)
    face = smooth_min(ellipsoid(m, (0, 48, -48), (58, 48, 72)), ellipsoid(m, (0, 93, -50), (10, 15, 17)), 14)
    neck = tube(m, ((0, -42, -50, 52), (0, -50, -150, 52)), (1.1, 1, 1))
    cranium = cavity - bone - 4.6 - 4 * np.clip(0.03 * (a - 55), -0.4, 0.6)
    skin = smooth_min(smooth_min(cranium, face, 22), neck, 25)
    return {"cavity": cavity, "bone": bone, "skin": skin, "stem": stem}


def _cerebrum(lattice: Lattice, seed: int) -> dict[str, FloatArray]:
    """Depths, folds and fissures from which the cortex is painted, the tentorium and the cerebellum."""
    p, m = _positions(lattice, seed)
    x, y, z = p
    fissure_x = x + 1.8 * _noise((np.zeros_like(x), y, z), 55, seed, 20, 16)
    core = _bridges(m)
    surfaces = {  # depth below each surface in mm, positive inside, and depth of the sulci there
        "convexity": (-_hemispheres(m, lattice.spacing), 25),
        "tentorium": (_above_tentorium(m) - 1.0, 10),
        "base": (_cisterns(m), 6),
        "fissure": (interhemispheric_fissure(fissure_x, core), 12),
        "sylvian": (_sylvian(m) - 0.6, 5),
    }
    depths = np.stack([depth for depth, _ in surfaces.values()])
    nearest = np.exp(-(depths - depths.min(axis=0)) / 2)
    reach = np.tensordot([deep for _, deep in surfaces.values()], nearest / nearest.sum(axis=0), axes=1)
    folds = _folds(-2 * np.log(np.exp(-np.clip(depths, -20, 60) / 2).sum(axis=0)), p, lattice, seed)
    return {
        "fold": folds,
        "fold_slope": np.sqrt(sum(g * g for g in np.gradient(folds, lattice.spacing))),
        "sulcus_depth": reach * (1 + 0.3 * _noise(p, 45, seed, 21)),
        "sulcus_gap": 0.28 + 0.18 * _noise(p, 45, seed, 22),
        "cortex_thickness": 2.9 + 0.3 * _noise(p, 30, seed, 23),
        "outer_depth": depths[:3].min(axis=0),
        "sylvian_depth": depths[4],
        "second_depth": np.sort(depths, axis=0)[1],
        "core": core,
        "fissure_x": fissure_x,
        "tentorium": _above_tentorium(m),
        "cerebellum": _cerebellum(m),
    }


def _bridges(m: Coordinates) -> FloatArray:
    """Bridges between the hemispheres: corpus callosum, diencephalon and the base of the forebrain."""
    a, y, z = m
    plane = (np.zeros_like(a), y, z)
    callosum = tube(plane, [(0, *knot) for knot in CORPUS_CALLOSUM])
    middle = smooth_min(ellipsoid(plane, (0, -4, 8), (99, 30, 19)), ellipsoid(plane, (0, -14, -6), (99, 16, 14)), 4)
    return np.minimum(callosum, middle)


def _cisterns(m: Coordinates) -> FloatArray:
    """Distance to the basal cisterns: around the brainstem, above the sella, behind the midbrain."""
    base = smooth_min(np.maximum(_brainstem(m) - 3, m[2] + 8), ellipsoid(m, (0, 2, -23), (10, 11, 7)), 6)
    return smooth_min(base, ellipsoid(m, (0, -43, -4), (13, 8, 9)), 4)


def _sylvian(m: Coordinates) -> FloatArray:
    """Distance to the lateral fissure: a sheet from the convexity inwards, and the cleft over the insula."""
    a, y, z = m
    height = (z + 9 - 0.42 * (20 - y)) / 1.08
    sides = np.maximum(40 - a, 0) ** 2 + np.maximum(y - 33, 0) ** 2 + np.maximum(-46 - y, 0) ** 2
    ends = np.maximum(np.abs(height - 2) - 13, 0) ** 2 + np.maximum(np.abs(y - 1) - 22, 0) ** 2
    result: FloatArray = np.minimum(np.sqrt(height**2 + sides), np.sqrt((a - 41 + 0.006 * y**2) ** 2 + ends))
    return result


def _folds(depth: FloatArray, p: Coordinates, lattice: Lattice, seed: int) -> FloatArray:
    """Pattern whose zeros are the sulci: evenly spaced, winding, and perpendicular to the surface.

    Alternating a band-pass and a saturation, as in a reaction-diffusion system, turns noise into stripes of one
    wavelength on the surface ``depth = 0``. After each round every point takes the value of the closest surface point,
    so that sulci run straight inwards.
    """
    closest = _closest_points(depth, lattice.spacing)
    frequency = [np.fft.fftfreq(n, lattice.spacing) for n in depth.shape]
    frequency[2] = np.fft.rfftfreq(depth.shape[2], lattice.spacing)
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*frequency, indexing="ij")))
    band = np.exp(-(((radius * GYRUS_WAVELENGTH - 1) / 0.22) ** 2)).astype(np.float32)
    near = np.abs(depth) < 9
    pattern = np.random.default_rng((seed, 30)).standard_normal(depth.shape).astype(np.float32)
    for _ in range(8):
        pattern = _band_passed(pattern, band, near)
        pattern = np.tanh(1.2 * map_coordinates(pattern, closest, order=1, mode="nearest"))
    wander = [_noise(p, 24, seed, 31 + i) for i in range(3)]
    points = [c + w for c, w in zip(closest, wander, strict=True)]
    folds: FloatArray = map_coordinates(_band_passed(pattern, band, near), points, order=3, mode="nearest")
    return folds


def _band_passed(pattern: FloatArray, band: FloatArray, where: BoolArray) -> FloatArray:
    """The pattern times `band` in Fourier space, scaled to unit standard deviation in the voxels of `where`."""
    filtered = irfftn(rfftn(pattern) * band, pattern.shape)
    result: FloatArray = filtered / filtered[where].std()
    return result


def _closest_points(depth: FloatArray, spacing: float) -> list[FloatArray]:
    """Lattice indices of the point of the surface ``depth = 0`` closest to each sample, by two Newton steps."""
    points: list[FloatArray] = list(np.indices(depth.shape, dtype=np.float32))
    slope = np.gradient(depth)
    steepness = np.maximum(sum(g * g for g in slope), 0.4 * spacing**2)
    step = [depth * g / steepness for g in slope]
    points = [c - s for c, s in zip(points, step, strict=True)]
    step = [map_coordinates(s, points, order=1, mode="nearest") for s in step]
    return [c - s for c, s in zip(points, step, strict=True)]


def _deep(lattice: Lattice, seed: int) -> dict[str, FloatArray]:
    """Ventricles, deep grey matter and corpus callosum."""
    p, m = _positions(lattice, seed)
    x, y, z = p
    a = m[0]
    caudate = tube(m, CAUDATE)
    lateral = smooth_min(tube(m, LATERAL_VENTRICLE, (1.25, 1, 0.95)), tube(m, TEMPORAL_HORN), 3)
    lateral = np.maximum(np.maximum(lateral, 1.1 - a), 0.3 - caudate)
    third = np.maximum(ellipsoid((np.zeros_like(x), y, z), (0, -9, 1), (99, 15, 11)), a - 1.6)
    third = np.maximum(third, -ellipsoid(m, (0, -10, 4), (5, 3.5, 3)))
    fourth = smooth_min(ellipsoid(m, (0, -44, -33), (7.5, 4.5, 10)), tube(m, AQUEDUCT), 2)
    arch = (np.zeros_like(x), y, z - 0.01 * a**2)
    return {
        "ventricles": np.minimum(np.minimum(lateral, third), fourth),
        "caudate": caudate,
        "putamen": ellipsoid((a + 0.25 * (y - 3), y, z), (26, 2, 1), (5.5, 18, 11)),
        "pallidum": ellipsoid((a + 0.3 * (y + 2), y, z), (18.5, -3, -1), (5, 9, 6.5)),
        "thalamus": ellipsoid((a + 0.35 * (y + 17), y, z), (10.5, -17, 8), (8.5, 14.5, 9)),
        "hippocampus": tube(m, HIPPOCAMPUS),
        "nigra": np.minimum(
            ellipsoid(m, (5, -22, -9), (3, 3.5, 4)),
            tube(m, ((5, -15, -14, 1.5), (13, -21, -11, 1.7)), (1, 1, 1.4)),
        ),
        "callosum": tube(arch, [(0, *knot) for knot in CORPUS_CALLOSUM]) + 0.006 * a**2,
    }


def _face(lattice: Lattice, seed: int) -> dict[str, FloatArray]:
    """Orbits, eyes, air spaces and the marrow of skull base and spine."""
    _, m = _positions(lattice, seed)
    cavities = (
        ((6.5, 66, -46), (5, 26, 18)), ((7, 44, -31), (5.5, 20, 8)), ((8, 13, -36), (7, 10, 8)),
        ((29, 52, -56), (12, 14, 13)), ((10, 78, -6), (11, 3, 7)), ((0, 4, -62), (9, 8, 14)),
    )  # fmt: skip
    muscles = [tube(m, ((14, 20, -27, 1.5), (x, 50, z, 2.2))) for x, z in ((44, -30), (19, -30), (31, -17), (31, -43))]
    return {
        "air": np.min([ellipsoid(m, centre, radii) for centre, radii in cavities], axis=0),
        "orbit": ellipsoid(m, (30, 46, -30), (17, 25, 16)),
        "eye": ellipsoid(m, (31, 58, -30), (12, 12, 12)),
        "lens": ellipsoid(m, (31, 67.5, -30), (4.5, 2.2, 4.5)),
        "optic_nerve": tube(m, ((31, 47, -30, 1.9), (12, 18, -23, 1.9), (0, 3, -17, 1.8))),
        "eye_muscles": np.min(muscles, axis=0),
        "base_marrow": np.minimum(
            tube(m, ((0, 6, -44, 5), (0, -12, -62, 4))), tube(m, ((0, -24, -74, 5), (0, -30, -110, 7)))
        ),
    }


def _lesions(lattice: Lattice, seed: int, count: int = 9) -> dict[str, FloatArray]:
    """Lesions as in multiple sclerosis: ovoids perpendicular to the lateral ventricles, and a few farther away."""
    p, _ = _positions(lattice, seed)
    generator = np.random.default_rng((seed, 40))
    body = np.array(LATERAL_VENTRICLE)[1:-1]
    result = np.full(p[0].shape, FAR, np.float32)
    axes = lattice.axes
    for i in range(count):
        x, y, z, radius = body[i % len(body)] + generator.normal(0, 2, 4) * (1, 1, 1, 0)
        side = 1 if i % 2 else -1
        gap = radius + generator.uniform(2, 4) if i < 6 else radius + generator.uniform(10, 18)
        length, thickness = generator.uniform(3, 8), generator.uniform(2.4, 4.4)
        up = generator.uniform(-0.1, 0.7)
        start = (side * (x + gap), y, z + up * gap, thickness)
        end = (
            side * (x + gap + length),
            y + generator.normal(0, 2),
            z + up * (gap + length),
            0.8 * thickness,
        )
        reach = FAR + thickness
        ends = [sorted(pair) for pair in zip(start[:3], end[:3], strict=True)]
        near = tuple(
            slice(*np.searchsorted(axis, (low - reach, high + reach)))
            for axis, (low, high) in zip(axes, ends, strict=True)
        )
        result[near] = np.minimum(result[near], tube([c[near] for c in p], (start, end)))
    return {"lesion": result + 0.8 * _noise(p, 9, seed, 41)}


def _textures(lattice: Lattice, seed: int) -> dict[str, FloatArray]:
    """Texture of each map, of unit variance: fine grain, patches and slow variation."""
    shape = tuple(len(axis) for axis in lattice.axes)
    textures = {}
    for i, name in enumerate(("texture_pd", "texture_r1", "texture_r2")):
        white = np.random.default_rng((seed, 50 + i)).standard_normal(shape).astype(np.float32)
        layers = [(weight, gaussian_filter(white, sigma)) for weight, sigma in ((0.6, 0.5), (0.55, 1.5), (0.58, 6))]
        textures[name] = sum(weight * layer / layer.std() for weight, layer in layers)
        textures[name] /= textures[name].std()
    return textures
