"""Run one cell of a study: train it as a federation, score each round on dev, test it on its sites, write its lines.

Nothing is done twice: a checkpoint is gone on from, dev scores are read from their file, sites with a record stay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState, from_bytes
from fedmedlora.config.models import SettingName, StudyConfig
from fedmedlora.corpus.document import Json
from fedmedlora.errors import TrainingError
from fedmedlora.federation.checkpoint import adapter_file, federation_in, has_checkpoint, read_checkpoint
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.history import FederationResult, RoundRecord
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.markup.encode import Encoder
from fedmedlora.record import write_atomic
from fedmedlora.studies.api import ask_model, describe_spent
from fedmedlora.studies.cells import Cell, cell_server, cell_wire, federated_rule, few_notes_settings
from fedmedlora.studies.evaluate import Answering, evaluate
from fedmedlora.studies.families import Families
from fedmedlora.studies.judges import make_judge
from fedmedlora.studies.ledger import Lines, Task
from fedmedlora.studies.peak import mark_peak, peak_bytes
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.steps import Steps
from fedmedlora.studies.variants import LowResource
from fedmedlora.studies.watch import Watcher
from fedmedlora.training.contract import SiteTrainer
from fedmedlora.training.site import LessonTrainer, own_tensors, settings_to_scalars


@dataclass(frozen=True)
class CellRun:
    """One cell's run in progress: what is resident, where files go and where lines, who watches."""

    resident: Resident
    families: Families
    out: Path
    lines: Lines
    watcher: Watcher

    @property
    def config(self) -> StudyConfig:
        """The study's configuration."""
        return self.resident.config


def run_cell(run: CellRun, task: Task) -> None:
    """Train a cell unless its adapter is already recorded, then test it on the sites that have no record yet."""
    cell, tested = task.cell, task.tested
    to_test = cell.tests(run.config)
    known = mark_peak()
    family = run.families.of(cell)
    if cell.arm == "api":
        with ask_model(run.resident, run.out) as answers:
            for site, setting in to_test.items():
                if site not in tested:
                    _test(run, cell, family.questions, answers, None, site, setting)
        line = {**_arm_line(run, cell, None, None), "api": describe_spent(run.resident, run.out)}
        run.lines.record({**line, "peak_memory_bytes": peak_bytes() if known else None})
        return
    if cell.members:
        result = _train(run, cell)
        state = result.state
        _record_rounds(run, cell, result, task.rounds)
    else:
        result, state = None, _initial(run, cell)
    states = _final_states(run, cell, state)
    for site, setting in to_test.items():
        if site not in tested:
            family.learner.write(states[site])
            _test(run, cell, family.questions, family.answers, states[site].digest, site, setting)
    if not task.recorded:
        line = _arm_line(run, cell, state.digest, result)
        run.lines.record({**line, "peak_memory_bytes": peak_bytes() if known else None})


def _final_states(run: CellRun, cell: Cell, state: AdapterState) -> dict[str, AdapterState]:
    """The model that each site ends with, saved: one for all, or one a site where part of it never travelled."""
    folder, family = run.out / "adapters" / cell.folder, run.families.of(cell)
    if not cell.personal:
        if not cell.untrained_start:
            family.save(state, folder)
        return dict.fromkeys(run.resident.sites, state)
    states = {site: _at_site(run, cell, run.config.rounds - 1, state, site) for site in run.config.members}
    for site, own in states.items():
        family.save(own, folder / site)
    return states


def _at_site(run: CellRun, cell: Cell, round_number: int, state: AdapterState, site: str) -> AdapterState:
    """What a site has after a round: the global adapter, and in place of what never travelled its own tensors."""
    if not cell.personal:
        return state
    folder = run.out / "state" / cell.folder
    own = own_tensors(folder, site, round_number, federation_in(folder))
    # A site that never finished a round has trained nothing of its own: it is left with what it began with.
    return AdapterState({**run.families.of(cell).learner.fresh(cell.seed).arrays, **state.arrays, **own}, state.spec)


def _train(run: CellRun, cell: Cell) -> FederationResult:
    family, config = run.families.of(cell), run.config
    settings, rounds = family.settings(cell), config.rounds
    lessons = {name: family.lesson(sources) for name, sources in cell.members}
    if isinstance(cell.variant, LowResource):
        settings, rounds = few_notes_settings(settings, config, sum(map(len, lessons.values()))), 1
    folder = run.out / "state" / cell.folder
    trainers: list[SiteTrainer] = [
        LessonTrainer(name, lesson, folder, Steps(run.watcher, name)) for name, lesson in lessons.items()
    ]
    if has_checkpoint(folder) and _scores_dev(run, cell):
        # What a site does not send it keeps for two rounds: what a kill left unscored is scored before the next.
        for record in read_checkpoint(folder)[0].history:
            _dev_scores(run, cell, record.round)
    rule = federated_rule(cell, config)
    plan = FederationPlan(
        tuple(name for name, _ in cell.members),
        rule,
        rounds,
        cell.seed,
        settings_to_scalars(settings),
        wire=cell_wire(cell, config.federation),
        server=cell_server(cell, config.federation),
    )
    return run_federation(
        in_process_grid(trainers),
        plan,
        _initial(run, cell),
        folder,
        validator=make_judge(run.resident, family, cell.sites, settings) if rule.needs_losses else None,
        resume=has_checkpoint(folder),
        on_round=lambda record, state: _finish_round(run, cell, rounds, record, state),
    )


def _initial(run: CellRun, cell: Cell) -> AdapterState:
    """What a cell begins with: the final state of another, or a fresh one."""
    family = run.families.of(cell)
    if cell.start is None:
        return family.learner.fresh(cell.seed)
    folder = run.out / "adapters" / cell.start.folder
    if not folder.is_dir():
        raise TrainingError(f"the model that it begins with, {cell.start.arm}, seed {cell.seed}, was not trained.")
    return family.load(folder)


