"""Change two settings of the live contrasts on the canvas: hold a key, then drag or press the arrow keys."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from qtpy.QtGui import QGuiApplication

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.contrast_layers import missing_map_notice
from napari_swig_qmri._napari.synthesize.knobs import Knob, knobs_of, set_knobs, settings_text
from napari_swig_qmri._napari.synthesize.live_contrasts import LiveContrasts
from napari_swig_qmri._napari.synthesize.sequence_panel import SequencePanel

KEY = "Q"  # not used by napari, and next to the hand that does not hold the mouse
HINT = f"So does dragging over the image with {KEY} held."
HELP = (
    f"Hold {KEY} over the image: dragging, or the arrow keys, change TI, the flip angle or TR (left and right) and TE "
    "(up and down), with Shift in finer steps. Page Up and Page Down change the preset."
)
ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Down": (0, -1), "Up": (0, 1)}  # steps to the right and up
PAGES = {"PageUp": -1, "PageDown": 1}  # steps in the list of presets
FINER = 10  # steps with Shift are smaller by this factor
PARTS = 10  # settings are rounded to this fraction of a slider step
OVERLAY = "swig_settings"  # key of the text overlay with the settings
LEFT_BUTTON = 1


@dataclass(frozen=True, eq=False)
class DragTarget:
    """Live contrasts that the canvas changes, and the panel that holds their settings."""

    live: LiveContrasts
    panel: SequencePanel

    @property
    def has_layers(self) -> bool:
        """Whether the dock is still open and has live layers."""
        return exists(self.live) and bool(self.live.layers)


def follow_canvas(viewer: ViewerModel, live: LiveContrasts, panel: SequencePanel) -> None:
    """Let key, mouse and arrow keys on the canvas change the settings of live contrasts, until these are destroyed.

    All docks of a viewer share one `CanvasControl`.
    """
    owners = [getattr(callback, "__self__", None) for callback in viewer.mouse_drag_callbacks]
    control = next((owner for owner in owners if isinstance(owner, CanvasControl)), None) or CanvasControl(viewer)
    target = DragTarget(live, panel)
    control.join(target)
    live.destroyed.connect(partial(control.leave, target))


class CanvasControl:
    """The held key of a viewer, and the mouse and keys while it is held, for all docks with live layers."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._targets: list[DragTarget] = []
        self._active: DragTarget | None = None  # the target while the key is down
        self._positions: dict[str, float] = {}  # unrounded settings during a drag, in the unit on screen
        self._is_dragging = False
        self._release_view: Callable[[], None] | None = None  # lets the mouse pan and paint again
        self._hold_keys, self._step_keys = _BoundKeys(viewer), _BoundKeys(viewer)

    def join(self, target: DragTarget) -> None:
        """Add a target; the first one binds the keys and the mouse."""
        if not self._targets:
            for key in (KEY, f"Shift-{KEY}"):
                self._hold_keys.bind(key, self._hold)
            self._viewer.mouse_drag_callbacks.append(self._drag)
            self._viewer.canvas.overlays[OVERLAY] = TextOverlay(position="bottom_center", box=True, font_size=12)
        self._targets.append(target)

    def leave(self, target: DragTarget, _destroyed: object = None) -> None:
        """Remove a target; with the last one go the key bindings, the mouse callback and the overlay."""
        if self._active is target:
            self._release()
        self._targets.remove(target)
        if not self._targets:
            self._hold_keys.restore()
            self._viewer.mouse_drag_callbacks.remove(self._drag)
            del self._viewer.canvas.overlays[OVERLAY]

    def _topmost(self) -> DragTarget | None:
        """Target with the highest live layer, visible layers first."""
        return max((target for target in self._targets if target.has_layers), key=self._height, default=None)

    def _height(self, target: DragTarget) -> tuple[bool, int]:
        layers = target.live.layers
        return any(layer.visible for layer in layers), max(map(self._viewer.layers.index, layers))

    def _current(self) -> DragTarget | None:
        """Target of the held key, unless its dock was closed or its layers were removed."""
        return self._active if self._active is not None and self._active.has_layers else None

    def _hold(self, _viewer: ViewerModel) -> Generator[None, None, None]:
        """Key binding: napari runs it to the yield when the key goes down, and on when the key comes up."""
        self._press()
        yield
        self._release()

    def _press(self) -> None:
        target = self._topmost()
        if target is None or self._active is not None:  # the key release can get lost, e.g. to another window
            return
        self._active = target
        self._positions = {}
        for key, steps in ARROWS.items():
            self._step_keys.bind(key, _calling(self._step, *steps))
            self._step_keys.bind(f"Shift-{key}", _calling(self._step, *steps, finer=True))
        for key, n_presets in PAGES.items():
            self._step_keys.bind(key, _calling(self._change_preset, n_presets))
        self._release_view = self._release_view or _hold_view(self._viewer)
        _focus_changes().connect(self._release)
        self._show_settings()

    def _release(self, _window: object = None) -> None:
        if self._active is None:
            return
        self._active = None
        self._step_keys.restore()
        _focus_changes().disconnect(self._release)
        self._viewer.canvas.overlays[OVERLAY].visible = False
        if not self._is_dragging:
            self._let_view_go()

    def _let_view_go(self) -> None:
        if self._release_view is not None:
            self._release_view()
        self._release_view = None

    def _drag(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        """Mouse callback: change both settings with the mouse while the key is down."""
        if self._current() is None or event.button != LEFT_BUTTON:
            return
        viewer.scene.camera.mouse_pan = False  # napari turns it on when another layer becomes active
        self._is_dragging, self._positions = True, {}
        x, y = event.pos
        is_down = True
        while is_down:
            yield
            is_down = event.type == "mouse_move"
            height, width = viewer.canvas.size
            self._move((event.pos[0] - x) / width, (y - event.pos[1]) / height, finer="Shift" in event.modifiers)
            x, y = event.pos
        self._is_dragging = False
        if self._active is None:
            self._let_view_go()

    def _move(self, right: float, up: float, *, finer: bool) -> None:
        """Move by fractions of the canvas, whose full width and height are the range of a slider."""
        target = self._current()
        if target is None:
            return
        divisor = FINER if finer else 1
        moves = _moves(target.panel, right / divisor, up / divisor)
        self._positions |= {knob.name: knob.moved(self._positions.get(knob.name, knob.value), by) for knob, by in moves}
        wanted, reached = _apply(target.panel, [knob for knob, _ in moves], self._positions, divisor)
        # Where a setting was stopped, the way back starts at once.
        self._positions |= {name: value for name, value in reached.items() if value != wanted[name]}
        self._show_settings()

    def _step(self, right: int, up: int, *, finer: bool = False) -> None:
        """Move by slider steps."""
        target = self._current()
        if target is None:
            return
        divisor = FINER if finer else 1
        moves = _moves(target.panel, right / divisor, up / divisor)
        positions = {knob.name: knob.value + n_steps * knob.step for knob, n_steps in moves}
        _apply(target.panel, [knob for knob, _ in moves], positions, divisor)
        self._positions = {}
        self._show_settings()

    def _change_preset(self, n_presets: int) -> None:
        """Go to the next or the previous preset that the maps of the live layers can show."""
        target = self._current()
        if target is not None:
            layers = target.live.layers
            target.panel.presets.step(n_presets, lambda contrast: not missing_map_notice(layers, contrast))
            self._positions = {}
            self._show_settings()

    def _show_settings(self) -> None:
        """Write the two settings, and the times that follow a nulled tissue, onto the canvas."""
        target = self._current()
        if target is not None:
            panel = target.panel
            names = [knob.name for knob in knobs_of(panel) if knob is not None]
            overlay = self._viewer.canvas.overlays[OVERLAY]
            sequence = panel.editor.value()
            lack = "" if sequence is None else missing_map_notice(target.live.layers, sequence)
            overlay.text = lack or settings_text(panel, [*names, *panel.locked_settings()])
            overlay.visible = True


class _BoundKeys:
    """Temporary key bindings of a viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._bound: dict[str, tuple[Any, Any]] = {}  # key -> new binding, previous binding

    def bind(self, key: str, callback: Callable[[ViewerModel], Any]) -> None:
        """Bind a key until `restore` is called."""
        self._bound[key] = callback, self._viewer.bind_key(key, callback, overwrite=True)

    def restore(self) -> None:
        """Bring back the previous bindings, except of keys that were bound anew since."""
        for key, (callback, before) in self._bound.items():
            now = self._viewer.bind_key(key, None)
            self._viewer.bind_key(key, before if now == callback else now)
        self._bound = {}


def _calling(action: Callable[..., None], *arguments: Any, **options: Any) -> Callable[[ViewerModel], None]:
    """Key callback that calls `action`; a function, because napari needs its ``__name__``."""

    def call(_viewer: ViewerModel) -> None:
        action(*arguments, **options)

    return call


def _moves(panel: SequencePanel, right: float, up: float) -> list[tuple[Knob, float]]:
    """Knobs that a movement turns, each with its amount."""
    pairs = zip(knobs_of(panel), (right, up), strict=True)
    return [(knob, amount) for knob, amount in pairs if knob is not None]


def _apply(
    panel: SequencePanel, knobs: Sequence[Knob], positions: Mapping[str, float], divisor: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Set knobs to rounded positions; returns the rounded positions and what the sequence allowed."""
    grid = {knob.name: knob.step / PARTS / divisor for knob in knobs}
    wanted = {knob.name: knob.rounded(positions[knob.name], grid[knob.name]) for knob in knobs}
    return wanted, set_knobs(panel, wanted, grid)


def _hold_view(viewer: ViewerModel) -> Callable[[], None]:
    """Keep the mouse from panning, rotating and painting; returns the function that undoes this."""
    camera, layer = viewer.scene.camera, viewer.layers.selection.active
    can_pan, mode = camera.mouse_pan, None if layer is None else str(layer.mode)
    if layer is not None:
        layer.mode = "pan_zoom"
    camera.mouse_pan = False

    def release() -> None:
        active = viewer.layers.selection.active
        camera.mouse_pan = can_pan if active == layer else active is None or active.mouse_pan
        if layer is not None:
            layer.mode = mode

    return release


def _focus_changes() -> Any:
    """Qt signal that another window, or another program, receives the keys from now on."""
    return QGuiApplication.instance().focusWindowChanged  # type: ignore[union-attr]
