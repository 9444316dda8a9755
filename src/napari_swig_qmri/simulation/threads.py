"""Independent parts of a computation on several cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Part = TypeVar("Part")
Result = TypeVar("Result")

MAX_THREADS = 4  # each needs memory for its part


def in_threads(function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """Results of a function for each part, in their order. NumPy and SciPy compute in several threads at once.

    Matrix products get no threads of their own meanwhile: these would wait for each other by spinning.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, parts))
