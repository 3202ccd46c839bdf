"""What coordinator and site say to each other, as Flower records.

Two exchanges: `query.register` (nothing → registration) and `train.round` (adapter and plan → adapter and counts). A
site that cannot answer sends a failure instead. Nothing that a message holds is trusted: names, types, shapes and
encodings are checked, and no text of the sender enters an error message except site names and what sites report as
failures.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.checks import check_arrays
from fedmedlora.errors import CorpusError, FedMedLoRAError, InputError, MessageError, RefusedUpdateError
from fedmedlora.training.contract import JsonScalar, RoundPlan, SiteRegistration, SiteUpdate

REGISTER = "query.register"
ROUND = "train.round"
PROTOCOL = 1
"""Raised whenever records change, so that two versions of this package say so instead of misreading each other."""

_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_REASON = 2000

_T = TypeVar("_T", str, int, float)


class SiteFailure(NamedTuple):
    """Why a site did not do what it was asked: the error's class, and our own message where the error is ours.

    site: its name, empty where the site failed before it knew it.
    """

    kind: str
    message: str
    site: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


def pack_request() -> RecordDict:
    """Ask a site to register."""
    return RecordDict({"request": ConfigRecord({"protocol": PROTOCOL})})


def unpack_request(content: RecordDict) -> None:
    """Raise MessageError unless the request is one of this protocol."""
    _check_protocol(_config(content, "request"))


def pack_registration(registration: SiteRegistration) -> RecordDict:
    """A site's answer to `register`."""
    identity = ConfigRecord(
        {
            "protocol": PROTOCOL,
            "site": registration.site,
            "base_digest": registration.base_digest,
            "data_digest": registration.data_digest,
        }
    )
    counts = MetricRecord({"target_tokens": registration.target_tokens, "examples": registration.examples})
    return RecordDict({"registration": identity, "counts": counts})


def unpack_registration(content: RecordDict) -> SiteRegistration:
    """Read a registration. Raises MessageError, or TrainingError for a site without examples."""
    identity, counts = _config(content, "registration"), _metrics(content, "counts")
    _check_protocol(identity)
    site = _take(identity, "site", str)
    if not _SITE_NAME.fullmatch(site):
        raise MessageError(
            "a site registered under a name that is no site name. Expected 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit; rename the site in its configuration."
        )
    return SiteRegistration(
        site=site,
        target_tokens=_take(counts, "target_tokens", int),
        examples=_take(counts, "examples", int),
        base_digest=_take(identity, "base_digest", str),
        data_digest=_take(identity, "data_digest", str),
    )


def pack_round(state: AdapterState, plan: RoundPlan) -> RecordDict:
    """Ask a site for one round of training. The tensors that go out are those that the site sends back."""
    record = ConfigRecord(
        {
            "protocol": PROTOCOL,
            "round": plan.round,
            "rounds": plan.rounds,
            "seed": plan.seed,
            # JSON, because records have no null and would lose it.
            "settings": json.dumps(dict(plan.settings), sort_keys=True, allow_nan=False),
        }
    )
    return RecordDict({"plan": record, **_pack_state(state)})


def unpack_round(content: RecordDict) -> tuple[AdapterState, RoundPlan]:
    """Read the global adapter and the plan. Raises MessageError or AdapterError."""
    record = _config(content, "plan")
    _check_protocol(record)
    plan = RoundPlan(
        round=_take(record, "round", int),
        rounds=_take(record, "rounds", int),
        seed=_take(record, "seed", int),
        settings=_settings(_take(record, "settings", str)),
    )
    return AdapterState(_float32(_arrays(content)), _spec(content)), plan


def pack_update(update: SiteUpdate) -> RecordDict:
    """A site's answer to `round`."""
    identity = ConfigRecord({"protocol": PROTOCOL, "site": update.site, "round": update.round})
    metrics = MetricRecord(
        {
            "target_tokens": update.target_tokens,
            "examples": update.examples,
            "steps": update.steps,
            "loss": float(update.loss),
            "seconds": float(update.seconds),
        }
    )
    return RecordDict({"update": identity, "metrics": metrics, **_pack_state(update.state)})


def unpack_update(content: RecordDict, site: str, round: int, reference: AdapterState) -> SiteUpdate:
    """Read what `site` sent for `round`; `reference` is the state that went out.

    Raises RefusedUpdateError, naming site and tensor, for an adapter that does not fit, for another site's name and
    another round; MessageError for what cannot be read; TrainingError for a loss that is not finite.
    """
    identity, metrics = _config(content, "update"), _metrics(content, "metrics")
    _check_protocol(identity)
    if _take(identity, "site", str) != site:
        raise RefusedUpdateError(
            site, None, "its update bears another site's name; give each site its own configuration"
        )
    found = _take(identity, "round", int)
    if found != round:
        raise RefusedUpdateError(site, None, f"its update is of round {found}, expected {round}")
    difference = reference.spec.difference(_spec(content))
    if difference is not None:
        raise RefusedUpdateError(site, None, f"{difference}; give the site this study's base model and settings")
    arrays = _arrays(content)
    check_arrays(site, arrays, reference)
    return SiteUpdate(
        site=site,
        round=round,
        state=AdapterState(_float32(arrays), reference.spec),
        target_tokens=_take(metrics, "target_tokens", int),
        examples=_take(metrics, "examples", int),
        steps=_take(metrics, "steps", int),
        loss=_take(metrics, "loss", float),
        seconds=_take(metrics, "seconds", float),
    )


