"""From the sites' average to the next global adapter: the server optimizers of FedOpt (arXiv 2003.00295).

With Δ the round's average minus the global adapter x that the round began with, per value:

    average     x + lr · Δ                                            lr = 1: the average itself, bit for bit
    momentum    m ← momentum · m + Δ,   x + lr · m                    FedAvgM; m begins at 0
    adam        m ← beta1 · m + (1 − beta1) · Δ                       FedAdam, algorithm 2; m begins at 0,
                v ← beta2 · v + (1 − beta2) · Δ²                      v at epsilon²
                x + lr · m / (√v + epsilon)

`adam` is as published: no bias correction. With the published betas (0.9, 0.99) none is missed in the first round,
where (1 − beta1) / √(1 − beta2) = 1; later the uncorrected step is longer, 2.13 times at most (round 13).

Tensors that do not travel have no Δ and stay. m and v are float32, as adapters are, and are the coordinator's alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from fedmedlora.adapters.state import AdapterState, Array, require_same_shape
from fedmedlora.errors import AdapterError, ConfigError, nearest

OptimizerName: TypeAlias = Literal["average", "momentum", "adam"]

_FIRST = "momentum."
_SECOND = "variance."


@dataclass(frozen=True)
class ServerOptimizer:
    """Which optimizer turns averages into global adapters, and its numbers; those of another one have no effect.

    lr: of the server, no unit (`adam`: the most that a value moves in a round, about). Raises ConfigError for an
    unknown name and for numbers out of range.
    """

    name: OptimizerName = "average"
    lr: float = 1.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        if self.name not in _STEPS:
            raise ConfigError(f"server_optimizer = '{self.name}': unknown; {nearest(self.name, _STEPS)}.")
        for what, value in (("server_lr", self.lr), ("server_epsilon", self.epsilon)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{what} = {value}: expected a finite number above 0.")
        for what, value in (
            ("server_momentum", self.momentum),
            ("server_beta1", self.beta1),
            ("server_beta2", self.beta2),
        ):
            if not 0 <= value < 1:
                raise ConfigError(f"{what} = {value}: expected a number from 0 to below 1.")

    @property
    def plain(self) -> bool:
        """Whether the next global adapter is the average itself."""
        return self.name == "average" and self.lr == 1.0


class ServerStep(NamedTuple):
    """The next global adapter, and what the optimizer has to remember; None where it remembers nothing."""

    state: AdapterState
    memory: AdapterState | None


def server_step(
    optimizer: ServerOptimizer, state: AdapterState, average: AdapterState, memory: AdapterState | None
) -> ServerStep:
    """One step from the global adapter `state` towards the round's `average`; `memory` is what the step before left.

    Both states hold the tensors that travel. Raises AdapterError, naming the tensor, where they do not fit, where the
    memory is not of this optimizer, and for a step that leaves float32's range.
    """
    require_same_shape(state, average)
    if optimizer.plain:
        return ServerStep(average, None)
    arrays: dict[str, Array] = {}
    kept: dict[str, Array] = {}
    for name, now in state.arrays.items():
        moments = {kind: _recall(memory, kind + name, now) for kind in (_FIRST, _SECOND)}
        step, after = _STEPS[optimizer.name](optimizer, average.arrays[name] - now, moments)
        arrays[name] = now + np.float32(optimizer.lr) * step
        kept.update({kind + name: array for kind, array in after.items()})
        if not np.isfinite(arrays[name]).all():
            raise AdapterError(f"tensor '{name}': the server's step leaves the range of float32. Lower server_lr.")
    return ServerStep(AdapterState(arrays, state.spec), AdapterState(kept, state.spec) if kept else None)


_Moments: TypeAlias = Mapping[str, Array | None]
_Step: TypeAlias = Callable[[ServerOptimizer, Array, _Moments], tuple[Array, dict[str, Array]]]


def _average(optimizer: ServerOptimizer, change: Array, moments: _Moments) -> tuple[Array, dict[str, Array]]:
    return change, {}


def _momentum(optimizer: ServerOptimizer, change: Array, moments: _Moments) -> tuple[Array, dict[str, Array]]:
    before = moments[_FIRST]
    first = change if before is None else np.float32(optimizer.momentum) * before + change
    return first, {_FIRST: first}


def _adam(optimizer: ServerOptimizer, change: Array, moments: _Moments) -> tuple[Array, dict[str, Array]]:
    beta1, beta2 = np.float32(optimizer.beta1), np.float32(optimizer.beta2)
    epsilon = np.float32(optimizer.epsilon)
    before, spread = moments[_FIRST], moments[_SECOND]
    first = (1 - beta1) * change if before is None else beta1 * before + (1 - beta1) * change
    second = beta2 * (epsilon * epsilon if spread is None else spread) + (1 - beta2) * change * change
    step: Array = np.divide(first, np.sqrt(second) + epsilon, dtype=np.float32)
    return step, {_FIRST: first, _SECOND: second}


_STEPS: Mapping[str, _Step] = MappingProxyType({"average": _average, "momentum": _momentum, "adam": _adam})


def _recall(memory: AdapterState | None, name: str, like: Array) -> Array | None:
    found = None if memory is None else memory.arrays.get(name)
    if found is not None and found.shape != like.shape:
        raise AdapterError(f"tensor '{name}' of the server's memory has another shape. Start anew in another folder.")
    return found
