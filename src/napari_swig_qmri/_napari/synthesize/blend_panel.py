"""Two image layers in one 2D image: side by side at a movable line (swipe), alternating, or as a checkerboard."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, FloatSlider
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_swig_qmri._napari.parts.appearance import exists, set_text, wrapped_label
from napari_swig_qmri._napari.parts.boxes import Form, column, layer_box
from napari_swig_qmri._napari.parts.viewer_layers import matrix_of
from napari_swig_qmri.synthesis.composites import Checkerboard, Composite, Curtain, Pane, Pattern, Whole

OFF, SWIPE, FLICKER, CHECKERBOARD = "off", "swipe", "flicker", "checkerboard"
COLOUR_STEPS = 256
FOLLOWED = ("data", "contrast_limits", "colormap")  # layer events that change the combined image


class BlendPanel(QWidget):
    """Choice of two layers and of the way to combine them; adds one layer with the combined image."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._followed: list[Image] = []
        self._hidden: list[Layer] = []
        self._had_grid = False
        self.layer: Image | None = None  # the combined image
        images = partial(_images, viewer)
        self.first_box = layer_box(images, label="First", tooltip="Image on the left of the line, or above it")
        self.second_box = layer_box(images, label="Second", tooltip="Image on the right of the line, or below it")
        self.mode_box = ComboBox(
            label="Show", choices=[OFF, SWIPE, FLICKER, CHECKERBOARD], tooltip="Way to combine the images in 2D"
        )
        self.position = FloatSlider(
            label="Position, %", min=0, max=100, value=50, tooltip="Shift + mouse moves it, too"
        )
        self.is_horizontal = CheckBox(text="First image above the second", tooltip="Use a horizontal line")
        self.rate = FloatSlider(label="Changes per s", min=0.5, max=5, value=2, step=0.5)
        self.edge = FloatSlider(label="Squares, mm", min=5, max=60, value=20, step=1)
        self.message = wrapped_label(role="problem")
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._flip)
        self._form = Form(
            self.first_box, self.second_box, self.mode_box, self.position, self.is_horizontal, self.rate, self.edge
        )
        self._lay_out()
        self._connect()
        self.refresh_layers()

    def refresh_layers(self, _event: object = None) -> None:
        """Update the lists of layers; switch off if one of the two layers or the combined image was removed."""
        gone = self.layer is not None and self.layer not in self._viewer.layers
        if gone or any(layer not in self._viewer.layers for layer in self._followed):
            self.mode_box.value = OFF
        self.first_box.reset_choices()
        self.second_box.reset_choices()

    def _lay_out(self) -> None:
        self.setLayout(column(self._form, self.message))
        self._show_settings()

    def _connect(self) -> None:
        self.mode_box.changed.connect(self._switch)
        for box in (self.first_box, self.second_box):
            box.changed.connect(self._switch)
        for setting in (self.position, self.is_horizontal, self.rate, self.edge):
            setting.changed.connect(self._mix)
        self._viewer.dims.events.order.connect(self._mix)
        self._viewer.scene.camera.events.orientation.connect(self._mix)
        self._viewer.mouse_move_callbacks.append(self._drag)

    def _show_settings(self) -> None:
        for box, mode in (
            (self.position, SWIPE),
            (self.is_horizontal, SWIPE),
            (self.rate, FLICKER),
            (self.edge, CHECKERBOARD),
        ):
            self._form.set_visible(box, self.mode_box.value == mode)

    def _switch(self, _value: object = None) -> None:
        """Show the combined image of the chosen layers, or none."""
        self._leave()
        self._show_settings()
        if self.mode_box.value != OFF:
            self._propose()
        problem = self._problem() if self.mode_box.value != OFF else ""
        set_text(self.message, problem)
        if self.mode_box.value != OFF and not problem:
            self._enter()
        self.changed.emit()

    def _propose(self) -> None:
        """Choose the uppermost visible images where none was chosen."""
        boxes = (self.first_box, self.second_box)
        chosen = [box.value for box in boxes]
        visible = sorted(_images(self._viewer), key=lambda layer: layer.visible)  # stable: the uppermost comes last
        others = [layer for layer in visible if layer not in chosen]
        for box in boxes:
            if box.value is None and others:
                with box.changed.blocked():
                    box.choose(others.pop())

    def _problem(self) -> str:
        first, second = self.first_box.value, self.second_box.value
        if first is None or second is None or first is second:
            return "Open two images to combine them, or choose two different ones."
        for layer in (first, second):
            if not _is_unrotated(layer):
                return f"{layer.name} is rotated: only layers along the axes of the viewer can be combined."
        return "" if self._viewer.dims.ndisplay == 2 else "Layers can only be combined in 2D: leave the 3D view first."

    def _enter(self) -> None:
        first, second = self.first_box.value, self.second_box.value
        self._had_grid = self._viewer.canvas.grid.enabled
        self._viewer.canvas.grid.enabled = False
        self._hidden = [layer for layer in self._viewer.layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False
        data = Composite(first=_pane(first), second=_pane(second), pattern=Whole())
        finer = first if data.base is data.first else second
        place = {name: getattr(finer, name) for name in ("scale", "translate", "units", "axis_labels")}
        self.layer = Image(data, rgb=True, name=f"{first.name} | {second.name}", **place)
        self._viewer.add_layer(self.layer)
        self._followed = [first, second]
        for layer in self._followed:
            for name in FOLLOWED:
                getattr(layer.events, name).connect(self.follow)
        self._viewer.canvas.overlays.text.visible = True
        self._viewer.canvas.overlays.text.position = "top_center"
        self._mix()
        self._viewer.reset_view()

    def _leave(self) -> None:
        self._timer.stop()
        for layer in self._followed:
            for name in FOLLOWED:
                getattr(layer.events, name).disconnect(self.follow)
        was_on, self._followed = bool(self._followed), []
        shown, self.layer = self.layer, None
        if shown is not None and shown in self._viewer.layers:
            self._viewer.layers.remove(shown)
        if was_on:
            for layer in self._hidden:
                layer.visible = True
            self._viewer.canvas.overlays.text.visible = False
            self._viewer.canvas.grid.enabled = self._had_grid
            self._viewer.reset_view()
        self._hidden = []

    def follow(self, _event: object = None) -> None:
        """Follow changed values, contrast limits and colour maps of the two layers."""
        if self.layer is not None and exists(self):
            first, second = self._followed
            data: Any = self.layer.data
            self.layer.data = Composite(first=_pane(first), second=_pane(second), pattern=data.pattern)

    def _mix(self, _value: object = None) -> None:
        """Combine the layers according to the settings."""
        if self.layer is None or not exists(self):
            return
        mode = self.mode_box.value
        self._timer.stop()
        if mode == SWIPE:
            self._show(self._curtain(self.layer.data.shape))
        elif mode == CHECKERBOARD:
            self._show(Checkerboard(self.edge.value))
        else:
            self._show(Whole())
            self._timer.start(round(1000 / self.rate.value))

    def _flip(self) -> None:
        if self.layer is not None:
            data: Any = self.layer.data
            self._show(Whole(not data.pattern.second))

    def _show(self, pattern: Pattern) -> None:
        if self.layer is None:
            return
        data: Any = self.layer.data
        self.layer.data = data.with_pattern(pattern)
        names = [layer.name for layer in self._followed]
        between = "  |  " if isinstance(pattern, Curtain) else "  /  "
        text = names[pattern.second] if isinstance(pattern, Whole) else _title(names[0], names[1], between)
        self._viewer.canvas.overlays.text.text = text

    def _curtain(self, n_voxels: tuple[int, ...]) -> Curtain:
        """Dividing line in voxels, with the first image on the left, or above, in any orientation of the view."""
        axis, increases = self._axis()
        share = self.position.value / 100
        last = n_voxels[axis] - 1
        return Curtain(axis, last * (share if increases else 1 - share), before=not increases)

    def _axis(self) -> tuple[int, bool]:
        """Axis that the line moves along, and whether voxel indices increase to the right, or downwards."""
        vertical, horizontal = (str(direction) for direction in self._viewer.scene.camera.orientation2d)
        is_horizontal = self.is_horizontal.value
        axis = self._viewer.dims.displayed[-2 if is_horizontal else -1] - (self._viewer.dims.ndim - 3)
        return axis, (vertical == "down" if is_horizontal else horizontal == "right")

    def _drag(self, _viewer: ViewerModel, event: Any) -> None:
        """Move the line with the mouse while Shift is held."""
        if self.layer is None or not exists(self) or self.mode_box.value != SWIPE or "Shift" not in event.modifiers:
            return
        axis, increases = self._axis()
        voxel = self.layer.world_to_data(event.position[-3:])[axis]
        share = float(np.clip(voxel / max(1, self.layer.data.shape[axis] - 1), 0, 1))
        self.position.value = 100 * (share if increases else 1 - share)


def _images(viewer: ViewerModel) -> list[Layer]:
    """Layers that can be combined: grey images of three axes, also synthetic ones."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb and not layer.multiscale
    ]


def _title(first: str, second: str, between: str) -> str:
    """Both names, with the words that they begin with only once, so that they fit above the picture."""
    words = [name.split() for name in (first, second)]
    n = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*words, strict=False)))
    if n in (0, *map(len, words)):
        return between.join((first, second))
    return f"{' '.join(words[0][:n])}:  {between.join(' '.join(each[n:]) for each in words)}"


def _is_unrotated(layer: Image) -> bool:
    matrix = matrix_of(layer)[:-1, :-1]
    return bool(np.allclose(matrix, np.diag(np.diag(matrix)), atol=1e-6))


def _pane(layer: Image) -> Pane:
    """Values and colours of a layer."""
    matrix = matrix_of(layer)
    colours = np.asarray(layer.colormap.map(np.linspace(0, 1, COLOUR_STEPS)))[:, :3]
    low, high = (float(limit) for limit in layer.contrast_limits)
    s, a, r = (float(size) for size in np.diag(matrix)[:3])
    z, y, x = (float(mm) for mm in matrix[:3, 3])
    return Pane(
        data=layer.data,
        colours=np.rint(255 * colours).astype(np.uint8),
        limits=(low, high),
        scale=(s, a, r),
        translate=(z, y, x),
    )
