"""Who runs a study's cells: this process, or several of its own making (`pool`).

Both are made from one `Prepare`, which loads what cells share, describes it and gives back the function that runs one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from fedmedlora.adapters.base import use_threads
from fedmedlora.config.models import StudyConfig
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.folder import recorded_threads
from fedmedlora.studies.ledger import CellLines, Ledger, Lines, Task
from fedmedlora.studies.schedule import Key, Schedule, cell_name
from fedmedlora.studies.watch import Watcher

Work: TypeAlias = Callable[[Task, Lines, Watcher], str | None]
"""Runs one cell, hands on its lines, and returns why it failed, or None."""


@dataclass(frozen=True)
class Prepared:
    """What a process that runs cells has loaded. described: as `resident.describe_run` gives it."""

    described: Mapping[str, Any]
    work: Work


Prepare: TypeAlias = Callable[[Watcher], Prepared]


@dataclass(frozen=True)
class Agenda:
    """What is to be done of a study, where its lines go, and who hears of it. tasks: all, in the study's order."""

    schedule: Schedule
    tasks: Mapping[Key, Task]
    ledger: Ledger
    watcher: Watcher

    def lines(self, cell: Cell) -> CellLines:
        """Where the cell's lines go."""
        return CellLines(self.ledger, self.tasks[cell.key])

    def title(self, cell: Cell) -> str:
        """The cell and its place in the study."""
        place = list(self.tasks).index(cell.key) + 1
        return f"[{place}/{len(self.tasks)}] {cell_name(cell.key)}"

    def settle(self, cell: Cell, failure: str | None) -> None:
        """The cell has been run."""
        if failure is None:
            self.schedule.finish(cell.key)
        else:
            self.watcher.note(f"failed: {failure}")
            self.schedule.fail(cell.key, failure)


def threads_each(config: StudyConfig, out: Path, jobs: int) -> int | None:
    """Threads of every process of a run: the study's, else those that the run began with, else an equal share.

    None, for one process, is all that the machine offers. The number decides the last bits of every sum.
    """
    decided = config.threads or recorded_threads(out)
    return decided or (max(1, use_threads(None) // jobs) if jobs > 1 else None)


class Crew(Protocol):
    """Runs cells."""

    @property
    def described(self) -> Mapping[str, Any]:
        """What the cells are run on."""
        ...

    def run(self, agenda: Agenda) -> None:
        """Run all cells that wait; which of them failed, the schedule says afterwards."""
        ...


class Alone:
    """This process, one cell after another."""

    def __init__(self, prepare: Prepare, watcher: Watcher) -> None:
        self._prepared = prepare(watcher)

    @property
    def described(self) -> Mapping[str, Any]:
        """What the cells are run on."""
        return self._prepared.described

    def run(self, agenda: Agenda) -> None:
        """Run all cells that wait."""
        while (cell := agenda.schedule.take()) is not None:
            agenda.watcher.note(agenda.title(cell))
            agenda.settle(cell, self._prepared.work(agenda.tasks[cell.key], agenda.lines(cell), agenda.watcher))
