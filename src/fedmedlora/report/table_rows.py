"""The rows of every exported table, unrounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from fedmedlora.report.estimates import Held
from fedmedlora.report.findings import Findings
from fedmedlora.report.heterogeneity import divergences
from fedmedlora.report.reach import reaches
from fedmedlora.report.records import Run, Score
from fedmedlora.report.strict_columns import STRICT_COLUMNS, strict_values
from fedmedlora.scoring import MODES, Task

Value: TypeAlias = str | int | float | None
Row: TypeAlias = dict[str, Value]


class Table(NamedTuple):
    """columns: of every row, in order. rows: those of one run."""

    columns: tuple[str, ...]
    rows: Callable[[Run, Findings], list[Row]]


def _table(columns: str, values: Callable[[Run, Findings], Iterable[tuple[Value, ...]]]) -> Table:
    """A table whose rows begin with run folder and study; columns: separated by blanks."""
    names = ("run", "study", *columns.split())

    def rows(run: Run, findings: Findings) -> list[Row]:
        start = (run.folder, run.info.name)
        return [dict(zip(names, (*start, *row), strict=True)) for row in values(run, findings)]

    return Table(names, rows)


def _scores(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    for score in run.scores:
        for task in run.tasks:
            if task in score.tasks:
                yield from (_score(score, task, rule) for rule in MODES)


def _score(score: Score, task: Task, rule: str) -> tuple[Value, ...]:
    counted = score.tasks[task].strict if rule == "strict" else score.tasks[task].lenient
    interval = next((one for cell, one in score.intervals.items() if cell == (task, rule)), None)
    return (
        *(score.setting, score.arm, score.seed, score.trained_on, score.test_site, task, rule, score.documents),
        *(counted.gold, counted.pred, counted.correct, counted.precision, counted.recall, counted.f1),
        *((interval.low, interval.high) if interval else (None, None)),
        *strict_values(score, task, rule),
    )


def _tests(_: Run, findings: Findings) -> Iterable[tuple[Value, ...]]:
    for setting, tests in findings.tests.items():
        for pair, held in tests.items():
            found = held.of.found
            yield (
                *(setting, *pair, found.difference, found.p, held.p_corrected, held.verdict),
                *(found.documents, held.of.seeds),
            )


def _gains(_: Run, findings: Findings) -> Iterable[tuple[Value, ...]]:
    for gains in findings.gains.values():
        for gain in gains:
            held = (gain.difference, *gain.interval, gain.p_corrected, gain.verdict)
            yield (*gain[:7], *held, gain.documents, gain.seeds)


def _held(held: Held | None) -> tuple[Value, ...]:
    """Difference, low, high, corrected p, verdict."""
    return (held.difference, *held.interval, held.p_corrected, held.verdict) if held else (None,) * 5


_HELD = "difference difference_low difference_high p_corrected verdict"

TABLES: dict[str, Table] = {
    "scores": _table(
        "setting arm seed trained_on test_site task rule documents gold predicted correct precision recall f1 low high "
        + " ".join(STRICT_COLUMNS),
        _scores,
    ),
    "tests": _table("setting task test_site arm against difference p p_corrected verdict documents seeds", _tests),
    "gains": _table(f"setting task test_site arm against before after {_HELD} documents seeds", _gains),
    "leave_one_out": _table(
        f"task test_site arm left_out taking_part own_model bare_base {_HELD}",
        lambda _, findings: ((*row[:7], *_held(row.held)) for row in findings.left_out),
    ),
    "low_resource": _table(
        f"task rule test_site start notes f1 low high lowest_seed highest_seed seeds {_HELD}",
        lambda _, findings: ((*row[:11], *_held(row.over_base)) for row in findings.few_notes),
    ),
    "uneven": _table(
        f"task case arm test_site f1 low high {_HELD}",
        lambda _, findings: ((*row[:4], *row.of, *_held(row.held)) for row in findings.uneven),
    ),
    "scaling": _table(
        "task rule arm split sites f1 low high seeds centralised "
        "difference difference_low difference_high bytes seconds",
        lambda _, findings: findings.scaled,
    ),
    "rounds_to_95": _table("task arm dev_site goal best round seconds", lambda run, _: reaches(run)),
    "heterogeneity": _table("kind site other bits", lambda run, _: divergences(run)),
}
"""Name → table. Differences are strict F1 scores': of scores in gains from `against`, in leave_one_out from taking
part, in low_resource from the bare base, in uneven from the untouched study, in scaling from centralised training."""
