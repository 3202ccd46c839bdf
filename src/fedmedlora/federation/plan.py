"""What a federation is to do, as one value that a file can hold and a resumed run is compared with."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from fedmedlora.aggregation.rules import Combine, Residual, Rule, averaging_products, find_rule
from fedmedlora.aggregation.server import ServerOptimizer
from fedmedlora.errors import ConfigError, nearest
from fedmedlora.federation.codec import PRECISIONS, Precision
from fedmedlora.training.contract import JsonScalar, Settings

_T = TypeVar("_T")


@dataclass(frozen=True)
class Timeouts:
    """How long the coordinator waits, in seconds; None means for ever.

    nodes_s: for as many nodes as there are sites to connect. register_s: for registrations, which count tokens.
    round_s: for the updates of one round. The in-process grid answers every message, so it never comes to these.
    """

    nodes_s: float = 600.0
    register_s: float | None = 3600.0
    round_s: float | None = 86400.0


@dataclass(frozen=True)
class FederationPlan:
    """Sites, rule, rounds, seed, the settings that sites train by, and how adapters travel.

    sites: names of those that take part. settings: opaque to the federation, flat JSON. min_sites: how many must
    register for the federation to begin, None for all. wire: precision of adapters in messages (see `wire`). server:
    how averages become global adapters. Timeouts may change when a federation is resumed; nothing else.
    Raises ConfigError for no site, two of one name, no round, a seed out of range, a setting that is not finite, an
    unknown precision, a server optimizer on averaged products.
    """

    sites: tuple[str, ...]
    rule: Rule
    rounds: int
    seed: int
    settings: Settings = field(default_factory=dict)
    min_sites: int | None = None
    timeouts: Timeouts = Timeouts()
    wire: Precision = "float32"
    server: ServerOptimizer = field(default_factory=ServerOptimizer)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(sorted(self.sites)))
        object.__setattr__(self, "settings", dict(self.settings))
        if not self.sites:
            raise ConfigError("a federation needs at least one site.")
        for first, second in zip(self.sites, self.sites[1:], strict=False):
            if first == second:
                raise ConfigError(f"two sites are called '{first}'. Give each site its own name.")
        if self.rounds < 1:
            raise ConfigError(f"rounds = {self.rounds}: expected at least 1.")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed = {self.seed}: expected an integer from 0 to 2^63 - 1.")
        for key, value in self.settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"setting '{key}' is {value}: expected a finite number.")
        if not 1 <= self.needed_sites <= len(self.sites):
            raise ConfigError(f"min_sites = {self.min_sites}: expected 1 to {len(self.sites)}, the number of sites.")
        if self.wire not in PRECISIONS:
            raise ConfigError(f"wire = '{self.wire}': unknown precision; {nearest(self.wire, PRECISIONS)}.")
        if self.rule.combine == "product" and not self.server.plain:
            raise ConfigError(
                "averaged products become the global adapter as they are: a server optimizer steps in A and B, which a "
                'product does not fix. Use server_optimizer = "average" with server_lr = 1, or combine = "factors".'
            )

    @property
    def needed_sites(self) -> int:
        """How many sites must register."""
        return len(self.sites) if self.min_sites is None else self.min_sites

    def identity(self) -> dict[str, object]:
        """What decides the result, as JSON: everything but the timeouts."""
        return {
            "sites": list(self.sites),
            "rule": asdict(_rule_note(self.rule)),
            "rounds": self.rounds,
            "seed": self.seed,
            "settings": dict(self.settings),
            "min_sites": self.min_sites,
            "wire": self.wire,
            "server": asdict(self.server),
        }

    def to_json(self) -> dict[str, object]:
        """A JSON object that `from_json` reads back."""
        return {**self.identity(), "timeouts": asdict(self.timeouts)}

    @classmethod
    def from_json(cls, value: object) -> FederationPlan:
        """Read what `to_json` wrote. Raises ConfigError naming the key at fault."""
        note = read_fields(_Note, json.dumps(value), "a federation's plan")
        rule = find_rule(note.rule.name)
        if rule.adjustable:
            rule = find_rule(note.rule.name, alpha=note.rule.alpha, tau=note.rule.tau, spread=note.rule.spread)
        elif (note.rule.alpha, note.rule.tau) not in ((None, None), (rule.weighting.alpha, rule.weighting.tau)):
            raise ConfigError(f"a federation's plan: rule '{rule.name}' has no alpha or tau to set. Leave them out.")
        if note.rule.combine == "product":
            rule = averaging_products(rule, note.rule.residual)
        return cls(
            note.sites,
            rule,
            note.rounds,
            note.seed,
            note.settings,
            note.min_sites,
            note.timeouts,
            note.wire,
            note.server,
        )


def read_fields(kind: type[_T], text: str | bytes, what: str) -> _T:
    """A dataclass from JSON text, types checked strictly. Raises ConfigError naming `what` and keys, never values."""
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'text'}: {fault['msg']}" for fault in error.errors()[:5]
        )
        raise ConfigError(f"{what} cannot be read: {faults}.") from error


@dataclass(frozen=True)
class _RuleNote:
    name: str
    alpha: float | None = None
    tau: float | None = None
    spread: bool = False
    combine: Combine = "factors"
    residual: Residual = "drop"


@dataclass(frozen=True)
class _Note:
    sites: tuple[str, ...]
    rule: _RuleNote
    rounds: int
    seed: int
    settings: dict[str, JsonScalar] = field(default_factory=dict)
    min_sites: int | None = None
    timeouts: Timeouts = Timeouts()
    wire: Precision = "float32"
    server: ServerOptimizer = field(default_factory=ServerOptimizer)


def _rule_note(rule: Rule) -> _RuleNote:
    return _RuleNote(rule.name, **asdict(rule.weighting), combine=rule.combine, residual=rule.residual)
