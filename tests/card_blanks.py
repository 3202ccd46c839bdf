"""Finds in a model card the places where a value should stand and none does."""

from __future__ import annotations

import re

_NO_VALUE = re.compile(r"|[-–—…?]+|`\s*`|N/A|n/a")
_NOTHING = re.compile(r"\b(None|nan|NaN|null|inf|NaT)\b")
# Where a sentence or a list had something to say and did not: "seed ,", "α = ;", "()", "on .", "of ", ": —".
_GAP = re.compile(
    r"\bof$|\(\s*\)|``(?!`)|[=:∝]\s*([,;.)]|$)|[,;]\s*[,;.]|\s[,;.](\s|$)|\S  \S|[=:,;]\s*[-–—](\s|[,;.]|$)"
)
_BULLET = re.compile(r"[-*+]( |$)|\d+\.( |$)")


def blanks(card: str) -> list[str]:
    """The lines of a card with a blank: in any cell of a table, a bullet, a heading, a sentence or its metadata.

    A section without content, and a row with more or fewer cells than its table, are blanks too.
    """
    _, metadata, body = card.split("---\n", 2)
    parts = re.split(r"^```.*?^```$", body, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join([*parts[:1], *(f"code\n{part}" for part in parts[1:])]).splitlines()
    found = [line for line in metadata.splitlines() if line != "tags:" and _blank_pair(line)]
    width = 0
    for place, line in enumerate(lines):
        cells = _cells(line)
        width = 0 if not cells else width or len(cells)
        if (cells and (len(cells) != width or any(map(_blank, cells)))) or (not cells and _blank_line(line)):
            found.append(line)
        if line.startswith("#") and not _content(lines[place + 1 :]):
            found.append(line)
    return found


def _content(after: list[str]) -> bool:
    """Whether something stands before the next heading."""
    for line in after:
        if line.strip():
            return not line.startswith("#") or line.startswith("###")
    return False


def _cells(line: str) -> list[str]:
    """Of a table's row, without its outer bars; the line below a table's head has none to look at."""
    if not line.startswith("|"):
        return []
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]
    return ["head"] * len(cells) if all(re.fullmatch(r":?-{3,}:?", cell) for cell in cells) else cells


def _blank(cell: str) -> bool:
    return bool(_NO_VALUE.fullmatch(cell) or _NOTHING.search(cell) or _GAP.search(cell))


def _blank_line(line: str) -> bool:
    plain = line.lstrip("# ") if line.startswith("#") else line.strip()
    if line.startswith("#") and not plain:
        return True
    bullet = _BULLET.match(plain)
    text = plain[bullet.end() :].strip() if bullet else plain
    return bool((bullet and _NO_VALUE.fullmatch(text)) or _NOTHING.search(text) or _GAP.search(text))


def _blank_pair(line: str) -> bool:
    """Of `key: value`, or an item of a list."""
    value = line.partition(":")[2] if ":" in line else line.strip().removeprefix("-")
    return not value.strip(" \"'") or bool(_NOTHING.search(value))
