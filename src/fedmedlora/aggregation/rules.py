"""The rules by name: one literal table, and the look-up that a study's configuration goes through."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from fedmedlora.errors import ConfigError, nearest

PAPER = "arXiv 2601.22124, A Federated and Parameter-Efficient Framework for Large Language Model Training in Medicine"

Combine: TypeAlias = Literal["factors", "product"]
Residual: TypeAlias = Literal["drop", "keep"]

# The default of Fed-MedLoRA+: what the paper's text says, data size times validation utility.
DEFAULT_ALPHA = 1.0
DEFAULT_TAU = 1.0


@dataclass(frozen=True)
class Weighting:
    """A site's weight before normalising: `n^alpha · exp(−C / tau)`.

    n is the site's registered number of training target tokens, C what the coordinator's validation set says against
    its adapter: as published, the mean loss per target token (nats); where a verdict has several costs, their mean.
    `alpha` ≥ 0 has no unit, `tau` > 0 has that of C; `tau=None` leaves verdicts out. With `spread`, every cost is
    standardised over the round's sites before the mean is taken, and `tau` is in standard deviations.
    """

    alpha: float
    tau: float | None
    spread: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise ConfigError(f"aggregation alpha is {self.alpha}; expected a finite number of at least 0.")
        if self.tau is not None and not (math.isfinite(self.tau) and self.tau > 0):
            raise ConfigError(f"aggregation tau is {self.tau}; expected a finite number above 0.")


@dataclass(frozen=True)
class Rule:
    """How the coordinator combines adapters.

    `travels` says, by name, which tensors leave a site. `needs` is "sum" where a weighted sum over sites is enough, so
    that secure aggregation may hide the single updates, and "each" where the coordinator must see every update (to
    score it, for example). `adjustable` is False for a rule that reproduces a published one. `combine` says what is
    averaged, A and B for themselves or their products (see `products`), and `residual` whether the coordinator keeps
    what cutting the products' average to the rank loses.
    """

    name: str
    title: str
    travels: Callable[[str], bool]
    needs: Literal["sum", "each"]
    weighting: Weighting
    adjustable: bool
    citation: str
    combine: Combine = "factors"
    residual: Residual = "drop"

    def __post_init__(self) -> None:
        if self.needs_losses and self.needs != "each":
            raise ConfigError(f"rule '{self.name}' weights by validation loss, so it needs each update, not their sum.")
        if self.combine == "product" and self.needs != "each":
            raise ConfigError(
                f"rule '{self.name}' averages products of A and B, so it needs each update, not their sum."
            )

    @property
    def needs_losses(self) -> bool:
        """Whether the coordinator must score every site's adapter on its validation set."""
        return self.weighting.tau is not None


def every_tensor(name: str) -> bool:
    """Both LoRA matrices travel, A and B."""
    return True


def a_alone(name: str) -> bool:
    """A travels, B stays at its site."""
    return ".lora_A." in name


def b_alone(name: str) -> bool:
    """B travels; A is the same at every site."""
    return ".lora_B." in name


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "fedmedlora": Rule(
            name="fedmedlora",
            title="Fed-MedLoRA",
            travels=every_tensor,
            needs="sum",
            weighting=Weighting(alpha=1.0, tau=None),
            adjustable=False,
            citation=PAPER,
        ),
        "fedmedlora-plus": Rule(
            name="fedmedlora-plus",
            title="Fed-MedLoRA+",
            travels=every_tensor,
            needs="each",
            weighting=Weighting(alpha=DEFAULT_ALPHA, tau=DEFAULT_TAU),
            adjustable=True,
            citation=PAPER,
        ),
        "fedmedlora-plus-code": Rule(
            name="fedmedlora-plus-code",
            title="Fed-MedLoRA+ (published implementation, exp(1 − loss))",
            travels=every_tensor,
            needs="each",
            weighting=Weighting(alpha=0.0, tau=1.0),
            adjustable=False,
            citation=f"{PAPER}; weights of the published implementation",
        ),
        "fedmedlora-plus-paper": Rule(
            name="fedmedlora-plus-paper",
            title="Fed-MedLoRA+ (paper's text, data size and validation utility)",
            travels=every_tensor,
            needs="each",
            weighting=Weighting(alpha=1.0, tau=1.0),
            adjustable=False,
            citation=f"{PAPER}; weights of the paper's text",
        ),
        "fedsa-lora": Rule(
            name="fedsa-lora",
            title="FedSA-LoRA",
            travels=a_alone,
            needs="sum",
            weighting=Weighting(alpha=1.0, tau=None),
            adjustable=False,
            citation="arXiv 2410.01463, Selective Aggregation for Low-Rank Adaptation in Federated Learning",
        ),
        "ffa-lora": Rule(
            name="ffa-lora",
            title="FFA-LoRA",
            travels=b_alone,
            needs="sum",
            weighting=Weighting(alpha=1.0, tau=None),
            adjustable=False,
            citation="arXiv 2403.12313, Improving LoRA in Privacy-preserving Federated Learning",
        ),
    }
)


def find_rule(name: str, *, alpha: float | None = None, tau: float | None = None, spread: bool = False) -> Rule:
    """The rule of that name, with `alpha` and `tau` replaced where they are given, `tau` counted as `spread` says.

    Raises ConfigError for an unknown name (the nearest is suggested), for values out of range, and for values given
    to a rule that has none to set.
    """
    rule = RULES.get(name)
    if rule is None:
        raise ConfigError(f"unknown aggregation rule '{name}': {nearest(name, RULES)}.")
    if alpha is None and tau is None and not spread:
        return rule
    if not rule.adjustable:
        settable = ", ".join(other.name for other in RULES.values() if other.adjustable)
        raise ConfigError(f"rule '{name}' has no alpha or tau to set; they belong to {settable}. Leave them out.")
    chosen = Weighting(
        alpha=rule.weighting.alpha if alpha is None else alpha,
        tau=rule.weighting.tau if tau is None else tau,
        spread=spread,
    )
    return replace(rule, weighting=chosen)


def averaging_products(rule: Rule, residual: Residual) -> Rule:
    """That rule with products B·A averaged, not A and B. Raises ConfigError where one of them does not travel."""
    if rule.travels is not every_tensor:
        raise ConfigError(
            f"rule '{rule.name}' averages one of A and B alone, and leaves no product to average. Leave combine out."
        )
    return replace(rule, combine="product", residual=residual, needs="each")
