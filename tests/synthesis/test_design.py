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
from napari_swig_qmri.progress import drained, mapped
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


@pytest.fixture(scope="module")
def fractions() -> list[float]:
    """Progress reports of `spin_echo_design`."""
    return []


@pytest.fixture(scope="module")
def spin_echo_design(fractions: list[float]) -> Design:
    """TE and TR of a spin echo for white matter and a lesion."""
    limits = {"echo_time": (0.005, 0.3), "repetition_time": (0.2, 5.0)}
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, LESION), limits=limits)
    return drained(mapped(optimise(problem), lambda step: fractions.append(step.fraction)))


def peak_between(short: float, long: float) -> float:
    """Time at which exp(-t/short) and exp(-t/long) differ most, where their derivatives are equal."""
    return math.log(long / short) * short * long / (long - short)


ERNST = math.acos(math.exp(-0.02 / 0.8))
SPGR_TEXT = "PD * sin(FA) * (1 - exp(-TR/T1)) / (1 - cos(FA) * exp(-TR/T1)) * exp(-TE/T2)"


@pytest.mark.parametrize(
    ("sequence", "other", "setting", "limits", "by_hand"),
    [
        (Spgr.from_typical(), AIR, "flip_angle", (0.02, math.pi / 2), ERNST),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                # d/dTR [(1 - exp(-x)) / sqrt(x)] = 0 where exp(x) = 1 + 2 x: x = TR / T1 = 1.2564
                (SpinEcho(echo_time=0.01, repetition_time=0.3), AIR, "repetition_time", (0.05, 10.0), 1.2564 * 0.8),
                (
                    SpinEcho(echo_time=0.02, repetition_time=3.0),
                    *(replace(WM, t2=0.16), "echo_time", (0.005, 0.4), peak_between(0.07, 0.16)),
                ),
                (
                    PhaseSensitiveInversionRecovery(echo_time=0.0, repetition_time=60.0, inversion_time=0.4),
                    *(replace(WM, t1=1.3), "inversion_time", (0.05, 5.0), peak_between(0.8, 1.3)),
                ),
                (
                    UserEquation(text=SPGR_TEXT, echo_time=0.003, repetition_time=0.02, flip_angle=0.3),
                    *(AIR, "flip_angle", (0.02, 1.5), ERNST),
                ),
            ]
        ),
    ],
)
def test_the_optimum_is_the_one_worked_out_by_hand(
    sequence: Contrast, other: TissueValues, setting: str, limits: tuple[float, float], by_hand: float
) -> None:
    design = best_found(DesignProblem(sequence=sequence, tissues=(WM, other), limits={setting: limits}))
    assert getattr(design.sequence, setting) == pytest.approx(by_hand, rel=1e-3)
    assert design.landscape is None
    assert design.at_limit == ()


TE, TR, TI, TI2 = "echo_time", "repetition_time", "inversion_time", "second_inversion_time"
FA, FA2 = "flip_angle", "second_flip_angle"


# Steps of the grid leave 5 per cent; what a search finds may be better than that, never worse.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sequence", "tissues", "limits", "n"),
    [
        (TurboSpinEcho.from_typical(), (GM, LESION), {TE: (0.01, 0.16), TR: (0.5, 9.0)}, 12),
        (T2Flair.from_typical(), (WM, LESION), {TE: (0.02, 0.16), TR: (5, 12), TI: (1.0, 3.0)}, 14),
        (Mprage.from_typical(), (WM, GM), {TR: (1.5, 4.0), TI: (0.65, 2.0), FA: (0.03, 0.4)}, 14),
        (Mp2rageUni.from_typical(), (WM, GM), {FA: (0.03, 0.2), FA2: (0.03, 0.2)}, 30),
        (Mp2rageUni.from_typical(), (WM, GM), {TI: (0.65, 1.2), TI2: (1.9, 4.0), FA: (0.03, 0.2)}, 14),
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


@pytest.mark.slow
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


def test_the_landscape_peaks_at_the_optimum_and_has_gaps(spin_echo_design: Design) -> None:
    design, landscape = spin_echo_design, spin_echo_design.landscape
    assert landscape is not None
    heights, (first, second) = landscape.efficiency, landscape.values
    assert heights.shape == (len(first), len(second))
    assert {len(first), len(second)} <= {N_LANDSCAPE - 1, N_LANDSCAPE}
    assert np.isnan(heights[-1, 0])  # TE 300 ms, TR 200 ms
    assert np.nanmax(heights) == pytest.approx(design.efficiency)
    row, column = np.unravel_index(np.nanargmax(heights), heights.shape)
    assert first[row] == pytest.approx(design.sequence.echo_time)
    assert second[column] == pytest.approx(design.sequence.repetition_time)
    assert first[0] < 0.012
    assert first[-1] > 0.29
    assert design.efficiency > design.present_efficiency


@pytest.mark.slow
def test_a_landscape_zooms_in_on_what_is_possible() -> None:
    # the block of 176 x 7 ms leaves TI 0.616 s and more, and 1.684 s and less in TR 2.3 s
    problem = DesignProblem(sequence=Mprage.from_typical(), tissues=(WM, GM), limits={TI: (0.1, 20.0), FA: (0.05, 0.3)})
    landscape = best_found(problem).landscape
    assert landscape is not None
    assert landscape.values[0][0] > 0.1
    assert landscape.values[0][-1] < 2.7
    assert np.isfinite(landscape.efficiency).mean() > 0.4  # 1.07 of 19.9 s over all limits


@pytest.mark.slow
def test_a_setting_at_its_limit_is_named() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, AIR), limits={"echo_time": (0.005, 0.1)})
    design = best_found(problem)
    assert design.sequence.echo_time == pytest.approx(0.005)
    assert design.at_limit == ("echo_time",)


@pytest.mark.parametrize("name", SEQUENCES)
def test_default_limits_hold_the_usual_settings(name: str) -> None:
    sequence = SEQUENCES[name].from_typical()
    for setting, (low, high) in default_limits(sequence).items():
        assert low <= getattr(sequence, setting) <= high


def test_progress_rises(spin_echo_design: Design, fractions: list[float]) -> None:
    assert spin_echo_design
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
def test_impossible_problems_are_refused(options: dict[str, object], message: str) -> None:
    usual = {"sequence": SpinEcho.from_typical(), "tissues": (WM, CSF), "limits": {"echo_time": (0.01, 0.1)}}
    with pytest.raises(ValueError, match=message):
        DesignProblem(**(usual | options))  # type: ignore[arg-type]


@pytest.mark.slow
def test_limits_without_contrast_are_refused() -> None:
    problem = DesignProblem(sequence=SpinEcho.from_typical(), tissues=(WM, WM), limits={"echo_time": (0.005, 0.1)})
    with pytest.raises(ValueError, match="no settings within the limits"):
        best_found(problem)
