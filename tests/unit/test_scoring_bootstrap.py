"""Intervals from resampled documents."""

from __future__ import annotations

import pytest

from fedmedlora.corpus.document import Document, Entity
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring import Scores, bootstrap, bootstrap_all, document_bootstrap, paired_difference, score_documents

TEXT = "x" * 60


def note(name: str, starts: range, kind: str = "drug", width: int = 4) -> Document:
    return Document(name, TEXT, tuple(Entity(f"e{at}", kind, ((at, at + width),)) for at in starts))


def scored(rights: int, wrongs: int, empties: int = 0) -> Scores:
    """Documents with one gold entity each, found or missed by a prediction elsewhere; then documents with nothing."""
    gold, predicted = [], []
    for number in range(rights + wrongs):
        gold.append(note(f"d{number:03}", range(0, 1)))
        predicted.append(note(f"d{number:03}", range(0, 1) if number < rights else range(20, 21)))
    for number in range(empties):
        gold.append(note(f"e{number:03}", range(0)))
    return score_documents(gold, predicted, CLINICAL)


def test_two_documents_by_hand() -> None:
    # The right document is drawn 0, 1 or 2 times out of 2 (1/4, 1/2, 1/4): F1 is 0, 1/2 or 1, and both tails hold
    # more than 2.5 % of the resamples.
    interval = document_bootstrap(scored(1, 1), "ner", "strict", seed=0)
    assert interval.point == 0.5
    assert (interval.low, interval.high) == (0.0, 1.0)
    assert (interval.documents, interval.resamples, interval.undefined) == (2, 1000, 0)


def test_width_is_that_of_the_binomial() -> None:
    # 100 documents with one entity each, 50 found: F1 of a resample is k / 100, k binomial(100, 0.5), whose 2.5 % and
    # 97.5 % quantiles are 40 and 60. With 4,000 resamples the empirical ones are within 2 of them.
    interval = document_bootstrap(scored(50, 50), "ner", "strict", seed=3, resamples=4000)
    assert interval.low == pytest.approx(0.40, abs=0.02)
    assert interval.high == pytest.approx(0.60, abs=0.02)


def test_documents_are_resampled_and_not_spans() -> None:
    # One document holds ten entities, all found, the other ten, all missed. Spans drawn one by one would give about
    # 0.3 to 0.7; whole documents give 0, 1/2 or 1.
    gold = [note("a", range(0, 50, 5)), note("b", range(0, 50, 5))]
    predicted = [note("a", range(0, 50, 5)), note("b", range(0, 50, 5), kind="test")]
    interval = document_bootstrap(score_documents(gold, predicted, CLINICAL), "ner", "strict", seed=1)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_perfect_and_useless_predictions_have_no_width() -> None:
    perfect = document_bootstrap(scored(9, 0), "ner", "lenient", seed=0)
    assert (perfect.low, perfect.point, perfect.high) == (1.0, 1.0, 1.0)
    useless = document_bootstrap(scored(0, 9), "ner", "lenient", seed=0)
    assert (useless.low, useless.point, useless.high) == (0.0, 0.0, 0.0)


def test_undefined_resamples_are_counted_and_left_out() -> None:
    # One document with an entity, found, and one with nothing: the empty one is drawn twice in 1/4 of the resamples
    # (250 of 1,000, standard deviation 14), where F1 is undefined; in all others it is 1.
    interval = document_bootstrap(scored(1, 0, empties=1), "ner", "strict", seed=5)
    assert interval.undefined == pytest.approx(250, abs=70)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_no_support_and_no_documents() -> None:
    # No relation anywhere: every resample is undefined. No document: the same.
    for scores in (scored(3, 3), score_documents([], [], CLINICAL)):
        interval = document_bootstrap(scores, "re", "strict", seed=0, resamples=10)
        assert (interval.low, interval.high, interval.point) == (None, None, None)
        assert interval.undefined == 10
        assert interval.documents == len(scores.documents)


