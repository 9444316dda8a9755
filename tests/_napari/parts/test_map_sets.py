"""The list of sources: ticks are kept, and sources without the maps of a sequence are disabled."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from widget_cases import HR, MEDIANS, layers_of, make_map

from napari_swig_qmri._napari.parts.map_sets import SourceList, sources_among
from napari_swig_qmri.physics.signal_models import SpinEcho, TurboSpinEcho

LR_MAPS = [make_map(suffix) for suffix in MEDIANS]
FINE_T1 = make_map("T1map", HR, name="fine T1map")


@pytest.fixture
def sources(qtbot: QtBot) -> SourceList:
    sources = SourceList()
    qtbot.addWidget(sources)
    return sources


def labels(sources: SourceList) -> list[str]:
    return [source.label for source in sources.value()]


def test_complete_sources_are_ticked_and_ticks_are_kept(sources: SourceList) -> None:
    layers = layers_of(*LR_MAPS, FINE_T1)
    sources.show_sources(*sources_among(layers))
    assert [box.text for _, box in sources.rows] == ["maps: 2 × 2 × 2 mm", "T1 only: 1 × 1 × 1 mm"]
    assert labels(sources) == ["maps"]
    assert [grid.shape for grid in sources.grids()] == [(6, 7, 5), HR.shape]
    sources.set_value(["T1 only"])
    sources.show_sources(*sources_among([*layers, *layers_of(make_map("T2map", name="another"))]))
    assert labels(sources) == ["T1 only"]


def test_sources_without_a_map_of_the_sequence_are_disabled(sources: SourceList) -> None:
    sources.show_sources(*sources_among(layers_of(*LR_MAPS, FINE_T1)))
    sources.set_value(["maps", "T1 only"])
    sources.show_sequence(SpinEcho.from_typical())
    assert labels(sources) == ["maps"]
    assert sources.rows[1][1].text.endswith("(no PD and T2)")
    sources.show_sequence(None)
    assert labels(sources) == ["maps", "T1 only"]


def test_a_hint_says_what_is_missing(sources: SourceList) -> None:
    hint = sources.layout().itemAt(0).widget()
    sources.show_sources(*sources_among([]))
    assert hint.text() == "Open PD, T1 and T2 maps that lie on one grid."
    sources.show_sources(*sources_among(layers_of(LR_MAPS[1])))
    sources.show_sequence(TurboSpinEcho.from_typical())
    assert "PD" in hint.text()
    sources.show_sources(*sources_among(layers_of(LR_MAPS[1], make_map("T2map", HR))))
    assert "not on the voxels of" in hint.text()
