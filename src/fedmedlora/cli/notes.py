"""`fedmedlora score`: what predictions on notes are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmedlora.cli.output import AsJson, Labels, example, label_set, note, print_json, print_table

if TYPE_CHECKING:
    from fedmedlora.scoring import Count, Scores


def add_verbs(app: typer.Typer) -> None:
    """Put this module's verbs into the program."""
    app.command(epilog=example("fedmedlora score gold.jsonl predicted.jsonl --json"))(score)


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="Annotated notes, in any format.")],
    predicted: Annotated[Path, typer.Argument(metavar="PRED", help="Predicted notes of the same ids and texts.")],
    labels: Labels = None,
    as_json: AsJson = False,
) -> None:
    """Score predicted notes against gold ones: strict and lenient, entities (ner) and relations (re).

    Only labels that a gold note was annotated for are scored. A type with no gold and no prediction is "not supported".
    """
    from fedmedlora.corpus.formats import read_documents
    from fedmedlora.scoring import score_documents

    read_gold, read_predicted = read_documents(gold), read_documents(predicted)
    scores = score_documents(read_gold.documents, read_predicted.documents, label_set(labels))
    for path, dropped in ((gold, read_gold.dropped), (predicted, read_predicted.dropped), (gold, scores.dropped)):
        for reason, count in sorted(dropped.items()):
            note(f"{path}: left out: {reason}: {count:,}")
    if scores.unanswered:
        note(f"{predicted}: {scores.unanswered:,} gold documents have no prediction and count as empty")
    if as_json:
        print_json(scores.to_json())
        return
    print_table(
        ("", "strict P", "R", "F1", "lenient P", "R", "F1", "gold", "pred"),
        _rows(scores),
    )


def _rows(scores: Scores) -> list[tuple[str, ...]]:
    """The totals of each task, and the types that occur under it."""
    rows: list[tuple[str, ...]] = []
    for name, task in (("ner", scores.ner), ("re", scores.re)):
        rows.append(_row(name, task.strict, task.lenient))
        for kind, counts in task.types.items():
            if counts.strict.gold or counts.strict.pred:
                rows.append(_row(f"  {kind}", counts.strict, counts.lenient))
        missing = [kind for kind, counts in task.types.items() if not (counts.strict.gold or counts.strict.pred)]
        if missing and len(missing) < len(task.types):
            note(f"{name}: not supported by these notes: {', '.join(missing)}")
    return rows


def _row(name: str, strict: Count, lenient: Count) -> tuple[str, ...]:
    if not (strict.gold or strict.pred):
        return (name, "not supported", "", "", "", "", "", "0", "0")
    shares = (strict.precision, strict.recall, strict.f1, lenient.precision, lenient.recall, lenient.f1)
    return (name, *("–" if x is None else f"{x:.3f}" for x in shares), f"{strict.gold:,}", f"{strict.pred:,}")
