"""What one way to train gives over another on every site: F1 of both, the difference with its interval, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fedmedlora.report.arm_table import annotated_sites
from fedmedlora.report.estimates import (
    BySite,
    Held,
    Verdict,
    by_site,
    ends,
    estimate,
    judge,
    macro_contrast,
    macro_estimate,
)
from fedmedlora.report.families import compared
from fedmedlora.report.paired import Pair
from fedmedlora.report.progress import EXTERNAL, SINGLE_SITE, tested_sites
from fedmedlora.report.records import Run
from fedmedlora.report.results import own_scores
from fedmedlora.scoring import Task


class Gain(NamedTuple):
    """Strict F1 of `arm` (after) and of `against` (before) on one site.

    held: what the records of single documents say; None where there are none. judged: what both arms' own intervals
    say.
    """

    setting: str
    task: Task
    site: str
    arm: str
    against: str
    before: float
    after: float
    documents: int
    seeds: int
    held: Held | None
    judged: Verdict

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Low and high of the difference, 95 %."""
        return self.held.interval if self.held else (None, None)

    @property
    def p_corrected(self) -> float | None:
        """Of the paired test, after Holm's correction."""
        return self.held.p_corrected if self.held else None

    @property
    def verdict(self) -> Verdict:
        """The paired test's and its interval's, where there is one."""
        return self.held.verdict if self.held else self.judged


class MacroGain(NamedTuple):
    """Macro averages of two arms over the sites that both were tested on. low, high: interval of the difference."""

    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    sites: int


def gains(run: Run, setting: str, tests: Mapping[Pair, Held]) -> list[Gain]:
    """Every comparison of a setting that has two F1s, tasks and sites in order."""
    return [
        gain
        for task in run.tasks
        for site in tested_sites(run, setting)
        for arm, against in compared(setting)
        if (gain := _gain(run, setting, Pair(task, site, arm, against), tests)) is not None
    ]


def _gain(run: Run, setting: str, pair: Pair, tests: Mapping[Pair, Held]) -> Gain | None:
    ours, theirs = (
        [one for one in own_scores(run, setting, arm) if one.test_site == pair.site] for arm in (pair.arm, pair.against)
    )
    after, before = estimate(ours, pair.task), estimate(theirs, pair.task)
    if after is None or before is None:
        return None
    held = tests.get(pair)
    if held is not None and held.of.before is not None and held.of.after is not None:
        means = (held.of.before, held.of.after)
        return Gain(setting, *pair, *means, held.of.found.documents, held.of.seeds, held, held.verdict)
    # The intervals of several sites' models on one external site are none of their mean.
    several_models = setting == EXTERNAL and not {pair.arm, pair.against}.isdisjoint(SINGLE_SITE)
    verdict: Verdict = "not judged" if several_models else judge(after, before)
    documents, seeds = max(score.documents for score in ours), len({score.seed for score in ours})
    return Gain(setting, *pair, before.mean, after.mean, documents, seeds, None, verdict)


def macro_gain(run: Run, setting: str, task: Task, arm: str, against: str) -> MacroGain | None:
    """Over the sites that have gold, as in the tables; None where fewer than two of them have both arms' F1."""
    ours, theirs = (_supported(by_site(own_scores(run, setting, one)), task) for one in (arm, against))
    both = [site for site in annotated_sites(run, setting, task) if site in ours and site in theirs]
    ours, theirs = ({site: found[site] for site in both} for found in (ours, theirs))
    after, before = macro_estimate(ours, task), macro_estimate(theirs, task)
    if after is None or before is None or len(both) < 2:
        return None
    bounds = macro_contrast(ours, theirs, task)
    return MacroGain(before.mean, after.mean, after.mean - before.mean, *ends(bounds), len(both))


def _supported(sites: BySite, task: Task) -> BySite:
    """The sites on which the F1 is defined."""
    return {site: scores for site, scores in sites.items() if estimate(scores, task) is not None}
