"""The synthetic note generator: deterministic, legal, held out where it says so, and different from site to site."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic import PROFILES, Part, World, generate_notes, profile
from fedmedlora.corpus.synthetic.frames import GRAMMARS, pools
from fedmedlora.corpus.synthetic.realise import Compiler, Sentence, realise
from fedmedlora.corpus.synthetic.shares import SPECIALTIES, expand, general_terms, share_of, specialty_terms, split
from fedmedlora.corpus.synthetic.sites import SECTIONS, STYLES, labels_without
from fedmedlora.corpus.synthetic.vocabulary import Vocabulary
from fedmedlora.errors import ConfigError

WORLDS: tuple[World, ...] = ("study", "pretraining")
PARTS: tuple[Part, ...] = ("train", "dev", "test")


@cache
def notes(count: int, part: Part = "train", world: World = "study") -> tuple[Document, ...]:
    """`count` notes of every named site, annotated with every label."""
    return tuple(
        note for site in PROFILES.values() for note in generate_notes(replace(site, labels=None), count, 7, part, world)
    )


def phrases(documents: Iterable[Document], *, entities: bool = True) -> set[str]:
    return {
        document.text[entity.start : entity.end].lower()
        for document in documents
        for entity in document.entities
        if (entity.type in CLINICAL.modifiers) == entities
    }


def frames(part: Part, world: World = "study") -> list[str]:
    return [frame for pool in pools(world, part).values() for frame in pool]


def bare(frame: str) -> str:
    """A frame's words and slot types alone: punctuation, indices, lexicons and fixed cues do not tell frames apart."""
    kinds = re.sub(r"\{([&!]?[A-Za-z]+)[^}]*\}", r"{\1}", frame)
    return re.sub(r"[^a-z0-9{}]+", " ", kinds.lower()).strip()


def draw(frame: str, seed: int = 0, world: World = "study") -> Sentence:
    nodes = Compiler(GRAMMARS[world], {}).compile(frame)
    return realise(nodes, Vocabulary(world, "train", {}), lambda name: name, random.Random(seed))


# --- the same arguments give the same notes, other arguments give others


def test_notes_repeat_and_do_not_depend_on_how_many_are_asked_for() -> None:
    site = PROFILES["cardiology-ward"]
    assert generate_notes(site, 6, 3) == generate_notes(site, 6, 3)
    assert generate_notes(site, 6, 3)[:4] == generate_notes(site, 4, 3)
    assert generate_notes(site, 0, 3) == []


def test_notes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import hashlib; from fedmedlora.corpus.synthetic import *; "
        "notes = [generate_notes(profile(i, 5), 3, 1, 'test', w) for i in range(3) for w in ('study', 'pretraining')]; "
        "print(hashlib.sha256(repr(notes).encode()).hexdigest())"
    )
    here = [generate_notes(profile(i, 5), 3, 1, "test", world) for i in range(3) for world in WORLDS]
    expected = hashlib.sha256(repr(here).encode()).hexdigest()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == expected


def test_parts_seeds_worlds_and_sites_differ() -> None:
    site = PROFILES["oncology-centre"]
    texts: list[str] = []
    for world in WORLDS:
        for part in PARTS:
            for seed in (0, 1):
                texts += [note.text for note in generate_notes(site, 5, seed, part, world)]
    texts += [note.text for note in generate_notes(replace(site, seed_offset=1), 5, 0)]
    # 2 worlds x 3 parts x 2 seeds x 5 notes, and 5 of the shifted site
    assert len(set(texts)) == len(texts) == 65


def test_ids_are_unique_and_patients_stay_in_one_part() -> None:
    by_part = {part: notes(6, part) for part in PARTS}
    ids = [note.id for documents in by_part.values() for note in documents]
    assert len(set(ids)) == len(ids)
    patients = [{note.patient for note in documents} for documents in by_part.values()]
    assert sum(map(len, patients)) == len(set().union(*patients))
    assert any(count > 1 for count in Counter(note.patient for note in by_part["train"]).values())


