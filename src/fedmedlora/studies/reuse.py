"""Finished models of other run directories, taken where a digest says that training would only make them again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedmedlora.errors import ConfigError
from fedmedlora.record import digest_files
from fedmedlora.studies.folder import RUN_FILE, read_description
from fedmedlora.studies.ledger import CellLines, Ledger, Task
from fedmedlora.studies.watch import Watcher

FOLDERS = ("state", "adapters", "predictions")
"""Of a run directory: what each cell has a folder of its own in."""

_CARD = "README.md"
_PART = ".part"


def check_sources(sources: Sequence[Path], out: Path) -> None:
    """Raise ConfigError when a folder to take from is no run directory, or is the run's own."""
    for source in sources:
        if not (source / RUN_FILE).is_file():
            raise ConfigError(f"--reuse {source}: not a run directory (it holds no {RUN_FILE}).")
        if source.resolve() == out.resolve():
            raise ConfigError(f"--reuse {source}: that is the folder of this run. --resume goes on in it.")


def reuse_finished(sources: Sequence[Path], out: Path, tasks: Sequence[Task], ledger: Ledger, watcher: Watcher) -> None:
    """Take every model that is not trained yet from the first run that has it with an equal digest.

    Files are linked where the disk allows it, else copied: nothing in a run directory is ever changed in place. Lines
    come last, so that a crash leaves a cell untaken or whole. They say in `reused_from` by its digest which `run.json`
    they come from.
    """
    for source in sources:
        theirs, origin = Ledger(source), digest_files([source / RUN_FILE])
        taken = [task for task in tasks if ledger.arm_line(task.cell.key) is None and _has(theirs, task)]
        if taken and read_description(source).get("versions") != read_description(out).get("versions"):
            watcher.note(f"{source.name}: made with other library versions; results may differ in the last bits")
        for task in taken:
            _take(source, out, task, theirs, CellLines(ledger, task), origin)
        watcher.note(f"{source.name}: {len(taken)} of {len(tasks)} models taken")


def _has(theirs: Ledger, task: Task) -> bool:
    line = theirs.arm_line(task.cell.key)
    return line is not None and line.get("cell_digest") == task.identity.training


def _take(source: Path, out: Path, task: Task, theirs: Ledger, lines: CellLines, origin: str) -> None:
    key = task.cell.key
    scores = {
        site: line
        for site, line in theirs.score_lines(key).items()
        if line.get("test_digest") == task.identity.tests.get(site) and site not in task.tested
    }
    for folder in FOLDERS:
        found = _files(source / folder / task.cell.folder, task)
        if folder == "predictions":
            found = (path for path in found if any(path.name.startswith(f"{site}.") for site in scores))
        _link(source / folder, out / folder, found)
    for number, line in sorted(theirs.round_lines(key).items()):
        if number not in task.rounds:
            lines.round({**line, "reused_from": origin})
    for line in scores.values():
        lines.record({**line, "reused_from": origin})
    trained = theirs.arm_line(key)
    assert trained is not None
    lines.record({**trained, "reused_from": origin})


def _files(folder: Path, task: Task) -> Iterable[Path]:
    """A cell's own files. Folders of other cells can lie below: `centralised/0/without-a` below `centralised/0`."""
    below = {folder / site for site in task.cell.sites} if task.cell.personal else set()
    for path in sorted(folder.rglob("*")):
        mine = path.parent == folder or path.parent in below
        if mine and path.is_file() and path.name != _CARD and not path.name.endswith(_PART):
            yield path


def _link(source: Path, target: Path, files: Iterable[Path]) -> None:
    for path in files:
        placed = target / path.relative_to(source)
        placed.parent.mkdir(parents=True, exist_ok=True)
        part = placed.with_name(f".{placed.name}{_PART}")
        part.unlink(missing_ok=True)
        try:
            os.link(path, part)
        except OSError:
            shutil.copyfile(path, part)
        os.replace(part, placed)
