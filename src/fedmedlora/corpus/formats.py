"""File formats by name, and the two functions that read and write any of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fedmedlora.corpus.brat import read_brat
from fedmedlora.corpus.brat_writer import write_brat
from fedmedlora.corpus.conll import read_conll, write_conll
from fedmedlora.corpus.document import Document, ReadResult
from fedmedlora.corpus.files import read_text
from fedmedlora.corpus.jsonl import read_jsonl, write_jsonl
from fedmedlora.corpus.phee import read_phee, write_phee
from fedmedlora.corpus.text import read_plain_text
from fedmedlora.errors import CorpusError, nearest


class Format(NamedTuple):
    """How a format is read and written.

    write: None for a format that cannot hold annotations. suffixes: of its files inside a folder, when the folder is
    read file by file; empty when `read` takes the folder.
    """

    read: Callable[[Path], ReadResult]
    write: Callable[[Sequence[Document], Path], Counter[str]] | None
    suffixes: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "jsonl": Format(read_jsonl, write_jsonl, (".jsonl",)),
    "brat": Format(read_brat, write_brat),
    "conll": Format(read_conll, write_conll, (".tsv", ".conll", ".iob", ".bio", ".txt")),
    "phee": Format(read_phee, write_phee, (".json",)),
    "text": Format(read_plain_text, None, (".txt",)),
}
WRITABLE = tuple(name for name, entry in FORMATS.items() if entry.write is not None)
"""The formats that hold annotations."""

_IOB_LINE = re.compile(r"(?:-DOCSTART-|\S.*[\t ](?:O|[BIESLUM]-\S+))\s*")


def read_documents(path: Path, format: str | None = None) -> ReadResult:
    """Read the documents of a file or folder, in order; the format is guessed from the path when it is not named.

    A folder of anything but brat is read file by file in the order of names.

    Raises CorpusError when the path is missing or holds no document, when the format is unknown or cannot be guessed,
    or when two documents have one id.
    """
    if not path.exists():
        raise CorpusError(f"{path}: no such file or folder.")
    entry = _format(guess_format(path) if format is None else format)
    if not path.is_dir() or not entry.suffixes:
        result = entry.read(path)
    else:
        files = sorted(child for child in path.iterdir() if child.suffix in entry.suffixes and child.is_file())
        parts = [entry.read(child) for child in files]
        documents = [document for part in parts for document in part.documents]
        result = ReadResult(documents, sum((part.dropped for part in parts), Counter()))
    if not result.documents:
        raise CorpusError(f"{path}: no document in it. Expected at least one; see whether path and format are right.")
    twice = [name for name, count in Counter(document.id for document in result.documents).items() if count > 1]
    if twice:
        raise CorpusError(f"{path}: document id '{twice[0]}' is used twice. Give every document its own id.")
    return result


def write_documents(documents: Sequence[Document], path: Path, format: str) -> Counter[str]:
    """Write documents, each file whole or not at all, and count by reason what the format could not hold.

    path: a folder for brat, a file for the others.

    Raises CorpusError when the format is unknown or is only read, when the path does not suit it, or when an id is used
    twice.
    """
    write = _writer(path, format)
    twice = [name for name, count in Counter(document.id for document in documents).items() if count > 1]
    if twice:
        raise CorpusError(f"document id '{twice[0]}' is used twice. Give every document its own id.")
    return write(documents, path)


def check_target(path: Path, format: str) -> None:
    """Raise what `write_documents` would raise for this path and format, before the work that makes the documents."""
    _writer(path, format)


def _writer(path: Path, format: str) -> Callable[[Sequence[Document], Path], Counter[str]]:
    entry = _format(format)
    if entry.write is None:
        raise CorpusError(f"format '{format}' holds no annotation and is only read. Write {', '.join(WRITABLE)}.")
    if entry.suffixes and path.is_dir():
        raise CorpusError(f"{path} is a folder; format '{format}' is written to one file. Name the file.")
    if not entry.suffixes and path.is_file():
        raise CorpusError(f"{path} is a file; format '{format}' is written to a folder. Name a folder.")
    return entry.write


def guess_format(path: Path) -> str:
    """The name of the format that a file or folder looks like. Raises CorpusError when it looks like none."""
    if path.is_dir():
        names = sorted(child for child in path.iterdir() if child.is_file())
        if any(child.suffix == ".ann" for child in names):
            return "brat"
        guesses = {guess for child in names if (guess := _guess_file(child)) is not None}
    else:
        guess = _guess_file(path)
        guesses = set() if guess is None else {guess}
    if len(guesses) == 1:
        return guesses.pop()
    found = f"could be {' or '.join(sorted(guesses))}" if guesses else "looks like no known format"
    raise CorpusError(f"{path}: {found}. Name the format: {', '.join(FORMATS)}.")


def _guess_file(path: Path) -> str | None:
    if path.suffix == ".jsonl":
        return "jsonl"
    if path.suffix == ".ann" or (path.suffix == ".txt" and path.with_suffix(".ann").is_file()):
        return "brat"
    if path.suffix == ".json":
        return "phee" if _looks_like_phee(path) else None
    if path.suffix in (".tsv", ".conll", ".iob", ".bio"):
        return "conll"
    if path.suffix == ".txt":
        first = next((line for line in read_text(path).removeprefix("\ufeff").split("\n") if line.strip()), "")
        return "conll" if _IOB_LINE.fullmatch(first) else "brat"
    return None


def _looks_like_phee(path: Path) -> bool:
    first = next((line for line in read_text(path).removeprefix("\ufeff").split("\n") if line.strip()), "")
    try:
        record: object = json.loads(first)
    except ValueError:
        return False
    return isinstance(record, dict) and {"context", "annotations"} <= set(record)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise CorpusError(f"unknown format '{name}': {nearest(name, FORMATS)}")
    return FORMATS[name]
