"""The coordinator's memory on disk: after a crash at any moment it holds the last complete round, whole.

A round's adapter is written first, under a name of its own, then, where the coordinator remembers more than it (moments
of a server optimizer, what a product's cut lost), that memory; `checkpoint.json`, which names them, is replaced last
and atomically, and until then the checkpoint is the one before. The memory is never sent. The coordinator draws no
random number: the seed in the plan, with the round, is the whole state of chance. The moments of training stay with
the sites (`training.contract`).
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
from fedmedlora.record import digest_json, write_atomic
from fedmedlora.training.contract import SiteRegistration

FILE = "checkpoint.json"
_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """Everything that the coordinator needs to go on.

    state: the global adapter after the rounds of `history`. initial_digest: of the adapter that the first round began
    with. registrations fix the weights. memory: what the coordinator carries from round to round beside the adapter.
    """

    state: AdapterState
    initial_digest: str
    history: tuple[RoundRecord, ...]
    registrations: tuple[SiteRegistration, ...]
    left_out: Mapping[str, str]
    memory: AdapterState | None = None

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
    memory: str | None = None
    memory_digest: str | None = None


def has_checkpoint(folder: Path) -> bool:
    """Whether a federation has begun in this folder."""
    return (folder / FILE).exists()


def adapter_file(folder: Path, rounds_done: int) -> Path:
    """Where the global adapter after that many rounds lies; 0 is the initial one."""
    return folder / f"global-{rounds_done:04d}.safetensors"


def write_checkpoint(folder: Path, plan: FederationPlan, checkpoint: Checkpoint) -> None:
    """Make `checkpoint` the folder's current one. Adapters of earlier rounds stay; of memories, the last two."""
    adapter = adapter_file(folder, checkpoint.next_round)
    write_atomic(adapter, to_bytes(checkpoint.state))
    memory = _memory_file(folder, checkpoint.next_round)
    if checkpoint.memory is not None:
        write_atomic(memory, to_bytes(checkpoint.memory))
    note = _Note(
        format=_FORMAT,
        plan=plan.identity(),
        initial_digest=checkpoint.initial_digest,
        adapter=adapter.name,
        adapter_digest=checkpoint.state.digest,
        registrations=checkpoint.registrations,
        left_out=dict(checkpoint.left_out),
        history=checkpoint.history,
        memory=None if checkpoint.memory is None else memory.name,
        memory_digest=None if checkpoint.memory is None else checkpoint.memory.digest,
    )
    value = {**asdict(note), "history": [record.to_json() for record in checkpoint.history]}
    write_atomic(folder / FILE, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
    _memory_file(folder, checkpoint.next_round - 2).unlink(missing_ok=True)


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
    state = _read_state(folder / note.adapter, "adapter", note.adapter_digest)
    memory = None if note.memory is None else _read_state(folder / note.memory, "memory", note.memory_digest)
    found = Checkpoint(state, note.initial_digest, note.history, note.registrations, note.left_out, memory)
    return found, note.plan


def check_same_federation(folder: Path, plan: FederationPlan, found: Mapping[str, object]) -> None:
    """Raise ConfigError, naming what differs, unless the checkpoint's plan is this one."""
    expected = json.loads(json.dumps(plan.identity()))
    changed = changes("", found, expected)
    if changed:
        raise ConfigError(
            f"{folder}: this federation began with other settings: {'; '.join(changed)}. "
            "Go back to them to resume, or start anew in another folder."
        )


def federation_digest(plan: Mapping[str, object], initial_digest: str) -> str:
    """SHA-256 of what decides a federation's result, by the identity of its plan: names what sites keep for it."""
    return digest_json([plan, initial_digest])


def federation_in(folder: Path) -> str:
    """The digest of the federation whose checkpoint is in `folder`. Raises ConfigError when there is none."""
    checkpoint, plan = read_checkpoint(folder)
    return federation_digest(plan, checkpoint.initial_digest)


def _memory_file(folder: Path, rounds_done: int) -> Path:
    return folder / f"memory-{rounds_done:04d}.safetensors"


def _read_state(path: Path, what: str, digest: str | None) -> AdapterState:
    try:
        state = from_bytes(path.read_bytes())
    except (OSError, AdapterError) as error:
        raise ConfigError(f"{path}: the checkpoint's {what} cannot be read. Restore the file or start anew.") from error
    if state.digest != digest:
        raise ConfigError(f"{path}: it is not the {what} that {FILE} names. Restore the file or start anew.")
    return state


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
