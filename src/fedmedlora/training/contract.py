"""What the coordinator and a site's training agree on: a round's plan, a registration, an update. No torch, no flwr.

Whoever trains implements `SiteTrainer`; the federation only calls it. The same trainer serves the in-process grid, Ray
and a real deployment, so it must bear being rebuilt at any moment:

- Between two calls a process may end. What a site needs in the next round (optimizer moments, for example) lies on the
  site's own disk, keyed by the round after which it was saved.
- A round may be asked for again, after a crash or a resume. `run_round(state, plan)` therefore depends on nothing but
  its arguments, the site's data and what was saved after round `plan.round - 1`, and gives the same bits each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import ConfigError, TrainingError

JsonScalar: TypeAlias = str | int | float | bool | None
Settings: TypeAlias = Mapping[str, JsonScalar]

Validator: TypeAlias = Callable[[AdapterState], Verdict]
"""What the coordinator's validation set says of an adapter, for Fed-MedLoRA+."""


@dataclass(frozen=True)
class RoundPlan:
    """What a site is asked to do in one round.

    round: from 0. rounds: of the whole federation, which a learning-rate schedule spans. seed: of the federation; a
    site derives its own from seed, round and its name. settings: training settings, opaque to the federation.
    federation: hexadecimal digest of what decides the federation's result, which names what a site keeps between its
    rounds; empty where a trainer is called without one.
    """

    round: int
    rounds: int
    seed: int
    settings: Settings
    federation: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.round < self.rounds:
            raise ConfigError(f"round {self.round} of {self.rounds}: expected 0 <= round < rounds.")


@dataclass(frozen=True)
class SiteRegistration:
    """What a site says of itself before the first round. It fixes the site's weight for the whole federation.

    target_tokens: tokens that its training examples train against, once over. base_digest: of the base model that the
    site holds. data_digest: over the training data, so that a resumed federation notices that it changed; may be empty.
    Raises TrainingError for a site without an example or a target token.
    """

    site: str
    target_tokens: int
    examples: int
    base_digest: str
    data_digest: str = ""

    def __post_init__(self) -> None:
        if not self.site:
            raise ConfigError("a site registered without a name. Give it one in its configuration.")
        if self.target_tokens < 1 or self.examples < 1:
            raise TrainingError(
                f"site '{self.site}' has {self.examples} training examples with {self.target_tokens} target tokens; "
                "expected at least one of each. Check its data, labels and split."
            )


@dataclass(frozen=True)
class SiteUpdate:
    """What a site sends back after a round.

    state: its adapter after the round. target_tokens, examples: trained on in this round, repeats counted. steps:
    optimizer steps. loss: mean training loss, nats per target token. seconds: of training. Raises TrainingError for a
    loss that is not finite.
    """

    site: str
    round: int
    state: AdapterState
    target_tokens: int
    examples: int
    steps: int
    loss: float
    seconds: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.loss):
            raise TrainingError(
                f"site '{self.site}', round {self.round}: the training loss is {self.loss}. "
                "Lower the learning rate or the clipping norm."
            )


class SiteTrainer(Protocol):
    """One site's training, as the federation sees it. Both methods may raise a FedMedLoRAError."""

    @property
    def site(self) -> str:
        """The site's name, unique in the federation."""
        ...

    @property
    def memory(self) -> Path | None:
        """The site's own folder for what it keeps between rounds; None for a site that keeps nothing.

        The federation keeps there what an 8-bit update lost, and asks for the folder only where updates are such.
        """
        ...

    def register(self) -> SiteRegistration:
        """Count what the site will train on."""
        ...

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        """Train from the global adapter for one round."""
        ...
