"""What scoring counts: how many in gold, how many predicted, how many of these agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fedmedlora.corpus.document import Json

Task: TypeAlias = Literal["ner", "re"]
Mode: TypeAlias = Literal["strict", "lenient"]

TASKS: tuple[Task, ...] = ("ner", "re")
MODES: tuple[Mode, ...] = ("strict", "lenient")


@dataclass(frozen=True, slots=True)
class Count:
    """Gold annotations, predicted ones, and the one-to-one pairs that agree.

    >>> count = Count(gold=4, pred=3, correct=2)
    >>> f"{count.precision:.3f} {count.recall:.3f} {count.f1:.3f}"
    '0.667 0.500 0.571'

    A quotient whose denominator is 0 is None, never 0 or 1. With no gold and no prediction all three are None ("not
    supported"). With gold and no prediction precision is None, recall and F1 are 0; with predictions and no gold
    recall is None, precision and F1 are 0.
    """

    gold: int = 0
    pred: int = 0
    correct: int = 0

    def __add__(self, other: Count) -> Count:
        """`Count(4, 3, 2) + Count(1, 1, 0)` is `Count(5, 4, 2)`."""
        return Count(self.gold + other.gold, self.pred + other.pred, self.correct + other.correct)

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are right: `Count(4, 3, 2).precision` is 2/3. None without a prediction."""
        return self.correct / self.pred if self.pred else None

    @property
    def recall(self) -> float | None:
        """Share of the gold annotations that were found: `Count(4, 3, 2).recall` is 2/4. None without gold."""
        return self.correct / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """`Count(4, 3, 2).f1` is 2·2/(4+3), the harmonic mean of the two. None without gold and prediction."""
        total = self.gold + self.pred
        return 2 * self.correct / total if total else None

    def to_json(self) -> dict[str, Json]:
        """Three unrounded quotients (None where undefined) and the three counts behind them."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "gold": self.gold,
            "pred": self.pred,
            "correct": self.correct,
        }


_NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Counts:
    """One set of annotations counted under both rules; gold and pred are the same in both."""

    strict: Count = _NOTHING
    lenient: Count = _NOTHING

    def __add__(self, other: Counts) -> Counts:
        """Strict added to strict, lenient to lenient."""
        return Counts(self.strict + other.strict, self.lenient + other.lenient)

    def of(self, mode: Mode) -> Count:
        """The count under one rule."""
        return self.strict if mode == "strict" else self.lenient

    def to_json(self) -> dict[str, Json]:
        """`{"strict": …, "lenient": …}`."""
        return {"strict": self.strict.to_json(), "lenient": self.lenient.to_json()}


Tally: TypeAlias = tuple[int, int]
"""What one document adds to an F1: twice the correct pairs; gold plus predicted."""


@dataclass(frozen=True, slots=True)
class DocumentCounts:
    """What one document adds to the scores: the unit that the bootstrap resamples.

    ner: entity type → counts; re: modifier type → counts. A type with no gold and no prediction here has no entry.
    """

    id: str
    ner: Mapping[str, Counts]
    re: Mapping[str, Counts]

    def types(self, task: Task) -> Mapping[str, Counts]:
        """Counts by type for one task."""
        return self.ner if task == "ner" else self.re

    def micro(self, task: Task) -> Counts:
        """Counts over all types of one task."""
        return sum(self.types(task).values(), Counts())

    def tally(self, task: Task, mode: Mode) -> Tally:
        """What this document adds to numerator and denominator of a micro F1."""
        count = self.micro(task).of(mode)
        return 2 * count.correct, count.gold + count.pred
