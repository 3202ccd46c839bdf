"""Scores by type: precision, recall and F1 of every entity and modifier type, on every test site, for every arm."""

from __future__ import annotations

from collections.abc import Sequence

from fedmedlora.report.elements import Markup, fold, grouped_table, head, join, number, paragraph, words
from fedmedlora.report.numbers import Spread, decimal, whole
from fedmedlora.report.progress import arm_label, arms_run, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import NOT_SUPPORTED, TASK_NAMES, own_scores
from fedmedlora.scoring import MODES, Count, Mode, Task


def type_table(run: Run, setting: str, site: str, task: Task, closed: bool = False) -> Markup:
    """Precision, recall and F1 of every type for every arm on one site's test, in a fold."""
    arms: dict[str, list[Score]] = {}
    for arm in arms_run(run):
        here = [one for one in own_scores(run, setting, arm) if one.test_site == site and task in one.tasks]
        if here:
            arms[arm] = here
    names = list(dict.fromkeys(name for scores in arms.values() for one in scores for name in one.tasks[task].types))
    if not names:
        return Markup("")
    heads = [
        [head("Type", rows=2), head("Arm", rows=2), head("Gold", rows=2), head("Predicted", rows=2)]
        + [head(mode, "colgroup", 3) for mode in MODES],
        [head(name) for _ in MODES for name in ("P", "R", "F1")],
    ]
    groups: list[list[list[Markup]]] = []
    absent: list[str] = []
    for name in names:
        rows = {arm: _type_counts(scores, task, name) for arm, scores in arms.items()}
        if any(count.gold or count.pred for counts in rows.values() for count in counts["strict"]):
            groups.append(_type_group(name, rows))
        else:
            absent.append(name)
    if absent:
        groups.append([[head(name, "row"), words(join(["— ", NOT_SUPPORTED]), 9)] for name in absent])
    averaged = " Means over seeds." if any(len(scores) > 1 for scores in arms.values()) else ""
    caption = (
        f"{TASK_NAMES[task]} by type on {site}, {setting}: precision, recall and F1.{averaged} “{NOT_SUPPORTED}”: "
        "neither gold nor predicted here, so there is nothing to score. — alone: nothing predicted (P) or no gold (R)."
    )
    return fold(f"{TASK_NAMES[task]} by type on {site}", grouped_table(caption, heads, groups), closed=closed)


def _type_counts(scores: Sequence[Score], task: Task, name: str) -> dict[Mode, list[Count]]:
    """One count a seed, under both rules; empty ones where a record does not list the type."""
    found = [score.tasks[task].types.get(name) for score in scores]
    return {mode: [Count() if counts is None else counts.of(mode) for counts in found] for mode in MODES}


def _type_group(name: str, rows: dict[str, dict[Mode, list[Count]]]) -> list[list[Markup]]:
    group: list[list[Markup]] = []
    for place, (arm, counts) in enumerate(rows.items()):
        strict = counts["strict"]
        first = [head(name, "rowgroup", rows=len(rows))] if place == 0 else []
        line = [*first, head(arm_label(arm), "row"), number(_mean(Spread.of(count.gold for count in strict)))]
        line.append(number(_mean(Spread.of(count.pred for count in strict))))
        if any(count.gold or count.pred for count in strict):
            line += [number(cell) for mode in MODES for cell in _quotients(counts[mode])]
        else:
            line.append(words(join(["— ", NOT_SUPPORTED]), 6))
        group.append(line)
    return group


def _quotients(counts: Sequence[Count]) -> list[str]:
    columns = (
        [count.precision for count in counts],
        [count.recall for count in counts],
        [count.f1 for count in counts],
    )
    return [decimal(Spread.of(values).mean) for values in columns]


def _mean(spread: Spread) -> str:
    """A count; of several seeds the mean, with one decimal where the seeds differ."""
    return whole(spread.mean) if spread.low == spread.high else decimal(spread.mean, 1)


def types_section(run: Run, setting: str) -> list[Markup]:
    """Per-type tables by site and task; the first is open."""
    parts: list[Markup] = []
    for site in tested_sites(run, setting):
        for task in run.tasks:
            part = type_table(run, setting, site, task, closed=bool(parts))
            parts += [part] if part else []
    return parts or [paragraph("— No score by type is recorded yet.")]
