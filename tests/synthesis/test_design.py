"""Optima of contrast against what can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tissue_cases import AIR, CSF, GM, LESION, WM

from napari_swig_qmri.physics.nulling import nulled
from napari_swig_qmri.physics.sequence import Contrast
from napari_swig_qmri.physics.signal_models import (
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
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.progress import drained
from napari_swig_qmri.synthesis.curves import TissueValues, signals, with_settings
from napari_swig_qmri.synthesis.design import (
    N_LANDSCAPE,
    Design,
    DesignProblem,
    default_limits,
    optimise,
)
from napari_swig_qmri.synthesis.efficiency import efficiency, is_unambiguous


def best_found(problem: DesignProblem) -> Design:
    return drained(optimise(problem))


def test_one_tissue_under_spoiled_gradients_wants_the_ernst_angle() -> None:
    problem = DesignProblem(sequence=Spgr.from_typical(), tissues=(WM, AIR), limits={"flip_angle": (0.02, math.pi / 2)})
    design = best_found(problem)
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
    assert best_found(problem).sequence.echo_time == pytest.approx(by_hand, rel=1e-3)


def test_one_tissue_under_a_spin_echo_wants_tr_of_1_26_t1() -> None:
    # d/dTR [(1 - exp(-x)) / sqrt(x)] = 0 where exp(x) = 1 + 2 x: x = 1.2564
    problem = DesignProblem(
        sequence=SpinEcho(echo_time=0.01, repetition_time=0.3),
        tissues=(WM, AIR),
        limits={"repetition_time": (0.05, 10.0)},
    )
    assert best_found(problem).sequence.repetition_time == pytest.approx(1.2564 * 0.8, rel=1e-3)


def test_signed_inversion_wants_the_ti_between_two_t1() -> None:
    short, long = 0.8, 1.3
    by_hand = math.log(long / short) * short * long / (long - short)
    problem = DesignProblem(
        sequence=PhaseSensitiveInversionRecovery(echo_time=0.0, repetition_time=60.0, inversion_time=0.4),
        tissues=(WM, replace(WM, t1=long)),
        limits={"inversion_time": (0.05, 5.0)},
    )
    assert best_found(problem).sequence.inversion_time == pytest.approx(by_hand, rel=1e-3)


TE, TR, TI, TI2 = "echo_time", "repetition_time", "inversion_time", "second_inversion_time"
FA, FA2 = "flip_angle", "second_flip_angle"


# Steps of the grid leave 5 per cent; what a search finds may be better than that, never worse.
@pytest.mark.parametrize(
    ("sequence", "tissues", "limits", "n"),
    [
        (SpinEcho.from_typical(), (WM, GM), {TE: (0.005, 0.15), TR: (0.1, 4.0)}, 20),
        (SpinEcho.from_typical(), (WM, LESION), {TE: (0.005, 0.15), TR: (0.1, 4.0)}, 20),
        (TurboSpinEcho.from_typical(), (GM, LESION), {TE: (0.01, 0.16), TR: (0.5, 9.0)}, 20),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                (T2Flair.from_typical(), (WM, LESION), {TE: (0.02, 0.16), TR: (5, 12), TI: (1.0, 3.0)}, 14),
                (Mprage.from_typical(), (WM, GM), {TR: (1.5, 4.0), TI: (0.65, 2.0), FA: (0.03, 0.4)}, 14),
                (Mp2rageUni.from_typical(), (WM, GM), {FA: (0.03, 0.2), FA2: (0.03, 0.2)}, 30),
                (Mp2rageUni.from_typical(), (WM, GM), {TI: (0.65, 1.2), TI2: (1.9, 4.0), FA: (0.03, 0.2)}, 14),
            ]
        ),
    ],
)
def test_the_best_of_a_grid_is_not_better(
    sequence: Contrast,
    tissues: tuple[TissueValues, TissueValues],
    limits: dict[str, tuple[float, float]],
    n: int,
) -> None:
    found = best_found(DesignProblem(sequence=sequence, tissues=tissues, limits=limits))
    axes = [np.linspace(*ends, n) for ends in limits.values()]
    best = 0.0
    for values in product(*axes):
        at = with_settings(sequence, **dict(zip(limits, map(float, values), strict=True)))
        if at is not None and is_unambiguous(at, tissues):
            best = max(best, efficiency(at, tissues))
    assert best <= found.efficiency * (1 + 1e-9)
    assert found.efficiency < 1.05 * best


@pytest.mark.slow
def test_refocusing_below_180_degrees_is_searched() -> None:
    sequence = TurboSpinEcho.from_typical(echo_train_length=4, echo_time=0.03, refocusing_angle=2.0)
    problem = DesignProblem(sequence=sequence, tissues=(WM, AIR), limits={"refocusing_angle": (1.0, 3.1)})
    angles = np.linspace(1.0, 3.1, 43)
    heights = [efficiency(replace(sequence, refocusing_angle=float(angle)), (WM, AIR)) for angle in angles]
    found = best_found(problem)
    assert max(heights) <= found.efficiency * (1 + 1e-9)
    assert found.sequence.refocusing_angle == pytest.approx(angles[np.argmax(heights)], abs=0.05)  # type: ignore[attr-defined]


def test_refocusing_may_move_in_all_trains_and_nowhere_else() -> None:
    with_angle = {name for name, kind in SEQUENCES.items() if "refocusing_angle" in default_limits(kind.from_typical())}
    assert with_angle == {"tse", "t2-flair", "stir", "dir"}
    assert default_limits(TurboSpinEcho.from_typical())["refocusing_angle"] == pytest.approx((math.pi / 6, math.pi))


def test_a_typed_equation_has_the_optimum_of_its_sequence() -> None:
    text = "PD * sin(FA) * (1 - exp(-TR/T1)) / (1 - cos(FA) * exp(-TR/T1)) * exp(-TE/T2)"
    typed = UserEquation(text=text, echo_time=0.003, repetition_time=0.02, flip_angle=0.3)
    problem = DesignProblem(sequence=typed, tissues=(WM, AIR), limits={"flip_angle": (0.02, 1.5)})
    assert best_found(problem).sequence.flip_angle == pytest.approx(math.acos(math.exp(-0.02 / WM.t1)), rel=1e-3)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_settings_that_fold_mp2rage_are_left_out() -> None:
    limits = {TI: (0.62, 1.0), TI2: (1.85, 2.0), TR: (4.0, 9.0), FA2: (0.02, 0.1)}
    problem = DesignProblem(sequence=Mp2rageUni.from_typical(), tissues=(WM, GM), limits=limits)
    found = best_found(problem).sequence
    first, second = signals(found, [WM, GM])
    assert 0.45 > first > second > -0.45  # folds are at 1/2 and -1/2, where noise vanishes


@pytest.mark.slow
def test_mp2rage_is_nulled_in_its_first_block() -> None:
    problem = DesignProblem(
        sequence=Mp2rageUni.from_typical(),
        tissues=(WM, LESION),
        limits={"second_flip_angle": (0.03, 0.2)},
        nulled=GM,
    )
    assert signals(best_found(problem).sequence, [GM])[0] == pytest.approx(0, abs=1e-9)


def test_the_nulled_tissue_stays_nulled_while_tr_moves() -> None:
    problem = DesignProblem(
        sequence=T2Flair.from_typical(),
        tissues=(WM, LESION),
        limits={"repetition_time": (5.0, 12.0), "echo_time": (0.02, 0.16)},
        nulled=CSF,
    )
    design = best_found(problem)
    by_hand = nulling_inversion_time(4.163, repetition_time=design.sequence.repetition_time, train_duration=0.16)
    assert design.sequence.inversion_time == pytest.approx(by_hand)
    assert signals(design.sequence, [CSF])[0] == pytest.approx(0, abs=1e-9)
    assert design.present_efficiency == efficiency(nulled(problem.sequence, CSF.t1, CSF.t2), problem.tissues)
    assert design.efficiency > design.present_efficiency


def test_the_landscape_peaks_at_the_optimum_and_has_gaps() -> None:
    problem = DesignProblem(
        sequence=SpinEcho.from_typical(),
        tissues=(WM, LESION),
        limits={"echo_time": (0.005, 0.3), "repetition_time": (0.2, 5.0)},
    )
    design = best_found(problem)
    assert design.landscape is not None
    made, (first, second) = design.landscape.efficiency, design.landscape.values
    assert made.shape == (len(first), len(second))
    assert {len(first), len(second)} <= {N_LANDSCAPE - 1, N_LANDSCAPE}
    assert np.isnan(made[-1, 0])  # TE 300 ms, TR 200 ms
    assert np.nanmax(made) == pytest.approx(design.efficiency)
    row, column = np.unravel_index(np.nanargmax(made), made.shape)
    assert first[row] == pytest.approx(design.sequence.echo_time)
    assert second[column] == pytest.approx(design.sequence.repetition_time)
    assert first[0] < 0.012
    assert first[-1] > 0.29


def test_a_landscape_draws_near_to_what_is_possible() -> None:
    # the block of 176 x 7 ms leaves TI 0.616 s and more, and 1.684 s and less in TR 2.3 s
    problem = DesignProblem(sequence=Mprage.from_typical(), tissues=(WM, GM), limits={TI: (0.1, 20.0), FA: (0.05, 0.3)})
    landscape = best_found(problem).landscape
    assert landscape is not None
    assert landscape.values[0][0] > 0.1
    assert landscape.values[0][-1] < 2.7
    assert np.isfinite(landscape.efficiency).mean() > 0.4  # 1.07 of 19.9 s over all limits


def test_a_setting_that_would_go_further_is_told() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, AIR), limits={"echo_time": (0.005, 0.1)})
    design = best_found(problem)
    assert design.sequence.echo_time == pytest.approx(0.005)
    assert design.at_limit == ("echo_time",)


@pytest.mark.parametrize("name", SEQUENCES)
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
        ({"limits": {}}, "no setting is selected"),
        ({"limits": {"flip_angle": (0.1, 1.0)}}, "Spin echo has no setting 'flip_angle'"),
        ({"limits": {"echo_time": (0.1, 0.1)}}, r"Echo time \(TE\): the lower limit must be below"),
        ({"tissues": (WM, replace(WM, t1=math.nan))}, "'WM' holds no voxel"),
        ({"nulled": CSF}, "Spin echo cannot null a tissue"),
        ({"sequence": UserEquation(text="PD * exp(-TE/T2)")}, "has no TR"),
        ({"nulled": CSF, "sequence": DoubleInversionRecovery.from_typical()}, "cannot null a tissue"),
        (
            {"sequence": T2Flair.from_typical(), "nulled": CSF, "limits": {"inversion_time": (1, 2)}},
            "follows from",
        ),
        ({"limits": {"refocusing_angle": (1.0, 3.0)}}, "Spin echo has no setting 'refocusing_angle'"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, object], message: str) -> None:
    usual = {"sequence": SpinEcho.from_typical(), "tissues": (WM, CSF), "limits": {"echo_time": (0.01, 0.1)}}
    with pytest.raises(ValueError, match=message):
        DesignProblem(**(usual | options))  # type: ignore[arg-type]


def test_limits_without_contrast_are_refused() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, WM), limits={"echo_time": (0.005, 0.1)})
    with pytest.raises(ValueError, match="no settings within the limits"):
        best_found(problem)
