"""Run a study: every cell trained as a federation, tested on every site, recorded; resumed where it was killed.

A run directory holds `study.toml` (resolved), `run.json`, `records.jsonl`, `rounds.jsonl`, `adapters/`,
`predictions/` and `state/` (checkpoints). What a line of the records says has been done is never done again; everything
else is derived anew from checkpoints and seeds, so a resumed run ends with the same adapters, bit for bit.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState, from_bytes
from fedmedlora.config.models import SettingName, StudyConfig
from fedmedlora.config.study_file import study_toml
from fedmedlora.corpus.document import Json
from fedmedlora.errors import ConfigError, EnvironmentProblem, TrainingError
from fedmedlora.federation.checkpoint import adapter_file, federation_in, has_checkpoint, read_checkpoint
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.history import FederationResult, RoundRecord
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.markup.encode import Encoder
from fedmedlora.record import append_json_line, read_json_lines, sweep_unfinished, write_atomic
from fedmedlora.studies.api import ask_model, check_api
from fedmedlora.studies.cards import write_cards
from fedmedlora.studies.cells import (
    Cell,
    cell_rule,
    cell_server,
    cell_wire,
    federated_rule,
    few_notes_settings,
    study_cells,
)
from fedmedlora.studies.evaluate import Answering, evaluate
from fedmedlora.studies.examples import keep_examples
from fedmedlora.studies.families import Families
from fedmedlora.studies.judges import check_judge, make_judge
from fedmedlora.studies.resident import Resident, describe_run, load_resident
from fedmedlora.studies.steps import Steps
from fedmedlora.studies.variants import LowResource
from fedmedlora.studies.watch import Silent, Watcher
from fedmedlora.training.contract import SiteTrainer
from fedmedlora.training.site import LessonTrainer, own_tensors, settings_to_scalars

_OF_NO_CONSEQUENCE = frozenset(
    {"timeout_s", "attempts", "concurrency", "price_in", "price_out", "key_variable", "allow_credentialed"}
)

STUDY_FILE, RUN_FILE, RECORDS_FILE, ROUNDS_FILE = "study.toml", "run.json", "records.jsonl", "rounds.jsonl"


@dataclass(frozen=True)
class StudyRun:
    """One run in progress: what is resident, where it writes, who watches."""

    resident: Resident
    families: Families
    out: Path
    watcher: Watcher

    @property
    def config(self) -> StudyConfig:
        """The study's configuration."""
        return self.resident.config


def run_study(
    config: StudyConfig, out: Path, *, resume: bool = False, command: str = "", watcher: Watcher | None = None
) -> Path:
    """Run every cell of a study into the folder `out`; returns it.

    command: how the run was started, for the record. Raises ConfigError when `out` holds a run and `resume` is False,
    or holds another study; otherwise what `load_resident` and `run_federation` raise. A study that ended is left as it
    is. A model whose training fails does not stop the others: TrainingError names it when all are done.
    """
    watcher = watcher or Silent()
    _check_folder(config, out, resume)
    cells = study_cells(config)
    for cell in cells:
        cell_rule(cell, config.plus)
    watcher.note(f"reading {len(config.sites)} sites and the base model '{config.base}'")
    resident = load_resident(config)
    check_api(resident)
    families = Families(resident)
    cells = resident.cells
    for line in resident.remarks:
        watcher.note(line)
    for cell in cells:
        family = families.of(cell)
        if cell_rule(cell, config.plus).needs_losses:
            check_judge(resident, family, cell.sites)
    out.mkdir(parents=True, exist_ok=True)
    sweep_unfinished(out)
    write_atomic(out / STUDY_FILE, study_toml(config, out))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    _describe(out, {**describe_run(resident, command, started), **families.describe()}, watcher)
    keep_examples(resident, out)
    run = StudyRun(resident, families, out, watcher)
    failed = []
    for number, cell in enumerate(cells, start=1):
        name = f"{cell.arm}, seed {cell.seed}, trained on {cell.trained_on}"
        watcher.note(f"[{number}/{len(cells)}] {name}")
        try:
            _run_cell(run, cell)
        except (TrainingError, EnvironmentProblem) as error:
            if isinstance(error, EnvironmentProblem) and cell.arm != "api":
                raise
            watcher.note(f"failed: {error}")
            failed.append(f"{name}: {error}")
    write_cards(config, out)
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(cells)} models could not be trained, or asked; the others are recorded. "
            f"{' '.join(failed)} With --resume these are tried again; other settings need another --out."
        )
    return out


def _check_folder(config: StudyConfig, out: Path, resume: bool) -> None:
    if not (out / STUDY_FILE).exists():
        return
    if not resume:
        raise ConfigError(
            f"{out}: this folder already holds a run. Add --resume to go on with it, or choose another --out."
        )
    then = tomllib.loads((out / STUDY_FILE).read_text(encoding="utf-8"))
    if _deciding(then) != _deciding(tomllib.loads(study_toml(config, out))):
        raise ConfigError(
            f"{out}: the run in this folder was started with another configuration (its {STUDY_FILE} differs). "
            "Resume with the same study file, flags and version of fedmedlora, or choose another --out, or remove "
            "the folder."
        )


def _deciding(study: dict[str, Any]) -> dict[str, Any]:
    """What decides a study's results: not how a server is asked, how fast and at what price, and not the report."""
    asked = {key: value for key, value in study.get("api", {}).items() if key not in _OF_NO_CONSEQUENCE}
    return {**study, "api": asked, "report": {}}


