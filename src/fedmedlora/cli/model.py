"""`fedmedlora model`: what a base model or an adapter holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmedlora.cli.output import AsJson, example, print_json, quiet_libraries

if TYPE_CHECKING:
    from fedmedlora.corpus.document import Json

app = typer.Typer(help="Look into base models and adapters.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def model() -> None:
    """Look into base models and adapters."""


@app.command(epilog=example("fedmedlora model inspect runs/open-benchmark/adapters/fedmedlora/0"))
def inspect(
    which: Annotated[
        str, typer.Argument(metavar="MODEL", help="A base ('bundled', a folder, a hub name) or an adapter's folder.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what a base model or an adapter is: size, digest, and for an adapter its rank, alpha, targets and base.

    An adapter's files are read whole and checked against their digest.
    """
    quiet_libraries()
    from fedmedlora.adapters.state import CONFIG_FILE

    found = _adapter(Path(which)) if (Path(which) / CONFIG_FILE).is_file() else _base(which)
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        typer.echo(f"{key.replace('_', ' '):<16}{shown}")


def _adapter(folder: Path) -> dict[str, Json]:
    from fedmedlora.adapters.state import load_state

    state = load_state(folder, None)
    return {
        "kind": "adapter",
        "parameters": state.parameters,
        "bytes": state.nbytes,
        "digest": state.digest,
        "rank": state.spec.rank,
        "alpha": state.spec.alpha,
        "targets": list(state.spec.targets),
        "base_digest": state.spec.base_digest,
    }


def _base(name: str) -> dict[str, Json]:
    from fedmedlora.adapters.base import load_base
    from fedmedlora.adapters.lora import linear_targets

    base = load_base(name)
    return {
        "kind": "base",
        "architecture": type(base.model).__name__,
        "parameters": base.parameters,
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "tokens": len(base.tokenizer.hub),
        "digest": base.digest,
        "targets": list(linear_targets(base.model)),
    }
