"""Names and sidecars are shown as they are: Qt takes none of them for HTML, and loads no file that they name."""

from __future__ import annotations

import ast

import pytest
from paths import PACKAGE
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument

from napari_swig_qmri._napari.parts.appearance import Foldable, heading, wrapped_label
from napari_swig_qmri._napari.parts.plots import Plot, name_axes
from napari_swig_qmri.data.wording import for_qt

NAMES = ["<b>bold</b>", '<img src="file:///x.png">', "a &lt; b", "T1 < 2 & T2 > 1", "<a href='x'>y</a>\nsecond", "<qt>"]


def shown(text: str) -> str:
    """Text that Qt shows for a tool tip or an axis."""
    document = QTextDocument()
    if Qt.mightBeRichText(text):
        document.setHtml(text)
    else:
        document.setPlainText(text)
    return document.toPlainText()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are(qtbot: QtBot, name: str) -> None:
    assert shown(for_qt(name)) == name
    for label in (wrapped_label(name), heading(name)):
        qtbot.addWidget(label)
        assert label.textFormat() == Qt.TextFormat.PlainText
        assert label.text() == name
    fold = Foldable(name, wrapped_label(name))
    qtbot.addWidget(fold)
    assert shown(fold.button.toolTip()) == name
    plot = Plot()
    qtbot.addWidget(plot)
    name_axes(plot, name, "y")
    assert plot.getAxis("bottom").label.toPlainText().strip() == name


def test_labels_with_texts_of_others_come_from_one_place() -> None:
    """Other modules make labels only of constants, or of texts of their own that are listed here."""
    own = {"QLabel(SCREEN_UNITS[limits.parameter.metadata['unit']][1])", "QLabel(quantity)"}
    found = {
        ast.unparse(call)
        for path in PACKAGE.joinpath("_napari").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "QLabel" and path.name != "appearance.py"
        if not all(isinstance(each, ast.Constant) for each in call.args)
    }
    assert found == own
