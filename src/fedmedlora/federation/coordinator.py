"""The coordinator's rounds: adapters out, updates in, one average, one checkpoint; the same on every engine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from flwr.serverapp import Grid

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rounds import RoundAggregate, RoundAggregation
from fedmedlora.aggregation.server import server_step
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import (
    AdapterError,
    ConfigError,
    EnvironmentProblem,
    FedMedLoRAError,
    RefusedUpdateError,
    TrainingError,
)
from fedmedlora.federation import wire
from fedmedlora.federation.checkpoint import (
    Checkpoint,
    check_same_federation,
    federation_digest,
    has_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from fedmedlora.federation.codec import Precision
from fedmedlora.federation.enrolment import Enrolment, check_same_sites, enrol_sites
from fedmedlora.federation.exchange import Reply, exchange
from fedmedlora.federation.history import FederationResult, Outcome, RoundRecord, SiteRound
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate, Validator

_log = logging.getLogger(__name__)

OnRound: TypeAlias = Callable[[RoundRecord, AdapterState], None]


def run_federation(
    grid: Grid,
    plan: FederationPlan,
    initial: AdapterState,
    folder: Path,
    *,
    validator: Validator | None = None,
    resume: bool = False,
    on_round: OnRound | None = None,
) -> FederationResult:
    """Run all rounds of `plan` from the adapter `initial`, keeping the checkpoint in `folder`.

    With `resume`, go on after the last complete round found there, if any; the final adapter is the same, bit for
    bit, as without the interruption. `validator` scores each site's adapter, for a rule that weights by loss.
    `on_round` gets each new round's record and global adapter after its checkpoint is on disk; a crash in between loses
    that call, so what must be complete is written from the result's history.

    A site that fails, is late or sends what may not be averaged is left out of its round, with the reason in the
    record. Raises ConfigError when the plan, the folder or the sites do not fit; TrainingError when a round has no
    update to average; EnvironmentProblem when no site connects, or `folder` has no room.
    """
    if plan.rule.needs_losses and validator is None:
        raise ConfigError(f"rule '{plan.rule.name}' weights by validation loss: give the coordinator a validation set.")
    checkpoint = _find_checkpoint(folder, plan, initial, resume)
    if checkpoint is None or checkpoint.next_round < plan.rounds:
        enrolment = enrol_sites(grid, plan, initial.spec.base_digest)
        if checkpoint is None:
            checkpoint = Checkpoint(initial, initial.digest, (), enrolment.registrations, enrolment.left_out)
            write_checkpoint(folder, plan, checkpoint)
        else:
            enrolment = check_same_sites(checkpoint.registrations, enrolment)
        while checkpoint.next_round < plan.rounds:
            checkpoint = _advance(grid, plan, enrolment, checkpoint, validator, folder)
            write_checkpoint(folder, plan, checkpoint)
            if on_round is not None:
                on_round(checkpoint.history[-1], checkpoint.state)
    return _result(checkpoint)


def read_result(folder: Path) -> FederationResult:
    """The result of a federation whose checkpoint is in `folder`, as far as it has come. Raises ConfigError."""
    return _result(read_checkpoint(folder)[0])


def _result(checkpoint: Checkpoint) -> FederationResult:
    return FederationResult(checkpoint.state, checkpoint.history, checkpoint.registrations, checkpoint.left_out)


def _find_checkpoint(folder: Path, plan: FederationPlan, initial: AdapterState, resume: bool) -> Checkpoint | None:
    if not has_checkpoint(folder):
        return None
    if not resume:
        raise ConfigError(f"{folder}: a federation has begun here. Resume it, or give another folder.")
    checkpoint, began_with = read_checkpoint(folder)
    check_same_federation(folder, plan, began_with)
    if checkpoint.initial_digest != initial.digest:
        raise ConfigError(
            f"{folder}: this federation began with another initial adapter. Start anew in another folder."
        )
    return checkpoint


@dataclass
class _Judge:
    """The validator as an aggregation calls it; sums up its wall-clock seconds."""

    validator: Validator
    seconds: float = 0.0

    def __call__(self, site: str, update: AdapterState) -> Verdict:
        began = time.monotonic()
        try:
            return self.validator(update)
        finally:
            self.seconds += time.monotonic() - began


@dataclass(frozen=True)
class _Answer:
    """What a site's reply came to. The adapter is not kept: it is in the average or waiting for its turn there."""

    outcome: Outcome
    reason: str | None
    bytes_sent: int
    bytes_received: int
    update: SiteUpdate | None = None
    digest: str | None = None


