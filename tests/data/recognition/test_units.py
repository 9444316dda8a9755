"""Units of maps: detection from sidecar, header and values, conversion, and notices."""

from __future__ import annotations

import numpy as np
import pytest
from volume_cases import volume

from napari_swig_qmri.data.recognition.evidence import Evidence
from napari_swig_qmri.data.recognition.units import (
    UNIT_FACTORS,
    cut_off,
    display_unit,
    find_unit,
    in_file_unit,
    rounded,
    with_kind,
)

MEDIANS = {"T1map": 1.0, "T2map": 0.08, "T2starmap": 0.05, "R1map": 1.0, "R2map": 12.0, "R2starmap": 20.0}


def plausible(suffix: str) -> np.ndarray:
    """Values in the range of tissue, in s, 1/s or fractions of the flip angle."""
    return np.linspace(0.8, 1.2, 60, dtype=np.float32).reshape(5, 4, 3) * np.float32(MEDIANS.get(suffix, 0.9))


def found(suffix: str, values: np.ndarray, **evidence: object) -> tuple[str | None, str]:
    unit, notices = find_unit(suffix, Evidence(stem="x", values=values, **evidence))  # type: ignore[arg-type]
    return unit, " ".join(notices)


@pytest.mark.parametrize(
    ("suffix", "units"),
    [
        ("T1map", ("s", "ms", "0.1 ms", "us")),
        ("T2map", ("s", "ms", "us")),
        ("T2starmap", ("s", "ms", "us")),
        ("R1map", ("1/s", "1/ms", "mHz")),
        ("R2map", ("1/s", "1/ms", "mHz")),
        ("R2starmap", ("1/s", "1/ms", "mHz")),
        ("TB1map", ("arbitrary", "percent")),
    ],
)
def test_the_size_of_the_values_tells_the_unit(suffix: str, units: tuple[str, ...]) -> None:
    for unit in units:
        guessed, notice = found(suffix, plausible(suffix) / UNIT_FACTORS[unit][1])
        assert guessed == unit
        assert "the size of the values" in notice
    assert found(suffix, np.zeros((2, 2, 2)))[0] == units[0]  # without values the unit of BIDS


@pytest.mark.parametrize(
    ("suffix", "written", "unit"),
    [("T1map", "s", "s"), ("T1map", "milliseconds", "ms"), ("T1map", "msec", "ms"), ("R2map", "Hz", "1/s")],
)
def test_a_declared_unit_is_used_without_a_word(suffix: str, written: str, unit: str) -> None:
    values = plausible(suffix) / UNIT_FACTORS[unit][1]
    assert found(suffix, values, sidecar={"Units": written}) == (unit, "")


def test_a_declared_unit_is_kept_but_doubted() -> None:
    unit, notice = found("T1map", 1000 * plausible("T1map"), sidecar={"Units": "s"})
    assert unit == "s"
    assert "look like ms" in notice
    assert "do not fit a T1map" in found("T1map", plausible("T1map"), sidecar={"Units": "Hz"})[1]


def test_the_header_takes_precedence_over_the_values() -> None:
    assert found("T1map", plausible("T1map"), header_text="relaxation time in ms")[0] == "ms"
    assert found("T1map", plausible("T1map"), header_text="3T SE TR 600 ms TE=12ms")[0] == "s"  # settings are no units


def test_a_unit_given_by_the_user_takes_precedence_over_all() -> None:
    declared = {"sidecar": {"Units": "s"}, "time_unit": "ms"}
    assert found("T1map", plausible("T1map"), **declared) == ("ms", "")
    assert found("R1map", plausible("R1map"), **declared) == ("1/ms", "")
    assert found("PDmap", plausible("PDmap"), **declared)[0] == "arbitrary"
    assert found("T1map", plausible("T1map"), default_unit="ms") == ("ms", "")
    assert found("T1map", plausible("T1map"), default_unit="ms", sidecar={"Units": "s"})[0] == "s"
    assert found("T1w", plausible("T1w"), **declared) == (None, "")


def test_a_t2_possibly_in_tenths_of_a_ms_is_doubted() -> None:
    unit, notice = found("T2map", 1e4 * plausible("T2map"))
    assert unit == "ms"
    assert 'put "Units": "0.1 ms" into its sidecar' in notice
    assert found("T2map", 1e4 * plausible("T2map"), sidecar={"Units": "0.1 ms"})[0] == "0.1 ms"


def test_clipped_maps_are_reported() -> None:
    t1 = np.concatenate([np.linspace(800, 1400, 800), np.linspace(4000, 5000, 200)])
    notice = "Cut off at 4000 ms: 20.0 % of its voxels have exactly this value, the largest."
    assert cut_off("T1map", np.minimum(t1, 4000), "ms") == (notice,)
    assert cut_off("T1map", t1, "ms") == ()
    assert cut_off("T1map", np.minimum(t1, 1200), "ms") == ()  # below two medians
    assert cut_off("PDmap", np.minimum(t1, 4000), "arbitrary") == ()


@pytest.mark.parametrize("unit", UNIT_FACTORS)
def test_conversion_to_and_from_the_unit_of_the_file(unit: str) -> None:
    base, factor = UNIT_FACTORS[unit]
    suffix = {"s": "T1map", "1/s": "R1map", "arbitrary": "PDmap"}[base]
    converted = with_kind(volume(data=plausible(suffix) / np.float32(factor)), suffix, unit)
    np.testing.assert_allclose(converted.data, plausible(suffix), rtol=1e-6)
    np.testing.assert_allclose(in_file_unit(converted), plausible(suffix) / factor, rtol=1e-6)
    assert (converted.unit, converted.file_unit) == (base, unit)
    assert display_unit(converted) == (("ms", 1e3) if base == "s" else (base, 1.0))


def test_kind_and_unit_can_be_corrected() -> None:
    wrong = volume(data=plausible("T1map"), suffix="T1map", unit="s", file_unit="s")
    corrected = with_kind(wrong, "T1map", "ms")
    np.testing.assert_allclose(corrected.data, plausible("T1map") / 1000, rtol=1e-6)
    as_image = with_kind(corrected, "T1w")
    np.testing.assert_allclose(as_image.data, plausible("T1map"), rtol=1e-6)
    assert as_image.unit is None
    with pytest.raises(ValueError, match=r"cannot be in '1/s': choose one of s, ms"):
        with_kind(wrong, "T1map", "1/s")


def test_maps_in_coarse_whole_numbers_are_told():
    t1 = np.random.default_rng(0).lognormal(0, 0.5, (20, 20, 20))  # s
    (notice,) = rounded("T1map", np.rint(t1), "s")
    assert notice.startswith("Its values in tissue are whole numbers around 1 s")
    assert rounded("T1map", t1, "s") == rounded("T1map", np.rint(1000 * t1), "ms") == ()
    assert rounded("T1w", np.rint(t1), None) == rounded("T1map", np.ones((9, 9, 9)), "s") == ()
