"""Texts of durations and costs."""

from __future__ import annotations

from napari_swig_qmri.data.wording import cost_text, duration_text


def test_durations_are_rounded() -> None:
    shown = [duration_text(seconds) for seconds in (0.2, 12.4, 89, 150, 12600)]
    assert shown == ["1 s", "12 s", "89 s", "2 min", "3.5 h"]


def test_a_cost_is_one_sentence() -> None:
    assert cost_text(4.2, 600_000_000) == "Takes about 4 s and 0.6 GB of memory."
