"""The adapter as a plain value: named float32 arrays, what they belong to, a digest. Needs numpy, never torch.

An `AdapterState` is what goes out and back once a round. It is immutable: its arrays are read-only, and one that the
caller could still write to is copied. Names are PEFT's state-dict keys, such as
`base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from fedmedlora.errors import AdapterError
from fedmedlora.record import write_atomic

Array = npt.NDArray[np.float32]
Shapes = Mapping[str, tuple[int, ...]]

CONFIG_FILE = "adapter_config.json"
TENSOR_FILE = "adapter_model.safetensors"
SPEC_FILE = "fedmedlora.json"
_METADATA_KEY = "fedmedlora"

WHOLE = 0
"""The rank of what is no LoRA: the weights themselves, which α does not scale."""


@dataclass(frozen=True)
class AdapterSpec:
    """What a set of adapter arrays belongs to.

    `rank` and `alpha` are LoRA's r and α (the update is scaled by α / r), or `WHOLE` and any α, `targets` the adapted
    modules' names, kept sorted and without repeats, `base_digest` the hex digest of what the arrays belong to: the base
    model's configuration and weights. Raises AdapterError for a negative rank, an α that is not positive, no target, or
    no digest.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    base_digest: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", float(self.alpha))
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets))))
        if self.rank < WHOLE:
            raise AdapterError(f"LoRA rank is {self.rank}; expected an integer of at least 1, or {WHOLE} for no LoRA.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise AdapterError(f"LoRA alpha is {self.alpha}; expected a positive number.")
        if not self.targets or not all(self.targets):
            raise AdapterError("LoRA targets are empty; name at least one module, for example 'q_proj'.")
        if not self.base_digest:
            raise AdapterError("the base model's digest is empty; an adapter must say which base it belongs to.")

    def to_json(self) -> dict[str, object]:
        """A JSON object that `from_json` reads back."""
        return {
            "rank": self.rank,
            "alpha": self.alpha,
            "targets": list(self.targets),
            "base_digest": self.base_digest,
        }

    @classmethod
    def from_json(cls, value: object) -> AdapterSpec:
        """Read a spec from a JSON object. Raises AdapterError naming the key that is missing or of another type."""
        if not isinstance(value, dict):
            raise AdapterError("an adapter's spec must be a JSON object with rank, alpha, targets and base_digest.")
        rank, alpha, targets, base = (value.get(key) for key in ("rank", "alpha", "targets", "base_digest"))
        if not isinstance(rank, int) or isinstance(rank, bool):
            raise AdapterError("an adapter's spec: 'rank' is missing or not an integer.")
        if not isinstance(alpha, int | float) or isinstance(alpha, bool):
            raise AdapterError("an adapter's spec: 'alpha' is missing or not a number.")
        if not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
            raise AdapterError("an adapter's spec: 'targets' is missing or not a list of module names.")
        if not isinstance(base, str):
            raise AdapterError("an adapter's spec: 'base_digest' is missing or not a string.")
        return cls(rank, float(alpha), tuple(targets), base)

    def difference(self, other: AdapterSpec) -> str | None:
        """In words, how `other` departs from this spec (the expected one), or None when it does not."""
        if self.base_digest != other.base_digest:
            return f"it belongs to another base model ({other.base_digest[:12]}…, expected {self.base_digest[:12]}…)"
        for name, mine, theirs in (
            ("rank", self.rank, other.rank),
            ("alpha", self.alpha, other.alpha),
            ("target modules", ", ".join(self.targets), ", ".join(other.targets)),
        ):
            if mine != theirs:
                return f"its {name} is {theirs}, expected {mine}"
        return None


@dataclass(frozen=True, eq=False)
class AdapterState:
    """One adapter's arrays, float32 and read-only, sorted by name, with the spec that they belong to.

    Two states are equal when their digests are. Values may be any float32, NaN included: the rules of aggregation
    refuse those, naming site and tensor. Raises AdapterError for no array, an empty array, or another dtype.
    """

    arrays: Mapping[str, Array]
    spec: AdapterSpec

    def __post_init__(self) -> None:
        if not self.arrays:
            raise AdapterError("an adapter state needs at least one array; this one has none.")
        frozen = {name: _read_only(name, self.arrays[name]) for name in sorted(self.arrays)}
        object.__setattr__(self, "arrays", MappingProxyType(frozen))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over spec, names, shapes and little-endian bytes, as 64 hexadecimal digits."""
        layout = {"spec": self.spec.to_json(), "arrays": [[n, "float32", list(s)] for n, s in self.shapes.items()]}
        total = hashlib.sha256(json.dumps(layout, sort_keys=True).encode("utf-8") + b"\0")
        for array in self.arrays.values():
            total.update(np.ascontiguousarray(array, dtype="<f4").data)
        return total.hexdigest()

    @cached_property
    def doubtful(self) -> tuple[str, ...]:
        """Names of the arrays whose sum of squares is not finite. Only these can hold NaN, infinite or huge values.

        A sum of squares costs one pass over the memory; everything in all other arrays is below 1.9e19.
        """
        with np.errstate(all="ignore"):
            return tuple(name for name, array in self.arrays.items() if not math.isfinite(_sum_of_squares(array)))

    @property
    def shapes(self) -> Shapes:
        """Name to shape, in the order of names."""
        return {name: tuple(array.shape) for name, array in self.arrays.items()}

    @property
    def parameters(self) -> int:
        """Number of values in all arrays."""
        return sum(array.size for array in self.arrays.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays as float32, without names."""
        return sum(array.nbytes for array in self.arrays.values())

    def select(self, keep: Callable[[str], bool]) -> AdapterState:
        """The state with only the arrays whose name `keep` accepts. Raises AdapterError when it accepts none."""
        return AdapterState({name: array for name, array in self.arrays.items() if keep(name)}, self.spec)

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, AdapterState) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[AdapterState], tuple[dict[str, Array], AdapterSpec]]:
        # A mapping proxy can't be pickled, and processes hand states to each other.
        return AdapterState, (dict(self.arrays), self.spec)


