"""The two files by which apps that Flower starts learn what to do: the coordinator's, and one at each site.

The code that trains is named by a site in its own file, never by the coordinator.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedmedlora.adapters.state import AdapterState, from_bytes, to_bytes
from fedmedlora.errors import ConfigError
from fedmedlora.federation.plan import FederationPlan, read_fields
from fedmedlora.record import write_atomic

_INITIAL = "initial.safetensors"


@dataclass(frozen=True)
class Factory:
    """A function by name, "module:function", and the JSON arguments that it is called with."""

    name: str
    arguments: dict[str, object] = field(default_factory=dict)

    def make(self) -> object:
        """Import the function and call it. Raises ConfigError when there is no such function."""
        module, colon, function = self.name.partition(":")
        if not (module and colon and function):
            raise ConfigError(f"'{self.name}' names no function. Expected MODULE:FUNCTION.")
        try:
            found = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"'{self.name}': no such function can be imported here. Check name and installation."
            ) from error
        if not callable(found):
            raise ConfigError(f"'{self.name}' is not a function. Expected MODULE:FUNCTION.")
        made: object = found(**self.arguments)
        return made


@dataclass(frozen=True)
class CoordinatorJob:
    """What the ServerApp runs. `validator` makes a Validator; `folder` keeps checkpoint and result."""

    plan: FederationPlan
    initial: AdapterState
    folder: Path
    validator: Factory | None
    resume: bool


@dataclass(frozen=True)
class SiteJob:
    """What the ClientApp of one site runs. `trainer` makes a SiteTrainer of that site."""

    site: str
    trainer: Factory


def write_coordinator_job(path: Path, job: CoordinatorJob) -> None:
    """Write the job, the initial adapter beside it."""
    initial = path.with_name(f"{path.stem}-{_INITIAL}")
    write_atomic(initial, to_bytes(job.initial))
    validator = None if job.validator is None else _factory_json(job.validator)
    value = {
        "plan": job.plan.to_json(),
        "initial": initial.name,
        "folder": str(job.folder.absolute()),
        "validator": validator,
        "resume": job.resume,
    }
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_coordinator_job(path: Path) -> CoordinatorJob:
    """Read a job; its paths count from the file's folder. Raises ConfigError, and AdapterError for a bad adapter."""
    note = read_fields(_CoordinatorNote, _read(path), str(path))
    initial = from_bytes(_read(path.parent / note.initial))
    plan = FederationPlan.from_json(note.plan)
    return CoordinatorJob(plan, initial, path.parent / note.folder, note.validator, note.resume)


def write_site_job(path: Path, job: SiteJob) -> None:
    """Write one site's job."""
    value = {"site": job.site, "trainer": _factory_json(job.trainer)}
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_site_job(path: Path) -> SiteJob:
    """Read one site's job. Raises ConfigError."""
    return read_fields(SiteJob, _read(path), str(path))


@dataclass(frozen=True)
class _CoordinatorNote:
    plan: dict[str, object]
    initial: str
    folder: str
    validator: Factory | None = None
    resume: bool = False


def _factory_json(factory: Factory) -> Mapping[str, object]:
    return {"name": factory.name, "arguments": factory.arguments}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). Expected a file that this program wrote."
        ) from error
