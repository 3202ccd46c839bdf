"""Every error that fedmedlora raises on purpose.

    FedMedLoRAError                 base; exit status 1
    ├── InputError                  the user's mistake; exit status 2
    │   ├── CorpusError             a file, document, offset or label of a corpus
    │   ├── LabelError              a label that the label set does not know
    │   ├── ConfigError             a study file, a flag, a combination of settings
    │   ├── BaseModelError          a base model that cannot be loaded or used
    │   └── AdapterError            an adapter that does not belong to this base or rule
    │       └── RefusedUpdateError  one site's update that may not enter the average
    ├── EnvironmentProblem          the machine's; exit status 3
    ├── TrainingError               training cannot go on (non-finite loss, no example)
    └── MessageError                a message between coordinator and site that cannot be read

A message says what is wrong, where (file, line, id), what was expected and what to do. It never holds note text:
pass ids, offsets and counts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedMedLoRAError(Exception):
    """Base of every error raised on purpose. `exit_code` is what the command line ends with."""

    exit_code: int = 1


class InputError(FedMedLoRAError):
    """Something the user gave cannot be used."""

    exit_code = 2


class CorpusError(InputError):
    """A corpus file, document, offset or annotation is wrong."""


class LabelError(InputError):
    """A label is unknown to the label set, or may not attach where it was attached."""


class ConfigError(InputError):
    """A study file or a flag is wrong."""


class BaseModelError(InputError):
    """A base model cannot be loaded or lacks what the task needs."""


class AdapterError(InputError):
    """An adapter does not fit the base, the other adapters or the rule."""


class RefusedUpdateError(AdapterError):
    """One site's update was refused; the others go on without it.

    Attributes: `site`, its name, and `tensor`, the first array at fault (None when no single array is).
    """

    def __init__(self, site: str, tensor: str | None, reason: str) -> None:
        self.site = site
        self.tensor = tensor
        self.reason = reason
        where = f"site '{site}'" if tensor is None else f"site '{site}', tensor '{tensor}'"
        super().__init__(f"{where}: {reason}. The update was refused; the round goes on without this site.")


class EnvironmentProblem(FedMedLoRAError):
    """The machine lacks something: a library, memory, disk, a port."""

    exit_code = 3


class TrainingError(FedMedLoRAError):
    """Training cannot go on at this site."""


class MessageError(FedMedLoRAError):
    """A message between coordinator and site lacks something, or holds what it should not."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause that names the nearest known name, or lists all of them.

    `nearest("maccrobatt", ["maccrobat", "chia"])` gives `did you mean 'maccrobat'? Known: chia, maccrobat`.
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(options) if options else '(none)'}"
