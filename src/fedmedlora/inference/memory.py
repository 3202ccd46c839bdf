"""What a batch of rows has read so far: keys and values, kept between passes where that changes nothing.

Rows take in as many tokens as they have, side by side: each stands at the right end of its share of the new columns,
so that its last state is the last column's, and a mask hides the columns that it left empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from fedmedlora.adapters.readout import Readout

_ROUND_UP = 128
_PROBE_PREFIX = 5
_PROBE_FEEDS = (((1, 2, 3, 4), (5,)), ((6,), (7, 8, 9)), ((1,), (2,)))


class Memory:
    """The rows of one batch, which begin with the same tokens.

    cached: whether keys and values are kept; without, every pass reads everything anew. tokens: tokens read so far,
    padding left out.
    """

    def __init__(self, readout: Readout, pad: int, prefix: Sequence[int], rows: int, *, cached: bool) -> None:
        self._readout = readout
        self._pad = pad
        self._device = readout.weight.device
        self._texts = [list(prefix) for _ in range(rows)]
        self._cache = Cache(layer_class_to_replicate=_Kept) if cached else None
        self._seen = torch.ones(rows, len(prefix), dtype=torch.long, device=self._device)
        self.tokens = 0
        if self._cache is not None:
            self.tokens = len(prefix)
            readout.hidden(torch.tensor([list(prefix)], device=self._device), cache=self._cache)
            self._cache.batch_repeat_interleave(rows)

    def read(self, feeds: Sequence[Sequence[int]]) -> Tensor:
        """Read on in every row, at least one token each; returns the state after each row's last: [rows, width]."""
        before = [len(text) for text in self._texts]
        for text, feed in zip(self._texts, feeds, strict=True):
            text.extend(feed)
        return self._read_all() if self._cache is None else self._read_on(feeds, before)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all rows but these."""
        if len(rows) == len(self._texts):
            return
        self._texts = [self._texts[row] for row in rows]
        if self._cache is not None:
            index = torch.tensor(rows, dtype=torch.long, device=self._device)
            self._seen = self._seen[index]
            self._cache.batch_select_indices(index)

    def _read_on(self, feeds: Sequence[Sequence[int]], before: Sequence[int]) -> Tensor:
        width = max(map(len, feeds))
        self.tokens += sum(map(len, feeds))
        gaps = [width - len(feed) for feed in feeds]
        ids = [[self._pad] * gap + list(feed) for gap, feed in zip(gaps, feeds, strict=True)]
        columns = torch.arange(width, device=self._device)
        fresh = (columns >= torch.tensor(gaps, device=self._device)[:, None]).long()
        self._seen = torch.cat([self._seen, fresh], dim=1)
        starts = torch.tensor([start - gap for start, gap in zip(before, gaps, strict=True)], device=self._device)
        states = self._readout.hidden(
            torch.tensor(ids, device=self._device),
            mask=self._seen,
            positions=(starts[:, None] + columns).clamp(min=0),
            cache=self._cache,
        ).states
        return states[:, -1]

    def _read_all(self) -> Tensor:
        lengths = torch.tensor([len(text) for text in self._texts], device=self._device)
        width = int(lengths.max())
        self.tokens += int(lengths.sum())
        ids = torch.tensor([text + [self._pad] * (width - len(text)) for text in self._texts], device=self._device)
        mask = (torch.arange(width, device=self._device) < lengths[:, None]).long()
        states = self._readout.hidden(ids, mask=mask).states
        return states[torch.arange(len(self._texts), device=self._device), lengths - 1]


class _Kept(DynamicLayer):
    """One layer's keys and values [rows, heads, columns, width], in storage with room to write on."""

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Begin with no column."""
        super().lazy_initialization(key_states, value_states)
        self._storage: list[Tensor | None] = [None, None]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new columns behind the old ones; returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = keys = self._appended(0, self.keys, key_states)
        self.values = values = self._appended(1, self.values, value_states)
        return keys, values

    def _appended(self, which: int, kept: Tensor | None, new: Tensor) -> Tensor:
        length = kept.shape[-2] if kept is not None and kept.numel() else 0
        needed = length + new.shape[-2]
        storage = self._storage[which]
        if storage is None or storage.shape[0] != new.shape[0] or storage.shape[-2] < needed:
            rows, heads, _, width = new.shape
            storage = new.new_empty(rows, heads, -(-needed * 5 // 4 // _ROUND_UP) * _ROUND_UP, width)
            if kept is not None and length:
                storage[:, :, :length] = kept
            self._storage[which] = storage
        storage[:, :, length:needed] = new
        return storage[:, :, :needed]


def cache_is_exact(readout: Readout, pad: int) -> bool:
    """Whether rows of different lengths, read in pieces with keys and values kept, get the states of one plain pass.

    Architectures with sliding windows or a state of their own do not, or not at every length.
    """
    config = readout.model.config
    if any(getattr(config, name, None) is not None for name in ("sliding_window", "attention_chunk_size")):
        return False
    vocabulary = readout.weight.shape[0]
    device = readout.weight.device
    prefix = [token % vocabulary for token in range(11, 11 + _PROBE_PREFIX)]
    rows = [[token * 7 % vocabulary for feeds in _PROBE_FEEDS for token in feeds[row]] for row in (0, 1)]
    with torch.inference_mode():
        plain = torch.stack([readout.hidden(torch.tensor([prefix + row], device=device)).states[0, -1] for row in rows])
        try:
            memory = Memory(readout, pad, prefix, len(rows), cached=True)
            for feeds in _PROBE_FEEDS:
                found = memory.read([[token * 7 % vocabulary for token in feed] for feed in feeds])
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError):
            return False
    tolerance = 1e-4 if readout.weight.dtype == torch.float32 else 5e-2
    plain = plain.float()
    return torch.allclose(found.float(), plain, rtol=tolerance, atol=tolerance * float(plain.abs().max()))
