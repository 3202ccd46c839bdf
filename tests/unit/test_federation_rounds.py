from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import ConfigError, EnvironmentProblem, FedMedLoRAError, TrainingError
from fedmedlora.federation.checkpoint import federation_in
from fedmedlora.federation.codec import PRECISIONS
from fedmedlora.federation.coordinator import read_result, run_federation
from fedmedlora.federation.grid import InProcessGrid, in_process_grid
from fedmedlora.federation.history import FederationResult, RoundRecord
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate
from numpy_sites import BASE, SECRET, SPEC, A, B, NumpySite, initial_state, make_validator


@dataclass(frozen=True)
class Adder:
    """A site that adds a constant to every value, so that averages can be worked out by hand."""

    site: str
    tokens: int
    step: float
    base: str = BASE
    change: Callable[[SiteUpdate], SiteUpdate] = lambda update: update

    def register(self) -> SiteRegistration:
        return SiteRegistration(self.site, self.tokens, 1, self.base)

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        arrays = {name: array + np.float32(self.step) for name, array in state.arrays.items()}
        return self.change(SiteUpdate(self.site, plan.round, AdapterState(arrays, state.spec), 5, 2, 1, 0.25, 1.5))


def plan_for(*sites: str, rounds: int = 1, rule: str = "fedmedlora", **changes: object) -> FederationPlan:
    plan = FederationPlan(sites, find_rule(rule), rounds, seed=7, settings={"lr": 0.01}, timeouts=Timeouts(nodes_s=0.0))
    return replace(plan, **changes)  # type: ignore[arg-type]


def run(folder: Path, *sites: Adder, **changes: object) -> FederationResult:
    plan = plan_for(*(site.site for site in sites), **changes)
    return run_federation(in_process_grid(sites), plan, initial_state(), folder)


def raising(error: Exception) -> Callable[[SiteUpdate], SiteUpdate]:
    def change(update: SiteUpdate) -> SiteUpdate:
        raise error

    return change


def with_value(value: float) -> Callable[[SiteUpdate], SiteUpdate]:
    def change(update: SiteUpdate) -> SiteUpdate:
        arrays = {name: array.copy() for name, array in update.state.arrays.items()}
        arrays[A][0, 0] = value
        return replace(update, state=AdapterState(arrays, SPEC))

    return change


def test_a_round_averages_by_registered_tokens(tmp_path: Path) -> None:
    # 30 and 10 tokens: weights 3/4 and 1/4. A: 1 + 3/4·1 + 1/4·5 = 3; B: 0 + 2 = 2. Two rounds: 5 and 4.
    result = run(tmp_path, Adder("a", 30, 1.0), Adder("b", 10, 5.0), rounds=2)
    assert np.array_equal(result.state.arrays[A], np.full((2, 3), 5.0, np.float32))
    assert np.array_equal(result.state.arrays[B], np.full((3, 2), 4.0, np.float32))
    assert [record.weights for record in result.history] == [pytest.approx({"a": 0.75, "b": 0.25})] * 2


def test_what_a_record_holds(tmp_path: Path) -> None:
    result = run(tmp_path, Adder("b", 10, 5.0), Adder("a", 30, 1.0))
    (record,) = result.history
    site = record.sites[0]
    assert (site.site, site.outcome, site.reason, site.loss) == ("a", "averaged", None, 0.25)
    assert (site.target_tokens, site.trained_tokens, site.examples, site.steps, site.seconds) == (30, 5, 2, 1, 1.5)
    assert (record.start_digest, record.digest) == (initial_state().digest, result.state.digest)
    # Two arrays of 6 float32 are 48 bytes, and each message carries more than that, either way.
    assert site.bytes_sent > 48
    assert site.bytes_received > 48
    assert record.bytes_sent == sum(found.bytes_sent for found in record.sites) == result.bytes_sent
    assert read_result(tmp_path) == result


def test_a_claim_of_tokens_in_an_update_has_no_weight(tmp_path: Path) -> None:
    greedy = Adder("b", 10, 5.0, change=lambda update: replace(update, target_tokens=10**9))
    result = run(tmp_path, Adder("a", 30, 1.0), greedy)
    assert result.history[0].weights == pytest.approx({"a": 0.75, "b": 0.25})


