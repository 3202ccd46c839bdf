"""Score the adapter in the model on one site's documents as the paper does: NER over the text, RE given the entity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from fedmedlora.corpus.document import Document, Json
from fedmedlora.corpus.formats import write_documents
from fedmedlora.inference.api_answers import ApiAnswers
from fedmedlora.inference.decode import Decoder
from fedmedlora.inference.predict import SureAnswers, predict_entities, predict_modifiers
from fedmedlora.inference.tag import TagAnswers
from fedmedlora.markup.encode import Encoder, Task
from fedmedlora.scoring.bootstrap import document_bootstrap
from fedmedlora.scoring.confidence import Confidence
from fedmedlora.scoring.counts import MODES
from fedmedlora.scoring.errors import ErrorClass, count_errors
from fedmedlora.scoring.ranked import Ranking, rank_predictions
from fedmedlora.scoring.score import Scores, score_documents

OnAnswered = Callable[[int], None]
Answering: TypeAlias = Decoder | ApiAnswers | TagAnswers


@dataclass(frozen=True)
class Evaluation:
    """Scores of each task on one site's documents, what decoding cost, what could not be asked.

    errors: how many annotations of each class. rankings: predictions by confidence, of the tasks where the answers know
    how sure they are. passes, tokens: of decoding. seconds: decoding and scoring. dropped: windows and heads that could
    not be asked, and what the score left out, by reason.
    """

    scores: dict[Task, Scores]
    errors: dict[Task, dict[ErrorClass, int]]
    rankings: dict[Task, Ranking]
    documents: int
    passes: int
    tokens: int
    seconds: float
    dropped: dict[str, int]

    def to_json(self) -> dict[str, Json]:
        """`{"ner": …, "re": …, "documents": n}`, as `fedmedlora score --json` has it; a task not scored is left out."""
        found: dict[str, Json] = {"documents": self.documents}
        for task, scores in self.scores.items():
            found[task] = scores.to_json()[task]
        return found

    def f1(self) -> dict[str, dict[str, float | None]]:
        """Micro F1 by task and mode."""
        return {
            task: {mode: getattr(scores.of(task), mode).f1 for mode in MODES} for task, scores in self.scores.items()
        }

    def tallies(self) -> dict[str, Json]:
        """For paired tests: what each document adds to a micro F1, by task and mode, documents in the order of ids."""
        found: dict[str, Json] = {}
        for task, scores in self.scores.items():
            documents = sorted(scores.documents, key=lambda document: document.id)
            found[task] = {mode: [list(document.tally(task, mode)) for document in documents] for mode in MODES}
        return found

    def intervals(self, resamples: int, seed: int) -> dict[str, Json]:
        """Document-bootstrap 95 % intervals of micro F1 by task and mode; empty when no resample is wanted."""
        if not resamples:
            return {}
        return {
            task: {
                mode: document_bootstrap(scores, task, mode, seed=seed, resamples=resamples).to_json() for mode in MODES
            }
            for task, scores in self.scores.items()
        }

    def confidence(self, resamples: int, seed: int) -> dict[str, Json]:
        """Ranking and calibration by task; a task whose answers know no confidence is left out."""
        return {
            task: Confidence.of(ranking, seed=seed, resamples=resamples).to_json()
            for task, ranking in self.rankings.items()
        }


def evaluate(
    documents: Sequence[Document],
    encoder: Encoder,
    answers: Answering,
    tasks: Sequence[Task],
    *,
    predictions: Path | None = None,
    on_answered: OnAnswered | None = None,
) -> Evaluation:
    """Answer and score documents: with the decoder, by the adapter that is in the model.

    predictions: a path without suffix; `.ner.jsonl` and `.re.jsonl` are written there. Those files hold note text, as
    every canonical record does: they stay at the site.
    """
    started, passes, tokens = monotonic(), answers.passes, answers.tokens
    scores: dict[Task, Scores] = {}
    errors: dict[Task, dict[ErrorClass, int]] = {}
    rankings: dict[Task, Ranking] = {}
    dropped: dict[str, int] = {}
    before = Counter(answers.problems) if isinstance(answers, ApiAnswers | TagAnswers) else Counter()
    for task in tasks:
        predict = predict_entities if task == "ner" else predict_modifiers
        predicted = predict(documents, encoder, answers, on_answered)
        scores[task] = score_documents(documents, predicted.documents, encoder.labels)
        errors[task] = count_errors(documents, predicted.documents, encoder.labels, task)
        if isinstance(answers, SureAnswers):
            ranking = rank_predictions(documents, predicted.documents, encoder.labels, task)
            if ranking is not None:
                rankings[task] = ranking
        dropped.update(predicted.dropped)
        dropped.update({f"{task}, not scored: {why}": count for why, count in scores[task].dropped.items()})
        if predictions is not None:
            write_documents(predicted.documents, predictions.with_name(f"{predictions.name}.{task}.jsonl"), "jsonl")
    if isinstance(answers, ApiAnswers | TagAnswers):
        dropped.update({f"answers, {why}": count for why, count in sorted((answers.problems - before).items())})
    return Evaluation(
        scores,
        errors,
        rankings,
        len(documents),
        answers.passes - passes,
        answers.tokens - tokens,
        monotonic() - started,
        dropped,
    )