# --- offsets and relations


@settings(max_examples=15, deadline=None)
@given(index=st.integers(0, 500), seed=st.integers(0, 50), part=st.sampled_from(PARTS), world=st.sampled_from(WORLDS))
def test_every_note_is_legal(index: int, seed: int, part: Part, world: World) -> None:
    site = profile(index, seed)
    allowed = CLINICAL.asked(site.labels)
    for note in generate_notes(site, 2, seed, part, world):
        types = {entity.id: entity.type for entity in note.entities}
        spans = [entity.spans[0] for entity in note.entities]
        assert set(types.values()) <= allowed
        assert note.labels == site.labels
        assert note.meta == {"source": "synthetic", "site": site.name, "part": part, "world": world}
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        for start, end in spans:
            assert note.text[start:end] == note.text[start:end].strip() != ""
            assert "\n" not in note.text[start:end]
        for relation in note.relations:
            assert types[relation.tail] == relation.type
            assert relation.type in CLINICAL.modifiers[types[relation.head]]
        held = {relation.tail for relation in note.relations}
        assert all(name in held or kind in CLINICAL.modifiers for name, kind in types.items())


def test_offsets_are_those_of_the_words_that_were_drawn() -> None:
    sentence = draw("{!pt} {neg12=denies} {p1=fever} or {p2=chills} {tmp2=at night}, on {d3=ibuprofen} {str3=5 mg}")
    assert [piece for piece in sentence.pieces if piece.type] == [
        ("denies", "negation"), ("fever", "problem"), ("chills", "problem"), ("at night", "temporal"),
        ("ibuprofen", "drug"), ("5 mg", "strength"),
    ]  # fmt: skip
    # pieces: pt, " ", denies 2, " ", fever 4, " or ", chills 6, " ", at night 8, ", on ", ibuprofen 10, " ", 5 mg 12
    assert sentence.links == (("negation", 4, 2), ("negation", 6, 2), ("temporal", 6, 8), ("strength", 10, 12))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("part", ["train", "test"])
def test_every_frame_can_be_realised(world: World, part: Part) -> None:
    compiler, vocabulary = Compiler(GRAMMARS[world], {}), Vocabulary(world, part, {})
    for frame in frames(part, world):
        nodes = compiler.compile(frame)
        for seed in range(4):
            sentence = realise(nodes, vocabulary, lambda name: name, random.Random(seed))
            assert "".join(piece.text for piece in sentence.pieces).strip()


@pytest.mark.parametrize("world", WORLDS)
def test_every_filler_has_words(world: World) -> None:
    person = {"he", "his", "him", "sex", "mf", "age", "name", "pt", "small", "phone"}
    bodies = [
        body for table in (GRAMMARS[world].macros, GRAMMARS[world].clauses) for row in table.values() for body in row
    ]
    names = set(re.findall(r"\{!(\w+)\}", " ".join((*frames("train", world), *frames("test", world), *bodies))))
    for name in sorted(names - person):
        assert Vocabulary(world, "train", {}).filler(name, random.Random(0))


# --- coverage


@pytest.mark.parametrize("world", WORLDS)
def test_every_label_is_frequent(world: World) -> None:
    documents = notes(30, world=world)
    counts = Counter(entity.type for note in documents for entity in note.entities)
    relations = Counter(relation.type for note in documents for relation in note.relations)
    total = sum(counts.values())
    for label in CLINICAL.names:
        assert counts[label] > 0.004 * total, label
    assert set(relations) == set(CLINICAL.modifier_types)


