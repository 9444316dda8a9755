"""Search for the settings of a sequence that best distinguish two regions, and a plot of contrast over two settings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import Field, dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_swig_qmri._napari.inspect.limit_row import LimitRow
from napari_swig_qmri._napari.parts.appearance import sentence, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import ChoiceBox, Form, button, column, native_of, row
from napari_swig_qmri._napari.parts.plots import PlotPlace, draw_landscape, name_axes
from napari_swig_qmri._napari.parts.run_panel import RunPanel
from napari_swig_qmri._napari.parts.setting_boxes import SCREEN_UNITS, on_screen
from napari_swig_qmri.data.volumes import FloatArray, QuantitativeMaps
from napari_swig_qmri.evaluation.regions import mean_tissue, surroundings
from napari_swig_qmri.physics.nulling import NULLED_TISSUES
from napari_swig_qmri.physics.sequence import Contrast, short_label
from napari_swig_qmri.physics.signal_models import Mp2rageUni
from napari_swig_qmri.physics.spin_echoes import EchoTrain
from napari_swig_qmri.physics.user_equation import UserEquation
from napari_swig_qmri.progress import Progress
from napari_swig_qmri.synthesis.curves import TissueValues, signals
from napari_swig_qmri.synthesis.design import Design, DesignProblem, can_null, default_limits, design_settings, optimise

Optimiser = Callable[..., Generator[Progress, None, Design]]

CSF = TissueValues(name="CSF", pd=1.0, t1=NULLED_TISSUES["CSF"].t1[3.0], t2=2.0)  # to null without a region of fluid
SURROUNDINGS = -1  # label that stands for the voxels around the first region
NEEDS_REGIONS = "Open maps, and paint one or two regions in a labels layer."
NEEDS_TWO = "Choose two different regions."
MODEL = (
    "Contrast-to-noise per √time is |S₁ − S₂| / √(TR / lines per TR), for equal noise in every line of k-space and no "
    "dead time."
)
MORE = {  # by a property of the sequence
    "T2": " Gradient echoes decay with T2*, or with T2 if there is no T2* map.",
    "ratio": " The noise of the UNI image is computed from that of its two images, 0.1 % of the larger PD each.",
    "typed": " A typed equation is taken as one image per TR.",
    "train": " Heating by the refocusing pulses (SAR) is not considered: limit their angle yourself.",
}
NOTICEABLE = 1.005  # ratio of efficiencies from which settings are called better
AT_LIMIT = "{settings} reached a limit: widen it to search further."


@dataclass(frozen=True, eq=False)
class LabelledMaps:
    """Maps, and labelled regions on their grid."""

    maps: QuantitativeMaps
    regions: Mapping[int, npt.NDArray[Any]]  # flat voxel indices by label
    t2star: FloatArray | None = None  # in s

    def tissue(self, label: int, of: int) -> TissueValues:
        """Mean values of a region or, for `SURROUNDINGS`, the median around region `of`, which fluid hardly affects."""
        if label != SURROUNDINGS:
            return mean_tissue(self.maps, self.regions[label], f"Label {label}", t2star=self.t2star)
        around = surroundings(self.regions[of], self.maps.grid)
        return mean_tissue(self.maps, around, f"Around label {of}", t2star=self.t2star, robust=True)


class DesignPanel(QWidget):
    """Choice of two regions and of limits, a search in the background, and its result.

    Parameters
    ----------
    optimiser
        Function with the signature of `optimise`; tests use a quick one.
    """

    settings_wanted = Signal(object)  # the user wants to use the sequence that was found
    image_wanted = Signal(object)  # the user wants to see the image of the sequence that was found

    def __init__(self, optimiser: Optimiser = optimise) -> None:
        super().__init__()
        self._optimiser = optimiser
        self._sequence: Contrast | None = None
        self._read_maps: Callable[[], LabelledMaps] | None = None
        self._design: Design | None = None
        self._problem: DesignProblem | None = None  # of the last search
        self.limits: dict[str, LimitRow] = {}  # by name of the setting
        self.first = ChoiceBox(label="Show", tooltip="Region to show")
        self.second = ChoiceBox(
            label="against",
            tooltip="Region to distinguish it from. Its surroundings are the voxels 1 to 6 mm away from it.",
        )
        self.nulled = ChoiceBox(
            label="Null",
            none="nothing",
            tooltip="Region, or CSF, without signal. The inversion time follows TR and the echo train.",
        )
        self.plane = ChoiceBox(label="Plot of", tooltip="The two settings on the axes of the plot")
        self.run_panel = RunPanel(
            "Find the best settings",
            "Search the settings within the limits.",
            unchanged="The settings were not changed.",
        )
        self.answer = wrapped_label()
        self.use_button = button(
            "Use these settings",
            "Show the signal curves of the settings that were found.",
            partial(self._emit_sequence, self.settings_wanted),
        )
        self.show_button = button(
            "Show this contrast",
            "Add the image that the settings give.",
            partial(self._emit_sequence, self.image_wanted),
        )
        self._answer_buttons = QWidget()
        self.place = PlotPlace()
        self.model = wrapped_label(MODEL, role="note")
        self._form = Form(self.first, self.second, self.nulled)
        self._grid = QGridLayout()
        self._lay_out()
        for box in (self.first, self.second, self.nulled):
            box.changed.connect(self._update)
        self.run_panel.requested.connect(self.start)
        self.run_panel.succeeded.connect(self._show)
        self.show_regions([], None)

    def show_sequence(self, sequence: Contrast | None) -> None:
        """Search the settings of this sequence; another kind of sequence comes with its own settings and limits."""
        before, self._sequence = self._sequence, sequence
        if sequence is not None and (
            type(sequence) is not type(before) or list(self.limits) != list(design_settings(sequence))
        ):
            self._fill_limits(sequence)
            set_text(self.model, _model_text(sequence))
            self._update()
            self.plane.choose(("flip_angle", "second_flip_angle"))  # MP2RAGE: other planes end where T1 is ambiguous
            self._forget()
        self._form.set_visible(self.nulled, can_null(sequence))
        if not can_null(sequence):
            self.nulled.choose(None)
        self._update()

    def show_regions(self, labels: Sequence[int], read_maps: Callable[[], LabelledMaps] | None) -> None:
        """Offer these labels; `read_maps` is called when a search starts."""
        self._read_maps = read_maps
        if read_maps is None:
            self._forget()  # a result for regions that are gone
        named = [(f"label {label}", label) for label in labels]
        self.first.set_choices(named)
        self.second.set_choices([*named, ("its surroundings", SURROUNDINGS)] if named else [])
        if self.second.value == self.first.value:
            others = [label for label in labels if label != self.first.value]
            self.second.choose(others[0] if others else SURROUNDINGS)
        self.nulled.set_choices([*named, (f"CSF (T1 {1e3 * CSF.t1:.0f} ms)", CSF)])
        self._update()

    def problem(self) -> DesignProblem:
        """Problem of the present choices; ValueError if it cannot be solved."""
        if self._read_maps is None or self._sequence is None:
            raise ValueError(NEEDS_REGIONS)
        maps, first, nulled = self._read_maps(), self.first.value, self.nulled.value
        return DesignProblem(
            sequence=self._sequence,
            tissues=(maps.tissue(first, first), maps.tissue(self.second.value, first)),
            limits={name: limits.value() for name, limits in self.limits.items() if self._is_searched(name)},
            nulled=maps.tissue(nulled, nulled) if isinstance(nulled, int) else nulled,
        )

    def start(self) -> None:
        """Search in the background."""
        try:
            problem = self.problem()
        except ValueError as error:
            self.run_panel.show_message(sentence(str(error)), problem=True)
            return
        self._forget()
        self._problem = problem
        self.run_panel.start(partial(self._optimiser, problem, self.plane.value))

    def _lay_out(self) -> None:
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._answer_buttons.setLayout(row(self.use_button, self.show_button))
        search = (self._form, self._grid, Form(self.plane), self.run_panel)
        self.setLayout(column(*search, self.answer, self.place, self._answer_buttons, self.model))

    def _fill_limits(self, sequence: Contrast) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        defaults, settings = default_limits(sequence), design_settings(sequence)
        self.limits = {
            name: LimitRow(parameter, defaults[name], is_on=_is_searched_at_first(sequence, name))
            for name, parameter in settings.items()
        }
        for index, limits in enumerate(self.limits.values()):
            low, high = (native_of(end) for end in limits.ends)
            unit = QLabel(SCREEN_UNITS[limits.parameter.metadata["unit"]][1])
            for place, part in enumerate((native_of(limits.box), low, QLabel("to"), high, unit)):
                self._grid.addWidget(part, index, place)
            limits.box.changed.connect(self._update)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(3, 1)

    def _is_searched(self, name: str) -> bool:
        follows_null = name == "inversion_time" and self.nulled.value is not None
        return bool(self.limits[name].box.value) and not follows_null

    def _update(self) -> None:
        """Update boxes, button and message after a choice changed."""
        searched = [name for name in self.limits if self._is_searched(name)]
        if "inversion_time" in self.limits:
            self.limits["inversion_time"].box.enabled = self.nulled.value is None
        names = {name: short_label(self.limits[name].parameter) for name in searched}
        self.plane.set_choices([(f"{names[a]} and {names[b]}", (a, b)) for a, b in combinations(searched, 2)])
        has_two = self.first.value is not None and self.first.value != self.second.value
        self.run_panel.set_ready(has_two and bool(searched) and self._sequence is not None)
        if not self.run_panel.is_running and self._design is None:
            self.run_panel.show_message(NEEDS_REGIONS if self.first.value is None else "" if has_two else NEEDS_TWO)

    def _forget(self) -> None:
        """Remove the result of the last search."""
        self._design = self._problem = None
        set_text(self.answer, "")
        self._answer_buttons.setVisible(False)
        self.place.setVisible(False)

    def _show(self, design: Design) -> None:
        problem = self._problem
        if problem is None:
            return
        self._design = design
        settings = design_settings(design.sequence)
        at_limit = " and ".join(short_label(settings[name]) for name in design.at_limit)
        texts = [f"{design_title(design.sequence)}.", _brighter_text(design, problem)]
        texts += [_gain_text(design, is_nulled=problem.nulled is not None)]
        texts += [AT_LIMIT.format(settings=at_limit)] if at_limit else []
        set_text(self.answer, " ".join(filter(None, texts)))
        self._answer_buttons.setVisible(True)
        self.place.setVisible(design.landscape is not None)
        if design.landscape is not None:
            self._draw(design, settings)

    def _draw(self, design: Design, settings: Mapping[str, Field[Any]]) -> None:
        landscape = design.landscape
        if landscape is None:
            return
        parameters = [settings[name] for name in landscape.settings]
        x, y = (values * on_screen(each, 1.0) for values, each in zip(landscape.values, parameters, strict=True))
        marks = [
            (*(on_screen(each, getattr(sequence, each.name)) for each in parameters), symbol)
            for sequence, symbol in ((self._sequence, "o"), (design.sequence, "star"))
            if sequence is not None
        ]
        name_axes(
            self.place.plot, *(f"{short_label(each)} ({SCREEN_UNITS[each.metadata['unit']][1]})" for each in parameters)
        )
        draw_landscape(self.place.plot, x, y, landscape.efficiency, marks)

    def _emit_sequence(self, signal: Any) -> None:
        if self._design is not None:
            signal.emit(self._design.sequence)


def design_title(sequence: Contrast) -> str:
    """Title of a sequence with the settings that a search can change."""
    parts = []
    for name, parameter in design_settings(sequence).items():
        unit = SCREEN_UNITS[parameter.metadata["unit"]][1]
        gap = "" if unit == "°" else " "
        parts.append(f"{short_label(parameter)} {on_screen(parameter, getattr(sequence, name)):.4g}{gap}{unit}")
    return f"{sequence.title}: {', '.join(parts)}"


def _is_searched_at_first(sequence: Contrast, name: str) -> bool:
    """Whether a setting is ticked by default.

    Not ticked are the TE of gradient echoes, and the refocusing angle, because 180 degrees are best.
    """
    return name != "refocusing_angle" and not (sequence.is_gradient_echo and name == "echo_time")


def _model_text(sequence: Contrast) -> str:
    """What the search maximises for a sequence."""
    kinds = {
        "T2": sequence.is_gradient_echo,
        "ratio": isinstance(sequence, Mp2rageUni),
        "typed": isinstance(sequence, UserEquation),
        "train": isinstance(sequence, EchoTrain),
    }
    return MODEL + "".join(MORE[kind] for kind, applies in kinds.items() if applies)


def _gain_text(design: Design, *, is_nulled: bool) -> str:
    """How much better the found settings are than the present ones; empty if the latter give no contrast."""
    if not design.present_efficiency > 0:
        return ""
    ratio = design.efficiency / design.present_efficiency
    present = "present settings with the same null" if is_nulled else "present settings"
    if ratio < NOTICEABLE:
        return f"The {present} (○) are as good as the best (★)."
    return f"Contrast-to-noise per √time is {ratio:.3g} times that of the {present} (○\u00a0present, ★\u00a0best)."


def _brighter_text(design: Design, problem: DesignProblem) -> str:
    """Which of the two regions is brighter; a region without PD has no signal."""
    first, second = np.nan_to_num(signals(design.sequence, problem.tissues))
    return f"{problem.tissues[int(second > first)].name} is brighter." if first != second else ""
