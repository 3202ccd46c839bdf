"""`fedmedlora extract` and `fedmedlora score`: what a trained adapter finds in notes, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmedlora.cli.output import (
    AsJson,
    Labels,
    ReadAs,
    WriteAs,
    example,
    format_of_name,
    label_set,
    note,
    print_json,
    print_table,
    quiet_libraries,
)
from fedmedlora.errors import ConfigError, CorpusError, nearest

if TYPE_CHECKING:
    from fedmedlora.corpus.document import Document, Json
    from fedmedlora.corpus.labels import LabelSet
    from fedmedlora.inference.extract import AnswerFormat
    from fedmedlora.scoring import Count, Scores


def add_verbs(app: typer.Typer) -> None:
    """Put this module's verbs into the program."""
    app.command(
        epilog=example(
            "fedmedlora extract --model runs/demo/adapters/fedmedlora/0 notes.jsonl --out found.jsonl",
            "fedmedlora extract --model runs/demo/adapters/fedmedlora/0 letters --from text --out found.jsonl",
            "fedmedlora extract --model adapter --base base --answers json notes.jsonl --out found.jsonl",
        )
    )(extract)
    app.command(epilog=example("fedmedlora score gold.jsonl predicted.jsonl --json"))(score)


def extract(
    sources: Annotated[list[Path], typer.Argument(metavar="IN...", help="Files or folders of notes.")],
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="The adapter's folder, as a run leaves it.")],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="The file to write; for brat, the folder.")],
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The base model; by default the one that the adapter names."),
    ] = None,
    read_as: ReadAs = None,
    write_as: WriteAs = None,
    labels: Labels = None,
    answers: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="How the model answers: span (tags in the copied text, by default; what runs train) or json (a list, "
            "for bases and adapters that know JSON answers; the bundled base and runs' adapters do not).",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Let the model write freely and align its answer: slower, may lose some.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Extract entities and their modifiers from notes with a trained adapter.

    Plain notes, a file each, are read with --from text. Annotations that notes bring along are ignored; a note that
    names its labels is asked for those alone. What could not be asked is counted by reason on standard error.

    In JSON lines, meta.confidence says for every entity and relation, by id, how probable the model's choices were that
    made it: 1 is sure. Other formats have no place for it.
    """
    quiet_libraries()
    from fedmedlora.corpus.formats import check_target, write_documents

    answered = _answer_format(answers, plain)
    format_out = write_as or format_of_name(out)
    check_target(out, format_out)
    asked_for = label_set(labels)
    documents = _read_all(sources, read_as)

    from fedmedlora.cli.progress import RichWatcher
    from fedmedlora.inference.extract import extract_documents, load_adapted
    from fedmedlora.inference.extract_tagged import extract_tagged, is_tagger

    if is_tagger(model) and (plain or answered != "span"):
        raise ConfigError(f"{model}: an encoder tags the text and writes nothing. Leave out --plain and --answers.")
    with RichWatcher() as watcher:
        watcher.begin(f"extracting from {len(documents):,} documents", 0)
        if is_tagger(model):
            found = extract_tagged(model, documents, asked_for, encoder=base, on_done=watcher.advance)
        else:
            adapted = load_adapted(model, base)
            if answered == "json":
                _warn_of_json(model, adapted.base.name)
            found = extract_documents(
                adapted, documents, asked_for, plain=plain, answers=answered, on_done=watcher.advance
            )
    dropped = found.dropped + write_documents(found.documents, out, format_out)
    marked = [entity.type in asked_for.entity_types for document in found.documents for entity in document.entities]
    entities, modifiers = sum(marked), len(marked) - sum(marked)
    relations = sum(len(document.relations) for document in found.documents)
    if as_json:
        counts = {"documents": len(documents), "entities": entities, "modifiers": modifiers, "relations": relations}
        print_json({**counts, "out": str(out), "format": format_out, "dropped": dict(dropped)})
        return
    for reason, count in sorted(dropped.items()):
        note(f"left out: {reason}: {count:,}")
    typer.echo(
        f"{entities:,} entities, {modifiers:,} modifiers and {relations:,} relations in {len(documents):,} documents "
        f"written to {out} ({format_out})"
    )


def _answer_format(answers: str | None, plain: bool) -> AnswerFormat:
    """What `--answers` asks for. Raises ConfigError, and EnvironmentProblem when its library is not installed."""
    if answers is None or answers == "span":
        return "span"
    if answers != "json":
        raise ConfigError(f"--answers {answers}: {nearest(answers, ('span', 'json'))}")
    if plain:
        raise ConfigError("--plain reads answers in the span format. Leave out --plain or --answers json.")
    from fedmedlora.inference.json_decode import require_llguidance

    require_llguidance()
    return "json"


def _warn_of_json(model: Path, base: str) -> None:
    """Say where it is known that answers in JSON were never trained."""
    from fedmedlora.adapters.base import BUNDLED
    from fedmedlora.studies.cards import has_card

    untrained = "the bundled base" if base == BUNDLED else "an adapter of `fedmedlora run`" if has_card(model) else None
    if untrained is not None:
        note(f"{untrained} was trained to answer in tags, not in JSON: expect little. Leave out --answers json.")


def _read_all(sources: Sequence[Path], read_as: str | None) -> list[Document]:
    """Documents of several files or folders, which may not share an id."""
    from fedmedlora.corpus.formats import read_documents

    documents: dict[str, Document] = {}
    for path in sources:
        for document in read_documents(path, read_as).documents:
            if document.id in documents:
                raise CorpusError(
                    f"{path}: document id '{document.id}' was used before. Give every document its own id, or extract "
                    "from these files one by one."
                )
            documents[document.id] = document
    return list(documents.values())


def score(
    gold: Annotated[Path, typer.Argument(metavar="GOLD", help="Annotated notes, in any format.")],
    predicted: Annotated[Path, typer.Argument(metavar="PRED", help="Predicted notes of the same ids and texts.")],
    labels: Labels = None,
    as_json: AsJson = False,
) -> None:
    """Score predicted notes against gold ones: strict and lenient, entities (ner) and relations (re).

    Only labels that a gold note was annotated for are scored. A type with no gold and no prediction is "not supported".
    With --json also the classes of errors ("errors") and, where the predictions have confidences, how well these rank
    and how well calibrated they are ("confidence").
    """
    from fedmedlora.corpus.formats import read_documents
    from fedmedlora.scoring import score_documents

    read_gold, read_predicted = read_documents(gold), read_documents(predicted)
    schema = label_set(labels)
    scores = score_documents(read_gold.documents, read_predicted.documents, schema)
    for path, dropped in ((gold, read_gold.dropped), (predicted, read_predicted.dropped), (gold, scores.dropped)):
        for reason, count in sorted(dropped.items()):
            note(f"{path}: left out: {reason}: {count:,}")
    if scores.unanswered:
        note(f"{predicted}: {scores.unanswered:,} gold documents have no prediction and count as empty")
    if as_json:
        print_json({**scores.to_json(), **_beside(read_gold.documents, read_predicted.documents, schema)})
        return
    print_table(
        ("", "strict P", "R", "F1", "lenient P", "R", "F1", "gold", "pred"),
        _rows(scores),
    )


def _beside(gold: list[Document], predicted: list[Document], labels: LabelSet) -> dict[str, Json]:
    """Classes of errors by task, and what confidences are worth; the latter only of tasks that have some."""
    from fedmedlora.scoring import TASKS, Confidence, count_errors, rank_predictions
    from fedmedlora.scoring.bootstrap import RESAMPLES

    errors: dict[str, Json] = {}
    sure: dict[str, Json] = {}
    for task in TASKS:
        counted = count_errors(gold, predicted, labels, task)
        errors[task] = {str(kind): count for kind, count in counted.items()}
        try:
            ranking = rank_predictions(gold, predicted, labels, task)
        except CorpusError as error:
            # Scores do not need confidences, and what others keep under that name may be something else.
            note(f"{task}: confidence left out: {error}")
            continue
        if ranking is not None and ranking.predictions:
            sure[task] = Confidence.of(ranking, seed=0, resamples=RESAMPLES).to_json()
    return {"errors": errors, "confidence": sure}


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
