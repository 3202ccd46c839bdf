"""The report's sentences and tables in Markdown, for a README or a page of documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fedmedlora.report.arm_table import annotated_sites, macro
from fedmedlora.report.estimates import by_site, estimate
from fedmedlora.report.findings import Findings
from fedmedlora.report.flat_tables import flat_tables, with_bounds
from fedmedlora.report.numbers import DASH
from fedmedlora.report.paired import VERDICTS
from fedmedlora.report.progress import (
    EXTERNAL,
    SINGLE_SITE,
    arm_label,
    arms_in,
    is_whole,
    seeds_of,
    table_settings,
    tested_sites,
)
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores, size_of
from fedmedlora.report.summary import task_sentences
from fedmedlora.scoring import MODES, Mode, Task


def markdown_page(run: Run, findings: Findings) -> str:
    """Everything under headings: what differences are called, what the numbers say, then the tables."""
    words = "\n".join(f"- {name}: {meaning}" for name, meaning in VERDICTS.items())
    parts = [f"## {run.info.name} ({run.folder})", "A difference is called:", words]
    blocks = markdown_blocks(run, findings)
    return "\n\n".join([*parts, *(f"### {title}\n\n{text}" for title, text in blocks.items())]) + "\n"


def markdown_blocks(run: Run, findings: Findings) -> dict[str, str]:
    """Title → Markdown: sentences of each task, tables of scores, and the others that have rows."""
    blocks = {f"{TASK_NAMES[task]} in words": _sentences(run, findings, task) for task in run.tasks}
    for setting in table_settings(run):
        for task in run.tasks:
            for mode in MODES:
                blocks[f"{TASK_NAMES[task]}, {mode} F1, {setting}"] = _scores(run, setting, task, mode)
    for title, columns, rows, note in flat_tables(run, findings):
        blocks[title] = "\n\n".join([_table(columns, rows), *([note] if note else [])])
    return {title: text for title, text in blocks.items() if text}


def _sentences(run: Run, findings: Findings, task: Task) -> str:
    topics = task_sentences(run, findings, task)
    return "\n\n".join(
        "\n".join([f"**{topic}.**", "", *(f"- {one}" for one in said)]) for topic, said in topics.items()
    )


def _scores(run: Run, setting: str, task: Task, mode: Mode) -> str:
    """Arms by sites with intervals, and each of the single-site models on every site; "" where nothing is defined."""
    sites, annotated = tested_sites(run, setting), annotated_sites(run, setting, task)
    rows = []
    for arm in arms_in(run, setting):
        rows.append([_label(arm, setting), *_cells(own_scores(run, setting, arm), sites, annotated, task, mode)])
        if arm in SINGLE_SITE:
            rows += _models(run, setting, task, mode, arm)
    rows = [row for row in rows if set(row[1:]) != {DASH}]
    if not rows:
        return ""
    seeds = len(seeds_of(run))
    means = f"Means over {seeds} seeds. " if seeds > 1 else ""
    sizes = "; ".join(f"{site}: {size_of(run, setting, site, task)}" for site in sites)
    table = _table(("Arm", *sites, "Macro average"), rows)
    return f"{table}\n\n{means}In brackets: 95 % intervals by resampling documents. {sizes}."


def _label(arm: str, setting: str) -> str:
    if arm not in SINGLE_SITE:
        return arm_label(arm)
    return f"{arm_label(arm)}, {'each on its own notes' if setting != EXTERNAL else 'mean of the models'}"


def _models(run: Run, setting: str, task: Task, mode: Mode, arm: str) -> list[list[str]]:
    """Each single site's model on every site."""
    scores = [one for one in run.scores if (one.setting, one.arm) == (setting, arm) and is_whole(one.trained_on)]
    found: dict[str, list[Score]] = {}
    for one in scores:
        found.setdefault(one.trained_on, []).append(one)
    sites, annotated = tested_sites(run, setting), annotated_sites(run, setting, task)
    return [[f"… trained on {site}", *_cells(own, sites, annotated, task, mode)] for site, own in sorted(found.items())]


def _cells(
    scores: Sequence[Score], sites: Sequence[str], annotated: Sequence[str], task: Task, mode: Mode
) -> Iterable[str]:
    own = by_site(score for score in scores if task in score.tasks)
    for site in sites:
        one = estimate(own[site], task, mode) if site in own else None
        yield with_bounds(*one) if one else DASH
    average = macro(own, annotated, task, mode)
    yield with_bounds(*average) if average else DASH


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
