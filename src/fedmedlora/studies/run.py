"""Run a study: every cell trained as a federation, tested on every site, recorded; resumed where it was killed.

A run directory holds `study.toml` (resolved), `run.json`, `records.jsonl`, `rounds.jsonl`, `adapters/`,
`predictions/` and `state/` (checkpoints). What a line of the records says has been done is never done again; everything
else is derived anew from checkpoints and seeds, so a resumed run ends with the same adapters, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from fedmedlora.config.models import StudyConfig
from fedmedlora.errors import EnvironmentProblem, TrainingError
from fedmedlora.studies.api import check_api, describe_api
from fedmedlora.studies.cards import write_cards
from fedmedlora.studies.cell_run import CellRun, run_cell
from fedmedlora.studies.cells import Cell, cell_rule, planned_cells, study_cells
from fedmedlora.studies.crew import Agenda, Alone, Crew, Prepared, threads_each
from fedmedlora.studies.digests import Identity, identify
from fedmedlora.studies.examples import keep_examples
from fedmedlora.studies.families import Families
from fedmedlora.studies.folder import check_free, check_kept, open_folder, write_identity
from fedmedlora.studies.judges import check_judge
from fedmedlora.studies.ledger import Ledger, Lines, Task
from fedmedlora.studies.pool import Pool
from fedmedlora.studies.remarks import study_remarks
from fedmedlora.studies.resident import describe_run, load_resident
from fedmedlora.studies.reuse import check_sources, reuse_finished
from fedmedlora.studies.schedule import Key, Schedule, cell_name
from fedmedlora.studies.sites import load_labels
from fedmedlora.studies.watch import Silent, Watcher


def run_study(
    config: StudyConfig,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    reuse: Sequence[Path] = (),
    command: str = "",
    watcher: Watcher | None = None,
) -> Path:
    """Run every cell of a study into the folder `out`; returns it.

    jobs: processes that share the cells; the results are those of one, bit for bit, with as many threads. reuse: other
    run directories, of which finished cells of equal digest are taken. command: how the run was started, for the
    record.

    Raises ConfigError when `out` holds a run and `resume` is False, or holds what this study would not give; otherwise
    what `load_resident` and `run_federation` raise. A study that ended is left as it is. A model whose training fails
    does not stop the others: TrainingError names it when all are done.
    """
    watcher = watcher or Silent()
    check_free(out, resume)
    check_sources(reuse, out)
    for cell in study_cells(config):
        cell_rule(cell, config.plus)
    watcher.note(f"reading {len(config.sites)} sites and the base model '{config.base}'")
    with _crew(config, out, jobs, command, watcher) as crew:
        held = {site["name"]: site["parts"]["train"]["documents"] for site in crew.described["sites"]}
        for line in study_remarks(config, held):
            watcher.note(line)
        cells = planned_cells(config, held)
        schedule = Schedule(cells)
        identities = identify({cell.key: cell for cell in cells}, config, load_labels(config), crew.described)
        ledger = Ledger(out)
        tasks = [ledger.task(cell, identities[cell.key]) for cell in cells]
        check_kept(out, ledger, tasks, crew.described)
        open_folder(config, out, crew.described, watcher)
        keep_examples(config, out)
        reuse_finished(reuse, out, tasks, ledger, watcher)
        crew.run(_agenda(schedule, cells, identities, ledger, watcher))
    write_cards(config, out)
    if schedule.failed:
        raise TrainingError(
            f"{len(schedule.failed)} of {len(cells)} models could not be trained, or asked; the others are recorded. "
            f"{' '.join(f'{cell_name(key)}: {why}' for key, why in schedule.failed.items())} "
            "With --resume these are tried again; other settings need another --out."
        )
    return out


@contextmanager
def _crew(config: StudyConfig, out: Path, jobs: int, command: str, watcher: Watcher) -> Iterator[Crew]:
    """Who runs the cells, all with one number of threads."""
    threads = threads_each(config, out, jobs)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    prepare = partial(_prepare, config.model_copy(update={"threads": threads}), out, command, started)
    if jobs == 1:
        yield Alone(prepare, watcher)
        return
    with Pool(prepare, jobs, watcher) as pool:
        yield pool


def _agenda(
    schedule: Schedule, cells: Sequence[Cell], identities: Mapping[Key, Identity], ledger: Ledger, watcher: Watcher
) -> Agenda:
    """All cells with what is known of each; those of which nothing is left to do are settled."""
    tasks = {cell.key: ledger.task(cell, identities[cell.key]) for cell in cells}
    for key, task in tasks.items():
        if task.done:
            schedule.skip(key)
    if schedule.waiting < len(cells):
        watcher.note(f"{len(cells) - schedule.waiting} of {len(cells)} models are recorded already")
    return Agenda(schedule, tasks, ledger, watcher)


def _prepare(config: StudyConfig, out: Path, command: str, started: str, watcher: Watcher) -> Prepared:
    """Load what cells share, and check it before anything expensive."""
    resident = load_resident(config)
    check_api(config, resident.sites)
    families = Families(resident)
    for cell in resident.cells:
        family = families.of(cell)
        if cell_rule(cell, config.plus).needs_losses:
            check_judge(resident, family, cell.sites)
    described = {**describe_run(resident, command, started), **families.describe(), **describe_api(resident)}
    return Prepared(described, partial(_work, families, out))


def _work(families: Families, out: Path, task: Task, lines: Lines, watcher: Watcher) -> str | None:
    """Run a cell; why it failed, where that is a matter of this cell alone."""
    write_identity(out, task)
    try:
        run_cell(CellRun(families.resident, families, out, lines, watcher), task)
    except (TrainingError, EnvironmentProblem) as error:
        if isinstance(error, EnvironmentProblem) and task.cell.arm != "api":
            raise
        return str(error)
    except (MemoryError, torch.OutOfMemoryError):
        return "out of memory. Use a smaller training.pack_tokens or evaluation.batch_size, or a smaller base."
    return None
