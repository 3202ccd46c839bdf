"""Using a saved adapter: loading it on its base, extraction of documents, free generation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import tiny
from fedmedlora.adapters.base import load_base
from fedmedlora.adapters.lora import attach_lora
from fedmedlora.adapters.state import CONFIG_FILE, AdapterState, save_state
from fedmedlora.corpus.document import Document
from fedmedlora.errors import AdapterError, BaseModelError
from fedmedlora.inference import generate
from fedmedlora.inference.extract import base_name, extract_documents, load_adapted
from fedmedlora.inference.generate import Answer, _parse, generate_answers
from fedmedlora.markup.encode import Encoder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A base in `base`, an adapter trained on it (random) in the folder that is returned."""
    folder = tiny.save_base(tmp_path / "base")
    adapted = attach_lora(load_base(str(folder)), rank=2, alpha=6)
    draw = np.random.default_rng(0)
    arrays = {name: draw.normal(size=shape).astype(np.float32) for name, shape in adapted.fresh(0).shapes.items()}
    save_state(AdapterState(arrays, adapted.spec), tmp_path / "adapter", str(folder))
    return tmp_path / "adapter"


def test_a_saved_adapter_is_loaded_on_the_base_that_it_names(saved: Path) -> None:
    adapted = load_adapted(saved)
    draw = np.random.default_rng(0)
    for array in adapted.read().arrays.values():
        np.testing.assert_array_equal(array, draw.normal(size=array.shape).astype(np.float32))
    assert (adapted.spec.rank, adapted.spec.alpha) == (2, 6.0)
    assert base_name(saved) == adapted.base.name


def test_the_base_may_lie_elsewhere(saved: Path, tmp_path: Path) -> None:
    moved = (tmp_path / "base").rename(tmp_path / "moved")
    assert load_adapted(saved, str(moved)).base.name == str(moved)
    with pytest.raises(BaseModelError, match="no such folder"):
        load_adapted(saved)


def test_another_base_is_refused(saved: Path, tmp_path: Path) -> None:
    other = tiny.save_base(tmp_path / "other", seed=9)
    with pytest.raises(AdapterError, match="trained on another base"):
        load_adapted(saved, str(other))


def test_a_folder_that_names_no_base(saved: Path, tmp_path: Path) -> None:
    config = json.loads((saved / CONFIG_FILE).read_text())
    (saved / CONFIG_FILE).write_text(json.dumps({**config, "base_model_name_or_path": ""}))
    with pytest.raises(AdapterError, match="base_model_name_or_path is missing"):
        load_adapted(saved)
    for broken in ("{", "[]"):
        (saved / CONFIG_FILE).write_text(broken)
        with pytest.raises(AdapterError, match="not readable"):
            base_name(saved)
    with pytest.raises(AdapterError, match="no such adapter folder"):
        load_adapted(tmp_path / "nothing")


def test_documents_get_entities_and_modifiers_inside_their_text(saved: Path) -> None:
    texts = ("No fever. Mild cough, 😀 pain.\nAspirin 500 mg.", "", "Severe headache <problem> after ibuprofen")
    documents = [Document(f"n{number}", text) for number, text in enumerate(texts)]
    told: list[int] = []
    found, dropped = extract_documents(load_adapted(saved), documents, tiny.LABELS, batch_size=4, on_done=told.append)
    assert [document.text for document in found] == list(texts)
    assert not dropped
    assert any(document.relations for document in found)
    for document in found:
        for entity in document.entities:
            assert entity.type in tiny.LABELS.names
            assert document.text[entity.start : entity.end].strip()
        for relation in document.relations:
            assert relation.type in tiny.LABELS.modifiers[document.entity(relation.head).type]
            assert document.entity(relation.tail).type == relation.type
    # Four windows, and a question for every entity that has modifiers to ask for: all do.
    heads = sum(entity.type in tiny.LABELS.entity_types for document in found for entity in document.entities)
    assert sum(told) == 4 + heads


def test_free_generation_is_read_leniently(saved: Path) -> None:
    adapted = load_adapted(saved)
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS)
    requests = [request for note in tiny.notes()[:3] if (request := encoder.ner_request(note)) is not None]
    told: list[int] = []
    answers = generate_answers(adapted, requests, batch_size=2, on_done=told.append)
    assert told == [2, 1]
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer.problems, Counter)
        for label, spans in answer.entities:
            assert label in request.grammar.labels
            assert all(0 <= start < end <= len(request.document.text) for start, end in spans)
    # One at a time or padded together: the same.
    assert generate_answers(adapted, requests, batch_size=1) == answers


def test_plain_extraction_marks_only_the_source_and_counts_the_rest(saved: Path) -> None:
    adapted = load_adapted(saved)
    found = extract_documents(adapted, tiny.notes()[:2], tiny.LABELS, plain=True)
    assert [document.text for document in found.documents] == [note.text for note in tiny.notes()[:2]]
    for document in found.documents:
        assert all(document.text[entity.start : entity.end].strip() for entity in document.entities)


def test_plain_generation_gives_token_spans_and_counts_what_has_none(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = load_adapted(saved)
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS)
    request = encoder.ner_request(Document("n", "No fever, mild cough."))
    assert request is not None
    # Only the contiguous one can be a token span; the discontinuous one and the hallucinated one are counted.
    answer = Answer([("problem", ((3, 8),)), ("problem", ((10, 14), (15, 20)))], Counter({"hallucinated": 1}))
    monkeypatch.setattr(generate, "generate_answers", lambda *_, **__: [answer])
    generation = generate.PlainGeneration(adapted)
    spans = generation.decode([request])
    assert request.entities(spans[0]) == [("problem", (3, 8))]
    assert generation.problems == {"hallucinated": 1, "discontinuous, or no token covers it": 1}


def test_what_was_generated_is_placed_in_the_source() -> None:
    encoder = Encoder(tiny.tokenizer("tagged"), tiny.LABELS)
    request = encoder.ner_request(Document("n", "No fever, mild cough."))
    assert request is not None
    answer = _parse(request, "No <problem>fever</problem>, mild <problem>cough</problem>.")
    assert answer.entities == [("problem", ((3, 8),)), ("problem", ((15, 20),))]
    assert not answer.problems
    wrong = _parse(request, "No <problem>fever</problem>, <severity>mild</severity> <drug>aspirin</drug>.")
    assert wrong.entities == [("problem", ((3, 8),))]
    assert wrong.problems["unknown label"] == 1
    assert wrong.problems["hallucinated"] == 1


def test_a_folder_of_adapters_names_them(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for number in range(12):
        (run / f"adapters/single-site/0/site-{number:02d}").mkdir(parents=True)
        (run / f"adapters/single-site/0/site-{number:02d}" / CONFIG_FILE).write_text("{}")
    listed = r"0: holds no adapter itself, but folders in it do: site-00, .*, site-09 and 2 more\. Name one"
    with pytest.raises(AdapterError, match=listed):
        load_adapted(run / "adapters/single-site/0")
    with pytest.raises(AdapterError, match="do: adapters/single-site/0/site-00, "):
        load_adapted(run)
    # An adapter that lacks a file is incomplete, and so is a folder with nothing in it.
    (saved / CONFIG_FILE).unlink()
    with pytest.raises(AdapterError, match="incomplete if saving was interrupted"):
        load_adapted(saved)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AdapterError, match="incomplete if saving was interrupted"):
        load_adapted(tmp_path / "empty")
