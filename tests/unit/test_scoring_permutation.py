"""Paired permutation tests against counting every exchange by hand, and Holm's adjustment."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring.counts import Tally
from fedmedlora.scoring.permutation import holm, paired_permutation

Found = dict[str, list[Tally]]


def f1(tallies: list[Tally]) -> float:
    return sum(right for right, _ in tallies) / sum(all_ for _, all_ in tallies)


def exact_p(first: Found, second: Found) -> float:
    """The share of all exchanges that are at least as far apart."""
    runs = range(len(next(iter(first.values()))))

    def difference(one: Found, other: Found) -> float:
        return sum(
            f1([tallies[run] for tallies in other.values()]) - f1([tallies[run] for tallies in one.values()])
            for run in runs
        ) / len(runs)

    observed = abs(difference(first, second))
    found = []
    for swaps in product((False, True), repeat=len(first)):
        one = {name: (second if swap else first)[name] for name, swap in zip(first, swaps, strict=True)}
        other = {name: (first if swap else second)[name] for name, swap in zip(first, swaps, strict=True)}
        found.append(abs(difference(one, other)) >= observed - 1e-12)
    return sum(found) / len(found)


TALLY = st.tuples(st.integers(0, 4), st.integers(1, 5)).map(lambda pair: (2 * min(pair), 2 * pair[1] + pair[0]))


@given(st.lists(st.tuples(TALLY, TALLY, TALLY, TALLY), min_size=1, max_size=6), st.integers(0, 100))
def test_p_is_the_share_of_exchanges_that_are_as_far_apart(rows: list[tuple[Tally, ...]], seed: int) -> None:
    first = {str(number): [row[0], row[1]] for number, row in enumerate(rows)}
    second = {str(number): [row[2], row[3]] for number, row in enumerate(rows)}
    found = paired_permutation(first, second, seed=seed, exchanges=4000)
    assert found.p == pytest.approx(exact_p(first, second), abs=0.05)
    back = paired_permutation(second, first, seed=seed, exchanges=4000)
    assert found.difference is not None
    assert back.difference is not None
    assert back.difference == pytest.approx(-found.difference)
    assert back.p == found.p


def test_three_documents_can_never_convince() -> None:
    right, wrong = {name: [(2, 2)] for name in "abc"}, {name: [(0, 2)] for name in "abc"}
    found = paired_permutation(wrong, right, seed=0)
    assert found.difference == 1.0
    assert found.p == pytest.approx(0.25, abs=0.02)


def test_many_documents_convince_and_p_is_never_nothing() -> None:
    right, wrong = ({str(n): [(score, 2)] for n in range(40)} for score in (2, 0))
    found = paired_permutation(wrong, right, seed=0, exchanges=999)
    assert found.p == 1 / 1000
    alike = paired_permutation(right, right, seed=0, exchanges=99)
    assert (alike.difference, alike.p) == (0.0, 1.0)


def test_without_gold_or_prediction_there_is_nothing_to_compare() -> None:
    nothing = {"a": [(0, 0)]}
    assert paired_permutation(nothing, nothing, seed=0).p is None
    assert paired_permutation({}, {}, seed=0).difference is None


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(CorpusError, match="'b' is scored for one system alone"):
        paired_permutation({"a": [(0, 1)]}, {"a": [(0, 1)], "b": [(0, 1)]}, seed=0)
    with pytest.raises(CorpusError, match="as many runs"):
        paired_permutation({"a": [(0, 1)]}, {"a": [(0, 1), (0, 1)]}, seed=0)
    with pytest.raises(ConfigError, match="exchanges is 0"):
        paired_permutation({"a": [(0, 1)]}, {"a": [(0, 1)]}, seed=0, exchanges=0)


def test_holm() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
