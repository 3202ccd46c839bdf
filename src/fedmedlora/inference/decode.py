"""Span-constrained greedy decoding that jumps: the source can only be copied or tagged.

At every step the grammar leaves the next source token and a few tags. One forward pass over a draft of all that is
still to come scores every step of it at once; decoding accepts the draft up to the first place where another token
scores higher, and what the pass said about the rest makes the next draft. The result equals taking the best allowed
token one at a time (ties go to the copy, then to the lowest token id), in a few passes instead of one a token.

Rows of a batch stand at different places. A row that ends makes room for the next request, and instructions that
requests share are read once (see `memory`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.readout import Readout
from fedmedlora.inference.draft import Marked, Pick, Row, start_row
from fedmedlora.inference.memory import Feed, Memory, cache_is_exact
from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import TokenSpan

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
        waiting = deque(sorted(range(len(requests)), key=lambda index: _turn(requests[index], index)))
        memory = Memory(self.readout, self.adapted.base.tokenizer.pad_id, self.batch_size, cached=self.cached)
        free = list(range(self.batch_size))
        active: list[Row] = []
        with torch.inference_mode():
            while waiting or active:
                fresh, answered = self._admit(requests, waiting, free)
                for row in fresh:
                    memory.share(row.slot, row.prefix)
                    row.cached = len(row.prefix)
                active += fresh
                # Requests that have just come in go on in step with the others.
                self._pass(fresh or active, memory)
                ended = [row for row in active if row.ended]
                active = [row for row in active if not row.ended]
                free += [row.slot for row in ended]
                answered += ended
                for row in answered:
                    found[row.index] = row.marked()
                if answered and on_done is not None:
                    on_done(len(answered))
        self.tokens += memory.tokens
        return found

    def _admit(self, requests: Sequence[Request], waiting: deque[int], free: list[int]) -> tuple[list[Row], list[Row]]:
        """Rows for free places, once enough are free to be worth a pass of their own; and rows that need no pass."""
        fresh: list[Row] = []
        forced: list[Row] = []
        if len(free) < max(1, self.batch_size // _REFILL_SHARE):
            return fresh, forced
        while waiting and free:
            index = waiting.popleft()
            row = start_row(index, requests[index])
            if row.ended:
                forced.append(row)
                continue
            row.slot = free.pop(0)
            fresh.append(row)
        return fresh, forced

    def _pass(self, rows: Sequence[Row], memory: Memory) -> None:
        """Read every row's draft and accept what the model agrees with."""
        if not rows:
            return
        states = memory.read([Feed(row.slot, row.cached, row.feed) for row in rows])
        self.passes += len(rows)
        asked = [states[number][row.lead - 1 :] for number, row in enumerate(rows)]
        for row, chosen in zip(rows, self._pick(rows, asked), strict=True):
            row.accept(chosen)

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

    Architectures with a state of their own fall back to reading everything anew at every pass: slower, never different.
    """
    readout = adapted.readout
    return Decoder(adapted, readout, cache_is_exact(readout, adapted.base.tokenizer.pad_id), batch_size)


def _turn(request: Request, index: int) -> tuple[tuple[int, ...], int, int]:
    """Requests of one set of labels after another, short ones first."""
    return request.prompt[: request.prefix_tokens], len(request.prompt), index
