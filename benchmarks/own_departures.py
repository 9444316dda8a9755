"""What a run says of ten departures of guides that no correction knows, beside the errors that only a simulation knows.

    python benchmarks/own_departures.py [LABELS] [--only TEXT] [--voxel-size 2] [--method posterior]

LABELS is a BrainWeb label map at 0.5 mm, of which a slab of 1 mm is taken; without it the built-in head. Errors are
median percentage errors over those of cubic splines: above 1 a map is worse than an interpolated one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from brains import interpolated, solver_options, table
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter
from tilted import head_of
from verdicts import HEADING, NOISE

from napari_swig_qmri import Options, WeightedImage, degrade, evaluate, super_resolve

Image = np.ndarray
Departure = Callable[[Image, Image], Image]  # guide and mask of the brain, both on the grid of the truth


def ghost(image: Image, _: Image) -> Image:
    """10 % of the image, half a field of view away along y."""
    return image + 0.1 * np.roll(image, image.shape[1] // 2, axis=1)


def zipper(image: Image, _: Image) -> Image:
    """A bright line of alternating voxels through the middle."""
    spoilt, x = image.copy(), image.shape[0] // 2
    spoilt[x, ::2] += np.percentile(image, 95)
    return spoilt


def shaded_slab(image: Image, _: Image) -> Image:
    """The upper half darker by 20 %, with a sharp step."""
    factor = np.where(np.arange(image.shape[2]) < image.shape[2] // 2, 1.0, 0.8)
    return image * factor


def odd_slices(image: Image, _: Image) -> Image:
    """Every second slice darker by 8 %, as crosstalk of interleaved slices does."""
    return image * np.where(np.arange(image.shape[2]) % 2, 0.92, 1.0)


def gamma(image: Image, _: Image) -> Image:
    """A window with gamma 0.7."""
    return np.maximum(image, 0) ** 0.7 * np.percentile(image, 99) ** 0.3


def eight_bit(image: Image, _: Image) -> Image:
    """The range up to the 98th percentile in 255 steps."""
    top = np.percentile(image, 98)
    return np.round(np.clip(image / top, 0, 1) * 255) * (top / 255)


def flattened(image: Image, mask: Image) -> Image:
    """Divided by its own smooth level in the brain, as a correction of fields may leave it."""
    level = gaussian_filter(image * mask, 8) / np.maximum(gaussian_filter(mask.astype(float), 8), 0.05)
    return image / np.maximum(level / level[mask].mean(), 0.3)


def stripped(image: Image, mask: Image) -> Image:
    """Only the brain and 3 voxels around it."""
    return image * binary_dilation(mask, iterations=3)


def cut_mask(image: Image, mask: Image) -> Image:
    """Only the brain without its outer 2 voxels."""
    return image * binary_erosion(mask, iterations=2)


def mirrored(image: Image, _: Image) -> Image:
    """Left and right exchanged."""
    return image[::-1].copy()


DEPARTURES: Mapping[str, Departure] = {
    "T2w with a ghost of 10 %": ghost,
    "T2w with a zipper": zipper,
    "T2w whose upper half is darker by 20 %": shaded_slab,
    "T2w whose odd slices are darker by 8 %": odd_slices,
    "T2w windowed with gamma 0.7": gamma,
    "T2w in 8 bits up to the 98th percentile": eight_bit,
    "T2w divided by its own smooth level": flattened,
    "T2w without skull": stripped,
    "T2w with a mask that cuts the cortex": cut_mask,
    "T2w mirrored left to right": mirrored,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", nargs="?", type=Path, help="BrainWeb label map at 0.5 mm")
    parser.add_argument("--only", default="", help="part of the names of the departures to try")
    parser.add_argument("--voxel-size", type=float, default=2.0, help="of the built-in head in mm (2)")
    solver_options(parser)
    options = parser.parse_args()
    truth, mask = head_of(options.labels, options.voxel_size)
    lr_maps, (t1w, t2w, *_) = degrade(truth, 2.0, map_noise=NOISE, guide_noise=NOISE)
    theirs = evaluate(interpolated(lr_maps, truth.grid)["cubic"], truth, mask)
    rows = []
    for name, departure in DEPARTURES.items():
        if options.only not in name:
            continue
        spoilt: WeightedImage = replace(t2w, data=departure(t2w.data, mask > 0.5).astype(np.float32))
        result = super_resolve(lr_maps, [t1w, spoilt], Options(method=options.method, weights=options.weights))
        ours = evaluate(result.maps, truth, mask)
        errors = " / ".join(f"{ours[each].median_ape / theirs[each].median_ape:.2f}" for each in ours)
        of_guide = result.parameters["guides"][1]["doctor"]["verdict"]
        rows.append((name, result.verdict.word, errors, of_guide))
    print(table(HEADING, rows))


if __name__ == "__main__":
    main()
