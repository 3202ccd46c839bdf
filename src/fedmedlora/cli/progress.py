"""Progress for whoever watches: a bar with the time left on a terminal, lines where standard error goes elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fedmedlora.cli.output import note

_REFRESHES_PER_SECOND = 4  # drawing takes time from training on a small machine


class RichWatcher:
    """Satisfies `studies.watch.Watcher`; use it in a `with` block, so that the bar is gone when a message follows.

    Without a terminal only the notes are printed, one a line. A branch has a bar of its own below the others, and puts
    its name before what it prints.
    """

    def __init__(self, trunk: RichWatcher | None = None, name: str = "") -> None:
        if trunk is None:
            console = Console(stderr=True)
            self._bar = _bar(console) if console.is_interactive else None
        else:
            self._bar = trunk._bar
        self._task: TaskID | None = None
        self._name = name

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, line: str) -> None:
        """Print a line, above the bar."""
        line = f"{self._name}{line}"
        if self._bar is None:
            note(line)
        else:
            self._bar.console.print(line, markup=False, highlight=False)

    def begin(self, what: str, total: int) -> None:
        """Start a new bar of `total` steps; 0 when their number is not known."""
        self.close()
        if self._bar is not None:
            self._task = self._bar.add_task(f"{self._name}{what}", total=total or None, detail="")

    def advance(self, done: int, detail: str = "") -> None:
        """So many more steps are done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=done, detail=detail)

    def branch(self, name: str) -> RichWatcher:
        """A bar for one of several models that are trained side by side."""
        return RichWatcher(self, f"{name}: ")

    def close(self) -> None:
        """Take the stretch's bar away."""
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=_REFRESHES_PER_SECOND,
    )