@pytest.mark.parametrize("world", WORLDS)
def test_entities_have_none_one_and_several_modifiers_and_negations_are_shared(world: World) -> None:
    documents = notes(30, world=world)
    per_entity = Counter[int]()
    shared = 0
    for note in documents:
        heads = Counter(relation.head for relation in note.relations)
        per_entity.update(heads[e.id] for e in note.entities if e.type in CLINICAL.modifiers)
        tails = Counter(relation.tail for relation in note.relations if relation.type == "negation")
        shared += sum(count > 1 for count in tails.values())
    assert min(per_entity[0], per_entity[1], per_entity[2], per_entity[3]) > 20
    assert shared > 20


def test_some_lines_hold_no_entity() -> None:
    plain = [frame for (topic, _), pool in pools("study", "train").items() for frame in pool if topic == "plain"]
    assert len(plain) >= 12
    for frame in plain:
        assert all(piece.type is None for piece in draw(frame).pieces)


@pytest.mark.parametrize("world", WORLDS)
def test_sentence_counts_follow_the_profile(world: World) -> None:
    # bullets make sentences countable: every line but a heading is one
    site = replace(PROFILES["emergency-triage"], sentences=(5, 9))
    for note in generate_notes(site, 20, 0, world=world):
        lines = [line for line in note.text.split("\n") if line and not line.startswith("## ")]
        assert 5 <= len(lines) <= 9


# --- what is held out


def test_test_frames_are_none_of_the_train_frames() -> None:
    train, test = set(frames("train")), set(frames("test"))
    assert not {bare(frame) for frame in train} & {bare(frame) for frame in test}
    assert train == set(frames("dev"))
    assert len(test) >= 80
    assert set(pools("study", "train")) == set(pools("study", "test"))


def test_worlds_share_no_frame() -> None:
    pretraining = set(frames("train", "pretraining"))
    study = {bare(frame) for frame in (*frames("train"), *frames("test"))}
    assert not study & {bare(frame) for frame in pretraining}
    assert len(pretraining) >= 400


def test_test_part_has_entities_that_train_never_has() -> None:
    # training notes outnumber the test's three to one; at least 40 % of the test's phrases are still new
    train, test = phrases(notes(45)), phrases(notes(15, "test"))
    assert len(test - train) >= 0.4 * len(test)


def test_words_for_test_alone_never_stand_in_train() -> None:
    train = phrases(notes(45))
    for lexicon in ("p/dx", "p/sym", "d/generic", "t/listed", "p/compound", "p/greek", "d/coined", "t/operation"):
        for specialty in SPECIALTIES:
            held = {term.lower() for share in "TP" for term in specialty_terms(lexicon, specialty).get(share, ())}
            shown = {term.lower() for term in specialty_terms(lexicon, specialty).get("S", ())}
            assert not held & shown
            assert not {term for term in held & train if " " in term}


@pytest.mark.parametrize("entities", [True, False])
def test_worlds_share_almost_no_phrase_of_several_words(entities: bool) -> None:
    study = phrases([*notes(45), *notes(15, "test")], entities=entities)
    pretraining = phrases(notes(30, world="pretraining"), entities=entities)
    several = {phrase for phrase in pretraining if " " in phrase}
    assert len(several) > 300
    assert len(several & study) < 0.02 * len(several)


def test_vocabulary_is_large() -> None:
    def count(share: str) -> int:
        names = ("p/dx", "p/sym", "p/compound", "p/greek", "d/generic", "d/coined", "t/listed", "t/operation")
        terms = {
            term for name in names for field in SPECIALTIES for term in specialty_terms(name, field).get(share, ())
        }
        general = ("p/find", "d/class", "x/image", "x/study", "x/qual", "x/pressure")
        return len(terms | {term for name in general for term in general_terms(name).get(share, ())})

    assert count("P") > 10_000
    assert count("S") > 5_000
    assert count("T") > 3_000


# --- sites


def test_named_sites_differ_in_label_distribution() -> None:
    shares: dict[str, dict[str, float]] = {}
    for name, site in PROFILES.items():
        counts = Counter(e.type for note in generate_notes(replace(site, labels=None), 40, 0) for e in note.entities)
        shares[name] = {label: counts[label] / counts.total() for label in CLINICAL.names}
    names = sorted(shares)
    for one in names:
        for other in names:
            if one < other:
                # total variation distance of the two label distributions
                distance = sum(abs(shares[one][label] - shares[other][label]) for label in CLINICAL.names) / 2
                assert distance > 0.08, (one, other)


