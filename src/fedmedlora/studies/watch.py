"""What a running study tells whoever watches: a progress bar, a log, or nobody."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told of everything that takes time. Never told note text."""

    def note(self, line: str) -> None:
        """Something worth a line: what was derived, skipped or saved."""
        ...

    def begin(self, what: str, total: int) -> None:
        """A stretch of `total` steps or requests begins; it replaces the one before."""
        ...

    def advance(self, done: int, detail: str = "") -> None:
        """So many more of the stretch are done."""
        ...

    def branch(self, name: str) -> Watcher:
        """A watcher for one of several models that are trained side by side; close it when the model is done."""
        ...

    def close(self) -> None:
        """Nothing more will be told."""
        ...


class Silent:
    """A watcher that says nothing."""

    def note(self, line: str) -> None:
        """Ignore."""

    def begin(self, what: str, total: int) -> None:
        """Ignore."""

    def advance(self, done: int, detail: str = "") -> None:
        """Ignore."""

    def branch(self, name: str) -> Silent:
        """Be as silent there."""
        return self

    def close(self) -> None:
        """Ignore."""
