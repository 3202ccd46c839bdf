"""Averages of products, held against dense matrices in numpy."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.products import ProductMean, paired_names
from fedmedlora.aggregation.rounds import aggregate_round
from fedmedlora.aggregation.rules import RULES, averaging_products, find_rule
from fedmedlora.aggregation.server import ServerOptimizer
from fedmedlora.config.models import FederationConfig, StudyConfig
from fedmedlora.errors import AdapterError, ConfigError
from fedmedlora.federation.checkpoint import read_checkpoint
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.studies.cells import Cell, federated_rule
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate
from numpy_sites import BASE, NumpySite, initial_state

RANK, D_IN, D_OUT = 3, 11, 9
SPEC = AdapterSpec(rank=RANK, alpha=6.0, targets=("q_proj",), base_digest=BASE)
A, B = "q_proj.lora_A.weight", "q_proj.lora_B.weight"
DROP = averaging_products(RULES["fedmedlora"], "drop")
KEEP = averaging_products(RULES["fedmedlora"], "keep")
TOKENS = {"a": 30, "b": 10, "c": 60}


def some_state(seed: int, rank: int = RANK) -> AdapterState:
    chance = np.random.default_rng(seed)
    a, b = chance.normal(size=(rank, D_IN)), chance.normal(size=(D_OUT, rank))
    return AdapterState({A: a.astype(np.float32), B: b.astype(np.float32)}, SPEC)


def product(state: AdapterState | None) -> np.ndarray:
    if state is None:
        return np.zeros((D_OUT, D_IN))
    return state.arrays[B].astype(np.float64) @ state.arrays[A].astype(np.float64)


def cut(matrix: np.ndarray, rank: int = RANK) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


UPDATES = {site: some_state(seed) for seed, site in enumerate(TOKENS)}
# 30, 10 and 60 tokens of 100.
MEAN = 0.3 * product(UPDATES["a"]) + 0.1 * product(UPDATES["b"]) + 0.6 * product(UPDATES["c"])


def test_the_average_is_the_best_of_its_rank() -> None:
    found = aggregate_round(DROP, UPDATES["a"], UPDATES.items(), TOKENS, None)
    assert np.allclose(product(found.state), cut(MEAN), atol=1e-5)
    assert found.residual is None
    # Averaging A and B for themselves gives another matrix.
    factors = aggregate_round(RULES["fedmedlora"], UPDATES["a"], UPDATES.items(), TOKENS, None)
    assert not np.allclose(product(factors.state), cut(MEAN), atol=0.1)


@pytest.mark.parametrize(("d_in", "d_out"), [(2, 9), (11, 2), (2, 2)])
def test_a_module_may_be_narrower_than_the_rank(d_in: int, d_out: int) -> None:
    states = []
    for seed in (0, 1):
        chance = np.random.default_rng(seed)
        a, b = chance.normal(size=(RANK, d_in)), chance.normal(size=(d_out, RANK))
        states.append(AdapterState({A: a.astype(np.float32), B: b.astype(np.float32)}, SPEC))
    mean = ProductMean(limit=4)
    for state in states:
        mean.add_log(state, 0.0)
    found = mean.result()
    # Of rank 2 at most, so that nothing is cut.
    assert np.allclose(product(found.state), 0.5 * product(states[0]) + 0.5 * product(states[1]), atol=1e-5)
    assert found.state.shapes == states[0].shapes
    assert found.residual is None


def test_what_the_cut_loses_is_kept_whole() -> None:
    found = aggregate_round(KEEP, UPDATES["a"], UPDATES.items(), TOKENS, None)
    assert np.allclose(product(found.state) + product(found.residual), MEAN, atol=1e-5)


def test_the_order_of_arrival_plays_no_part_and_no_scale_of_weights() -> None:
    expected = aggregate_round(DROP, UPDATES["a"], UPDATES.items(), TOKENS, None)
    scaled = {site: 7 * count for site, count in TOKENS.items()}
    again = aggregate_round(DROP, UPDATES["a"], reversed(UPDATES.items()), TOKENS, None)
    assert again.state == expected.state
    larger = aggregate_round(DROP, UPDATES["a"], UPDATES.items(), scaled, None)
    assert np.allclose(larger.state.arrays[A], expected.state.arrays[A], atol=1e-5)


def test_one_site_comes_back_bit_for_bit() -> None:
    assert aggregate_round(KEEP, UPDATES["a"], [("a", UPDATES["a"])], {"a": 5}, None).state == UPDATES["a"]


def test_signs_and_rotations_at_a_site_play_no_part() -> None:
    # The same product split in another way, at one site of three.
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(RANK, RANK)))[0]
    other = AdapterState(
        {
            A: (turn @ UPDATES["b"].arrays[A]).astype(np.float32),
            B: (UPDATES["b"].arrays[B] @ turn.T).astype(np.float32),
        },
        SPEC,
    )
    found = aggregate_round(DROP, UPDATES["a"], {**UPDATES, "b": other}.items(), TOKENS, None)
    assert np.allclose(product(found.state), cut(MEAN), atol=1e-5)


def test_a_keeps_its_size_and_place_where_nothing_was_learnt() -> None:
    # B is 0 at both sites, so the product is 0; balanced factors would both be 0, and no gradient would be left.
    first = some_state(1)
    bare = AdapterState({A: first.arrays[A], B: np.zeros((D_OUT, RANK), np.float32)}, SPEC)
    mean = ProductMean()
    mean.add_log(bare, 0.0)
    mean.add_log(bare, 0.0)
    found = mean.result().state
    assert np.array_equal(found.arrays[B], bare.arrays[B])
    lengths = np.linalg.norm(found.arrays[A], axis=1)
    assert lengths == pytest.approx(np.full(RANK, np.sqrt(np.mean(np.sum(bare.arrays[A] ** 2, axis=1)))), rel=1e-5)
    # The same rows span it.
    assert np.linalg.matrix_rank(np.concatenate([found.arrays[A], bare.arrays[A]]), tol=1e-4) == RANK


def test_rows_that_are_orthogonal_and_of_one_length_already_stay_where_they_are() -> None:
    rows = 2 * np.linalg.qr(np.random.default_rng(3).normal(size=(D_IN, RANK)))[0].T
    columns = np.random.default_rng(4).normal(size=(D_OUT, RANK))
    state = AdapterState({A: rows.astype(np.float32), B: columns.astype(np.float32)}, SPEC)
    found = aggregate_round(DROP, state, [("a", state), ("b", state)], {"a": 1, "b": 1}, None).state
    assert np.allclose(found.arrays[A], rows, atol=1e-5)
    assert np.allclose(found.arrays[B], columns, atol=1e-5)


def test_what_is_kept_has_a_greatest_rank() -> None:
    mean = ProductMean(limit=2)
    for state in UPDATES.values():
        mean.add_log(state, 0.0)
    residual = mean.result().residual
    assert residual is not None
    assert residual.arrays[A].shape == (2, D_IN)
    whole = sum(product(state) for state in UPDATES.values()) / 3
    assert np.allclose(product(residual), cut(whole, RANK + 2) - cut(whole), atol=1e-5)


def test_a_matrix_without_its_partner_is_named() -> None:
    with pytest.raises(AdapterError, match=rf"tensor '{B}' has no partner"):
        paired_names({B: UPDATES["a"].arrays[B]})
    with pytest.raises(AdapterError, match=rf"tensor '{B}' has no partner, or its partner is missing"):
        paired_names({A: UPDATES["a"].arrays[A]})


def test_a_rule_that_averages_one_matrix_averages_no_product() -> None:
    for name in ("fedsa-lora", "ffa-lora"):
        with pytest.raises(ConfigError, match=f"rule '{name}' averages one of A and B alone"):
            averaging_products(RULES[name], "drop")
    with pytest.raises(ConfigError, match="averages products of A and B, so it needs each update"):
        replace(RULES["fedmedlora"], combine="product")
    assert DROP.needs == "each"
    assert RULES["fedmedlora"].needs == "sum"


@dataclass(frozen=True)
class Pusher:
    """A site that moves its product by the same matrix every round, through factors of rank 1 added to its own."""

    site: str
    seed: int

    @property
    def memory(self) -> Path | None:
        return None

    def register(self) -> SiteRegistration:
        return SiteRegistration(self.site, 10, 1, BASE)

    @property
    def push(self) -> np.ndarray:
        chance = np.random.default_rng(self.seed)
        return np.outer(chance.normal(size=D_OUT), chance.normal(size=D_IN))

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        left, values, right = np.linalg.svd(product(state) + self.push)
        # The rank of the study holds the sum: a global adapter of rank 1 and a push of rank 1.
        a, b = right[:RANK], left[:, :RANK] * values[:RANK]
        arrays = {A: a.astype(np.float32), B: b.astype(np.float32)}
        return SiteUpdate(self.site, plan.round, AdapterState(arrays, state.spec), 1, 1, 1, 0.5, 0.1)


def products_plan(sites: tuple[str, ...], residual: str, rounds: int) -> FederationPlan:
    rule = averaging_products(find_rule("fedmedlora"), residual)  # type: ignore[arg-type]
    return FederationPlan(sites, rule, rounds, 5, {"lr": 0.01}, timeouts=Timeouts(nodes_s=0.0))


def test_over_rounds_nothing_is_lost(tmp_path: Path) -> None:
    # Four sites push along four directions, more than rank 3 holds. A site that is sent G gives G + push cut to rank 3;
    # with P the sum so far, kept and cut away, each round must add the mean of what the sites' cuts left of their push.
    sites = [Pusher(name, seed) for seed, name in enumerate("abcd", start=10)]
    start = AdapterState({A: some_state(0).arrays[A], B: np.zeros((D_OUT, RANK), np.float32)}, SPEC)
    plan, expected, sent = (
        products_plan(("a", "b", "c", "d"), "keep", 5),
        np.zeros((D_OUT, D_IN)),
        np.zeros((D_OUT, D_IN)),
    )

    def follow(record: object, state: AdapterState) -> None:
        nonlocal expected, sent
        expected = expected + sum(cut(sent + site.push) - sent for site in sites) / 4
        sent = product(state)

    run_federation(in_process_grid(sites), plan, start, tmp_path, on_round=follow)
    checkpoint = read_checkpoint(tmp_path)[0]
    assert checkpoint.memory is not None
    assert np.allclose(product(checkpoint.state) + product(checkpoint.memory), expected, atol=1e-4)
    # Dropped, the sum is short by what each round lost.
    assert np.linalg.norm(product(checkpoint.memory)) > 0.1


@pytest.mark.parametrize("residual", ["drop", "keep"])
def test_an_interrupted_federation_resumes_to_the_same_bits(tmp_path: Path, residual: str) -> None:
    plan = products_plan(("alpha", "be"), residual, 4)

    def sites(folder: Path) -> list[NumpySite]:
        return [NumpySite("alpha", 30, folder), NumpySite("be", 11, folder)]

    whole = run_federation(in_process_grid(sites(tmp_path / "1")), plan, initial_state(), tmp_path / "1")

    def stop(record: object, state: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "2"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder, resume=True, on_round=stop)
    resumed = run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder, resume=True)
    assert resumed.state.digest == whole.state.digest
    assert FederationPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_server_optimizer_takes_no_products() -> None:
    plan = products_plan(("a", "b"), "drop", 1)
    with pytest.raises(ConfigError, match="averaged products become the global adapter as they are"):
        replace(plan, server=ServerOptimizer("momentum"))
    with pytest.raises(ValueError, match="goes with the plain average alone"):
        FederationConfig(combine="product", server_lr=0.5)
    with pytest.raises(ValueError, match="averaged factors are not cut"):
        FederationConfig(residual="keep")


def test_a_study_averages_products_in_the_arms_that_send_both(tmp_path: Path) -> None:
    config = StudyConfig(
        name="s",
        corpora_root=tmp_path,
        sites=[{"name": name, "synthetic": {"profile": "p", "train": 1, "dev": 1, "test": 1}} for name in "ab"],
        federation=FederationConfig(combine="product", residual="keep"),
    )
    members = (("a", ("a",)), ("b", ("b",)))
    found = {arm: federated_rule(Cell(arm, 0, "all", members), config) for arm in ("fedmedlora-plus", "ffa-lora")}
    assert (found["fedmedlora-plus"].combine, found["fedmedlora-plus"].residual) == ("product", "keep")
    assert found["ffa-lora"].combine == "factors"
    assert federated_rule(Cell("single-site", 0, "a", members[:1]), config).combine == "factors"
