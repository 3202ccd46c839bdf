"""What every parser hands on: spans in the untouched source, and what could not be used, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fedmedlora.corpus.document import Span


class Found(NamedTuple):
    """One parsed entity or modifier; spans as in `Entity`."""

    type: str
    spans: tuple[Span, ...]


class Parsed(NamedTuple):
    """Parsed entities in canonical order (start ascending, end descending, type), each once.

    problems: reason → count. An entity that was repaired stays in `entities` and is counted here as well.
    """

    entities: list[Found]
    problems: Counter[str]


class Rendered(NamedTuple):
    """A target, and the entities that its format could not hold, by reason."""

    text: str
    dropped: Counter[str]


def in_order(found: Iterable[Found], problems: Counter[str]) -> Parsed:
    """Sort, and count away duplicates."""
    everything = list(found)
    once = sorted(set(everything), key=lambda one: (one.spans[0][0], -one.spans[-1][1], one.type, one.spans))
    if len(once) < len(everything):
        problems = problems + Counter({"duplicate": len(everything) - len(once)})
    return Parsed(once, problems)


def final_answer(output: str, source: str) -> str | None:
    """`output` after the `<think>…</think>` of a reasoning model; None when the reasoning never ended."""
    if "</think>" in output and "</think>" not in source:
        return output.rpartition("</think>")[2]
    if output.lstrip().startswith("<think>") and not source.lstrip().startswith("<think>"):
        return None
    return output
