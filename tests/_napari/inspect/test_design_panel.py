"""The best contrast of two regions, in each of its states."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from inspect_cases import finish, labelled
from pytestqt.qtbot import QtBot
from widget_cases import LR, lr_maps

from napari_swig_qmri._napari.inspect.design_panel import CSF, NEEDS_TWO, SURROUNDINGS, DesignPanel, LabelledMaps
from napari_swig_qmri.data.volumes import QuantitativeMaps, VoxelGrid
from napari_swig_qmri.evaluation.regions import regions_on
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Spgr, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.curves import signals
from napari_swig_qmri.synthesis.design import Design, DesignProblem
from napari_swig_qmri.synthesis.efficiency import efficiency


@dataclass
class FakeSearch:
    """Finds an echo time of 40 ms, and keeps the problems that it was given."""

    n_steps: int = 3
    error: Exception | None = None
    present_efficiency: float = 0.1
    problems: list[DesignProblem] = field(default_factory=list)
    planes: list[Any] = field(default_factory=list)

    def __call__(self, problem: DesignProblem, plane: Any) -> Generator[Progress, None, Design]:
        self.problems.append(problem)
        self.planes.append(plane)
        for step in range(self.n_steps):
            time.sleep(0.002)
            yield Progress(step / self.n_steps, "Trying settings")
        if self.error:
            raise self.error
        return Design(
            sequence=SpinEcho.from_typical(echo_time=0.04),
            efficiency=0.3,
            present_efficiency=self.present_efficiency,
            at_limit=("repetition_time",),
            landscape=None,
        )


@pytest.fixture
def search() -> FakeSearch:
    return FakeSearch()


@pytest.fixture
def panel(search: FakeSearch, qtbot: QtBot) -> DesignPanel:
    """Panel of a spin echo and two regions, with a quick search."""
    return make_panel(qtbot, search)


def make_panel(qtbot: QtBot, *optimiser: Any) -> DesignPanel:
    panel = DesignPanel(*optimiser)
    qtbot.addWidget(panel)
    panel.show_sequence(SpinEcho.from_typical())
    show(panel)
    return panel


def show(panel: DesignPanel, labels: Sequence[int] = (1, 2), maps: QuantitativeMaps | None = None) -> None:
    maps = maps or lr_maps()
    regions = regions_on(labelled(maps.grid), maps.grid)
    panel.show_regions(labels, lambda: LabelledMaps(maps, {label: regions[label] for label in labels}))


def test_the_best_settings_are_found_and_passed_on(panel: DesignPanel, search: FakeSearch, qtbot: QtBot) -> None:
    panel.limits["repetition_time"].ends[1].value = 900
    finish(panel, qtbot)
    (problem,) = search.problems
    t1 = lr_maps()["T1"]
    assert [tissue.t1 for tissue in problem.tissues] == pytest.approx([t1[:2].mean(), t1[4:].mean()], rel=1e-5)
    assert problem.limits["repetition_time"] == pytest.approx((0.5 / 3, 0.9))
    assert search.planes == [("echo_time", "repetition_time")]
    found = SpinEcho.from_typical(echo_time=0.04)
    first, second = signals(found, problem.tissues)
    assert panel.answer.text().replace("\u00a0", " ") == (
        f"Spin echo: TE 40 ms, TR 500 ms. Label {1 if first > second else 2} is brighter. Contrast-to-noise per √time "
        "is 3 times that of the present settings (○ present, ★ best). TR reached a limit: widen it to search further."
    )
    for signal, button in ((panel.settings_wanted, panel.use_button), (panel.image_wanted, panel.show_button)):
        with qtbot.waitSignal(signal) as emitted:
            button.native.click()
        assert emitted.args == [found]
    panel.show_sequence(T2Flair.from_typical())
    assert panel.answer.isHidden()  # nothing was searched for this sequence
    for search.present_efficiency, text in (
        (0.3, "present settings (○) are as good as the best"),
        (0.0, "brighter. TR"),
    ):
        finish(panel, qtbot)
        assert text in panel.answer.text()


def test_a_search_can_be_cancelled_or_fail(search: FakeSearch, panel: DesignPanel, qtbot: QtBot) -> None:
    search.n_steps = 10_000
    panel.run_panel.run_button.native.click()
    with qtbot.waitSignal(panel.run_panel.ended):
        panel.run_panel.cancel_button.native.click()
    assert panel.run_panel.message.text() == "Cancelled. The settings were not changed."
    assert panel.answer.isHidden()
    assert panel.run_panel.run_button.enabled
    search.n_steps, search.error = 1, ValueError("no setting within the limits shows the two regions apart.")
    finish(panel, qtbot)
    assert panel.run_panel.message.text().startswith("No setting within the limits")
    panel.limits["echo_time"].ends[0].value = 300
    panel.start()
    assert "the lower limit must be below the upper one" in panel.run_panel.message.text()
    panel.show_sequence(UserEquation(text="exp(-TE/T2) / exp(-TE/T1)"))
    panel.start()
    assert panel.run_panel.message.text().startswith("The equation is not proportional to PD")


def test_one_region_is_shown_against_its_surroundings(panel: DesignPanel, search: FakeSearch, qtbot: QtBot) -> None:
    assert (panel.first.value, panel.second.value) == (1, 2)
    show(panel, [2])
    assert (panel.first.value, panel.second.value) == (2, SURROUNDINGS)
    finish(panel, qtbot)
    region, around = search.problems[0].tissues
    assert (region.name, around.name) == ("Label 2", "Around label 2")
    assert around.is_measured
    assert around.t1 != region.t1
    show(panel, [1])
    panel.second.choose(1)
    panel.show_sequence(Spgr.from_typical())  # no result is shown any more
    assert not panel.run_panel.run_button.enabled
    assert panel.run_panel.message.text() == NEEDS_TWO
    show(panel, [])
    assert not panel.run_panel.run_button.enabled


def test_a_nulled_tissue_determines_the_inversion_time(panel: DesignPanel, search: FakeSearch, qtbot: QtBot) -> None:
    panel.show_sequence(T2Flair.from_typical())
    panel.nulled.choose(2)
    assert not panel.limits["inversion_time"].box.enabled
    finish(panel, qtbot)
    assert sorted(search.problems[0].limits) == ["echo_time", "repetition_time"]
    assert search.problems[0].nulled == search.problems[0].tissues[1]
    panel.nulled.choose(CSF)
    finish(panel, qtbot)
    assert (search.problems[1].nulled, CSF.t1) == (CSF, 4.163)
    assert "present settings with the same null" in panel.answer.text()
    panel.show_sequence(Spgr.from_typical())
    assert panel.nulled.value is None
    assert not panel.limits["echo_time"].box.value  # T2* is not known


def test_limits_and_plot_suit_the_sequence(panel: DesignPanel, search: FakeSearch, qtbot: QtBot) -> None:
    panel.show_sequence(Mp2rageUni.from_typical())
    assert "UNI image" in panel.model.text()
    finish(panel, qtbot)
    assert search.planes == [("flip_angle", "second_flip_angle")]
    assert "echo_time" not in search.problems[0].limits
    assert search.problems[0].limits["flip_angle"] == pytest.approx((math.radians(1), math.radians(30)))
    panel.show_sequence(TurboSpinEcho.from_typical())
    limits = panel.limits["refocusing_angle"]
    assert not limits.box.value
    limits.box.value = True
    limits.ends[1].value = 150
    finish(panel, qtbot)
    assert search.problems[1].limits["refocusing_angle"] == pytest.approx((math.radians(30), math.radians(150)))


@pytest.mark.slow
def test_known_regions_have_the_optimum_of_the_textbook_and_a_plot(qtbot: QtBot) -> None:
    # d/dTE [exp(-TE/T2a) - exp(-TE/T2b)] = 0 for equal PD and T1
    short, long = 0.07, 0.16
    by_hand = math.log(long / short) * short * long / (long - short)
    data = np.ones((3, *LR.shape), np.float32) * np.array([0.7, 0.8, short], np.float32)[:, None, None, None]
    data[2, LR.shape[0] // 2 :] = long
    panel = make_panel(qtbot)
    show(panel, maps=QuantitativeMaps(data=data, grid=VoxelGrid(LR.shape, LR.affine)))
    panel.show_sequence(SpinEcho(echo_time=0.02, repetition_time=3.0))
    with qtbot.waitSignal(panel.image_wanted) as wanted:
        finish(panel, qtbot)
        panel.show_button.native.click()
    (design,) = wanted.args
    assert efficiency(design, panel.problem().tissues) > efficiency(panel.problem().sequence, panel.problem().tissues)
    assert not panel.place.isHidden()
    assert panel.place.plot.getAxis("bottom").labelText == "TE (ms)"
    panel.limits["repetition_time"].box.value = False
    finish(panel, qtbot)
    assert panel.answer.text().startswith(f"Spin echo: TE {1e3 * by_hand:.4g} ms, TR 3000 ms.")
