"""The report's tables in LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fedmedlora.report.arm_table import annotated_sites, macro
from fedmedlora.report.estimates import Estimate, by_site, estimate
from fedmedlora.report.families import encoder
from fedmedlora.report.findings import Findings
from fedmedlora.report.flat_tables import flat_tables
from fedmedlora.report.numbers import Spread, decimal, whole
from fedmedlora.report.progress import arm_label, arms_run, seeds_of, table_settings, tested_sites
from fedmedlora.report.records import Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import MODES, Counts, Task

_WORDS = {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_ESCAPES = str.maketrans({**{sign: f"\\{sign}" for sign in "&%$#_{}"}, **_WORDS})


def latex_tables(run: Run, findings: Findings) -> list[str]:
    """Scores of every setting and task; the other tables that have rows; scores by type."""
    tables = [_scores(run, setting, task) for setting in table_settings(run) for task in run.tasks]
    for title, columns, rows, note in flat_tables(run, findings):
        heads, lines = [_line(map(_escaped, columns))], [_line(map(_escaped, row)) for row in rows]
        tables.append(_table(run, f"{title}. {note}".rstrip(" ."), heads, "l" * len(columns), lines))
    return [*tables, *_types(run)]


def _scores(run: Run, setting: str, task: Task) -> str:
    """Arms by sites, and their macro average where there are several; under every line its intervals, if known."""
    sites, annotated = tested_sites(run, setting), annotated_sites(run, setting, task)
    over = annotated if len(sites) > 1 else ()
    names = [_escaped(site) for site in sites] + ([f"Macro average of {len(over)}"] if over else [])
    heads = [
        _line(["", *(rf"\multicolumn{{2}}{{c}}{{{name}}}" for name in names)]),
        _line(["Arm", *("strict & lenient" for _ in names)]),
    ]
    lines = []
    for arm in arms_run(run):
        scores = by_site(own_scores(run, setting, arm))
        found = [estimate(scores.get(site, ()), task, mode) for site in sites for mode in MODES]
        found += [macro(scores, over, task, mode) for mode in MODES if over]
        lines.append(_line([_escaped(arm_label(arm)), *(_number(one.mean if one else None) for one in found)]))
        if any(one is not None and one.low is not None for one in found):
            lines.append(_line(["", *(_bounds(one) for one in found)]))
    title = f"{TASK_NAMES[task]}, strict and lenient F1, {setting}{_over_seeds(run)}"
    under = "Under each F1 its 95 % interval, by resampling documents"
    return _table(run, f"{title}. {under}", heads, f"l{'rr' * len(names)}", lines)


def _number(value: float | None) -> str:
    return _escaped(decimal(value))


def _bounds(found: Estimate | None) -> str:
    if found is None or found.low is None or found.high is None:
        return ""
    return rf"{{\scriptsize {decimal(found.low)}--{decimal(found.high)}}}"


def _over_seeds(run: Run) -> str:
    return f", means over {len(seeds_of(run))} seeds" if len(seeds_of(run)) > 1 else ""


def _types(run: Run) -> Iterator[str]:
    """Types by arms: strict F1 on each site, arms of the base and those of an encoder in tables of their own."""
    for setting in table_settings(run):
        for task in run.tasks:
            for site in tested_sites(run, setting):
                found = {arm: _types_of(run, setting, task, site, arm) for arm in arms_run(run)}
                for encoders in (False, True):
                    arms = {arm: types for arm, types in found.items() if types and encoder(arm) == encoders}
                    kind = "encoders, " if encoders else ""
                    title = f"{TASK_NAMES[task]} by type on {site}, {kind}strict F1, {setting}{_over_seeds(run)}"
                    if lines := _type_lines(arms):
                        heads = [_line(["Type", "Gold", *(_escaped(arm_label(arm)) for arm in arms)])]
                        yield _table(run, title, heads, f"lr{'r' * len(arms)}", lines)


def _types_of(run: Run, setting: str, task: Task, site: str, arm: str) -> list[Mapping[str, Counts]]:
    """Type → counts, of every model of an arm."""
    own = [one for one in own_scores(run, setting, arm) if one.test_site == site]
    return [one.tasks[task].types for one in own if task in one.tasks]


def _type_lines(arms: Mapping[str, Sequence[Mapping[str, Counts]]]) -> list[str]:
    """A line for every type that is in gold or predicted."""
    every = [types for models in arms.values() for types in models]
    lines = []
    for name in dict.fromkeys(name for types in every for name in types):
        counts = {arm: [types.get(name, Counts()).strict for types in models] for arm, models in arms.items()}
        gold = max(one.gold for found in counts.values() for one in found)
        if gold or any(one.pred for found in counts.values() for one in found):
            means = [_number(Spread.of(one.f1 for one in found).mean) for found in counts.values()]
            lines.append(_line([_escaped(name), whole(gold), *means]))
    return lines


def _line(cells: Iterable[str]) -> str:
    """A line of a table; cells are LaTeX already."""
    return rf"{' & '.join(cells)} \\"


def _table(run: Run, caption: str, heads: Sequence[str], columns: str, lines: Iterable[str]) -> str:
    """caption: text, escaped here. heads, lines: LaTeX already."""
    start = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(f'{run.info.name} ({run.folder}): {caption}.')}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    end = [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join([*start, *heads, r"\midrule", *lines, *end])


def _escaped(text: str) -> str:
    """Text as LaTeX sets it; a dash and a minus are spelt out."""
    return text.translate(_ESCAPES).replace("—", "--").replace("–", "--").replace("−", "$-$").replace("<", "$<$")
