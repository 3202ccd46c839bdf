"""From registered tokens and validation losses to weights.

Weights stay in logarithms until they are normalised: `log w_k = alpha · log n_k − L_k / tau`. That is the design's
`n_k^alpha · exp(−(L_k − min_j L_j) / tau)` up to a factor that all sites share and normalising removes, it can neither
overflow nor underflow, and, needing no other site's loss, it can be computed while updates are still arriving. Only
standardised costs need those of all sites first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedmedlora.aggregation.rules import Weighting
from fedmedlora.errors import AdapterError


@dataclass(frozen=True)
class Verdict:
    """What the coordinator's validation set says of one adapter.

    loss: mean, nats per target token. costs: what the site is weighted by, the less the better, in the same order for
    every site (one for each task, for example); empty: the loss.
    """

    loss: float
    costs: tuple[float, ...] = ()

    @property
    def weighed(self) -> tuple[float, ...]:
        """The costs that count."""
        return self.costs or (self.loss,)


def standardised(verdicts: Mapping[str, Verdict]) -> dict[str, float]:
    """Each site's cost, in standard deviations from the sites' mean, averaged over the costs of a verdict.

    A cost that is the same everywhere is 0 everywhere.
    """
    table = np.array([verdict.weighed for verdict in verdicts.values()], np.float64)
    deviation = table.std(axis=0)
    found = (table - table.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return dict(zip(verdicts, found.mean(axis=1).tolist(), strict=True))


def require_tokens(tokens: Mapping[str, object]) -> None:
    """Raise AdapterError, naming the site, unless every site has registered at least one training target token."""
    if not tokens:
        raise AdapterError("no site has registered; an average needs at least one.")
    for site, count in tokens.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise AdapterError(
                f"site '{site}' registered {count} training target tokens; expected an integer of at least 1. "
                "Leave a site without training examples out of the study."
            )


def log_weight(weighting: Weighting, site: str, tokens: int, verdict: Verdict | None) -> float:
    """The logarithm of one site's weight before normalising; of a weighting by `spread`, the part of its size alone.

    Raises AdapterError, naming the site, when the weighting needs a verdict and it is missing or not finite.
    """
    size = weighting.alpha * math.log(tokens)
    if weighting.tau is None:
        return size
    if verdict is None:
        raise AdapterError(
            f"site '{site}' has no validation loss, and the rule weights by it. Score its adapter first."
        )
    cost = sum(verdict.weighed) / len(verdict.weighed)
    result = size - cost / weighting.tau
    if not math.isfinite(result):
        raise AdapterError(
            f"site '{site}': validation loss {cost} with tau {weighting.tau:g} gives no finite weight. "
            "Check its training, or raise tau."
        )
    return size if weighting.spread else result


def normalised(logs: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1 from finite log weights, in sorted site order."""
    greatest = max(logs.values())
    raw = {site: math.exp(logs[site] - greatest) for site in sorted(logs)}
    total = math.fsum(raw.values())
    return {site: value / total for site, value in raw.items()}


def weights(weighting: Weighting, tokens: Mapping[str, int], losses: Mapping[str, float] | None) -> dict[str, float]:
    """Every site's weight, summing to 1, in sorted site order.

    `tokens` are the registered numbers of training target tokens, `losses` mean validation losses in nats per target
    token; a weighting without tau ignores them. Raises AdapterError, naming the site, for tokens under 1, for a loss
    that is missing, NaN or infinite, and for a loss of a site that has not registered.
    """
    require_tokens(tokens)
    known = losses or {}
    for site in sorted(known.keys() - tokens.keys()):
        raise AdapterError(f"site '{site}' has a validation loss but has not registered. Register it first.")
    verdicts = {site: Verdict(loss) for site, loss in known.items()}
    logs = {site: log_weight(weighting, site, n, verdicts.get(site)) for site, n in tokens.items()}
    if weighting.spread and weighting.tau is not None:
        costs = standardised(verdicts)
        logs = {site: log - costs[site] / weighting.tau for site, log in logs.items()}
    return normalised(logs)
