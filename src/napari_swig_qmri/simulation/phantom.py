"""A procedural digital head: PD, T1 and T2 maps, tissue fractions and lesions at any voxel size.

The anatomy is a set of signed distances (`anatomy`), so every grid samples the same head. Tissue borders are painted as
wide as a voxel. Voxels larger than `LARGEST_PAINTED` are averages of finer ones, so that a coarse phantom averages
a fine one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import numpy.typing as npt
from nibabel.affines import from_matvec

from napari_swig_qmri.data.volumes import BoolArray, FloatArray, QuantitativeMaps, VoxelGrid
from napari_swig_qmri.simulation.anatomy import GYRUS_WAVELENGTH, head, interhemispheric_fissure
from napari_swig_qmri.simulation.shapes import Coordinates, Field, Lattice, smooth_min
from napari_swig_qmri.simulation.threads import in_threads

Extent = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
Layer = tuple[str, FloatArray, tuple[slice, ...]]  # tissue, signed distance in mm, index of the part it covers

WHOLE_HEAD: Extent = ((-90, 90), (-124, 108), (-78, 106))  # mm: left-right, back-front, foot-head
LARGEST_PAINTED = 1.25  # mm, edge of the largest voxel that is painted without supersampling
SLAB_THICKNESS = 8  # planes across x that a thread paints at a time, so that they fit into its cache
MARGIN = 2.0  # mm around the skin in which nothing but air is painted
WHOLE_WINDOW = (slice(None), slice(None), slice(None))
CEREBELLUM = Lattice((-60, -105, -72), (60, -30, 6), 1)  # box in which folia are drawn
PHANTOM_FIELDS = (1.5, 3.0)  # T

CLASSES = ("CSF", "GM", "WM", "deep GM", "lesion", "other")  # of `Phantom.fractions`; labels 1 to 6
TEXTURE_AMPLITUDES = {"texture_pd": 0.015, "texture_r1": 0.035, "texture_r2": 0.045}  # relative, in tissue


@dataclass(frozen=True)
class PaintedTissue:
    """PD, T1 and T2 of one tissue at 1.5 T and 3 T, and its class."""

    pd: float  # relative to water
    t1: tuple[float, float]  # s, at 1.5 T and 3 T
    t2: tuple[float, float]  # s, at 1.5 T and 3 T
    kind: str = "other"  # one of `CLASSES`, or "air"


# WM, GM, CSF and fat lie inside ranges in use (1.5 T: BrainWeb; 3 T: values quoted from Stanisz 2005, which we have not
# read, and training ranges); the other tissues are plausible values without a single source. One value per tissue, so
# that the truth is known; networks train on ranges instead (`tissue_maps.TISSUE_RANGES`).
PAINTED_TISSUES: Mapping[str, PaintedTissue] = {
    "csf": PaintedTissue(1.0, (2.6, 4.0), (0.9, 1.5), "CSF"),
    "cortex": PaintedTissue(0.82, (0.90, 1.42), (0.090, 0.092), "GM"),
    "white": PaintedTissue(0.70, (0.55, 0.88), (0.074, 0.068), "WM"),
    "callosum": PaintedTissue(0.69, (0.53, 0.84), (0.072, 0.066), "WM"),
    "stem": PaintedTissue(0.72, (0.60, 0.97), (0.078, 0.070), "WM"),
    "caudate": PaintedTissue(0.82, (0.87, 1.34), (0.086, 0.078), "deep GM"),
    "putamen": PaintedTissue(0.81, (0.80, 1.24), (0.080, 0.070), "deep GM"),
    "pallidum": PaintedTissue(0.75, (0.65, 0.99), (0.066, 0.054), "deep GM"),
    "thalamus": PaintedTissue(0.78, (0.74, 1.16), (0.082, 0.075), "deep GM"),
    "lesion": PaintedTissue(0.84, (0.95, 1.50), (0.170, 0.160), "lesion"),
    "bone": PaintedTissue(0.10, (0.5, 0.6), (0.012, 0.010)),
    "marrow": PaintedTissue(0.72, (0.36, 0.42), (0.065, 0.060)),
    "fat": PaintedTissue(0.88, (0.30, 0.37), (0.085, 0.080)),
    "skin": PaintedTissue(0.65, (0.7, 1.0), (0.045, 0.040)),
    "muscle": PaintedTissue(0.76, (0.95, 1.35), (0.042, 0.038)),
    "dura": PaintedTissue(0.60, (0.8, 1.1), (0.055, 0.050)),
    "blood": PaintedTissue(0.88, (1.45, 1.85), (0.20, 0.13)),
    "vitreous": PaintedTissue(1.0, (2.8, 3.9), (0.9, 1.2)),
    "lens": PaintedTissue(0.62, (0.9, 1.2), (0.035, 0.030)),
    "air": PaintedTissue(0.0, (1.0, 1.0), (1.0, 1.0), "air"),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Phantom:
    """A digital head: true maps and tissue fractions on one grid.

    Examples
    --------
    >>> from napari_swig_qmri import make_phantom
    >>> phantom = make_phantom(2.0, extent=((-20, 20), (-20, 20), (0, 8)))
    >>> phantom.fractions.shape, sorted(phantom.tissues)
    ((6, 20, 20, 4), ['CSF', 'GM', 'WM', 'deep GM'])
    """

    maps: QuantitativeMaps  # PD relative to water, T1 and T2 in s; 0 in air
    fractions: FloatArray  # (class, x, y, z), volume fractions of `CLASSES`; the rest to 1 is air
    field_strength: float  # T

    @property
    def mask(self) -> BoolArray:
        """Mask ``(x, y, z)`` of the brain and its CSF."""
        inside: BoolArray = self.fractions[: CLASSES.index("other")].sum(axis=0) > 0.5
        return inside

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Label ``(x, y, z)`` of the class with the largest fraction: 0 for air, then `CLASSES` from 1."""
        largest = 1 - self.fractions.sum(axis=0)  # of air
        labels = np.zeros(largest.shape, np.uint8)
        for label, fraction in enumerate(self.fractions, start=1):  # quicker than `argmax` along the first axis
            is_larger = fraction > largest
            labels[is_larger] = label
            np.maximum(largest, fraction, out=largest)
        return labels

    @property
    def tissues(self) -> dict[str, BoolArray]:
        """Masks ``(x, y, z)`` of voxels with more than 95 % of one class, by name; "other" and empty ones left out."""
        return {name: f > 0.95 for name, f in zip(CLASSES[:-1], self.fractions, strict=False) if (f > 0.95).any()}


