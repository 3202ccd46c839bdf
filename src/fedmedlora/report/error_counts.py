"""What kinds of mistakes the arms make: counts and shares by class, on every test site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fedmedlora.report.elements import Markup, bullets, fold, head, join, number, paragraph, small, table, words
from fedmedlora.report.numbers import DASH, Spread, decimal, listed, several, whole
from fedmedlora.report.progress import arm_label, arms_run, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import CLASSES, Task

_MEANING: dict[Task, tuple[str, ...]] = {
    "ner": (
        "correct: same type and boundaries",
        "boundary: same type, other boundaries, overlapping",
        "type: same boundaries, another type",
        "type and boundary: overlapping, another type",
        "missed: in gold, with no prediction left to pair it with",
        "spurious: predicted, with nothing in gold left to pair it with",
    ),
    "re": (
        "correct: same entity, same type, same boundaries of the modifier",
        "boundary: same entity and type, boundaries of the modifier overlap",
        "type: same entity and boundaries of the modifier, another type of modifier",
        "wrong target: the same modifier, given to another entity",
        "missed and spurious: as for NER",
    ),
}


def errors_section(run: Run, setting: str) -> list[Markup]:
    """A table for every task and site, and what its columns mean."""
    parts: list[Markup] = []
    for task in run.tasks:
        found = {site: one for site in tested_sites(run, setting) if (one := _table(run, setting, site, task))}
        tables = [
            fold(f"{TASK_NAMES[task]}: errors on {site}", one, closed=bool(parts or place))
            for place, (site, one) in enumerate(found.items())
        ]
        if tables:
            parts += [paragraph(f"{TASK_NAMES[task]}. {_PAIRING}"), bullets(_MEANING[task]), *tables]
    return parts or [
        paragraph("— No classes of errors are recorded: no score is there, or it is of an earlier version.")
    ]


_PAIRING = (
    "Every annotation, in gold and predicted, has one class; gold and predicted ones are paired one to one, the better "
    "classes first:"
)


def _table(run: Run, setting: str, site: str, task: Task) -> Markup:
    rows: list[list[Markup]] = []
    averaged = False
    for arm in arms_run(run):
        here = [one for one in own_scores(run, setting, arm) if one.test_site == site and task in one.errors]
        averaged = averaged or len(here) > 1
        if here:
            rows.append([head(arm_label(arm), "row"), *_cells(here, task)])
    if not rows:
        return Markup("")
    names = ("Arm", "Gold", "Predicted", *CLASSES[task], "Most frequent error")
    means = " Means over seeds or models." if averaged else ""
    caption = (
        f"{TASK_NAMES[task]}: classes of annotations on {site}, {setting}. Under each count its share of the gold "
        f"annotations; of “spurious”, of the predicted ones.{means}"
    )
    return table(caption, [[head(name) for name in names]], rows)


def _cells(scores: Sequence[Score], task: Task) -> list[Markup]:
    errors = [score.errors[task] for score in scores]
    sums = {side: Spread.of(_sum(one, but) for one in errors) for side, but in _LEFT_OUT.items()}
    cells = [number(_count(spread)) for spread in sums.values()]
    for kind in CLASSES[task]:
        side = "predicted" if kind == "spurious" else "gold"
        share = Spread.of(_share(one, kind, _LEFT_OUT[side]) for one in errors)
        cells.append(number(join([_count(Spread.of(one.get(kind, 0) for one in errors)), small(_percent(share.mean))])))
    return [*cells, words(_most_frequent(errors))]


_LEFT_OUT = {"gold": "spurious", "predicted": "missed"}
"""Side → the class that has nothing on it."""


def _sum(errors: Mapping[str, int], but: str) -> int:
    return sum(count for kind, count in errors.items() if kind != but)


def _share(errors: Mapping[str, int], kind: str, but: str) -> float | None:
    of = _sum(errors, but)
    return errors.get(kind, 0) / of if of else None


def _most_frequent(errors: Sequence[Mapping[str, int]]) -> str:
    """Over all seeds: "missed, 61 % of 1,204 errors"; classes with the same count are named together."""
    wrong: Counter[str] = sum((Counter(one) for one in errors), Counter())
    del wrong["correct"]
    if not wrong:
        return DASH
    most = max(wrong.values())
    names = listed(kind for kind, count in wrong.items() if count == most)
    return f"{names}, {_percent(most / wrong.total())} of {several(wrong.total(), 'error')}"


def _count(spread: Spread) -> str:
    """A count; of several seeds the mean, with one decimal where the seeds differ."""
    return whole(spread.mean) if spread.low == spread.high else decimal(spread.mean, 1)


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{decimal(100 * share, 1)} %"
