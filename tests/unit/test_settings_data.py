"""Dividing notes, drawing few of them and annotating them otherwise, with the answers counted by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

import tiny
from fedmedlora.config import load_study
from fedmedlora.config.fields import SplitName
from fedmedlora.config.settings import ChangeConfig
from fedmedlora.corpus.document import Document
from fedmedlora.errors import ConfigError
from fedmedlora.markup.encode import Encoder
from fedmedlora.studies.cells import few_notes_settings
from fedmedlora.studies.derived import derive_examples, draw_notes
from fedmedlora.studies.divide import Note, divide
from fedmedlora.studies.sites import SiteNotes
from fedmedlora.studies.uneven import annotate
from fedmedlora.studies.variants import Changed
from fedmedlora.training.loop import TrainSettings

SPLITS: tuple[SplitName, ...] = ("iid", "style", "label-skew", "size-skew")
NOTES = (
    [Note("x", 4, "problem") for _ in range(20)]
    + [Note("y", 1, "drug") for _ in range(30)]
    + [Note("z", 2, "problem" if at % 2 else "") for at in range(5)]
)
"""120 examples: 80 of x, 30 of y, 10 of z."""


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("sites", [1, 2, 3, 5, 10, 55])
@pytest.mark.parametrize("alpha", [1e-9, 0.5, 1e6])
def test_every_note_is_in_one_site_and_no_site_is_empty(split: SplitName, sites: int, alpha: float) -> None:
    parts = divide(NOTES, sites, split, alpha, seed=3)
    assert len(parts) == sites
    assert all(parts)
    assert sorted(at for part in parts for at in part) == list(range(len(NOTES)))
    assert all(part == sorted(part) for part in parts)
    assert parts == divide(NOTES, sites, split, alpha, seed=3)


def examples(parts: list[list[int]]) -> list[int]:
    return [sum(NOTES[at].size for at in part) for part in parts]


def test_iid_is_equal_and_drawn_by_the_seed() -> None:
    parts = divide(NOTES, 4, "iid", 0.5, seed=0)
    # 30 examples each, to within the largest note.
    assert all(abs(size - 30) <= 4 for size in examples(parts))
    assert all({NOTES[at].site for at in part} >= {"x", "y"} for part in parts)
    assert parts != divide(NOTES, 4, "iid", 0.5, seed=1)


def test_style_keeps_corpora_whole_merged_or_cut() -> None:
    def corpora(sites: int) -> list[str]:
        parts = divide(NOTES, sites, "style", 0.5, seed=0)
        return sorted("".join(sorted({NOTES[at].site for at in part})) for part in parts)

    assert corpora(1) == ["xyz"]
    # The two smaller together are still smaller than the largest.
    assert corpora(2) == ["x", "yz"]
    assert corpora(3) == ["x", "y", "z"]
    # 80 in two are 40 each, in three 27, so that the next to be cut is y with 30: by the largest piece.
    assert corpora(5) == ["x", "x", "x", "y", "z"]
    assert corpora(6) == ["x", "x", "x", "y", "y", "z"]


def test_skew_grows_as_alpha_falls() -> None:
    even = examples(divide(NOTES, 4, "size-skew", 1e6, seed=0))
    assert all(abs(size - 30) <= 4 for size in even)
    assert max(examples(divide(NOTES, 4, "size-skew", 1e-9, seed=0))) >= 120 - 3 * 4
    skewed = divide(NOTES, 2, "label-skew", 1e-9, seed=1)
    # Each type is at one site, save one note where a site would be empty.
    mixed = [Counter(NOTES[at].kind for at in part) for part in skewed]
    for kind in ("problem", "drug", ""):
        assert min(count[kind] for count in mixed) <= 1


def test_more_sites_than_notes_is_told() -> None:
    with pytest.raises(ConfigError, match="names 3, but the sites have 2 training notes with an example"):
        divide(NOTES[:2], 3, "iid", 0.5, seed=0)


def numbered(count: int, marked: tuple[int, ...], related: tuple[int, ...]) -> list[Document]:
    blank, entity, relation = tiny.mark("cough"), tiny.notes()[3], tiny.notes()[0]
    found = []
    for at in range(count):
        source = relation if at in related else entity if at in marked else blank
        found.append(Document(str(at), source.text, source.entities, source.relations))
    return found


def test_few_notes_are_nested_seeded_and_begin_with_one_that_marks_something() -> None:
    documents = numbered(30, marked=(7, 11), related=(19,))
    for seed in range(5):
        drawn = [[note.id for note in draw_notes(documents, k, f"s/{seed}", ["ner", "re"])] for k in (1, 5, 10, 30)]
        assert drawn[0] == ["19"]
        for fewer, more in pairwise(drawn):
            assert more[: len(fewer)] == fewer
        assert sorted(drawn[-1], key=int) == [str(at) for at in range(30)]
        assert draw_notes(documents, 1, f"s/{seed}", ["ner"])[0].id in ("7", "11", "19")
    assert len({tuple(note.id for note in draw_notes(documents, 5, f"s/{seed}", ["ner"])) for seed in range(5)}) == 5
    assert len(draw_notes(numbered(3, (), ()), 2, "s", ["ner", "re"])) == 2


def many() -> list[Document]:
    """120 documents with 360 entities: each note of tiny.notes() twenty times."""
    return [
        Document(f"{at}-{note}", one.text, one.entities, one.relations)
        for at in range(20)
        for note, one in enumerate(tiny.notes())
    ]


def total(documents: list[Document]) -> int:
    return sum(len(document.entities) for document in documents)


def test_noise_hits_an_exact_share_and_is_counted() -> None:
    documents = many()
    entities = total(documents)
    # 3 + 3 + 4 + 2 + 4 + 3 entities in the six notes.
    assert entities == 20 * 19
    change = ChangeConfig(name="a", drop=0.1, shift=0.2, swap=0.25)
    found, changed = annotate(documents, change, tiny.LABELS, "case")
    assert changed["entity left out"] == 38 == entities - total(found)
    assert (
        changed["boundary off by a word"] + changed["entity of another type"]
        == 76 + 95 - changed["entity that could not be changed"]
    )
    before = {(document.id, entity.id): entity for document in documents for entity in document.entities}
    after = {(document.id, entity.id): entity for document in found for entity in document.entities}
    moved = [key for key, entity in after.items() if entity.spans != before[key].spans]
    retyped = [key for key, entity in after.items() if entity.type != before[key].type]
    assert not set(moved) & set(retyped)
    assert (len(moved), len(retyped)) == (changed["boundary off by a word"], changed["entity of another type"])
    for document_id, entity_id in moved:
        text = next(document.text for document in documents if document.id == document_id)
        old, new = before[document_id, entity_id], after[document_id, entity_id]
        longer, shorter = sorted((old, new), key=lambda entity: entity.start - entity.end)
        difference = text[longer.start : longer.end].replace(text[shorter.start : shorter.end], "", 1)
        assert len(difference.split()) == 1
        assert (old.start == new.start) != (old.end == new.end)
    lost = sum(len(document.relations) for document in documents) - sum(len(document.relations) for document in found)
    assert lost == changed["relation of an entity left out or of another type"] > 0
    for document in found:
        for relation in document.relations:
            assert relation.type in tiny.LABELS.modifiers[document.entity(relation.head).type]
    assert annotate(documents, change, tiny.LABELS, "case") == (found, changed)
    assert annotate(documents, change, tiny.LABELS, "other")[0] != found


def test_labels_are_narrowed_to_those_named_or_every_second() -> None:
    documents = tiny.notes()
    drugs = annotate(documents, ChangeConfig(name="a", labels=("drug", "dosage")), tiny.LABELS, "case")
    # Metformin, aspirin, ibuprofen and two doses of 19.
    assert total(drugs.documents) == 5
    assert all(document.labels == ("dosage", "drug") for document in drugs.documents)
    half = annotate(documents, ChangeConfig(name="a", labels="half"), tiny.LABELS, "case")
    # Of problem and drug the first, with its modifiers.
    assert half.documents[0].labels == ("negation", "problem", "severity")
    assert total(half.documents) == 19 - 5
    # Where a site has one type, every second of its modifiers goes.
    one = annotate(half.documents, ChangeConfig(name="a", labels="half"), tiny.LABELS, "case")
    assert one.documents[0].labels == ("problem", "severity")
    with pytest.raises(ConfigError, match="uneven case 'case', site 'a': unknown label 'drugs': did you mean 'drug'"):
        annotate(documents, ChangeConfig(name="a", labels=("drugs",)), tiny.LABELS, "case")


def test_few_notes_make_all_passes_and_at_least_so_many_steps(tmp_path: Path) -> None:
    study = "rounds = 3\n[low_resource]\nmin_steps = 50\n[[sites]]\nname = 'a'\n"
    path = tmp_path / "study.toml"
    path.write_text(study + "synthetic = { profile = 'ward', train = 1, dev = 0, test = 1 }\n", encoding="utf-8")
    config = load_study(path, (), {})
    settings = TrainSettings(epochs=2, batch_size=4)
    # 100 examples are 25 steps a pass, and 3 rounds of 2 passes are 6; 9 are 3 steps, of which 17 passes make 51.
    assert few_notes_settings(settings, config, 100).epochs == 6
    assert few_notes_settings(settings, config, 9).epochs == 17
    named = config.model_copy(update={"low_resource": config.low_resource.model_copy(update={"epochs": 20})})
    assert few_notes_settings(settings, named, 9).epochs == 20


def test_the_tasks_that_a_case_trains_are_in_its_digest(tmp_path: Path) -> None:
    notes = {"a": SiteNotes("a", {"train": tuple(tiny.notes())}, {})}
    encoder = Encoder(tiny.tokenizer(), tiny.LABELS, "brief", 512)

    def digest(tasks: str) -> str:
        path = tmp_path / "study.toml"
        site = "[[sites]]\nname = 'a'\nsynthetic = { profile = 'ward', train = 1, dev = 0, test = 1 }\n"
        case = f"[[uneven.cases]]\nname = 'one'\nsites = [{{ name = 'a', tasks = [{tasks}] }}]\n"
        path.write_text(site + case, encoding="utf-8")
        source = Changed("a", "one")
        return derive_examples([source], load_study(path, (), {}), notes, encoder, {})[source].digest

    # The notes are the same, what is trained is not.
    assert len({digest("'ner'"), digest("'re'"), digest("'ner', 're'")}) == 3
