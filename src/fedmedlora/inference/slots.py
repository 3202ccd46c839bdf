"""Keys and values of many rows at their own lengths: written in place, the instructions once for all that share them.

A slot is a row's storage. Every pass writes what it reads behind what the slot holds, and what turns out wrong is
written over; nothing is concatenated, and moved only when a row ends. A mask by position hides the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

_ROUND_UP = 128


class _Layer(CacheLayerMixin):
    """One layer's storage: [slots, capacity, heads, width of a head]."""

    is_sliding = False

    def __init__(self, slots: Slots) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._slots = slots

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take storage for all slots."""
        self.keys, self.values = (self._empty(states) for states in (key_states, value_states))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the block's new keys and values; returns all that its rows may look at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = self._written(self.keys, key_states), self._written(self.values, value_states)
        return self._block(self.keys), self._block(self.values)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first positions of one slot to another."""
        if self.is_initialized:
            for kept in (self.keys, self.values):
                assert kept is not None
                kept[target, :length] = kept[source, :length]

    def get_seq_length(self) -> int:
        """Unused: every pass brings its positions and its mask."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Unused, as above."""
        return self._slots.seen, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros(self._slots.rows, self._slots.capacity, like.shape[1], like.shape[3])

    def _written(self, kept: Tensor | None, new: Tensor) -> Tensor:
        slots = self._slots
        assert kept is not None
        if kept.shape[1] < slots.capacity:
            kept, old = self._empty(new), kept
            kept[:, : old.shape[1]] = old
        kept[slots.row_index, slots.column_index] = new.transpose(1, 2).to(kept.dtype)
        return kept

    def _block(self, kept: Tensor) -> Tensor:
        return kept[self._slots.first : self._slots.last, : self._slots.seen].transpose(1, 2)


class Slots:
    """Storage for so many rows of one model.

    first, last: the block of slots of the current pass. seen: positions that its longest row may look at.
    """

    def __init__(self, rows: int, layers: int, device: torch.device) -> None:
        self.rows, self.device = rows, device
        self.capacity = self.seen = self.first = self.last = 0
        self.row_index = self.column_index = torch.empty(0, dtype=torch.long, device=device)
        self._layers = [_Layer(self) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))
        self._prefixes: list[tuple[int, ...]] = [()] * rows

    def begin(self, first: int, starts: Sequence[int], width: int) -> tuple[Tensor, Tensor]:
        """Prepare a pass of `width` tokens for the slots from `first` on, each writing from its start.

        Returns positions [rows, width] and the mask of what each token sees, bool [rows, 1, width, seen].
        """
        self.first, self.last = first, first + len(starts)
        self.seen = max(starts) + width
        if self.seen > self.capacity:
            self.capacity = -(-self.seen * 5 // 4 // _ROUND_UP) * _ROUND_UP
        positions = torch.tensor(starts, device=self.device)[:, None] + torch.arange(width, device=self.device)
        self.row_index = torch.arange(self.first, self.last, device=self.device)[:, None].expand_as(positions)
        self.column_index = positions
        mask = torch.arange(self.seen, device=self.device) <= positions[..., None]
        return positions, mask[:, None]

    def holder(self, prefix: tuple[int, ...], slot: int) -> int | None:
        """A slot that begins with these tokens, the given one if it does."""
        if self._prefixes[slot] == prefix:
            return slot
        return self._prefixes.index(prefix) if prefix in self._prefixes else None

    def hold(self, slot: int, prefix: tuple[int, ...], source: int | None = None) -> None:
        """Note that a slot begins with these tokens, copied from another slot where one is named."""
        if source is not None and source != slot:
            self._copy(source, slot, len(prefix))
        self._prefixes[slot] = prefix

    def replace(self, slot: int, source: int, length: int) -> None:
        """Put the first positions of another slot, and what it begins with, in place of a slot that is done."""
        if source != slot:
            self._copy(source, slot, length)
            self._prefixes[slot] = self._prefixes[source]

    def _copy(self, source: int, slot: int, length: int) -> None:
        for layer in self._layers:
            layer.move(source, slot, length)