def _advance(
    grid: Grid,
    plan: FederationPlan,
    enrolment: Enrolment,
    checkpoint: Checkpoint,
    validator: Validator | None,
    folder: Path,
) -> Checkpoint:
    """Run the next round; the checkpoint after it. In `folder` updates wait for their turn, so that memory does not."""
    began = time.monotonic()
    federation = federation_digest(plan.identity(), checkpoint.initial_digest)
    task = RoundPlan(checkpoint.next_round, plan.rounds, plan.seed, plan.settings, federation)
    outgoing = checkpoint.state.select(plan.rule.travels)
    tokens = {registration.site: registration.target_tokens for registration in checkpoint.registrations}
    judge = None if validator is None else _Judge(validator)
    aggregation = RoundAggregation(plan.rule, outgoing, tokens, judge, shelf=folder, residual=checkpoint.memory)
    answers: dict[str, _Answer] = {}
    here = {registration.site for registration in enrolment.nodes.values()}
    for site in sorted(tokens.keys() - here):
        reason = enrolment.left_out.get(site, "it is not connected")
        aggregation.leave_out(site, reason)
        answers[site] = _Answer("absent", reason, 0, 0)
    content = wire.pack_round(wire.RoundRequest(outgoing, task, plan.wire))
    replies = exchange(grid, list(enrolment.nodes), content, wire.ROUND, f"{task.round + 1}", plan.timeouts.round_s)
    for reply in replies:
        site = enrolment.nodes[reply.node_id].site
        answers[site] = _take_in(reply, site, task.round, outgoing, aggregation, plan.wire)
        # Its update is in the average, and must not be held while the next site trains.
        del reply
    try:
        aggregate = aggregation.result()
        step = server_step(plan.server, outgoing, aggregate.state, checkpoint.memory)
    except AdapterError as error:
        raise TrainingError(f"round {task.round + 1} of {task.rounds}: {error} Mend the sites, then resume.") from error
    # A plan has one of the two, or none.
    memory = step.memory if aggregate.residual is None else aggregate.residual
    # Tensors that do not travel under the rule stay as they were.
    state = AdapterState({**checkpoint.state.arrays, **step.state.arrays}, checkpoint.state.spec)
    sites = tuple(_site_round(known, answers[known.site], aggregate) for known in checkpoint.registrations)
    judging = judge.seconds if judge is not None else 0.0
    record = RoundRecord(task.round, sites, checkpoint.state.digest, state.digest, time.monotonic() - began, judging)
    _report(task, record)
    return replace(checkpoint, state=state, history=(*checkpoint.history, record), memory=memory)


def _take_in(
    reply: Reply, site: str, round: int, outgoing: AdapterState, aggregation: RoundAggregation, precision: Precision
) -> _Answer:
    """Offer one reply's update to the average, or leave the site out. Raises EnvironmentProblem, which is no site's."""
    sizes = (reply.bytes_sent, reply.bytes_received)
    if reply.content is None:
        reason = reply.problem or "no reply"
        aggregation.leave_out(site, reason)
        return _Answer("failed" if reply.bytes_received else "absent", reason, *sizes)
    failure = wire.unpack_failure(reply.content)
    if failure is not None:
        aggregation.leave_out(site, str(failure))
        return _Answer("failed", str(failure), *sizes)
    try:
        update = wire.unpack_update(reply.content, site, round, outgoing, precision)
        averaged = aggregation.offer(site, update.state)
    except EnvironmentProblem:
        raise
    except FedMedLoRAError as error:
        aggregation.leave_out(site, _reason(error))
        return _Answer("refused", _reason(error), *sizes)
    kept = replace(update, state=outgoing)
    return _Answer("averaged" if averaged else "refused", None, *sizes, update=kept, digest=update.state.digest)


def _reason(error: FedMedLoRAError) -> str:
    if isinstance(error, RefusedUpdateError):
        return error.reason if error.tensor is None else f"tensor '{error.tensor}': {error.reason}"
    return str(error)


def _site_round(known: SiteRegistration, answer: _Answer, aggregate: RoundAggregate) -> SiteRound:
    update, verdict = answer.update, aggregate.verdicts.get(known.site)
    return SiteRound(
        site=known.site,
        outcome=answer.outcome,
        # A refusal by the rule itself is known to the aggregation alone.
        reason=None if answer.outcome == "averaged" else answer.reason or aggregate.refused.get(known.site),
        weight=aggregate.weights.get(known.site, 0.0),
        loss=update.loss if update else None,
        validation_loss=None if verdict is None else verdict.loss,
        target_tokens=known.target_tokens,
        trained_tokens=update.target_tokens if update else 0,
        examples=update.examples if update else 0,
        steps=update.steps if update else 0,
        seconds=update.seconds if update else 0.0,
        bytes_sent=answer.bytes_sent,
        bytes_received=answer.bytes_received,
        digest=answer.digest,
        costs=() if verdict is None else verdict.weighed,
    )


def _report(task: RoundPlan, record: RoundRecord) -> None:
    weights = ", ".join(f"{site} {weight:.3f}" for site, weight in record.weights.items())
    _log.info("round %d of %d in %.1f s; weights: %s", task.round + 1, task.rounds, record.seconds, weights)
    for site, reason in record.refused.items():
        _log.warning("round %d of %d: site '%s' left out: %s", task.round + 1, task.rounds, site, reason)
