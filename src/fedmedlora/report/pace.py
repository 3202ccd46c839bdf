"""Training against the clock: how long rounds take when sites train side by side, and F1 by that time."""

from __future__ import annotations

from collections.abc import Iterable

from fedmedlora.report.numbers import Spread
from fedmedlora.report.progress import is_whole, whole_rounds
from fedmedlora.report.records import Round, Run

READING = (
    "Time is that of sites side by side: of every round, its slowest site's seconds and what the round took beside "
    "its sites' training (the coordinator's: messages, averaging, validation). Where sites already trained at the "
    "same time, it is the round's own time. It adds up over rounds; scoring dev notes is not part of it."
)


def parallel_seconds(one: Round) -> float | None:
    """What a round takes when its sites train side by side; None where it was not recorded.

    Sites of 60, 80 and 70 s one after another in a round of 215 s: the coordinator's part is 5 s, so 85 s. The same
    sites in a round of 90 s trained side by side already: 90 s.
    """
    seconds = [site.seconds for site in one.sites.values() if site.seconds is not None]
    if one.seconds is None or not seconds:
        return one.seconds
    beside = one.seconds - sum(seconds)
    return one.seconds if beside < 0 else max(seconds) + beside


def elapsed(rounds: Iterable[Round]) -> dict[int, float]:
    """Round from 1 → seconds to its end, mean over seeds, of one arm's model; a round without a time ends it."""
    found: dict[int, list[float | None]] = {}
    for one in rounds:
        found.setdefault(one.number + 1, []).append(parallel_seconds(one))
    total, times = 0.0, {}
    for at in sorted(found):
        mean = Spread.of(found[at]).mean
        if mean is None:
            break
        total += mean
        times[at] = total
    return times


def side_by_side(run: Run, arm: str, seed: int | None = None) -> float | None:
    """Seconds that training an arm's one model takes with its sites side by side, of one seed or the mean over seeds.

    None where its sites exchange nothing, and where rounds, or the time of one, are not recorded.
    """
    costs = [one for one in run.costs if one.arm == arm and is_whole(one.trained_on) and seed in (None, one.seed)]
    if not costs or any(one.exchanged is None for one in costs):
        return None
    seeds = {one.seed for one in costs}
    times = elapsed(one for one in whole_rounds(run) if one.arm == arm and one.seed in seeds)
    return times.get(max(one.rounds or 0 for one in costs))