def make_phantom(
    voxel_size: float | tuple[float, float, float] = 1.0,
    *,
    extent: Extent = WHOLE_HEAD,
    field_strength: float = 3.0,
    seed: int = 0,
    lesion: bool = True,
) -> Phantom:
    """Digital head with known PD, T1 and T2.

    Parameters
    ----------
    voxel_size
        Edge of a voxel in mm, one number or one per axis.
    extent
        Lowest and highest x, y and z of the field of view in RAS+ mm; the grid starts at the low ends.
    field_strength
        1.5 or 3 T.
    seed
        Number of the head; the same head is sampled at every voxel size, with and without lesions.
    lesion
        Whether the head has lesions.

    Raises
    ------
    ValueError
        If the voxel size is not positive, or the field strength neither 1.5 nor 3 T.

    Examples
    --------
    >>> from napari_swig_qmri import make_phantom
    >>> phantom = make_phantom(2.0, extent=((-20, 20), (-20, 20), (0, 8)))
    >>> phantom.maps.data.shape
    (3, 20, 20, 4)
    """
    if field_strength not in PHANTOM_FIELDS:
        raise ValueError(
            f"the phantom has tissue values at 1.5 and 3 T only, not at {field_strength} T: choose one of them."
        )
    size = np.broadcast_to(np.asarray(voxel_size, float), (3,))
    if not np.all(size > 0):
        raise ValueError(
            f"voxel sizes must be positive, but {voxel_size} mm was given: pass one or three edge lengths."
        )
    low, high = np.array(extent, float).T
    nx, ny, nz = (int(n) for n in np.maximum(np.round((high - low) / size), 1))
    grid = VoxelGrid((nx, ny, nz), from_matvec(np.diag(size), low + size / 2))
    data, fractions = _painted_in_slabs(grid, PHANTOM_FIELDS.index(field_strength), head(seed), lesion)
    maps = QuantitativeMaps(data=data, grid=grid)
    return Phantom(maps=maps, fractions=fractions, field_strength=field_strength)


