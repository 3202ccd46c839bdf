"""The report's numbers for other programs: CSV, JSON, and LaTeX tables with arms in rows and test sites in columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from fedmedlora.record import write_atomic
from fedmedlora.report.load import load_run
from fedmedlora.report.numbers import Spread, decimal
from fedmedlora.report.paired import found_verdict, paired_tests
from fedmedlora.report.progress import arm_label, arms_run, table_settings, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.report.strict_columns import STRICT_COLUMNS, strict_values
from fedmedlora.scoring import MODES, Task

Row: TypeAlias = dict[str, str | int | float | None]

FILES = ("scores.csv", "tests.csv", "tables.json", "tables.tex")
_WORDS = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_ESCAPES = str.maketrans({**{sign: f"\\{sign}" for sign in "&%$#_{}"}, **_WORDS})


def write_tables(run_dirs: Sequence[Path], folder: Path) -> list[Path]:
    """Write `scores.csv`, `tests.csv`, `tables.json` and `tables.tex` into a folder; returns the files.

    scores.csv has a line for every model, seed, test site, task and rule; nothing in it is rounded, and what is not
    defined is empty, as are confidence and errors in the lines of the lenient rule. The same run directories give the
    same bytes. Raises InputError as `load_run` does.
    """
    runs = [load_run(path) for path in run_dirs]
    scores = [row for run in runs for row in score_rows(run)]
    tests = [row for run in runs for row in paired_rows(run)]
    texts = (
        _csv(scores),
        _csv(tests),
        json.dumps({"scores": scores, "tests": tests}, ensure_ascii=False, indent=1) + "\n",
        "\n".join(latex_tables(runs)),
    )
    for name, text in zip(FILES, texts, strict=True):
        write_atomic(folder / name, text)
    return [folder / name for name in FILES]


def score_rows(run: Run) -> list[Row]:
    """A line for every model, seed, test site, task and rule."""
    return [
        _score_row(run, score, task, rule)
        for score in run.scores
        for task in run.tasks
        if task in score.tasks
        for rule in MODES
    ]


def _score_row(run: Run, score: Score, task: Task, rule: str) -> Row:
    counted = score.tasks[task].strict if rule == "strict" else score.tasks[task].lenient
    interval = next((one for cell, one in score.intervals.items() if cell == (task, rule)), None)
    return {
        "run": run.folder,
        "study": run.info.name,
        "setting": score.setting,
        "arm": score.arm,
        "seed": score.seed,
        "trained_on": score.trained_on,
        "test_site": score.test_site,
        "task": task,
        "rule": rule,
        "documents": score.documents,
        "gold": counted.gold,
        "predicted": counted.pred,
        "correct": counted.correct,
        "precision": counted.precision,
        "recall": counted.recall,
        "f1": counted.f1,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        **dict(zip(STRICT_COLUMNS, strict_values(score, task, rule), strict=True)),
    }


def paired_rows(run: Run) -> list[Row]:
    """A line for every paired test."""
    return [
        {
            "run": run.folder,
            "study": run.info.name,
            "setting": setting,
            "task": test.task,
            "test_site": test.site,
            "arm": test.arm,
            "against": test.against,
            "difference": test.found.difference,
            "p": test.found.p,
            "p_corrected": test.adjusted,
            "verdict": found_verdict(test),
            "documents": test.found.documents,
            "seeds": test.seeds,
        }
        for setting in table_settings(run)
        for test in paired_tests(run, setting)
    ]


def latex_tables(runs: Iterable[Run]) -> list[str]:
    """A table for every run, setting and task, for the package booktabs: strict and lenient F1, means over seeds."""
    return [_latex(run, setting, task) for run in runs for setting in table_settings(run) for task in run.tasks]


def _latex(run: Run, setting: str, task: Task) -> str:
    sites = tested_sites(run, setting)
    named = f"{_escaped(run.info.name)} ({_escaped(run.folder)})"
    heads = " & ".join(rf"\multicolumn{{2}}{{c}}{{{_escaped(site)}}}" for site in sites)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{named}: {TASK_NAMES[task]}, strict and lenient F1, {_escaped(setting)}.}}",
        rf"\begin{{tabular}}{{l{'rr' * len(sites)}}}",
        r"\toprule",
        rf" & {heads} \\",
        rf"Arm & {' & '.join('strict & lenient' for _ in sites)} \\",
        r"\midrule",
    ]
    for arm in arms_run(run):
        by_site = _by_site(own_scores(run, setting, arm))
        cells = [
            decimal(Spread.of(score.f1(task, mode) for score in by_site.get(site, ())).mean).replace("—", "--")
            for site in sites
            for mode in MODES
        ]
        lines.append(rf"{_escaped(arm_label(arm))} & {' & '.join(cells)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _by_site(scores: Iterable[Score]) -> Mapping[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.test_site, []).append(score)
    return found


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _csv(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
