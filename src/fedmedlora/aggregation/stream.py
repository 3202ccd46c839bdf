"""Weighted averages in float32 that hold one accumulator, however many states go in.

Instead of Σwx and a division at the end, a running mean is kept: `mean ← mean + (w / Σw so far) · (x − mean)`. Its
value is Σwx / Σw, and no scale of weights can overflow it. One state alone comes out bit for bit, and the same state
many times as the same values.

Rounding depends on the order in which states are added: for K states two orders differ by at most about 4·K·6e-8 of
the greatest magnitude among the values averaged (1e-6 for four sites). Whoever needs equal bits must fix the order;
`aggregate` and `RoundAggregation` add in sorted site order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fedmedlora.adapters.state import AdapterSpec, AdapterState, Array, Shapes, require_layout
from fedmedlora.errors import AdapterError


class WeightedSum:
    """A weighted average of adapter states that arrive one at a time.

    Memory: one state's arrays, plus one tensor. Weights need not be normalised.
    """

    def __init__(self) -> None:
        self._spec: AdapterSpec | None = None
        self._shapes: Shapes = {}
        self._mean: dict[str, Array] = {}
        # While False the arrays belong to a caller's state (the only one added, or a result) and must not be written.
        self._owned = False
        self._log_total = -math.inf

    def add(self, state: AdapterState, weight: float) -> None:
        """Add one state; weight 0 adds nothing.

        Raises AdapterError for a negative or non-finite weight, and, naming the tensor, for a state unlike the first.
        """
        if not (math.isfinite(weight) and weight >= 0):
            raise AdapterError(f"a weight in an average is {weight}; expected a finite number of at least 0.")
        self.add_log(state, math.log(weight) if weight > 0 else -math.inf)

    def add_log(self, state: AdapterState, log_weight: float) -> None:
        """Add one state by the logarithm of its weight, for weights that a float could not hold."""
        if math.isnan(log_weight) or log_weight == math.inf:
            raise AdapterError(f"a log weight in an average is {log_weight}; expected a finite number.")
        if self._spec is None:
            self._spec, self._shapes = state.spec, state.shapes
        require_layout(self._spec, self._shapes, state)
        if log_weight == -math.inf:
            return
        if self._log_total == -math.inf:
            self._mean, self._owned = dict(state.arrays), False
            self._log_total = log_weight
            return
        self._log_total = float(np.logaddexp(self._log_total, log_weight))
        self._fold(state, np.float32(math.exp(log_weight - self._log_total)))

    def result(self) -> AdapterState:
        """The average so far. More states may be added after it. Raises AdapterError when nothing has been added."""
        if self._spec is None or self._log_total == -math.inf:
            raise AdapterError("there is nothing to average: no state with a positive weight was added.")
        for array in self._mean.values():
            array.setflags(write=False)
        self._owned = False
        return AdapterState(self._mean, self._spec)

    def _fold(self, state: AdapterState, share: np.float32) -> None:
        for name, mean in self._mean.items():
            step = state.arrays[name] - mean
            step *= share
            if self._owned:
                mean += step
            else:
                step += mean
                self._mean[name] = step
        self._owned = True


def aggregate(updates: Mapping[str, AdapterState], weights: Mapping[str, float]) -> AdapterState:
    """The weighted average of the sites' states, added in sorted site order: equal input gives equal bits.

    Weights need not be normalised. Raises AdapterError unless both mappings name the same sites.
    """
    for site in sorted(updates.keys() ^ weights.keys()):
        missing = "weight" if site in updates else "update"
        raise AdapterError(
            f"site '{site}' has no {missing}; an average needs one update and one weight for every site."
        )
    total = WeightedSum()
    for site in sorted(updates):
        total.add(updates[site], weights[site])
    return total.result()
