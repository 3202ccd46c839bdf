"""`fedmedlora data`: convert notes from one format to another, and check what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmedlora.cli.output import (
    AsJson,
    Labels,
    ReadAs,
    WriteAs,
    example,
    format_of_name,
    label_set,
    note,
    print_json,
)
from fedmedlora.errors import ConfigError

if TYPE_CHECKING:
    from fedmedlora.corpus.document import ReadResult

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Recipe = Annotated[
    str | None, typer.Option(metavar="NAME", help="Map a corpus's own labels to the schema by this recipe.")
]


@app.callback()
def data() -> None:
    """Read, convert and check notes."""


@app.command(
    epilog=example("fedmedlora data convert corpora/chia chia-test.jsonl --recipe chia --split splits.json:test")
)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file or folder of notes.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write; for brat, the folder.")],
    read_as: ReadAs = None,
    write_as: WriteAs = None,
    recipe: Recipe = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="FILE:PART",
            help="Take one part of a split file: train, dev or test of the recipe's corpus, or CORPUS/PART.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert notes between formats: jsonl, brat, conll, phee; text (plain notes, a file each) is only read.

    What a reader, a recipe or OUT's format cannot hold is counted by reason on standard error.
    """
    from fedmedlora.corpus.formats import write_documents

    format_out = write_as or format_of_name(target)
    result = _read(source, read_as, recipe, split)
    dropped = result.dropped + write_documents(result.documents, target, format_out)
    if as_json:
        print_json(
            {"documents": len(result.documents), "out": str(target), "format": format_out, "dropped": dict(dropped)}
        )
        return
    for reason, count in sorted(dropped.items()):
        note(f"dropped: {reason}: {count:,}")
    typer.echo(f"{len(result.documents):,} documents written to {target} ({format_out})")


@app.command(epilog=example("fedmedlora data check notes.jsonl", "fedmedlora data check corpora/chia --recipe chia"))
def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or folder of notes.")],
    read_as: ReadAs = None,
    recipe: Recipe = None,
    labels: Labels = None,
    as_json: AsJson = False,
) -> None:
    """Say what a site's notes hold, and what is wrong with them.

    Counts only, never text. Lines that begin with '!' should be mended before training; --json counts them as "faults".
    The exit status is 0 all the same: that faults were found is no error. What cannot be read at all ends with 2.
    """
    from fedmedlora.corpus.check import check_documents

    result = _read(path, read_as, recipe, None)
    report = check_documents(result.documents, result.dropped, label_set(labels))
    if as_json:
        print_json(report.to_json())
        return
    for line in report.lines():
        typer.echo(line)


def _read(path: Path, read_as: str | None, recipe: str | None, split: str | None) -> ReadResult:
    """Read, choose one part, map."""
    from fedmedlora.corpus.document import ReadResult
    from fedmedlora.corpus.formats import read_documents
    from fedmedlora.corpus.recipes import apply_recipe
    from fedmedlora.corpus.splits import load_split_file, select_part

    documents, dropped = read_documents(path, read_as)
    if split is not None:
        file, corpus, part = _split_part(split, recipe)
        documents = select_part(documents, load_split_file(file, corpus), part)
    if recipe is None:
        return ReadResult(documents, dropped)
    mapped = apply_recipe(recipe, documents)
    return ReadResult(mapped.documents, dropped + mapped.dropped)


def _split_part(text: str, recipe: str | None) -> tuple[Path, str, str]:
    file, colon, place = text.rpartition(":")
    corpus, slash, part = place.rpartition("/")
    corpus = corpus if slash else (recipe or "")
    if not (file and colon and corpus and part):
        raise ConfigError(
            f"--split {text}: expected FILE:CORPUS/PART (splits.json:chia/test), or FILE:PART with --recipe."
        )
    return Path(file), corpus, part
