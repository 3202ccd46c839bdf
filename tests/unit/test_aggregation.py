"""Averages and rounds: laws as property tests, refusals by site and tensor."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedmedlora.adapters.state import AdapterSpec, AdapterState, Array
from fedmedlora.aggregation.checks import LARGEST_MAGNITUDE, check_types, check_update
from fedmedlora.aggregation.rounds import RoundAggregation, aggregate_round
from fedmedlora.aggregation.rules import RULES, Rule, find_rule
from fedmedlora.aggregation.stream import WeightedSum, aggregate
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import AdapterError, EnvironmentProblem, RefusedUpdateError

A, B = "layers.0.q_proj.lora_A.weight", "layers.0.q_proj.lora_B.weight"
SPEC = AdapterSpec(rank=1, alpha=4, targets=("q_proj",), base_digest="ab" * 32)
PLAIN, PLUS = RULES["fedmedlora"], RULES["fedmedlora-plus"]
EPSILON = float(np.finfo(np.float32).eps)


def make_state(a: list[float], b: list[float], spec: AdapterSpec = SPEC) -> AdapterState:
    return AdapterState({A: np.array([a], np.float32), B: np.array([b], np.float32).T}, spec)


def changed(state: AdapterState, **arrays: Array) -> AdapterState:
    return AdapterState({A: arrays.get("a", state.arrays[A]), B: arrays.get("b", state.arrays[B])}, state.spec)


ONE, TWO, THREE = (make_state([x, -x, 0.5], [2 * x, x / 3]) for x in (1.0, 2.0, 4.0))

values = st.floats(-1e3, 1e3, width=32)
states = st.builds(
    lambda a, b: AdapterState({A: a, B: b}, SPEC),
    hnp.arrays(np.float32, (1, 3), elements=values),
    hnp.arrays(np.float32, (2, 1), elements=values),
)
weight_values = st.floats(1e-3, 1e6)
contributions = st.lists(st.tuples(states, weight_values), min_size=1, max_size=6)


def average(pairs: list[tuple[AdapterState, float]]) -> AdapterState:
    total = WeightedSum()
    for state, weight in pairs:
        total.add(state, weight)
    return total.result()


def assert_close(found: AdapterState, expected: AdapterState, pairs: list[tuple[AdapterState, float]]) -> None:
    """Within the documented bound: 4·K roundings of the greatest magnitude averaged."""
    for name, array in found.arrays.items():
        greatest = max(float(np.abs(state.arrays[name]).max()) for state, _ in pairs)
        bound = 4 * len(pairs) * (EPSILON / 2) * greatest + 1e-40
        assert np.abs(array.astype(np.float64) - expected.arrays[name]).max() <= bound


def test_average_by_hand() -> None:
    # Weights 1 and 3: (1·1 + 3·2) / 4 = 1.75, (−1 − 6) / 4 = −1.75, 0.5; (2 + 12) / 4 = 3.5, 1.75 / 3.
    found = average([(ONE, 1.0), (TWO, 3.0)])
    assert found.arrays[A].tolist() == [[1.75, -1.75, 0.5]]
    np.testing.assert_allclose(found.arrays[B], [[3.5], [1.75 / 3]], rtol=1e-6)
    assert found.spec == SPEC
    assert found.arrays[A].dtype == np.float32


@settings(deadline=None)
@given(states, weight_values)
def test_one_site_is_identity(state: AdapterState, weight: float) -> None:
    assert average([(state, weight)]) == state
    assert aggregate({"a": state}, {"a": weight}) == state
    assert aggregate_round(PLAIN, state, [("a", state)], {"a": 7}, None).state == state


@settings(deadline=None)
@given(contributions, st.randoms(use_true_random=False))
def test_order_is_irrelevant_up_to_rounding(pairs: list[tuple[AdapterState, float]], shuffle: Random) -> None:
    mixed = list(pairs)
    shuffle.shuffle(mixed)
    assert_close(average(mixed), average(pairs), pairs)


@settings(deadline=None)
@given(contributions)
def test_it_is_the_weighted_mean(pairs: list[tuple[AdapterState, float]]) -> None:
    total = math.fsum(weight for _, weight in pairs)
    for name, array in average(pairs).arrays.items():
        exact = sum(weight / total * state.arrays[name].astype(np.float64) for state, weight in pairs)
        greatest = max(float(np.abs(state.arrays[name]).max()) for state, _ in pairs)
        assert np.abs(array - exact).max() <= 4 * len(pairs) * (EPSILON / 2) * greatest + 1e-40


@settings(deadline=None)
@given(contributions, st.floats(1e-30, 1e30))
def test_weights_are_scale_free(pairs: list[tuple[AdapterState, float]], scale: float) -> None:
    assert_close(average([(state, weight * scale) for state, weight in pairs]), average(pairs), pairs)


@settings(deadline=None)
@given(states, st.lists(weight_values, min_size=1, max_size=8))
def test_identical_states_average_to_themselves_exactly(state: AdapterState, shares: list[float]) -> None:
    found = average([(state, share) for share in shares])
    # Values, not bits: −0 may come out as 0.
    assert all(np.array_equal(array, state.arrays[name]) for name, array in found.arrays.items())


@settings(deadline=None)
@given(contributions)
def test_the_average_lies_between_its_parts(pairs: list[tuple[AdapterState, float]]) -> None:
    for name, array in average(pairs).arrays.items():
        parts = np.stack([state.arrays[name] for state, _ in pairs]).astype(np.float64)
        slack = 4 * len(pairs) * (EPSILON / 2) * np.abs(parts).max() + 1e-40
        assert (array >= parts.min(axis=0) - slack).all()
        assert (array <= parts.max(axis=0) + slack).all()


def test_weight_zero_adds_nothing() -> None:
    assert average([(TWO, 0.0), (ONE, 2.0), (TWO, 0.0)]) == ONE
    with pytest.raises(AdapterError, match="nothing to average"):
        average([(ONE, 0.0)])
    with pytest.raises(AdapterError, match="nothing to average"):
        WeightedSum().result()


def test_log_weights_beyond_the_range_of_floats() -> None:
    total = WeightedSum()
    total.add_log(ONE, -1e6)
    total.add_log(THREE, -1e6)
    # (1 + 4) / 2 = 2.5.
    np.testing.assert_allclose(total.result().arrays[A], [[2.5, -2.5, 0.5]], rtol=1e-6)


def test_extreme_weights() -> None:
    assert average([(ONE, 1e-300), (TWO, 1e300)]).arrays[A].tolist() == TWO.arrays[A].tolist()
    assert average([(TWO, 1e300), (ONE, 1e-300)]).arrays[A].tolist() == TWO.arrays[A].tolist()


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_bad_weights(weight: float) -> None:
    with pytest.raises(AdapterError, match=f"weight in an average is {weight}"):
        WeightedSum().add(ONE, weight)
    if weight != -1.0:
        with pytest.raises(AdapterError, match="log weight"):
            WeightedSum().add_log(ONE, weight)


def test_states_that_do_not_fit_are_not_averaged() -> None:
    total = WeightedSum()
    total.add(ONE, 1.0)
    with pytest.raises(AdapterError, match=r"lora_A.weight' does not fit: its shape is \[1, 2\]"):
        total.add(make_state([1.0, 2.0], [1.0, 2.0]), 1.0)
    assert total.result() == ONE


def test_inputs_and_earlier_results_never_change() -> None:
    before = [state.arrays[A].copy() for state in (ONE, TWO, THREE)]
    total = WeightedSum()
    total.add(ONE, 1.0)
    total.add(TWO, 1.0)
    first = total.result()
    kept = first.arrays[A].copy()
    total.add(THREE, 1.0)
    second = total.result()
    assert first.arrays[A].tolist() == kept.tolist()
    assert second != first
    assert [state.arrays[A].tolist() for state in (ONE, TWO, THREE)] == [array.tolist() for array in before]


def peak_bytes(sites: int, order: Literal["sites", "arrival"], backwards: bool, shelf: Path | None = None) -> int:
    """Greatest memory in use during a round of states of 40,000 values, each dropped as soon as it has been offered."""
    names = [f"site-{number:02}" for number in range(sites)]
    blank = AdapterState({A: np.zeros((1, 40_000), np.float32)}, SPEC)
    aggregation = RoundAggregation(PLAIN, blank, dict.fromkeys(names, 10), order=order, shelf=shelf)
    tracemalloc.start()
    try:
        for site in reversed(names) if backwards else names:
            aggregation.offer(site, AdapterState({A: np.full((1, 40_000), len(site), np.float32)}, SPEC))
        aggregation.result()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_sites(tmp_path: Path) -> None:
    one_state = 160_000
    assert peak_bytes(20, "sites", False) < peak_bytes(4, "sites", False) + one_state / 2
    assert peak_bytes(20, "arrival", False) < peak_bytes(4, "arrival", False) + one_state / 2
    assert peak_bytes(20, "arrival", True) < peak_bytes(4, "arrival", True) + one_state / 2
    # Arrivals in reverse order of sites wait for the first: 16 sites more, 16 states more, unless they wait on disk.
    assert peak_bytes(20, "sites", True) > peak_bytes(4, "sites", True) + 15 * one_state
    assert peak_bytes(20, "sites", True, tmp_path) < peak_bytes(4, "sites", True, tmp_path) + one_state / 2
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.permutations("abcde"), st.sets(st.sampled_from("abcde"), max_size=3), st.randoms(use_true_random=False))
def test_a_shelf_changes_no_bit(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[str], silent: set[str], chance: Random
) -> None:
    made = {site: make_state([chance.random()] * 3, [chance.random()] * 2) for site in arrivals}
    found = []
    for shelf in (None, tmp_path_factory.getbasetemp()):
        aggregation = RoundAggregation(PLAIN, ONE, {site: ord(site) for site in arrivals}, shelf=shelf)
        for site in arrivals:
            if site not in silent:
                assert aggregation.offer(site, made[site])
        found.append(aggregation.result())
    assert found[0] == found[1]
    assert found[0].absent == tuple(sorted(silent))


def test_a_shelf_without_room_ends_the_round(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    aggregation = RoundAggregation(PLAIN, ONE, {"a": 1, "b": 1}, shelf=tmp_path / "file" / "below")
    with pytest.raises(EnvironmentProblem, match=r"has to wait for its turn .*Make room for 20 bytes a site"):
        aggregation.offer("b", TWO)
    # Nothing of b is counted: a alone is the average.
    aggregation.offer("a", ONE)
    assert (aggregation.result().weights, aggregation.result().absent) == ({"a": 1.0}, ("b",))


def test_aggregate_gives_equal_bits_in_every_order() -> None:
    updates = {"c": ONE, "a": TWO, "b": THREE}
    shares = {"a": 0.2, "b": 0.31, "c": 0.49}
    found = {
        aggregate({site: updates[site] for site in order}, shares).digest for order in itertools.permutations(updates)
    }
    assert len(found) == 1
    with pytest.raises(AdapterError, match="site 'd' has no update"):
        aggregate(updates, shares | {"d": 1.0})
    with pytest.raises(AdapterError, match="site 'c' has no weight"):
        aggregate(updates, {"a": 1.0, "b": 1.0})


TOKENS = {"a": 100, "b": 200, "c": 700}
LOSSES = {"a": 1.5, "b": 0.25, "c": 2.0}
UPDATES = {"a": ONE, "b": TWO, "c": THREE}


@pytest.mark.parametrize("rule", [PLAIN, PLUS], ids=["plain", "plus"])
def test_a_round_gives_equal_bits_in_every_order_of_arrival(rule: Rule) -> None:
    found = [
        aggregate_round(rule, ONE, [(site, UPDATES[site]) for site in order], TOKENS, LOSSES)
        for order in itertools.permutations(UPDATES)
    ]
    assert len({each.state.digest for each in found}) == 1
    by_arrival = aggregate_round(rule, ONE, UPDATES.items(), TOKENS, LOSSES, order="arrival")
    assert by_arrival == found[0]


def test_round_weights_come_from_registered_tokens() -> None:
    found = aggregate_round(PLAIN, ONE, UPDATES.items(), TOKENS, None)
    # 100, 200, 700 of 1000; A's first value 0.1·1 + 0.2·2 + 0.7·4 = 3.3.
    assert found.weights == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.7})
    assert found.state.arrays[A][0, 0] == pytest.approx(3.3, rel=1e-6)
    assert (found.rule, found.refused, found.absent, found.losses) == ("fedmedlora", {}, (), {})


def test_plus_round_by_hand() -> None:
    # n·e^−(L − 0.25): 100·e^−1.25 = 28.6505, 200, 700·e^−1.75 = 121.6417; sum 350.2922.
    found = aggregate_round(PLUS, ONE, UPDATES.items(), TOKENS, LOSSES)
    assert found.weights == pytest.approx({"a": 0.0817903, "b": 0.5709519, "c": 0.3472578}, abs=1e-6)
    assert found.losses == LOSSES


NAN = changed(TWO, b=np.array([[np.nan], [1.0]], np.float32))
INF = changed(TWO, a=np.array([[1.0, np.inf, -np.inf]], np.float32))
REFUSABLE: dict[str, tuple[AdapterState, str | None, str]] = {
    "nan": (NAN, B, "1 of its 2 values are NaN"),
    "inf": (INF, A, "2 of its 3 values are infinite"),
    "huge": (changed(TWO, a=np.full((1, 3), 3e38, np.float32)), A, "3 of its 3 values exceed 1e\\+38"),
    "shape": (changed(TWO, a=TWO.arrays[A].T), A, r"its shape is \[3, 1\], expected \[1, 3\]"),
    "missing": (AdapterState({A: TWO.arrays[A]}, SPEC), B, "it is missing"),
    "unknown": (AdapterState({**TWO.arrays, "lm_head": TWO.arrays[A]}, SPEC), "lm_head", "it is unknown"),
    "base": (make_state([1.0, 1.0, 1.0], [1.0, 1.0], replace(SPEC, base_digest="cd" * 32)), None, "another base model"),
    "rank": (make_state([1.0, 1.0, 1.0], [1.0, 1.0], replace(SPEC, rank=8)), None, "its rank is 8, expected 1"),
}


@pytest.mark.parametrize("name", REFUSABLE)
def test_refusals_name_site_and_tensor(name: str) -> None:
    update, tensor, reason = REFUSABLE[name]
    with pytest.raises(RefusedUpdateError, match=f"site 'north'.*{reason}") as caught:
        check_update("north", update, ONE)
    assert (caught.value.site, caught.value.tensor) == ("north", tensor)


@pytest.mark.parametrize("name", REFUSABLE)
@pytest.mark.parametrize("rule", [PLAIN, PLUS], ids=["plain", "plus"])
def test_a_refused_site_changes_nothing_for_the_others(rule: Rule, name: str) -> None:
    bad, tensor, _ = REFUSABLE[name]
    with_bad = aggregate_round(rule, ONE, [("b", bad), ("c", THREE), ("a", ONE)], TOKENS, LOSSES)
    without = aggregate_round(rule, ONE, [("a", ONE), ("c", THREE)], {"a": 100, "c": 700}, LOSSES)
    assert (with_bad.state, with_bad.weights) == (without.state, without.weights)
    assert list(with_bad.refused) == ["b"]
    if tensor is not None:
        assert tensor in with_bad.refused["b"]


@settings(deadline=None)
@given(contributions, st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_site_with_one_bad_value_changes_nothing(
    pairs: list[tuple[AdapterState, float]], position: int, value: float
) -> None:
    good = [(f"site-{number}", state) for number, (state, _) in enumerate(pairs)]
    tokens = {site: 10 + number for number, (site, _) in enumerate(good)}
    spoilt = changed(ONE, a=np.array([[1.0, value, 0.0]], np.float32))
    mixed = [*good[:position], ("rogue", spoilt), *good[position:]]
    found = aggregate_round(PLAIN, ONE, mixed, tokens | {"rogue": 10**9}, None)
    assert found.state == aggregate_round(PLAIN, ONE, good, tokens, None).state
    assert list(found.refused) == ["rogue"]


def test_wire_arrays_of_another_dtype() -> None:
    check_types("north", ONE.arrays, ONE)
    with pytest.raises(RefusedUpdateError, match=f"site 'north', tensor '{A}': its dtype is float64, expected float32"):
        check_types("north", {A: ONE.arrays[A].astype(np.float64), B: ONE.arrays[B]}, ONE)
    with pytest.raises(RefusedUpdateError, match="its dtype is object"):
        check_types("north", {A: ONE.arrays[A].astype(object), B: ONE.arrays[B]}, ONE)


def test_the_largest_values_still_average_to_numbers() -> None:
    edge = float(np.float32(LARGEST_MAGNITUDE))
    up, down = make_state([edge] * 3, [1.0, 1.0]), make_state([-edge] * 3, [1.0, 1.0])
    found = aggregate_round(PLAIN, ONE, [("a", up), ("b", down)], {"a": 1, "b": 1}, None)
    assert np.isfinite(found.state.arrays[A]).all()


def test_an_unknown_name_is_escaped_and_cut() -> None:
    hostile = "line\nbreak" + "x" * 1000
    with pytest.raises(RefusedUpdateError) as caught:
        check_types("north", {**ONE.arrays, hostile: ONE.arrays[A]}, ONE)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_an_adapter_that_scores_no_number_is_refused(loss: float) -> None:
    found = aggregate_round(PLUS, ONE, UPDATES.items(), TOKENS, LOSSES | {"b": loss})
    assert found.refused == {"b": f"the validation loss of its adapter is {loss}, which gives no finite weight"}
    assert list(found.weights) == ["a", "c"]


def test_unregistered_absent_and_repeated_sites() -> None:
    arrivals = [("a", ONE), ("stranger", THREE), ("a", THREE), ("c", TWO)]
    found = aggregate_round(PLAIN, ONE, arrivals, TOKENS, None)
    assert found.refused == {"stranger": "it is not registered with this study"}
    assert (found.absent, found.repeated) == (("b",), ("a",))
    # 100·1 + 700·2 of 800 = 1.875: the second update of a did not count.
    assert found.state.arrays[A][0, 0] == pytest.approx(1.875, rel=1e-6)


def test_when_nothing_is_left() -> None:
    with pytest.raises(AdapterError, match=r"no update .* site 'a': tensor '.*lora_B.*NaN; site 'b': no answer"):
        aggregate_round(PLAIN, ONE, [("a", NAN)], {"a": 1, "b": 1}, None)
    with pytest.raises(AdapterError, match="site 'a' registered 0 training target tokens"):
        aggregate_round(PLAIN, ONE, [("a", ONE)], {"a": 0}, None)


def test_losses_that_the_coordinator_forgot() -> None:
    with pytest.raises(AdapterError, match="'fedmedlora-plus' weights by validation loss; give the losses"):
        aggregate_round(PLUS, ONE, UPDATES.items(), TOKENS, None)
    with pytest.raises(AdapterError, match="site 'b' has no validation loss"):
        aggregate_round(PLUS, ONE, UPDATES.items(), TOKENS, {"a": 1.0, "c": 1.0})


def test_only_checked_updates_are_scored_and_each_once() -> None:
    scored: list[str] = []

    def score(site: str, update: AdapterState) -> Verdict:
        scored.append(site)
        return Verdict(LOSSES[site])

    aggregation = RoundAggregation(PLUS, ONE, TOKENS, score)
    assert aggregation.offer("c", THREE)
    assert not aggregation.offer("b", NAN)
    assert not aggregation.offer("c", THREE)
    aggregation.leave_out("a", "no reply within 60 s")
    found = aggregation.result()
    assert scored == ["c"]
    assert found.state == THREE
    assert found.refused["a"] == "no reply within 60 s"
    with pytest.raises(AdapterError, match="after its round was averaged"):
        aggregation.offer("a", ONE)


def test_a_site_left_out_lets_the_waiting_ones_in() -> None:
    aggregation = RoundAggregation(PLAIN, ONE, TOKENS)
    aggregation.offer("c", THREE)
    aggregation.offer("b", TWO)
    assert sorted(aggregation._waiting) == ["b", "c"]
    aggregation.leave_out("a", "time-out")
    assert not aggregation._waiting
    assert aggregation.result().state == aggregate({"b": TWO, "c": THREE}, {"b": 200.0, "c": 700.0})


def test_a_rule_where_only_a_travels() -> None:
    only_a = replace(PLAIN, name="a-only", travels=lambda name: "lora_A" in name)
    sent = {site: update.select(only_a.travels) for site, update in UPDATES.items()}
    found = aggregate_round(only_a, ONE, sent.items(), TOKENS, None)
    assert list(found.state.arrays) == [A]
    assert not found.refused
    with pytest.raises(AdapterError, match=r"lora_B\.weight': it is unknown"):
        aggregate_round(only_a, ONE, UPDATES.items(), TOKENS, None)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), states, min_size=1), st.floats(0, 10))
def test_plus_with_equal_losses_is_plain(updates: Mapping[str, AdapterState], loss: float) -> None:
    tokens = {site: 100 * (ord(site) - 90) for site in updates}
    equal = dict.fromkeys(updates, loss)
    plus = aggregate_round(find_rule("fedmedlora-plus", alpha=1.0), ONE, updates.items(), tokens, equal)
    plain = aggregate_round(PLAIN, ONE, updates.items(), tokens, None)
    assert plus.weights == pytest.approx(plain.weights, rel=1e-9)
    assert_close(plus.state, plain.state, [(state, 1.0) for state in updates.values()])