def pack_failure(error: Exception, site: str) -> RecordDict:
    """What may leave a site of an error: our own message, which never holds note text; of any other, its class name.

    An error of the site's notes may name files, documents and patients, so it stays in the site's log too.
    """
    message = str(error)[:_LONGEST_REASON] if isinstance(error, FedMedLoRAError) else ""
    if isinstance(error, CorpusError):
        message = "its notes cannot be used; the site's own log says why."
    return RecordDict({"failure": ConfigRecord({"kind": type(error).__name__, "message": message, "site": site})})


def unpack_failure(content: RecordDict) -> SiteFailure | None:
    """The failure that a reply reports, printable characters only; None for a reply that reports none."""
    record = content.config_records.get("failure")
    if record is None:
        return None
    kind, message, site = (record.get(key) for key in ("kind", "message", "site"))
    if not (isinstance(kind, str) and kind.isidentifier() and isinstance(message, str) and isinstance(site, str)):
        return SiteFailure("MessageError", "the site reported a failure that cannot be read.")
    shown = "".join(letter if letter.isprintable() else " " for letter in message[:_LONGEST_REASON])
    return SiteFailure(kind[:80], shown, site if _SITE_NAME.fullmatch(site) else "")


def _pack_state(state: AdapterState) -> dict[str, ArrayRecord | ConfigRecord]:
    spec = state.spec
    arrays = {name: Array.from_numpy_ndarray(array) for name, array in state.arrays.items()}
    record = ConfigRecord(
        {"rank": spec.rank, "alpha": spec.alpha, "targets": list(spec.targets), "base_digest": spec.base_digest}
    )
    return {"adapter": ArrayRecord(arrays), "spec": record}


def _spec(content: RecordDict) -> AdapterSpec:
    record = _config(content, "spec")
    try:
        return AdapterSpec.from_json(dict(record))
    except InputError as error:
        raise MessageError(
            "a message's adapter spec cannot be read. Use one version of fedmedlora everywhere."
        ) from error


def _arrays(content: RecordDict) -> dict[str, npt.NDArray[np.generic]]:
    record = content.array_records.get("adapter")
    if record is None:
        raise MessageError("a message lacks the record 'adapter'. Use one version of fedmedlora everywhere.")
    names = enumerate(record, start=1)
    return {name: _decode(record[name], f"array {place} of {len(record)}") for place, name in names}


def _decode(array: Array, which: str) -> npt.NDArray[np.generic]:
    """View the bytes of one array. Its header is first checked against their number, lest it ask for memory."""
    try:
        return _view(array.data)
    except Exception as error:
        # NumPy parses the header as Python: what is wrong with it surfaces as almost any kind of exception.
        raise MessageError(
            f"a message's adapter, {which}: its bytes do not make the array that they declare. Send the update again."
        ) from error


def _view(data: bytes) -> npt.NDArray[np.generic]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    start = stream.tell()
    wrong = dtype.hasobject or dtype.itemsize == 0 or any(size < 0 for size in shape)
    if wrong or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError("header and bytes do not agree")
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape, order="F" if fortran else "C")


def _float32(arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.float32]]:
    """The same arrays under the type they must have; raises MessageError where one has not."""
    found: dict[str, npt.NDArray[np.float32]] = {}
    for place, (name, array) in enumerate(arrays.items(), start=1):
        if array.dtype != np.float32:
            raise MessageError(
                f"a message's adapter, array {place} of {len(arrays)}: dtype {array.dtype}, expected float32."
            )
        found[name] = array.astype(np.float32, copy=False)
    return found


def _settings(text: str) -> dict[str, JsonScalar]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MessageError("a plan's settings are not JSON. Use one version of fedmedlora everywhere.") from error
    if not isinstance(value, dict) or not all(isinstance(v, str | int | float | None) for v in value.values()):
        raise MessageError("a plan's settings are not a flat JSON object. Use one version of fedmedlora everywhere.")
    return value


def _config(content: RecordDict, name: str) -> ConfigRecord:
    record = content.config_records.get(name)
    if record is None:
        raise MessageError(f"a message lacks the record '{name}'. Use one version of fedmedlora everywhere.")
    return record


def _metrics(content: RecordDict, name: str) -> MetricRecord:
    record = content.metric_records.get(name)
    if record is None:
        raise MessageError(f"a message lacks the record '{name}'. Use one version of fedmedlora everywhere.")
    return record


def _check_protocol(record: ConfigRecord) -> None:
    found = _take(record, "protocol", int)
    if found != PROTOCOL:
        raise MessageError(
            f"a message speaks protocol {found}, this program {PROTOCOL}. Install one version of fedmedlora everywhere."
        )


def _take(record: ConfigRecord | MetricRecord, key: str, kind: type[_T]) -> _T:
    value = record.get(key)
    if type(value) is not kind:
        raise MessageError(
            f"a message's '{key}' is missing or no {kind.__name__}. Use one version of fedmedlora everywhere."
        )
    return value
