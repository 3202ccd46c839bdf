"""The report's tables in LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fedmedlora.report.estimates import Held, by_site, mean_f1
from fedmedlora.report.findings import Findings
from fedmedlora.report.gains import Gain
from fedmedlora.report.numbers import decimal, duration, points, signed_points, size, whole
from fedmedlora.report.paired import p_value
from fedmedlora.report.progress import arm_label, arms_run, table_settings, tested_sites
from fedmedlora.report.reach import Reach, reaches
from fedmedlora.report.records import Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import MODES, Task

_WORDS = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_ESCAPES = str.maketrans({**{sign: f"\\{sign}" for sign in "&%$#_{}"}, **_WORDS})


def latex_tables(run: Run, findings: Findings) -> list[str]:
    """Scores of every setting and task, means over seeds; then the other tables that have rows."""
    tables = [_scores(run, setting, task) for setting in table_settings(run) for task in run.tasks]
    for title, columns, rows in _others(run, findings):
        if rows:
            tables.append(_table(run, title, [" & ".join(columns)], "l" * len(columns), rows))
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


def _others(run: Run, findings: Findings) -> Iterable[tuple[str, Sequence[str], list[list[str]]]]:
    """Title, heads and rows of the tables beside the scores. Differences are in points."""
    task = ("Task",)
    held = ("Difference", r"95 \% interval", "$p$")
    gains = [gain for every in findings.gains.values() for gain in every]
    yield (
        "differences of strict F1",
        ("Setting", *task, "Site", "Arm", "Against", *held),
        [_gain(one) for one in gains],
    )
    yield (
        "strict F1 on sites that were left out of training",
        (*task, "Site", "Arm", "Left out", "Taking part", *held),
        [
            [
                TASK_NAMES[row.task],
                row.site,
                arm_label(row.arm),
                decimal(row.f1),
                decimal(row.taking_part),
                *_held(row.held),
            ]
            for row in findings.left_out
        ],
    )
    yield (
        "strict F1 with few notes of a new site, against the bare base",
        (*task, "Site", "Start", "Notes", "F1", *held),
        [
            [
                TASK_NAMES[row.task],
                row.site,
                arm_label(row.start),
                whole(row.notes),
                decimal(row.f1),
                *_held(row.over_base),
            ]
            for row in findings.few_notes
            if row.rule == "strict"
        ],
    )
    yield (
        "strict F1 with uneven annotation, against the untouched study",
        (*task, "Case", "Arm", "Site", "F1", *held),
        [
            [TASK_NAMES[row.task], row.case, arm_label(row.arm), row.site, decimal(row.of.mean), *_held(row.held)]
            for row in findings.uneven
        ],
    )
    yield (
        "macro average of strict F1 by number of sites, against centralised training",
        (*task, "Arm", "Divided", "Sites", "F1", "Difference", "Exchanged", "Time"),
        [
            [
                *(TASK_NAMES[row.task], arm_label(row.arm), row.split, whole(row.sites), decimal(row.f1)),
                *(signed_points(row.difference), size(row.bytes_exchanged), duration(row.seconds)),
            ]
            for row in findings.scaled
            if row.rule == "strict"
        ],
    )
    yield (
        r"rounds to 95 \% of centralised training's dev F1",
        (*task, "Arm", "Site", "Goal", "Best", "Round"),
        [_reach(row) for row in reaches(run)],
    )
    yield (
        "Jensen--Shannon divergence between sites, bits",
        ("Site", "Other site", "Labels", "Vocabulary"),
        _divergences(run),
    )


def _gain(gain: Gain) -> list[str]:
    names = [gain.setting, TASK_NAMES[gain.task], gain.site, arm_label(gain.arm), arm_label(gain.against)]
    return [*names, *_held(gain.held)] if gain.held else [*names, signed_points(gain.difference), "—", "—"]


def _held(held: Held | None) -> list[str]:
    if held is None:
        return ["—", "—", "—"]
    low, high = held.interval
    interval = "—" if low is None else f"{signed_points(low)} to {signed_points(high)}"
    return [signed_points(held.difference), interval, p_value(held.p_corrected)]


def _reach(row: Reach) -> list[str]:
    at = whole(row.round) if row.round is not None or row.goal is None else "not reached"
    return [TASK_NAMES[row.task], arm_label(row.arm), row.site, points(row.goal), points(row.best), at]


def _divergences(run: Run) -> list[list[str]]:
    labels, words = (run.info.divergences.get(kind, {}) for kind in ("labels", "vocabulary"))
    return [
        [site, other, decimal(labels.get(site, {}).get(other)), decimal(bits)]
        for site, others in words.items()
        for other, bits in others.items()
        if site < other
    ]


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
    return text.translate(_ESCAPES).replace("—", "--").replace("−", "$-$").replace("<", "$<$")
