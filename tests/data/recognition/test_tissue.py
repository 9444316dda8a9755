"""Units and kinds told by the values of tissue, whatever air, masked background and fits leave around the head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.kinds import find_kind
from napari_swig_qmri.data.recognition.tissue import median
from napari_swig_qmri.data.recognition.units import find_unit

SHAPE = (40, 44, 36)
TISSUES = {  # white matter, grey matter, fluid, fat
    "T1": (0.85, 1.4, 4.1, 0.35),
    "T2": (0.07, 0.09, 1.5, 0.06),
    "PD": (0.7, 0.82, 1.0, 0.9),
    "T1w": (620.0, 430.0, 150.0, 1100.0),
    "T2w": (180.0, 270.0, 640.0, 420.0),
    "PDw": (510.0, 600.0, 640.0, 400.0),
}


def head(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Image of a head with noise in tissue, and where the head is."""
    generator = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    label = np.select([radius < 0.2, radius < 0.5, radius < 0.66, radius < 0.7, radius < 0.78], [2, 0, 1, 2, 3], -1)
    values = np.array((*TISSUES[name], 0.0))[label]
    return values * generator.normal(1, 0.05, SHAPE), label >= 0


AIR: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "masked": lambda _, tissue: np.zeros(SHAPE),
    "overshoot of splines": lambda generator, tissue: generator.normal(0, 1e-6 * tissue, SHAPE),
    "small and positive": lambda generator, tissue: generator.uniform(5e-4, 2e-3, SHAPE) * tissue,
    "limit of a fit": lambda _, tissue: np.full(SHAPE, 9 * tissue),
    "failed fits": lambda generator, tissue: generator.uniform(0, 20, SHAPE) * tissue,
    "not finite": lambda _, tissue: np.full(SHAPE, np.nan),
}


@pytest.mark.parametrize("air", AIR)
@pytest.mark.parametrize(
    ("quantity", "suffix", "unit", "factor"),
    [
        ("T1", "T1map", "s", 1.0),
        ("T1", "T1map", "ms", 1e3),
        ("T2", "T2map", "s", 1.0),
        ("T2", "T2map", "ms", 1e3),
        ("T1", "R1map", "1/s", 1.0),
        ("T1", "R1map", "1/ms", 1e-3),
    ],
)
def test_the_unit_is_judged_inside_the_head(air: str, quantity: str, suffix: str, unit: str, factor: float) -> None:
    values, is_head = head(quantity)
    values = factor / np.where(is_head, values, 1) if suffix == "R1map" else factor * values
    tissue = float(np.median(values[is_head]))
    around = AIR[air](np.random.default_rng(1), tissue)
    values = np.where(is_head, values, around)
    assert median(values) == pytest.approx(tissue, rel=0.35)
    assert find_unit(suffix, Evidence(stem="x", values=values))[0] == unit
    told, notices = find_unit(suffix, Evidence(stem="x", values=values, sidecar={"Units": unit}))
    assert (told, notices) == (unit, ())


def test_a_told_unit_that_tissue_contradicts_is_kept_and_doubted() -> None:
    values = 1e3 * head("T1")[0]
    unit, (notice,) = find_unit("T1map", Evidence(stem="x", values=values, sidecar={"Units": "s"}))
    assert unit == "s"
    assert "look like ms" in notice


PLAIN: list[tuple[str, str, float, str]] = [  # name of the file, image, factor, kind
    ("t1", "T1", 1.0, "T1map"),
    ("t1", "T1", 1e3, "T1map"),
    ("anna_T1", "T1", 1e3, "T1map"),
    ("t2", "T2", 1.0, "T2map"),
    ("t2", "T2", 1e3, "T2map"),
    ("pd", "PD", 1.0, "PDmap"),
    ("pd", "PD", 100.0, "PDmap"),
    ("T1_brain", "T1", 1e3, "T1map"),
    ("t1", "T1w", 1.0, "T1w"),
    ("t1", "T1w", 3.0, "T1w"),
    ("t1", "T1w", 1 / 600, "T1w"),
    ("t2", "T2w", 0.3, "T2w"),
    ("t2", "T2w", 1 / 900, "T2w"),
    ("pd", "PDw", 1.0, "PDw"),
    ("T1_mprage_sag", "T1", 1e3, "T1w"),
]


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(("stem", "image", "factor", "kind"), PLAIN)
def test_the_values_decide_about_a_plain_name(stem: str, image: str, factor: float, kind: str, is_whole: bool) -> None:
    values = factor * head(image)[0]
    found = find_kind(Evidence(stem=stem, values=np.rint(values) if is_whole and values.max() > 50 else values))
    assert (found.suffix, found.confidence) == (kind, "likely")
    assert found.notices
    if kind.endswith("map"):
        assert "put" in found.notices[0]
        assert "into its sidecar" in found.notices[0]


def test_without_values_a_plain_name_is_open() -> None:
    found = find_kind(Evidence(stem="t1"))
    assert (found.confidence, found.needs_values) == ("ask", True)
    assert found.notices[0].startswith("Please check: ")


def test_a_flat_image_is_no_map_whatever_its_value() -> None:
    assert find_kind(Evidence(stem="t1", values=np.ones(SHAPE))).suffix == "T1w"


def test_a_brain_mask_of_grey_values_is_an_image() -> None:
    values, is_head = head("T1w")
    assert find_kind(Evidence(stem="brainmask", values=values)).suffix == "T1w"
    assert find_kind(Evidence(stem="brainmask", values=is_head.astype(float))).suffix == "mask"


@pytest.mark.parametrize(
    ("description", "image", "kind"),
    [("T1_map", "T1w", "T1map"), ("MOLLI T1 mapping", "T1", "T1map"), ("MOLLI T1 mapping", "T1w", "T1w")],
)
def test_a_description_says_map_or_leaves_it_to_the_values(description: str, image: str, kind: str) -> None:
    values = head(image)[0] * (1e3 if image == "T1" else 1)
    found = find_kind(Evidence(stem="T1", values=values, sidecar={"SeriesDescription": description}))
    assert (found.suffix, found.confidence) == (kind, "likely")
