"""Examples as tensors: padded rows, the positions that predict the completion, and what was allowed at each.

The grammar decides what is allowed, so training scores exactly the choices that the decoder will make.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedmedlora.markup.encode import Example
from fedmedlora.markup.grammar import Choice

_BUCKET_BATCHES = 16


@dataclass(frozen=True)
class Prepared:
    """An example as arrays, made once.

    ids: prompt and completion. start: the completion's first index. decisions: offsets into the completion where more
    than one token is allowed; copies (−1: none), others (row of `legal`) and golds (0: the copy, else 1 + column of the
    gold among the special tokens) stand beside them.
    """

    ids: np.ndarray
    start: int
    decisions: np.ndarray
    copies: np.ndarray
    others: np.ndarray
    golds: np.ndarray

    @property
    def target_tokens(self) -> int:
        """Tokens of the completion, end token included."""
        return len(self.ids) - self.start


@dataclass(frozen=True)
class Corpus:
    """Prepared examples with their table of special tokens.

    special: [k] token ids of tags and end. legal: [sets, k] True where a special token is allowed.
    """

    examples: tuple[Prepared, ...]
    special: Tensor
    legal: Tensor

    @property
    def target_tokens(self) -> int:
        """Completion tokens of all examples."""
        return sum(example.target_tokens for example in self.examples)

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right.

    ids, mask: [rows, columns]. rows, columns: [n] where the states that predict the n completion tokens stand.
    targets: [n] gold token ids. decisions: [m] indices into the n. copies [m], others [m], golds [m] as in Prepared.
    """

    ids: Tensor
    mask: Tensor
    rows: Tensor
    columns: Tensor
    targets: Tensor
    decisions: Tensor
    copies: Tensor
    others: Tensor
    golds: Tensor


def prepare(examples: Sequence[Example]) -> Corpus:
    """Turn examples into arrays; walks each completion through its grammar once."""
    special = sorted({token for example in examples for token in _special(example)})
    column = {token: index for index, token in enumerate(special)}
    sets: dict[tuple[int, ...], int] = {}
    prepared = tuple(_prepare(example, column, sets) for example in examples)
    legal = torch.zeros(max(1, len(sets)), max(1, len(special)), dtype=torch.bool)
    for tokens, row in sets.items():
        legal[row, [column[token] for token in tokens]] = True
    return Corpus(prepared, torch.tensor(special, dtype=torch.long), legal)


def _special(example: Example) -> tuple[int, ...]:
    grammar = example.request.grammar
    return grammar.tags.special(grammar.labels)


def _prepare(example: Example, column: dict[int, int], sets: dict[tuple[int, ...], int]) -> Prepared:
    decisions, copies, others, golds = [], [], [], []
    for offset, (choice, gold) in enumerate(
        zip(example.request.grammar.choices(example.completion), example.completion, strict=True)
    ):
        allowed = _legal_others(choice)
        if len(allowed) + (choice.copy is not None) < 2:
            continue
        decisions.append(offset)
        copies.append(-1 if choice.copy is None else choice.copy)
        others.append(sets.setdefault(allowed, len(sets)))
        golds.append(0 if gold == choice.copy else 1 + column[gold])
    ids = np.asarray((*example.request.prompt, *example.completion), dtype=np.int64)
    return Prepared(
        ids,
        len(example.request.prompt),
        np.asarray(decisions, dtype=np.int64),
        np.asarray(copies, dtype=np.int64),
        np.asarray(others, dtype=np.int64),
        np.asarray(golds, dtype=np.int64),
    )


def _legal_others(choice: Choice) -> tuple[int, ...]:
    return tuple(token for token in choice.others if token != choice.copy)


def collate(corpus: Corpus, chosen: Sequence[int], pad_id: int, device: torch.device | None = None) -> Batch:
    """One batch of the chosen examples. The last token of a row predicts nothing and is left out."""
    examples = [corpus.examples[index] for index in chosen]
    width = max(len(example.ids) for example in examples) - 1
    ids = np.full((len(examples), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(examples), width), dtype=np.int64)
    rows, columns, targets, decisions, copies, others, golds = [], [], [], [], [], [], []
    count = 0
    for row, example in enumerate(examples):
        length = len(example.ids) - 1
        ids[row, :length] = example.ids[:-1]
        mask[row, :length] = 1
        rows.append(np.full(example.target_tokens, row))
        columns.append(np.arange(example.start - 1, length))
        targets.append(example.ids[example.start :])
        decisions.append(count + example.decisions)
        copies.append(example.copies)
        others.append(example.others)
        golds.append(example.golds)
        count += example.target_tokens
    flat = (rows, columns, targets, decisions, copies, others, golds)
    tensors = [torch.from_numpy(np.concatenate(part)).to(device) for part in flat]
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), *tensors)


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: str) -> list[list[int]]:
    """Every example once, in seeded random batches of examples of like length, so that little is padding.

    seed: any string; the order is the same on every machine.
    """
    generator = random.Random(seed)
    order = list(range(len(lengths)))
    generator.shuffle(order)
    batches: list[list[int]] = []
    bucket = batch_size * _BUCKET_BATCHES
    for start in range(0, len(order), bucket):
        part = sorted(order[start : start + bucket], key=lambda index: (lengths[index], index))
        batches += [part[first : first + batch_size] for first in range(0, len(part), batch_size)]
    generator.shuffle(batches)
    return batches
