"""What rows have read so far: keys and values, kept between passes where that changes nothing.

A row has a slot of storage. A pass takes in whatever each of its rows has to read, side by side and without padding
(`adapters.attention` keeps them apart), and writes keys and values behind what the slot holds up to the row's start:
what turned out wrong is written over. Instructions that rows share are read once and copied.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from fedmedlora.adapters.attention import NAME, slot_layout
from fedmedlora.adapters.readout import Readout
from fedmedlora.errors import BaseModelError

_ROUND_UP = 128
_LONGEST_PROBED_WINDOW = 512


class Feed(NamedTuple):
    """What one row reads in a pass. start: how many of the slot's tokens are kept; tokens: what follows, not none."""

    slot: int
    start: int
    tokens: Sequence[int]


class Memory:
    """Slots for so many rows of one model.

    cached: whether keys and values are kept; without, every pass reads everything anew. pad: a token to fill rows with
    then. tokens: tokens read so far, padding left out.
    """

    def __init__(self, readout: Readout, pad: int, slots: int, *, cached: bool) -> None:
        self._readout, self._pad = readout, pad
        self._device = readout.weight.device
        self._texts: list[list[int]] = [[] for _ in range(slots)]
        self._prefixes: list[tuple[int, ...]] = [()] * slots
        self._storage = _Storage(slots, readout) if cached else None
        self.tokens = 0

    def share(self, slot: int, prefix: tuple[int, ...]) -> None:
        """Let a slot hold these tokens, read for it only if no slot has them."""
        if self._prefixes[slot] != prefix and prefix and self._storage is not None:
            if prefix in self._prefixes:
                self._storage.copy(self._prefixes.index(prefix), slot, len(prefix))
            else:
                self._read_on([Feed(slot, 0, prefix)])
        self._prefixes[slot] = prefix
        self._texts[slot] = list(prefix)

    def read(self, feeds: Sequence[Feed]) -> list[Tensor]:
        """The states after each token that is read, of each feed: [tokens, width].

        A feed starts no earlier than behind what its slot shares, and no later than where the slot ends.
        """
        for slot, start, tokens in feeds:
            self._texts[slot][start:] = tokens
        return self._read_anew(feeds) if self._storage is None else self._read_on(feeds)

    def _read_on(self, feeds: Sequence[Feed]) -> list[Tensor]:
        assert self._storage is not None
        counts = [len(feed.tokens) for feed in feeds]
        self.tokens += sum(counts)
        layout = slot_layout([feed.slot for feed in feeds], counts, [feed.start for feed in feeds])
        positions = [feed.start + place for feed in feeds for place in range(len(feed.tokens))]
        rows = [feed.slot for feed in feeds for _ in feed.tokens]
        self._storage.expect(rows, positions)
        states = self._readout.hidden(
            torch.tensor([[token for feed in feeds for token in feed.tokens]], device=self._device),
            mask=layout.to(self._device),
            positions=torch.tensor([positions], device=self._device),
            cache=self._storage.cache,
        ).states
        return list(states[0].split(counts))

    def _read_anew(self, feeds: Sequence[Feed]) -> list[Tensor]:
        texts = [self._texts[feed.slot] for feed in feeds]
        self.tokens += sum(map(len, texts))
        width = max(map(len, texts))
        ids = torch.tensor([text + [self._pad] * (width - len(text)) for text in texts], device=self._device)
        lengths = torch.tensor([len(text) for text in texts], device=self._device)
        columns = torch.arange(width, device=self._device)
        mask = (columns < lengths[:, None]).long()
        states = self._readout.hidden(ids, mask=mask, positions=columns.expand_as(ids)).states
        return [row[feed.start : feed.start + len(feed.tokens)] for row, feed in zip(states, feeds, strict=True)]


