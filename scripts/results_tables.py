"""Tables and sentences of a recorded run, put between marks of a Markdown page.

A mark names a folder from the root and a title of the run's tables.md, as `fedmedlora report RUN --tables` writes it:

    <!-- results/open-benchmark: NER, strict F1, in-domain -->
    (what is here is replaced)
    <!-- end -->

Behind a bar a mark may say which rows of a table it wants, by a text that they hold: `| maccrobat | NER`.

Two runs that test on the same notes can be held against each other: arms of the second take the place of the first's.

    <!-- results/open-benchmark-rounds (centralised of results/open-benchmark): NER, strict F1, in-domain -->
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from fedmedlora.report.findings import find
from fedmedlora.report.load import load_run
from fedmedlora.report.markdown import markdown_blocks
from fedmedlora.report.progress import is_whole
from fedmedlora.report.records import ArmCost, Round, Run, Score

_MARK = re.compile(
    r"(<!-- (results/[^:(\n]+?)(?: \(([^)\n]+) of (results/[^)\n]+)\))?: ([^|\n]+?)((?: \| [^|\n]+?)*) -->\n)"
    r".*?(<!-- end -->)",
    re.DOTALL,
)
_Record = TypeVar("_Record", Score, ArmCost, Round)


def filled(page: str, root: Path) -> str:
    """The page with everything between its marks as the records say. Raises ValueError for a title of no table."""

    def block(mark: re.Match[str]) -> str:
        start, folder, arms, other, title, rows, end = mark.groups()
        blocks = _blocks(root / folder, root / other if other else None, tuple(re.split(r",\s*", arms or "")))
        text = blocks.get(title)
        if text is None:
            raise ValueError(f"{folder} has no table '{title}'. It has: {'; '.join(blocks)}")
        wanted = [part.strip() for part in rows.split("|") if part.strip()]
        return f"{start}\n{_chosen(text, wanted)}\n\n{end}"

    return _MARK.sub(block, page)


@cache
def _blocks(folder: Path, other: Path | None, arms: tuple[str, ...]) -> dict[str, str]:
    run = load_run(folder)
    if other is not None:
        run = _with_arms(run, load_run(other), arms)
    return markdown_blocks(run, find(run))


def _with_arms(run: Run, other: Run, arms: Sequence[str]) -> Run:
    """The run with what `other` says of these arms' models that belong to no setting that trains anew.

    Raises ValueError unless all that the run tests on are the same notes.
    """
    tested = {one.test_site for one in run.scores}
    ours, theirs = _test_notes(run), _test_notes(other)
    unlike = sorted(site for site in tested if site not in ours or ours[site] != theirs.get(site))
    if unlike:
        raise ValueError(f"{run.folder} and {other.folder} do not test on the same notes of {', '.join(unlike)}.")
    missing = sorted(set(arms) - {one.arm for one in other.scores})
    if missing:
        raise ValueError(f"{other.folder} has no scores of {', '.join(missing)}.")
    taken = [one for one in other.scores if one.test_site in tested]
    return replace(
        run,
        scores=(*_without(run.scores, arms), *_only(taken, arms)),
        costs=(*_without(run.costs, arms), *_only(other.costs, arms)),
        rounds=(*_without(run.rounds, arms), *_only(other.rounds, arms)),
    )


def _only(records: Iterable[_Record], arms: Sequence[str]) -> Iterator[_Record]:
    return (one for one in records if one.arm in arms and is_whole(one.trained_on))


def _without(records: Iterable[_Record], arms: Sequence[str]) -> Iterator[_Record]:
    return (one for one in records if one.arm not in arms)


def _test_notes(run: Run) -> dict[str, tuple[str, int | None]]:
    """Site → digest of its test portion and how many documents of it the run looks at; without a digest, absent."""
    parts = {site.name: site.parts.get("test") for site in run.info.sites}
    return {site: (part.digest, part.used) for site, part in parts.items() if part and part.digest}


def _chosen(text: str, wanted: list[str]) -> str:
    """Of a table the rows with a cell of every wanted text; heads and what is no table stay."""
    lines = text.splitlines()
    kept = [
        line
        for place, line in enumerate(lines)
        if place < 2 or not line.startswith("|") or set(wanted) <= {cell.strip() for cell in line.split("|")}
    ]
    return "\n".join(kept)
