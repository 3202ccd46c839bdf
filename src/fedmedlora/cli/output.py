"""What verbs share: options that several of them take, the example under a help text, ways to print a result."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedmedlora.corpus.document import Json
    from fedmedlora.corpus.labels import LabelSet

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Labels = Annotated[
    Path | None, typer.Option(metavar="L", help="TOML file of the label set; by default the clinical one.")
]
ReadAs = Annotated[
    str | None, typer.Option("--from", metavar="F", help="Format of what is read; by default told by name and content.")
]
WriteAs = Annotated[
    str | None, typer.Option("--to", metavar="F", help="Format of what is written; by default told by its name.")
]

_LIBRARY_DEFAULTS = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def quiet_libraries() -> None:
    """Keep the model library from calling out and from drawing bars; before it is imported. What the user set stays."""
    for name, value in _LIBRARY_DEFAULTS.items():
        os.environ.setdefault(name, value)


def label_set(path: Path | None) -> LabelSet:
    """The label set of `--labels`."""
    from fedmedlora.corpus.labels import CLINICAL, LabelSet

    return CLINICAL if path is None else LabelSet.from_toml(path)


def format_of_name(target: Path) -> str:
    """The format to write that a file's name tells. Raises ConfigError when it tells none."""
    from fedmedlora.corpus.formats import FORMATS, WRITABLE
    from fedmedlora.errors import ConfigError

    for name in WRITABLE:
        if target.suffix in FORMATS[name].suffixes:
            return name
    raise ConfigError(f"{target}: the format to write cannot be told by this name. Add --to {'|'.join(WRITABLE)}.")


def example(*lines: str) -> str:
    """The epilogue of a verb's help; the control character keeps its lines apart."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def print_json(value: Mapping[str, Json]) -> None:
    """Print one JSON object as one line on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest cell; the first is left-aligned, the others right-aligned."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        typer.echo("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Print progress or a remark on standard error."""
    typer.echo(text, err=True)
