"""Sites as a study reads them: dev notes in place of test notes, and what is no part of a digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmedlora.config.models import EvaluationConfig, SiteConfig, StudyConfig, SyntheticNotes
from fedmedlora.corpus.formats import write_documents
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.errors import CorpusError
from fedmedlora.studies.sites import load_sites


def study(dev: int, part: str) -> StudyConfig:
    notes = SyntheticNotes(profile="pharmacy-review", train=2, dev=dev, test=3)
    return StudyConfig(
        name="dev",
        corpora_root=Path(),
        sites=(SiteConfig(name="ward", synthetic=notes),),
        evaluation=EvaluationConfig.model_validate({"part": part}),
    )


def test_dev_notes_stand_in_place_of_test_notes() -> None:
    (tested,) = load_sites(study(2, "test"), CLINICAL)
    (chosen,) = load_sites(study(2, "dev"), CLINICAL)
    assert chosen.parts["test"] == chosen.parts["dev"] == tested.parts["dev"]
    assert not {one.id for one in tested.parts["test"]} & {one.id for held in chosen.parts.values() for one in held}


def test_a_site_without_dev_notes_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"'ward': scores are to be made on dev notes \(evaluation.part\)"):
        load_sites(study(0, "dev"), CLINICAL)


def test_that_notes_are_credentialed_changes_no_digest() -> None:
    plain = study(2, "test")
    marked = plain.model_copy(update={"sites": (plain.sites[0].model_copy(update={"credentialed": True}),)})
    (before,), (after,) = load_sites(plain, CLINICAL), load_sites(marked, CLINICAL)
    assert all(note.meta["credentialed"] for note in after.parts["test"])
    assert {part: before.digest(part) for part in before.parts} == {part: after.digest(part) for part in after.parts}


def test_a_site_that_tests_on_the_training_notes_of_another_is_refused(tmp_path: Path) -> None:
    notes = generate_notes(PROFILES["pharmacy-review"], 6, 0, "train")
    write_documents(notes, tmp_path / "notes.jsonl", "jsonl")
    sites = (
        SiteConfig(name="ward", path=tmp_path / "notes.jsonl"),
        SiteConfig(name="elsewhere", path=tmp_path / "notes.jsonl", external=True),
    )
    # Of 6 notes a seeded split leaves 4 or more to training, and the external site tests on all 6.
    with pytest.raises(CorpusError, match=r"of the 6 test notes of site 'elsewhere' are training notes of site 'ward'"):
        load_sites(StudyConfig(name="twice", corpora_root=tmp_path, sites=sites), CLINICAL)
