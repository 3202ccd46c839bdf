"""In which order cells are run: the study's, but none before the one that it starts from. Knows no process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from fedmedlora.errors import ConfigError
from fedmedlora.studies.cells import Cell

Key: TypeAlias = tuple[str, int, str]


def cell_name(key: Key) -> str:
    """A cell in words, for messages."""
    arm, seed, trained_on = key
    return f"{arm}, seed {seed}, trained on {trained_on}"


class Schedule:
    """Cells that wait, are under way, are done or have failed.

    A cell that needs one that failed fails with it. Raises ConfigError when a cell needs one that the study lacks, or
    itself.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._waiting: dict[Key, Cell] = {cell.key: cell for cell in cells}
        self._done: set[Key] = set()
        self.failed: dict[Key, str] = {}
        for cell in cells:
            self._check(cell)

    @property
    def waiting(self) -> int:
        """Cells that nobody has taken."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Cells that could be taken now."""
        return sum(1 for cell in self._waiting.values() if self._is_ready(cell))

    def take(self) -> Cell | None:
        """The first cell that waits for no other, which then is under way; None when there is none at the moment."""
        for key, cell in self._waiting.items():
            if self._is_ready(cell):
                return self._waiting.pop(key)
        return None

    def skip(self, key: Key) -> None:
        """Nothing is left to do of a cell that waits."""
        del self._waiting[key]
        self._done.add(key)

    def finish(self, key: Key) -> None:
        """The cell is trained and tested."""
        self._done.add(key)

    def fail(self, key: Key, reason: str) -> None:
        """The cell cannot be had, nor what starts from it."""
        self.failed[key] = reason
        for other in [cell for cell in self._waiting.values() if cell.needs == key]:
            self._waiting.pop(other.key, None)
            self.fail(other.key, f"it starts from the model of {cell_name(key)}, which failed.")

    def _is_ready(self, cell: Cell) -> bool:
        return cell.needs is None or cell.needs in self._done

    def _check(self, cell: Cell) -> None:
        """Follow what a cell needs to a cell that needs nothing."""
        seen, at = {cell.key}, cell
        while at.needs is not None:
            if at.needs not in self._waiting:
                raise ConfigError(
                    f"{cell_name(at.key)} starts from the model of {cell_name(at.needs)}, which is not part of the "
                    "study. Add that arm, setting or seed."
                )
            if at.needs in seen:
                raise ConfigError(f"{cell_name(cell.key)} would start from its own model.")
            seen.add(at.needs)
            at = self._waiting[at.needs]
