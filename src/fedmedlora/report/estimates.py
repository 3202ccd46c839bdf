"""One number for several scores: their mean, an interval around it, and the difference of two arms on the same notes.

Intervals resample documents; with several seeds the mean over seeds is taken within each resample. Records of earlier
versions hold no scores of single documents: there an arm's interval reaches from the lowest low to the highest high of
its seeds, and two arms are called the same when their intervals overlap, which errs on the side of caution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from fedmedlora.report.numbers import Spread
from fedmedlora.report.progress import SEEDLESS
from fedmedlora.report.records import Score
from fedmedlora.scoring import (
    Interval,
    Mode,
    Permutation,
    Runs,
    Tally,
    Task,
    holm,
    mean_bootstrap,
    paired_bootstrap,
    paired_permutation,
)

Verdict: TypeAlias = Literal[
    "above",
    "below",
    "probably above",
    "probably below",
    "within the noise",
    "too few notes to tell",
    "not judged",
]
BySite: TypeAlias = "Mapping[str, Sequence[Score]]"

_K = TypeVar("_K")

PROBABLE: tuple[Verdict, ...] = ("probably above", "probably below")
"""Verdicts where interval and p find a difference that the correction does not confirm."""

UNCONFIRMED: tuple[Verdict, ...] = (*PROBABLE, "within the noise", "too few notes to tell")
"""All verdicts of a test that does not confirm a difference."""

LEVEL = 0.05
_SEED = 0
_FEWEST_DOCUMENTS = 2


class Estimate(NamedTuple):
    """A mean F1 and an interval around it; low and high are None when none was computed."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Contrast:
    """F1 of one arm minus that of another on the same documents, both as means over the same seeds.

    before, after: the two means. differing: documents that the two score differently on, whose exchange can move
    something. found: the permutation test. bounds: the interval of the difference.
    """

    before: float | None
    after: float | None
    seeds: int
    differing: int
    found: Permutation
    bounds: Interval


class Held(NamedTuple):
    """A contrast among several that are tested together.

    p_corrected: after Holm's correction for `tests` tests; None: not defined. least: what it would be at the smallest
    p that the documents can give on which the two differ.
    """

    of: Contrast
    p_corrected: float | None
    least: float | None
    tests: int

    @property
    def difference(self) -> float | None:
        """After minus before."""
        return self.of.found.difference

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Low and high of the difference; None for one document alone, whose interval would say nothing."""
        return ends(self.of.bounds)

    @property
    def verdict(self) -> Verdict:
        """What the corrected p says; where it confirms nothing, though it could have, what interval and p say alone."""
        if self.p_corrected is None or self.difference is None:
            return "not judged"
        if self.p_corrected < LEVEL:
            return "above" if self.difference > 0 else "below"
        if self.blind:
            return "too few notes to tell"
        low, high = self.interval
        alone = self.of.found.p
        if low is None or high is None or low <= 0 <= high or alone is None or alone >= LEVEL:
            return "within the noise"
        return "probably above" if low > 0 else "probably below"

    @property
    def blind(self) -> bool:
        """Whether no exchange of the documents could have shown a difference: too few for so many tests."""
        return self.least is not None and self.least >= LEVEL


class Versus(NamedTuple):
    """What is to be held against each other: an arm's scores on one site, and others there."""

    task: Task
    ours: Sequence[Score]
    theirs: Sequence[Score]


