"""Span-constrained greedy decoding that jumps: the source can only be copied or tagged.

At every step the grammar leaves the next source token and a few tags. One forward pass over "everything still to copy"
scores all those steps at once; decoding accepts copies up to the first place where a tag scores higher, puts that tag
in and goes on from there. The result equals taking the best allowed token one at a time (ties go to the copy, then to
the lowest token id), in about 1 + 2·(entities) passes instead of one a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from fedmedlora.adapters.attention import NAME as PACKED
from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.readout import Readout
from fedmedlora.markup.encode import Request
from fedmedlora.markup.grammar import Choice, SpanGrammar, State, TokenSpan

_PROBE_TOKENS = 12


@dataclass(frozen=True)
class _Outlook:
    """What follows if everything left is copied: the choices on the way, and the state before each and after all.

    guesses: one token for each choice, but for a last choice that has nothing to copy. needed: how many choices from
    the first to the last that leaves more than one token; those after it are forced.
    """

    guesses: tuple[int, ...]
    choices: tuple[Choice, ...]
    states: tuple[State, ...]
    needed: int


@dataclass
class _Row:
    """One request on its way. written: prompt and decided tokens; the first `cached` of them stand in the cache."""

    index: int
    request: Request
    state: State
    written: list[int]
    cached: int
    outlook: _Outlook

    @property
    def lead(self) -> int:
        """Decided tokens that are still to be fed; never none."""
        return len(self.written) - self.cached

    @property
    def feed(self) -> list[int]:
        """What the next pass reads."""
        return self.written[self.cached :] + list(self.outlook.guesses[: self.outlook.needed - 1])

    def accept(self, picks: Sequence[int]) -> int:
        """Write the guesses up to the first pick that departs, and that pick; returns how many guesses were right."""
        outlook = self.outlook
        for number, pick in enumerate(picks):
            if number < len(outlook.guesses) and pick == outlook.guesses[number]:
                continue
            self.written += [*outlook.guesses[:number], pick]
            self.state = self.request.grammar.advance(outlook.states[number], pick)
            return number
        self.written += outlook.guesses
        self.state = outlook.states[-1]
        return len(outlook.guesses)


@dataclass
class Decoder:
    """Decodes requests with the adapter that is in the model; make one with `make_decoder`.

    cached: whether keys and values are kept between passes; without, every pass reads everything anew.
    tokens: tokens read so far, padding left out; passes: forward passes so far, each counted once a row.
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

        on_done: called after each batch with the number of requests in it.
        """
        found: list[tuple[TokenSpan, ...]] = [()] * len(requests)
        order = sorted(range(len(requests)), key=lambda index: (len(requests[index].prompt), index))
        with torch.inference_mode():
            for first in range(0, len(order), self.batch_size):
                chosen = order[first : first + self.batch_size]
                rows = [_row(index, requests[index]) for index in chosen]
                self._decode_batch(rows)
                for row in rows:
                    found[row.index] = row.state.spans
                if on_done is not None:
                    on_done(len(chosen))
        return found

    def _decode_batch(self, rows: Sequence[_Row]) -> None:
        """Bring every row to its end."""
        for row in rows:
            _settle_forced(row)
        active = [row for row in rows if not row.state.ended]
        cache = DynamicCache() if self.cached else None
        while active:
            states = self._read(active, cache)
            picks = self._pick(active, states)
            before = [row.cached for row in active]
            added = [row.lead + row.accept(chosen) for row, chosen in zip(active, picks, strict=True)]
            for row in active:
                row.outlook = _look_ahead(row.request.grammar, row.state)
                _settle_forced(row)
            going = [number for number, row in enumerate(active) if not row.state.ended]
            if cache is not None and going:
                _compact(cache, going, before, added, self.readout.weight.device)
                for number in going:
                    active[number].cached += added[number]
            active = [active[number] for number in going]

    def _read(self, rows: Sequence[_Row], cache: DynamicCache | None) -> list[Tensor]:
        """Feed every row; returns, for each, the states that its choices are made from: [needed, width]."""
        feeds = [row.feed for row in rows]
        width = max(len(feed) for feed in feeds)
        device = self.readout.weight.device
        pad = self.adapted.base.tokenizer.pad_id
        ids = torch.tensor([feed + [pad] * (width - len(feed)) for feed in feeds], device=device)
        positions = torch.tensor([row.cached for row in rows], device=device)[:, None] + torch.arange(
            width, device=device
        )
        if cache is None:
            lengths = torch.tensor([len(feed) for feed in feeds], device=device)
            mask = (torch.arange(width, device=device)[None] < lengths[:, None]).long()
        else:
            mask = _mask(rows, cache.get_seq_length(), width, device)
            mask = _as_attention(mask, self.readout)
        states = self.readout.hidden(ids, mask=mask, positions=positions, cache=cache).states
        self.tokens += sum(len(feed) for feed in feeds)
        self.passes += len(rows)
        return [states[number, row.lead - 1 : row.lead - 1 + row.outlook.needed] for number, row in enumerate(rows)]

    def _pick(self, rows: Sequence[_Row], states: Sequence[Tensor]) -> list[list[int]]:
        """The best allowed token at each needed choice of each row."""
        special = sorted({token for row in rows for choice in _needed(row) for token in choice.others})
        column = {token: number for number, token in enumerate(special)}
        memo: dict[tuple[int, ...], list[int]] = {}
        choices = [choice for row in rows for choice in _needed(row)]
        legal = torch.zeros(len(choices), len(special), dtype=torch.bool)
        for number, choice in enumerate(choices):
            allowed = memo.get(choice.others)
            if allowed is None:
                allowed = memo[choice.others] = [column[token] for token in choice.others]
            legal[number, allowed] = True
        flat = torch.cat(list(states))
        device = flat.device
        copies = torch.tensor([-1 if choice.copy is None else choice.copy for choice in choices], device=device)
        table = torch.tensor(special, device=device)
        others = self.readout.logits_of(flat, table).masked_fill(~legal.to(device), -torch.inf)
        copied = self.readout.logits_at(flat, copies.clamp(min=0)).masked_fill(copies < 0, -torch.inf)
        # argmax takes the first of equals: the copy stands first, then special tokens by id.
        best = torch.cat([copied[:, None], others], dim=1).argmax(dim=1)
        chosen = torch.where(best == 0, copies, table[(best - 1).clamp(min=0)]).tolist()
        picks, start = [], 0
        for row in rows:
            picks.append(chosen[start : start + row.outlook.needed])
            start += row.outlook.needed
        return picks


def make_decoder(adapted: Adapted, batch_size: int = 32) -> Decoder:
    """A decoder for the model; keeps keys and values between passes where a probe shows that this changes nothing.

    Architectures with sliding windows or state of their own fall back to reading everything anew at every pass: slower,
    never different.
    """
    readout = adapted.readout
    return Decoder(adapted, readout, _cache_is_exact(readout), batch_size)


def _row(index: int, request: Request) -> _Row:
    state = request.grammar.start()
    return _Row(index, request, state, list(request.prompt), 0, _look_ahead(request.grammar, state))


def _look_ahead(grammar: SpanGrammar, state: State) -> _Outlook:
    guesses: list[int] = []
    choices: list[Choice] = []
    states = [state]
    needed = 0
    while not state.ended:
        choice = grammar.choice(state)
        tokens = choice.tokens
        choices.append(choice)
        if len(tokens) > 1:
            needed = len(choices)
            if choice.copy is None:
                break
        guesses.append(tokens[0])
        state = grammar.advance(state, tokens[0])
        states.append(state)
    return _Outlook(tuple(guesses), tuple(choices), tuple(states), needed)


def _settle_forced(row: _Row) -> None:
    """Finish a row whose every remaining step is forced."""
    if not row.state.ended and row.outlook.needed == 0:
        row.accept(())


def _needed(row: _Row) -> tuple[Choice, ...]:
    return row.outlook.choices[: row.outlook.needed]


def _mask(rows: Sequence[_Row], past: int, width: int, device: torch.device) -> Tensor:
    """True where a fed token may look: its row's cached tokens, and the fed ones up to itself.

    Shape [rows, 1, width, past + width].
    """
    cached = torch.tensor([row.cached for row in rows], device=device)
    old = torch.arange(past, device=device)[None] < cached[:, None]
    new = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    old = old[:, None, None].expand(len(rows), 1, width, past)
    return torch.cat([old, new[None, None].expand(len(rows), 1, width, width)], dim=-1)


def _as_attention(mask: Tensor, readout: Readout) -> Tensor:
    """The mask in the form that the model's attention takes: boolean for SDPA, additive elsewhere."""
    if readout.model.config._attn_implementation in ("sdpa", PACKED):
        return mask
    device = mask.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else readout.weight.dtype
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