def _sum_of_squares(array: Array) -> float:
    flat = array.ravel(order="K")
    return float(np.dot(flat, flat))


def shape_mismatch(expected: Shapes, found: Shapes) -> tuple[str, str] | None:
    """The first name, in sorted order, at which two layouts differ, and how; None when they agree."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return name, f"it is missing ({len(expected)} tensors expected, {len(found)} found)"
        if name not in expected:
            return name, f"it is unknown ({len(expected)} tensors expected, {len(found)} found)"
        if expected[name] != found[name]:
            return name, f"its shape is {list(found[name])}, expected {list(expected[name])}"
    return None


def require_same_shape(expected: AdapterState, found: AdapterState) -> None:
    """Raise AdapterError, naming the tensor, unless both states have the same spec, names and shapes."""
    require_layout(expected.spec, expected.shapes, found)


def require_layout(spec: AdapterSpec, shapes: Shapes, found: AdapterState) -> None:
    """Raise AdapterError, naming the tensor, unless a state has this spec and these names and shapes."""
    reason = spec.difference(found.spec)
    if reason is not None:
        raise AdapterError(f"the adapter does not fit: {reason}. Use adapters of one study only.")
    fault = shape_mismatch(shapes, found.shapes)
    if fault is not None:
        raise AdapterError(f"tensor '{fault[0]}' does not fit: {fault[1]}. Use adapters of one study only.")


def subtract(minuend: AdapterState, subtrahend: AdapterState) -> AdapterState:
    """`minuend − subtrahend`, array by array, in float32. Raises AdapterError naming a tensor that does not fit."""
    require_same_shape(minuend, subtrahend)
    return AdapterState(_frozen((n, a - subtrahend.arrays[n]) for n, a in minuend.arrays.items()), minuend.spec)


def add(state: AdapterState, change: AdapterState) -> AdapterState:
    """`state + change`, array by array, in float32. Raises AdapterError naming a tensor that does not fit."""
    require_same_shape(state, change)
    return AdapterState(_frozen((n, a + change.arrays[n]) for n, a in state.arrays.items()), state.spec)


def to_bytes(state: AdapterState) -> bytes:
    """Safetensors bytes with spec and digest in the metadata. Equal states give equal bytes."""
    # One metadata key only: safetensors writes several in no fixed order.
    note = json.dumps({"spec": state.spec.to_json(), "digest": state.digest}, sort_keys=True)
    return write_tensors(dict(state.arrays), metadata={_METADATA_KEY: note})


def from_bytes(data: bytes) -> AdapterState:
    """Read what `to_bytes` wrote. Raises AdapterError when bytes are cut, changed or not an adapter's."""
    arrays = _parse_tensors(data, "adapter bytes")
    try:
        # The header has been parsed once already, so its length and its JSON hold.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        note = json.loads(header["__metadata__"][_METADATA_KEY])
        spec, digest = note["spec"], note["digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise AdapterError("adapter bytes carry no fedmedlora metadata; expected what to_bytes wrote.") from error
    state = AdapterState(arrays, AdapterSpec.from_json(spec))
    if state.digest != digest:
        raise AdapterError(
            "adapter bytes were changed or damaged: their digest does not match. Send or save them again."
        )
    return state


def save_state(
    state: AdapterState, folder: Path, base_name: str, configuration: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Write an adapter folder in PEFT's layout, with `fedmedlora.json` (spec, digest) beside PEFT's two files.

    `base_name` is the base model's path or hub name, for programs that load the folder with PEFT; `configuration`
    replaces or adds keys of PEFT's configuration where the base is no causal language model. Each file is
    replaced atomically, and `fedmedlora.json` goes first and comes last: after a crash `load_state` either finds a
    whole adapter or says that the folder is incomplete. Other files in the folder stay.
    """
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": state.spec.rank,
        "lora_alpha": _whole(state.spec.alpha),
        "target_modules": list(state.spec.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        **configuration,
    }
    note = {"format": 1, "spec": state.spec.to_json(), "digest": state.digest}
    (folder / SPEC_FILE).unlink(missing_ok=True)
    write_atomic(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n")
    write_atomic(folder / TENSOR_FILE, write_tensors(dict(state.arrays), metadata={"format": "pt"}))
    write_atomic(folder / SPEC_FILE, json.dumps(note, indent=2, sort_keys=True) + "\n")


def load_state(folder: Path, expected_base_digest: str | None) -> AdapterState:
    """Read a folder that `save_state` wrote; None as the expected digest accepts any base.

    Raises AdapterError for a missing, incomplete or damaged folder, and for an adapter of another base model.
    """
    if not folder.is_dir():
        raise AdapterError(f"{folder}: no such adapter folder. Give the folder that holds {CONFIG_FILE}.")
    note = _read_json(folder / SPEC_FILE)
    config = _read_json(folder / CONFIG_FILE)
    spec = AdapterSpec.from_json(note.get("spec"))
    if expected_base_digest is not None and spec.base_digest != expected_base_digest:
        raise AdapterError(
            f"{folder}: this adapter was trained on another base model (digest {spec.base_digest[:12]}…) than the one "
            f"in use (digest {expected_base_digest[:12]}…). Its folder names '{config.get('base_model_name_or_path')}' "
            "as its base: use that model, in the same revision, or train a new adapter."
        )
    found = (config.get("r"), config.get("lora_alpha"), config.get("target_modules"))
    targets = sorted(map(str, found[2])) if isinstance(found[2], list) else found[2]
    if (found[0], found[1], targets) != (spec.rank, spec.alpha, list(spec.targets)):
        raise AdapterError(
            f"{folder / CONFIG_FILE}: r, lora_alpha or target_modules differ from {SPEC_FILE} (expected {spec.rank}, "
            f"{spec.alpha:g}, {', '.join(spec.targets)}). Restore the file or save the adapter again."
        )
    state = AdapterState(_parse_tensors(_read(folder / TENSOR_FILE), str(folder / TENSOR_FILE)), spec)
    if state.digest != note.get("digest"):
        raise AdapterError(
            f"{folder / TENSOR_FILE}: its digest does not match {SPEC_FILE}; the file was changed or damaged. "
            "Restore the folder or save the adapter again."
        )
    return state


def _read_only(name: str, array: object) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise AdapterError(f"tensor '{name}' is {kind}; expected a float32 array. Convert it first.")
    if array.size == 0:
        raise AdapterError(f"tensor '{name}' of shape {list(array.shape)} holds no value.")
    if array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
        array.setflags(write=False)
    return array


def _frozen(pairs: Iterable[tuple[str, Array]]) -> dict[str, Array]:
    """Mark fresh arrays read-only, which spares the copy that AdapterState makes of writable ones."""
    arrays = dict(pairs)
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _parse_tensors(data: bytes, source: str) -> dict[str, Array]:
    try:
        arrays: dict[str, Array] = read_tensors(data)
    # safetensors.numpy looks a dtype up in a dict and, for bfloat16, imports a module that may be absent.
    except (SafetensorError, KeyError, ImportError, ValueError, TypeError) as error:
        raise AdapterError(
            f"{source}: not readable as float32 safetensors (the data are cut, damaged or of another dtype). "
            "Restore them or save the adapter again."
        ) from error
    return arrays


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AdapterError(
            f"{path}: cannot be read ({error.strerror}). An adapter folder holds {CONFIG_FILE}, {TENSOR_FILE} and "
            f"{SPEC_FILE}; it is incomplete if saving was interrupted, or if another program wrote it. Save it again."
        ) from error


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise AdapterError(f"{path}: not JSON. Restore the file or save the adapter again.") from error
    if not isinstance(value, dict):
        raise AdapterError(f"{path}: expected a JSON object. Restore the file or save the adapter again.")
    return value
