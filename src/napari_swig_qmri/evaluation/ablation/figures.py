"""Figures of a study: maps by every method on one plane, and the scores of every subject.

Needs matplotlib, which the extra `figures` installs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from cmap import Colormap
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from napari_swig_qmri.data.provenance import RESEARCH_NOTICE
from napari_swig_qmri.data.storage.output import replacing
from napari_swig_qmri.evaluation.ablation.claims import BASELINE, Score
from napari_swig_qmri.physics.quantities import QUANTITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap as ColourMap

    from napari_swig_qmri.data.volumes import FloatArray
    from napari_swig_qmri.evaluation.ablation.study import Study, StudyPicture

MAPS_FILE, SUBJECTS_FILE = "maps.png", "subjects.png"
SHOWN_RANGES = {"PD": (0.4, 1.1), "T1": (0.0, 2.5), "T2": (0.0, 0.2)}  # PD relative to water, times in s
SHOWN_UNITS = {"PD": (1.0, "relative to water"), "T1": (1e3, "ms"), "T2": (1e3, "ms")}  # factor, unit
MODEL_NAME = re.compile(r"M(\d+F?)([+-]{2})")
TRUTH, ORACLE = "truth", "oracle"
TILE = 1.5  # inch, width of a map
TILE_GAP, GROUP_GAP, CAPTION, HEADING, BAND_GAP = 0.05, 0.28, 0.24, 0.34, 0.3  # inch
LEFT, RIGHT, TOP, BOTTOM = 0.5, 0.25, 0.75, 0.1  # inch, page margins
DPI = 150
LR_COLOUR = "#d1495b"
COLOURS = {"M1": "#3b6fb6", "M2": "#8b5fbf", "M12": "#1b998b", ORACLE: "#222222"}
OTHER_COLOUR = "#7a7a7a"
HFEN_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
MEANINGS = {
    BASELINE: "LR maps alone, without a guide",
    "cubic": "LR maps by cubic splines",
    "regression": "T1w and T2w guides, not trained",
    "posterior": "T1w and T2w guides, not trained",
    "network": "posterior, corrected by a network",
    "M1++": "T1w guide",
    "M2++": "T2w guide",
    "M12++": "T1w and T2w guides",
    "M12F++": "T1w, T2w and FLAIR guides",
    "M12+-": "first sign: LR maps are given to the network",
    "M12-+": "second sign: LR term in the loss",
    ORACLE: "like $M_{12}^{++}$, but trained on the true maps",
}
LEGEND_LINE, LEGEND_NAMES, LEGEND_MEANINGS = 0.31, 1.15, 3.7  # inch: line height, widths of names and meanings
COLOUR_BAR = 1.2  # inch, width with its numbers
SIGNS_NOTE = "First sign: LR maps are given to the network; second sign: LR term in the loss"


def draw_figures(folder: Path, study: Study) -> list[Path]:
    """Draw both figures into a folder, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {MAPS_FILE: maps_figure(study.picture), SUBJECTS_FILE: subjects_figure(study.scores)}
    with replacing() as part:
        for name, figure in figures.items():
            figure.savefig(part(folder / name), dpi=DPI, facecolor="white")
    return [folder / name for name in figures]


def label_of(method: str) -> str:
    """Name of a method for figures, in mathtext for models."""
    model = MODEL_NAME.fullmatch(method)
    if not model:
        return "\n".join(method.rsplit(" ", 1)[::-1]) if method.endswith(" network") else method
    return rf"$M_{{{model[1]}}}^{{{model[2].replace('-', '{-}').replace('+', '{+}')}}}$"


