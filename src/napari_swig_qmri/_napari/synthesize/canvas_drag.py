"""Two settings of a contrast under one hand: a key is held on the canvas, and mouse or arrow keys move both."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari.components.overlays import TextOverlay
from qtpy.QtGui import QGuiApplication

from napari_swig_qmri._napari.parts.appearance import exists
from napari_swig_qmri._napari.parts.contrast_layers import lack_of
from napari_swig_qmri._napari.synthesize.knobs import described, knobs_of, turn

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_swig_qmri._napari.synthesize.dock import SynthesizeWidget
    from napari_swig_qmri._napari.synthesize.knobs import Knob

KEY = "Q"  # held; napari binds it to nothing, and it lies under the hand that is not on the mouse
HINT = f"and so does dragging over the picture with {KEY} held"
HELP = (
    f"While {KEY} is held over the picture, mouse or arrow keys move TI, the flip angle or TR sideways and TE up and "
    "down, with Shift finer; Page Up and Page Down change the preset."
)
ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Down": (0, -1), "Up": (0, 1)}  # steps sideways and up
PAGES = {"PageUp": -1, "PageDown": 1}  # presets
FINER = 10  # times, with Shift
PARTS = 10  # of a step of the slider, to which settings are rounded
OVERLAY = "swig_settings"  # name of the overlay with the settings
LEFT_BUTTON = 1


def follow_canvas(viewer: ViewerModel, dock: SynthesizeWidget) -> None:
    """Let key, mouse and arrow keys on the canvas move the live layers of a dock, as long as the dock is there."""
    owners = [getattr(callback, "__self__", None) for callback in viewer.mouse_drag_callbacks]
    control = next((owner for owner in owners if isinstance(owner, CanvasControl)), None) or CanvasControl(viewer)
    member = control.join(dock)
    dock.destroyed.connect(partial(control.leave, member))


class CanvasControl:
    """The held key of a viewer, and what mouse and keys do meanwhile; one for all docks with live layers in it."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._docks: list[ref[SynthesizeWidget]] = []
        self._held: ref[SynthesizeWidget] | None = None  # the dock that follows while the key is down
        self._aims: dict[str, float] = {}  # where the mouse is between two steps, by setting, in the unit on screen
        self._is_dragging = False
        self._free_view: Callable[[], None] | None = None  # undoes what holds the view still
        self._always, self._meanwhile = _BoundKeys(viewer), _BoundKeys(viewer)

    def join(self, dock: SynthesizeWidget) -> ref[SynthesizeWidget]:
        """Take a dock in; returns what it leaves by."""
        if not self._docks:
            for key in (KEY, f"Shift-{KEY}"):
                self._always.bind(key, self._hold)
            self._viewer.mouse_drag_callbacks.append(self._drag)
            self._viewer.canvas.overlays[OVERLAY] = TextOverlay(position="bottom_center", box=True, font_size=12)
        member = ref(dock)
        self._docks.append(member)
        return member

    def leave(self, member: ref[SynthesizeWidget], _dock: object = None) -> None:
        """Forget a dock; with the last one everything is taken off the viewer."""
        if self._held is member:
            self._release()
        self._docks.remove(member)
        if not self._docks:
            self._always.give_back()
            self._viewer.mouse_drag_callbacks.remove(self._drag)
            del self._viewer.canvas.overlays[OVERLAY]

    def _on_show(self) -> ref[SynthesizeWidget] | None:
        """The dock whose live layers are shown, or lie, above those of the others."""
        live = [member for member in self._docks if _live(member) is not None]
        return max(live, key=self._height, default=None)

    def _height(self, member: ref[SynthesizeWidget]) -> tuple[bool, int]:
        dock = _live(member)
        layers = [] if dock is None else dock.live.layers
        return any(layer.visible for layer in layers), max(map(self._viewer.layers.index, layers))

    def _hold(self, _viewer: ViewerModel) -> Generator[None, None, None]:
        """Key binding: what is before the yield happens when the key goes down, the rest when it comes up."""
        self._press()
        yield
        self._release()

    def _press(self) -> None:
        member = self._on_show()
        if member is None or self._held is not None:  # the release may have been lost
            return
        self._held = member
        self._aims = {}
        for key, way in ARROWS.items():
            self._meanwhile.bind(key, _doing(self._step, *way))
            self._meanwhile.bind(f"Shift-{key}", _doing(self._step, *way, finer=True))
        for key, n_presets in PAGES.items():
            self._meanwhile.bind(key, _doing(self._go_on, n_presets))
        self._free_view = self._free_view or _held_still(self._viewer)
        _window_changes().connect(self._release)
        self._tell()

    def _release(self, _window: object = None) -> None:
        if self._held is None:
            return
        self._held = None
        self._meanwhile.give_back()
        _window_changes().disconnect(self._release)
        self._viewer.canvas.overlays[OVERLAY].visible = False
        if not self._is_dragging:
            self._let_view_go()

    def _let_view_go(self) -> None:
        if self._free_view is not None:
            self._free_view()
        self._free_view = None

    def _drag(self, viewer: ViewerModel, event: Any) -> Generator[None, None, None]:
        """Mouse callback: move both settings with the mouse for as long as the key is down."""
        if _live(self._held) is None or event.button != LEFT_BUTTON:
            return
        viewer.scene.camera.mouse_pan = False  # another layer may have become the active one
        self._is_dragging, self._aims = True, {}
        x, y = event.pos
        is_down = True
        while is_down:
            yield
            is_down = event.type == "mouse_move"
            height, width = viewer.canvas.size
            self._move((event.pos[0] - x) / width, (y - event.pos[1]) / height, finer="Shift" in event.modifiers)
            x, y = event.pos
        self._is_dragging = False
        if self._held is None:
            self._let_view_go()

    def _move(self, sideways: float, up: float, *, finer: bool) -> None:
        """Move by shares of the canvas, all of which is the range of a slider."""
        dock = _live(self._held)
        if dock is None:
            return
        slower = FINER if finer else 1
        moved = _moved_knobs(dock, sideways / slower, up / slower)
        self._aims |= {knob.name: knob.moved(self._aims.get(knob.name, knob.value), by) for knob, by in moved}
        wanted, reached = _turned(dock, [knob for knob, _ in moved], self._aims, slower)
        self._aims |= {name: value for name, value in reached.items() if value != wanted[name]}  # a short way back
        self._tell()

    def _step(self, sideways: int, up: int, *, finer: bool = False) -> None:
        """Move by steps of the sliders."""
        dock = _live(self._held)
        if dock is None:
            return
        slower = FINER if finer else 1
        moved = _moved_knobs(dock, sideways / slower, up / slower)
        steps = {knob.name: knob.value + n * knob.step for knob, n in moved}
        _turned(dock, [knob for knob, _ in moved], steps, slower)
        self._aims = {}
        self._tell()

    def _go_on(self, n_presets: int) -> None:
        """Go to the next preset or the one before."""
        dock = _live(self._held)
        if dock is not None:
            dock.panel.presets.step(n_presets, lambda contrast: not lack_of(dock.live.layers, contrast))
            self._aims = {}
            self._tell()

    def _tell(self) -> None:
        """Write what is moved onto the canvas, with the times that follow a nulled tissue."""
        dock = _live(self._held)
        if dock is not None:
            moved = [knob.name for knob in knobs_of(dock.panel) if knob is not None]
            overlay = self._viewer.canvas.overlays[OVERLAY]
            sequence = dock.editor.value()
            lack = "" if sequence is None else lack_of(dock.live.layers, sequence)
            overlay.text = lack or described(dock.panel, [*moved, *dock.panel.resting()])
            overlay.visible = True