class _Storage:
    """Keys and values of all layers, and where the pass under way writes."""

    def __init__(self, slots: int, readout: Readout) -> None:
        self.slots, self.device = slots, readout.weight.device
        self.capacity = 0
        self.rows = self.columns = torch.empty(0, dtype=torch.long, device=self.device)
        count = readout.model.config.get_text_config().num_hidden_layers
        self._layers = [_Layer(self) for _ in range(count)]
        self.cache = Cache(layers=list(self._layers))

    def expect(self, rows: Sequence[int], columns: Sequence[int]) -> None:
        """The slot and the position that each token of the next pass is written to."""
        self.rows, self.columns = (torch.tensor(where, device=self.device) for where in (rows, columns))
        needed = max(columns) + 1
        if needed > self.capacity:
            self.capacity = -(-needed * 5 // 4 // _ROUND_UP) * _ROUND_UP

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first positions of one slot to another."""
        for layer in self._layers:
            layer.copy(source, target, length)


class _Layer(CacheLayerMixin):
    """One layer's storage: [slots, heads, capacity, width of a head]."""

    is_sliding = False

    def __init__(self, storage: _Storage) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # The storage holds the layers: a reference back would keep both until the next collection of cycles.
        self._storage: _Storage = weakref.proxy(storage)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Take storage for all slots."""
        self.keys, self.values = (self._empty(states) for states in (key_states, value_states))
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write what a pass has read, [1, heads, tokens, width of a head]; returns the storage."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = keys = self._written(self.keys, key_states)
        self.values = values = self._written(self.values, value_states)
        return keys, values

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first positions of one slot to another."""
        for kept in (self.keys, self.values) if self.is_initialized else ():
            assert kept is not None
            kept[target, :, :length] = kept[source, :, :length]

    def get_seq_length(self) -> int:
        """Unused: every pass brings its positions and its layout."""
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Unused, as above."""
        return self._storage.capacity, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_zeros(self._storage.slots, like.shape[1], self._storage.capacity, like.shape[3])

    def _written(self, kept: Tensor | None, new: Tensor) -> Tensor:
        assert kept is not None
        if kept.shape[2] < self._storage.capacity:
            kept, old = self._empty(new), kept
            kept[:, :, : old.shape[2]] = old
        kept[self._storage.rows, :, self._storage.columns] = new[0].transpose(0, 1).to(kept.dtype)
        return kept


def cache_is_exact(readout: Readout, pad: int) -> bool:
    """Whether rows that are read in pieces, some of them anew, get the states of plain passes.

    Architectures whose attention is not the package's own, or that have a state of their own, do not.
    """
    config = readout.model.config
    if config._attn_implementation != NAME:
        return False
    window = getattr(config.get_text_config(), "sliding_window", None) or 0
    length = 16 + (window if window <= _LONGEST_PROBED_WINDOW else 0)
    vocabulary = readout.weight.shape[0]
    rows = [[(7 * place + 11 * row) % vocabulary for place in range(length + row)] for row in range(2)]
    prefix = (3 % vocabulary, 5 % vocabulary)
    with torch.inference_mode():
        plain = [_plain_states(readout, [*prefix, *row]) for row in rows]
        try:
            found = _states_in_pieces(readout, pad, prefix, rows)
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError, BaseModelError):
            return False
    tolerance = 1e-4 if readout.weight.dtype == torch.float32 else 5e-2
    return all(
        torch.allclose(ours, theirs[-len(ours) :], rtol=tolerance, atol=tolerance * float(theirs.abs().max()))
        for ours, theirs in zip(found, plain, strict=True)
    )


def _plain_states(readout: Readout, tokens: Sequence[int]) -> Tensor:
    return readout.hidden(torch.tensor([tokens], device=readout.weight.device)).states[0].float()


def _states_in_pieces(
    readout: Readout, pad: int, prefix: tuple[int, ...], rows: Sequence[Sequence[int]]
) -> list[Tensor]:
    """The last states of two rows behind one prefix, read in two passes after one that is given up."""
    memory = Memory(readout, pad, len(rows), cached=True)
    first, half = len(prefix), len(rows[0]) // 2
    for slot in range(len(rows)):
        memory.share(slot, prefix)
    memory.read([Feed(slot, first, row[half:]) for slot, row in enumerate(rows)])
    memory.read([Feed(0, first, rows[0][:half]), Feed(1, first, rows[1][: half + 1])])
    second, other = memory.read([Feed(1, first + half, rows[1][half:]), Feed(0, first + half, rows[0][half:])])
    return [other.float(), second.float()]
