"""Long computations as generators that yield their progress and return their result."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

Step = TypeVar("Step")
Changed = TypeVar("Changed")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """Progress of a computation, yielded while it runs.

    Examples
    --------
    >>> Progress(0.25, "local regression on the guides")
    Progress(fraction=0.25, stage='local regression on the guides', seconds_left=None)
    """

    fraction: float  # of the computation that is finished, 0 to 1
    stage: str  # description of the current stage, shown to the user
    seconds_left: float | None = None  # estimate, None if unknown


def mapped(steps: Generator[Step, None, Result], change: Callable[[Step], Changed]) -> Generator[Changed, None, Result]:
    """Run a generator with every yielded value passed through `change`; the returned value stays the same."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stopped:
            result: Result = stopped.value
            return result
        yield change(step)


def drained(steps: Generator[Step, None, Result], call: Callable[[Step], object] | None = None) -> Result:
    """Run a generator to its end and return its result; `call` gets every yielded value."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stopped:
            result: Result = stopped.value
            return result
        if call is not None:
            call(step)


def with_time_left(steps: Generator[Progress, None, Result]) -> Generator[Progress, None, Result]:
    """Run a generator with an estimate of the seconds left added to its progress, where it has none of its own.

    The estimate assumes that the rest takes as long per fraction as what is finished.
    """
    started = time.monotonic()

    def timed(step: Progress) -> Progress:
        if step.seconds_left is not None or step.fraction <= 0.05:
            return step
        return replace(step, seconds_left=(time.monotonic() - started) * (1 / step.fraction - 1))

    return (yield from mapped(steps, timed))


def between(low: float, high: float) -> Callable[[Progress], Progress]:
    """Return a function that rescales fractions of 0 to 1 to `low` to `high`, for `mapped`."""
    return lambda step: replace(step, fraction=low + (high - low) * step.fraction)


def staged(
    steps: Generator[float, None, Result] | Generator[None, None, Result], low: float, high: float, stage: str
) -> Generator[Progress, None, Result]:
    """Run a generator as a stage that takes the progress from `low` to `high`.

    The generator yields its finished fraction, or None where it has no estimate: every step then takes 5 % of the
    remaining fraction.
    """
    yield Progress(low, stage)
    counted = count(1)

    def progress(fraction: float | None) -> Progress:
        n_done = next(counted)
        return Progress(low + (high - low) * (1 - 0.95**n_done if fraction is None else fraction), stage)

    return (yield from mapped(steps, progress))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch raises a RuntimeError for that on the CPU and on MPS."""
    message = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in message or "DefaultCPUAllocator" in message)
    )
