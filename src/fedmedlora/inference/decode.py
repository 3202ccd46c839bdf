"""Span-constrained greedy decoding that jumps: the source can only be copied or tagged.

At every step the grammar leaves the next source token and a few tags. One forward pass over a draft of all that is
still to come scores every step of it at once; decoding accepts the draft up to the first place where another token
scores higher, and what the pass said about the rest makes the next draft. The result equals taking the best allowed
token one at a time (ties go to the copy, then to the lowest token id), in a few passes instead of one a token.

Rows of a batch stand at different places. A row that ends makes room for the next request, and instructions that
requests share are read once (see `slots`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedmedlora.adapters.attention import NAME as PACKED
from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.readout import Readout
from fedmedlora.inference.draft import Marked, Pick, Row, start_row
from fedmedlora.inference.slots import Slots
from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import TokenSpan

_PROBE_TOKENS = 12
_REFILL_SHARE = 4


@dataclass
class Decoder:
    """Decodes requests with the adapter that is in the model; make one with `make_decoder`.

    cached: whether keys and values are kept between passes; without, every pass reads everything anew. batch_size: rows
    decoded together. tokens: tokens read so far, padding left out; passes: forward passes so far, each counted once a
    row, those over shared instructions left out.
    """

    adapted: Adapted
    readout: Readout
    cached: bool
    batch_size: int = 32
    tokens: int = 0
    passes: int = 0

    def decode(
        self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None
    ) -> list[tuple[TokenSpan, ...]]:
        """The spans that the model marks in each request's source, in the order of the requests.

        on_done: called, whenever requests are answered, with how many.
        """
        return [answer.spans for answer in self.mark(requests, on_done)]

    def mark(self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None) -> list[Marked]:
        """As `decode`, with the confidence of each span."""
        found = [Marked((), ())] * len(requests)
        order = sorted(range(len(requests)), key=lambda index: _turn(requests[index], index))
        waiting = deque(order)
        active: list[Row] = []
        slots = self._slots()
        with torch.inference_mode():
            while waiting or active:
                fresh, answered = self._admit(requests, waiting, len(active))
                first = 0
                if fresh:
                    first = len(active)
                    active += fresh
                    if slots is not None:
                        self._share_prefixes(active, first, slots)
                if active[first:]:
                    self._pass(active[first:], first, slots)
                answered += _let_go(active, slots)
                for row in answered:
                    found[row.index] = row.marked()
                if answered and on_done is not None:
                    on_done(len(answered))
        return found

    def _slots(self) -> Slots | None:
        if not self.cached:
            return None
        layers = self.readout.model.config.get_text_config().num_hidden_layers
        return Slots(self.batch_size, layers, self.readout.weight.device)

    def _admit(self, requests: Sequence[Request], waiting: deque[int], busy: int) -> tuple[list[Row], list[Row]]:
        """Rows for free places, once enough are free to be worth a pass of their own; and rows that need no pass."""
        fresh: list[Row] = []
        forced: list[Row] = []
        if busy and self.batch_size - busy < max(1, self.batch_size // _REFILL_SHARE):
            return fresh, forced
        while waiting and busy + len(fresh) < self.batch_size:
            index = waiting.popleft()
            row = start_row(index, requests[index])
            (forced if row.ended else fresh).append(row)
        return fresh, forced

    def _share_prefixes(self, rows: Sequence[Row], first: int, slots: Slots) -> None:
        """Give each new row the keys and values of its instructions, read for it only if no slot has them."""
        for slot in range(first, len(rows)):
            row, prefix = rows[slot], rows[slot].prefix
            source = slots.holder(prefix, slot)
            if source is None and prefix:
                positions, mask = slots.begin(slot, [0], len(prefix))
                ids = torch.tensor([prefix], device=slots.device)
                self._states(ids, positions, mask, slots)
                self.tokens += len(prefix)
            slots.hold(slot, prefix, source)
            row.cached = len(prefix)

    def _pass(self, rows: Sequence[Row], first: int, slots: Slots | None) -> None:
        """Read every row's draft and accept what the model agrees with."""
        picks = self._pick(rows, self._read(rows, first, slots))
        for row, chosen in zip(rows, picks, strict=True):
            read = row.accept(chosen)
            if slots is not None:
                row.cached += read

    def _read(self, rows: Sequence[Row], first: int, slots: Slots | None) -> list[Tensor]:
        """Feed every row; returns, for each, the states that its choices are made from: [needed, width]."""
        feeds = [row.feed for row in rows]
        width = max(len(feed) for feed in feeds)
        device = self.readout.weight.device
        pad = self.adapted.base.tokenizer.pad_id
        ids = torch.tensor([feed + [pad] * (width - len(feed)) for feed in feeds], device=device)
        if slots is None:
            lengths = torch.tensor([len(feed) for feed in feeds], device=device)
            positions = torch.arange(width, device=device)[None].expand(len(rows), width)
            mask = (torch.arange(width, device=device)[None] < lengths[:, None]).long()
        else:
            positions, mask = slots.begin(first, [row.cached for row in rows], width)
        states = self._states(ids, positions, mask, slots)
        self.tokens += sum(len(feed) for feed in feeds)
        self.passes += len(rows)
        return [states[number, row.lead - 1 : row.lead - 1 + row.draft.needed] for number, row in enumerate(rows)]

    def _states(self, ids: Tensor, positions: Tensor, mask: Tensor, slots: Slots | None) -> Tensor:
        if slots is None:
            return self.readout.hidden(ids, mask=mask, positions=positions).states
        mask = _as_attention(mask, self.readout)
        return self.readout.hidden(ids, mask=mask, positions=positions, cache=slots.cache).states

    def _pick(self, rows: Sequence[Row], states: Sequence[Tensor]) -> list[list[Pick]]:
        """The best allowed token at each choice that the rows ask about."""
        choices = [choice for row in rows for choice in row.asked]
        special = sorted({token for choice in choices for token in choice.others})
        column = {token: number for number, token in enumerate(special)}
        sets: dict[tuple[int, ...], int] = {}
        kinds = [sets.setdefault(choice.others, len(sets)) for choice in choices]
        legal = torch.zeros(len(sets), len(special), dtype=torch.bool)
        for others, number in sets.items():
            legal[number, [column[token] for token in others]] = True
        flat = torch.cat(list(states))
        device = flat.device
        copies = torch.tensor([-1 if choice.copy is None else choice.copy for choice in choices], device=device)
        table = torch.tensor(special, device=device)
        allowed = legal.to(device)[torch.tensor(kinds, device=device)]
        # A token that is both the copy and a tag's counts once, as the copy.
        allowed &= table != copies[:, None]
        tagged = self.readout.logits_of(flat, table).masked_fill(~allowed, -torch.inf)
        copied = self.readout.logits_at(flat, copies.clamp(min=0)).masked_fill(copies < 0, -torch.inf)
        # argmax takes the first of equals: the copy stands first, then special tokens by id.
        logits = torch.cat([copied[:, None], tagged], dim=1)
        best = logits.argmax(dim=1)
        chosen = torch.where(best == 0, copies, table[(best - 1).clamp(min=0)]).tolist()
        likely = logits.log_softmax(dim=1).gather(1, best[:, None])[:, 0].tolist()
        picks = [Pick(*pick) for pick in zip(chosen, likely, strict=True)]
        found, start = [], 0
        for row in rows:
            found.append(picks[start : start + row.draft.needed])
            start += row.draft.needed
        return found


