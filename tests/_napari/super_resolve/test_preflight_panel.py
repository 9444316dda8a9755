"""What is shown before a run."""

from __future__ import annotations

from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from widget_cases import FakePreflight

from napari_swig_qmri._napari.super_resolve.preflight_panel import CHECKING, PreflightPanel


@pytest.fixture
def panel(qtbot: QtBot) -> PreflightPanel:
    panel = PreflightPanel()
    qtbot.addWidget(panel)
    return panel


def check(panel: PreflightPanel, qtbot: QtBot, answer: Any) -> bool:
    """Show the answer of a check, and return whether the run can start."""

    def question() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with qtbot.waitSignal(panel.checked) as checked:
        panel.ask(question)
        assert panel.cost.text() == CHECKING
        assert not panel.problems.text()
    return bool(checked.args[0])


def test_statements_and_costs_are_shown(panel: PreflightPanel, qtbot: QtBot) -> None:
    assert check(panel, qtbot, FakePreflight(("Maps 2 mm become 1 mm.",), (), 4.2, 600_000_000))
    assert "Maps 2 mm become 1 mm." in panel.statements.text()
    assert panel.cost.text() == "Takes about 4 s and 0.6 GB of memory."


def test_problems_are_shown_as_plain_text_and_forbid_a_run(panel: PreflightPanel, qtbot: QtBot) -> None:
    assert not check(panel, qtbot, FakePreflight(("LR.",), ("The guide lies <elsewhere>.",), 4.2, 600_000_000))
    assert "&lt;elsewhere&gt;" in panel.problems.text()
    assert not panel.cost.text()
    assert not check(panel, qtbot, ValueError("a guide is a weighted image."))
    assert "A guide is a weighted image." in panel.problems.text()


def test_problems_that_are_known_already_replace_a_check(panel: PreflightPanel, qtbot: QtBot) -> None:
    panel.ask(lambda: FakePreflight(("LR.",), (), 1, 1))
    panel.show_problems(["Open a map."])
    qtbot.wait(400)  # longer than the pause before a check
    assert "Open a map." in panel.problems.text()
    assert not panel.statements.text()
