"""Signal curves of voxels and regions over one setting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inspect_cases import texts_of
from pyqtgraph import PlotDataItem
from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.inspect.curve_panel import CurvePanel, Entry
from napari_swig_qmri.physics.signal_models import Mprage, SpinEcho
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import TissueValues, signals, sweep

WHITE = TissueValues(name="WM", pd=0.7, t1=0.8, t2=0.07)
FLUID = TissueValues(name="CSF", pd=1.0, t1=4.2, t2=1.4)


@pytest.fixture
def panel(qtbot: QtBot) -> CurvePanel:
    panel = CurvePanel(SpinEcho.from_typical())
    qtbot.addWidget(panel)
    return panel


def curves(panel: CurvePanel) -> list[Any]:
    """x and y of each curve in the plot."""
    items = [item for item in panel.plot.getPlotItem().listDataItems() if isinstance(item, PlotDataItem)]
    return [item.getData() for item in items if item.getData()[0] is not None]


def t1_of(seconds: float) -> TissueValues:
    return replace(WHITE, t1=seconds)


def test_curves_and_rows_show_the_signals_of_the_sequence(panel: CurvePanel) -> None:
    sequence: Any = panel.sequence()
    panel.show_cursor(Entry(WHITE, "white", errors={"T1": 0.012}), "Voxel 1, 2, 3")
    panel.show_fixed([Entry(FLUID, "blue", is_region=True)])
    first, second = (x for x, _ in curves(panel))
    np.testing.assert_allclose(first, second)
    assert (first[0], first[-1]) == (0, pytest.approx(250))  # ms
    expected = sweep(sequence, "echo_time", first / 1e3)([WHITE, FLUID])
    np.testing.assert_allclose([y for _, y in curves(panel)], expected, rtol=1e-6)
    signal = signals(sequence, [WHITE, FLUID])
    assert panel.table.text().splitlines() == [
        "WM\t0.700\t800",
        f"± 12\t70.0\t{signal[0]:.3f}",
        f"± {0.5 * abs(np.diff(signals(sequence, [t1_of(0.788), t1_of(0.812)]))[0]):.3f}",
        f"CSF\t1.000\t4200\t1400\t{signal[1]:.3f}",
    ]
    assert panel.hint.text() == "Voxel 1, 2, 3"
    panel.show_cursor(None)
    assert len(curves(panel)) == 1
    assert "WM" not in panel.table.text()


def test_a_move_of_the_cursor_rewrites_only_its_row(panel: CurvePanel) -> None:
    panel.show_fixed([Entry(FLUID, "blue"), Entry(FLUID, "red", is_region=True)])
    panel.show_cursor(Entry(FLUID, "white"))
    fixed = [y for _, y in curves(panel)[-2:]]
    written: list[int] = []
    panel.table.itemChanged.connect(lambda item: written.append(item.row()))
    panel.show_cursor(Entry(WHITE, "white"))
    assert set(written) == {0}
    assert len(written) <= 5
    for before, (_, after) in zip(fixed, curves(panel)[-2:], strict=True):
        assert after is before


def test_another_sequence_offers_its_settings(panel: CurvePanel) -> None:
    panel.set_sequence(Mprage.from_typical())
    assert texts_of(panel.setting) == ["Echo time (TE)", "Repetition time (TR)", "Inversion time (TI)", "Flip angle"]
    panel.setting.choose("flip_angle")
    assert panel.plot.getAxis("bottom").labelText == "flip angle (°)"
    assert panel._line.value() == pytest.approx(9)


def test_impossible_settings_leave_the_curves_and_say_so(panel: CurvePanel) -> None:
    panel.show_fixed([Entry(WHITE, "red")])
    before = curves(panel)[0][1]
    panel.editor.parameter_boxes()["repetition_time"].value = 10
    assert panel.sequence() is None
    assert "not shorter than TR" in (panel.editor.problem() or "")
    assert "impossible" in panel.editor_fold.button.text()
    np.testing.assert_array_equal(curves(panel)[0][1], before)


def test_the_line_can_be_dragged_to_another_setting(panel: CurvePanel) -> None:
    line = panel._line
    line.setValue(80.0)
    line.sigPositionChangeFinished.emit(line)
    assert panel.sequence() == SpinEcho.from_typical(echo_time=0.08)
    line.setValue(900.0)  # longer than TR
    line.sigPositionChangeFinished.emit(line)
    assert panel.sequence() == SpinEcho.from_typical(echo_time=0.08)
    assert line.value() == pytest.approx(80)


def test_an_equation_without_settings_has_level_curves(panel: CurvePanel) -> None:
    panel.set_sequence(UserEquation(text="PD / T1"))
    panel.show_fixed([Entry(WHITE, "red")])
    np.testing.assert_allclose(curves(panel)[0][1], 0.875, rtol=1e-6)
