"""Long work as plain generators: steps are yielded, the result is returned; what it needs may run out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


def mapped(steps: Generator[S, None, R], change: Callable[[S], T]) -> Generator[T, None, R]:
    """The same work with every yielded step changed."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stopped:
            result: R = stopped.value
            return result
        yield change(step)


def drained(steps: Generator[S, None, R]) -> R:
    """What the work returns, its steps passed over."""
    while True:
        try:
            next(steps)
        except StopIteration as stopped:
            result: R = stopped.value
            return result


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, also that of torch, which says so in a RuntimeError on CPU and MPS."""
    said = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in said or "DefaultCPUAllocator" in said)
    )
