"""Long work as plain generators: steps are yielded, the result is returned; what it needs may run out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import count
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


def drained(steps: Generator[S, None, R], call: Callable[[S], object] | None = None) -> R:
    """Run a generator to its end and return its result; `call` gets every yielded step."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stopped:
            result: R = stopped.value
            return result
        if call is not None:
            call(step)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, also that of torch, which says so in a RuntimeError on CPU and MPS."""
    said = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in said or "DefaultCPUAllocator" in said)
    )


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    fraction: float  # 0 to 1
    stage: str  # what it is doing, for a person
    seconds_left: float | None = None


def with_time_left(steps: Generator[Progress, None, R]) -> Generator[Progress, None, R]:
    """The same work with the seconds left, from the pace so far, on every step that does not state them."""
    started = time.monotonic()

    def timed(step: Progress) -> Progress:
        if step.seconds_left is not None or step.fraction <= 0.05:
            return step
        return replace(step, seconds_left=(time.monotonic() - started) * (1 / step.fraction - 1))

    return (yield from mapped(steps, timed))


def between(low: float, high: float) -> Callable[[Progress], Progress]:
    """Progress of a part that runs from `low` to `high` of the whole."""
    return lambda step: replace(step, fraction=low + (high - low) * step.fraction)


def staged(
    steps: Generator[float, None, T] | Generator[None, None, T], low: float, high: float, stage: str
) -> Generator[Progress, None, T]:
    """Progress between `low` and `high` of steps that yield their fraction, or nothing if they cannot tell."""
    yield Progress(low, stage)
    counted = count(1)

    def progress(fraction: float | None) -> Progress:
        n_done = next(counted)
        return Progress(low + (high - low) * (1 - 0.95**n_done if fraction is None else fraction), stage)

    return (yield from mapped(steps, progress))
