"""Work of the main thread in pieces, between which the window responds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Piece = Callable[[], object]


PAUSE = 5  # ms, in which the window paints and answers


class OneByOne(QObject):
    """Calls functions in their order, with a pause after each. An error ends the work.

    It does nothing more once it is destroyed, as with the dock that it belongs to.
    """

    done = Signal()
    failed = Signal(object)  # error

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._pieces: Iterator[Piece] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._go_on)

    @property
    def is_running(self) -> bool:
        """Whether there is work left."""
        return self._pieces is not None

    def start(self, pieces: Iterable[Piece]) -> None:
        """Start to call functions, in place of those that are left."""
        self._pieces = iter(pieces)
        self._timer.start()

    def _go_on(self) -> None:
        try:
            piece = next(self._pieces or iter(()), None)
            if piece is not None:
                piece()
                return
        except Exception as error:  # Qt drops what a slot raises
            self._end()
            self.failed.emit(error)
            return
        self._end()
        self.done.emit()

    def _end(self) -> None:
        self._timer.stop()
        self._pieces = None
