"""A study's cells on several processes: each loads the base once and takes one cell after another.

Processes are spawned, never forked: a fork would take over locks and threads of the arithmetic libraries as they stand.
They send lines to the process that started them, which alone writes records; they die with it. One that is killed costs
its cell and no other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Mapping
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self

from fedmedlora.errors import EnvironmentProblem
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.crew import Agenda, Prepare
from fedmedlora.studies.ledger import Task
from fedmedlora.studies.peak import resident_peak
from fedmedlora.studies.watch import Watcher
from fedmedlora.studies.worker import serve
from fedmedlora.training.budget import total_memory

_LOOK_S = 0.5
"""How often the memory of processes is looked at, so that something is known of one that is killed."""

_LEAVE_S = 10.0

_SAME = ("base", "adapter", "encoder", "sites", "derived", "machine")


class Worker:
    """One process, seen from the one that started it.

    cell: what it is busy with. watcher: who hears of that. ready: it has loaded what cells share. hung_up: it is gone.
    """

    def __init__(self, prepare: Prepare, number: int, watcher: Watcher) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, prepare, number), name=f"fedmedlora-{number}")
        # An interrupt from the keyboard goes to every process of a terminal; the one that started these decides.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.watcher = watcher
        self.cell: Cell | None = None
        self.ready = False
        self.hung_up = False
        self._peak = 0

    def hand(self, task: Task | None) -> None:
        """Give it a cell to run, or tell it that there is none. That it is gone shows when it is listened to."""
        with contextlib.suppress(ConnectionError):
            self.connection.send(task)

    def messages(self) -> list[tuple[Any, ...]]:
        """What it has sent since the last call."""
        found = []
        try:
            while self.connection.poll():
                found.append(self.connection.recv())
        except (EOFError, ConnectionError):
            self.hung_up = True
        return found

    def look(self) -> None:
        """Note the memory that it holds."""
        self._peak = max(self._peak, resident_peak(self._process.pid or 0) or 0)

    def end(self, *, at_once: bool) -> None:
        """Let it leave, or kill it, and forget it. What it has sent is recorded; the rest is derived anew."""
        if not at_once:
            self.hand(None)
            self._process.join(_LEAVE_S)
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._process.close()

    def last_words(self) -> str:
        """Why it hung up, as far as can be said."""
        self._process.join()
        status = self._process.exitcode
        held = f"It had held {self._peak / 1e9:,.1f} GB; the machine has {total_memory() / 1e9:,.1f} GB."
        if status == -signal.SIGKILL:
            return (
                f"its process was killed (signal 9), as the system does when memory runs out. {held} Use fewer --jobs, "
                "or a smaller training.pack_tokens or evaluation.batch_size."
            )
        return f"its process ended with status {status}. {held}"


class Pool:
    """Several processes that run cells; use it in a `with` block, after which none is left. Satisfies `crew.Crew`."""

    def __init__(self, prepare: Prepare, jobs: int, watcher: Watcher) -> None:
        self._prepare, self._jobs, self._watcher = prepare, jobs, watcher
        self._workers: list[Worker] = []
        self._started = 0
        self._described: Mapping[str, Any] = {}
        self._last_words = ""

    def __enter__(self) -> Self:
        """Start one process, so that a mistake in the study is told once, and by one."""
        try:
            self._start()
            while self._workers and not self._described:
                self._hear(None)
            self._need_workers("read the study")
        except BaseException:
            self._end_all(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_all(at_once=kind is not None)

    @property
    def described(self) -> Mapping[str, Any]:
        """What the cells are run on."""
        return self._described

    def run(self, agenda: Agenda) -> None:
        """Run all cells that wait. Raises what a process met that is no matter of its cell alone."""
        schedule = agenda.schedule
        while schedule.waiting or any(worker.cell for worker in self._workers):
            self._hand_out(agenda)
            free = sum(worker.cell is None for worker in self._workers)
            for _ in range(min(self._jobs - len(self._workers), schedule.ready - free)):
                self._start()
            self._need_workers(f"train the {schedule.waiting} models that are left")
            self._hear(agenda)

    def _start(self) -> None:
        self._workers.append(Worker(self._prepare, self._started, self._watcher))
        self._started += 1

    def _need_workers(self, what: str) -> None:
        if not self._workers:
            raise EnvironmentProblem(f"no process is left to {what}: {self._last_words}")

    def _hand_out(self, agenda: Agenda) -> None:
        for worker in self._workers:
            if worker.ready and worker.cell is None and (cell := agenda.schedule.take()) is not None:
                worker.cell, title = cell, agenda.title(cell)
                agenda.watcher.note(title)
                worker.watcher = agenda.watcher.branch(title)
                worker.hand(agenda.tasks[cell.key])

    def _hear(self, agenda: Agenda | None) -> None:
        """Take what processes have sent, or wait a little for it; settle what ended."""
        heard = wait([worker.connection for worker in self._workers], timeout=_LOOK_S)
        for worker in list(self._workers):
            worker.look()
            for message in worker.messages() if worker.connection in heard else ():
                self._take(worker, message, agenda)
            if worker.hung_up:
                self._bury(worker, agenda)

    def _take(self, worker: Worker, message: tuple[Any, ...], agenda: Agenda | None) -> None:
        match message:
            case ("error", error):
                raise error
            case ("ready", described):
                self._meet(worker, described)
            case ("note", line):
                worker.watcher.note(line)
            case ("begin", what, total):
                worker.watcher.begin(what, total)
            case ("advance", done, detail):
                worker.watcher.advance(done, detail)
            case ("record", line) if agenda is not None and worker.cell is not None:
                agenda.lines(worker.cell).record(line)
            case ("round", line) if agenda is not None and worker.cell is not None:
                agenda.lines(worker.cell).round(line)
            case ("done", failure) if agenda is not None:
                self._settle(worker, agenda, failure)

    def _meet(self, worker: Worker, described: Mapping[str, Any]) -> None:
        worker.ready = True
        self._described = self._described or described
        other = [key for key in _SAME if described.get(key) != self._described.get(key)]
        if other:
            raise EnvironmentProblem(
                f"two processes of this study found another {', another '.join(other)}: notes, base or GPUs changed, "
                "or are not alike. Start again, with --resume."
            )

    def _bury(self, worker: Worker, agenda: Agenda | None) -> None:
        """A process hung up. One that had not even loaded the base is not replaced: there is no room for it."""
        self._last_words = worker.last_words()
        self._workers.remove(worker)
        if not worker.ready:
            self._jobs -= 1
            self._watcher.note(f"one process fewer: {self._last_words}")
        if agenda is not None:
            self._settle(worker, agenda, self._last_words)
        worker.end(at_once=True)

    def _settle(self, worker: Worker, agenda: Agenda, failure: str | None) -> None:
        cell, worker.cell = worker.cell, None
        if cell is not None:
            worker.watcher.close()
            worker.watcher = self._watcher
            agenda.settle(cell, failure)

    def _end_all(self, *, at_once: bool) -> None:
        for worker in self._workers:
            worker.end(at_once=at_once)
        self._workers = []
