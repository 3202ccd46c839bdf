"""The report's tables in LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fedmedlora.report.estimates import by_site, mean_f1
from fedmedlora.report.findings import Findings
from fedmedlora.report.flat_tables import flat_tables
from fedmedlora.report.numbers import decimal
from fedmedlora.report.progress import arm_label, arms_run, table_settings, tested_sites
from fedmedlora.report.records import Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import MODES, Task

_WORDS = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_ESCAPES = str.maketrans({**{sign: f"\\{sign}" for sign in "&%$#_{}"}, **_WORDS})


def latex_tables(run: Run, findings: Findings) -> list[str]:
    """Scores of every setting and task, means over seeds; then the other tables that have rows."""
    tables = [_scores(run, setting, task) for setting in table_settings(run) for task in run.tasks]
    for title, columns, rows in flat_tables(run, findings):
        tables.append(_table(run, title, [" & ".join(map(_escaped, columns))], "l" * len(columns), rows))
    return tables


def _scores(run: Run, setting: str, task: Task) -> str:
    sites = tested_sites(run, setting)
    over = " & ".join(rf"\multicolumn{{2}}{{c}}{{{_escaped(site)}}}" for site in sites)
    heads = [f" & {over}", f"Arm & {' & '.join('strict & lenient' for _ in sites)}"]
    rows = []
    for arm in arms_run(run):
        scores = by_site(own_scores(run, setting, arm))
        values = [decimal(mean_f1(scores.get(site, ()), task, mode)) for site in sites for mode in MODES]
        rows.append([arm_label(arm), *values])
    title = f"{TASK_NAMES[task]}, strict and lenient F1, {setting}"
    return _table(run, title, heads, f"l{'rr' * len(sites)}", rows)


def _table(run: Run, title: str, heads: Sequence[str], columns: str, rows: Iterable[Sequence[str]]) -> str:
    """heads: lines of LaTeX already; rows are escaped here."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(run.info.name)} ({_escaped(run.folder)}): {title}.}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *(rf"{head} \\" for head in heads),
        r"\midrule",
        *(rf"{' & '.join(_escaped(cell) for cell in row)} \\" for row in rows),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _escaped(text: str) -> str:
    """Text as LaTeX sets it; a dash and a minus are spelt out."""
    return text.translate(_ESCAPES).replace("—", "--").replace("–", "--").replace("−", "$-$").replace("<", "$<$")
