"""Examples as tensors: rows, the positions that predict the completion, and what was allowed at each.

The grammar decides what is allowed, so training scores exactly the choices that the decoder will make. Examples of one
prompt prefix share a packed row (see `adapters.attention`); where a base cannot read those, every example has its own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedmedlora.adapters.attention import example_mask, packed_positions
from fedmedlora.errors import TrainingError
from fedmedlora.markup.encode import Example
from fedmedlora.markup.grammar import Choice

_BUCKET_BATCHES = 16


@dataclass(frozen=True)
class Prepared:
    """An example as arrays, made once.

    ids: prompt and completion. start: the completion's first index. prefix: how many of the first ids are the
    instructions; group: which of the corpus's instructions they are. decisions: offsets into the completion where more
    than one token is allowed; copies (−1: none), others (row of `legal`) and golds (0: the copy, else 1 + column of the
    gold among the special tokens) stand beside them.
    """

    ids: np.ndarray
    start: int
    prefix: int
    group: int
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
    """Rows padded on the right, or one packed row of instructions and examples.

    ids: [rows, columns]. mask: [rows, columns], or of one example of a packed row. positions: [1, columns] of a packed
    row, else None. rows, columns: [n] where the states that predict the n completion tokens stand. targets: [n] gold
    token ids. decisions: [m] indices into the n. copies [m], others [m], golds [m] as in Prepared.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor | None
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
    groups: dict[tuple[int, ...], int] = {}
    prepared = tuple(_prepare(example, column, sets, groups) for example in examples)
    legal = torch.zeros(max(1, len(sets)), max(1, len(special)), dtype=torch.bool)
    for tokens, row in sets.items():
        legal[row, [column[token] for token in tokens]] = True
    return Corpus(prepared, torch.tensor(special, dtype=torch.long), legal)


def _special(example: Example) -> tuple[int, ...]:
    grammar = example.request.grammar
    return grammar.tags.special(grammar.labels)


def _prepare(
    example: Example,
    column: dict[int, int],
    sets: dict[tuple[int, ...], int],
    groups: dict[tuple[int, ...], int],
) -> Prepared:
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
    prompt = example.request.prompt
    # The prompt's last token predicts the completion's first, so it belongs to the example.
    prefix = prompt[: min(example.request.prefix_tokens, len(prompt) - 1)]
    return Prepared(
        np.asarray((*prompt, *example.completion), dtype=np.int64),
        len(prompt),
        len(prefix),
        groups.setdefault(prefix, len(groups)),
        np.asarray(decisions, dtype=np.int64),
        np.asarray(copies, dtype=np.int64),
        np.asarray(others, dtype=np.int64),
        np.asarray(golds, dtype=np.int64),
    )


def _legal_others(choice: Choice) -> tuple[int, ...]:
    return tuple(token for token in choice.others if token != choice.copy)


def sharing_pays(corpus: Corpus) -> bool:
    """Whether examples spend more tokens on their instructions than on their own.

    Only then does training keep batches to one prompt, so that they share it: with short instructions little is won,
    and batches of mixed prompts learn a little faster.
    """
    shared = sum(example.prefix for example in corpus.examples)
    return 2 * shared > sum(len(example.ids) for example in corpus.examples)


def split_batch(corpus: Corpus, chosen: Sequence[int], *, packed: bool, most_tokens: int) -> list[list[int]]:
    """Divide a batch into rows or packs that are run one at a time, none of more than `most_tokens` with its padding.

    packed: examples that share their instructions go together; else all may. Examples of like length go together.
    Raises TrainingError when an example alone is longer.
    """
    groups: dict[int, list[int]] = {}
    for index in chosen:
        groups.setdefault(corpus.examples[index].group if packed else 0, []).append(index)
    parts: list[list[int]] = []
    for group in groups.values():
        group.sort(key=lambda index: (-len(corpus.examples[index].ids), index))
        shared = corpus.examples[group[0]].prefix if packed else 0
        while group:
            longest = len(corpus.examples[group[0]].ids) - 1 - shared
            room = (most_tokens - shared) // longest
            if room < 1:
                raise TrainingError(
                    f"an example of {shared + longest} tokens does not fit into a pack of {most_tokens}. "
                    "Raise pack_tokens, or lower max_tokens."
                )
            # As many packs as are needed, as equal in number of examples as can be.
            packs = math.ceil(len(group) / room)
            parts.append(group[: math.ceil(len(group) / packs)])
            del group[: len(parts[-1])]
    return parts


def collate(
    corpus: Corpus, chosen: Sequence[int], pad_id: int, device: torch.device | None = None, *, packed: bool = False
) -> Batch:
    """One batch of the chosen examples. The last token of an example predicts nothing and is left out.

    packed: one row in which the examples, all of one group, share their instructions.
    """
    examples = [corpus.examples[index] for index in chosen]
    shared = examples[0].prefix if packed and examples[0].prefix else 0
    if any(example.group != examples[0].group for example in examples) and shared:
        raise ValueError("examples of different instructions cannot share a packed row")
    width = max(len(example.ids) for example in examples) - 1 - shared
    ids = np.full((len(examples), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(examples), width), dtype=np.int64)
    rows, columns, targets, decisions, copies, others, golds = [], [], [], [], [], [], []
    count = 0
    for row, example in enumerate(examples):
        length = len(example.ids) - 1 - shared
        ids[row, :length] = example.ids[shared:-1]
        mask[row, :length] = 1
        predicting = np.arange(example.start - 1 - shared, length)
        rows.append(np.full(example.target_tokens, 0 if shared else row))
        columns.append(predicting + shared + row * width if shared else predicting)
        targets.append(example.ids[example.start :])
        decisions.append(count + example.decisions)
        copies.append(example.copies)
        others.append(example.others)
        golds.append(example.golds)
        count += example.target_tokens
    flat = (rows, columns, targets, decisions, copies, others, golds)
    tensors = [torch.from_numpy(np.concatenate(part)).to(device) for part in flat]
    if not shared:
        return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), None, *tensors)
    line = np.concatenate([examples[0].ids[:shared], ids.reshape(-1)])
    return Batch(
        torch.from_numpy(line)[None].to(device),
        example_mask(shared, width, device),
        packed_positions(shared, width, len(examples), device),
        *tensors,
    )


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: str, groups: Sequence[int] | None = None
) -> list[list[int]]:
    """Every example once, in seeded random batches of examples of like length, so that little is padding.

    groups: of each example; batches are then of one group each, but for those made of what is left over when a group
    has no full batch more. There are as many batches with groups as without. seed: any string; the order is the same on
    every machine.
    """
    generator = random.Random(seed)
    left = list(range(len(lengths)))
    generator.shuffle(left)
    batches: list[list[int]] = []
    if groups is not None:
        shuffled, left = left, []
        for group in sorted(set(groups)):
            members = [index for index in shuffled if groups[index] == group]
            full = len(members) - len(members) % batch_size
            batches += _of_like_length(members[:full], lengths, batch_size)
            left += members[full:]
    batches += _of_like_length(left, lengths, batch_size)
    generator.shuffle(batches)
    return batches


def _of_like_length(order: Sequence[int], lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    batches: list[list[int]] = []
    bucket = batch_size * _BUCKET_BATCHES
    for start in range(0, len(order), bucket):
        part = sorted(order[start : start + bucket], key=lambda index: (lengths[index], index))
        batches += [part[first : first + batch_size] for first in range(0, len(part), batch_size)]
    return batches
