"""The coordinator's memory on disk: after a crash at any moment it holds the last complete round, whole.

A round's adapter is written first, under a name of its own, and `checkpoint.json`, which names it, is replaced last and
atomically; until then the checkpoint is the one before. The coordinator draws no random number: the seed in the plan,
with the round, is the whole state of chance. Optimizer moments stay with the sites (`training.contract`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fedmedlora.adapters.state import AdapterState, from_bytes, to_bytes
from fedmedlora.errors import AdapterError, ConfigError
from fedmedlora.federation.history import RoundRecord
from fedmedlora.federation.plan import FederationPlan, read_fields
from fedmedlora.record import write_atomic
from fedmedlora.training.contract import SiteRegistration

FILE = "checkpoint.json"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the coordinator needs to go on.

    state: the global adapter after the rounds of `history`. initial_digest: of the adapter that the first round began
    with. registrations fix the weights.
    """

    state: AdapterState
    initial_digest: str
    history: tuple[RoundRecord, ...]
    registrations: tuple[SiteRegistration, ...]
    left_out: Mapping[str, str]

    @property
    def next_round(self) -> int:
        """The round to run next, from 0."""
        return len(self.history)


@dataclass(frozen=True)
class _Note:
    """What the file holds; the number of rounds done is the length of `history`."""

    format: int
    plan: dict[str, object]
    initial_digest: str
    adapter: str
    adapter_digest: str
    registrations: tuple[SiteRegistration, ...]
    left_out: dict[str, str]
    history: tuple[RoundRecord, ...]


def has_checkpoint(folder: Path) -> bool:
    """Whether a federation has begun in this folder."""
    return (folder / FILE).exists()


def adapter_file(folder: Path, rounds_done: int) -> Path:
    """Where the global adapter after that many rounds lies; 0 is the initial one."""
    return folder / f"global-{rounds_done:04d}.safetensors"


def write_checkpoint(folder: Path, plan: FederationPlan, checkpoint: Checkpoint) -> None:
    """Make `checkpoint` the folder's current one. Adapters of earlier rounds stay."""
    adapter = adapter_file(folder, checkpoint.next_round)
    write_atomic(adapter, to_bytes(checkpoint.state))
    note = _Note(
        format=_FORMAT,
        plan=plan.identity(),
        initial_digest=checkpoint.initial_digest,
        adapter=adapter.name,
        adapter_digest=checkpoint.state.digest,
        registrations=checkpoint.registrations,
        left_out=dict(checkpoint.left_out),
        history=checkpoint.history,
    )
    value = {**asdict(note), "history": [record.to_json() for record in checkpoint.history]}
    write_atomic(folder / FILE, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_checkpoint(folder: Path) -> tuple[Checkpoint, Mapping[str, object]]:
    """The folder's current checkpoint, and the identity of the plan that it belongs to.

    Raises ConfigError when there is none, or when a file is damaged.
    """
    path = folder / FILE
    try:
        note = read_fields(_Note, path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: no federation to resume here ({error.strerror}). Start one first.") from error
    if note.format != _FORMAT:
        raise ConfigError(f"{path}: a checkpoint of format {note.format}, expected {_FORMAT}. Start anew elsewhere.")
    adapter = folder / note.adapter
    try:
        state = from_bytes(adapter.read_bytes())
    except (OSError, AdapterError) as error:
        raise ConfigError(
            f"{adapter}: the checkpoint's adapter cannot be read. Restore the file or start anew."
        ) from error
    if state.digest != note.adapter_digest:
        raise ConfigError(f"{adapter}: it is not the adapter that {FILE} names. Restore the file or start anew.")
    return Checkpoint(state, note.initial_digest, note.history, note.registrations, note.left_out), note.plan


def check_same_federation(folder: Path, plan: FederationPlan, found: Mapping[str, object]) -> None:
    """Raise ConfigError, naming what differs, unless the checkpoint's plan is this one."""
    expected = json.loads(json.dumps(plan.identity()))
    changed = changes("", found, expected)
    if changed:
        raise ConfigError(
            f"{folder}: this federation began with other settings: {'; '.join(changed)}. "
            "Go back to them to resume, or start anew in another folder."
        )


def changes(prefix: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """What differs between two nested tables, in words: `lr was 0.1, is 0.2`; keys dotted, below `prefix`."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += changes(f"{prefix}{key}.", before, after)
        elif before != after:
            found.append(f"{prefix}{key} was {json.dumps(before)}, is {json.dumps(after)}")
    return found