def _finish_round(run: CellRun, cell: Cell, rounds: int, record: RoundRecord, state: AdapterState) -> None:
    losses = ", ".join(f"{site.site} {site.loss:.4f}" for site in record.sites if site.loss is not None)
    run.watcher.note(
        f"round {record.round + 1}/{rounds}: {record.seconds:.0f} s, training loss {losses}"
        + (f", {(record.bytes_sent + record.bytes_received) / 1e6:.1f} MB exchanged" if cell.federated else "")
    )
    for site, reason in record.refused.items():
        run.watcher.note(f"round {record.round + 1}: site '{site}' was left out: {reason}")
    if _scores_dev(run, cell):
        _dev_scores(run, cell, record.round, state)


def _scores_dev(run: CellRun, cell: Cell) -> bool:
    return run.config.evaluation.evaluate_dev_each_round and bool(cell.dev_sites(run.config))


def _dev_scores(run: CellRun, cell: Cell, round_number: int, state: AdapterState | None = None) -> Json:
    """F1 of a round's global adapter on every site's dev documents; computed once, then read from its file."""
    folder = run.out / "state" / cell.folder
    path = folder / f"dev-{round_number:04d}.json"
    if path.exists():
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        return found
    if state is None:
        state = from_bytes(adapter_file(folder, round_number + 1).read_bytes())
    scores: dict[str, object] = {}
    family = run.families.of(cell)
    for name in cell.dev_sites(run.config):
        documents = run.resident.documents(name, "dev")
        if documents:
            family.learner.write(_at_site(run, cell, round_number, state, name))
            run.watcher.begin(f"dev of {name}", 0)
            with autocast(run.config.training.bf16):
                done = evaluate(documents, family.questions, family.answers, run.config.tasks)
            scores[name] = done.f1()
    write_atomic(path, json.dumps(scores, sort_keys=True) + "\n")
    return json.loads(json.dumps(scores))  # type: ignore[no-any-return]


def _test(
    run: CellRun,
    cell: Cell,
    questions: Encoder,
    answers: Answering,
    digest: str | None,
    site: str,
    setting: SettingName,
) -> None:
    """Have one site's test documents answered, score and record them. digest: of the adapter that answers."""
    resident, evaluation = run.resident, run.config.evaluation
    documents = resident.documents(site, "test")
    run.watcher.begin(f"testing on {site}", 0)
    with autocast(run.config.training.bf16):
        done = evaluate(
            documents,
            questions,
            answers,
            run.config.tasks,
            predictions=run.out / "predictions" / cell.folder / site,
            on_answered=lambda count: run.watcher.advance(count),
        )
    line: dict[str, object] = {
        **_head("score", cell, setting),
        "test_site": site,
        "documents": done.documents,
        "scores": done.to_json(),
        "intervals": done.intervals(evaluation.bootstrap_resamples, cell.seed),
        "tallies": done.tallies(),
        "confidence": done.confidence(evaluation.bootstrap_resamples, cell.seed),
        "errors": done.errors,
        "decode": {"passes": done.passes, "tokens": done.tokens, "seconds": round(done.seconds, 3)},
        "dropped": done.dropped,
        "adapter_digest": digest,
    }
    run.lines.record(line)


def _record_rounds(run: CellRun, cell: Cell, result: FederationResult, known: frozenset[int]) -> None:
    """Append the cell's rounds that are not recorded yet, dev scores beside them."""
    for record in result.history:
        if record.round in known:
            continue
        dev = _dev_scores(run, cell, record.round) if _scores_dev(run, cell) else {}
        line = {
            "arm": cell.arm,
            "seed": cell.seed,
            "trained_on": cell.trained_on,
            "round": record.round,
            "seconds": round(record.seconds, 3),
            "validation_seconds": round(record.validation_seconds, 3),
            "adapter_digest": record.digest,
            "bytes_sent": record.bytes_sent if cell.federated else None,
            "bytes_received": record.bytes_received if cell.federated else None,
            "sites": {
                site.site: {
                    "loss": site.loss,
                    "validation_loss": site.validation_loss,
                    "costs": list(site.costs),
                    "weight": site.weight,
                    "target_tokens": site.trained_tokens,
                    "steps": site.steps,
                    "seconds": round(site.seconds, 3),
                    "refused": site.reason,
                }
                for site in record.sites
            },
            "dev": dev,
        }
        run.lines.round(line)


def _arm_line(run: CellRun, cell: Cell, digest: str | None, result: FederationResult | None) -> dict[str, object]:
    history = result.history if result is not None else ()
    sites = [site for record in history for site in record.sites]
    messages = 2 * sum(1 for site in sites if site.outcome != "absent")
    return {
        **_head("arm", cell, cell.setting),
        "seconds": round(sum(record.seconds for record in history), 3),
        "validation_seconds": round(sum(record.validation_seconds for record in history), 3),
        "target_tokens": sum(site.trained_tokens for site in sites),
        "steps": sum(site.steps for site in sites),
        "rounds": len(history),
        "bytes_sent": result.bytes_sent if result is not None and cell.federated else None,
        "bytes_received": result.bytes_received if result is not None and cell.federated else None,
        "full_model_bytes": messages * run.families.of(cell).base_bytes if cell.federated else None,
        "adapter_digest": digest,
    }


def _head(kind: str, cell: Cell, setting: SettingName) -> dict[str, object]:
    return {
        "kind": kind,
        "setting": setting,
        "variant": {} if cell.variant is None else cell.variant.to_json(),
        "arm": cell.arm,
        "seed": cell.seed,
        "trained_on": cell.trained_on,
    }