def _compact(
    cache: DynamicCache, going: Sequence[int], cached: Sequence[int], added: Sequence[int], device: torch.device
) -> None:
    """Keep the rows that go on, and of each its old tokens and the first `added` of the new, moved to the left."""
    past = max(cached)
    lengths = [cached[row] + added[row] for row in going]
    index = torch.zeros(len(going), max(lengths), dtype=torch.long)
    for number, row in enumerate(going):
        index[number, : cached[row]] = torch.arange(cached[row])
        index[number, cached[row] : lengths[number]] = torch.arange(past, past + added[row])
    index = index.to(device)
    rows = torch.tensor(going, device=device)[:, None]
    for layer in _growing_layers(cache):
        layer.keys = _gathered(layer.keys, rows, index)
        layer.values = _gathered(layer.values, rows, index)


def _growing_layers(cache: DynamicCache) -> list[DynamicLayer]:
    """The layers that keep every key and value that they are given; subclasses forget some."""
    return [layer for layer in cache.layers if type(layer) is DynamicLayer and layer.is_initialized]


def _gathered(kept: Tensor | None, rows: Tensor, index: Tensor) -> Tensor:
    """Some columns of some rows. kept: [rows, heads, columns, width]; rows: [n, 1]; index: [n, columns]."""
    assert kept is not None
    return kept.transpose(1, 2)[rows, index].transpose(1, 2)


