"""A site's optimizer steps, told to whoever watches the study."""

from __future__ import annotations

from fedmedlora.studies.watch import Watcher
from fedmedlora.training.loop import Progress


class Steps:
    """Passes a site's optimizer steps on as one stretch a round."""

    def __init__(self, watcher: Watcher, name: str) -> None:
        self._watcher, self._name = watcher, name

    def __call__(self, progress: Progress) -> None:
        """Tell of one step."""
        if progress.step == 1:
            self._watcher.begin(f"training {self._name}", progress.steps)
        self._watcher.advance(1, f"loss {progress.loss:.4f}")