def maps_figure(picture: StudyPicture) -> Figure:
    """Figure of the maps of all methods on one plane, the truth first, each with its SSIM and HFEN."""
    bands = _bands(list(picture.maps))
    x, y = (np.flatnonzero(picture.mask.any(axis=other)) for other in (1, 0))
    box = (slice(max(0, x[0] - 2), x[-1] + 3), slice(max(0, y[0] - 2), y[-1] + 3))
    height = TILE * picture.mask[box].shape[1] / picture.mask[box].shape[0]
    pitch = HEADING + len(QUANTITIES) * (height + CAPTION) + BAND_GAP
    bar = LEFT + max(bands[0].values()) + TILE + 2 * GROUP_GAP
    legend = bar + COLOUR_BAR
    tiles = LEFT + TILE + max(left for band in bands for left in band.values())
    width = RIGHT + max(tiles, legend + LEGEND_NAMES + LEGEND_MEANINGS)
    size = (width, TOP + BOTTOM + len(bands) * pitch - BAND_GAP)
    figure = Figure(figsize=size)
    for index, band in enumerate(bands):
        for row, name in enumerate(QUANTITIES):
            bottom = size[1] - TOP - index * pitch - HEADING - row * (height + CAPTION) - height
            middle = (bottom + height / 2) / size[1]
            figure.text((LEFT - 0.18) / size[0], middle, name, rotation=90, ha="center", va="center", fontsize=13)
            for method, left in band.items():
                axes = _axes(figure, LEFT + left, bottom, TILE, height)
                _show(axes, picture, method, name, box)
                if row == 0:
                    axes.set_title(label_of(method), fontsize=13 if method[0] == "M" else 10, pad=5)
            if index == 0:
                _colour_bar(figure, name, (bar, bottom, 0.14, height))
    _draw_legend(figure, legend, size[1] - TOP - HEADING)
    _titles(
        figure,
        f"Maps by every model on one axial plane of {picture.subject}, simulated",
        "Under each map: SSIM / HFEN over the brain in this plane.",
    )
    return figure


def subjects_figure(scores: Sequence[Score]) -> Figure:
    """Figure of SSIM and HFEN of every subject, map and method, with the LR baseline in red."""
    methods = list(dict.fromkeys(score.method for score in scores))
    places = _positions(methods, 1.0, 1.6)
    figure = Figure(figsize=(16, 9))
    figure.subplots_adjust(left=0.05, right=0.99, top=0.86, bottom=0.22, wspace=0.13, hspace=0.08)
    grid = figure.subplots(2, len(QUANTITIES), sharex=True)
    for column, name in enumerate(QUANTITIES):
        for row, measure in enumerate(("ssim", "hfen")):
            values = {
                method: np.array(
                    [getattr(each, measure) for each in scores if (each.method, each.quantity) == (method, name)]
                )
                for method in methods
            }
            _dots(grid[row, column], values, places)
        grid[0, column].set_title(name, fontsize=15)
        _name_methods(grid[1, column], places)
        grid[1, column].set_yscale("log")
        grid[1, column].yaxis.set_major_formatter(ScalarFormatter())
        grid[1, column].yaxis.set_minor_formatter(NullFormatter())
        low, high = grid[1, column].get_ylim()
        grid[1, column].set_yticks([each for each in HFEN_TICKS if low <= each <= high])
    grid[0, 0].set_ylabel("SSIM, higher is better", fontsize=12)
    grid[1, 0].set_ylabel("HFEN, lower is better", fontsize=12)
    n = len({score.subject for score in scores})
    _titles(
        figure,
        f"SSIM and HFEN of {n} simulated test subjects",
        f"One dot per subject, bar at the median; red: the LR maps, zero filled. {SIGNS_NOTE}.",
    )
    return figure


def _bands(methods: Sequence[str]) -> list[dict[str, float]]:
    """Columns of the two bands of maps: truth, baselines and best models above, the models by their guides below."""
    studied = [method for method in methods if MODEL_NAME.fullmatch(method) and not method.startswith("M12F")]
    others = [TRUTH, *(method for method in methods if method not in studied)]
    return [_positions(band, TILE + TILE_GAP, TILE + GROUP_GAP) for band in (others, studied)]


def _positions(methods: Sequence[str], step: float, group_step: float) -> dict[str, float]:
    """Horizontal position of each method, from 0 on, with a larger step to another group."""
    steps = [group_step if _group(a) != _group(b) else step for a, b in pairwise(methods)]
    return dict(zip(methods, accumulate(steps, initial=0.0), strict=True))


