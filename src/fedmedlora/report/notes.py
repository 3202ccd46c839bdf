"""The notes that a run kept for its report, each with what every model found in it. Nothing where the study forbids it.

Two consents are needed: `report.include_text = true` in the run's study.toml, and the folder `examples/` that the run
wrote under it. Notes under a data-use agreement are not in that folder; one that is put there all the same is left out.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fedmedlora.corpus.document import Document, Entity
from fedmedlora.corpus.jsonl import read_jsonl
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import InputError
from fedmedlora.report.fields import Fields
from fedmedlora.report.progress import EXTERNAL, model_label, seeds_of, sites_of
from fedmedlora.report.records import Run, Score
from fedmedlora.scoring import TASKS, Task
from fedmedlora.scoring.errors import ErrorClass, classify_errors

_ONE_FOR_ALL = ("all", "none")
_Predicted: TypeAlias = dict[Task, dict[str, Document]]


@dataclass(frozen=True, slots=True)
class Mark:
    """One annotation.

    head: the entity that a modifier belongs to. confidence: of a prediction that knows it, 0 to 1.
    """

    entity: Entity
    head: Entity | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """A gold annotation, a predicted one, or a pair of both, and what kind of mistake it is.

    gold is None for "spurious", predicted for "missed".
    """

    task: Task
    kind: ErrorClass
    gold: Mark | None
    predicted: Mark | None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Gold, then predicted, as far as they are there."""
        return tuple(mark for mark in (self.gold, self.predicted) if mark is not None)

    @property
    def start(self) -> int:
        """First code point of either."""
        return min(mark.entity.start for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Answer:
    """One note as one model answered it. items: in the order of the text."""

    site: str
    note: str
    text: str
    arm: str
    model: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many of a site's tested documents are shown. credentialed: tested ones that never are."""

    site: str
    tested: int
    credentialed: int
    shown: int


@dataclass(frozen=True, slots=True)
class Notes:
    """What may be quoted of a run. answers: site by site and note by note, in the order of the models."""

    seed: int
    drawn: tuple[Drawn, ...]
    answers: tuple[Answer, ...]


def load_notes(folder: Path, run: Run) -> Notes | None:
    """The notes that a run directory's report may quote; None where its study does not allow any.

    Raises InputError, or CorpusError naming file and line, when something is damaged or does not belong together.
    """
    path = folder / "examples" / "sample.json"
    if not _allowed(run) or not path.is_file():
        return None
    fields = _sample(path)
    labels = LabelSet({name: fields.table("labels").texts(name) for name in fields.table("labels").values}, {})
    seeds = seeds_of(run)
    seed = seeds[0] if seeds else 0
    drawn, answers = [], []
    for site, counts in fields.table("sites").tables():
        golds = read_jsonl(folder / "examples" / f"{site}.jsonl").documents
        free = [gold for gold in golds if not gold.meta.get("credentialed")]
        held = counts.whole("credentialed") + len(golds) - len(free)
        drawn.append(Drawn(site, counts.whole("tested"), held, len(free)))
        models = [(score, _predictions(folder, score)) for score in _shown_models(run, site, seed)]
        answers += [_answer(score, gold, found, labels) for gold in free for score, found in models]
    order = {site: place for place, site in enumerate(sites_of(run))}
    drawn.sort(key=lambda one: order.get(one.site, len(order)))
    answers.sort(key=lambda one: order.get(one.site, len(order)))
    return Notes(seed, tuple(drawn), tuple(answers))


def _allowed(run: Run) -> bool:
    if run.study is None:
        return False
    return Fields(tomllib.loads(run.study), f"{run.folder}/study.toml").table("report").flag("include_text")


def _sample(path: Path) -> Fields:
    try:
        return Fields.of(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as JSON in UTF-8. Restore the file, or write it again with "
            "`fedmedlora run STUDY.toml --resume`."
        ) from error


def _shown_models(run: Run, site: str, seed: int) -> Iterator[Score]:
    """The models of one seed that were tested on a site as a whole study has them, each once: variants are left out."""
    seen: set[tuple[str, str]] = set()
    for score in run.scores:
        key = (score.arm, score.trained_on)
        own = score.trained_on in (*_ONE_FOR_ALL, site) or score.setting == EXTERNAL
        if score.test_site == site and score.seed == seed and own and key not in seen:
            seen.add(key)
            yield score


def _predictions(folder: Path, score: Score) -> _Predicted:
    """Task → note id → predicted document, of the tasks that were answered."""
    place = folder / "predictions" / score.arm / str(score.seed)
    if score.trained_on not in _ONE_FOR_ALL:
        place /= score.trained_on
    files = {task: place / f"{score.test_site}.{task}.jsonl" for task in TASKS}
    return {
        task: {document.id: document for document in read_jsonl(path).documents}
        for task, path in files.items()
        if path.is_file()
    }


def _answer(score: Score, gold: Document, predicted: _Predicted, labels: LabelSet) -> Answer:
    items = [
        item
        for task, documents in predicted.items()
        if gold.id in documents
        for item in _items(gold, documents[gold.id], labels, task)
    ]
    return Answer(
        score.test_site,
        gold.id,
        gold.text,
        score.arm,
        model_label(score.arm, score.trained_on),
        tuple(sorted(items, key=lambda item: item.start)),
    )


def _items(gold: Document, predicted: Document, labels: LabelSet, task: Task) -> Iterator[Item]:
    golds, found = _marks(gold, task), _marks(predicted, task)
    for error in classify_errors(gold, predicted, labels, task):
        yield Item(task, error.kind, _first(error.gold, golds), _first(error.predicted, found))


def _first(ids: Sequence[str], marks: Mapping[str, Mark]) -> Mark | None:
    """Of duplicates the first: they say the same."""
    return marks[ids[0]] if ids else None


def _marks(document: Document, task: Task) -> dict[str, Mark]:
    """Every entity, or every relation as its modifier and the entity that it belongs to, by id."""
    known = document.meta.get("confidence")
    sure = {name: value for name, value in known.items() if isinstance(value, float)} if isinstance(known, dict) else {}
    if task == "ner":
        return {entity.id: Mark(entity, None, sure.get(entity.id)) for entity in document.entities}
    entities = {entity.id: entity for entity in document.entities}
    return {
        relation.id: Mark(entities[relation.tail], entities[relation.head], sure.get(relation.id))
        for relation in document.relations
    }
