"""Errors of interpolation kernels against exact band-limited interpolation, for a slice turned by 6 degrees.

    python benchmarks/kernels.py [IMAGE] [--axis 2] [--degrees 6]

IMAGE is a NIfTI file, of which the middle slice across `--axis` is taken; without it a T2-weighted slice of the
built-in head. Exact values are those of the Fourier series of the slice. Errors are root mean squares relative
to the slice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_swig_qmri import degrade, make_phantom, read_volume

Array = NDArray[np.floating]
CHUNK = 2000  # points at a time
INSIDE = 0.7  # of the half width of the slice, so that its ends play no part
SPLINES = {"linear": 1, "cubic spline": 3, "quintic spline": 5}
SINCS = {"Lanczos 3": (3, None), "Kaiser-windowed sinc of radius 4": (4, 6.0), "of radius 8": (8, 6.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--axis", type=int, default=2)
    parser.add_argument("--degrees", type=float, default=6.0)
    options = parser.parse_args()
    image = slice_of(options.image, options.axis)
    places = turned_places(image.shape, np.radians(options.degrees))
    exact = fourier_series(image, places)
    for name, order in SPLINES.items():
        report(name, map_coordinates(image, places, order=order, mode="grid-wrap"), exact)
    for name, (radius, window) in SINCS.items():
        report(name, windowed_sinc(image, places, radius, window), exact)


def slice_of(path: Path | None, axis: int) -> Array:
    """Return the middle slice of a file, or a T2-weighted one of the built-in head of 1 mm."""
    if path is None:
        _, guides = degrade(make_phantom(1.0, extent=((-84, 84), (-104, 92), (0, 4))).maps, 2)
        volume = guides[1].data
    else:
        volume = read_volume(path).data
    return np.take(volume, volume.shape[axis] // 2, axis).astype(float)


def turned_places(shape: tuple[int, ...], angle: float) -> Array:
    """Return voxel coordinates ``(2, point)`` of a grid turned about the centre, away from the ends of the slice."""
    centre = (np.array(shape) - 1)[:, None] / 2
    offsets = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(2, -1) - centre
    offsets = offsets[:, (np.abs(offsets) < INSIDE * centre).all(axis=0)]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places: Array = centre + turn @ offsets
    return places


def fourier_series(image: Array, places: Array) -> Array:
    """Return the trigonometric interpolant of a slice at places ``(2, point)``."""
    coefficients = np.fft.fft2(image) / image.size
    frequencies = [np.fft.fftfreq(n) for n in image.shape]
    values = []
    for start in range(0, places.shape[1], CHUNK):
        part = places[:, start : start + CHUNK]
        x, y = (np.exp(2j * np.pi * np.outer(at, each)) for at, each in zip(part, frequencies, strict=True))
        values.append(((x @ coefficients) * y).sum(axis=1).real)
    return np.concatenate(values)


def windowed_sinc(image: Array, places: Array, radius: int, beta: float | None) -> Array:
    """Return a slice at places by a sinc with a Kaiser window, or that of Lanczos without `beta`."""
    first = np.floor(places).astype(int) - radius + 1
    values = np.zeros(places.shape[1])
    weights = []
    for at, begin in zip(places, first, strict=True):
        distance = at[:, None] - begin[:, None] - np.arange(2 * radius)
        inside = np.clip(1 - (distance / radius) ** 2, 0, None)
        window = np.sinc(distance / radius) if beta is None else np.i0(beta * np.sqrt(inside)) / np.i0(beta)
        kernel = np.sinc(distance) * window
        weights.append(kernel / kernel.sum(axis=1, keepdims=True))
    for i in range(2 * radius):
        for j in range(2 * radius):
            x, y = ((begin + step) % n for begin, step, n in zip(first, (i, j), image.shape, strict=True))
            values += weights[0][:, i] * weights[1][:, j] * image[x, y]
    return values


def report(name: str, values: Array, exact: Array) -> None:
    print(f"{name}: {100 * np.linalg.norm(values - exact) / np.linalg.norm(exact):.1f} %", flush=True)


if __name__ == "__main__":
    main()
