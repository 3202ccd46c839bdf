"""Uneven annotation: what every arm loses, on every site, when some sites annotate less or otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, grouped_table, head, join, missing, number, paragraph, small
from fedmedlora.report.estimates import UNCONFIRMED, Estimate, Held, Versus, estimate, hold
from fedmedlora.report.families import PLAIN
from fedmedlora.report.numbers import between, decimal, gained, listed
from fedmedlora.report.paired import difference, p_value
from fedmedlora.report.progress import FEDERATED, IN_DOMAIN, UNEVEN, arm_label, arms_run, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores, size_of
from fedmedlora.scoring import Task


class Changed(NamedTuple):
    """Strict F1 of one arm on one site in one case. held: against the same arm of the untouched study."""

    task: Task
    case: str
    arm: str
    site: str
    of: Estimate
    held: Held | None


def uneven(run: Run) -> list[Changed]:
    """Every task, case, arm and site."""
    cells: dict[tuple[str, str, str], list[Score]] = {}
    for score in run.scores:
        if score.setting == UNEVEN:
            cells.setdefault((score.variant.case or score.trained_on, score.arm, score.test_site), []).append(score)
    cases = dict.fromkeys(case for case, _, _ in cells)
    keys = [
        (task, case, arm, site)
        for task in run.tasks
        for case in cases
        for arm in arms_run(run)
        for site in tested_sites(run, UNEVEN)
        if (case, arm, site) in cells
    ]
    untouched = {arm: own_scores(run, IN_DOMAIN, arm) for arm in arms_run(run)}
    held = hold(
        {
            key: Versus(key[0], cells[key[1:]], [one for one in untouched[key[2]] if one.test_site == key[3]])
            for key in keys
        }
    )
    found = {key: estimate(cells[key[1:]], key[0]) for key in keys}
    return [Changed(*key, of, held.get(key)) for key, of in found.items() if of is not None]


def uneven_section(run: Run, rows: Sequence[Changed]) -> list[Markup]:
    """A table for each task: cases and arms by sites."""
    if not rows:
        return [paragraph("— No score of the setting uneven is recorded yet.")]
    return [paragraph(_READING), *(_table(run, rows, task) for task in run.tasks)]


_READING = (
    "In each case some sites' training notes are annotated otherwise, as the study's settings say (at the end of this "
    "page); test notes stay as they are. Under each F1: its 95 % interval; the difference from the same arm of the "
    "untouched study with its interval; p after Holm's correction over all differences of this setting."
)


def _table(run: Run, rows: Sequence[Changed], task: Task) -> Markup:
    sites = tested_sites(run, UNEVEN)
    found = {(row.case, row.arm, row.site): row for row in rows if row.task == task}
    groups = []
    for case in dict.fromkeys(case for case, _, _ in found):
        arms = [arm for arm in arms_run(run) if any((case, arm, site) in found for site in sites)]
        groups.append(
            [
                [
                    *([head(case, "rowgroup", rows=len(arms))] if place == 0 else []),
                    head(arm_label(arm), "row"),
                    *(_cell(found.get((case, arm, site))) for site in sites),
                ]
                for place, arm in enumerate(arms)
            ]
        )
    heads = [head("Case"), head("Arm"), *(head(join([one, small(size_of(run, UNEVEN, one, task))])) for one in sites)]
    return grouped_table(
        f"{TASK_NAMES[task]}: strict F1 with uneven annotation, by case, arm and site.", [heads], groups
    )


def _cell(row: Changed | None) -> Markup:
    if row is None:
        return number(missing("no record"))
    under = [small(between(row.of.low, row.of.high))] if row.of.low is not None else []
    if row.held is None:
        return number(join([decimal(row.of.mean), *under, small("no untouched run to compare")]))
    change = join([difference(row.held), small(f"p {p_value(row.held.p_corrected)}: {row.held.verdict}")])
    return number(join([decimal(row.of.mean), *under, change]))


def uneven_sentences(rows: Sequence[Changed], task: Task) -> list[str]:
    """For each case what the plainest federated arm loses or gains, site by site."""
    arms = [arm for arm in (*PLAIN, *FEDERATED) if any(row.arm == arm for row in rows)]
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.task == task and row.arm in arms[:1] and row.held is not None and row.held.difference is not None:
            aside = f" ({row.held.verdict})" if row.held.verdict in UNCONFIRMED else ""
            said = f"{row.site} by {gained(row.held.difference, *row.held.interval)}{aside}"
            found.setdefault(row.case, []).append(said)
    return [f"In the case {case} {arm_label(arms[0])} changes {listed(said)}." for case, said in found.items()]
