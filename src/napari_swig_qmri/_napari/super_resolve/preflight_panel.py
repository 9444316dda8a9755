"""Show before a run what it will do, what it will cost and what is wrong."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import sentence, set_role, set_text, wrapped_label
from napari_swig_qmri._napari.parts.background_query import BackgroundQuery
from napari_swig_qmri._napari.parts.boxes import column
from napari_swig_qmri.data.wording import cost_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_swig_qmri.super_resolution.preflight import Preflight

CHECKING = "Checking…"
TISSUES = "WM is white matter, GM grey matter, CSF fluid. Judged by the sequences of the guides, for typical tissue."
PARAGRAPH = "margin-top: 0px; margin-bottom: 4px; margin-left: 10px; text-indent: -10px;"


def bullets(texts: Iterable[str]) -> str:
    """Sentences as an HTML list with bullets."""
    return "".join(f'<p style="{PARAGRAPH}">•&nbsp;{escape(sentence(text))}</p>' for text in texts)


def sharpness_table(sharpness: Mapping[str, Mapping[str, str]]) -> str:
    """How sharp each map can get by tissue, as a rich-text table; empty without guides."""
    if not sharpness:
        return ""
    tissues = list(next(iter(sharpness.values())))
    heads = "".join(f"<td style='padding-left: 12px'>{tissue}</td>" for tissue in tissues)
    rows = [
        f"<tr><td>{name}</td>" + "".join(f"<td style='padding-left: 12px'>{words[each]}</td>" for each in tissues)
        for name, words in sharpness.items()
    ]
    return f"How sharp each map can get:<table><tr><td></td>{heads}</tr>{'</tr>'.join(rows)}</tr></table>"


class PreflightPanel(QWidget):
    """Checks a run in the background and shows the answer; `checked` carries whether the run can start."""

    checked = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.answer: Preflight | None = None  # to the last question, once it is known
        self._query = BackgroundQuery(self)
        self._query.answered.connect(self._take)
        self._query.failed.connect(lambda problem: self.show_problems([problem]))
        self.problems = wrapped_label(role="problem")
        self.statements = wrapped_label()
        self.sharpness = wrapped_label()
        self.sharpness.setToolTip(TISSUES)
        self.cost = wrapped_label(role="note")
        for label in (self.problems, self.statements, self.sharpness, self.cost):
            label.setTextFormat(Qt.TextFormat.RichText)
        self.setLayout(column(self.problems, self.statements, self.sharpness, self.cost))

    def ask(self, check: Callable[[], Preflight]) -> None:
        """Call `check` in a thread after a pause, and show its answer."""
        self.answer = None
        set_role(self.problems, "problem")
        set_text(self.problems, "")
        set_text(self.cost, CHECKING)
        self._query.ask(check)

    def show_problems(self, problems: Iterable[str], role: str = "problem") -> None:
        """Show problems that are known without a check, in the colour of a role; a check under way is dropped."""
        self.answer = None
        set_role(self.problems, role)
        self._query.forget()
        self._show((), tuple(problems), "", {})

    def _take(self, answer: Preflight) -> None:
        self.answer = answer
        self._show(answer.statements, answer.problems, cost_text(answer.seconds, answer.memory), answer.sharpness)

    def _show(
        self,
        statements: tuple[str, ...],
        problems: tuple[str, ...],
        costs: str,
        sharpness: Mapping[str, Mapping[str, str]],
    ) -> None:
        set_text(self.problems, bullets(problems))
        set_text(self.statements, bullets(statements))
        set_text(self.sharpness, sharpness_table(sharpness))
        set_text(self.cost, "" if problems else costs)
        self.checked.emit(not problems)
