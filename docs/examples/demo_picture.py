"""The picture of the demonstration: guides, measured and super-resolved maps, truth and differences in one slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cmap import Colormap
from PIL import Image, ImageDraw, ImageFont

from napari_swig_qmri import QuantitativeMaps, WeightedImage

X_LIMITS, Y_LIMITS = (-82.0, 82.0), (-114.0, 90.0)  # mm, part of the slice that is shown
SCALE = 2.05  # pixels per mm
GAP, MARGIN, HEADING, BAR = 12, 28, 42, 150  # pixels
LOWEST_PD = 0.35  # of water; T1 and T2 of air and compact bone are dark, because they have hardly any signal
LONGEST_FAT = 0.6  # s, T1; fat is brighter than the brain in some guides, and may be saturated
WHITE, GREY, BLACK = (245, 245, 245), (165, 170, 176), (0, 0, 0)
DIFFERENCES = "crameri:berlin"  # colour map of differences, dark at 0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a map is shown: its limits, the limit of differences, its colour map and unit."""

    limits: tuple[float, float]
    highest: float  # higher values count as this one in differences, as in scores: T2 of fluid is hardly measured
    difference: float
    colours: str
    per_unit: float = 1.0  # shown value per value of the map
    unit: str = ""


SHOWN: Mapping[str, Shown] = {
    "PD": Shown(limits=(0.5, 0.95), highest=1.2, difference=0.15, colours="gray"),
    "T1": Shown(limits=(0.5, 2.2), highest=4.0, difference=0.4, colours="crameri:lipari", per_unit=1000, unit="ms"),
    "T2": Shown(limits=(0.03, 0.15), highest=0.3, difference=0.03, colours="crameri:navia", per_unit=1000, unit="ms"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Images of one case on the grid of the truth."""

    truth: QuantitativeMaps
    lr_maps: QuantitativeMaps  # filtered and interpolated
    sr_maps: QuantitativeMaps
    guides: Sequence[WeightedImage]
    lr_voxel: float  # mm
    seed: int
    table: Sequence[Sequence[str]]  # rows of the table of scores


def picture(case: Case, height: float) -> Image.Image:
    """Draw the axial slice at a height in mm."""
    shown = Slice(case.truth, height)
    width, tall = shown.size
    canvas = Image.new("RGB", (2 * MARGIN + 5 * width + 4 * GAP + BAR, 2 * MARGIN + 4 * (tall + HEADING) + 3 * GAP))
    pen = ImageDraw.Draw(canvas)
    hr_voxel = case.truth.grid.voxel_size[0]
    places = [MARGIN + column * (width + GAP) for column in range(5)]
    for x, guide in zip(places, case.guides, strict=False):
        _panel(canvas, (x, MARGIN + HEADING), shown.grey(guide.data), f"guide {guide.name}, {hr_voxel:g} mm")
    _text_block(pen, (places[3] + GAP, MARGIN), case)
    headings = (f"measured, {case.lr_voxel:g} mm", f"super-resolved, {hr_voxel:g} mm", "truth")
    for row, name in enumerate(case.truth.names, start=1):
        top = MARGIN + row * (tall + HEADING + GAP) + HEADING
        style, maps = SHOWN[name], (case.lr_maps, case.sr_maps, case.truth)
        for x, heading, each in zip(places, headings, maps, strict=False):
            _panel(canvas, (x, top), shown.coloured(each[name], style, hides_air=name != "PD"), f"{name} {heading}")
        for x, heading, each in zip(places[3:], headings, maps, strict=False):
            error = shown.difference(each[name], case.truth[name], style)
            _panel(canvas, (x, top), error, f"{heading.split(',')[0]} minus truth")
        _bars(canvas, (places[4] + width + GAP, top), tall, style)
    _scale_bar(pen, (places[0] + 14, MARGIN + HEADING + tall - 16))
    return canvas


class Slice:
    """The part of one axial slice that is shown, in the radiological view."""

    def __init__(self, truth: QuantitativeMaps, height: float) -> None:
        voxel = np.linalg.inv(truth.grid.affine) @ [*np.transpose([X_LIMITS, Y_LIMITS])[0], height, 1]
        end = np.linalg.inv(truth.grid.affine) @ [X_LIMITS[1], Y_LIMITS[1], height, 1]
        first, last = voxel.round().astype(int), end.round().astype(int)
        self.index = (slice(first[0], last[0]), slice(first[1], last[1]), first[2])
        self.size = tuple(round(SCALE * (high - low)) for low, high in (X_LIMITS, Y_LIMITS))
        self.has_signal = self._upright(truth["PD"]) > LOWEST_PD
        self.is_watery = self.has_signal & (self._upright(truth["T1"]) > LONGEST_FAT)

    def grey(self, data: npt.NDArray[np.floating]) -> Image.Image:
        """Weighted image, black at 0 and white where hardly any tissue but fat is brighter."""
        values = self._upright(data)
        return self._image(values / np.percentile(values[self.is_watery], 99.5), "gray")

    def coloured(self, data: npt.NDArray[np.floating], style: Shown, *, hides_air: bool) -> Image.Image:
        """Map in its colours."""
        low, high = style.limits
        values = (self._upright(data) - low) / (high - low)
        return self._image(np.where(self.has_signal, values, 0) if hides_air else values, style.colours, hides_air)

    def difference(self, data: npt.NDArray[np.floating], truth: npt.NDArray[np.floating], style: Shown) -> Image.Image:
        """Difference of two maps in a diverging map, black where there is no signal."""
        first, second = (np.minimum(self._upright(each), style.highest) for each in (data, truth))
        values = first - second
        return self._image(0.5 + 0.5 * values / style.difference, DIFFERENCES, hides_air=True)

    def _upright(self, data: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Rows from anterior to posterior, columns from the patient's right to the left."""
        return np.asarray(data[self.index][::-1, ::-1].T)

    def _image(self, values: npt.NDArray[np.floating], colours: str, hides_air: bool = False) -> Image.Image:
        rgb = 255 * Colormap(colours)(np.clip(values, 0, 1))[..., :3]
        if hides_air:
            rgb = np.where(self.has_signal[..., None], rgb, 0)
        return Image.fromarray(rgb.round().astype(np.uint8)).resize(self.size, Image.Resampling.BICUBIC)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _panel(canvas: Image.Image, corner: tuple[int, int], image: Image.Image, heading: str) -> None:
    """Paste an image with a heading above it and the letters of its sides."""
    canvas.paste(image, corner)
    pen = ImageDraw.Draw(canvas)
    (x, y), (width, height) = corner, image.size
    pen.text((x + width / 2, y - HEADING / 2), heading, WHITE, _font(26), anchor="mm")
    for letter, place, anchor in (("R", x + 8, "lm"), ("L", x + width - 8, "rm")):
        options = {"stroke_width": 3, "stroke_fill": BLACK}
        pen.text((place, y + height / 2), letter, WHITE, _font(26), anchor=anchor, **options)


def _bars(canvas: Image.Image, corner: tuple[int, int], height: int, style: Shown) -> None:
    """Colour bars of a map and of its differences, one above the other."""
    half = (height - 2 * GAP - HEADING) // 2
    (low, high), limit, x = style.limits, style.difference, corner[0]
    for top, colours, ends in (
        (corner[1], style.colours, (low, high)),
        (corner[1] + half + 2 * GAP + HEADING, DIFFERENCES, (-limit, limit)),
    ):
        column = np.tile(np.linspace(1, 0, half)[:, None], (1, 26))
        canvas.paste(Image.fromarray((255 * Colormap(colours)(column)[..., :3]).astype(np.uint8)), (x, top))
        pen = ImageDraw.Draw(canvas)
        for share in (0, 0.5, 1):
            value = style.per_unit * (ends[0] + share * (ends[1] - ends[0]))
            label = f"{value:+.3g}" if ends[0] < 0 and value else f"{value:.4g}"
            unit = f" {style.unit}" if share == 1 and style.unit else ""
            y = top + (1 - share) * (half - 1)
            pen.line((x + 26, y, x + 34, y), WHITE, 2)
            pen.text((x + 40, min(max(y, top + 12), top + half - 12)), label + unit, WHITE, _font(24), anchor="lm")


def _scale_bar(pen: ImageDraw.ImageDraw, corner: tuple[float, float], length: float = 50) -> None:
    x, y = corner
    pen.line((x, y, x + SCALE * length, y), WHITE, 6)
    text = {"stroke_width": 3, "stroke_fill": BLACK}
    pen.text((x + SCALE * length / 2, y - 6), f"{length:g} mm", WHITE, _font(26), anchor="mb", **text)


def _text_block(pen: ImageDraw.ImageDraw, corner: tuple[int, int], case: Case) -> None:
    """Title, table of scores and remarks."""
    x, y = corner
    pen.text((x, y), f"Simulated head (seed {case.seed})", WHITE, _font(44))
    voxels = f"Maps of {case.lr_voxel:g} mm become {case.truth.grid.voxel_size[0]:g} mm with three guides"
    pen.text((x, y + 62), voxels, WHITE, _font(28))
    columns = (0, 110, 330, 580)
    for row, cells in enumerate(case.table):
        for place, cell in zip(columns, cells, strict=True):
            pen.text((x + place, y + 112 + 37 * row), cell, GREY if row == 0 else WHITE, _font(28))
    remarks = (
        "SSIM against the truth over the brain (best 1). Scores and",
        "differences clip PD at 1.2, T1 at 4 s and T2 at 0.3 s.",
        "Measured maps are fitted to signals with truncated k-space. They",
        "are shown as by scanners, interpolated and filtered; scored without filter.",
        "T1 and T2 are dark where there is no signal (PD below 0.35).",
        "R and L: the patient's right and left.",
    )
    for row, remark in enumerate(remarks):
        pen.text((x, y + 270 + 30 * row), remark, GREY, _font(23))
