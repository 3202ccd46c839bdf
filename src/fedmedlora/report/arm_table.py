"""The paper's tables: arms in groups × test sites, their macro average and the worst of them, strict and lenient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, element, grouped_table, head, join, missing, number, paragraph, small
from fedmedlora.report.estimates import Estimate, by_site, estimate, macro_estimate
from fedmedlora.report.families import grouped
from fedmedlora.report.numbers import between, decimal, several
from fedmedlora.report.progress import EXTERNAL, SINGLE_SITE, arm_label, arms_in, tested_sites, why_missing
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import NOT_SUPPORTED, TASK_NAMES, f1_cell, own_scores, reading, size_of
from fedmedlora.scoring import MODES, Mode, Task


class Worst(NamedTuple):
    """The site on which an arm's F1 is lowest, and the F1 there."""

    site: str
    of: Estimate


def annotated_sites(run: Run, setting: str, task: Task) -> tuple[str, ...]:
    """The test sites that have gold of a task: those that an average is over, and that can be the worst."""
    golds = {score.test_site for score in run.scores if task in score.tasks and score.tasks[task].strict.gold}
    return tuple(site for site in tested_sites(run, setting) if site in golds)


def macro(scores: Mapping[str, Sequence[Score]], sites: Sequence[str], task: Task, mode: Mode) -> Estimate | None:
    """An arm's mean F1 over these sites; None unless it was scored on all of them."""
    if not sites or any(site not in scores for site in sites):
        return None
    return macro_estimate({site: scores[site] for site in sites}, task, mode)


def worst(scores: Mapping[str, Sequence[Score]], sites: Sequence[str], task: Task, mode: Mode) -> Worst | None:
    """The first of the sites on which an arm's F1 is lowest; None unless it was scored on all of them."""
    found = {site: estimate(scores.get(site, ()), task, mode) for site in sites}
    known = [Worst(site, one) for site, one in found.items() if one is not None]
    return min(known, key=lambda one: one.of.mean) if known and len(known) == len(sites) else None


def arm_table(run: Run, setting: str, task: Task) -> Markup:
    """One of the paper's tables. Macro average and worst site come where there are several sites."""
    sites = tested_sites(run, setting)
    if not sites:
        return paragraph("— No site is recorded.")
    annotated = annotated_sites(run, setting, task)
    over = len(sites) > 1
    columns = [head(join([site, small(size_of(run, setting, site, task))]), "colgroup", 2) for site in sites]
    if over:
        mean = several(len(annotated), "site")
        columns += [
            head(join(["Macro average", small(f"over {mean}")]), "colgroup", 2),
            head("Worst site", "colgroup", 2),
        ]
    heads = [[head("Arm", rows=2), *columns], [head(mode) for _ in columns for mode in MODES]]
    groups = []
    for title, arms in grouped(arms_in(run, setting)):
        line = element("th", title, scope="rowgroup", colspan=str(1 + 2 * len(columns)), class_="group")
        groups.append([[line], *(_row(run, setting, task, arm, annotated if over else None) for arm in arms)])
    caption = f"{TASK_NAMES[task]}: F1 by arm and test site, {setting}. {reading(run)}"
    return grouped_table(caption, heads, groups)


def _row(run: Run, setting: str, task: Task, arm: str, annotated: Sequence[str] | None) -> list[Markup]:
    scores = by_site(own_scores(run, setting, arm))
    cells = [head(join([arm_label(arm), *_note(setting, arm)]), "row")]
    for site in tested_sites(run, setting):
        why = why_missing(run, arm, site, setting)
        cells += [f1_cell(scores.get(site, []), task, mode, why) for mode in MODES]
    if annotated is not None:
        why = _why_no_average(run, setting, arm, scores, annotated)
        cells += [_estimate_cell(macro(scores, annotated, task, mode), why) for mode in MODES]
        cells += [_worst_cell(worst(scores, annotated, task, mode), why) for mode in MODES]
    return cells


def _note(setting: str, arm: str) -> list[Markup]:
    if arm not in SINGLE_SITE:
        return []
    return [small("each site's own model" if setting != EXTERNAL else "mean over the sites' models")]


def _why_no_average(
    run: Run, setting: str, arm: str, scores: Mapping[str, Sequence[Score]], annotated: Sequence[str]
) -> str:
    if not annotated:
        return NOT_SUPPORTED
    known = any(site in scores for site in annotated)
    return "not on every site" if known else why_missing(run, arm, annotated[0], setting)


def _estimate_cell(found: Estimate | None, why: str) -> Markup:
    if found is None:
        return number(missing(why))
    return number(join([decimal(found.mean), *_bounds(found)]))


def _worst_cell(found: Worst | None, why: str) -> Markup:
    if found is None:
        return number(missing(why))
    return number(join([decimal(found.of.mean), *_bounds(found.of), small(found.site)]))


def _bounds(found: Estimate) -> list[Markup]:
    return [small(between(found.low, found.high))] if found.low is not None else []
