"""Plain notes without annotation: one `.txt` file, one document."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fedmedlora.corpus.document import Document, ReadResult
from fedmedlora.corpus.files import read_text


def read_plain_text(path: Path) -> ReadResult:
    """The file's text, untouched, as one document whose id is the file's name without suffix.

    Raises CorpusError when the file is missing or not UTF-8.
    """
    return ReadResult([Document(path.stem, read_text(path))], Counter())
