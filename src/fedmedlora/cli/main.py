"""The `fedmedlora` command: its verbs, and what each kind of failure prints and returns.

Exit status: 0 done, 2 the user's mistake, 3 the environment's, 1 ours; 130 interrupted. `--help` loads nothing but the
argument parser: every verb imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import click
import typer
import typer.core

from fedmedlora import __version__
from fedmedlora.cli import data, model, notes, study
from fedmedlora.errors import FedMedLoRAError

TRACEBACK_VARIABLE = "FEDMEDLORA_TRACEBACK"

DONE, OURS, USER, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 130

_FULL_OR_FORBIDDEN = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)

# Plain help: loading rich takes longer than all the rest, and the generated reference wants text without escapes.
typer.core.HAS_RICH = False

app = typer.Typer(
    name="fedmedlora",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
study.add_verbs(app)
notes.add_verbs(app)
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedmedlora {__version__}")
        raise typer.Exit


@app.callback()
def fedmedlora(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Federated, parameter-efficient training of language models for clinical information extraction.

    Start with `fedmedlora demo`. Results go to standard output, progress and messages to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (the process's own by default) and return its exit status."""
    try:
        status = app(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USER
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted.")
        return INTERRUPTED
    except FedMedLoRAError as error:
        _say(str(error))
        _trace()
        return error.exit_code
    except Exception as error:
        return _unplanned(error)
    return status if isinstance(status, int) else DONE


def run_and_exit() -> None:
    """The console script."""
    sys.exit(main())


def _unplanned(error: Exception) -> int:
    """Report an exception that no room raised on purpose, without its message: it could quote a note."""
    status = OURS
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("fedmedlora"):
        _say(f"the library '{error.name}' is not installed. Install fedmedlora again with `pip install fedmedlora`.")
        status = ENVIRONMENT
    elif isinstance(error, MemoryError):
        _say("out of memory. Use a smaller batch_size or a smaller base.")
        status = ENVIRONMENT
    elif isinstance(error, OSError) and error.errno in _FULL_OR_FORBIDDEN:
        _say(f"{error.filename or 'the system'}: {error.strerror}.")
        status = ENVIRONMENT
    else:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error)
        _say(
            f"{kind.__module__}.{kind.__qualname__} at {place.filename}:{place.lineno} in {place.name}. This is a "
            "fault of fedmedlora. Its message is left out because it could quote a note; "
            f"{TRACEBACK_VARIABLE}=1 shows the whole traceback."
        )
    _trace()
    return status


def _say(text: str) -> None:
    typer.echo(f"fedmedlora: {text}", err=True)


def _trace() -> None:
    """The traceback of the exception being handled, where the user has asked for it."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        traceback.print_exc()
