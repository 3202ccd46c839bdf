"""Training on tiny models: both objectives against direct computations, schedule, determinism, moments, failures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.readout import make_readout
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rules import a_alone, b_alone
from fedmedlora.corpus.document import Document
from fedmedlora.errors import AdapterError, ConfigError, TrainingError
from fedmedlora.markup.encode import Encoder, Example
from fedmedlora.training.batch import Corpus, collate, epoch_batches, prepare
from fedmedlora.training.causal import CausalLesson, fit, loss_over, validation_loss
from fedmedlora.training.contract import RoundPlan
from fedmedlora.training.examples import make_examples
from fedmedlora.training.loop import Fit, Moments, Schedule, TrainSettings, optimise
from fedmedlora.training.objective import Objective, summed_loss
from fedmedlora.training.site import (
    LessonTrainer,
    make_validator,
    own_tensors,
    settings_from_scalars,
    settings_to_scalars,
)

STEADY = Schedule(first_step=0, total_steps=10**6, warmup_fraction=0.0)
OBJECTIVES: tuple[Objective, ...] = ("mixed", "choice", "lm")


def make_adapted(kind: tiny.Kind = "llama", spelling: tiny.Spelling = "tagged", dropout: float = 0.0) -> Adapted:
    return attach_lora(tiny.make_base(kind, spelling), rank=2, alpha=8, dropout=dropout, seed=1)


def examples_of(adapted: Adapted) -> list[Example]:
    """Six NER examples and one RE example for each of 13 heads."""
    return make_examples(tiny.notes(), Encoder(adapted.base.tokenizer, tiny.LABELS), ("ner", "re")).examples


def stirred(adapted: Adapted) -> AdapterState:
    """An adapter whose B is not zero, so that every weight has a gradient."""
    draw = np.random.default_rng(5)
    arrays = adapted.fresh(1).arrays
    return AdapterState(
        {name: (array + 0.1 * draw.normal(size=array.shape)).astype(np.float32) for name, array in arrays.items()},
        adapted.spec,
    )


def train(adapted: Adapted, corpus: Corpus, settings: TrainSettings, *, start: AdapterState | None = None) -> Fit:
    adapted.write(start or stirred(adapted))
    return fit(adapted, corpus, settings, STEADY, seed="test")


def gradient(adapted: Adapted, corpus: Corpus, settings: TrainSettings) -> dict[str, np.ndarray]:
    """The first step's gradient: AdamW's first moment after one step is a tenth of it."""
    moments = train(adapted, corpus, replace(settings, epochs=1, keep_moments=True, clip_norm_l2=1e9)).moments
    assert moments is not None
    assert moments.step == 1
    return {name: 10 * array for name, array in moments.first.items()}


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    scale = max(np.abs(array).max() for array in expected.values())
    assert scale > 0
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance * scale, err_msg=name)


def test_a_step_follows_the_gradient_clipped_to_its_norm() -> None:
    adapted = make_adapted("llama")
    corpus = prepare(examples_of(adapted)[:4])
    settings = TrainSettings(batch_size=4)
    whole = gradient(adapted, corpus, settings)
    norm = float(np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in whole.values())))
    moments = train(adapted, corpus, replace(settings, epochs=1, keep_moments=True, clip_norm_l2=norm / 4)).moments
    assert moments is not None
    # A quarter of the norm is allowed, so every value comes out at a quarter.
    assert_close({n: 10 * a for n, a in moments.first.items()}, {n: a / 4 for n, a in whole.items()}, 1e-4)


@pytest.mark.parametrize("kind", ["llama", "neox", "gpt2"])
def test_lm_is_the_loss_that_transformers_gives_with_the_prompt_masked(kind: tiny.Kind) -> None:
    adapted = make_adapted(kind)
    adapted.write(stirred(adapted))
    chosen = examples_of(adapted)[3:9]
    corpus = prepare(chosen)
    batch = collate(corpus, range(len(chosen)), pad_id=2)
    found = summed_loss(make_readout(adapted.base.model), corpus, batch, "lm")
    width = max(example.length for example in chosen)
    ids = torch.full((len(chosen), width), 2)
    labels = torch.full((len(chosen), width), -100)
    for row, example in enumerate(chosen):
        ids[row, : example.length] = torch.tensor([*example.request.prompt, *example.completion])
        labels[row, len(example.request.prompt) : example.length] = torch.tensor(example.completion)
    mask = (torch.arange(width)[None] < torch.tensor([[example.length] for example in chosen])).long()
    theirs = adapted.base.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert len(batch.targets) == corpus.target_tokens == int((labels >= 0).sum())
    assert found.item() / corpus.target_tokens == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("spelling", tiny.SPELLINGS)
def test_choice_is_the_loss_over_what_the_grammar_allows(spelling: tiny.Spelling) -> None:
    adapted = make_adapted("llama", spelling)
    adapted.write(stirred(adapted))
    chosen = examples_of(adapted)[4:9]
    corpus = prepare(chosen)
    found = summed_loss(make_readout(adapted.base.model), corpus, collate(corpus, range(5), pad_id=2), "choice")
    expected, decisions = 0.0, 0
    for example in chosen:
        ids = torch.tensor([[*example.request.prompt, *example.completion]])
        with torch.no_grad():
            logits = adapted.base.model(input_ids=ids).logits[0].double()
        state = example.request.grammar.start()
        for at, token in enumerate(example.completion, start=len(example.request.prompt)):
            allowed = list(example.request.grammar.choice(state).tokens)
            expected -= logits[at - 1, allowed].log_softmax(0)[allowed.index(token)].item()
            decisions += len(allowed) > 1
            state = example.request.grammar.advance(state, token)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert sum(len(prepared.decisions) for prepared in corpus.examples) == decisions > 20


def test_mixed_is_choice_and_a_fifth_of_lm_and_is_judged_by_choice() -> None:
    adapted = make_adapted()
    adapted.write(stirred(adapted))
    corpus = prepare(examples_of(adapted)[4:9])
    readout, batch = make_readout(adapted.base.model), collate(corpus, range(5), pad_id=2)
    found = {objective: summed_loss(readout, corpus, batch, objective).item() for objective in OBJECTIVES}
    assert found["mixed"] == pytest.approx(found["choice"] + 0.2 * found["lm"], rel=1e-6)
    judged = validation_loss(adapted, corpus, TrainSettings(objective="mixed"))
    assert judged.nats == pytest.approx(found["choice"], rel=1e-6)


def test_nothing_to_decide_costs_nothing() -> None:
    adapted = make_adapted()
    # An empty source: only the end may follow.
    corpus = prepare(Encoder(adapted.base.tokenizer, tiny.LABELS).ner_examples([Document("d", "")]).examples)
    assert validation_loss(adapted, corpus, TrainSettings(objective="choice")).nats == 0.0
    assert validation_loss(adapted, corpus, TrainSettings(objective="lm")).nats > 0.0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_batches_of_four_give_the_gradient_of_eight(objective: Objective) -> None:
    adapted = make_adapted()
    corpus = prepare(examples_of(adapted)[2:10])
    whole = gradient(adapted, corpus, TrainSettings(objective=objective, batch_size=8))
    parts = gradient(adapted, corpus, TrainSettings(objective=objective, batch_size=4, gradient_accumulation=2))
    assert_close(parts, whole, 1e-5)


@pytest.mark.parametrize("kind", ["llama", "neox"])
def test_checkpointing_gives_the_same_gradient(kind: tiny.Kind) -> None:
    adapted = make_adapted(kind)
    corpus = prepare(examples_of(adapted)[:4])
    plain = gradient(adapted, corpus, TrainSettings())
    assert_close(gradient(adapted, corpus, TrainSettings(checkpointing=True)), plain, 1e-6)
    # Nothing of it stays in the base that all sites share.
    assert not adapted.base.model.is_activation_checkpointing
    assert not adapted.base.model.get_input_embeddings()._forward_hooks
    assert not adapted.base.model.training


def test_training_learns_and_follows_from_its_seed_bit_for_bit() -> None:
    adapted = make_adapted(dropout=0.1)
    corpus = prepare(examples_of(adapted))
    settings = TrainSettings(lr=0.01, epochs=2, batch_size=4)

    def run(seed: str) -> tuple[AdapterState, Fit]:
        adapted.write(adapted.fresh(1))
        done = fit(adapted, corpus, settings, Schedule(0, settings.steps(len(corpus)), 0.1), seed=seed)
        return adapted.read(), done

    before = validation_loss(adapted, corpus, settings).mean
    first, done = run("a")
    assert validation_loss(adapted, corpus, settings).mean < 0.8 * before
    # 19 examples in batches of 4: 5 steps an epoch; every target token twice.
    assert (done.steps, done.target_tokens) == (10, 2 * corpus.target_tokens)
    assert settings.steps(19) == 10
    other, _ = run("b")
    torch.manual_seed(123)
    again, twice = run("a")
    assert again == first
    assert twice.loss == done.loss
    assert other != first


def test_training_leaves_the_base_and_the_global_seed_alone() -> None:
    adapted = make_adapted(dropout=0.1)
    frozen = {name: value.clone() for name, value in adapted.base.model.named_parameters() if not value.requires_grad}
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    train(adapted, prepare(examples_of(adapted)[:4]), TrainSettings(lr=0.1, epochs=1))
    assert torch.equal(torch.rand(2), expected)
    for name, value in adapted.base.model.named_parameters():
        if not value.requires_grad:
            assert torch.equal(value, frozen[name])


def test_bfloat16_comes_near() -> None:
    adapted = make_adapted()
    corpus = prepare(examples_of(adapted)[:8])
    for objective in OBJECTIVES:
        exact = train(adapted, corpus, TrainSettings(objective=objective, epochs=1)).loss
        rounded = train(adapted, corpus, TrainSettings(objective=objective, epochs=1, bf16=True)).loss
        assert rounded == pytest.approx(exact, rel=0.05)
        assert rounded != exact
    assert {parameter.dtype for parameter in adapted.parameters} == {torch.float32}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_loss_that_is_not_finite_stops_before_the_step(objective: Objective) -> None:
    adapted = make_adapted()
    corpus = prepare(examples_of(adapted)[:4])
    start = stirred(adapted)
    with torch.no_grad():
        adapted.base.model.get_input_embeddings().weight[corpus.examples[0].ids[3]] = torch.nan
    adapted.write(start)
    with pytest.raises(TrainingError, match=r"step 1: the loss or its gradient is not finite \(loss nan"):
        fit(adapted, corpus, TrainSettings(objective=objective), STEADY, seed="test")
    assert adapted.read() == start
    assert not adapted.base.model.training


def test_no_example() -> None:
    adapted = make_adapted()
    with pytest.raises(TrainingError, match="no training example"):
        fit(adapted, prepare([]), TrainSettings(), STEADY, seed="test")
    with pytest.raises(TrainingError, match="no validation example"):
        validation_loss(adapted, prepare([]), TrainSettings())
    with pytest.raises(TrainingError, match="site 'a' has 0 training examples"):
        LessonTrainer("a", CausalLesson(adapted, prepare([]))).register()


def test_validation_does_not_depend_on_batches() -> None:
    adapted = make_adapted()
    adapted.write(stirred(adapted))
    corpus = prepare(examples_of(adapted))
    for objective in OBJECTIVES:
        settings = TrainSettings(objective=objective)
        batches = [collate(corpus, [index], pad_id=2) for index in range(len(corpus))]
        one = loss_over(adapted, corpus, batches, settings)
        many = validation_loss(adapted, corpus, settings)
        assert many.target_tokens == one.target_tokens == corpus.target_tokens
        assert many.mean == pytest.approx(one.mean, rel=1e-5)
    # The coordinator's judge is that number for the adapter that it is given.
    assert make_validator(adapted, corpus, settings)(stirred(adapted)).loss == pytest.approx(many.mean, rel=1e-6)


def test_one_schedule_spans_all_rounds() -> None:
    # 4 rounds of 25 steps, 10 % warm-up: 10 steps up to 1, then a cosine to 0 over 90.
    rounds = [[Schedule(25 * number, 100, 0.1).factor(step) for step in range(25)] for number in range(4)]
    factors = [factor for part in rounds for factor in part]
    assert factors == [Schedule(0, 100, 0.1).factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert all(after < before for before, after in pairwise(factors[10:]))
    # Nowhere a jump, at the seams of rounds neither: the cosine's steepest step is π / 180.
    assert max(abs(after - before) for before, after in pairwise(factors[9:])) <= math.pi / 180
    assert 0 < factors[-1] < 0.001
    assert Schedule(0, 1, 0.03).factor(0) == 1.0


def test_an_epoch_holds_every_example_once() -> None:
    lengths = [5, 9, 2, 7, 7, 3, 8]
    batches = epoch_batches(lengths, 3, "seed")
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert sorted(len(batch) for batch in batches) == [1, 3, 3]
    assert batches == epoch_batches(lengths, 3, "seed")
    assert any(epoch_batches(lengths, 3, f"seed {other}") != batches for other in range(5))


def test_a_cap_takes_a_seeded_sample_and_counts_the_rest() -> None:
    encoder = Encoder(tiny.tokenizer("tagged"), tiny.LABELS)
    everything = make_examples(tiny.notes(), encoder, ("ner", "re"))
    assert Counter(example.request.task for example in everything.examples) == {"ner": 6, "re": 13}
    assert not everything.dropped
    capped = make_examples(tiny.notes(), encoder, ("ner", "re"), max_per_task=5, seed="cap")
    assert Counter(example.request.task for example in capped.examples) == {"ner": 5, "re": 5}
    assert capped.dropped == {"ner: example over the cap": 1, "re: example over the cap": 8}
    again = make_examples(tiny.notes(), encoder, ("ner", "re"), max_per_task=5, seed="cap")
    assert [item.completion for item in again.examples] == [item.completion for item in capped.examples]


def test_a_capped_sample_keeps_the_answers_that_mark_something() -> None:
    encoder = Encoder(make_adapted().base.tokenizer, tiny.LABELS)
    everything = make_examples(tiny.notes(), encoder, ["re"]).examples
    marked = sum(example.marks_something for example in everything)
    assert 1 <= marked < len(everything) - 4
    for share, most in ((0.0, 4), (0.5, 4), (1.0, marked + 3), (0.5, 5), (1.0, 1)):
        for seed in "abcdefgh":
            kept = make_examples(
                tiny.notes(), encoder, ["re"], max_per_task=most, marked_share=share, seed=seed
            ).examples
            assert len({id(example) for example in kept}) == most
            assert sum(example.marks_something for example in kept) >= min(marked, share * most)
            places = [[item.request.prompt for item in everything].index(item.request.prompt) for item in kept]
            assert places == sorted(places)


def one_batch_trainer(adapted: Adapted, memory: Path | None) -> LessonTrainer:
    """A site whose epoch is one batch, so that the order is the same whatever the seed."""
    return LessonTrainer("north", CausalLesson(adapted, prepare(examples_of(adapted)[:4])), memory)


def test_rounds_with_kept_moments_are_one_run(tmp_path: Path) -> None:
    adapted = make_adapted()
    site = one_batch_trainer(adapted, tmp_path)
    settings = TrainSettings(lr=0.01, epochs=2, keep_moments=True)
    state = stirred(adapted)
    for number in range(3):
        state = site.run_round(state, RoundPlan(number, 3, 0, settings_to_scalars(settings))).state
    adapted.write(stirred(adapted))
    whole = optimise(site.lesson, replace(settings, epochs=6), Schedule(0, 6, 0.03), seed="any")
    assert whole.steps == 6
    assert adapted.read() == state
    # Fresh moments in every round end elsewhere.
    reset = stirred(adapted)
    for number in range(3):
        scalars = settings_to_scalars(replace(settings, keep_moments=False))
        reset = site.run_round(reset, RoundPlan(number, 3, 0, scalars)).state
    assert reset != state


def test_a_round_asked_for_again_gives_the_same_bits(tmp_path: Path) -> None:
    adapted = make_adapted(dropout=0.2)
    settings = settings_to_scalars(TrainSettings(lr=0.01, epochs=1, keep_moments=True))
    corpus = prepare(examples_of(adapted))
    first = LessonTrainer("north", CausalLesson(adapted, corpus), tmp_path)
    start = first.run_round(stirred(adapted), RoundPlan(0, 2, 7, settings)).state
    update = first.run_round(start, RoundPlan(1, 2, 7, settings))
    # A process of its own, after other work.
    other = make_adapted(dropout=0.2)
    again = LessonTrainer("north", CausalLesson(other, prepare(examples_of(other))), tmp_path)
    assert again.run_round(start, RoundPlan(1, 2, 7, settings)).state == update.state
    assert again.register() == first.register()
    assert (update.examples, update.steps, update.target_tokens) == (19, 5, corpus.target_tokens)


def halves(state: AdapterState) -> tuple[AdapterState, AdapterState]:
    """A alone and B alone."""
    return state.select(a_alone), state.select(b_alone)


def test_ffa_trains_b_alone_from_the_a_of_the_seed() -> None:
    adapted = make_adapted()
    site = one_batch_trainer(adapted, None)
    settings = settings_to_scalars(TrainSettings(lr=0.01, epochs=2, train_a=False))
    fresh_a, fresh_b = halves(adapted.fresh(5))
    whole = site.run_round(fresh_b, RoundPlan(0, 1, 5, settings)).state
    a, b = halves(whole)
    assert a == fresh_a
    assert b != fresh_b
    # Nothing is left switched off.
    assert len(adapted.parameters) == len(whole.arrays)
    assert site.run_round(adapted.fresh(5), RoundPlan(0, 1, 5, settings)).state == whole


def test_fedsa_keeps_b_at_the_site_and_goes_on_with_it(tmp_path: Path) -> None:
    adapted = make_adapted()
    site = one_batch_trainer(adapted, tmp_path)
    settings = settings_to_scalars(TrainSettings(lr=0.01, epochs=1))
    fresh = adapted.fresh(5)
    first = site.run_round(fresh.select(a_alone), RoundPlan(0, 2, 5, settings)).state
    assert first == site.run_round(fresh, RoundPlan(0, 2, 5, settings)).state
    own = own_tensors(tmp_path, "north", 0)
    assert sorted(own) == sorted(first.select(b_alone).arrays)
    # The A that comes back is another; the B is the site's.
    returned = stirred(adapted).select(a_alone)
    second = site.run_round(returned, RoundPlan(1, 2, 5, settings)).state
    joined = AdapterState({**returned.arrays, **own}, first.spec)
    assert second == one_batch_trainer(adapted, None).run_round(joined, RoundPlan(1, 2, 5, settings)).state
    with pytest.raises(ConfigError, match=r"\(own\) and no folder"):
        one_batch_trainer(adapted, None).run_round(returned, RoundPlan(0, 2, 5, settings))
    # A round that the site missed: it goes on with what it has.
    assert own_tensors(tmp_path, "north", 7).keys() == own.keys()
    assert own_tensors(tmp_path, "south", 7) == {}
    with pytest.raises(AdapterError, match="are not those that do not travel"):
        site.run_round(stirred(adapted).select(b_alone), RoundPlan(1, 2, 5, settings))


def test_fedprox_pulls_towards_where_the_round_began() -> None:
    adapted = make_adapted()
    corpus = prepare(examples_of(adapted)[:4])

    def moments(mu: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """First moments after two steps, and the way that the adapter went in the first."""
        adapted.write(stirred(adapted))
        before = adapted.read().arrays
        train(adapted, corpus, TrainSettings(lr=0.01, epochs=1, proximal_mu=mu, clip_norm_l2=1e9))
        after = adapted.read().arrays
        adapted.write(stirred(adapted))
        settings = TrainSettings(lr=0.01, epochs=2, proximal_mu=mu, clip_norm_l2=1e9, keep_moments=True)
        done = train(adapted, corpus, settings).moments
        assert done is not None
        return dict(done.first), {name: after[name] - before[name] for name in after}

    plain, way = moments(0.0)
    pulled, same_way = moments(3.0)
    # At the first step there is nothing to be pulled back from; at the second the pull is mu times the way.
    for name in plain:
        np.testing.assert_array_equal(way[name], same_way[name])
    assert_close({name: pulled[name] - plain[name] for name in plain}, {n: 0.1 * 3.0 * w for n, w in way.items()}, 1e-4)


def test_moments_need_a_place_and_their_file(tmp_path: Path) -> None:
    adapted = make_adapted()
    keep = settings_to_scalars(TrainSettings(keep_moments=True))
    with pytest.raises(ConfigError, match="no folder for it"):
        one_batch_trainer(adapted, None).run_round(stirred(adapted), RoundPlan(0, 2, 0, keep))
    with pytest.raises(AdapterError, match=r"moments-north-0\.safetensors is missing or damaged"):
        one_batch_trainer(adapted, tmp_path).run_round(stirred(adapted), RoundPlan(1, 2, 0, keep))
    with pytest.raises(AdapterError, match="another base model"):
        one_batch_trainer(adapted, tmp_path).run_round(
            attach_lora(tiny.make_base(seed=4), rank=2, alpha=8).fresh(0), RoundPlan(0, 2, 0, {})
        )


def test_moments_of_an_earlier_stretch_are_taken_up() -> None:
    adapted = make_adapted()
    corpus = prepare(examples_of(adapted)[:4])
    first = train(adapted, corpus, TrainSettings(epochs=2, keep_moments=True)).moments
    assert first is not None
    assert first.step == 2
    done = fit(adapted, corpus, TrainSettings(epochs=1, keep_moments=True), STEADY, seed="x", moments=first).moments
    assert isinstance(done, Moments)
    assert done.step == 3


def test_settings_travel_as_scalars() -> None:
    settings = TrainSettings(lr=1e-3, objective="lm", epochs=3, bf16=True)
    assert settings_from_scalars(settings_to_scalars(settings)) == settings
    assert settings_from_scalars({"lr": 1}) == TrainSettings(lr=1.0)
    with pytest.raises(ConfigError, match="'epoch' is unknown: did you mean 'epochs'"):
        settings_from_scalars({"epoch": 1})
    with pytest.raises(ConfigError, match=r"'objective': .*did you mean 'choice'"):
        settings_from_scalars({"objective": "choise"})
    with pytest.raises(ConfigError, match="'epochs': expected int, got true"):
        settings_from_scalars({"epochs": True})
    with pytest.raises(ConfigError, match=r"'epochs': expected int, got 1\.5"):
        settings_from_scalars({"epochs": 1.5})