def _cache_is_exact(readout: Readout) -> bool:
    """Whether cache, four-dimensional mask and own positions give the states that a plain pass gives."""
    vocabulary = readout.weight.shape[0]
    device = readout.weight.device
    ids = (torch.arange(_PROBE_TOKENS, device=device) * 11 % vocabulary)[None]
    positions = torch.arange(_PROBE_TOKENS, device=device)[None]
    causal = torch.ones(_PROBE_TOKENS, _PROBE_TOKENS, dtype=torch.bool, device=device).tril()[None, None]
    half = _PROBE_TOKENS // 2
    if getattr(readout.model.config, "sliding_window", None) is not None:
        return False
    with torch.inference_mode():
        plain = readout.hidden(ids).states
        cache = DynamicCache()
        try:
            first = readout.hidden(
                ids[:, :half],
                mask=_as_attention(causal[..., :half, :half], readout),
                positions=positions[:, :half],
                cache=cache,
            ).states
            second = readout.hidden(
                ids[:, half:],
                mask=_as_attention(causal[..., half:, :], readout),
                positions=positions[:, half:],
                cache=cache,
            ).states
        except (TypeError, ValueError, RuntimeError, AttributeError):
            return False
    if len(_growing_layers(cache)) < len(cache.layers):
        return False
    both = torch.cat([first, second], dim=1).float()
    tolerance = 1e-4 if readout.weight.dtype == torch.float32 else 5e-2
    return torch.allclose(both, plain.float(), rtol=tolerance, atol=tolerance * float(plain.float().abs().max()))
