"""The report as one file: sections in their order, a table of contents, nothing from elsewhere.

There is a script only where a study allows notes to be quoted, and the page's policy names it by its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fedmedlora.errors import InputError
from fedmedlora.record import write_atomic
from fedmedlora.report.by_setting import results_section
from fedmedlora.report.by_type import types_section
from fedmedlora.report.confidence import confidence_section
from fedmedlora.report.costs import costs_section
from fedmedlora.report.elements import Markup, element, head, number, paragraph, table, words
from fedmedlora.report.error_counts import errors_section
from fedmedlora.report.findings import find
from fedmedlora.report.heterogeneity import heterogeneity_section
from fedmedlora.report.load import load_run
from fedmedlora.report.notes import Notes, load_notes
from fedmedlora.report.numbers import whole
from fedmedlora.report.paired import tests_section
from fedmedlora.report.progress import progress, seeds_of, table_settings
from fedmedlora.report.provenance import data_section, facts_section, provenance_section, status_section
from fedmedlora.report.records import Run
from fedmedlora.report.rounds import rounds_section
from fedmedlora.report.style import CSS
from fedmedlora.report.summary import summary_section
from fedmedlora.report.viewer import notes_section, text_notice
from fedmedlora.report.viewer_script import SCRIPT, script_source
from fedmedlora.report.viewer_style import VIEWER_CSS
from fedmedlora.report.weights import weights_section

# The browser itself then refuses to load anything, should a text ever pass for markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(run_dirs: Sequence[Path], out: Path) -> Path:
    """Write one offline HTML file on one or several run directories, and return its path.

    out: the file, or a folder, which gets `report.html`. Runs that are not finished are reported as far as they are.
    The same run directories give the same bytes.
    Raises InputError when no directory is given, one is given twice, is no run directory, or cannot be read.
    """
    if not run_dirs:
        raise InputError("no run directory was given: name at least one folder that `fedmedlora run` wrote.")
    places = [folder.resolve() for folder in run_dirs]
    for place, folder in enumerate(run_dirs):
        if places[place] in places[:place]:
            raise InputError(f"run directory '{folder}' is given twice: once is enough.")
    target = out / "report.html" if out.is_dir() else out
    runs = [load_run(folder) for folder in run_dirs]
    write_atomic(target, render_report(runs, [load_notes(*pair) for pair in zip(run_dirs, runs, strict=True)]))
    return target


def render_report(runs: Sequence[Run], notes: Sequence[Notes | None]) -> str:
    """The whole page. It is well-formed XML too. notes: what may be quoted of each run."""
    quoted = [one for one in notes if one is not None]
    title = runs[0].info.name if len(runs) == 1 else f"{len(runs)} runs"
    body = element(
        "body",
        element("h1", f"fedmedlora report: {title}"),
        *([text_notice(quoted)] if quoted else []),
        *([_overview(runs)] if len(runs) > 1 else []),
        element("nav", _contents(runs, notes), aria_label="Contents"),
        element(
            "main", *(part for place, run in enumerate(runs) for part in _run(run, f"run{place + 1}", notes[place]))
        ),
        *([element("script", Markup(SCRIPT))] if quoted else []),
    )
    policy = f"{_POLICY}; script-src {script_source()}" if quoted else _POLICY
    start = Markup(
        '<meta charset="utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" />'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}" />'
    )
    top = element(
        "head",
        start,
        element("title", f"fedmedlora report: {title}"),
        element("style", Markup(CSS + VIEWER_CSS if quoted else CSS)),
    )
    return f"<!DOCTYPE html>\n{element('html', top, body, lang='en-GB')}\n"


_SECTIONS = (
    ("summary", "Summary"),
    ("facts", "The run"),
    ("results", "Results"),
    ("tests", "Paired tests"),
    ("rounds", "Convergence"),
    ("weights", "Weights of the average"),
    ("heterogeneity", "How different the sites are"),
    ("costs", "Costs"),
    ("types", "Scores by type"),
    ("errors", "Errors by class"),
    ("confidence", "Confidence"),
    ("notes", "Notes"),
    ("data", "Data"),
    ("provenance", "Provenance"),
)


def _sections(notes: Notes | None) -> list[tuple[str, str]]:
    return [section for section in _SECTIONS if notes is not None or section[0] != "notes"]


def _contents(runs: Sequence[Run], notes: Sequence[Notes | None]) -> Markup:
    items: list[Markup] = []
    for place, run in enumerate(runs, start=1):
        sections = _sections(notes[place - 1])
        inner = [element("li", element("a", title, href=f"#run{place}-{name}")) for name, title in sections]
        items.append(element("li", element("a", run.info.name, href=f"#run{place}"), element("ul", *inner)))
    return element("ul", *items)


def _overview(runs: Sequence[Run]) -> Markup:
    rows: list[list[Markup]] = []
    for place, run in enumerate(runs, start=1):
        state = progress(run)
        name = element("a", run.info.name, href=f"#run{place}")
        finished = {True: "finished", False: "unfinished", None: "not known"}[state.finished]
        cells = [words(run.folder), words(run.info.started or "—"), words(run.info.base.name or "—")]
        rows.append([head(name, "row"), *cells, number(whole(len(seeds_of(run)))), words(finished)])
    heads = ("Study", "Run folder", "Started", "Base model", "Seeds", "State")
    return table("The runs on this page.", [[head(name) for name in heads]], rows)


def _run(run: Run, identity: str, notes: Notes | None) -> list[Markup]:
    findings = find(run)
    contents = {
        "summary": summary_section(run, findings),
        "facts": facts_section(run),
        "results": results_section(run, findings, f"{identity}-results"),
        "tests": tests_section(findings.tests),
        "rounds": rounds_section(run, f"{identity}-rounds"),
        "weights": weights_section(run, f"{identity}-weights"),
        "heterogeneity": heterogeneity_section(run),
        "costs": costs_section(run),
        "types": _by_setting(run, types_section),
        "errors": _by_setting(run, errors_section),
        "confidence": _by_setting(
            run, lambda run, setting: confidence_section(run, setting, f"{identity}-confidence-{setting}")
        ),
        "notes": [] if notes is None else notes_section(notes, f"{identity}-notes"),
        "data": data_section(run),
        "provenance": provenance_section(run),
    }
    parts = [element("h2", run.info.name, id=identity), *status_section(run)]
    for name, title in _sections(notes):
        parts.append(element("section", element("h3", title, id=f"{identity}-{name}"), *contents[name]))
    return parts


def _by_setting(run: Run, section: Callable[[Run, str], list[Markup]]) -> list[Markup]:
    """One section's parts for every setting in which an arm has one model; named when there are several."""
    settings = table_settings(run)
    parts: list[Markup] = []
    for setting in settings:
        if len(settings) > 1:
            parts.append(paragraph(element("strong", f"Setting: {setting}")))
        parts += section(run, setting)
    return parts
