"""What coordinator and site say to each other, as Flower records.

Two exchanges: `query.register` (nothing → registration) and `train.round` (adapter and plan → adapter and counts). A
site that cannot answer sends a failure instead. Nothing that a message holds is trusted: names, types, shapes and
encodings are checked, and no text of the sender enters an error message except site names and what sites report as
failures.

Adapters travel in the precision that the plan names:

    wire        coordinator → site      site → coordinator
    float32     the adapter             the adapter
    bfloat16    the adapter, bfloat16   what the round changed, bfloat16
    int8        the adapter, bfloat16   what the round changed, int8, with error feedback (`feedback`)

The coordinator adds a change to its own float32 adapter, not to the rounded one that the site began with: rounding on
the way out moves the point where a site begins a little, and never takes back what earlier rounds have reached. What
goes out needs nothing that a site keeps, because a site may be rebuilt at any moment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.errors import CorpusError, FedMedLoRAError, InputError, MessageError, RefusedUpdateError
from fedmedlora.federation.codec import PRECISIONS, Encoded, Lossy, Precision, encode_state
from fedmedlora.federation.payload import pack_adapter, read_adapter, read_update
from fedmedlora.training.contract import JsonScalar, RoundPlan, SiteRegistration, SiteUpdate

REGISTER = "query.register"
ROUND = "train.round"
PROTOCOL = 2
"""Raised whenever records change, so that two versions of this package say so instead of misreading each other."""

_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_OUTGOING: Mapping[Precision, Lossy | None] = MappingProxyType(
    {"float32": None, "bfloat16": "bfloat16", "int8": "bfloat16"}
)
_LONGEST_REASON = 2000

_T = TypeVar("_T", str, int, float)
_R = TypeVar("_R", ArrayRecord, ConfigRecord, MetricRecord)


class SiteFailure(NamedTuple):
    """Why a site did not do what it was asked: the error's class, and our own message where the error is ours.

    site: its name, empty where the site failed before it knew it.
    """

    kind: str
    message: str
    site: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class RoundRequest(NamedTuple):
    """What a site is asked for: to train `state` by `plan`.

    wire: the precision in which the site is to answer.
    """

    state: AdapterState
    plan: RoundPlan
    wire: Precision


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


def pack_round(request: RoundRequest) -> RecordDict:
    """Ask a site for one round of training. The tensors that go out are those that the site sends back."""
    plan = request.plan
    record = ConfigRecord(
        {
            "protocol": PROTOCOL,
            "round": plan.round,
            "rounds": plan.rounds,
            "seed": plan.seed,
            # JSON, because records have no null and would lose it.
            "settings": json.dumps(dict(plan.settings), sort_keys=True, allow_nan=False),
            "wire": request.wire,
            "federation": plan.federation,
        }
    )
    outgoing = _OUTGOING[request.wire]
    adapter = request.state if outgoing is None else encode_state(outgoing, request.state)
    return RecordDict({"plan": record, "adapter": pack_adapter(adapter), "spec": _pack_spec(request.state.spec)})


def unpack_round(content: RecordDict) -> RoundRequest:
    """Read the global adapter and the plan. Raises MessageError or AdapterError."""
    record = _config(content, "plan")
    _check_protocol(record)
    federation = _take(record, "federation", str)
    # It becomes part of a file's name.
    if not _DIGEST.fullmatch(federation):
        raise MessageError("a message's 'federation' is no digest. Use one version of fedmedlora everywhere.")
    plan = RoundPlan(
        round=_take(record, "round", int),
        rounds=_take(record, "rounds", int),
        seed=_take(record, "seed", int),
        settings=_settings(_take(record, "settings", str)),
        federation=federation,
    )
    wire = _precision(record)
    arrays = read_adapter(_adapter(content), _OUTGOING[wire])
    return RoundRequest(AdapterState(arrays, _spec(content)), plan, wire)


def pack_update(update: SiteUpdate, change: Encoded | None = None) -> RecordDict:
    """A site's answer to `round`: in float32 the update's own arrays, else what it changed, encoded."""
    wire: Precision = "float32" if change is None else change.precision
    identity = ConfigRecord({"protocol": PROTOCOL, "site": update.site, "round": update.round, "wire": wire})
    metrics = MetricRecord(
        {
            "target_tokens": update.target_tokens,
            "examples": update.examples,
            "steps": update.steps,
            "loss": float(update.loss),
            "seconds": float(update.seconds),
        }
    )
    adapter = pack_adapter(update.state if change is None else change)
    spec = _pack_spec(update.state.spec)
    return RecordDict({"update": identity, "metrics": metrics, "adapter": adapter, "spec": spec})


def unpack_update(
    content: RecordDict, site: str, round: int, reference: AdapterState, wire: Precision = "float32"
) -> SiteUpdate:
    """Read what `site` sent for `round`; `reference` is the float32 state that went out, `wire` what was agreed on.

    Raises RefusedUpdateError, naming site and tensor, for an adapter that does not fit, a damaged payload, another
    precision, another site's name and another round; MessageError for what cannot be read; TrainingError for a loss
    that is not finite.
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
    sent = _precision(identity)
    if sent != wire:
        raise RefusedUpdateError(site, None, f"its update comes as {sent}, expected {wire}, as it was asked")
    return SiteUpdate(
        site=site,
        round=round,
        state=read_update(_adapter(content), site, reference, None if wire == "float32" else wire),
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
    record = content.get("failure")
    if not isinstance(record, ConfigRecord):
        return None
    kind, message, site = (record.get(key) for key in ("kind", "message", "site"))
    if not (isinstance(kind, str) and kind.isidentifier() and isinstance(message, str) and isinstance(site, str)):
        return SiteFailure("MessageError", "the site reported a failure that cannot be read.")
    shown = "".join(letter if letter.isprintable() else " " for letter in message[:_LONGEST_REASON])
    return SiteFailure(kind[:80], shown, site if _SITE_NAME.fullmatch(site) else "")


def _pack_spec(spec: AdapterSpec) -> ConfigRecord:
    return ConfigRecord(
        {"rank": spec.rank, "alpha": spec.alpha, "targets": list(spec.targets), "base_digest": spec.base_digest}
    )


def _spec(content: RecordDict) -> AdapterSpec:
    record = _config(content, "spec")
    try:
        return AdapterSpec.from_json(dict(record))
    except InputError as error:
        raise MessageError(
            "a message's adapter spec cannot be read. Use one version of fedmedlora everywhere."
        ) from error


def _adapter(content: RecordDict) -> ArrayRecord:
    return _record(content, "adapter", ArrayRecord)


def _settings(text: str) -> dict[str, JsonScalar]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MessageError("a plan's settings are not JSON. Use one version of fedmedlora everywhere.") from error
    if not isinstance(value, dict) or not all(isinstance(v, str | int | float | None) for v in value.values()):
        raise MessageError("a plan's settings are not a flat JSON object. Use one version of fedmedlora everywhere.")
    return value


def _config(content: RecordDict, name: str) -> ConfigRecord:
    return _record(content, name, ConfigRecord)


def _metrics(content: RecordDict, name: str) -> MetricRecord:
    return _record(content, name, MetricRecord)


def _record(content: RecordDict, name: str, kind: type[_R]) -> _R:
    # Not through `content.array_records` and its like: each access makes a view that holds the whole content and
    # itself, so that an adapter would stay in memory until the garbage collector happens to look for cycles.
    record = content.get(name)
    if not isinstance(record, kind):
        raise MessageError(f"a message lacks the record '{name}'. Use one version of fedmedlora everywhere.")
    return record


def _precision(record: ConfigRecord) -> Precision:
    found = _take(record, "wire", str)
    for known in PRECISIONS:
        if known == found:
            return known
    known_ones = ", ".join(PRECISIONS)
    raise MessageError(f"a message's 'wire' is none of {known_ones}. Use one version of fedmedlora everywhere.")


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
