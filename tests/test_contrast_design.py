"""Optima of contrast against what can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_swig_qmri.contrast_design import (
    N_LANDSCAPE,
    DesignProblem,
    default_limits,
    efficiency,
    optimise,
    time_per_line,
)
from napari_swig_qmri.curves import TissueValues, signals
from napari_swig_qmri.equation import UserEquation
from napari_swig_qmri.nulling import nulled
from napari_swig_qmri.signal_models import (
    SEQUENCES,
    DoubleInversionRecovery,
    Mp2rageUni,
    Mprage,
    PhaseSensitiveInversionRecovery,
    Spgr,
    SpinEcho,
    T2Flair,
    TurboSpinEcho,
    nulling_inversion_time,
)
from napari_swig_qmri.steps import drained

NOTHING = TissueValues(name="nothing", pd=0.0, t1=1.0, t2=1.0)
WM = TissueValues(name="WM", pd=0.7, t1=0.8, t2=0.07)
LESION = TissueValues(name="lesion", pd=0.8, t1=1.3, t2=0.16)
CSF = TissueValues(name="CSF", pd=1.0, t1=4.163, t2=2.0)


def test_one_tissue_under_spoiled_gradients_wants_the_ernst_angle() -> None:
    problem = DesignProblem(
        sequence=Spgr.from_typical(), tissues=(WM, NOTHING), limits={"flip_angle": (0.02, math.pi / 2)}
    )
    design = drained(optimise(problem))
    assert design.sequence.flip_angle == pytest.approx(math.acos(math.exp(-0.02 / 0.8)), rel=1e-3)
    assert design.landscape is None
    assert design.at_limit == ()


def test_tissues_that_differ_in_t2_want_the_te_between() -> None:
    # d/dTE [exp(-TE/T2a) - exp(-TE/T2b)] = 0
    short, long = 0.07, 0.16
    by_hand = math.log(long / short) * short * long / (long - short)
    problem = DesignProblem(
        sequence=SpinEcho(echo_time=0.02, repetition_time=3.0),
        tissues=(WM, replace(WM, t2=long)),
        limits={"echo_time": (0.005, 0.4)},
    )
    assert drained(optimise(problem)).sequence.echo_time == pytest.approx(by_hand, rel=1e-3)


def test_one_tissue_under_a_spin_echo_wants_tr_of_1_26_t1() -> None:
    # d/dTR [(1 - exp(-x)) / sqrt(x)] = 0 where exp(x) = 1 + 2 x: x = 1.2564
    problem = DesignProblem(
        sequence=SpinEcho(echo_time=0.01, repetition_time=0.3),
        tissues=(WM, NOTHING),
        limits={"repetition_time": (0.05, 10.0)},
    )
    assert drained(optimise(problem)).sequence.repetition_time == pytest.approx(1.2564 * 0.8, rel=1e-3)


def test_signed_inversion_wants_the_ti_between_two_t1() -> None:
    short, long = 0.8, 1.3
    by_hand = math.log(long / short) * short * long / (long - short)
    problem = DesignProblem(
        sequence=PhaseSensitiveInversionRecovery(echo_time=0.0, repetition_time=60.0, inversion_time=0.4),
        tissues=(WM, replace(WM, t1=long)),
        limits={"inversion_time": (0.05, 5.0)},
    )
    assert drained(optimise(problem)).sequence.inversion_time == pytest.approx(by_hand, rel=1e-3)


def test_the_nulled_tissue_stays_nulled_while_tr_moves() -> None:
    problem = DesignProblem(
        sequence=T2Flair.from_typical(),
        tissues=(WM, LESION),
        limits={"repetition_time": (5.0, 12.0), "echo_time": (0.02, 0.16)},
        nulled=CSF,
    )
    design = drained(optimise(problem))
    by_hand = nulling_inversion_time(4.163, repetition_time=design.sequence.repetition_time, train_duration=0.16)
    assert design.sequence.inversion_time == pytest.approx(by_hand)
    assert signals(design.sequence, [CSF])[0] == pytest.approx(0, abs=1e-9)
    assert design.efficiency > efficiency(nulled(problem.sequence, CSF.t1), problem.tissues)


def test_time_is_that_of_a_line() -> None:
    assert time_per_line(SpinEcho.from_typical()) == 0.5
    assert time_per_line(TurboSpinEcho.from_typical()) == pytest.approx(5 / 16)
    assert time_per_line(Mprage.from_typical()) == pytest.approx(2.3 / 176)
    first, second = signals(SpinEcho.from_typical(), [WM, CSF])
    assert efficiency(SpinEcho.from_typical(), (WM, CSF)) == pytest.approx((first - second) / math.sqrt(0.5))


def test_the_landscape_peaks_at_the_optimum_and_has_gaps() -> None:
    problem = DesignProblem(
        sequence=SpinEcho.from_typical(),
        tissues=(WM, LESION),
        limits={"echo_time": (0.005, 0.3), "repetition_time": (0.2, 5.0)},
    )
    design = drained(optimise(problem))
    assert design.landscape is not None
    made = design.landscape.efficiency
    assert made.shape == (N_LANDSCAPE, N_LANDSCAPE)
    assert np.isnan(made[-1, 0])  # TE 300 ms, TR 200 ms
    assert 0.98 * design.efficiency < np.nanmax(made) <= design.efficiency * (1 + 1e-9)
    row, column = np.unravel_index(np.nanargmax(made), made.shape)
    assert design.landscape.values[0][row] == pytest.approx(design.sequence.echo_time, abs=0.01)
    assert design.landscape.values[1][column] == pytest.approx(design.sequence.repetition_time, abs=0.15)


def test_a_setting_that_would_go_further_is_told() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, NOTHING), limits={"echo_time": (0.005, 0.1)})
    design = drained(optimise(problem))
    assert design.sequence.echo_time == pytest.approx(0.005)
    assert design.at_limit == ("echo_time",)


@pytest.mark.parametrize("name", [name for name in SEQUENCES if name != "mp2rage-uni"])
def test_default_limits_hold_the_usual_settings(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    for setting, (low, high) in default_limits(sequence).items():
        assert low <= getattr(sequence, setting) <= high


def test_work_is_cut_into_steps_that_rise() -> None:
    problem = DesignProblem(
        sequence=SpinEcho.from_typical(),
        tissues=(WM, LESION),
        limits={"echo_time": (0.005, 0.3), "repetition_time": (0.2, 5.0)},
    )
    fractions = [step.fraction for step in optimise(problem)]
    assert fractions == sorted(fractions)
    assert len(fractions) > 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": {}}, "no setting may move"),
        ({"limits": {"flip_angle": (0.1, 1.0)}}, "Spin echo has no setting 'flip_angle'"),
        ({"limits": {"echo_time": (0.1, 0.1)}}, r"Echo time \(TE\): the lower limit must be below"),
        ({"tissues": (WM, replace(WM, t1=math.nan))}, "'WM' holds no voxel"),
        ({"nulled": CSF}, "Spin echo cannot null a tissue"),
        ({"sequence": UserEquation(text="PD * exp(-TE/T2)")}, "typed equation"),
        ({"nulled": CSF, "sequence": DoubleInversionRecovery.from_typical()}, "cannot null a tissue"),
        ({"sequence": T2Flair.from_typical(), "nulled": CSF, "limits": {"inversion_time": (1, 2)}}, "follows from"),
        ({"sequence": Mp2rageUni.from_typical()}, "MP2RAGE UNI is a ratio"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, object], message: str) -> None:
    usual = {"sequence": SpinEcho.from_typical(), "tissues": (WM, CSF), "limits": {"echo_time": (0.01, 0.1)}}
    with pytest.raises(ValueError, match=message):
        DesignProblem(**(usual | options))  # type: ignore[arg-type]


def test_limits_without_contrast_are_refused() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, WM), limits={"echo_time": (0.005, 0.1)})
    with pytest.raises(ValueError, match="no setting within the limits"):
        drained(optimise(problem))
