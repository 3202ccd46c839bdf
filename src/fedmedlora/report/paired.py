"""Arms against each other on the same test documents: paired permutation tests, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fedmedlora.report.elements import (
    Markup,
    element,
    head,
    join,
    missing,
    number,
    paragraph,
    small,
    table,
    terms,
    words,
)
from fedmedlora.report.estimates import Held, Versus, by_site, hold
from fedmedlora.report.families import compared
from fedmedlora.report.numbers import between, decimal, several, signed, whole
from fedmedlora.report.progress import arm_label, tested_sites
from fedmedlora.report.records import Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import Task


class Pair(NamedTuple):
    """One arm and another on one site's test documents."""

    task: Task
    site: str
    arm: str
    against: str


def paired_tests(run: Run, setting: str) -> dict[Pair, Held]:
    """Every comparison that the run's records allow, corrected over all tasks, sites and pairs of the setting."""
    pairs = compared(setting)
    scores = {arm: by_site(own_scores(run, setting, arm)) for pair in pairs for arm in pair}
    return hold(
        {
            Pair(task, site, arm, against): Versus(task, scores[arm].get(site, []), scores[against].get(site, []))
            for task in run.tasks
            for site in tested_sites(run, setting)
            for arm, against in pairs
        }
    )


def tests_section(settings: Mapping[str, Mapping[Pair, Held]]) -> list[Markup]:
    """A table of all tests of each setting, named where there are several; then how they were made, and the words."""
    parts: list[Markup] = []
    for setting, tests in settings.items():
        if len(settings) > 1:
            parts.append(paragraph(element("strong", f"Setting: {setting}")))
        parts.append(_table(tests))
    return [*parts, paragraph(_METHOD), terms(VERDICTS.items())]


def _table(tests: Mapping[Pair, Held]) -> Markup:
    if not tests:
        return paragraph("— No two arms that are compared have scores of single documents, so nothing is tested.")
    rows = [
        [
            head(TASK_NAMES[pair.task], "row"),
            words(pair.site),
            words(arm_label(pair.arm)),
            words(arm_label(pair.against)),
            number(difference(held)),
            p_cell(held.of.found.p),
            p_cell(held.p_corrected),
            words(held.verdict),
            number(whole(held.of.found.documents)),
            number(whole(held.of.seeds)),
        ]
        for pair, held in tests.items()
    ]
    heads = (
        "Task",
        "Test site",
        "Arm",
        "Against",
        "Difference of F1",
        "p",
        "p, corrected",
        "Verdict",
        "Documents",
        "Seeds",
    )
    corrected = max(held.tests for held in tests.values())
    caption = f"Arms against each other, strict F1; p corrected for {several(corrected, 'test')}."
    return table(caption, [[head(name) for name in heads]], rows)


_METHOD = (
    "Paired permutation tests: both arms' answers to a document are exchanged at random, 10,000 times; p is the share "
    "of exchanges that leave the mean F1s over seeds at least as far apart. Corrected after Holm for the number of "
    "tests in its table. Under a difference its 95 % interval: both arms on the same resampled documents, 1,000 times. "
    "A difference is called:"
)

VERDICTS = {
    "“above”, “below”": (
        "the corrected p is below 0.05. In sentences a site gains or loses, an arm is better or worse, or nothing is "
        "added to the difference."
    ),
    "“probably above”, “probably below”": (
        "the corrected p is not below 0.05, but p before correction is, and the 95 % interval leaves out 0. Of twenty "
        "pairs of arms that do not differ, about one would be called so."
    ),
    "“within the noise”": "neither: the interval holds 0, or p before correction is not below 0.05 either.",
    "“too few notes to tell”": (
        "the corrected p could not have been below 0.05, whatever the interval: n documents that the arms score "
        "differently on give no p under 2/2ⁿ."
    ),
}
"""What a difference is called → when."""


def difference(held: Held) -> Markup:
    """A difference with its interval under it."""
    low, high = held.interval
    under = [] if low is None else [small(between(low, high, signed))]
    return join([signed(held.difference), *under])


def held_cells(held: Held | None, why: str) -> list[Markup]:
    """Difference, corrected p and verdict, or why there is none: three columns."""
    if held is None:
        return [words(missing(why), 3)]
    return [number(difference(held)), p_cell(held.p_corrected), words(held.verdict)]


def p_value(p: float | None) -> str:
    """`p_value(0.0123)` is "0.012"; what is smaller than a thousandth is said to be."""
    return "< 0.001" if p is not None and p < 0.001 else decimal(p)


def p_cell(p: float | None) -> Markup:
    """A cell for a p."""
    return words(missing("an F1 is not defined")) if p is None else number(p_value(p))
