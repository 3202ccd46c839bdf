"""Tables of what was scored: arms by test sites, every single site's model on every site, seeds, types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fedmedlora.report.elements import (
    Markup,
    fold,
    head,
    join,
    missing,
    number,
    paragraph,
    small,
    table,
)
from fedmedlora.report.estimates import estimate
from fedmedlora.report.numbers import DASH, Spread, between, decimal, several, whole
from fedmedlora.report.progress import (
    EXTERNAL,
    SINGLE_SITE,
    arm_label,
    arms_run,
    model_label,
    seeds_of,
    tested_sites,
    why_missing,
)
from fedmedlora.report.records import Run, Score
from fedmedlora.scoring import MODES, Mode, Task

TASK_NAMES: dict[Task, str] = {"ner": "NER", "re": "RE"}
NOT_SUPPORTED = "not supported"


class Row(NamedTuple):
    """One row of a score table: header, second line of the header, scores, and why a cell may be empty, by site.

    own: the test site whose cell is marked as the model's own.
    """

    label: str
    note: str
    scores: Sequence[Score]
    why: dict[str, str]
    own: str | None = None


def own_scores(run: Run, setting: str, arm: str) -> list[Score]:
    """An arm's scores; of a single-site arm, every site's model on its own site's test only, or on external ones."""
    return [
        score
        for score in run.scores
        if (score.setting, score.arm) == (setting, arm)
        and (arm not in SINGLE_SITE or setting == EXTERNAL or score.trained_on == score.test_site)
    ]


def matrix_table(run: Run, setting: str, task: Task, arm: str = "single-site") -> Markup:
    """Single-site models by the site they were trained on × test sites."""
    scores = [score for score in run.scores if (score.setting, score.arm) == (setting, arm)]
    why = {site: why_missing(run, arm, site, setting) for site in tested_sites(run, setting)}
    trained = dict.fromkeys(tested_sites(run, "in-domain")) | dict.fromkeys(
        sorted({score.trained_on for score in scores})
    )
    rows = [Row(site, "", [one for one in scores if one.trained_on == site], why, own=site) for site in trained]
    caption = (
        f"{TASK_NAMES[task]}: each single site's model (rows) on every site's test notes (columns), "
        f"{arm_label(arm)}, {setting}. “own site” marks the site that the model was trained on. {reading(run)}"
    )
    return score_table(run, setting, caption, "Trained on", rows, task)


def reading(run: Run) -> str:
    """How to read the cells of a score table."""
    if len(seeds_of(run)) > 1:
        return (
            "Means over seeds; under each its 95 % interval, by resampling documents, then the lowest to the highest "
            "seed. Where records are too old for the interval, the seeds alone."
        )
    return "Under each F1 its 95 % interval, by resampling documents."


def score_table(run: Run, setting: str, caption: str, corner: str, rows: Sequence[Row], task: Task) -> Markup:
    """F1 strict and lenient for every row and test site, with n in the head."""
    sites = tested_sites(run, setting)
    if not sites:
        return paragraph("— No site is recorded.")
    heads = [
        [
            head(corner, rows=2),
            *(head(join([site, small(size_of(run, setting, site, task))]), "colgroup", 2) for site in sites),
        ],
        [head(mode) for _ in sites for mode in MODES],
    ]
    body: list[list[Markup]] = []
    for row in rows:
        cells = [head(join([row.label, *([small(row.note)] if row.note else [])]), "row")]
        for site in sites:
            here = [score for score in row.scores if score.test_site == site]
            why = row.why.get(site, "no record")
            cells += [f1_cell(here, task, mode, why, own=site == row.own) for mode in MODES]
        body.append(cells)
    return table(caption, heads, body)


def f1_cell(scores: Sequence[Score], task: Task, mode: Mode, why: str, own: bool = False) -> Markup:
    """One score with its interval, or the mean of several seeds with lowest and highest."""
    note = [small("own site")] if own else []
    if not scores:
        return number(join([missing(why), *note]))
    if all(task not in score.tasks for score in scores):
        return number(join([missing("not a task of this study"), *note]))
    spread = Spread.of(score.f1(task, mode) for score in scores)
    if spread.mean is None:
        return number(join([missing(NOT_SUPPORTED), *note]))
    if len(scores) == 1:
        return number(join([decimal(spread.mean), small(_interval(scores[0], task, mode)), *note]))
    all_defined = spread.defined == spread.total
    unit = "seed" if len({score.trained_on for score in scores}) == 1 else "model"
    seeds = several(spread.total, unit) if all_defined else f"{spread.defined} of {spread.total} {unit}s"
    bounds = estimate(scores, task, mode) if all(score.tallies for score in scores) else None
    inner = [small(between(bounds.low, bounds.high))] if bounds and bounds.low is not None else []
    return number(join([decimal(spread.mean), *inner, small(between(spread.low, spread.high)), small(seeds), *note]))


def _interval(score: Score, task: Task, mode: Mode) -> str:
    interval = score.intervals.get((task, mode))
    if interval is None or interval.low is None:
        return "no interval"
    return between(interval.low, interval.high)


def size_of(run: Run, setting: str, site: str, task: Task) -> str:
    """How many test documents and gold annotations, over whatever was scored on this site in a setting."""
    scores = [score for score in run.scores if (score.setting, score.test_site) == (setting, site)]
    if not scores:
        return "n not known yet"
    golds = [score.tasks[task].strict.gold for score in scores if task in score.tasks]
    return f"{_range(one.documents for one in scores)} documents, {_range(golds)} gold"


def _range(values: Iterable[int]) -> str:
    known = sorted(set(values))
    if not known:
        return DASH
    return whole(known[0]) if len(known) == 1 else f"{whole(known[0])}–{whole(known[-1])}"


def seeds_table(run: Run, setting: str, task: Task) -> Markup:
    """Every model and seed on its own row, with the seed's own interval. Nothing when there is one seed."""
    scores = [score for score in run.scores if score.setting == setting]
    if len({score.seed for score in scores}) < 2:
        return Markup("")
    rows: list[Row] = []
    for arm in arms_run(run):
        of_arm = [score for score in scores if score.arm == arm]
        for trained_on in dict.fromkeys(score.trained_on for score in of_arm):
            for seed in sorted({score.seed for score in of_arm}):
                here = [one for one in of_arm if (one.trained_on, one.seed) == (trained_on, seed)]
                why = {site: why_missing(run, arm, site, setting) for site in tested_sites(run, setting)}
                rows.append(Row(model_label(arm, trained_on), f"seed {seed}", here, why))
    caption = f"{TASK_NAMES[task]}: F1 of every seed, {setting}. Under each F1 its 95 % interval."
    return fold(
        f"{TASK_NAMES[task]}: every seed",
        score_table(run, setting, caption, "Model", rows, task),
        closed=task != run.tasks[0],
    )