def test_the_seed_decides_and_the_order_does_not() -> None:
    # Documents of 1 to 11 entities, so that it matters which of them a resample draws; every second one is answered.
    gold = [note(f"d{size:02}", range(0, 5 * size, 5)) for size in range(1, 12)]
    scores = score_documents(gold, gold[::2], CLINICAL)
    backwards = Scores(scores.ner, scores.re, scores.documents[::-1], scores.unanswered, scores.dropped)
    first = document_bootstrap(scores, "ner", "strict", seed=11, resamples=37)
    assert document_bootstrap(scores, "ner", "strict", seed=11, resamples=37) == first
    assert document_bootstrap(backwards, "ner", "strict", seed=11, resamples=37) == first
    assert document_bootstrap(scores, "ner", "strict", seed=12, resamples=37) != first


def test_all_at_once_equals_one_by_one() -> None:
    scores = scored(7, 6)
    together = bootstrap_all(scores, seed=4, resamples=50)
    assert len(together) == 4
    for (task, mode), interval in together.items():
        assert document_bootstrap(scores, task, mode, seed=4, resamples=50) == interval


def test_blocks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = scored(7, 6)
    whole = document_bootstrap(scores, "ner", "strict", seed=2, resamples=101)
    monkeypatch.setattr(bootstrap, "_WEIGHTS_AT_ONCE", 40)
    assert document_bootstrap(scores, "ner", "strict", seed=2, resamples=101) == whole


def test_interval_to_json() -> None:
    assert document_bootstrap(scored(2, 0), "ner", "strict", seed=0, resamples=5).to_json() == {
        "low": 1.0,
        "high": 1.0,
        "point": 1.0,
        "documents": 2,
        "resamples": 5,
        "undefined": 0,
    }


def test_resamples_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="resamples is 0: expected at least 1"):
        document_bootstrap(scored(1, 1), "ner", "strict", seed=0, resamples=0)


def test_a_system_compared_with_itself_differs_by_nothing() -> None:
    # Its own interval is wide; the difference is 0 in every resample because both see the same documents.
    scores = scored(10, 10)
    difference = paired_difference(scores, scores, "ner", "strict", seed=0)
    assert (difference.low, difference.point, difference.high) == (0.0, 0.0, 0.0)


def test_paired_difference_by_hand() -> None:
    # a finds 50 of 100, b the same 50 and 10 more: the point is 0.1. A resample's difference is k / 100, k
    # binomial(100, 0.1), whose 2.5 % and 97.5 % quantiles are 5 and 16.
    worse, better = scored(50, 50), scored(60, 40)
    difference = paired_difference(worse, better, "ner", "strict", seed=8, resamples=4000)
    assert difference.point == pytest.approx(0.1)
    assert difference.low == pytest.approx(0.05, abs=0.011)
    assert difference.high == pytest.approx(0.16, abs=0.011)
    other_way = paired_difference(better, worse, "ner", "strict", seed=8, resamples=4000)
    assert other_way.point == pytest.approx(-0.1)
    assert (other_way.low, other_way.high) == pytest.approx((-(difference.high or 0), -(difference.low or 0)))


def test_paired_difference_is_undefined_where_either_is() -> None:
    # The document has no gold: a predicts nothing (undefined), b predicts something (F1 0).
    gold = [note("a", range(0))]
    silent = score_documents(gold, [], CLINICAL)
    noisy = score_documents(gold, [note("a", range(0, 1))], CLINICAL)
    difference = paired_difference(silent, noisy, "ner", "strict", seed=0, resamples=20)
    assert (difference.low, difference.high, difference.point, difference.undefined) == (None, None, None, 20)


def test_paired_difference_refuses_other_documents() -> None:
    with pytest.raises(CorpusError, match="1 only in the first, 0 only in the second, for instance 'd002'"):
        paired_difference(scored(3, 0), scored(2, 0), "ner", "strict", seed=0)


def test_paired_difference_refuses_other_gold() -> None:
    one = score_documents([note("a", range(0, 1))], [], CLINICAL)
    other = score_documents([note("a", range(0, 1), kind="test")], [], CLINICAL)
    with pytest.raises(CorpusError, match="document 'a': the two were scored against different gold annotations"):
        paired_difference(one, other, "ner", "strict", seed=0)
