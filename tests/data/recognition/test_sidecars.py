"""Signal models from sidecars as they are found in the wild, and back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from napari_swig_qmri.data.recognition.sidecars import REMEDY, field_strength_of, from_sidecar, sequence_in, to_sidecar
from napari_swig_qmri.physics.signal_models import (
    SEQUENCES,
    DoubleInversionRecovery,
    InversionRecovery,
    Mp2rageUni,
    Mprage,
    PhaseSensitiveInversionRecovery,
    SignalModel,
    Spgr,
    SpinEcho,
    Stir,
    T2Flair,
    TurboSpinEcho,
)
from napari_swig_qmri.physics.user_equation import UserEquation

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("spin-echo", {"refocused_recovery": True}),
    ("tse", {"echo_train_length": 9, "echo_spacing": 0.0123}),
    ("tse", {"refocusing_angle": math.radians(120)}),
    ("t2-flair", {"refocusing_angle": math.radians(100.5)}),
    ("ir-se", {"inversion_efficiency": 0.93}),
    ("t2-flair", {"inversion_time": 0.3}),
    ("stir", {"inversion_time": 0.9}),
    ("dir", {"inversion_time": 0.3, "second_inversion_time": 1.1}),
    ("mprage", {"n_partitions": 160, "centre_fraction": 0.25, "inversion_efficiency": 0.96}),
    ("mprage", {"n_partitions": 175, "flip_angle": math.radians(8.5)}),
    ("mp2rage-uni", {"n_partitions": 87, "second_flip_angle": math.radians(6)}),
]


def read(sidecar: dict[str, Any], suffix: str | None = None) -> SignalModel:
    model, _ = from_sidecar(sidecar, suffix)
    assert model is not None
    return model


def notices(sidecar: dict[str, Any], suffix: str | None = None) -> str:
    return " ".join(from_sidecar(sidecar, suffix)[1])


@pytest.mark.parametrize("suffix", [None, "T1w", "T2w", "FLAIR"])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sidecar_of_a_model_gives_the_model_back(name: str, suffix: str | None) -> None:
    model = SEQUENCES[name].from_typical()
    sidecar = json.loads(json.dumps(to_sidecar(model)))
    assert from_sidecar(sidecar, suffix) == (model, ())


def test_an_equation_of_a_user_is_recorded_and_is_no_sequence() -> None:
    equation = UserEquation(text="PD * exp(-TE/T2) * sin(FA)", echo_time=0.033, flip_angle=math.radians(12))
    sidecar = json.loads(json.dumps(to_sidecar(equation)))
    assert sidecar == {
        "PulseSequenceType": "User equation",
        "SignalEquation": "PD * exp(-TE/T2) * sin(FA)",
        "EchoTime": 0.033,
        "FlipAngle": 12.0,
    }
    assert from_sidecar(sidecar, "T2w")[0] is None
    assert "was computed with a user equation" in notices(sidecar, "T2w")


@pytest.mark.parametrize(("name", "changes"), CHANGES)
def test_unusual_settings_survive_the_round_trip(name: str, changes: dict[str, Any]) -> None:
    model = SEQUENCES[name].from_typical(**changes)
    assert from_sidecar(json.loads(json.dumps(to_sidecar(model))), None) == (model, ())


def test_bids_units_are_seconds_and_degrees() -> None:
    sidecar = to_sidecar(Mprage.from_typical())
    assert sidecar["EchoTime"] == 0.003
    assert sidecar["FlipAngle"] == 9.0
    assert sidecar["RepetitionTimePreparation"] == 2.3
    assert sidecar["RepetitionTimeExcitation"] == 0.007
    assert sidecar["NumberShots"] == [88, 88]
    assert to_sidecar(Mp2rageUni.from_typical())["InversionTime"] == [0.7, 2.5]


def test_refocusing_angle_has_its_own_key() -> None:
    model = TurboSpinEcho.from_typical(refocusing_angle=math.radians(150))
    assert to_sidecar(model)["RefocusingFlipAngle"] == 150.0
    assert "RefocusingFlipAngle" not in to_sidecar(TurboSpinEcho.from_typical())
    excited = {**to_sidecar(TurboSpinEcho.from_typical()), "FlipAngle": 90}
    assert read(excited, "T2w") == TurboSpinEcho.from_typical()
    impossible = from_sidecar({**to_sidecar(model), "RefocusingFlipAngle": 270}, "T2w")
    assert impossible[0] is None
    assert "Refocusing angle must be between 0.1 degrees and 180 degrees" in impossible[1][-1]


def test_complete_sidecars_need_no_word() -> None:
    spin_echo = {"RepetitionTime": 0.6, "EchoTime": 0.012, "SequenceName": "SE", "ScanningSequence": "SE"}
    assert from_sidecar(spin_echo, "T1w") == (SpinEcho(echo_time=0.012, repetition_time=0.6), ())
    assert from_sidecar({**spin_echo, "RepetitionTime": 5.0, "EchoTime": 0.09}, "T2w") == (
        SpinEcho(echo_time=0.09, repetition_time=5.0),
        (),
    )
    flair = {
        "RepetitionTime": 9.0,
        "EchoTime": 0.12,
        "InversionTime": 2.5,
        "SequenceName": "IR-TSE",
        "ScanningSequence": ["SE", "IR"],
        "EchoTrainLength": 16,
        "EchoSpacing": 0.01,
    }
    expected = T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.5)
    assert from_sidecar(flair, "FLAIR") == (expected, ())


VENDORS: list[tuple[dict[str, Any], str | None, type[SignalModel]]] = [
    ({"SequenceName": "*tfl3d1_16ns", "ScanningSequence": "GR\\IR"}, "T1w", Mprage),
    ({"SequenceName": "*tfl3d1_16ns", "ProtocolName": "mp2rage_sag", "ImageType": ["UNI"]}, None, Mp2rageUni),
    ({"SeriesDescription": "Sag 3D BRAVO"}, "T1w", Mprage),
    ({"ProtocolName": "sT1W_3D_TFE"}, "T1w", Mprage),
    ({"ScanningSequence": "GR", "InversionTime": 0.45, "PulseSequenceName": "EFGRE3D"}, "T1w", Mprage),
    ({"ScanningSequence": "GR", "SequenceVariant": "SK_SP_MP", "RepetitionTime": 0.008}, "T1w", Mprage),
    ({"SequenceName": "*fl3d1"}, "T1w", Spgr),
    ({"ProtocolName": "Ax 3D FSPGR"}, "T1w", Spgr),
    ({"ProtocolName": "T1W_FFE"}, "T1w", Spgr),
    ({"ScanningSequence": ["GR"]}, "T1w", Spgr),
    ({"SequenceName": "*tse2d1_16", "ScanningSequence": "SE", "EchoTrainLength": 16}, "T2w", TurboSpinEcho),
    ({"SequenceName": "*spc_282ns", "EchoTrainLength": 282, "RepetitionTime": 3.2}, "T2w", TurboSpinEcho),
    ({"ScanningSequence": "SE", "EchoTrainLength": 8}, "T2w", TurboSpinEcho),
    ({"ProtocolName": "T2W_TSE_ax"}, "T2w", TurboSpinEcho),
    ({"SeriesDescription": "Ax T2 FSE"}, None, TurboSpinEcho),
    ({"SequenceName": "*spcir_278ns", "InversionTime": 1.8, "RepetitionTime": 6.0}, "FLAIR", T2Flair),
    ({"SequenceName": "*tir2d1_16", "InversionTime": 2.37}, None, T2Flair),
    ({"SequenceName": "*tir2d1_16", "InversionTime": 0.18}, None, Stir),
    ({"SeriesDescription": "Ax FRFSE-XL"}, None, TurboSpinEcho),
    ({"ScanningSequence": "GR", "PulseSequenceDetails": "k-space offset, spoiled"}, None, Spgr),
    ({"ScanningSequence": "SE", "PulseSequenceDetails": "k-space offset corrected"}, None, SpinEcho),
    ({"SeriesDescription": "Cor STIR"}, None, Stir),
    ({"SeriesDescription": "3D CUBE T2 FLAIR"}, None, T2Flair),
    ({"ProtocolName": "3D_DIR_GM"}, None, DoubleInversionRecovery),
    ({"ProtocolName": "t2_tse_dir-AP"}, None, TurboSpinEcho),
    ({"ProtocolName": "PSIR_ax"}, None, PhaseSensitiveInversionRecovery),
    ({"ScanningSequence": "SE_IR", "InversionTime": 0.4}, None, InversionRecovery),
    ({"SequenceName": "*se2d1"}, "T1w", SpinEcho),
    ({"SeriesDescription": "TrueFISP sag"}, None, SEQUENCES["bssfp"]),
    ({"SeriesDescription": "FIESTA-C"}, None, SEQUENCES["bssfp"]),
    ({"ProtocolName": "B-FFE"}, None, SEQUENCES["bssfp"]),
]


@pytest.mark.parametrize(("sidecar", "suffix", "sequence"), VENDORS)
def test_vendors_names_are_understood(sidecar: dict[str, Any], suffix: str | None, sequence: type[SignalModel]) -> None:
    assert type(read(sidecar, suffix)) is sequence


@pytest.mark.parametrize(
    ("suffix", "sequence"),
    [
        ("T1w", SpinEcho),
        ("T2w", TurboSpinEcho),
        ("PDw", TurboSpinEcho),
        ("inplaneT1", SpinEcho),
        ("inplaneT2", TurboSpinEcho),
        ("FLAIR", T2Flair),
        ("UNIT1", Mp2rageUni),
        ("T2starw", Spgr),
    ],
)
def test_suffix_alone_gives_a_typical_sequence_and_says_so(suffix: str, sequence: type[SignalModel]) -> None:
    model, said = from_sidecar({}, suffix)
    assert type(model) is sequence
    assert f"EchoTime ({1e3 * model.echo_time:g} ms), RepetitionTime" in said[-1]
    assert f"are missing from {suffix} and were assumed; if wrong, {REMEDY}." in said[-1]


def test_t1w_of_unnamed_sequence_is_told_by_its_times() -> None:
    assert type(read({"RepetitionTime": 0.02, "EchoTime": 0.003}, "T1w")) is Spgr
    assert type(read({"RepetitionTime": 2.3, "EchoTime": 0.003}, "T1w")) is Mprage
    assert type(read({"RepetitionTime": 0.5, "EchoTime": 0.012}, "T1w")) is SpinEcho
    assert type(read({"InversionTime": 0.9}, "T1w")) is Mprage
    assert "T1w is not named: Spin echo was assumed" in notices({"RepetitionTime": 0.5, "EchoTime": 0.012}, "T1w")


def test_missing_echo_train_is_assumed_and_said() -> None:
    sidecar = {"EchoTime": 0.09, "RepetitionTime": 5.0, "SequenceName": "tse"}
    assert from_sidecar(sidecar, "T2w") == (
        TurboSpinEcho(echo_time=0.09, repetition_time=5.0),
        (f"EchoTrainLength (16), EchoSpacing (10 ms) are missing from T2w and were assumed; if wrong, {REMEDY}.",),
    )


def test_assumed_settings_fit_the_given_ones() -> None:
    long_echo = read({"EchoTime": 0.25, "RepetitionTime": 5.0, "SequenceName": "tse"}, "T2w")
    assert long_echo == TurboSpinEcho(echo_time=0.25, repetition_time=5.0, echo_train_length=25)
    space = read({"EchoTime": 0.564, "RepetitionTime": 3.2, "EchoTrainLength": 282, "SequenceName": "spc"})
    assert space == TurboSpinEcho(echo_time=0.564, repetition_time=3.2, echo_train_length=282, echo_spacing=0.004)
    bravo = read({"RepetitionTime": 0.008, "EchoTime": 0.003, "InversionTime": 0.45, "ProtocolName": "BRAVO"})
    assert bravo == Mprage.from_typical(
        inversion_time=0.45, n_partitions=112, echo_spacing=0.008, flip_angle=math.radians(9)
    )


def test_missing_inversion_time_is_the_nulling_time() -> None:
    flair, said = from_sidecar({"RepetitionTime": 9.0, "EchoTime": 0.12}, "FLAIR")
    assert flair == T2Flair(echo_time=0.12, repetition_time=9.0, inversion_time=2.415)
    assert "InversionTime (2415 ms)" in said[0]


IN_MS = TurboSpinEcho(echo_time=0.09, repetition_time=5.0, echo_train_length=9)
NAMED = {"SequenceName": "tse", "EchoTrainLength": 9, "EchoSpacing": 0.01}


@pytest.mark.parametrize(
    "times",
    [
        {"EchoTime": 90, "RepetitionTime": 5000},
        {"EchoTime": "90", "RepetitionTime": "5000"},
        {"EchoTime": 0.09, "RepetitionTime": 5000},  # a file of two minds
        {"EchoTime": 90.0, "RepetitionTime": 5},
        {"EchoTime": [90], "RepetitionTime": [5000.0], "EchoSpacing": 10},
    ],
)
def test_times_that_are_impossible_in_seconds_are_ms_and_said_so(times: dict[str, Any]) -> None:
    model, said = from_sidecar({**NAMED, **times}, "T2w")
    assert model == IN_MS
    assert len(said) == 1
    assert said[0].endswith("read as ms, because no scanner can play them out in s.")


@pytest.mark.parametrize(
    "times",
    [
        {"EchoTime": 0.09, "RepetitionTime": 5.0},
        {"EchoTime": "0.09 s", "RepetitionTime": "5 sec"},
        {"EchoTime": "90 ms", "RepetitionTime": "5000ms"},
        {"EchoTime": "90 milliseconds", "RepetitionTime": "5 seconds"},
        {"EchoTime": "0,09", "RepetitionTime": "5,0 s"},
        {"TE": 0.09, "TR": "5"},
        {"TE_ms": 90, "TR [ms]": 5000},
        {"echo_time": 0.09, "repetition time": 5},
        {"00180081": {"vr": "DS", "Value": [90]}, "(0018,0080)": "5000"},
        {"EchoTime": (0.09,), "RepetitionTime": 5.0, "InversionTime": 0},
        {"EchoTime": 0.09, "RepetitionTime": 5.0, "FlipAngle": "180"},
    ],
)
def test_written_units_and_spellings_are_read_without_a_word(times: dict[str, Any]) -> None:
    assert from_sidecar({**NAMED, **times}, "T2w") == (IN_MS, ())


def test_flip_angles_are_degrees_and_counts_are_counts_even_in_a_file_in_ms() -> None:
    sidecar = {"00180081": 3, "00180080": 20, "00181314": {"Value": ["15"]}, "00180020": {"Value": ["GR"]}}
    assert read(sidecar) == Spgr(echo_time=0.003, repetition_time=0.02, flip_angle=math.radians(15))
    train = read({"00180081": "90", "00180080": "5000", "00180091": "9", "00180024": "tse"})
    assert train == IN_MS


def test_short_gradient_echo_times_in_ms_are_seen() -> None:
    sidecar = {"RepetitionTime": 8, "EchoTime": 1.9, "FlipAngle": 20, "ScanningSequence": "GR"}
    assert read(sidecar) == Spgr(echo_time=0.0019, repetition_time=0.008, flip_angle=math.radians(20))


def test_mp2rage_takes_both_blocks_from_lists() -> None:
    sidecar = {
        "RepetitionTimePreparation": 5,
        "RepetitionTimeExcitation": 0.007,
        "InversionTime": [700, 2500],
        "FlipAngle": [4, 5],
        "EchoTime": 0.003,
        "NumberShots": 176,
    }
    assert read(sidecar, "UNIT1") == Mp2rageUni.from_typical()
    assert read(sidecar, "MP2RAGE") == Mp2rageUni.from_typical()


def test_image_of_one_mp2rage_inversion_has_no_model() -> None:
    model, said = from_sidecar({"InversionTime": 0.7}, "MP2RAGE")
    assert model is None
    assert "use the uniform image (UNIT1) instead" in said[0]


def test_partial_fourier_shots_move_the_centre_of_k_space() -> None:
    sidecar = {**to_sidecar(Mprage.from_typical()), "NumberShots": [44, 88]}
    assert read(sidecar) == replace(Mprage.from_typical(), n_partitions=132, centre_fraction=1 / 3)


def test_unknown_image_gives_no_model_and_a_sentence() -> None:
    for sidecar in ({}, {"EchoTime": 0.09}, {"Manufacturer": "Siemens"}):
        model, said = from_sidecar(sidecar, None)
        assert model is None
        assert said == (
            f"The sequence of this image is unknown, because its sidecar has neither its name nor TR and TE: {REMEDY}.",
        )


def test_settings_that_exclude_each_other_give_no_model_and_the_reason() -> None:
    model, said = from_sidecar({"EchoTime": 0.2, "RepetitionTime": 0.1, "ScanningSequence": "SE"}, "T1w")
    assert model is None
    assert "TE 200 ms is not shorter than TR 100 ms" in said[0]


@pytest.mark.parametrize("value", ["n/a", "unknown", -0.09, "", float("nan"), float("inf"), [], {}, None, "1e999"])
def test_useless_values_are_assumed_instead(value: Any) -> None:
    model, said = from_sidecar({"EchoTime": value, "RepetitionTime": 5.0, "SequenceName": "tse"}, "T2w")
    assert model == TurboSpinEcho(echo_time=0.09, repetition_time=5.0)
    assert "EchoTime (90 ms)" in said[-1]


def test_ignored_values_and_further_values_are_mentioned() -> None:
    assert "EchoTime 'n/a' is not a positive number and was ignored." in notices({"EchoTime": "n/a"}, "T2w")
    assert "EchoTime has 2 values, of which the first was used." in notices({"EchoTime": [0.01, 0.09]}, "T2w")


@pytest.mark.parametrize("value", [True, [True], {"Value": True}])
def test_true_is_no_number(value: Any) -> None:
    sidecar = {"SequenceName": "SE", "EchoTime": 0.012, "RepetitionTime": value}
    model, told = from_sidecar(sidecar, "T1w")
    assert model == SpinEcho(echo_time=0.012, repetition_time=SpinEcho.typical["repetition_time"])
    assert any(f"RepetitionTime {value!r} is not a positive number and was ignored." in each for each in told)
    assert read({**sidecar, "RepetitionTime": 0.5, "RefocusedRecovery": False}) == replace(model, repetition_time=0.5)


def test_field_strength_is_that_on_which_sidecars_agree() -> None:
    three, text = {"MagneticFieldStrength": 3}, {"MagneticFieldStrength": "3.0"}
    assert field_strength_of({}, three, text, {"MagneticFieldStrength": "unknown"}) == 3
    assert field_strength_of(three, {"MagneticFieldStrength": 1.5}) is None
    assert field_strength_of({}) is None


NAMED_BY_FILE: dict[tuple[str, str, str], str | None] = {  # suffix, file name, header text -> sequence; None is open
    ("T1w", "t1_mprage_sag_p2_iso_5", ""): "mprage",
    ("T1w", "sub-01_acq-MPRAGE_T1w", ""): "mprage",
    ("T1w", "sT1W_3D_TFE", ""): "mprage",
    ("T1w", "t1_vibe_tra", ""): "spgr",
    ("T1w", "Ax_FSPGR_3D", ""): "spgr",
    ("T1w", "Sag_T1_BRAVO", ""): "mprage",
    ("T1w", "t1_se_tra", ""): "spin-echo",
    ("T2w", "t2_space_sag", ""): "tse",
    ("T2w", "Sag_CUBE_T2", ""): "tse",
    ("FLAIR", "t2_tirm_tra_dark-fluid", ""): "t2-flair",
    ("STIR", "scan", ""): "stir",
    ("T1w", "sub-01_T1w", "TE=3.3;TI=900;Time=101500.000"): "mprage",
    ("T1w", "anna", "3T 3D GR\\IR TR=2300ms/TE=2.98ms/FA=9deg"): "mprage",
    ("T1w", "anna", "TE=2.5;TR=8"): "spgr",
    ("T1w", "sub-01_T1w", ""): None,
    ("T1w", "sub-01_T1w", "TE=3.3"): None,
}


@pytest.mark.parametrize(("suffix", "name", "header"), NAMED_BY_FILE)
def test_file_name_and_header_tell_the_sequence_where_the_sidecar_does_not(suffix: str, name: str, header: str) -> None:
    sequence = NAMED_BY_FILE[suffix, name, header]
    assert sequence_in({}, suffix, name, header)[0] == sequence
    model, said = from_sidecar({}, suffix, name, header)
    assert any("Please check: nothing names the sequence" in each for each in said) == (sequence is None)
    if sequence:
        assert type(model) is SEQUENCES[sequence]
    if not header:
        assert sequence_in({"ScanningSequence": "SE"}, "T1w", name)[0] == "spin-echo"


def test_settings_of_the_header_fill_gaps_of_the_sidecar_and_are_told() -> None:
    model, said = from_sidecar({"RepetitionTime": 2.3}, "T1w", "anna", "TE=3.3;TI=900;FA=9")
    assert isinstance(model, Mprage)
    assert (model.echo_time, model.inversion_time, model.repetition_time) == (0.0033, 0.9, 2.3)
    assert any("EchoTime 3.3 ms, InversionTime 900 ms, FlipAngle 9.0 taken from the header" in each for each in said)
    assert read({"EchoTime": 0.002, "InversionTime": 1.1}, "T1w").echo_time == 0.002


def test_an_open_sequence_is_that_of_its_voxels() -> None:
    assert isinstance(from_sidecar({}, "T1w", is_3d=True)[0], Mprage)
    assert isinstance(from_sidecar({}, "T1w", is_3d=False)[0], SpinEcho)


def test_a_centric_order_keeps_its_zero() -> None:
    sidecar = {**to_sidecar(Mprage.from_typical()), "NumberShots": [0, 120], "InversionTime": 0.2}
    model = read(sidecar)
    assert isinstance(model, Mprage)
    assert (model.n_partitions, model.centre_fraction) == (120, 0)


def test_repetition_of_inversions_has_two_spellings() -> None:
    assert read({"RepetitionTimeInversion": 5, "InversionTime": [0.7, 2.5]}, "UNIT1").repetition_time == 5


def test_a_repetition_time_of_read_outs_is_not_called_missing():
    _, notices = from_sidecar({"RepetitionTime": 0.009, "PulseSequenceType": "MPRAGE"}, "T1w")
    assert "RepetitionTimePreparation (2300 ms)" in notices[-1]
    assert "RepetitionTime (" not in notices[-1]
