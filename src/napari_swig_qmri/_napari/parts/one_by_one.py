"""Work of the main thread in pieces, between which the window responds."""

from __future__ import annotations

import gc
from collections.abc import Generator
from itertools import chain
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Piece = Callable[[], object]


PAUSE = 10  # ms


class OneByOne(QObject):
    """Calls functions in their order, with a pause after each. An error ends the work.

    In the pause the window paints what has changed, and then answers: a function follows in the second turn only.

    Python's garbage is collected before: with torch loaded that takes 0.2 s, and would otherwise add to a function.
    It does nothing more once it is destroyed, as with the dock that it belongs to.
    """

    done = Signal()
    failed = Signal(object)  # error

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._pieces: Iterator[Piece] | None = None
        self._generator: Generator[Piece, None, None] | None = None  # of these pieces
        self._has_painted = False  # since the last function
        self._timer = QTimer(self)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self._go_on)

    @property
    def is_running(self) -> bool:
        """Whether there is work left."""
        return self._pieces is not None

    def start(self, pieces: Iterable[Piece]) -> None:
        """Start to call functions, in place of those that are left."""
        self.stop()
        self._generator = pieces if isinstance(pieces, Generator) else None
        self._pieces = chain([gc.collect], pieces)
        self._timer.start()

    def stop(self) -> None:
        """Leave out the functions that are left, and let a generator of them clean up."""
        self._timer.stop()
        self._pieces = None
        if self._generator is not None:
            self._generator.close()
            self._generator = None

    def _go_on(self) -> None:
        self._has_painted = not self._has_painted
        if self._has_painted:
            return
        try:
            piece = next(self._pieces or iter(()), None)
            if piece is not None:
                piece()
                return
        except Exception as error:  # Qt drops what a slot raises
            self.stop()
            self.failed.emit(error)
            return
        self.stop()
        self.done.emit()
