"""The rules' table and the weights: hand-counted values, laws, bad input."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmedlora.aggregation.rules import RULES, Rule, Weighting, find_rule
from fedmedlora.aggregation.weights import weights
from fedmedlora.errors import AdapterError, ConfigError

PLAIN = RULES["fedmedlora"].weighting

site_counts = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 10**9), min_size=1, max_size=8)
losses_of = st.floats(0, 1e6)
alphas = st.floats(0, 3)
taus = st.floats(1e-3, 1e6)


def test_plain_weights_are_shares_of_tokens() -> None:
    # 100 / 400, 300 / 400.
    assert weights(PLAIN, {"b": 300, "a": 100}, None) == pytest.approx({"a": 0.25, "b": 0.75})


def test_published_code_variant_by_hand() -> None:
    # exp(1 − 1) = 1 and exp(1 − 2) = e^−1: shares e / (e + 1) and 1 / (e + 1), whatever the sizes.
    found = weights(RULES["fedmedlora-plus-code"].weighting, {"a": 1, "b": 10**6}, {"a": 1.0, "b": 2.0})
    assert found == pytest.approx({"a": math.e / (math.e + 1), "b": 1 / (math.e + 1)})


def test_published_text_variant_by_hand() -> None:
    # 100·e^0 : 300·e^−ln 3 = 100 : 100.
    found = weights(RULES["fedmedlora-plus-paper"].weighting, {"a": 100, "b": 300}, {"a": 1.0, "b": 1.0 + math.log(3)})
    assert found == pytest.approx({"a": 0.5, "b": 0.5})


def test_alpha_and_tau_by_hand() -> None:
    # sqrt(400)·e^0 = 20; sqrt(100)·e^−(0.2 / 0.5) = 10·e^−0.4 = 6.70320; shares 20 / 26.70320 = 0.748974.
    found = weights(Weighting(alpha=0.5, tau=0.5), {"a": 400, "b": 100}, {"a": 1.0, "b": 1.2})
    assert found == pytest.approx({"a": 0.748974, "b": 0.251026}, abs=1e-6)


def test_huge_losses_leave_finite_weights() -> None:
    found = weights(Weighting(0.0, 1.0), {"a": 5, "b": 5, "c": 5}, {"a": 1e6, "b": 1e6 + 1, "c": 1e9})
    assert found == pytest.approx({"a": math.e / (math.e + 1), "b": 1 / (math.e + 1), "c": 0.0})


@settings(deadline=None)
@given(site_counts, alphas, st.none() | taus, st.data())
def test_weights_sum_to_one(tokens: dict[str, int], alpha: float, tau: float | None, data: st.DataObject) -> None:
    losses = {site: data.draw(losses_of) for site in tokens}
    found = weights(Weighting(alpha, tau), tokens, losses)
    assert list(found) == sorted(tokens)
    assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(0 <= weight <= 1 for weight in found.values())


@settings(deadline=None)
@given(site_counts, st.floats(0, 20), taus)
def test_equal_losses_and_alpha_one_are_plain(tokens: dict[str, int], loss: float, tau: float) -> None:
    plus = weights(Weighting(1.0, tau), tokens, dict.fromkeys(tokens, loss))
    assert plus == pytest.approx(weights(PLAIN, tokens, None), rel=1e-9)


@settings(deadline=None)
@given(site_counts, st.data())
def test_great_tau_and_alpha_zero_are_uniform(tokens: dict[str, int], data: st.DataObject) -> None:
    losses = {site: data.draw(st.floats(0, 20)) for site in tokens}
    found = weights(Weighting(0.0, 1e12), tokens, losses)
    assert found == pytest.approx(dict.fromkeys(tokens, 1 / len(tokens)), rel=1e-9)


@settings(deadline=None)
@given(site_counts, taus, st.data())
def test_a_lower_loss_never_weighs_less(tokens: dict[str, int], tau: float, data: st.DataObject) -> None:
    losses = {site: data.draw(losses_of) for site in tokens}
    found = weights(Weighting(0.0, tau), tokens, losses)
    ranked = sorted(tokens, key=lambda site: losses[site])
    assert all(found[better] >= found[worse] for better, worse in itertools.pairwise(ranked))


@settings(deadline=None)
@given(site_counts, alphas, st.floats(0.1, 100), st.floats(-50, 50), st.data())
def test_a_shift_of_all_losses_changes_nothing(
    tokens: dict[str, int], alpha: float, tau: float, shift: float, data: st.DataObject
) -> None:
    losses = {site: data.draw(st.floats(0, 20)) for site in tokens}
    shifted = {site: loss + shift for site, loss in losses.items()}
    rule = Weighting(alpha, tau)
    assert weights(rule, tokens, shifted) == pytest.approx(weights(rule, tokens, losses), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_losses_that_are_no_numbers(loss: float) -> None:
    with pytest.raises(AdapterError, match="site 'b': validation loss"):
        weights(Weighting(1.0, 1.0), {"a": 1, "b": 1}, {"a": 1.0, "b": loss})


@pytest.mark.parametrize("count", [0, -3, True, 2.5])
def test_bad_token_counts(count: int) -> None:
    with pytest.raises(AdapterError, match="site 'b' registered"):
        weights(PLAIN, {"a": 1, "b": count}, None)


def test_missing_and_stray_losses() -> None:
    with pytest.raises(AdapterError, match="site 'b' has no validation loss"):
        weights(Weighting(1.0, 1.0), {"a": 1, "b": 1}, {"a": 1.0})
    with pytest.raises(AdapterError, match="site 'a' has no validation loss"):
        weights(Weighting(1.0, 1.0), {"a": 1}, None)
    with pytest.raises(AdapterError, match="site 'c' has a validation loss but has not registered"):
        weights(Weighting(1.0, 1.0), {"a": 1}, {"a": 1.0, "c": 1.0})
    with pytest.raises(AdapterError, match="no site has registered"):
        weights(PLAIN, {}, None)


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, math.inf])
def test_bad_tau(tau: float) -> None:
    with pytest.raises(ConfigError, match=f"tau is {tau}"):
        find_rule("fedmedlora-plus", tau=tau)


@pytest.mark.parametrize("alpha", [-0.5, math.nan, math.inf])
def test_bad_alpha(alpha: float) -> None:
    with pytest.raises(ConfigError, match=f"alpha is {alpha}"):
        find_rule("fedmedlora-plus", alpha=alpha)


def test_the_table() -> None:
    assert all(name == rule.name for name, rule in RULES.items())
    travelling = {
        name: (rule.travels("x.lora_A.weight"), rule.travels("x.lora_B.weight")) for name, rule in RULES.items()
    }
    assert travelling.pop("fedsa-lora") == (True, False)
    assert travelling.pop("ffa-lora") == (False, True)
    assert set(travelling.values()) == {(True, True)}
    assert [rule.needs for rule in RULES.values()] == ["sum", "each", "each", "each", "sum", "sum"]
    assert [rule.needs_losses for rule in RULES.values()] == [False, True, True, True, False, False]
    assert all("arXiv" in rule.citation for rule in RULES.values())


def test_find_rule() -> None:
    assert find_rule("fedmedlora") is RULES["fedmedlora"]
    assert find_rule("fedmedlora-plus", tau=0.25).weighting == Weighting(1.0, 0.25)
    assert find_rule("fedmedlora-plus", alpha=0).weighting == Weighting(0.0, 1.0)
    with pytest.raises(ConfigError, match="did you mean 'fedmedlora-plus'"):
        find_rule("fedmedlora-pls")
    with pytest.raises(ConfigError, match=r"'fedmedlora' has no alpha or tau to set; they belong to fedmedlora-plus\."):
        find_rule("fedmedlora", alpha=0.5)


def test_a_rule_that_weights_by_loss_cannot_do_with_the_sum() -> None:
    plain = RULES["fedmedlora"]
    with pytest.raises(ConfigError, match="needs each update"):
        Rule("x", "x", plain.travels, "sum", Weighting(1.0, 1.0), True, "none")