def _painted_in_slabs(
    grid: VoxelGrid, strength: int, fields: Mapping[str, Field], lesion: bool
) -> tuple[FloatArray, FloatArray]:
    """Maps and fractions on a grid along the axes, painted on finer voxels and averaged if its voxels are large."""
    size = np.asarray(grid.voxel_size)
    n_parts = np.ceil(size / LARGEST_PAINTED - 1e-6).astype(int)  # painted voxels per voxel and axis
    first = grid.world(np.zeros(3)) + size * (1 / n_parts - 1) / 2
    x, y, z = (
        (start + step * np.arange(n)).astype(np.float32)
        for start, step, n in zip(first, size / n_parts, n_parts * grid.shape, strict=True)
    )
    edge = float(np.prod(size / n_parts) ** (1 / 3))
    n_planes = max(1, SLAB_THICKNESS // n_parts[0])
    maps, fractions = (np.zeros((n, *grid.shape), np.float32) for n in (3, len(CLASSES)))

    def paint(start: int) -> None:
        slab = Window(fields, (x[start * n_parts[0] : (start + n_planes) * n_parts[0]], y, z))
        box = slab.box_of_head(n_parts)
        if box is None:
            return
        painted = tuple(slice(n * part.start, n * part.stop) for n, part in zip(n_parts, box, strict=True))
        channels = _averaged(_painted(Window(fields, slab.cut(painted)), edge, strength, lesion), n_parts)
        where = (slice(None), slice(start + box[0].start, start + box[0].stop), *box[1:])
        maps[where], fractions[where] = _maps(channels[:3]), channels[3:]

    in_threads(paint, range(0, grid.shape[0], n_planes))
    return maps, fractions


def _averaged(channels: FloatArray, n_parts: npt.NDArray[np.int_]) -> FloatArray:
    """Mean of channels ``(channel, x, y, z)`` over blocks of `n_parts` ``(3,)`` voxels."""
    for axis, n in enumerate(n_parts, start=1):
        if n > 1:
            shape = channels.shape
            blocks = channels.reshape(*shape[:axis], shape[axis] // n, n, *shape[axis + 1 :])
            parts = [blocks[(slice(None),) * (axis + 1) + (i,)] for i in range(n)]
            channels = reduce(np.add, parts) / np.float32(n)
    return channels


def _maps(channels: FloatArray) -> FloatArray:
    """PD, T1 and T2 from PD, PD R1 and PD R2: rates of mixed voxels are averages weighted by PD."""
    pd = channels[0]
    return np.stack([pd, *(np.where(pd > 1e-4, pd / np.maximum(rate, 1e-9), 0) for rate in channels[1:])])


def _painted(window: Window, edge: float, strength: int, lesion: bool) -> FloatArray:
    """Channels PD, PD R1, PD R2 and the fractions of `CLASSES` in a window, with tissue borders `edge` mm wide.

    Layers are painted front to back; each covers a share of what earlier layers have left uncovered.
    """
    shape = tuple(len(axis) for axis in window.axes)
    shares = np.zeros((len(PAINTED_TISSUES), *shape), np.float32)
    uncovered = np.ones(shape, np.float32)
    by_tissue = dict(zip(PAINTED_TISSUES, shares, strict=True))
    for name, distance, where in _layers(window, lesion):
        share = np.multiply(distance, -1 / edge)
        share += 0.5
        np.clip(share, 0, 1, out=share)
        share *= uncovered[where]
        uncovered[where] -= share
        by_tissue[name][where] += share
    channels = (_values(strength) @ shares.reshape(len(shares), -1)).reshape(-1, *shape)
    return _textured(channels, window)


def _values(strength: int) -> FloatArray:
    """PD, PD R1, PD R2 and the class of each tissue, ``(channel, tissue)``."""
    rows = [
        (each.pd, each.pd / each.t1[strength], each.pd / each.t2[strength], *(each.kind == name for name in CLASSES))
        for each in PAINTED_TISSUES.values()
    ]
    return np.array(rows, np.float32).T


def _textured(channels: FloatArray, window: Window) -> FloatArray:
    """Channels with PD, R1 and R2 varied by a few percent, and much less in CSF."""
    amount = 1 - 0.85 * channels[3]
    pd, r1, r2 = (1 + amplitude * amount * window(name) for name, amplitude in TEXTURE_AMPLITUDES.items())
    channels[:3] *= np.stack([pd, pd * r1, pd * r2])
    return channels


@dataclass(frozen=True, eq=False)
class Window:
    """Fields of a head on the grid of three axes."""

    fields: Mapping[str, Field]
    axes: Coordinates  # x, y and z in mm, 1-D each

    def __call__(self, name: str, where: tuple[slice, ...] = WHOLE_WINDOW) -> FloatArray:
        """Values ``(x, y, z)`` of a field in the whole window or in a part of it."""
        field = self.fields[name]
        return field.on([basis[part] for basis, part in zip(self._bases[field.lattice], where, strict=True)])

    @cached_property
    def _bases(self) -> Mapping[Lattice, Sequence[FloatArray]]:
        return {lattice: lattice.bases(self.axes) for lattice in {field.lattice for field in self.fields.values()}}

    def cut(self, where: tuple[slice, ...]) -> list[FloatArray]:
        """Axes of a part of the window."""
        return [axis[part] for axis, part in zip(self.axes, where, strict=True)]

    def box_of_head(self, n_parts: npt.NDArray[np.int_]) -> tuple[slice, ...] | None:
        """Index of the box around the head among blocks of `n_parts` ``(3,)`` voxels; None outside the head."""
        inside = self("skin") < MARGIN
        box = []
        for axis, n in enumerate(n_parts):
            planes = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) // n
            if not len(planes):
                return None
            box.append(slice(int(planes[0]), int(planes[-1]) + 1))
        return tuple(box)

    def part(self, name: str) -> tuple[slice, ...] | None:
        """Index of the part of the window in which a field is defined; None if there is none."""
        return self.fields[name].lattice.overlap(self.axes)

    def layer(self, tissue: str, name: str, grow: float = 0) -> Iterator[Layer]:
        """Layer of tissue with the shape of a field, `grow` mm larger; none if the field is outside the window."""
        where = self.part(name)
        if where is not None:
            yield tissue, self(name, where) - grow, where


def _layers(window: Window, lesion: bool) -> Iterator[Layer]:
    """All layers, front to back."""
    cavity = window("cavity")
    yield from window.layer("csf", "ventricles")
    for name in ("caudate", "pallidum", "putamen", "thalamus", "callosum"):
        yield from window.layer(name, name)
    yield from window.layer("pallidum", "nigra")
    yield from window.layer("cortex", "hippocampus")
    yield from _cerebrum_layers(window, lesion)
    yield from _cerebellum_layers(window)
    yield from window.layer("stem", "stem")
    yield from _dura_layers(window, cavity)
    yield "csf", cavity, WHOLE_WINDOW
    yield from _outer_layers(window, cavity)


def _outer_layers(window: Window, cavity: FloatArray) -> Iterator[Layer]:
    """Layers around the brain; thicknesses are in mm."""
    bone = window("bone")
    yield "dura", cavity - 0.8, WHOLE_WINDOW
    yield "marrow", np.maximum(cavity - bone + 1.7, 2.2 - cavity), WHOLE_WINDOW
    yield "bone", cavity - bone, WHOLE_WINDOW
    yield from window.layer("lens", "lens")
    yield from window.layer("vitreous", "eye")
    yield from window.layer("skin", "eye", 1.2)
    yield from window.layer("white", "optic_nerve")
    yield from window.layer("muscle", "eye_muscles")
    yield from window.layer("air", "air")
    yield from window.layer("bone", "air", 1.0)
    yield from window.layer("marrow", "base_marrow")
    yield from window.layer("bone", "base_marrow", 1.8)
    yield from window.layer("fat", "orbit")
    yield from window.layer("bone", "orbit", 1.5)
    skin = window("skin")
    yield "muscle", skin + 6.0, WHOLE_WINDOW
    yield "fat", skin + 1.8, WHOLE_WINDOW
    yield "skin", skin, WHOLE_WINDOW


def _cerebrum_layers(window: Window, lesion: bool) -> Iterator[Layer]:
    """Lesions, white matter and cortex, a ribbon along convexity, fissures and sulci."""
    where = window.part("fold")
    if where is None:
        return
    pial = _below_pia(window, where)
    white = window("cortex_thickness", where) - pial
    inside = Window(window.fields, window.cut(where))
    spots = inside.part("lesion")
    if lesion and spots is not None:
        shifted = tuple(slice(w.start + s.start, w.start + s.stop) for w, s in zip(where, spots, strict=True))
        yield "lesion", np.maximum(inside("lesion", spots), white[spots]), shifted
    yield "white", white, where
    yield "cortex", -pial, where


def _below_pia(window: Window, where: tuple[slice, ...]) -> FloatArray:
    """Distance in mm from the folded surface of the cerebrum, positive inside."""
    fissure = interhemispheric_fissure(window("fissure_x", where), window("core", where))
    depth = np.minimum(np.minimum(window("outer_depth", where), fissure), window("sylvian_depth", where))
    radian = 2 * np.pi / GYRUS_WAVELENGTH  # the pattern is roughly a sine, so that its phase is a distance
    slope = 1.1 * window("fold_slope", where) / radian
    sulcus = np.arctan2(np.abs(window("fold", where)), slope) / radian
    beyond = np.maximum(depth - window("sulcus_depth", where), depth - 0.55 * window("second_depth", where))
    gap = window("sulcus_gap", where) + 0.75 * np.exp(-np.maximum(depth, 0) / 6)  # sulci open outwards
    return smooth_min(depth, np.sqrt(sulcus**2 + np.maximum(beyond, 0) ** 2) - gap, 2.5)


def _cerebellum_layers(window: Window) -> Iterator[Layer]:
    """Cerebellar white matter and cortex, with folia that fan out from the roof of the fourth ventricle."""
    where = CEREBELLUM.overlap(window.axes)
    if where is None:
        return
    x, y, z = np.ix_(*window.cut(where))
    depth = -window("cerebellum", where)
    radius = np.sqrt((y + 50) ** 2 + (z + 30) ** 2) + 0.01
    angle = np.arctan2(z + 30, -(y + 50)) + 0.35 * np.cos(x / 14) + 0.25 * window("cortex_thickness", where)
    fissure = np.arcsin(np.abs(np.sin(18 * angle))) * radius / 18
    reach = 7.5 + 4 * np.cos(9 * angle) + 3.5 * np.cos(2.25 * angle)
    pial = np.minimum(depth - 0.2, np.sqrt(fissure**2 + np.maximum(depth - reach, 0) ** 2) - 0.35)
    yield "white", 1.7 - pial, where
    yield "cortex", -pial, where


def _dura_layers(window: Window, cavity: FloatArray) -> Iterator[Layer]:
    """Superior sagittal sinus, falx and tentorium."""
    where = window.part("tentorium")
    if where is None:
        return
    _, y, z = np.ix_(*window.cut(where))
    inside, middle, above = cavity[where], window("fissure_x", where), window("tentorium", where)
    front = np.maximum(y - 62, -28 - z)
    yield "blood", np.maximum(np.sqrt(middle**2 + (inside + 1.2) ** 2) - 3.2, front), where
    falx = np.maximum(np.abs(middle) - 0.4, 4 - np.minimum(window("core", where), above))
    falx = np.maximum(falx, -4 - window("outer_depth", where))
    tentorium = np.maximum(np.abs(above + 0.1) - 0.5, 4 - window("stem", where))
    yield "dura", np.maximum(np.minimum(falx, tentorium), inside), where