class _BoundKeys:
    """Keys of a viewer that do something else for a while."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._bound: dict[str, tuple[Any, Any]] = {}  # key -> what it does now and what it did before

    def bind(self, key: str, callback: Callable[[ViewerModel], Any]) -> None:
        """Let a key do this."""
        self._bound[key] = callback, self._viewer.bind_key(key, callback, overwrite=True)

    def give_back(self) -> None:
        """Let them do what they did before, unless somebody else has bound them meanwhile."""
        for key, (callback, before) in self._bound.items():
            now = self._viewer.bind_key(key, None)
            self._viewer.bind_key(key, before if now == callback else now)
        self._bound = {}


def _doing(action: Callable[..., None], *arguments: Any, **options: Any) -> Callable[[ViewerModel], None]:
    """What a key does, as a function: napari asks for its name."""

    def do(_viewer: ViewerModel) -> None:
        action(*arguments, **options)

    return do


def _live(member: ref[SynthesizeWidget] | None) -> SynthesizeWidget | None:
    """The dock, if it is still there and has live layers."""
    dock = None if member is None else member()
    return dock if dock is not None and exists(dock) and dock.live.layers else None


def _moved_knobs(dock: SynthesizeWidget, sideways: float, up: float) -> list[tuple[Knob, float]]:
    """What a movement turns in a dock, and how far."""
    pairs = zip(knobs_of(dock.panel), (sideways, up), strict=True)
    return [(knob, by) for knob, by in pairs if knob is not None]


def _turned(
    dock: SynthesizeWidget, knobs: Sequence[Knob], aims: Mapping[str, float], slower: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Turn knobs to the steps next to what is aimed at; those, and what could be reached."""
    grid = {knob.name: knob.step / PARTS / slower for knob in knobs}
    wanted = {knob.name: knob.rounded(aims[knob.name], grid[knob.name]) for knob in knobs}
    return wanted, turn(dock.panel, wanted, grid)


def _held_still(viewer: ViewerModel) -> Callable[[], None]:
    """Keep the mouse from panning, turning and painting; returns what undoes that."""
    camera, layer = viewer.scene.camera, viewer.layers.selection.active
    can_pan, mode = camera.mouse_pan, None if layer is None else str(layer.mode)
    if layer is not None:
        layer.mode = "pan_zoom"
    camera.mouse_pan = False

    def free() -> None:
        active = viewer.layers.selection.active
        camera.mouse_pan = can_pan if active == layer else active is None or active.mouse_pan
        if layer is not None:
            layer.mode = mode

    return free


def _window_changes() -> Any:
    """Signal that another window, or none of this program, gets the keys from now on."""
    return QGuiApplication.instance().focusWindowChanged  # type: ignore[union-attr]
