from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.splits import PARTS, check_patients, check_split, load_split_file, make_split, select_part
from fedmedlora.errors import CorpusError


def note(name: str, patient: str | None = None) -> Document:
    return Document(name, "text", patient=patient)


def put(folder: Path, value: object) -> Path:
    path = folder / "splits.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_split_file_is_read_and_applied_in_the_order_of_the_documents(tmp_path: Path) -> None:
    path = put(tmp_path, {"one": {"train": ["c", "a"], "dev": [], "test": ["b"]}})
    split = load_split_file(path, "one")
    assert split == {"train": ["c", "a"], "dev": [], "test": ["b"]}
    notes = [note("a"), note("b"), note("c"), note("d")]
    assert [document.id for document in select_part(notes, split, "train")] == ["a", "c"]
    with pytest.raises(CorpusError, match="part 'dev' of the split is empty"):
        select_part(notes, split, "dev")
    with pytest.raises(CorpusError, match="no part 'tset'; did you mean 'test'"):
        select_part(notes, split, "tset")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not an object"),
        ({"chia": {}}, "no split for corpus 'one'; Known: chia"),
        ({"one": []}, "corpus 'one' is not an object of parts"),
        ({"one": {"train": [1]}}, "part 'train': expected a list of document ids"),
        (
            {"one": {"train": ["a"], "test": ["a"]}},
            r"splits\.json: corpus 'one': document 'a' is in 'train' and in 'test'",
        ),
        ({"one": {"train": ["a", "a"]}}, "document 'a' is in 'train' and in 'train'"),
    ],
)
def test_a_wrong_split_file_is_named(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_split_file(put(tmp_path, value), "one")


def test_a_missing_or_damaged_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"splits\.json: no such file"):
        load_split_file(tmp_path / "splits.json", "one")
    (tmp_path / "splits.json").write_text("{")
    with pytest.raises(CorpusError, match=r"splits\.json: not JSON"):
        load_split_file(tmp_path / "splits.json", "one")


def test_ids_that_no_document_has_are_counted_and_the_first_named() -> None:
    wanted = [f"x{number}" for number in range(7)]
    with pytest.raises(
        CorpusError, match=r"names 7 of 8 documents that the corpus lacks: 'x0', 'x1', 'x2', 'x3', 'x4', …"
    ):
        select_part([note("a")], {"train": ["a", *wanted]}, "train")


def test_a_patient_in_two_parts_is_an_error() -> None:
    notes = [note("a", "p"), note("b", "p"), note("c", "q"), note("d", "p")]
    check_patients(notes, {"train": ["a", "b"], "test": ["c"]})
    with pytest.raises(CorpusError, match="patient 'p' is in two parts: document 'a' in 'train', 'b' in 'test'"):
        select_part(notes, {"train": ["a"], "test": ["b", "c"]}, "train")


NOTES = st.lists(
    st.tuples(st.uuids().map(str), st.none() | st.sampled_from("pqrstuvw")),
    min_size=30,
    max_size=60,
    unique_by=lambda x: x[0],
).map(lambda pairs: [note(*pair) for pair in pairs])


@settings(max_examples=30)
@given(notes=NOTES, seed=st.integers(0, 3))
def test_a_seeded_split_holds_every_document_once_and_divides_no_patient(notes: list[Document], seed: int) -> None:
    # Up to 8 patients with several notes each; notes without a patient stand alone.
    groups = {document.patient or document.id for document in notes}
    if len(groups) < 12:
        return
    split = make_split(notes, seed)
    check_split(split)
    check_patients(notes, split)
    assert sorted(name for ids in split.values() for name in ids) == sorted(document.id for document in notes)
    assert make_split(notes[::-1], seed) == split


def test_a_seeded_split_has_its_shares_and_depends_on_the_seed() -> None:
    notes = [note(f"n{number}") for number in range(200)]
    split = make_split(notes, 1)
    assert {part: len(split[part]) for part in PARTS} == {"train": 140, "dev": 20, "test": 40}
    assert make_split(notes, 2) != split
    assert make_split(notes, 1, (1.0, 0.0, 0.0))["test"] == []


def test_too_few_patients_or_wrong_fractions_are_errors() -> None:
    with pytest.raises(CorpusError, match="would be empty: 1 patients are too few"):
        make_split([note("a", "p"), note("b", "p")], 0)
    with pytest.raises(CorpusError, match="are not shares of one"):
        make_split([note("a")], 0, (0.7, 0.7, 0.1))


def test_the_published_splits(corpora: Path) -> None:
    for corpus, sizes in {"maccrobat": (139, 20, 41), "chia": (1_400, 200, 400)}.items():
        split = load_split_file(corpora / "splits.json", corpus)
        assert tuple(len(split[part]) for part in PARTS) == sizes
        notes = [note(path.stem, path.stem.split("_")[0]) for path in sorted((corpora / corpus).glob("*.txt"))]
        assert sum(len(select_part(notes, split, part)) for part in PARTS) == len(notes)
