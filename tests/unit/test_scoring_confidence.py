"""Ranking and calibration by confidence: small cases counted by hand, and laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scoring_laws import annotated

from fedmedlora.corpus.document import Document, Entity, Json, Relation
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring import Confidence, Ranking, rank_predictions, score_documents
from fedmedlora.scoring.bootstrap import document_draws
from fedmedlora.scoring.calibration import brier_score, expected_calibration_error, reliability_bins
from fedmedlora.scoring.ranked import (
    RankedDocument,
    Step,
    Sure,
    average_precision,
    average_precision_interval,
    precision_recall_curve,
    thinned,
)

TEXT = "x" * 60


def ranking(*documents: tuple[int, list[tuple[float, bool]]]) -> Ranking:
    """(gold, predictions) of each document."""
    return Ranking(
        tuple(
            RankedDocument(f"d{place:03}", gold, tuple(Sure(*one) for one in predictions))
            for place, (gold, predictions) in enumerate(documents)
        )
    )


def test_the_example_of_the_module() -> None:
    one = ranking((3, [(0.9, True), (0.6, False), (0.6, True), (0.2, False)]))
    assert precision_recall_curve(one) == [Step(1 / 3, 1), Step(2 / 3, 2 / 3), Step(2 / 3, 1 / 2)]
    # 1/3 · 1 + 1/3 · 2/3 + 0 · 1/2
    assert average_precision(one) == pytest.approx(5 / 9)


def test_all_confidences_equal_is_one_step() -> None:
    # 4 kept, 3 right, of 5 gold: precision 3/4 at recall 3/5, whatever the order.
    one = ranking((5, [(0.5, True), (0.5, False), (0.5, True), (0.5, True)]))
    assert precision_recall_curve(one) == [Step(3 / 5, 3 / 4)]
    assert average_precision(one) == pytest.approx(3 / 5 * 3 / 4)


def test_ends_of_the_scale_and_what_is_not_defined() -> None:
    # All found, the wrong one least sure: 1. Nothing right: 0. Nothing predicted: 0. No gold: not defined.
    assert average_precision(ranking((2, [(0.9, True), (0.8, True), (0.1, False)]))) == 1
    assert average_precision(ranking((2, [(0.9, False)]))) == 0
    assert average_precision(ranking((2, []))) == 0
    assert average_precision(ranking((0, [(0.9, False)]))) is None
    nothing = Confidence.of(ranking((0, [])), seed=0, resamples=10)
    assert nothing.to_json() == {
        "auprc": None,
        "auprc_interval": None,
        "ece": None,
        "brier": None,
        "bins": [],
        "curve": [],
        "scored": 0,
    }


def test_calibration_of_the_example() -> None:
    four = [Sure(0.9, True), Sure(0.9, True), Sure(0.5, True), Sure(0.5, False)]
    bins = reliability_bins(four, bins=2)
    assert [tuple(one) for one in bins] == [(2, 0.5, 0.5), (2, 0.9, 1.0)]
    assert expected_calibration_error(bins) == pytest.approx(0.05)
    assert brier_score(four) == pytest.approx((0.01 + 0.01 + 0.25 + 0.25) / 4)


def test_equal_confidences_are_never_parted() -> None:
    # Five predictions in two bins: the first would hold two, but four are alike.
    bins = reliability_bins([Sure(0.5, True)] * 4 + [Sure(0.9, True)], bins=2)
    assert [one.predictions for one in bins] == [4, 1]
    assert [one.predictions for one in reliability_bins([Sure(1.0, True)] * 7)] == [7]
    assert reliability_bins([]) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.51, 0.9, 1.0]), st.booleans()), max_size=40))
def test_bins_share_out_all_predictions(pairs: list[tuple[float, bool]]) -> None:
    predictions = [Sure(*pair) for pair in pairs]
    bins = reliability_bins(predictions, bins=4)
    assert sum(one.predictions for one in bins) == len(predictions)
    assert len(bins) <= 4
    means = [one.mean_confidence for one in bins]
    assert means == sorted(set(means))
    error = expected_calibration_error(bins)
    assert (error is None) == (not predictions)
    # Parting predictions can only make the error larger: that of one bin is the least.
    if error is not None:
        assert (
            0 <= (expected_calibration_error(reliability_bins(predictions, bins=1)) or 0) <= error + 1e-12 <= 1 + 1e-9
        )


def test_the_interval_by_hand() -> None:
    # As with F1: one document all right, one all wrong, drawn 0, 1 or 2 times. With both, the wrong one is the surer:
    # area 1/2 · 1/2; twice the right one 1, twice the wrong one 0.
    two = ranking((1, [(0.5, True)]), (1, [(0.9, False)]))
    interval = average_precision_interval(two, seed=0)
    assert interval.point == pytest.approx(0.25)
    assert (interval.low, interval.high, interval.documents, interval.resamples) == (0.0, 1.0, 2, 1000)
    assert average_precision_interval(two, seed=0) == interval


def test_documents_without_gold_leave_resamples_undefined() -> None:
    # No gold in the second: it is drawn twice in 1/4 of the resamples.
    interval = average_precision_interval(ranking((1, [(0.5, True)]), (0, [])), seed=5)
    assert interval.undefined == pytest.approx(250, abs=70)
    assert (interval.low, interval.high) == (1.0, 1.0)
    with pytest.raises(ConfigError, match="resamples"):
        average_precision_interval(ranking((1, [])), seed=0, resamples=0)


_PREDICTIONS = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5001, 1.0]), st.booleans()), max_size=6)


@settings(deadline=None, max_examples=40)
@given(st.lists(_PREDICTIONS, min_size=1, max_size=5), st.integers(0, 3))
def test_a_resample_is_the_documents_written_out(documents: list[list[tuple[float, bool]]], extra: int) -> None:
    # A document that is drawn twice counts as two documents.
    made = [(sum(right for _, right in one) + extra, one) for one in documents]
    interval = average_precision_interval(ranking(*made), seed=3, resamples=8)
    values = []
    for draws in document_draws(len(made), 8, 3):
        for row in draws:
            again = ranking(*(one for one, times in zip(made, row, strict=True) for _ in range(int(times))))
            values.append(average_precision(again))
    defined = [value for value in values if value is not None]
    assert interval.undefined == len(values) - len(defined)
    if defined:
        low, high = np.percentile(defined, [2.5, 97.5])
        assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_a_curve_is_thinned_between_its_ends() -> None:
    steps = [Step(place / 200, 1.0) for place in range(201)]
    kept = thinned(steps)
    assert len(kept) == 50
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    assert thinned(steps[:50]) == steps[:50]
    assert kept == sorted(set(kept))


def note(kinds: list[tuple[str, str, int]], confidence: Json = None, **more: object) -> Document:
    """Entities of four code points: (id, type, start)."""
    entities = tuple(Entity(name, kind, ((at, at + 4),)) for name, kind, at in kinds)
    meta = {} if confidence is None else {"confidence": confidence}
    return replace(Document("n", TEXT, entities, meta=meta), **more)  # type: ignore[arg-type]


def test_predictions_are_ranked_as_they_are_scored() -> None:
    # Gold: two drugs; tests were not annotated. Predicted: drug [0, 4] twice, the surer counts, and a drug elsewhere.
    gold = note([("g1", "drug", 0), ("g2", "drug", 10)], labels=("drug",))
    predicted = note(
        [("p1", "drug", 0), ("p2", "drug", 0), ("p3", "drug", 20), ("p4", "test", 30)],
        {"p1": 0.4, "p2": 0.7, "p3": 0.2, "p4": 1},
    )
    found = rank_predictions([gold], [predicted], CLINICAL, "ner")
    assert found == Ranking((RankedDocument("n", 2, (Sure(0.7, True), Sure(0.2, False))),))


def test_relations_are_ranked_by_their_own_ids() -> None:
    marks = [("a", "drug", 0), ("t", "dosage", 10), ("u", "dosage", 20)]
    gold = note(marks, relations=(Relation("r", "dosage", "a", "t"),))
    both = (Relation("s1", "dosage", "a", "t"), Relation("s2", "dosage", "a", "u"))
    predicted = note(marks, {"s1": 0.3, "s2": 0.8}, relations=both)
    found = rank_predictions([gold], [predicted], CLINICAL, "re")
    assert found is not None
    assert found.documents[0].predictions == (Sure(0.3, True), Sure(0.8, False))
    # One entity of no known confidence: the ranking of entities is not known, that of relations is.
    assert rank_predictions([gold], [predicted], CLINICAL, "ner") is None


def test_no_answer_is_no_prediction() -> None:
    found = rank_predictions([note([("g", "drug", 0)])], [], CLINICAL, "ner")
    assert found == Ranking((RankedDocument("n", 1, ()),))


@pytest.mark.parametrize("wrong", [{"p": 1.5}, {"p": True}, {"p": "high"}, {"p": float("nan")}, [0.5]])
def test_a_confidence_that_is_none_is_refused(wrong: Json) -> None:
    with pytest.raises(CorpusError, match=r"document 'n'.*meta\.confidence"):
        rank_predictions([note([])], [note([("p", "drug", 0)], wrong)], CLINICAL, "ner")


@settings(deadline=None, max_examples=60)
@given(annotated("d"), annotated("d"), st.randoms(use_true_random=False))
def test_the_whole_curve_ends_at_the_strict_score(gold: Document, predicted: Document, random: object) -> None:
    ids = [one.id for one in (*predicted.entities, *predicted.relations)]
    sure: dict[str, Json] = {name: random.choice([0.1, 0.5, 0.9]) for name in ids}  # type: ignore[attr-defined]
    predicted = replace(predicted, meta={"confidence": sure})
    scores = score_documents([gold], [predicted], CLINICAL)
    for task in ("ner", "re"):
        strict = scores.of(task).strict
        found = rank_predictions([gold], [predicted], CLINICAL, task)
        assert found is not None
        assert len(found.predictions) == strict.pred
        area = average_precision(found)
        assert (area is None) == (strict.gold == 0)
        if strict.gold and strict.pred:
            assert precision_recall_curve(found)[-1] == Step(strict.recall or 0, strict.precision or 0)
            # Never more than recall: each step gains recall times at most 1.
            assert 0 <= (area or 0) <= (strict.recall or 0) + 1e-12