def _group(method: str) -> str:
    """Name of the group of methods that are drawn next to each other."""
    model = MODEL_NAME.fullmatch(method)
    if model:
        return "best" if "F" in model[1] else f"M{model[1]}"
    return {TRUTH: TRUTH, ORACLE: "best"}.get(method, "baselines")


def _show(axes: Axes, picture: StudyPicture, method: str, name: str, box: tuple[slice, slice]) -> None:
    index = list(QUANTITIES).index(name)
    maps = picture.truth if method == TRUTH else picture.maps[method]
    inside: FloatArray = np.where(picture.mask, maps[index], 0)[box]
    axes.imshow(
        inside.T, origin="lower", cmap=_colours(name), norm=Normalize(*SHOWN_RANGES[name]), interpolation="nearest"
    )
    axes.set_axis_off()
    score = next((each for each in picture.scores if (each.method, each.quantity) == (method, name)), None)
    if score is not None:
        caption = f"{score.ssim:.3f} / {score.hfen:.3f}"
        axes.text(0.5, -0.02, caption, transform=axes.transAxes, ha="center", va="top", fontsize=9)


def _colours(name: str) -> ColourMap:
    return Colormap(QUANTITIES[name].colormap).to_matplotlib()


def _colour_bar(figure: Figure, name: str, place: tuple[float, float, float, float]) -> None:
    factor, unit = SHOWN_UNITS[name]
    low, high = SHOWN_RANGES[name]
    colours = ScalarMappable(Normalize(factor * low, factor * high), _colours(name))
    bar = figure.colorbar(colours, cax=_axes(figure, *place), extend="max")
    bar.set_label(f"{name}, {unit}", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a position in inches."""
    x, y = figure.get_size_inches()
    return figure.add_axes((left / x, bottom / y, width / x, height / y))


def _titles(figure: Figure, title: str, explanation: str) -> None:
    """Title and explanation at the top left, and the research notice at the top right."""
    x, y = figure.get_size_inches()
    left = 0.3 / x
    figure.text(left, 1 - 0.18 / y, title, fontsize=16, va="top")
    figure.text(left, 1 - 0.48 / y, explanation, fontsize=10, va="top", color="#444444")
    notice = f"SIMULATED SUBJECTS - {RESEARCH_NOTICE} only"
    figure.text(1 - left, 1 - 0.18 / y, notice, fontsize=12, ha="right", va="top", color=LR_COLOUR, weight="bold")


def _draw_legend(figure: Figure, left: float, top: float) -> None:
    """Meanings of the names of methods, with the top left corner at a position in inches."""
    x, y = figure.get_size_inches()
    for line, (method, meaning) in enumerate(MEANINGS.items()):
        height = (top - line * LEGEND_LINE) / y
        figure.text(left / x, height, label_of(method), fontsize=12, va="top")
        figure.text((left + LEGEND_NAMES) / x, height, meaning, fontsize=12, va="top")


def _dots(axes: Axes, values: dict[str, FloatArray], places: dict[str, float]) -> None:
    """Draw one dot per subject and a bar at the median for each method."""
    axes.axhline(float(np.median(values[BASELINE])), color=LR_COLOUR, alpha=0.35, linewidth=1, zorder=0)
    for method, scores in values.items():
        x, colour = places[method], _colour(method)
        spread = np.linspace(-0.22, 0.22, len(scores))
        axes.scatter(x + spread, scores, s=16, color=colour, alpha=0.75, linewidths=0)
        axes.plot([x - 0.36, x + 0.36], [np.median(scores)] * 2, color=colour, linewidth=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", length=0)


def _name_methods(axes: Axes, places: dict[str, float]) -> None:
    axes.set_xticks(
        list(places.values()), [label_of(method).replace("\n", ", ") for method in places], rotation=90, fontsize=10
    )
    for label, method in zip(axes.get_xticklabels(), places, strict=True):
        label.set_color(_colour(method))


def _colour(method: str) -> str:
    if method == BASELINE:
        return LR_COLOUR
    model = MODEL_NAME.fullmatch(method)
    return COLOURS.get(f"M{model[1].rstrip('F')}" if model else method, OTHER_COLOUR)
