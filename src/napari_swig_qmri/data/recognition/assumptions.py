"""Settings of sequences that nothing tells: usual values, adapted to the settings that are told."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from itertools import combinations, product
from typing import Any

from napari_swig_qmri.physics.signal_models import Mp2rageUni, SignalModel, Stir, T2Flair, nulling_inversion_time

_SHORTEST_INVERSION = 0.01  # s, of those that are assumed
SHORTEST_SPACING = 1e-3  # s, of the echoes of a train
IDEAL = (  # settings whose defaults are assumed without a notice
    "centre_fraction",
    "inversion_efficiency",
    "refocused_recovery",
    "refocusing_angle",
)
_LONGER, _SHORTER = (1.25, 1.5, 2, 3, 4, 6, 10, 20), (0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05)
_ADAPTED = {  # assumed setting: factors by which it is changed if told settings require it, the first choice first
    "repetition_time": _LONGER,
    "echo_spacing": (*_LONGER, *_SHORTER),
    "n_partitions": _SHORTER,
    "echo_train_length": _SHORTER,
    "echo_time": _SHORTER,
    "inversion_time": (*_SHORTER, *_LONGER),
    "second_inversion_time": (*_LONGER, *_SHORTER),
}
_NULLED = {T2Flair: 4.163, Stir: 0.37}  # T1 in s of the tissue that a sequence nulls: fluid and fat


def assumptions(sequence: type[SignalModel], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Usual values of the missing settings, adapted to fit the known ones."""
    assumed: dict[str, Any] = {}
    for field in fields(sequence):
        if field.name not in settings and field.name not in IDEAL:
            assumed[field.name] = sequence.typical.get(field.name, field.default)
    known = {**assumed, **settings}
    if "echo_train_length" in known:
        assumed |= fitted_train(known, assumed)
    if "inversion_time" in assumed and sequence in _NULLED:
        assumed["inversion_time"] = max(_SHORTEST_INVERSION, _nulling(_NULLED[sequence], {**known, **assumed}))
    if "n_partitions" in assumed:
        assumed["n_partitions"] = _fitting_block(sequence, known)
    return assumed


def fitting(
    sequence: type[SignalModel], settings: Mapping[str, Any], assumed: dict[str, Any]
) -> tuple[SignalModel, dict[str, Any]]:
    """Sequence with told and assumed settings, and the assumed ones, changed as little as told settings require.

    Raises ValueError if no change of assumed settings makes the sequence playable.
    """
    try:
        return sequence(**settings, **assumed), assumed
    except ValueError as error:
        refusal = error
    names = [name for name in _ADAPTED if name in assumed]
    for changed in (*((name,) for name in names), *combinations(names, 2)):
        for factors in product(*(_ADAPTED[name] for name in changed)):
            tried = {**assumed, **{name: _scaled(assumed[name], f) for name, f in zip(changed, factors, strict=True)}}
            if "n_partitions" in assumed and "n_partitions" not in changed:
                tried["n_partitions"] = _fitting_block(sequence, {**tried, **settings})
            with contextlib.suppress(ValueError):
                return sequence(**settings, **tried), tried
    raise refusal


def _scaled(value: float, factor: float) -> float:
    """Assumed setting times a factor; times are rounded to 0.1 ms, counts stay whole."""
    return max(1, round(value * factor)) if isinstance(value, int) else round(value * factor, 4)


def fitted_train(settings: Mapping[str, Any], assumed: Collection[str]) -> dict[str, Any]:
    """Values of settings among `assumed` with which the echo train reaches TE; long trains get short spacings.

    `settings` holds echo_time and echo_spacing in s, and echo_train_length.
    """
    echo_time, n, spacing = (settings[name] for name in ("echo_time", "echo_train_length", "echo_spacing"))
    if "echo_train_length" in assumed:
        return {"echo_train_length": max(n, math.ceil(echo_time / max(spacing, SHORTEST_SPACING) - 1e-9))}
    if "echo_spacing" in assumed:
        return {"echo_spacing": max(spacing if n < 64 else 0.004, echo_time / max(n, 1))}
    return {}


def _nulling(t1: float, known: Mapping[str, Any]) -> float:
    """Inversion time in s that nulls `t1` (s), rounded to ms."""
    train = known["echo_train_length"] * known["echo_spacing"]
    return round(nulling_inversion_time(t1, repetition_time=known["repetition_time"], train_duration=train), 3)


def _fitting_block(sequence: type[SignalModel], known: Mapping[str, Any]) -> int:
    """Usual number of read-outs, or the largest even number that fits between inversion, blocks and TR."""
    last = known["inversion_time"]
    durations = [2 * known["inversion_time"]]
    if sequence is Mp2rageUni:
        last = known["second_inversion_time"]
        durations.append(last - known["inversion_time"])
    durations.append(2 * (known["repetition_time"] - last))
    fitting = int(min(durations) / known["echo_spacing"] + 1e-9) // 2 * 2
    return max(2, min(int(known["n_partitions"]), fitting))
