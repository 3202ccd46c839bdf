"""One round of aggregation: updates come in one by one, are checked, scored and added; one state comes out.

What "streaming" and "deterministic" mean together: float32 sums depend on the order of adding, and updates arrive in
any order. With `order="sites"` (the default) updates are added in sorted site order, and one that arrives before its
turn waits; the result has the same bits whatever the order of arrival. With a `shelf`, a folder, updates wait on disk,
and memory is one accumulator however many sites there are; without one they wait in memory (none does when sites run
in sorted order, as in the in-process grid). With `order="arrival"` nothing waits, and the result may differ from the
other in its last bits. A rule that averages products holds every update until the
end (`products`); under one that standardises costs every update waits until then, on the shelf where there is one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.checks import check_update
from fedmedlora.aggregation.products import ProductMean
from fedmedlora.aggregation.rules import Rule
from fedmedlora.aggregation.shelf import Shelf
from fedmedlora.aggregation.stream import WeightedSum
from fedmedlora.aggregation.weights import Verdict, log_weight, normalised, require_tokens, standardised
from fedmedlora.errors import AdapterError, RefusedUpdateError

Score = Callable[[str, AdapterState], Verdict]


@dataclass(frozen=True)
class RoundAggregate:
    """What a round of aggregation gives.

    `state` holds the tensors that travel under the rule. `weights` (summing to 1) and `verdicts` (empty for a rule that
    needs none) are those of the sites that were averaged; `refused` maps every other site that answered to the reason;
    `absent` are registered sites that did not answer; `repeated` sent more than one update, of which the first counted.
    `residual` is what the next round is to be given, where the rule keeps what a cut lost.
    """

    rule: str
    state: AdapterState
    weights: Mapping[str, float]
    verdicts: Mapping[str, Verdict]
    refused: Mapping[str, str]
    absent: tuple[str, ...]
    repeated: tuple[str, ...]
    residual: AdapterState | None = None

    @property
    def losses(self) -> dict[str, float]:
        """Validation losses of the sites that were averaged, nats per target token."""
        return {site: verdict.loss for site, verdict in self.verdicts.items()}


class RoundAggregation:
    """The coordinator's side of one round, fed one update at a time.

    `tokens` are the numbers of training target tokens that sites registered before the study; an update's own claim
    plays no part. `score(site, update)` gives the validation set's verdict; it is called once for every update that
    passes the checks, and only for a rule that needs losses. A refused site does not stop the round.
    `shelf` is a folder where updates wait for their turn, None for memory. `residual` is that of the round before.
    """

    def __init__(
        self,
        rule: Rule,
        reference: AdapterState,
        tokens: Mapping[str, int],
        score: Score | None = None,
        order: Literal["sites", "arrival"] = "sites",
        shelf: Path | None = None,
        residual: AdapterState | None = None,
    ) -> None:
        require_tokens(tokens)
        if rule.needs_losses and score is None:
            raise AdapterError(f"rule '{rule.name}' weights by validation loss; give the losses or a way to score.")
        self._rule = rule
        self._reference = reference.select(rule.travels)
        self._tokens = dict(tokens)
        self._score = score
        self._sum: WeightedSum | ProductMean = WeightedSum()
        if rule.combine == "product":
            limit = len(tokens) * reference.spec.rank if rule.residual == "keep" else 0
            self._sum = ProductMean(residual, limit)
        # Weights that depend on all sites' verdicts are known when the last has come.
        self._at_end = rule.weighting.spread
        self._in_turn = order == "sites"
        self._turns = deque(sorted(tokens))
        self._waiting: dict[str, AdapterState] = {}
        self._shelf = None if shelf is None else Shelf(shelf, self._reference)
        self._logs: dict[str, float] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._refused: dict[str, str] = {}
        self._repeated: set[str] = set()
        self._closed = False

    def offer(self, site: str, update: AdapterState) -> bool:
        """Check, score and add one site's update; False when it was refused or was not the site's first.

        Raises EnvironmentProblem when it has to wait and the shelf has no room; the round cannot go on then.
        """
        if not self._first_answer(site):
            return False
        try:
            log = self._admit(site, update)
        except RefusedUpdateError as error:
            where = "" if error.tensor is None else f"tensor '{error.tensor}': "
            self.leave_out(site, where + error.reason)
            return False
        if self._at_end or (self._in_turn and self._turns and self._turns[0] != site):
            self._wait(site, update)
            self._logs[site] = log
        else:
            self._logs[site] = log
            self._sum.add_log(update, log)
        self._take_turns()
        return True

    def leave_out(self, site: str, reason: str) -> None:
        """Go on without a site, for a reason that the coordinator has (an error reply, a time-out)."""
        if self._first_answer(site):
            self._refused[site] = reason
            self._take_turns()

    def result(self) -> RoundAggregate:
        """The average of what was accepted; the round is closed.

        Raises AdapterError, with every site's reason, when nothing was.
        """
        absent = tuple(sorted(self._tokens.keys() - self._logs.keys() - self._refused.keys()))
        if not self._logs:
            reasons = [f"site '{site}': {self._refused[site]}" for site in sorted(self._refused)]
            reasons += [f"site '{site}': no answer" for site in absent]
            raise AdapterError(f"no update of this round could be averaged. {'; '.join(reasons)}.")
        self._closed = True
        if self._at_end:
            for site, cost in standardised(self._verdicts).items():
                self._logs[site] -= cost / (self._rule.weighting.tau or 1.0)
        # Those behind a site that never answered, or all.
        for site in sorted(self._logs):
            self._add_waiting(site)
        if self._shelf is not None:
            self._shelf.close()
        found = self._sum.result()
        average, residual = (found, None) if isinstance(found, AdapterState) else found
        return RoundAggregate(
            rule=self._rule.name,
            state=average,
            weights=normalised(self._logs),
            verdicts={site: self._verdicts[site] for site in sorted(self._verdicts)},
            refused={site: self._refused[site] for site in sorted(self._refused)},
            absent=absent,
            repeated=tuple(sorted(self._repeated)),
            residual=residual,
        )

    def _first_answer(self, site: str) -> bool:
        if self._closed:
            raise AdapterError(f"site '{site}' answered after its round was averaged; start the next round with it.")
        if site in self._logs or site in self._refused:
            self._repeated.add(site)
            return False
        return True

    def _admit(self, site: str, update: AdapterState) -> float:
        """The log weight of an update that may enter. Raises RefusedUpdateError."""
        if site not in self._tokens:
            raise RefusedUpdateError(site, None, "it is not registered with this study")
        check_update(site, update, self._reference)
        if not self._rule.needs_losses or self._score is None:
            return log_weight(self._rule.weighting, site, self._tokens[site], None)
        verdict = self._score(site, update)
        try:
            log = log_weight(self._rule.weighting, site, self._tokens[site], verdict)
        except AdapterError as error:
            shown = ", ".join(str(cost) for cost in verdict.weighed)
            reason = f"the validation loss of its adapter is {shown}, which gives no finite weight"
            raise RefusedUpdateError(site, None, reason) from error
        self._verdicts[site] = verdict
        return log

    def _take_turns(self) -> None:
        if self._at_end:
            return
        while self._turns and (self._turns[0] in self._logs or self._turns[0] in self._refused):
            self._add_waiting(self._turns.popleft())

    def _wait(self, site: str, update: AdapterState) -> None:
        if self._shelf is None:
            self._waiting[site] = update
        else:
            self._shelf.put(site, update)

    def _add_waiting(self, site: str) -> None:
        if site in self._waiting:
            self._sum.add_log(self._waiting.pop(site), self._logs[site])
        elif self._shelf is not None and site in self._shelf:
            self._sum.add_log(self._shelf.take(site), self._logs[site])


def aggregate_round(
    rule: Rule,
    reference: AdapterState,
    updates: Iterable[tuple[str, AdapterState]],
    tokens: Mapping[str, int],
    losses: Mapping[str, float] | None,
    order: Literal["sites", "arrival"] = "sites",
) -> RoundAggregate:
    """Check and average one round's updates, with losses known beforehand (None for a rule that needs none).

    `reference` is any state of the right layout, such as the one that went out. `tokens` and `order` are as in
    `RoundAggregation`. Raises AdapterError when no update can be averaged or an acceptable one lacks its loss.
    """

    def known_loss(site: str, update: AdapterState) -> Verdict:
        if losses is None or site not in losses:
            raise AdapterError(f"site '{site}' has no validation loss; rule '{rule.name}' needs one for every site.")
        return Verdict(losses[site])

    aggregation = RoundAggregation(rule, reference, tokens, None if losses is None else known_loss, order)
    for site, update in updates:
        aggregation.offer(site, update)
    return aggregation.result()
