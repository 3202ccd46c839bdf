"""Arms against each other on the same test documents: paired permutation tests, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from fedmedlora.report.elements import Markup, head, missing, number, paragraph, table, words
from fedmedlora.report.numbers import decimal, signed, whole
from fedmedlora.report.progress import arm_label, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import Permutation, Tally, Task, holm, paired_permutation

COMPARED = (
    ("fedmedlora", "single-site"),
    ("fedmedlora", "centralised"),
    ("fedmedlora-plus", "single-site"),
    ("fedmedlora-plus", "centralised"),
    ("fedmedlora-plus", "fedmedlora"),
    ("fedprox", "fedmedlora"),
    ("fedsa-lora", "fedmedlora"),
    ("ffa-lora", "fedmedlora"),
    ("fedmedlora", "api"),
    ("bert-fedavg", "bert-single-site"),
    ("bert-fedavg", "bert-centralised"),
    ("bert-lora-fedmedlora", "bert-lora-single-site"),
    ("bert-lora-fedmedlora", "bert-lora-centralised"),
    ("bert-lora-fedmedlora-plus", "bert-lora-fedmedlora"),
    ("fedmedlora", "bert-fedavg"),
)
"""An arm, and the arm that it is held against."""

Verdict: TypeAlias = Literal["above", "below", "within the noise", "not judged"]

LEVEL = 0.05
_SEED = 0


@dataclass(frozen=True, slots=True)
class PairedTest:
    """One arm against another on one site's test documents, strict F1. adjusted: p after Holm's correction."""

    task: Task
    site: str
    arm: str
    against: str
    seeds: int
    found: Permutation
    adjusted: float | None = None


def paired_tests(run: Run, setting: str) -> tuple[PairedTest, ...]:
    """Every comparison that the run's records allow, corrected over all tasks, sites and pairs of the setting."""
    tests = [
        test
        for task in run.tasks
        for site in tested_sites(run, setting)
        for arm, against in COMPARED
        if (test := _test(run, setting, task, site, arm, against)) is not None
    ]
    adjusted = holm({place: test.found.p for place, test in enumerate(tests) if test.found.p is not None})
    return tuple(replace(test, adjusted=adjusted.get(place)) for place, test in enumerate(tests))


def tests_section(tests: Sequence[PairedTest]) -> list[Markup]:
    """A table of all tests."""
    if not tests:
        return [paragraph("— No two arms that are compared have scores of single documents, so nothing is tested.")]
    rows = [
        [
            head(TASK_NAMES[test.task], "row"),
            words(test.site),
            words(arm_label(test.arm)),
            words(arm_label(test.against)),
            number(signed(test.found.difference)),
            _p_cell(test.found.p),
            _p_cell(test.adjusted),
            words(found_verdict(test)),
            number(whole(test.found.documents)),
            number(whole(test.seeds)),
        ]
        for test in tests
    ]
    heads = ("Task", "Test site", "Arm", "Against", "Difference of F1", "p", "p, corrected", "", "Documents", "Seeds")
    return [
        table("Arms against each other, strict F1.", [[head(name) for name in heads]], rows),
        paragraph(_METHOD),
    ]


_METHOD = (
    "Paired permutation tests: both arms' answers to a document are exchanged at random, 10,000 times; p is the share "
    "of exchanges that leave the mean F1s over seeds at least as far apart. Corrected after Holm for the number of "
    "tests in this table. A difference whose corrected p is not below 0.05 is within the noise."
)


def found_verdict(test: PairedTest) -> Verdict:
    """What the corrected p says: "above", "below", "within the noise", or "not judged"."""
    if test.adjusted is None or test.found.difference is None:
        return "not judged"
    if test.adjusted >= LEVEL:
        return "within the noise"
    return "above" if test.found.difference > 0 else "below"


def p_value(p: float | None) -> str:
    """`p_value(0.0123)` is "0.012"; what is smaller than a thousandth is said to be."""
    return "< 0.001" if p is not None and p < 0.001 else decimal(p)


def _p_cell(p: float | None) -> Markup:
    return words(missing("an F1 is not defined")) if p is None else number(p_value(p))


def _test(run: Run, setting: str, task: Task, site: str, arm: str, against: str) -> PairedTest | None:
    """None where one of the arms has no scores of single documents under a seed that the other has too."""
    ours, theirs = (_tallies(own_scores(run, setting, name), task, site) for name in (arm, against))
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds or len({len(found[seed]) for found in (ours, theirs) for seed in seeds}) > 1:
        return None
    first, second = (
        {place: [found[seed][place] for seed in seeds] for place in range(len(found[seeds[0]]))}
        for found in (theirs, ours)
    )
    return PairedTest(task, site, arm, against, len(seeds), paired_permutation(first, second, seed=_SEED))


def _tallies(scores: list[Score], task: Task, site: str) -> Mapping[int, tuple[Tally, ...]]:
    """By seed; nothing for an arm that has several models there: single-site, on an external site."""
    here = [score for score in scores if score.test_site == site and score.tallies.get((task, "strict"))]
    if len({score.trained_on for score in here}) > 1:
        return {}
    return {score.seed: score.tallies[task, "strict"] for score in here}
