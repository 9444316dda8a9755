"""A digital head with the unevenness of living tissue, for demonstrations and sample data.

`make_phantom` paints every tissue with one value and a fine texture, so that tests know its values. Here PD, R1 and R2
also vary as they do in a person: the cortex is more myelinated towards white matter and from region to region, white
matter is streaky along its fibres, and fat, muscle and marrow are grainy. The amplitudes are our choice; the truth is
known in every voxel all the same, because the maps themselves are the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps
from napari_swig_qmri.simulation.phantom import CLASSES, SLAB_THICKNESS, WHOLE_HEAD, Extent, Phantom, make_phantom
from napari_swig_qmri.simulation.shapes import Field, Lattice, Point, spline_field
from napari_swig_qmri.simulation.threads import in_threads

TEXTURE_LATTICE = Lattice((-92, -126, -80), (92, 110, 108), 2.5)
MYELIN_REACH = 1.3  # mm, standard deviation of the spread of white matter into the deep layers of the cortex

# Standard deviations in mm along x, y and z of smooth random fields, and their weight in each class of tissue.
FIELDS: Mapping[str, Point] = {
    "regions": (14, 14, 14),
    "across": (9, 1.6, 1.6),  # fibres of the corpus callosum
    "along": (1.6, 9, 2),  # long fibres from front to back
    "grain": (1.5, 1.5, 1.5),
}
WEIGHTS: Mapping[str, tuple[float, float, float, float]] = {  # relative standard deviation of R1, by field
    "CSF": (0.002, 0, 0, 0.002),
    "GM": (0.03, 0, 0, 0.022),
    "WM": (0.025, 0.018, 0.025, 0.015),
    "deep GM": (0.03, 0.012, 0.012, 0.02),
    "lesion": (0.03, 0, 0, 0.05),
    "other": (0.03, 0, 0, 0.06),
}
MYELIN = (-0.10, 0.22, 0.16)  # relative change of PD, R1 and R2 of the cortex next to white matter, against its middle
SHARES = (-0.35, 1.0, 0.9)  # change of log PD, R1 and R2 with the fields: water falls where myelin rises


def make_textured_head(
    voxel_size: float | tuple[float, float, float] = 1.0,
    *,
    extent: Extent = WHOLE_HEAD,
    field_strength: float = 3.0,
    seed: int = 0,
    lesion: bool = True,
) -> Phantom:
    """Digital head of `make_phantom` whose tissues are uneven.

    Parameters
    ----------
    voxel_size, extent, field_strength, seed, lesion
        As for `make_phantom`, which also names the errors. The same seed gives the same head with the same texture at
        every voxel size.

    Examples
    --------
    >>> from napari_swig_qmri.simulation.textured_head import make_textured_head
    >>> head = make_textured_head(4.0, extent=((-20, 20), (-20, 20), (0, 8)))
    >>> head.maps.data.shape
    (3, 10, 10, 2)
    """
    plain = make_phantom(voxel_size, extent=extent, field_strength=field_strength, seed=seed, lesion=lesion)
    return replace(plain, maps=QuantitativeMaps(data=_uneven(plain, seed), grid=plain.maps.grid))


def _uneven(phantom: Phantom, seed: int) -> FloatArray:
    """Maps ``(3, x, y, z)`` of a phantom with the variation of R1 by the fields, and of the cortex by myelin."""
    grid = phantom.maps.grid
    starts, steps = grid.affine[:3, 3], grid.voxel_size
    x, y, z = (
        (start + step * np.arange(n)).astype(np.float32)
        for start, step, n in zip(starts, steps, grid.shape, strict=True)
    )
    seeds = ((seed, 60 + index) for index in range(len(FIELDS)))
    fields = in_threads(lambda each: _random_field(*each), list(zip(FIELDS.values(), seeds, strict=True)))
    weights = np.array([WEIGHTS[name] for name in CLASSES], np.float32)
    white, grey = (phantom.fractions[CLASSES.index(name)] for name in ("WM", "GM"))
    near = gaussian_filter(white, [MYELIN_REACH / step for step in steps])
    result = phantom.maps.data.copy()
    basis_x, basis_y, basis_z = TEXTURE_LATTICE.bases((x, y, z))

    def change(start: int) -> None:
        part = slice(start, start + SLAB_THICKNESS)
        amplitudes = np.tensordot(weights.T, phantom.fractions[:, part], 1)
        bases = (basis_x[part], basis_y, basis_z)
        total = sum(each * field.on(bases) for each, field in zip(amplitudes, fields, strict=True))
        depth = grey[part] * (near[part] - 0.25)  # 0 in the middle of the cortex
        pd, r1, r2 = (np.exp(share * total + myelin * depth) for share, myelin in zip(SHARES, MYELIN, strict=True))
        slab = result[:, part]
        slab[0] = np.minimum(slab[0] * pd, 1)
        slab[1] /= r1
        slab[2] /= r2

    in_threads(change, range(0, len(x), SLAB_THICKNESS))
    return result


def _random_field(deviations: Point, seed: tuple[int, int]) -> Field:
    """Smooth random field of unit variance, with its correlation lengths in mm along x, y and z."""
    shape = [len(axis) for axis in TEXTURE_LATTICE.axes]
    white = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    smooth = gaussian_filter(white, [each / TEXTURE_LATTICE.spacing for each in deviations], mode="wrap")
    return spline_field(smooth / smooth.std(), TEXTURE_LATTICE)
