"""What verbs share: the options `--json` and `--labels`, the example under a help text, ways to print a result."""

from __future__ import annotations

import json
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


def label_set(path: Path | None) -> LabelSet:
    """The label set of `--labels`."""
    from fedmedlora.corpus.labels import CLINICAL, LabelSet

    return CLINICAL if path is None else LabelSet.from_toml(path)


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
