"""What is kept of every round: per site its losses, weight, bytes and seconds, and why it was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from fedmedlora.adapters.state import AdapterState
from fedmedlora.training.contract import SiteRegistration

Outcome: TypeAlias = Literal["averaged", "refused", "failed", "absent"]


@dataclass(frozen=True)
class SiteRound:
    """One site in one round.

    outcome: "averaged"; "refused", its update may not enter; "failed", the site reported an error; "absent", no answer
    came. `reason` says why for the last three. weight: share in the average, 0 where it took no part. loss: mean
    training loss, validation_loss: the coordinator's, nats per target token, where known. costs: what the site was
    weighted by, where that is known. target_tokens: registered; trained_tokens, examples, steps, seconds: as the update
    reports them. Bytes as measured on the messages. digest: of the update.
    """

    site: str
    outcome: Outcome
    reason: str | None
    weight: float
    loss: float | None
    validation_loss: float | None
    target_tokens: int
    trained_tokens: int
    examples: int
    steps: int
    seconds: float
    bytes_sent: int
    bytes_received: int
    digest: str | None
    costs: tuple[float, ...] = ()


@dataclass(frozen=True)
class RoundRecord:
    """One round: its sites, sorted by name, the digests of the global adapter before and after, wall-clock seconds.

    validation_seconds: of those, what judging the sites' adapters took.
    """

    round: int
    sites: tuple[SiteRound, ...]
    start_digest: str
    digest: str
    seconds: float
    validation_seconds: float = 0.0

    @property
    def bytes_sent(self) -> int:
        """From the coordinator to all sites."""
        return sum(site.bytes_sent for site in self.sites)

    @property
    def bytes_received(self) -> int:
        """From all sites to the coordinator."""
        return sum(site.bytes_received for site in self.sites)

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the sites that were averaged; they sum to 1."""
        return {site.site: site.weight for site in self.sites if site.outcome == "averaged"}

    @property
    def refused(self) -> dict[str, str]:
        """Every site that was not averaged, and why."""
        return {site.site: site.reason or "" for site in self.sites if site.outcome != "averaged"}

    def to_json(self) -> dict[str, object]:
        """A JSON object, the totals of bytes beside the fields."""
        return {**asdict(self), "bytes_sent": self.bytes_sent, "bytes_received": self.bytes_received}


@dataclass(frozen=True)
class FederationResult:
    """The final global adapter, what happened in every round, and what sites registered.

    left_out: sites that were asked for but never took part, and why.
    """

    state: AdapterState
    history: tuple[RoundRecord, ...]
    registrations: tuple[SiteRegistration, ...]
    left_out: Mapping[str, str]

    @property
    def bytes_sent(self) -> int:
        """From the coordinator to all sites, in all rounds."""
        return sum(record.bytes_sent for record in self.history)

    @property
    def bytes_received(self) -> int:
        """From all sites to the coordinator, in all rounds."""
        return sum(record.bytes_received for record in self.history)