def _describe(out: Path, now: dict[str, Json], watcher: Watcher) -> None:
    """Write `run.json`, or hold this run against it: one table never mixes notes, bases or threads."""
    path = out / RUN_FILE
    if not path.exists():
        write_atomic(path, json.dumps(now, indent=1, sort_keys=True) + "\n")
        return
    then: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    deciding = ("base", "adapter", "encoder", "sites", "derived", "machine")
    changed = [key for key in deciding if then.get(key) != now.get(key)]
    if changed:
        raise ConfigError(
            f"{out}: this run was started with another {', another '.join(changed)} (see its {RUN_FILE}). Notes, base, "
            "threads and machine must be as they were to resume; choose another --out to start anew."
        )
    if then.get("versions") != now["versions"]:
        watcher.note(f"library versions differ from those in {RUN_FILE}: results may differ in the last bits")


def _run_cell(run: StudyRun, cell: Cell) -> None:
    """Train a cell unless its adapter is already recorded, then test it on the sites that have no record yet."""
    records = list(read_json_lines(run.out / RECORDS_FILE))
    arm = next((line for line in records if line["kind"] == "arm" and _key(line) == cell.key), None)
    tested = {line["test_site"] for line in records if line["kind"] == "score" and _key(line) == cell.key}
    to_test = cell.tests(run.config)
    if arm is not None and tested >= to_test.keys():
        return
    family = run.families.of(cell)
    if cell.arm == "api":
        with ask_model(run.resident, run.out) as answers:
            for site, setting in to_test.items():
                if site not in tested:
                    _test(run, cell, family.questions, answers, None, site, setting)
        append_json_line(run.out / RECORDS_FILE, _arm_line(run, cell, None, None))
        return
    if cell.members:
        result = _train(run, cell)
        state = result.state
        _record_rounds(run, cell, result)
    else:
        result, state = None, _initial(run, cell)
    states = _final_states(run, cell, state)
    for site, setting in to_test.items():
        if site not in tested:
            family.learner.write(states[site])
            _test(run, cell, family.questions, family.answers, states[site].digest, site, setting)
    if arm is None:
        append_json_line(run.out / RECORDS_FILE, _arm_line(run, cell, state.digest, result))


def _final_states(run: StudyRun, cell: Cell, state: AdapterState) -> dict[str, AdapterState]:
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


def _at_site(run: StudyRun, cell: Cell, round_number: int, state: AdapterState, site: str) -> AdapterState:
    """What a site has after a round: the global adapter, and in place of what never travelled its own tensors."""
    if not cell.personal:
        return state
    folder = run.out / "state" / cell.folder
    own = own_tensors(folder, site, round_number, federation_in(folder))
    # A site that never finished a round has trained nothing of its own: it is left with what it began with.
    return AdapterState({**run.families.of(cell).learner.fresh(cell.seed).arrays, **state.arrays, **own}, state.spec)


def _train(run: StudyRun, cell: Cell) -> FederationResult:
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


def _initial(run: StudyRun, cell: Cell) -> AdapterState:
    """What a cell begins with: the final state of another, or a fresh one."""
    family = run.families.of(cell)
    if cell.start is None:
        return family.learner.fresh(cell.seed)
    folder = run.out / "adapters" / cell.start.folder
    if not folder.is_dir():
        raise TrainingError(f"the model that it begins with, {cell.start.arm}, seed {cell.seed}, was not trained.")
    return family.load(folder)


def _finish_round(run: StudyRun, cell: Cell, rounds: int, record: RoundRecord, state: AdapterState) -> None:
    losses = ", ".join(f"{site.site} {site.loss:.4f}" for site in record.sites if site.loss is not None)
    run.watcher.note(
        f"round {record.round + 1}/{rounds}: {record.seconds:.0f} s, training loss {losses}"
        + (f", {(record.bytes_sent + record.bytes_received) / 1e6:.1f} MB exchanged" if cell.federated else "")
    )
    for site, reason in record.refused.items():
        run.watcher.note(f"round {record.round + 1}: site '{site}' was left out: {reason}")
    if _scores_dev(run, cell):
        _dev_scores(run, cell, record.round, state)


def _scores_dev(run: StudyRun, cell: Cell) -> bool:
    return run.config.evaluation.evaluate_dev_each_round and bool(cell.dev_sites(run.config))


def _dev_scores(run: StudyRun, cell: Cell, round_number: int, state: AdapterState | None = None) -> Json:
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
    run: StudyRun,
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
    append_json_line(run.out / RECORDS_FILE, line)


def _record_rounds(run: StudyRun, cell: Cell, result: FederationResult) -> None:
    """Append the cell's rounds that are not recorded yet, dev scores beside them."""
    known = {(*_key(line), line["round"]) for line in read_json_lines(run.out / ROUNDS_FILE)}
    for record in result.history:
        if (*cell.key, record.round) in known:
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
        append_json_line(run.out / ROUNDS_FILE, line)


def _arm_line(run: StudyRun, cell: Cell, digest: str | None, result: FederationResult | None) -> dict[str, object]:
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


def _key(line: Mapping[str, object]) -> tuple[object, object, object]:
    return (line["arm"], line["seed"], line["trained_on"])