def make_decoder(adapted: Adapted, batch_size: int = 32) -> Decoder:
    """A decoder for the model; keeps keys and values between passes where a probe shows that this changes nothing.

    Architectures with sliding windows or state of their own fall back to reading everything anew at every pass: slower,
    never different.
    """
    readout = adapted.readout
    return Decoder(adapted, readout, _cache_is_exact(readout), batch_size)


def _turn(request: Request, index: int) -> tuple[tuple[int, ...], int, int]:
    """Requests of one set of labels after another, short ones first."""
    return request.prompt[: request.prefix_tokens], len(request.prompt), index


def _let_go(active: list[Row], slots: Slots | None) -> list[Row]:
    """Take the rows that have ended out; the last rows move into their slots."""
    ended = [row for row in active if row.ended]
    slot = 0
    while slot < len(active):
        if not active[slot].ended:
            slot += 1
            continue
        last = active.pop()
        if slot < len(active):
            active[slot] = last
            if slots is not None:
                slots.replace(slot, len(active), last.cached)
    return ended


def _as_attention(mask: Tensor, readout: Readout) -> Tensor:
    """The mask in the form that the model's attention takes: boolean for SDPA, additive elsewhere."""
    if readout.model.config._attn_implementation in ("sdpa", PACKED):
        return mask
    device = mask.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else readout.weight.dtype
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def _cache_is_exact(readout: Readout) -> bool:
    """Whether slots, four-dimensional mask and own positions give the states that a plain pass gives."""
    config = readout.model.config
    if getattr(config, "sliding_window", None) is not None:
        return False
    vocabulary, device = readout.weight.shape[0], readout.weight.device
    half = _PROBE_TOKENS // 2
    ids = (torch.arange(2 * _PROBE_TOKENS, device=device) * 11 % vocabulary).view(2, -1)
    slots = Slots(2, config.get_text_config().num_hidden_layers, device)
    with torch.inference_mode():
        plain = readout.hidden(ids).states
        found = []
        try:
            for start in (0, half):
                positions, mask = slots.begin(0, [start, start], half)
                part = ids[:, start : start + half]
                mask = _as_attention(mask, readout)
                found.append(readout.hidden(part, mask=mask, positions=positions, cache=slots.cache).states)
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
            return False
    both = torch.cat(found, dim=1).float()
    tolerance = 1e-4 if readout.weight.dtype == torch.float32 else 5e-2
    return torch.allclose(both, plain.float(), rtol=tolerance, atol=tolerance * float(plain.float().abs().max()))
