"""The rows of every exported table, unrounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from fedmedlora.report.arm_table import annotated_sites, macro, worst
from fedmedlora.report.estimates import Held, by_site
from fedmedlora.report.findings import Findings
from fedmedlora.report.heterogeneity import divergences
from fedmedlora.report.pace import side_by_side
from fedmedlora.report.progress import arms_in, is_whole, table_settings, tested_sites
from fedmedlora.report.reach import reaches
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import own_scores
from fedmedlora.report.strict_columns import STRICT_COLUMNS, strict_values
from fedmedlora.scoring import MODES, Count, Mode, Task

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


def _score(score: Score, task: Task, rule: Mode) -> tuple[Value, ...]:
    scores, interval = score.tasks[task], score.intervals.get((task, rule))
    return (
        *(*_model(score), task, rule, score.documents),
        *_counted(scores.strict if rule == "strict" else scores.lenient),
        *((interval.low, interval.high) if interval else (None, None)),
        *strict_values(score, task, rule),
    )


def _types(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    """Of the types that are in gold or predicted."""
    for score in run.scores:
        for task in run.tasks:
            for name, counts in score.tasks[task].types.items() if task in score.tasks else ():
                for rule in MODES if counts.strict.gold or counts.strict.pred else ():
                    yield (*_model(score), task, name, rule, score.documents, *_counted(counts.of(rule)))


def _model(score: Score) -> tuple[Value, ...]:
    """What was scored, and where."""
    return score.setting, score.arm, score.seed, score.trained_on, score.test_site


def _counted(count: Count) -> tuple[Value, ...]:
    return count.gold, count.pred, count.correct, count.precision, count.recall, count.f1


def _averages(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    """Of settings with several test sites, as in the tables of scores."""
    for setting in table_settings(run):
        for task in run.tasks if len(tested_sites(run, setting)) > 1 else ():
            sites = annotated_sites(run, setting, task)
            for arm in arms_in(run, setting):
                scores = by_site(own_scores(run, setting, arm))
                for rule in MODES:
                    mean, least = macro(scores, sites, task, rule), worst(scores, sites, task, rule)
                    if mean is not None and least is not None:
                        yield (setting, task, rule, arm, len(sites), *mean, least.site, *least.of)


def _site_rounds(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    for one in run.rounds:
        for site, at in one.sites.items():
            yield (
                *(one.arm, one.seed, one.trained_on, one.number + 1, site, at.weight, at.validation_loss, at.loss),
                *(at.target_tokens, at.steps, at.seconds, one.seconds, at.refused),
            )


def _dev_rounds(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    for one in run.rounds:
        for site, cells in one.dev.items():
            for (task, rule), f1 in cells.items():
                yield one.arm, one.seed, one.trained_on, one.number + 1, site, task, rule, f1


def _costs(run: Run, _: Findings) -> Iterable[tuple[Value, ...]]:
    for one in run.costs:
        beside = side_by_side(run, one.arm, one.seed) if is_whole(one.trained_on) else None
        yield (
            *(one.setting, one.arm, one.seed, one.trained_on, one.rounds, one.steps, one.target_tokens),
            *(one.seconds, beside, one.validation_seconds, one.bytes_sent, one.bytes_received),
            *(one.full_model_bytes, one.peak_memory_bytes),
        )


def _tests(_: Run, findings: Findings) -> Iterable[tuple[Value, ...]]:
    for setting, tests in findings.tests.items():
        for pair, held in tests.items():
            found = held.of.found
            yield (
                *(setting, *pair, found.difference, *held.interval, found.p, held.p_corrected, held.verdict),
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


_MODEL = "setting arm seed trained_on test_site"
_COUNTED = "gold predicted correct precision recall f1"
_HELD = "difference difference_low difference_high p_corrected verdict"

TABLES: dict[str, Table] = {
    "scores": _table(
        f"{_MODEL} task rule documents {_COUNTED} low high {' '.join(STRICT_COLUMNS)}",
        _scores,
    ),
    "types": _table(f"{_MODEL} task type rule documents {_COUNTED}", _types),
    "averages": _table(
        "setting task rule arm sites macro_f1 low high worst_site worst_f1 worst_low worst_high", _averages
    ),
    "tests": _table(
        "setting task test_site arm against difference difference_low difference_high p p_corrected verdict "
        "documents seeds",
        _tests,
    ),
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
    "rounds": _table(
        "arm seed trained_on round site weight validation_loss training_loss target_tokens steps seconds "
        "round_seconds refused",
        _site_rounds,
    ),
    "dev_rounds": _table("arm seed trained_on round dev_site task rule f1", _dev_rounds),
    "rounds_to_95": _table("task arm dev_site goal best round seconds", lambda run, _: reaches(run)),
    "costs": _table(
        "setting arm seed trained_on rounds steps target_tokens seconds seconds_side_by_side validation_seconds "
        "bytes_sent bytes_received full_model_bytes peak_memory_bytes",
        _costs,
    ),
    "heterogeneity": _table("kind site other bits", lambda run, _: divergences(run)),
}
"""Name → table. Differences are strict F1 scores': of scores in gains from `against`, in leave_one_out from taking
part, in low_resource from the untrained start, in uneven from the untouched study, in scaling from centralised
training. Rounds count from 1; losses are nats per target token."""
