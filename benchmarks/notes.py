"""The sentences that everything is measured on, as examples with instructions of the paper's length.

MACCROBAT's training documents where the open corpora are at hand (FEDMEDLORA_CORPORA, or `../shared/corpora` beside the
repository), else generated notes, which is said on standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from benchmarks.process import ROOT
from fedmedlora.adapters.base import Base, usable_tokens
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.formats import read_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.recipes import apply_recipe
from fedmedlora.corpus.splits import load_split_file, select_part
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.markup.encode import Encoder, Example, Task
from fedmedlora.training.examples import make_examples

INSTRUCTION_TOKENS: Mapping[Task, int] = MappingProxyType({"ner": 250, "re": 650})
"""Most tokens of instructions before a sentence: the paper's. Longer ones lose tokens at their beginning."""

_HELD_OUT = 40
_GENERATED = 400
_MAX_TOKENS = 1024


@dataclass(frozen=True)
class Notes:
    """Documents to train on, others to read, and where they are from."""

    training: tuple[Document, ...]
    held_out: tuple[Document, ...]
    origin: str


@cache
def load_notes() -> Notes:
    """The documents, read once a process."""
    root = Path(os.environ.get("FEDMEDLORA_CORPORA", ROOT.parent / "shared" / "corpora"))
    if root.is_dir():
        read = apply_recipe("maccrobat", read_documents(root / "maccrobat").documents).documents
        documents = select_part(read, load_split_file(root / "splits.json", "maccrobat"), "train")
        origin = "MACCROBAT, training documents"
    else:
        documents = generate_notes(PROFILES["outpatient-letters"], _GENERATED, seed=0)
        origin = "generated notes"
        print(
            "The open corpora are not here (FEDMEDLORA_CORPORA names their folder): generated notes.", file=sys.stderr
        )
    return Notes(tuple(documents[:-_HELD_OUT]), tuple(documents[-_HELD_OUT:]), origin)


def task_examples(
    base: Base, documents: Sequence[Document], task: Task, count: int, *, style: str = "full", marked_share: float = 0.0
) -> list[Example]:
    """A seeded sample of so many examples of a task. Raises EnvironmentProblem when there are fewer.

    marked_share: smallest share whose answer marks something, as in `make_examples`.
    """
    encoder = Encoder(base.tokenizer, CLINICAL, style, usable_tokens(base, _MAX_TOKENS))
    made = make_examples(documents, encoder, (task,), max_per_task=count, marked_share=marked_share, seed="benchmarks")
    found = made.examples
    if len(found) < count:
        raise EnvironmentProblem(f"{len(documents)} documents give {len(found)} examples of {task}, not {count}.")
    begin = len(base.tokenizer.begin_ids)
    return [with_instructions(example, INSTRUCTION_TOKENS[task], begin) for example in found]


def with_instructions(example: Example, most: int, begin: int) -> Example:
    """The example with at most so many tokens of instructions; the tokens after the first `begin` go.

    What is left ends as it did, right before the sentence.
    """
    request = example.request
    extra = request.prefix_tokens - most
    if extra <= 0:
        return example
    prompt = (*request.prompt[:begin], *request.prompt[begin + extra :])
    return replace(example, request=replace(request, prompt=prompt, prefix_tokens=most))
