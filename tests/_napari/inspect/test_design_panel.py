"""The best contrast of two regions in the Inspect dock, in each of its states."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from inspect_cases import add_labels, finish, labelled, open_dock
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from widget_cases import HR, add, lr_maps, lr_sr_and_a_guide

from napari_swig_qmri._napari.inspect.design_panel import CSF, NEEDS_TWO, SURROUNDINGS
from napari_swig_qmri._napari.inspect.dock import InspectWidget
from napari_swig_qmri.data.interpretation import map_volumes
from napari_swig_qmri.data.volumes import QuantitativeMaps, Volume
from napari_swig_qmri.physics.signal_models import Mp2rageUni, Spgr, SpinEcho, T2Flair, TurboSpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.curves import signals
from napari_swig_qmri.synthesis.design import Design, DesignProblem
from napari_swig_qmri.synthesis.efficiency import efficiency


@pytest.fixture
def viewer() -> ViewerModel:
    return lr_sr_and_a_guide()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot) -> InspectWidget:
    return open_dock(viewer, qtbot)


def fake_optimiser(n_steps: int = 3, error: Exception | None = None) -> tuple[Any, list[tuple[DesignProblem, Any]]]:
    """Stand-in that finds an echo time of 40 ms, and what it was asked."""
    asked: list[tuple[DesignProblem, Any]] = []

    def optimise(problem: DesignProblem, plane: Any) -> Generator[Progress, None, Design]:
        asked.append((problem, plane))
        for step in range(n_steps):
            time.sleep(0.002)
            yield Progress(step / n_steps, "Trying settings")
        if error:
            raise error
        return Design(
            sequence=SpinEcho.from_typical(echo_time=0.04),
            efficiency=0.3,
            present_efficiency=0.1,
            at_limit=("repetition_time",),
            landscape=None,
        )

    return optimise, asked


def test_the_best_settings_are_found_and_used(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    assert not dock.design.run.run_button.enabled
    add_labels(viewer, labelled())
    dock.design.rows["repetition_time"].ends[1].setValue(900)
    finish(dock.design, qtbot)
    problem, plane = asked[0]
    t1 = lr_maps()["T1"]
    assert [tissue.t1 for tissue in problem.tissues] == pytest.approx([t1[:2].mean(), t1[4:].mean()], rel=1e-5)
    assert problem.limits["repetition_time"] == pytest.approx((0.5 / 3, 0.9))
    assert plane == ("echo_time", "repetition_time")
    text = dock.design.answer.text()
    assert text.startswith("Spin echo: TE 40 ms, TR 500 ms. Label ")
    first, second = signals(SpinEcho.from_typical(echo_time=0.04), problem.tissues)
    assert f"Label {1 if first > second else 2} is the brighter one. 3 times the contrast-to-noise" in text
    assert "TR ended at a limit" in text
    dock.design.use_button.click()
    assert dock.curves.sequence() == SpinEcho.from_typical(echo_time=0.04)


def test_the_best_contrast_is_shown_below_the_labels(viewer: ViewerModel, qtbot: QtBot) -> None:
    dock = open_dock(viewer, qtbot, optimiser=fake_optimiser()[0])
    labels = add_labels(viewer, labelled())
    finish(dock.design, qtbot)
    dock.design.show_button.click()
    (layer,) = [each for each in viewer.layers if "synthetic" in each.name]
    assert layer.name == "Spin echo: TE 40 ms, TR 500 ms synthetic (LR)"
    assert viewer.layers.index(labels) == viewer.layers.index(layer) + 1
    assert layer.data.sequence == SpinEcho.from_typical(echo_time=0.04)
    assert layer.name_overlay.visible
    assert dock.curves.follow.enabled


def test_the_real_search_draws_its_landscape(dock: InspectWidget, viewer: ViewerModel, qtbot: QtBot) -> None:
    add_labels(viewer, labelled())
    finish(dock.design, qtbot)
    design: Any = dock.design._design
    problem = dock.design.problem()
    assert design.efficiency == pytest.approx(efficiency(design.sequence, problem.tissues))
    assert design.efficiency >= design.present_efficiency
    assert not dock.design.plot.isHidden()
    assert dock.design.plot.getAxis("bottom").labelText == "TE (ms)"
    dock.curves.set_sequence(T2Flair.from_typical())
    assert dock.design.answer.isHidden()  # another sequence was not searched yet


def test_a_lesion_is_shown_against_its_surroundings(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    data = np.zeros(HR.shape, np.int32)
    data[5:7, 6:8, 4:6] = 5
    add_labels(viewer, Volume(data=data, grid=HR, name="lesion", suffix="dseg"))
    assert (dock.design.first.value, dock.design.second.value) == (5, SURROUNDINGS)
    finish(dock.design, qtbot)
    lesion, around = asked[0][0].tissues
    assert (lesion.name, around.name) == ("Label 5", "Around label 5")
    assert around.is_measured
    assert around.t1 != lesion.t1


def test_a_nulled_region_takes_over_the_inversion_time(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    add_labels(viewer, labelled())
    dock.curves.set_sequence(T2Flair.from_typical())
    dock.design.nulled.choose(2)
    assert not dock.design.rows["inversion_time"].box.isEnabled()
    finish(dock.design, qtbot)
    assert sorted(asked[0][0].limits) == ["echo_time", "repetition_time"]
    assert asked[0][0].nulled is not None
    dock.curves.set_sequence(Spgr.from_typical())
    assert dock.design.nulled.value is None
    assert not dock.design.rows["echo_time"].box.isChecked()  # T2* is not known


def test_a_search_can_be_cancelled(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, _ = fake_optimiser(n_steps=10_000)
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    add_labels(viewer, labelled())
    dock.design.run.run_button.native.click()
    qtbot.waitUntil(lambda: dock.design.run.bar.value >= 0 and dock.design.run.is_running)
    with qtbot.waitSignal(dock.design.run.ended):
        dock.design.run.cancel_button.native.click()
    assert dock.design.run.message.text() == "Cancelled. The settings stay as they are."
    assert dock.design.answer.isHidden()
    assert dock.design.run.run_button.enabled


def test_a_search_that_fails_says_why(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, _ = fake_optimiser(error=ValueError("no settings within the limits distinguish the two regions."))
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    add_labels(viewer, labelled())
    finish(dock.design, qtbot)
    assert dock.design.run.message.text().startswith("No settings within the limits")
    row = dock.design.rows["echo_time"]
    row.ends[0].setValue(300)
    dock.design.start()
    assert "the lower limit must be below the upper one" in dock.design.run.message.text()


def test_a_mask_in_place_of_two_regions_is_shown_against_its_surroundings(
    dock: InspectWidget, viewer: ViewerModel
) -> None:
    add_labels(viewer, labelled())
    assert (dock.design.first.value, dock.design.second.value) == (1, 2)
    volume = labelled()
    mask = add_labels(viewer, Volume(data=(volume.data == 1).astype(np.int32), grid=HR, name="mask", suffix="dseg"))
    dock.regions.choose(mask)
    assert (dock.design.first.value, dock.design.second.value) == (1, SURROUNDINGS)
    assert dock.design.run.run_button.enabled
    dock.design.second.choose(1)
    assert not dock.design.run.run_button.enabled
    assert dock.design.run.message.text() == NEEDS_TWO


def test_a_mask_has_csf_nulled_that_no_region_shows(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    volume = labelled()
    add_labels(viewer, Volume(data=(volume.data == 1).astype(np.int32), grid=HR, name="mask", suffix="dseg"))
    dock.curves.set_sequence(T2Flair.from_typical())
    dock.design.nulled.choose(CSF)
    finish(dock.design, qtbot)
    assert asked[0][0].nulled == CSF
    assert CSF.t1 == 4.163
    assert "present settings with that null" in dock.design.answer.text()


def test_mp2rage_moves_its_angles_and_draws_them(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    add_labels(viewer, labelled())
    dock.curves.set_sequence(Mp2rageUni.from_typical())
    assert "UNI image" in dock.design.model.text()
    finish(dock.design, qtbot)
    problem, plane = asked[0]
    assert plane == ("flip_angle", "second_flip_angle")
    assert "echo_time" not in problem.limits
    assert problem.limits["flip_angle"] == pytest.approx((math.radians(1), math.radians(30)))


def test_the_refocusing_angle_of_a_train_moves_where_it_is_ticked(viewer: ViewerModel, qtbot: QtBot) -> None:
    optimise, asked = fake_optimiser()
    dock = open_dock(viewer, qtbot, optimiser=optimise)
    add_labels(viewer, labelled())
    dock.curves.set_sequence(TurboSpinEcho.from_typical())
    row = dock.design.rows["refocusing_angle"]
    assert not row.box.isChecked()
    row.box.setChecked(True)
    row.ends[1].setValue(150)
    finish(dock.design, qtbot)
    assert asked[0][0].limits["refocusing_angle"] == pytest.approx((math.radians(30), math.radians(150)))


def test_an_equation_of_unknown_noise_is_refused(dock: InspectWidget, viewer: ViewerModel) -> None:
    add_labels(viewer, labelled())
    dock.curves.set_sequence(UserEquation(text="exp(-TE/T2) / exp(-TE/T1)"))
    dock.design.start()
    assert dock.design.run.message.text().startswith("The equation is not proportional to PD")


def test_known_regions_have_the_optimum_of_the_textbook(qtbot: QtBot) -> None:
    # d/dTE [exp(-TE/T2a) - exp(-TE/T2b)] = 0 for equal PD and T1
    short, long = 0.07, 0.16
    by_hand = math.log(long / short) * short * long / (long - short)
    data = np.ones((3, *HR.shape), np.float32) * np.array([0.7, 0.8, short], np.float32)[:, None, None, None]
    data[2, HR.shape[0] // 2 :] = long
    viewer = ViewerModel()
    add(viewer, *map_volumes(QuantitativeMaps(data=data, grid=HR), "known"))
    dock = open_dock(viewer, qtbot)
    add_labels(viewer, labelled())
    dock.curves.set_sequence(SpinEcho(echo_time=0.02, repetition_time=3.0))
    dock.design.rows["repetition_time"].box.setChecked(False)
    finish(dock.design, qtbot)
    assert dock.design.answer.text().startswith(f"Spin echo: TE {1e3 * by_hand:.4g} ms, TR 3000 ms.")
