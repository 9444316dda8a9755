"""Find the settings of a sequence that show two regions apart best, and draw how contrast depends on two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_swig_qmri._napari.parts.acquisition import SCREEN_UNITS, on_screen
from napari_swig_qmri._napari.parts.appearance import form, sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox
from napari_swig_qmri._napari.parts.plots import draw_landscape, name_axes, new_plot
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri.evaluation.regions import mean_tissue, surroundings
from napari_swig_qmri.physics.nulling import NULLED_TISSUES
from napari_swig_qmri.physics.sequence import short_label
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.spin_echoes import EchoTrain
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.synthesis.curves import TissueValues, signals
from napari_swig_qmri.synthesis.design import DesignProblem, can_null, default_limits, design_settings, optimise

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from dataclasses import Field

    from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps
    from napari_swig_qmri.evaluation.regions import Regions
    from napari_swig_qmri.physics.sequence import Contrast
    from napari_swig_qmri.progress import Progress
    from napari_swig_qmri.synthesis.design import Design

    Optimiser = Callable[..., Generator[Progress, None, Design]]

CSF = TissueValues(name="CSF", pd=1.0, t1=NULLED_TISSUES["CSF"].t1[3.0], t2=2.0)  # to null where no region is fluid
SURROUNDINGS = -1  # stands for the voxels around the first region where a label is chosen
NEEDS_REGIONS = "Open maps, and paint a region or two in a labels layer."
NEEDS_TWO = "Choose another region to show this one against."
MODEL = (
    "Contrast-to-noise per √time: |S₁ − S₂| / √(TR / lines per TR), for equal noise in every line of k-space and "
    "no dead time."
)
MORE = {  # by what a sequence has
    "T2": " Gradient echoes decay with T2*, or with T2 without a map of it.",
    "ratio": " Noise of the UNI image follows from that of both its images, 0.1 % of the larger PD each.",
    "typed": " A typed equation counts as one image, played out in its TR.",
    "train": " Heating by the refocusing pulses sets no limit: that of their angle is yours.",
}
NOTICEABLE = 1.005  # times as good; less is no gain
FORESHORTENED = "{settings} ended at a limit: widen it to go further."


@dataclass(frozen=True, eq=False)
class Areas:
    """Maps and the labelled voxels on their grid."""

    maps: QuantitativeMaps
    regions: Regions
    t2star: FloatArray | None = None  # in s

    def tissue(self, label: int, of: int) -> TissueValues:
        """Mean of a region; the median around region `of` for its surroundings, so that fluid there counts little."""
        if label != SURROUNDINGS:
            return mean_tissue(self.maps, self.regions[label], f"Label {label}", t2star=self.t2star)
        around = surroundings(self.regions[of], self.maps.grid)
        return mean_tissue(self.maps, around, f"Around label {of}", t2star=self.t2star, robust=True)


class LimitRow:
    """One setting: whether it moves, and between which limits, in ms or degrees."""

    def __init__(self, parameter: Field[Any], limits: tuple[float, float], *, moves: bool) -> None:
        self.parameter = parameter
        unit = SCREEN_UNITS[parameter.metadata["unit"]][1]
        self.box = QCheckBox(short_label(parameter).removesuffix(" angle"))
        self.box.setToolTip(f"{parameter.metadata['label']}: let it move between these limits")
        self.box.setChecked(moves)
        self.unit = QLabel(unit)
        self.ends = tuple(_spin_box(on_screen(parameter, end)) for end in limits)
        self._exact = tuple((end.value(), exact) for end, exact in zip(self.ends, limits, strict=True))
        self.box.toggled.connect(self._enable)
        self._enable(moves)

    def limits(self) -> tuple[float, float]:
        """Lowest and highest setting in s or rad."""
        low, high = (
            exact if end.value() == shown else end.value() / on_screen(self.parameter, 1.0)
            for end, (shown, exact) in zip(self.ends, self._exact, strict=True)
        )
        return low, high

    def _enable(self, moves: bool) -> None:
        for end in self.ends:
            end.setEnabled(moves)


class DesignPanel(QWidget):
    """Two regions, limits, a run in the background, and its outcome; `optimiser` stands in for `optimise`."""

    settings_wanted = Signal(object)  # the sequence that was found is to be used
    image_wanted = Signal(object)  # its image is to be shown

    def __init__(self, optimiser: Optimiser = optimise) -> None:
        super().__init__()
        self._optimiser = optimiser
        self._sequence: Contrast | None = None
        self._areas: Callable[[], Areas] | None = None
        self._design: Design | None = None
        self._problem: DesignProblem | None = None  # of the search that ran last
        self.rows: dict[str, LimitRow] = {}
        self.first = ChoiceBox(tooltip="The region to show")
        self.second = ChoiceBox(tooltip="What to show it against; the surroundings lie 1 to 6 mm from it")
        self.nulled = ChoiceBox(
            none="nothing",
            tooltip="A region, or CSF, that is to have no signal: the inversion time follows TR and train",
        )
        self.plane = ChoiceBox(tooltip="The two settings of the picture")
        self.grid = QGridLayout()
        stays = "The settings stay as they are."
        self.run = RunPanel("Find the best settings", "Search settings within the limits", unchanged=stays)
        self.answer = wrapped_label()
        self.use_button = QPushButton("Use these settings")
        self.use_button.setToolTip("Show the signal curves of the settings that were found")
        self.show_button = QPushButton("Show this contrast")
        self.show_button.setToolTip("Add the image that the maps would give with the settings that were found")
        self._use_row = QWidget()
        self.plot = new_plot("", "")
        self.model = wrapped_label(MODEL, role="note")
        self._form = form()
        self._lay_out()
        self.first.changed.connect(self._check)
        self.second.changed.connect(self._check)
        self.nulled.changed.connect(self._check)
        self.run.requested.connect(self.start)
        self.run.succeeded.connect(self._show)
        self.use_button.clicked.connect(lambda: self._pass_on(self.settings_wanted))
        self.show_button.clicked.connect(lambda: self._pass_on(self.image_wanted))
        self.show_areas([], None)

    def show_sequence(self, sequence: Contrast | None) -> None:
        """Take over a sequence; another kind of sequence brings its own settings and limits."""
        before, self._sequence = self._sequence, sequence
        if sequence is not None and (
            type(sequence) is not type(before) or list(self.rows) != list(design_settings(sequence))
        ):
            self._fill_rows(sequence)
            set_text(self.model, _model(sequence))
            self._check()
            self.plane.choose(("flip_angle", "second_flip_angle"))  # of MP2RAGE; others are confined by folds
            self._forget()
        self._form.setRowVisible(self.nulled.native, can_null(sequence))
        if not can_null(sequence):
            self.nulled.choose(None)
        self._check()

    def show_areas(self, labels: Sequence[int], areas: Callable[[], Areas] | None) -> None:
        """Offer these labels; `areas` reads maps and voxels when a run starts."""
        self._areas = areas
        named = [(f"label {label}", label) for label in labels]
        self.first.set_choices(named)
        self.second.set_choices([*named, ("its surroundings", SURROUNDINGS)] if named else [])
        if self.second.value == self.first.value:
            others = [label for label in labels if label != self.first.value]
            self.second.choose(others[0] if others else SURROUNDINGS)
        self.nulled.set_choices([*named, (f"CSF (T1 {1e3 * CSF.t1:.0f} ms)", CSF)])
        self._check()

    def problem(self) -> DesignProblem:
        """What is asked; ValueError where it cannot be."""
        if self._areas is None or self._sequence is None:
            raise ValueError(NEEDS_REGIONS)
        areas, first, nulled = self._areas(), self.first.value, self.nulled.value
        return DesignProblem(
            sequence=self._sequence,
            tissues=(areas.tissue(first, first), areas.tissue(self.second.value, first)),
            limits={name: row.limits() for name, row in self.rows.items() if self._moves(name)},
            nulled=areas.tissue(nulled, nulled) if isinstance(nulled, int) else nulled,
        )

    def start(self) -> None:
        """Search in the background."""
        try:
            problem = self.problem()
        except ValueError as error:
            self.run.show_message(sentence(str(error)), problem=True)
            return
        self._forget()
        self._problem = problem
        self.run.start(partial(self._optimiser, problem, self.plane.value))

    def _lay_out(self) -> None:
        self._form.addRow("Show", self.first.native)
        self._form.addRow("against", self.second.native)
        self._form.addRow("Null", self.nulled.native)
        picture = form()
        picture.addRow("Picture of", self.plane.native)
        self.grid.setContentsMargins(0, 0, 0, 0)
        beside = QHBoxLayout(self._use_row)
        beside.setContentsMargins(0, 0, 0, 0)
        for button in (self.use_button, self.show_button):
            beside.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._form)
        column.addLayout(self.grid)
        column.addLayout(picture)
        for part in (self.run, self.answer, self.plot, self._use_row, self.model):
            column.addWidget(part)

    def _fill_rows(self, sequence: Contrast) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        limits, found = default_limits(sequence), design_settings(sequence)
        self.rows = {
            name: LimitRow(each, limits[name], moves=_moves_at_first(sequence, name)) for name, each in found.items()
        }
        for index, row in enumerate(self.rows.values()):
            for column, part in enumerate((row.box, row.ends[0], QLabel("to"), row.ends[1], row.unit)):
                self.grid.addWidget(part, index, column)
            row.box.toggled.connect(self._check)
        self.grid.setColumnStretch(1, 1)
        self.grid.setColumnStretch(3, 1)

    def _moves(self, name: str) -> bool:
        follows = name == "inversion_time" and self.nulled.value is not None
        return self.rows[name].box.isChecked() and not follows

    def _check(self) -> None:
        moving = [name for name in self.rows if self._moves(name)]
        if "inversion_time" in self.rows:
            self.rows["inversion_time"].box.setEnabled(self.nulled.value is None)
        names = {name: short_label(self.rows[name].parameter) for name in moving}
        self.plane.set_choices([(f"{names[a]} and {names[b]}", (a, b)) for a, b in combinations(moving, 2)])
        is_pair = self.first.value is not None and self.first.value != self.second.value
        self.run.set_ready(is_pair and bool(moving) and self._sequence is not None)
        if not self.run.is_running and self._design is None:
            self.run.show_message(NEEDS_REGIONS if self.first.value is None else "" if is_pair else NEEDS_TWO)

    def _forget(self) -> None:
        self._design = None
        set_text(self.answer, "")
        self._use_row.setVisible(False)
        self.plot.setVisible(False)

    def _show(self, design: Design) -> None:
        problem = self._problem
        if problem is None:
            return
        self._design = design
        found = design_settings(design.sequence)
        gain = _gain(design, is_nulled=problem.nulled is not None)
        limits = [short_label(found[name]) for name in design.at_limit]
        more = f" {FORESHORTENED.format(settings=' and '.join(limits))}" if limits else ""
        set_text(self.answer, f"{titled(design.sequence)}.{_brighter(design, problem)}{gain}{more}")
        self._use_row.setVisible(True)
        self.plot.setVisible(design.landscape is not None)
        if design.landscape is not None:
            self._draw(design, found)

    def _draw(self, design: Design, found: Mapping[str, Field[Any]]) -> None:
        landscape = design.landscape
        if landscape is None:
            return
        first, second = (found[name] for name in landscape.settings)
        x, y = (v * on_screen(p, 1.0) for v, p in zip(landscape.values, (first, second), strict=True))
        marks = [
            (*(on_screen(each, getattr(sequence, each.name)) for each in (first, second)), symbol)
            for sequence, symbol in ((self._sequence, "o"), (design.sequence, "star"))
            if sequence is not None
        ]
        name_axes(self.plot, _axis(first), _axis(second))
        draw_landscape(self.plot, x, y, landscape.efficiency, marks)

    def _pass_on(self, wanted: Any) -> None:
        if self._design is not None:
            wanted.emit(self._design.sequence)


def _moves_at_first(sequence: Contrast, name: str) -> bool:
    """Whether a setting has a tick: not the TE of a gradient echo, and not refocusing, which 180 degrees do best."""
    return name != "refocusing_angle" and not (sequence.is_gradient_echo and name == "echo_time")


def _model(sequence: Contrast) -> str:
    """What is made large for a sequence, in words."""
    kinds = {
        "T2": sequence.is_gradient_echo,
        "ratio": isinstance(sequence, Mp2rageUni),
        "typed": isinstance(sequence, UserEquation),
        "train": isinstance(sequence, EchoTrain),
    }
    return MODEL + "".join(MORE[kind] for kind, holds in kinds.items() if holds)


def _gain(design: Design, *, is_nulled: bool) -> str:
    """How much better the found settings are, in words."""
    if not design.present_efficiency > 0:
        return ""
    ratio = design.efficiency / design.present_efficiency
    present = "present settings with that null" if is_nulled else "present settings"
    if ratio < NOTICEABLE:
        return f" The {present} are as good (○; ★ the best)."
    return f" {ratio:.3g} times the contrast-to-noise per √time of the {present} (○; ★ the best)."


def _brighter(design: Design, problem: DesignProblem) -> str:
    """Which of the two regions is the brighter one, in words; one without a PD has no signal."""
    first, second = np.nan_to_num(signals(design.sequence, problem.tissues))
    return f" {problem.tissues[int(second > first)].name} is the brighter one." if first != second else ""


def titled(sequence: Contrast) -> str:
    """Title of a sequence with the settings that a search may move."""
    found = design_settings(sequence)
    return f"{sequence.title}: {', '.join(_said(each, getattr(sequence, name)) for name, each in found.items())}"


def _said(parameter: Field[Any], value: float) -> str:
    unit = SCREEN_UNITS[parameter.metadata["unit"]][1]
    space = "" if unit == "°" else " "
    return f"{short_label(parameter)} {on_screen(parameter, value):.4g}{space}{unit}"


def _axis(parameter: Field[Any]) -> str:
    return f"{short_label(parameter)} ({SCREEN_UNITS[parameter.metadata['unit']][1]})"


def _spin_box(value: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0, 1e6)
    box.setDecimals(max(0, 2 - math.floor(math.log10(max(value, 0.1)))))
    box.setValue(value)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # they would cover the numbers in a narrow dock
    box.setStyleSheet("QDoubleSpinBox { min-width: 36px; padding: 1px 4px; }")
    return box
