"""Table of values, and the colours of labels in it."""

from __future__ import annotations

from dataclasses import replace

from pytestqt.qtbot import QtBot

from napari_swig_qmri._napari.inspect.value_table import Row, ValueTable


def test_the_table_is_as_high_as_its_rows(qtbot: QtBot) -> None:
    table = ValueTable()
    qtbot.addWidget(table)
    plain = Row(("Pin 1", "0.700", "800", "70.0", "0.300"), "#e69f00")
    table.show_rows([plain])
    low = table.height()
    table.show_rows([plain, plain])
    assert table.height() == low + table.rowHeight(0)
    table.show_rows([replace(plain, texts=("Pin 1", "0.700", "800\n± 12", "70.0", "0.300")), plain])
    assert table.rowHeight(0) > table.rowHeight(1)
    assert table.text().splitlines()[-1] == "Pin 1\t0.700\t800\t70.0\t0.300"
    table.show_rows([])
    assert table.isHidden()
