from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmedlora.adapters.state import AdapterState, to_bytes
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.aggregation.server import ServerOptimizer, server_step
from fedmedlora.config.models import FederationConfig
from fedmedlora.errors import AdapterError, ConfigError
from fedmedlora.federation.checkpoint import read_checkpoint
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.studies.cells import Cell, cell_server
from numpy_sites import SPEC, A, B, NumpySite, initial_state

MOMENTUM = ServerOptimizer("momentum", lr=0.5, momentum=0.5)
ADAM = ServerOptimizer("adam", lr=0.1, beta1=0.5, beta2=0.75, epsilon=1.0)


def state(value: float) -> AdapterState:
    return AdapterState({A: np.full((2, 3), value, np.float32), B: np.full((3, 2), value, np.float32)}, SPEC)


def after_rounds(optimizer: ServerOptimizer, *changes: float) -> list[float]:
    """The values of the global adapter, from 0, when each round's average departs from it by a change."""
    now, memory, found = state(0.0), None, []
    for change in changes:
        average = AdapterState({name: array + np.float32(change) for name, array in now.arrays.items()}, SPEC)
        now, memory = server_step(optimizer, now, average, memory)
        found.append(float(now.arrays[A][0, 0]))
    return found


def test_the_plain_average_is_handed_on_as_it_is() -> None:
    average = state(0.1)
    assert server_step(ServerOptimizer(), state(1e8), average, None) == (average, None)


def test_a_rate_scales_the_averaged_change() -> None:
    # 0 + 0.5·2 = 1; 1 + 0.5·4 = 3.
    assert after_rounds(ServerOptimizer(lr=0.5), 2.0, 4.0) == [1.0, 3.0]


def test_two_rounds_of_momentum_by_hand() -> None:
    # m: 2, then 0.5·2 + 4 = 5, then 0.5·5 - 1 = 1.5; x: 0.5·2 = 1, then 1 + 0.5·5 = 3.5, then 3.5 + 0.5·1.5 = 4.25.
    assert after_rounds(MOMENTUM, 2.0, 4.0, -1.0) == [1.0, 3.5, 4.25]


def test_two_rounds_of_adam_by_hand() -> None:
    # v begins at 1² = 1. Round 1, Δ = 3: m = 1.5, v = 0.75·1 + 0.25·9 = 3, x = 0.1·1.5/(√3 + 1).
    # Round 2, Δ = 2: m = 0.75 + 1 = 1.75, v = 2.25 + 1 = 3.25, x += 0.1·1.75/(√3.25 + 1).
    first = 0.15 / (3**0.5 + 1)
    assert after_rounds(ADAM, 3.0, 2.0) == pytest.approx([first, first + 0.175 / (3.25**0.5 + 1)], rel=1e-6)


def test_adam_moves_every_value_by_about_its_rate() -> None:
    # Far above epsilon the size of a change plays no part: the first step of the published betas is lr.
    for change in (10.0, -1000.0):
        moved = after_rounds(ServerOptimizer("adam", lr=0.25), change)
        assert moved == pytest.approx([np.sign(change) * 0.25], rel=2e-3)


def test_a_step_out_of_range_is_an_error_that_names_the_tensor() -> None:
    with (
        pytest.raises(AdapterError, match=rf"tensor '{A}': the server's step leaves"),
        np.errstate(over="ignore"),
    ):
        server_step(ServerOptimizer(lr=1e38), state(0.0), state(1e30), None)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", "adm", "server_optimizer = 'adm': unknown; did you mean 'adam'"),
        ("lr", 0.0, "server_lr = 0.0: expected a finite number above 0"),
        ("epsilon", float("inf"), "server_epsilon = inf: expected a finite number above 0"),
        ("momentum", 1.0, "server_momentum = 1.0: expected a number from 0 to below 1"),
        ("beta1", -0.1, "server_beta1 = -0.1: expected"),
        ("beta2", float("nan"), "server_beta2 = nan: expected"),
    ],
)
def test_numbers_out_of_range_are_refused(field: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        replace(ServerOptimizer(), **{field: value})  # type: ignore[arg-type]


def plan_with(server: ServerOptimizer, rounds: int = 3) -> FederationPlan:
    rule = find_rule("fedmedlora")
    return FederationPlan(("alpha", "be"), rule, rounds, 5, {"lr": 0.01}, timeouts=Timeouts(nodes_s=0.0), server=server)


def sites(folder: Path) -> list[NumpySite]:
    return [NumpySite("alpha", 30, folder), NumpySite("be", 11, folder)]


@pytest.mark.parametrize("server", [MOMENTUM, ADAM])
def test_an_interrupted_federation_resumes_to_the_same_bits(tmp_path: Path, server: ServerOptimizer) -> None:
    plan = plan_with(server, rounds=4)
    whole = run_federation(in_process_grid(sites(tmp_path / "1")), plan, initial_state(), tmp_path / "1")

    def stop_after_two(record: object, state: object) -> None:
        left.pop()
        if not left:
            raise KeyboardInterrupt

    left, folder = [1, 1], tmp_path / "2"
    with pytest.raises(KeyboardInterrupt):
        run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder, on_round=stop_after_two)
    resumed = run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder, resume=True)
    assert resumed.state.digest == whole.state.digest
    # The memory of the last two rounds is kept: of the current checkpoint, and of the one before.
    assert [path.name for path in sorted(folder.glob("memory-*"))] == [
        "memory-0003.safetensors",
        "memory-0004.safetensors",
    ]


def test_another_optimizer_is_another_federation(tmp_path: Path) -> None:
    plan = plan_with(MOMENTUM)
    run_federation(in_process_grid(sites(tmp_path)), plan, initial_state(), tmp_path)
    other = replace(plan, server=replace(MOMENTUM, momentum=0.25))
    with pytest.raises(ConfigError, match=r"server\.momentum was 0\.5, is 0\.25"):
        run_federation(in_process_grid(sites(tmp_path)), other, initial_state(), tmp_path, resume=True)
    assert FederationPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_memory_that_was_changed_is_refused(tmp_path: Path) -> None:
    run_federation(in_process_grid(sites(tmp_path)), plan_with(MOMENTUM), initial_state(), tmp_path)
    path = tmp_path / "memory-0003.safetensors"
    path.write_bytes(to_bytes(state(1.0)))
    with pytest.raises(ConfigError, match=r"memory-0003\.safetensors: it is not the memory that checkpoint\.json"):
        read_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(ConfigError, match="the checkpoint's memory cannot be read"):
        read_checkpoint(tmp_path)


def test_a_study_sets_it_for_what_is_averaged_alone() -> None:
    config = FederationConfig(server_optimizer="momentum", server_momentum=0.5)
    federated = Cell("fedmedlora", 0, "all", (("a", ("a",)), ("b", ("b",))))
    assert cell_server(federated, config) == ServerOptimizer("momentum", momentum=0.5)
    assert cell_server(Cell("centralised", 0, "all", (("all", ("a", "b")),)), config).plain
    with pytest.raises(ValueError, match=r"set server_lr, for instance 0\.01"):
        FederationConfig(server_optimizer="adam")
