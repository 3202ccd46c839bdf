"""A run directory: whether a study may go on in it, and what it says of the study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import study_toml
from fedmedlora.errors import ConfigError
from fedmedlora.federation.checkpoint import changes
from fedmedlora.record import sweep_unfinished, write_atomic
from fedmedlora.studies.ledger import Ledger, Task
from fedmedlora.studies.schedule import cell_name
from fedmedlora.studies.watch import Watcher

STUDY_FILE, RUN_FILE, CELL_FILE = "study.toml", "run.json", "cell.json"

_NAMED = 3
_ADVICE = "Choose another --out; with --reuse it takes from this folder whatever is the same."


def check_free(out: Path, resume: bool) -> None:
    """Raise ConfigError when a run is there and nobody said to go on with it."""
    if (out / STUDY_FILE).exists() and not resume:
        raise ConfigError(
            f"{out}: this folder already holds a run. Add --resume to go on with it, or choose another --out."
        )


def recorded_threads(out: Path) -> int | None:
    """The number of threads that the run in a folder began with; None when none has begun."""
    threads = read_description(out).get("machine", {}).get("threads")
    return threads if isinstance(threads, int) else None


def read_description(out: Path) -> dict[str, Any]:
    """`run.json`; empty when there is none."""
    path = out / RUN_FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def check_kept(out: Path, ledger: Ledger, tasks: Sequence[Task], now: Mapping[str, Any]) -> None:
    """Hold what is there against the study. now: the run as it would be described.

    Raises ConfigError when base, adapter or machine have changed (one table never mixes them), when a model or score
    that is recorded, or a model that was begun, is not what the study would give now, or when it is no part of it.
    """
    then = read_description(out)
    changed = [key for key in ("base", "adapter", "machine") if then and then.get(key) != now[key]]
    if changed:
        raise ConfigError(
            f"{out}: this run was started with another {', another '.join(changed)} (see its {RUN_FILE}). Base, "
            "threads and machine must be as they were to resume; choose another --out to start anew."
        )
    strangers = sorted(ledger.keys() - {task.cell.key for task in tasks})
    if strangers:
        raise ConfigError(
            f"{out}: the study no longer has {cell_name(strangers[0])}, which is recorded there. Put it back. {_ADVICE}"
        )
    for task in tasks:
        _check_task(out, ledger, task)


def _check_task(out: Path, ledger: Ledger, task: Task) -> None:
    key, identity = task.cell.key, task.identity
    line = ledger.arm_line(key)
    differences = _differences(out, task)
    if (line is None and differences) or (line is not None and line.get("cell_digest") != identity.training):
        said = "; ".join(differences[:_NAMED]) or "another version of fedmedlora recorded it"
        more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
        raise ConfigError(
            f"{out}: {cell_name(key)} was started with another configuration: {said}{more}. Go back to it. {_ADVICE}"
        )
    for site, score in ledger.score_lines(key).items():
        if score.get("test_digest") != identity.tests.get(site):
            raise ConfigError(
                f"{out}: the score of {cell_name(key)} on {site} comes from another configuration: its test notes, or "
                f"how they are scored, have changed. Go back to it. {_ADVICE}"
            )


def _differences(out: Path, task: Task) -> list[str]:
    path = _identity_file(out, task)
    if not path.exists():
        return []
    return changes("", json.loads(path.read_text(encoding="utf-8")), task.identity.table)


def write_identity(out: Path, task: Task) -> None:
    """Keep what a cell follows from beside its checkpoints, so that a resumed run can say what has changed."""
    write_atomic(_identity_file(out, task), json.dumps(task.identity.table, indent=1, sort_keys=True) + "\n")


def _identity_file(out: Path, task: Task) -> Path:
    return out / "state" / task.cell.folder / CELL_FILE


def open_folder(config: StudyConfig, out: Path, now: Mapping[str, Any], watcher: Watcher) -> None:
    """Write `study.toml` and `run.json`. A resumed run keeps its `run.json`, unless the study has grown since."""
    out.mkdir(parents=True, exist_ok=True)
    sweep_unfinished(out)
    write_atomic(out / STUDY_FILE, study_toml(config, out))
    then, described = read_description(out), dict(now)
    if then:
        if then.get("versions") != now["versions"]:
            watcher.note(f"library versions differ from those in {RUN_FILE}: results may differ in the last bits")
        described["started"] = then["started"]
        if "api" in then:
            # What may have been sent stays on record when the arm is taken out.
            described.setdefault("api", then["api"])
        if {**described, "command": then["command"], "versions": then["versions"]} == then:
            return
    write_atomic(out / RUN_FILE, json.dumps(described, indent=1, sort_keys=True) + "\n")