def by_site(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Scores by the site that they were tested on."""
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.test_site, []).append(score)
    return found


def mean_f1(scores: Iterable[Score], task: Task, mode: Mode = "strict") -> float | None:
    """Mean over seeds and models; None when no F1 is defined."""
    return Spread.of(score.f1(task, mode) for score in scores).mean


def estimate(scores: Sequence[Score], task: Task, mode: Mode = "strict") -> Estimate | None:
    """One arm on one site; None when there is no value. One document gives no interval: its width would be 0."""
    mean = mean_f1(scores, task, mode)
    if mean is None:
        return None
    runs = _runs(scores, task, mode)
    if len(scores) > 1 and runs:
        bounds = mean_bootstrap([runs], seed=_SEED)
        return Estimate(mean, *ends(bounds))
    found = [ends(score.intervals.get((task, mode))) for score in scores]
    lows, highs = [low for low, _ in found if low is not None], [high for _, high in found if high is not None]
    if len(lows) < len(found) or len(highs) < len(found):
        return Estimate(mean, None, None)
    return Estimate(mean, min(lows), max(highs))


def macro_estimate(sites: BySite, task: Task, mode: Mode = "strict") -> Estimate | None:
    """The mean over sites of an arm's mean F1, each site counting alike; None when one of them has none."""
    means = [mean_f1(scores, task, mode) for scores in sites.values()]
    known = [mean for mean in means if mean is not None]
    if not known or len(known) < len(means):
        return None
    mean = sum(known) / len(known)
    runs = [_runs(scores, task, mode) for scores in sites.values()]
    if not all(runs):
        return Estimate(mean, None, None)
    return Estimate(mean, *ends(mean_bootstrap(runs, seed=_SEED)))


def contrast(ours: Sequence[Score], theirs: Sequence[Score], task: Task, mode: Mode = "strict") -> Contrast | None:
    """Hold one arm's scores on a site against another's there.

    Where an arm has several models under a seed (every site's own, on a site of none of them), its mean over models is
    held against. None where one has no scores of single documents under a seed that the other has too.
    """
    pairs = _pairs(ours, theirs)
    after, before = [one for one, _ in pairs], [other for _, other in pairs]
    runs, against = _runs(after, task, mode), _runs(before, task, mode)
    if not runs or not against or {len(run) for run in runs} != {len(run) for run in against}:
        return None
    first, second = (
        {place: [run[place] for run in every] for place in range(len(every[0]))} for every in (against, runs)
    )
    return Contrast(
        before=mean_f1(before, task, mode),
        after=mean_f1(after, task, mode),
        seeds=len({score.seed for score in after}),
        differing=sum(first[place] != second[place] for place in first),
        found=paired_permutation(first, second, seed=_SEED),
        bounds=paired_bootstrap([against], [runs], seed=_SEED),
    )


def hold(pairs: Mapping[_K, Versus]) -> dict[_K, Held]:
    """Contrast every pair that the records allow, strictly scored, corrected for how many there are."""
    found = {
        key: one for key, pair in pairs.items() if (one := contrast(pair.ours, pair.theirs, pair.task)) is not None
    }
    known = {key: one.found.p for key, one in found.items() if one.found.p is not None}
    adjusted = holm(known)
    return {key: Held(one, adjusted.get(key), _least(known, key, one), len(known)) for key, one in found.items()}


def _least(known: Mapping[_K, float], key: _K, one: Contrast) -> float | None:
    """The corrected p of one test, were its own p the smallest that its documents can give.

    Of the 2ⁿ exchanges of n documents two are as far apart as can be, all and none: 8 documents never give a p under
    0.0078. A document on which the two score alike moves nothing. Where that is so of every document, all are counted:
    many of them do tell that the two are the same.
    """
    if key not in known:
        return None
    count, exchanges = one.differing or one.found.documents, one.found.exchanges
    smallest = (1 + exchanges * 0.5 ** (count - 1)) / (1 + exchanges)
    return holm({**known, key: min(known[key], smallest)})[key]


def macro_contrast(ours: BySite, theirs: BySite, task: Task, mode: Mode = "strict") -> Interval | None:
    """The interval of the difference of two macro averages, over the sites that both have scores of."""
    pairs = [_pairs(ours[site], theirs[site]) for site in ours if site in theirs]
    runs = [_runs([one for one, _ in pair], task, mode) for pair in pairs]
    against = [_runs([other for _, other in pair], task, mode) for pair in pairs]
    if not runs or not all(runs) or not all(against):
        return None
    sizes = [[{len(run) for run in every} for every in sites] for sites in (runs, against)]
    return paired_bootstrap(against, runs, seed=_SEED) if sizes[0] == sizes[1] else None


def judge(one: Estimate, other: Estimate) -> Verdict:
    """Where `one` stands to `other` by their intervals alone.

    0.50 [0.45, 0.55] is above 0.40 [0.35, 0.44], and within the noise of 0.42 [0.38, 0.46].
    """
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return "not judged"
    if one.low <= other.high and other.low <= one.high:
        return "within the noise"
    return "above" if one.mean > other.mean else "below"


def ends(bounds: Interval | None) -> tuple[float | None, float | None]:
    """Low and high of an interval that says something; one document gives none."""
    if bounds is None or bounds.documents < _FEWEST_DOCUMENTS:
        return None, None
    return bounds.low, bounds.high


def _pairs(ours: Sequence[Score], theirs: Sequence[Score]) -> list[tuple[Score, Score]]:
    """Scores under one seed, every model with every model. Where nothing is drawn, one score stands for all seeds."""
    return [
        (one, other)
        for one in ours
        for other in theirs
        if one.seed == other.seed or one.arm in SEEDLESS or other.arm in SEEDLESS
    ]


def _runs(scores: Sequence[Score], task: Task, mode: Mode) -> Runs:
    """Every score's documents; empty when one of them has none, or another number of them."""
    runs: list[tuple[Tally, ...]] = [score.tallies.get((task, mode), ()) for score in scores]
    return runs if len({len(run) for run in runs}) == 1 and runs[0] else []