def test_plus_weights_by_validation_loss(tmp_path: Path) -> None:
    # Validation loss is the mean distance to 1. a: A=2, B=1: (1 + 0)/2 = 0.5; b: A=3, B=2: 1.5. n: 20 and 20.
    # alpha 0, tau 1: weights exp(-0.5) and exp(-1.5), that is 1/(1 + e^-1) = 0.731 and 0.269.
    plan = plan_for("a", "b", rule="fedmedlora-plus-code")
    grid = in_process_grid([Adder("a", 20, 1.0), Adder("b", 20, 2.0)])
    result = run_federation(grid, plan, initial_state(), tmp_path, validator=make_validator(1.0))
    assert {site.site: site.validation_loss for site in result.history[0].sites} == {"a": 0.5, "b": 1.5}
    assert result.history[0].weights["a"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_plus_without_a_validator_is_refused_before_any_site_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the coordinator a validation set"):
        run(tmp_path, Adder("a", 1, 1.0), rule="fedmedlora-plus")


def test_a_validator_that_fails_leaves_the_site_out(tmp_path: Path) -> None:
    def validator(state: AdapterState) -> Verdict:
        if float(state.arrays[B][0, 0]) == 2.0:
            raise TrainingError("the adapter of this site cannot be scored.")
        return Verdict(1.0)

    grid = in_process_grid([Adder("a", 20, 1.0), Adder("b", 20, 2.0)])
    plan = plan_for("a", "b", rule="fedmedlora-plus")
    result = run_federation(grid, plan, initial_state(), tmp_path, validator=validator)
    assert result.history[0].refused == {"b": "the adapter of this site cannot be scored."}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_value(float("nan")), rf"tensor '{A}': 1 of its 6 values are NaN"),
        (with_value(float("inf")), rf"tensor '{A}': 1 of its 6 values are infinite"),
        (
            lambda update: replace(update, state=AdapterState({A: np.ones((2, 3), np.float32)}, SPEC)),
            rf"tensor '{B}': it is missing",
        ),
        (
            lambda update: replace(
                update, state=AdapterState({A: np.ones((4, 3), np.float32), B: np.ones((3, 2), np.float32)}, SPEC)
            ),
            rf"tensor '{A}': its shape is \[4, 3\], expected \[2, 3\]",
        ),
        (
            lambda update: replace(
                update, state=AdapterState(update.state.arrays, AdapterSpec(2, 4.0, ("q_proj",), "f" * 64))
            ),
            "it belongs to another base model",
        ),
    ],
)
def test_a_bad_update_is_refused_and_the_round_goes_on(
    tmp_path: Path, change: Callable[[SiteUpdate], SiteUpdate], reason: str
) -> None:
    result = run(tmp_path, Adder("a", 30, 1.0), Adder("b", 10, 5.0, change=change))
    (record,) = result.history
    assert record.weights == {"a": 1.0}
    assert [site.outcome for site in record.sites] == ["averaged", "refused"]
    assert record.sites[1].weight == 0.0
    assert re.search(reason, record.refused["b"])


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET), type("Odd", (Exception,), {})(SECRET)]
)
def test_a_foreign_exception_leaves_the_site_as_its_class_name_alone(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        result = run(tmp_path, Adder("a", 30, 1.0), Adder("b", 10, 5.0, change=raising(error)))
    assert result.history[0].refused == {"b": type(error).__name__}
    assert result.history[0].sites[1].outcome == "failed"
    written = "".join(path.read_bytes().decode("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file())
    said = capfd.readouterr()
    assert "Smith" not in written + caplog.text + said.out + said.err
    # The site's own log says where it happened.
    assert f"{type(error).__name__} at " in caplog.text


def test_our_own_error_travels_with_its_message_but_without_its_cause(tmp_path: Path) -> None:
    def change(update: SiteUpdate) -> SiteUpdate:
        try:
            raise ValueError(SECRET)
        except ValueError as error:
            raise TrainingError("site 'b': the loss is not finite in step 3.") from error

    result = run(tmp_path, Adder("a", 30, 1.0), Adder("b", 10, 5.0, change=change))
    assert result.history[0].refused == {"b": "TrainingError: site 'b': the loss is not finite in step 3."}


def test_an_app_that_lets_an_exception_out_is_silenced_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(message: Message, context: object) -> Message:
        raise ValueError(SECRET)

    grid = InProcessGrid(broken, [{}])  # type: ignore[arg-type]  # stands in for somebody else's app
    with pytest.raises(ConfigError, match="the site's app ended with an error") as caught:
        run_federation(grid, plan_for("a"), initial_state(), tmp_path)
    assert "Smith" not in str(caught.value) + caplog.text


def test_a_round_without_an_update_stops_and_says_why(tmp_path: Path) -> None:
    sites = [Adder("a", 1, 1.0, change=raising(KeyError(SECRET))), Adder("b", 1, 1.0, change=with_value(np.nan))]
    with pytest.raises(TrainingError, match=r"round 1 of 1: .*site 'a': KeyError; site 'b': tensor .*NaN"):
        run(tmp_path, *sites)


def test_a_site_cannot_speak_for_another_or_for_another_round(tmp_path: Path) -> None:
    liar = Adder("b", 10, 5.0, change=lambda update: replace(update, site="a"))
    late = Adder("c", 10, 5.0, change=lambda update: replace(update, round=4))
    result = run(tmp_path, Adder("a", 30, 1.0), liar, late)
    assert result.history[0].weights == {"a": 1.0}
    assert "trained another site" in result.history[0].refused["b"]
    assert "another round than 0" in result.history[0].refused["c"]


class SilentGrid(InProcessGrid):
    """A grid that loses what is sent to some nodes, from a certain message on."""

    lost: frozenset[int] = frozenset()
    undelivered: frozenset[int] = frozenset()

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        (message,) = messages
        if message.metadata.message_type == "train.round" and message.metadata.dst_node_id in self.undelivered:
            return []
        return super().push_messages([message])

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        lost = [reply for reply in replies if reply.metadata.message_type == "train.round"]
        return [reply for reply in replies if reply not in lost or reply.metadata.src_node_id not in self.lost]


def silent(sites: list[Adder], **attributes: frozenset[int]) -> SilentGrid:
    grid = in_process_grid(sites)
    grid.__class__ = SilentGrid
    for name, value in attributes.items():
        setattr(grid, name, value)
    return grid  # type: ignore[return-value]


def test_a_site_that_does_not_answer_is_left_out_when_the_time_is_up(tmp_path: Path) -> None:
    # Nodes are numbered from 2 in the order of site names: 3 is b.
    grid = silent([Adder("a", 30, 1.0), Adder("b", 10, 5.0)], lost=frozenset({3}))
    plan = plan_for("a", "b", rounds=2, timeouts=Timeouts(nodes_s=0.0, register_s=5.0, round_s=0.3))
    result = run_federation(grid, plan, initial_state(), tmp_path)
    assert [record.weights for record in result.history] == [{"a": 1.0}] * 2
    assert result.history[0].refused == {"b": "no reply within 0.3 s"}
    assert [site.outcome for site in result.history[0].sites] == ["averaged", "absent"]
    assert all(0.3 <= record.seconds < 2.0 for record in result.history)


def test_a_message_that_cannot_be_delivered(tmp_path: Path) -> None:
    grid = silent([Adder("a", 30, 1.0), Adder("b", 10, 5.0)], undelivered=frozenset({2}))
    result = run_federation(grid, plan_for("a", "b"), initial_state(), tmp_path)
    assert "could not be delivered" in result.history[0].refused["a"]


def test_two_sites_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two sites are called 'a'"):
        run(tmp_path, Adder("a", 1, 1.0), Adder("a", 2, 1.0))
    grid = in_process_grid([Adder("a", 1, 1.0), Adder("a", 2, 1.0)])
    with pytest.raises(ConfigError, match="two nodes registered as site 'a'"):
        run_federation(grid, plan_for("a", "b"), initial_state(), tmp_path)


def test_registration_problems_are_all_named_before_training_begins(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Empty(Adder):
        def register(self) -> SiteRegistration:
            return SiteRegistration(self.site, 0, 0, BASE)

    @dataclass(frozen=True)
    class Broken(Adder):
        def register(self) -> SiteRegistration:
            raise OSError(SECRET)

    sites = [Empty("a", 1, 1.0), Adder("b", 1, 1.0, base="e" * 64), Broken("c", 1, 1.0), Adder("d", 1, 1.0)]
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, *sites)
    text = str(caught.value)
    assert text.startswith("1 of the 4 sites needed have registered.")
    assert "a: TrainingError: site 'a' has 0 training examples" in text
    assert "b: it holds another base model (eeeeeeeeeeee…)" in text
    assert "c: OSError" in text
    assert "Smith" not in text
    # Fewer will do when the plan says so, and the record says who is missing.
    result = run(tmp_path, *sites, min_sites=1)
    assert sorted(result.left_out) == ["a", "b", "c"]
    assert [site.site for site in result.history[0].sites] == ["d"]


def test_a_stranger_takes_no_part(tmp_path: Path) -> None:
    grid = in_process_grid([Adder("a", 1, 1.0), Adder("x", 9, 9.0)])
    result = run_federation(grid, plan_for("a"), initial_state(), tmp_path)
    assert result.left_out == {"x": "it is not a site of this federation (a)"}
    assert result.history[0].weights == {"a": 1.0}


def test_no_site_connects(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no site connected within 0 s"):
        run_federation(in_process_grid([]), plan_for("a"), initial_state(), tmp_path)


class Interrupted(Exception):
    """Stands for a crash after a round's checkpoint."""


@pytest.mark.parametrize("wire", PRECISIONS)
def test_resume_ends_with_the_same_bits(tmp_path: Path, wire: str) -> None:
    def sites(folder: Path) -> list[NumpySite]:
        return [NumpySite("alpha", 30, folder), NumpySite("be", 11, folder)]

    plan = plan_for("alpha", "be", rounds=4, wire=wire)
    whole = run_federation(in_process_grid(sites(tmp_path / "1")), plan, initial_state(), tmp_path / "1")
    seen: list[int] = []

    def stop_after_two(record: RoundRecord, state: AdapterState) -> None:
        seen.append(record.round)
        if record.round == 1:
            raise Interrupted

    folder = tmp_path / "2"
    with pytest.raises(Interrupted):
        run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder, on_round=stop_after_two)
    assert len(read_result(folder).history) == 2
    with pytest.raises(ConfigError, match=r"a federation has begun here\. Resume it"):
        run_federation(in_process_grid(sites(folder)), plan, initial_state(), folder)
    resumed = run_federation(
        in_process_grid(sites(folder)),
        plan,
        initial_state(),
        folder,
        resume=True,
        on_round=lambda record, state: seen.append(record.round),
    )
    assert seen == [0, 1, 2, 3]
    assert resumed.state.digest == whole.state.digest
    assert [record.digest for record in resumed.history] == [record.digest for record in whole.history]
    # Once it is complete, resuming asks no site.
    again = run_federation(in_process_grid([]), plan, initial_state(), folder, resume=True)
    assert again == resumed


def test_resume_refuses_other_settings_and_other_data(tmp_path: Path) -> None:
    def stop(record: RoundRecord, state: AdapterState) -> None:
        raise Interrupted

    plan, sites = plan_for("a", "b", rounds=2), [Adder("a", 30, 1.0), Adder("b", 10, 5.0)]
    with pytest.raises(Interrupted):
        run_federation(in_process_grid(sites), plan, initial_state(), tmp_path, on_round=stop)
    changed = replace(plan, rounds=3, settings={"lr": 0.02}, timeouts=Timeouts(0.0, 1.0, 1.0))
    with pytest.raises(
        ConfigError, match=r"other settings: rounds was 2, is 3; settings.lr was 0.01, is 0.02\. Go back"
    ):
        run_federation(in_process_grid(sites), changed, initial_state(), tmp_path, resume=True)
    with pytest.raises(ConfigError, match='wire was "float32", is "int8"'):
        run_federation(in_process_grid(sites), replace(plan, wire="int8"), initial_state(), tmp_path, resume=True)
    other = AdapterState({A: np.zeros((2, 3), np.float32), B: np.zeros((3, 2), np.float32)}, SPEC)
    with pytest.raises(ConfigError, match="another initial adapter"):
        run_federation(in_process_grid(sites), plan, other, tmp_path, resume=True)
    grid = in_process_grid([sites[0], Adder("b", 11, 5.0)])
    with pytest.raises(ConfigError, match="site 'b' now registers 1 examples with 11 target tokens"):
        run_federation(grid, plan, initial_state(), tmp_path, resume=True)
    # Other waiting times do not change the result.
    patient = replace(plan, timeouts=Timeouts(0.0, 1.0, 1.0))
    assert run_federation(in_process_grid(sites), patient, initial_state(), tmp_path, resume=True).history[1].round == 1


def test_resume_with_a_site_missing(tmp_path: Path) -> None:
    def stop(record: RoundRecord, state: AdapterState) -> None:
        raise Interrupted

    plan = plan_for("a", "b", "c", rounds=2, min_sites=2)
    first = in_process_grid([Adder("a", 30, 1.0), Adder("b", 10, 5.0)])
    with pytest.raises(Interrupted):
        run_federation(first, plan, initial_state(), tmp_path, on_round=stop)
    second = in_process_grid([Adder("b", 10, 5.0), Adder("c", 10, 5.0)])
    result = run_federation(second, plan, initial_state(), tmp_path, resume=True)
    # c was not there when the weights were fixed; a is not here now.
    assert result.history[1].weights == {"b": 1.0}
    assert result.history[1].refused == {"a": "it did not register"}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("checkpoint.json", "{", "checkpoint.json cannot be read: text: Invalid JSON"),
        ("checkpoint.json", "{}", "checkpoint.json cannot be read: format: Field required"),
        ("global-0001.safetensors", "cut", "the checkpoint's adapter cannot be read"),
    ],
)
def test_a_damaged_checkpoint(tmp_path: Path, name: str, text: str, reason: str) -> None:
    run(tmp_path, Adder("a", 1, 1.0))
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_result(tmp_path)


def test_an_exchanged_adapter_is_noticed(tmp_path: Path) -> None:
    run(tmp_path, Adder("a", 1, 1.0))
    (tmp_path / "global-0001.safetensors").write_bytes((tmp_path / "global-0000.safetensors").read_bytes())
    with pytest.raises(ConfigError, match=r"it is not the adapter that checkpoint\.json names"):
        read_result(tmp_path)


def test_sites_get_the_plan_as_it_was_written(tmp_path: Path) -> None:
    seen: list[RoundPlan] = []

    @dataclass(frozen=True)
    class Listener(Adder):
        def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
            seen.append(plan)
            return super().run_round(state, plan)

    settings = {"lr": 0.1, "epochs": 2, "objective": "choice", "bf16": False, "limit": None}
    run(tmp_path, Listener("a", 1, 1.0), rounds=2, seed=2**62, settings=settings)
    federation = federation_in(tmp_path)
    assert seen == [RoundPlan(number, 2, 2**62, settings, federation) for number in range(2)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sites": ()}, "at least one site"),
        ({"rounds": 0}, "rounds = 0: expected at least 1"),
        ({"seed": -1}, "seed = -1"),
        ({"min_sites": 3}, "min_sites = 3: expected 1 to 2"),
        ({"settings": {"lr": float("nan")}}, "setting 'lr' is nan"),
        ({"wire": "bfloat"}, "wire = 'bfloat': unknown precision; did you mean 'bfloat16'"),
    ],
)
def test_a_plan_that_makes_no_sense(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(FedMedLoRAError, match=reason):
        plan_for("a", "b", **changes)


@pytest.mark.parametrize("rule", [find_rule("fedmedlora"), find_rule("fedmedlora-plus", alpha=0.5, tau=0.1)])
def test_a_plan_survives_json(rule: object) -> None:
    timeouts, options = Timeouts(1.0, None, 3.0), {"lr": 0.1, "x": None}
    plan = plan_for("a", "b", min_sites=1, timeouts=timeouts, settings=options, wire="int8")
    plan = replace(plan, rule=rule)  # type: ignore[arg-type]
    assert FederationPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plan_from_json_names_what_is_wrong() -> None:
    value = plan_for("a").to_json()
    with pytest.raises(ConfigError, match=r"rounds: Input should be a valid integer"):
        FederationPlan.from_json({**value, "rounds": "3"})
    with pytest.raises(ConfigError, match=r"wire: Input should be 'float32', 'bfloat16' or 'int8'"):
        FederationPlan.from_json({**value, "wire": "int4"})
    with pytest.raises(ConfigError, match="did you mean 'fedmedlora'"):
        FederationPlan.from_json({**value, "rule": {"name": "fedmedlra"}})
    with pytest.raises(ConfigError, match="has no alpha or tau to set"):
        FederationPlan.from_json({**value, "rule": {"name": "fedmedlora", "alpha": 0.3}})
