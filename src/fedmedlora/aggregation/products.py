"""Averages of LoRA products: `Σ w_k B_k A_k`, cut back to rank r, where `mean(B) · mean(A)` would be another matrix.

The d_out × d_in product is never formed. With L = [√w_1 B_1 … √w_K B_K] and R = [√w_1 A_1; …; √w_K A_K] it is L R, and
with the QR decompositions L = Q_L T_L and Rᵀ = Q_R T_R its singular values are those of the K·r square core T_L T_Rᵀ.
LoRA's factor α / r is the same at every site and drops out.

**The split.** U S Vᵀ of rank r may be split into B and A in many ways, which train differently. Here A = a Q Vᵀ and
B = U S Qᵀ / a: A's rows are orthogonal and of one length a, that of the average A's rows (root mean square), and the
rotation Q brings A as near to the average A as a rotation can (orthogonal Procrustes). So A stays the size that LoRA
began with, a site finds nearly the rows that it left, and the signs and order that a singular value decomposition
leaves open play no part. A balanced split (√S to each side) would shrink A with S, and where S is 0, as where no site
has trained, make both factors 0, from which no gradient leads away.

**What the cut loses** may be kept, as factors too, and goes into the next round's average (error feedback). Of what is
kept only `limit` singular values stay. Computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fedmedlora.adapters.state import AdapterState, Array
from fedmedlora.errors import AdapterError

_A, _B = ".lora_A.", ".lora_B."
# Singular values below this share of the greatest are float32's rounding of the factors.
_ROUNDING = float(np.finfo(np.float32).eps)

_Matrix: TypeAlias = npt.NDArray[np.float64]


class ProductAverage(NamedTuple):
    """The average cut to the adapters' rank, and what the cut lost: None where it lost nothing or none is kept.

    residual: factors under the adapters' names, of whatever rank they need.
    """

    state: AdapterState
    residual: AdapterState | None


class ProductMean:
    """A weighted average of adapter states' products; the states arrive one at a time and all are held.

    Memory grows with sites × adapter: a cut after each state would depend on their order. One state alone comes out bit
    for bit. residual: what the round before lost. limit: greatest rank of what this one keeps, 0 to keep nothing.
    """

    def __init__(self, residual: AdapterState | None = None, limit: int = 0) -> None:
        self._states: list[AdapterState] = []
        self._logs: list[float] = []
        self._before = residual
        self._limit = limit

    def add_log(self, state: AdapterState, log_weight: float) -> None:
        """Add one state by the logarithm of its weight, a finite number."""
        self._states.append(state)
        self._logs.append(log_weight)

    def result(self) -> ProductAverage:
        """The average. Raises AdapterError when nothing was added, or a matrix has no partner."""
        if not self._states:
            raise AdapterError("there is nothing to average: no state was added.")
        first = self._states[0]
        if len(self._states) == 1 and self._before is None:
            return ProductAverage(first, None)
        greatest = max(self._logs)
        raw = np.exp(np.array(self._logs) - greatest)
        shares = raw / raw.sum()
        arrays: dict[str, Array] = {}
        lost: dict[str, Array] = {}
        for name in first.arrays.keys() - {name for name in first.arrays if _A in name or _B in name}:
            whole = sum(share * _double(state, name) for share, state in zip(shares, self._states, strict=True))
            arrays[name] = _single(np.asarray(whole))
        for name_a, name_b in paired_names(first.arrays):
            kept, rest = self._average_module(name_a, name_b, shares)
            arrays[name_a], arrays[name_b] = kept
            if rest is not None:
                lost[name_a], lost[name_b] = rest
        return ProductAverage(AdapterState(arrays, first.spec), AdapterState(lost, first.spec) if lost else None)

    def _average_module(
        self, name_a: str, name_b: str, shares: _Matrix
    ) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
        """A and B of the average, then of what it lost."""
        rank = self._states[0].arrays[name_a].shape[0]
        average_a = sum(share * _double(state, name_a) for share, state in zip(shares, self._states, strict=True))
        rows = [math.sqrt(share) * _double(state, name_a) for share, state in zip(shares, self._states, strict=True)]
        columns = [math.sqrt(share) * _double(state, name_b) for share, state in zip(shares, self._states, strict=True)]
        if self._before is not None and name_a in self._before.arrays:
            rows.append(_double(self._before, name_a))
            columns.append(_double(self._before, name_b))
        left, values, right = _decompose(np.concatenate(columns, axis=1), np.concatenate(rows, axis=0))
        left, values, right = _filled(left, values, right, rank)
        size = math.sqrt(float(np.mean(np.sum(np.square(average_a), axis=1)))) or 1.0
        turned = _nearest_rotation(right[:rank], np.asarray(average_a))
        a, b = size * turned @ right[:rank], (left[:, :rank] * values[:rank]) @ turned.T / size
        end = min(rank + self._limit, int(np.count_nonzero(values > _ROUNDING * values[0])))
        if end <= rank:
            return (_single(a), _single(b)), None
        root = np.sqrt(values[rank:end])
        rest = (_single(root[:, None] * right[rank:end]), _single(left[:, rank:end] * root))
        return (_single(a), _single(b)), rest


def paired_names(arrays: Mapping[str, Array]) -> list[tuple[str, str]]:
    """The names of each module's A and B. Raises AdapterError, naming the tensor, for one without the other.

    What is neither (a classifier's weights) has no product, and is averaged for itself.
    """
    pairs = [(name, name.replace(_A, _B)) for name in arrays if _A in name]
    factors = {name for name in arrays if _A in name or _B in name}
    for name in sorted(factors ^ {name for pair in pairs for name in pair}):
        raise AdapterError(f"tensor '{name}' has no partner, or its partner is missing; a product needs A and B.")
    return pairs


def _decompose(columns: _Matrix, rows: _Matrix) -> tuple[_Matrix, _Matrix, _Matrix]:
    """U, S (descending) and Vᵀ of `columns @ rows`."""
    left, upper = np.linalg.qr(columns)
    right, lower = np.linalg.qr(rows.T)
    inner_left, values, inner_right = np.linalg.svd(upper @ lower.T, full_matrices=False)
    return left @ inner_left, values, inner_right @ right.T


def _filled(left: _Matrix, values: _Matrix, right: _Matrix, rank: int) -> tuple[_Matrix, _Matrix, _Matrix]:
    """The same with as many singular values as the rank, zeros added: a module may be narrower than that."""
    missing = rank - len(values)
    if missing <= 0:
        return left, values, right
    return np.pad(left, ((0, 0), (0, missing))), np.pad(values, (0, missing)), np.pad(right, ((0, missing), (0, 0)))


def _nearest_rotation(rows: _Matrix, wanted: _Matrix) -> _Matrix:
    """The orthogonal Q for which `Q @ rows` points most nearly along `wanted`."""
    left, _, right = np.linalg.svd(wanted @ rows.T)
    rotation: _Matrix = left @ right
    return rotation


def _double(state: AdapterState, name: str) -> _Matrix:
    return state.arrays[name].astype(np.float64)


def _single(array: _Matrix) -> Array:
    return np.ascontiguousarray(array, np.float32)