def test_named_sites_differ_in_style_sections_and_labels() -> None:
    sites = list(PROFILES.values())
    assert len(sites) >= 5
    assert len({site.style for site in sites}) == len(sites)
    assert len({site.sections for site in sites}) == len(sites)
    assert len({site.labels for site in sites}) >= 5


def test_profiles_are_distinct_and_repeatable() -> None:
    made = [profile(index, 1) for index in range(30)]
    assert made == [profile(index, 1) for index in range(30)]
    assert profile(0, 2) != made[0]
    assert len({site.name for site in made}) == 30
    assert {site.style for site in made} == set(STYLES)
    assert {name for site in made for name in site.sections} == set(SECTIONS)
    assert any(site.labels is None for site in made)
    assert len({site.labels for site in made}) > 10


def test_labels_outside_the_profile_are_left_out_of_the_gold_and_the_text_stays() -> None:
    site = PROFILES["oncology-centre"]
    full = generate_notes(replace(site, labels=None), 10, 0)
    some = generate_notes(replace(site, labels=("drug", "strength")), 10, 0)
    for whole, part in zip(full, some, strict=True):
        assert part.text == whole.text
        assert {entity.type for entity in part.entities} <= {"drug", "strength"}
        wanted = [entity.spans for entity in whole.entities if entity.type in ("drug", "strength")]
        assert [entity.spans for entity in part.entities] == wanted


def test_labels_without_drops_modifiers_that_nothing_carries() -> None:
    # drug alone carries strength, dosage, duration, form, frequency, route; 4 + 16 - 1 drug - 6 = 13
    assert len(labels_without("drug")) == 13
    assert "strength" not in labels_without("drug")
    assert "temporal" not in labels_without("temporal")


# --- pieces


def test_expand_fills_ranges_and_choices() -> None:
    drawn = {expand("<2-4> <days|weeks>", random.Random(seed)) for seed in range(200)}
    # 3 numbers x 2 words
    assert len(drawn) == 6
    assert expand("plain", random.Random(0)) == "plain"


def test_split_and_shares() -> None:
    assert split("a;  b c ;\n a; d") == ("a", "b c", "d")
    assert share_of("5 mg") == share_of("5 MG")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("{p1} [a|b", "not closed"),
        ("{p1} | b", "outside of an alternative"),
        ("{q1}", "is no entity, modifier"),
        ("{p}", "is no entity, modifier"),
        ("{p1 }", "not well formed"),
        ("{Z1}", "macro 'Z' does not exist"),
        ("{&nothing}", "clause 'nothing' does not exist"),
        ("{p1} {str1}", "may not attach to 'problem'"),
        ("{sev2} {p1}", "none of its entities"),
        ("{p1} {p1}", "used twice"),
    ],
)
def test_wrong_frames_are_refused(frame: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(frame)


def test_wrong_profiles_are_refused() -> None:
    site = PROFILES["cardiology-ward"]
    with pytest.raises(ConfigError, match="did you mean 'telegraphic'"):
        generate_notes(replace(site, style="telegrafic"), 1, 0)
    with pytest.raises(ConfigError, match="did you mean 'medication'"):
        generate_notes(replace(site, sections=("medications",)), 1, 0)
    with pytest.raises(ConfigError, match="at least one section"):
        generate_notes(replace(site, sentences=(9, 5)), 1, 0)
    with pytest.raises(ConfigError, match="part 'validation' does not exist"):
        generate_notes(site, 1, 0, "validation")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="world 'real' does not exist"):
        generate_notes(site, 1, 0, "train", "real")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="-1 notes"):
        generate_notes(site, -1, 0)
