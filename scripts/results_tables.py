"""Tables and sentences of a recorded run, put between marks of a Markdown page.

A mark names a folder from the root and a title of the run's tables.md, as `fedmedlora report RUN --tables` writes it:

    <!-- results/open-benchmark: NER, strict F1, in-domain -->
    (what is here is replaced)
    <!-- end -->

Behind a bar a mark may say which rows of a table it wants, by a text that they hold: `| maccrobat | NER`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from fedmedlora.report.findings import find
from fedmedlora.report.load import load_run
from fedmedlora.report.markdown import markdown_blocks

_MARK = re.compile(r"(<!-- (results/[^:\n]+): ([^|\n]+?)((?: \| [^|\n]+?)*) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, root: Path) -> str:
    """The page with everything between its marks as the records say. Raises ValueError for a title of no table."""

    def block(mark: re.Match[str]) -> str:
        start, folder, title, rows, end = mark.groups()
        text = _blocks(root / folder).get(title)
        if text is None:
            titles = "; ".join(_blocks(root / folder))
            raise ValueError(f"{folder} has no table '{title}'. It has: {titles}")
        wanted = [part.strip() for part in rows.split("|") if part.strip()]
        return f"{start}\n{_chosen(text, wanted)}\n\n{end}"

    return _MARK.sub(block, page)


@cache
def _blocks(folder: Path) -> dict[str, str]:
    run = load_run(folder)
    return markdown_blocks(run, find(run))


def _chosen(text: str, wanted: list[str]) -> str:
    """Of a table the rows with a cell of every wanted text; heads and what is no table stay."""
    lines = text.splitlines()
    kept = [
        line
        for place, line in enumerate(lines)
        if place < 2 or not line.startswith("|") or set(wanted) <= {cell.strip() for cell in line.split("|")}
    ]
    return "\n".join(kept)
