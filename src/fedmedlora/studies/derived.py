"""Training examples that are no site's own: few notes of a new site, changed annotation, shards of all sites' notes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.corpus.windows import document_of
from fedmedlora.errors import CorpusError
from fedmedlora.markup.encode import Encoder, Example, Task
from fedmedlora.record import digest_json
from fedmedlora.studies.divide import Note, divide
from fedmedlora.studies.sites import SiteNotes, digest_documents
from fedmedlora.studies.uneven import annotate
from fedmedlora.studies.variants import Changed, Derived, FewNotes, Shard, Source
from fedmedlora.training.examples import MARKED_SHARE, make_examples


@dataclass(frozen=True)
class DerivedExamples:
    """What a derived source holds.

    documents: how many. digest: over what tells them apart from any others. changed: annotation that a case changed,
    dropped: what encoding could not hold, by reason.
    """

    examples: tuple[Example, ...]
    documents: int
    digest: str
    changed: Mapping[str, int]
    dropped: Mapping[str, int]


def derive_examples(
    sources: Iterable[Derived],
    config: StudyConfig,
    notes: Mapping[str, SiteNotes],
    encoder: Encoder,
    members: Mapping[Source, Sequence[Example]],
) -> dict[Derived, DerivedExamples]:
    """The examples of every source that can be had: a new site with too few notes has none of so many.

    members: the examples of the sites that train, capped, which shards divide. Raises CorpusError for a source without
    an example, ConfigError for a case or a division that cannot be.
    """
    found: dict[Derived, DerivedExamples] = {}
    shards: dict[tuple[object, ...], list[DerivedExamples]] = {}
    for source in dict.fromkeys(sources):
        match source:
            case FewNotes():
                if source.notes <= len(notes[source.site].parts["train"]):
                    found[source] = _few_notes(source, config, notes[source.site], encoder)
            case Changed():
                found[source] = _changed(source, config, notes[source.site], encoder)
            case Shard():
                division = (source.pool, source.sites, source.split, source.seed)
                if division not in shards:
                    shards[division] = _shards(source, members, encoder.labels, config.scaling.dirichlet)
                found[source] = shards[division][source.number - 1]
    return found


def draw_notes(documents: Sequence[Document], count: int, seed: str, tasks: Sequence[Task]) -> list[Document]:
    """A seeded `count` of the documents; fewer are a part of more.

    The first that is drawn marks something: a relation, where relations are a task and there is one, else an entity.
    """
    order = random.Random(seed).sample(list(documents), len(documents))
    related = [place for place, document in enumerate(order) if document.relations] if "re" in tasks else []
    marked = related or [place for place, document in enumerate(order) if document.entities]
    if marked:
        order.insert(0, order.pop(marked[0]))
    return order[:count]


def _few_notes(source: FewNotes, config: StudyConfig, site: SiteNotes, encoder: Encoder) -> DerivedExamples:
    """All that the notes hold: no cap, so that k notes are k notes."""
    seed = f"low-resource/{site.name}/{source.seed}"
    drawn = draw_notes(site.parts["train"], source.notes, seed, config.tasks)
    encoded = make_examples(drawn, encoder, config.tasks)
    if not encoded.examples:
        raise CorpusError(
            f"site '{site.name}': none of {source.notes} notes drawn by seed {source.seed} gives a training example. "
            "Check its labels and max_tokens."
        )
    return DerivedExamples(
        tuple(encoded.examples), len(drawn), digest_documents(drawn), {}, dict(sorted(encoded.dropped.items()))
    )


def _changed(source: Changed, config: StudyConfig, site: SiteNotes, encoder: Encoder) -> DerivedExamples:
    case = next(case for case in config.uneven_cases if case.name == source.case)
    change = next(change for change in case.sites if change.name == source.site)
    annotated = annotate(site.parts["train"], change, encoder.labels, case.name)
    tasks = [task for task in config.tasks if change.tasks is None or task in change.tasks]
    encoded = make_examples(
        annotated.documents,
        encoder,
        tasks,
        max_per_task=config.training.max_train_examples,
        marked_share=MARKED_SHARE,
        seed=f"cap/{site.name}",
    )
    if not encoded.examples:
        raise CorpusError(f"uneven case '{case.name}': no training example is left at site '{site.name}'. Change less.")
    # Which tasks are trained shows in no document.
    notes = digest_documents(annotated.documents)
    return DerivedExamples(
        tuple(encoded.examples),
        len(annotated.documents),
        notes if change.tasks is None else digest_json([tasks, notes]),
        dict(sorted(annotated.changed.items())),
        dict(sorted(encoded.dropped.items())),
    )


def _shards(
    shard: Shard, members: Mapping[Source, Sequence[Example]], labels: LabelSet, alpha: float
) -> list[DerivedExamples]:
    """All shards of one division. Their examples are those of the members, each in one shard, in the members' order."""
    pooled: dict[tuple[str, str], list[Example]] = {}
    for site in shard.pool:
        for example in members[site]:
            pooled.setdefault((site, document_of(example.request.document)), []).append(example)
    keys = list(pooled)
    notes = [Note(key[0], len(pooled[key]), _dominant_type(pooled[key], labels)) for key in keys]
    home = {
        keys[at]: place
        for place, part in enumerate(divide(notes, shard.sites, shard.split, alpha, shard.seed))
        for at in part
    }
    found: list[list[Example]] = [[] for _ in range(shard.sites)]
    for site in shard.pool:
        for example in members[site]:
            found[home[site, document_of(example.request.document)]].append(example)
    return [
        DerivedExamples(tuple(examples), len(held), digest_json([list(key) for key in held]), {}, {})
        for place, examples in enumerate(found)
        for held in [[key for key in keys if home[key] == place]]
    ]


def _dominant_type(examples: Sequence[Example], labels: LabelSet) -> str:
    """The entity type that a note's examples hold most of, ties as the label set has them; else empty."""
    windows = {example.request.document.id: example.request.document for example in examples}
    types = Counter(entity.type for window in windows.values() for entity in window.entities)
    return max((name for name in labels.entity_types if types[name]), key=lambda name: types[name], default="")
