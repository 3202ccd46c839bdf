"""What weights follow from beside one loss: several costs, and temperatures that follow their spread."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rounds import RoundAggregation
from fedmedlora.aggregation.rules import Rule, Weighting, find_rule
from fedmedlora.aggregation.weights import Verdict, standardised, weights
from fedmedlora.config.models import PlusConfig
from fedmedlora.errors import ConfigError
from fedmedlora.federation.coordinator import read_result, run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.studies.cells import Cell, cell_rule
from numpy_sites import SPEC, A, B, NumpySite, initial_state, make_validator

SPREAD = find_rule("fedmedlora-plus", alpha=0.0, tau=1.0, spread=True)


def state(value: float) -> AdapterState:
    return AdapterState({A: np.full((2, 3), value, np.float32), B: np.full((3, 2), value, np.float32)}, SPEC)


def round_of(
    rule: Rule, verdicts: dict[str, Verdict], folder: Path | None = None, order: str = "abc"
) -> RoundAggregation:
    aggregation = RoundAggregation(
        rule, state(0.0), dict.fromkeys(verdicts, 10), lambda site, update: verdicts[site], shelf=folder
    )
    for site in order:
        if site in verdicts:
            aggregation.offer(site, state(float("abc".index(site))))
    return aggregation


def test_costs_are_standardised_by_hand() -> None:
    # First costs 1, 3: mean 2, deviation 1, so −1, +1. Second 0.5, 0.1: +1, −1. Their means are 0 and 0.
    found = standardised({"a": Verdict(9.0, (1.0, 0.5)), "b": Verdict(9.0, (3.0, 0.1))})
    assert found == pytest.approx({"a": 0.0, "b": 0.0})
    # Without costs of its own a verdict's loss is its cost; one that is the same everywhere says nothing.
    assert standardised({"a": Verdict(1.0), "b": Verdict(3.0)}) == pytest.approx({"a": -1.0, "b": 1.0})
    assert standardised({"a": Verdict(1.0), "b": Verdict(1.0)}) == {"a": 0.0, "b": 0.0}


def test_weights_by_spread_by_hand() -> None:
    # Losses 1.0, 1.1: standardised −1 and +1, whatever their unit; e^1 : e^−1 at one deviation, e^½ : e^−½ at two.
    tokens, losses = {"a": 10, "b": 10}, {"a": 1.0, "b": 1.1}
    first = math.e / (math.e + 1 / math.e)
    assert weights(Weighting(0.0, 1.0, spread=True), tokens, losses)["a"] == pytest.approx(first)
    second = math.exp(0.5) / (math.exp(0.5) + math.exp(-0.5))
    assert weights(Weighting(0.0, 2.0, spread=True), tokens, losses)["a"] == pytest.approx(second)
    assert weights(Weighting(0.0, 1.0, spread=True), tokens, {"a": 0.01, "b": 0.02})["a"] == pytest.approx(first)
    # With equal losses only size is left: 30 : 10.
    assert weights(Weighting(1.0, 1.0, spread=True), {"a": 30, "b": 10}, {"a": 1.0, "b": 1.0})["a"] == pytest.approx(
        0.75
    )


def test_two_costs_at_a_fixed_temperature_count_by_their_mean() -> None:
    # Means 0.3 and 0.5 at τ = 0.1: 1 : e^−2.
    rule = find_rule("fedmedlora-plus", alpha=0.0, tau=0.1)
    found = round_of(rule, {"a": Verdict(1.0, (0.2, 0.4)), "b": Verdict(1.0, (0.5, 0.5))}).result()
    assert found.weights["a"] == pytest.approx(1 / (1 + math.exp(-2)))
    assert found.losses == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("shelf", [True, False])
def test_a_round_by_spread_averages_when_the_last_verdict_is_known(tmp_path: Path, shelf: bool) -> None:
    verdicts = {"a": Verdict(1.0), "b": Verdict(2.0), "c": Verdict(3.0)}
    # Deviation √(2/3): standardised −1.2247, 0, 1.2247.
    raw = {site: math.exp(-z * math.sqrt(1.5)) for site, z in (("a", -1), ("b", 0), ("c", 1))}
    expected = {site: value / sum(raw.values()) for site, value in raw.items()}
    results = [
        round_of(SPREAD, verdicts, tmp_path if shelf else None, order).result() for order in ("abc", "cab", "bca")
    ]
    assert all(found.weights == pytest.approx(expected) for found in results)
    # Values 0, 1 and 2 of the sites' states.
    assert results[0].state.arrays[A][0, 0] == pytest.approx(expected["b"] + 2 * expected["c"], rel=1e-6)
    assert len({found.state.digest for found in results}) == 1


def test_one_site_by_spread_comes_back_bit_for_bit() -> None:
    assert round_of(SPREAD, {"b": Verdict(5.0)}).result().state == state(1.0)


def test_a_cost_that_is_no_number_leaves_its_site_out() -> None:
    found = round_of(SPREAD, {"a": Verdict(1.0), "b": Verdict(1.0, (float("nan"), 0.5)), "c": Verdict(2.0)}).result()
    assert found.refused == {"b": "the validation loss of its adapter is nan, 0.5, which gives no finite weight"}
    assert found.weights["a"] == pytest.approx(math.e / (math.e + 1 / math.e))


def test_a_federation_by_spread_records_costs_and_its_plan_says_so(tmp_path: Path) -> None:
    plan = FederationPlan(("alpha", "be"), SPREAD, 2, 5, {"lr": 0.01}, timeouts=Timeouts(nodes_s=0.0))
    sites = [NumpySite("alpha", 30, tmp_path), NumpySite("be", 11, tmp_path)]
    result = run_federation(in_process_grid(sites), plan, initial_state(), tmp_path, validator=make_validator(2.5))
    for record in result.history:
        assert sorted(record.weights.values()) == pytest.approx([1 / (1 + math.e**2), 1 / (1 + math.e**-2)])
        assert all(site.costs == (site.validation_loss,) for site in record.sites)
    assert read_result(tmp_path) == result
    assert FederationPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    fixed = replace(plan, rule=find_rule("fedmedlora-plus", alpha=0.0, tau=1.0))
    with pytest.raises(ConfigError, match=r"rule\.spread was true, is false"):
        run_federation(
            in_process_grid(sites), fixed, initial_state(), tmp_path, validator=make_validator(2.5), resume=True
        )


def test_a_study_gives_one_temperature() -> None:
    cell = Cell("fedmedlora-plus", 0, "all", (("a", ("a",)), ("b", ("b",))))
    assert cell_rule(cell, PlusConfig(tau_spread=0.5)).weighting == Weighting(1.0, 0.5, spread=True)
    assert cell_rule(cell, PlusConfig(tau=0.5)).weighting == Weighting(1.0, 0.5)
    with pytest.raises(ValueError, match="two ways to set one temperature"):
        PlusConfig(tau=0.5, tau_spread=0.5)
    with pytest.raises(ConfigError, match="has no alpha or tau to set"):
        cell_rule(cell, PlusConfig(rule="fedmedlora-plus-code", tau_spread=0.5))
