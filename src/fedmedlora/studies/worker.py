"""A process that runs cells for another: loads what they share, then takes tasks and sends back lines and progress.

It writes nothing but the folders of its own cell. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from fedmedlora.errors import EnvironmentProblem, FedMedLoRAError, InputError, TrainingError
from fedmedlora.studies.crew import Prepare
from fedmedlora.studies.ledger import Task

_KINDS = (InputError, EnvironmentProblem, TrainingError)


class Telling:
    """Sends a cell's lines and progress. Satisfies `ledger.Lines` and `watch.Watcher`."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def record(self, line: Mapping[str, object]) -> None:
        """Send a line of records.jsonl."""
        self._connection.send(("record", line))

    def round(self, line: Mapping[str, object]) -> None:
        """Send a line of rounds.jsonl."""
        self._connection.send(("round", line))

    def note(self, line: str) -> None:
        """Send a line for whoever watches."""
        self._connection.send(("note", line))

    def begin(self, what: str, total: int) -> None:
        """Send that a stretch begins."""
        self._connection.send(("begin", what, total))

    def advance(self, done: int, detail: str = "") -> None:
        """Send that so many more of the stretch are done."""
        self._connection.send(("advance", done, detail))

    def branch(self, name: str) -> Telling:
        """A process runs one cell at a time: there is nothing to keep apart."""
        return self

    def close(self) -> None:
        """Nothing is held."""


def serve(connection: Connection[Any, Any], prepare: Prepare, number: int) -> None:
    """Load, say so, and run the cells that come until none does. number: of the process among its like, from 0."""
    # Standard output is for results, which are another's to print.
    os.dup2(sys.stderr.fileno(), 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    telling = Telling(connection)
    try:
        prepared = prepare(telling)
        connection.send(("ready", prepared.described))
        while True:
            task: Task | None = connection.recv()
            if task is None:
                return
            connection.send(("done", prepared.work(task, telling, telling)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        connection.send(("error", portable(error)))


def portable(error: Exception) -> Exception:
    """An error as another process may raise it: of the same exit status, and without a message that could quote a note.

    A machine's problem (disk full, permission denied) stays as it is.
    """
    if isinstance(error, FedMedLoRAError):
        kind = next((kind for kind in _KINDS if isinstance(error, kind)), FedMedLoRAError)
        return kind(str(error))
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror, error.filename)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return FedMedLoRAError(
        f"{type(error).__module__}.{type(error).__qualname__} at {place.filename}:{place.lineno} in {place.name}. This "
        "is a fault of fedmedlora. Its message is left out because it could quote a note; with --jobs 1, "
        "FEDMEDLORA_TRACEBACK=1 shows the whole traceback."
    )


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
