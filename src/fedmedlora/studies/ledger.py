"""The records of a run directory: what is in them, and the only hand that writes them.

Lines come in the order in which models are done, which with several processes is not the study's. Readers go by what a
line says of itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fedmedlora.record import append_json_line, read_json_lines
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.digests import Identity
from fedmedlora.studies.schedule import Key

RECORDS_FILE, ROUNDS_FILE = "records.jsonl", "rounds.jsonl"


class Lines(Protocol):
    """Takes the lines of one cell."""

    def record(self, line: Mapping[str, object]) -> None:
        """A line of records.jsonl."""
        ...

    def round(self, line: Mapping[str, object]) -> None:
        """A line of rounds.jsonl."""
        ...


@dataclass(frozen=True)
class Task:
    """A cell to run. recorded: its own line is there; tested, rounds: the sites and rounds that have one."""

    cell: Cell
    identity: Identity
    recorded: bool
    tested: frozenset[str]
    rounds: frozenset[int]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.recorded and self.tested >= self.identity.tests.keys()


class Ledger:
    """The lines of one run directory. One process holds it at a time."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.records = list(read_json_lines(out / RECORDS_FILE))
        self.rounds = list(read_json_lines(out / ROUNDS_FILE))

    def keys(self) -> set[Key]:
        """Cells of which there is a line."""
        return {line_key(line) for line in (*self.records, *self.rounds)}

    def finished(self, cell: Cell, tests: Collection[str]) -> bool:
        """Whether a cell and its tests are recorded, whatever configuration they came from."""
        return self.arm_line(cell.key) is not None and self.score_lines(cell.key).keys() >= set(tests)

    def arm_line(self, key: Key) -> dict[str, Any] | None:
        """The last line on a cell's training; None while it is not trained."""
        own = [line for line in self.records if line["kind"] == "arm" and line_key(line) == key]
        return own[-1] if own else None

    def score_lines(self, key: Key) -> dict[str, dict[str, Any]]:
        """The last line on each site that a cell was tested on."""
        own = [line for line in self.records if line["kind"] == "score" and line_key(line) == key]
        return {str(line["test_site"]): line for line in own}

    def round_lines(self, key: Key) -> dict[int, dict[str, Any]]:
        """The last line on each round of a cell."""
        return {int(str(line["round"])): line for line in self.rounds if line_key(line) == key}

    def task(self, cell: Cell, identity: Identity) -> Task:
        """What is left to do of a cell."""
        key = cell.key
        recorded = self.arm_line(key) is not None
        return Task(cell, identity, recorded, frozenset(self.score_lines(key)), frozenset(self.round_lines(key)))

    def add_record(self, line: Mapping[str, object]) -> None:
        """Append to records.jsonl."""
        append_json_line(self._out / RECORDS_FILE, line)
        self.records.append(dict(line))

    def add_round(self, line: Mapping[str, object]) -> None:
        """Append to rounds.jsonl."""
        append_json_line(self._out / ROUNDS_FILE, line)
        self.rounds.append(dict(line))


@dataclass(frozen=True)
class CellLines:
    """Writes a task's lines, with the digests of what they follow from. Satisfies `Lines`."""

    ledger: Ledger
    task: Task

    def record(self, line: Mapping[str, object]) -> None:
        """Append a line on training or on a test."""
        identity = self.task.identity
        if line["kind"] == "arm":
            self.ledger.add_record({**line, "cell_digest": identity.training})
        else:
            self.ledger.add_record({**line, "test_digest": identity.tests[str(line["test_site"])]})

    def round(self, line: Mapping[str, object]) -> None:
        """Append a line on a round."""
        self.ledger.add_round(line)


def line_key(line: Mapping[str, object]) -> Key:
    """The cell that a line is of."""
    return (str(line["arm"]), int(str(line["seed"])), str(line["trained_on"]))
