"""`fedmedlora run`, `demo` and `report`: whole studies, from a study file to a page."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from fedmedlora.cli.output import AsJson, example, note, print_json, print_table, quiet_libraries
from fedmedlora.errors import TrainingError

if TYPE_CHECKING:
    from fedmedlora.config.models import StudyConfig
    from fedmedlora.corpus.document import Json
    from fedmedlora.report.records import Run, Score
    from fedmedlora.scoring import Task

RUNS = Path("runs")
REPORT_FILE = "report.html"

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one value of the study (training.lr=1e-4); may be repeated."
    ),
]


def add_verbs(app: typer.Typer) -> None:
    """Put this module's verbs into the program."""
    app.command(
        epilog=example(
            "fedmedlora run studies/open-benchmark.toml",
            "fedmedlora run studies/open-benchmark.toml --set training.lr=1e-4 --out runs/lower-rate --resume",
            "fedmedlora run studies/open-benchmark.toml --jobs 2 --out runs/more-seeds --set seeds=[0,1,2,3] "
            "--reuse runs/open-benchmark",
        )
    )(run)
    app.command(epilog=example("fedmedlora demo"))(demo)
    app.command(epilog=example("fedmedlora report runs/demo"))(report)


def run(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in the folder.")] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, metavar="N", help="Processes that share the models; each loads the base.")
    ] = 1,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(
            "--reuse", metavar="RUN_DIR", help="Take from this run the models that would be the same; may be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be run, and estimate time and memory; train nothing."),
    ] = False,
    calibration: Annotated[
        bool,
        typer.Option(
            "--calibration/--no-calibration",
            help="With --dry-run: load the base and measure a few batches for the estimate.",
        ),
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; by default runs/NAME-OF-THE-STUDY.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a study: train and test every arm, record everything, write the report.

    The folder gets study.toml (resolved), run.json, records.jsonl, rounds.jsonl, adapters, predictions and report.html.
    A run that was killed goes on with --resume and ends as if it had never stopped.
    """
    quiet_libraries()
    from fedmedlora.config.study_file import load_study

    config = load_study(study, overrides or ())
    if dry_run:
        from fedmedlora.cli.dry_run import say_what_would_be_run

        say_what_would_be_run(config, out or RUNS / config.name, jobs, calibration, as_json, resume=resume)
    else:
        command = _command_line("run", study, overrides or ())
        started = _Start(out or RUNS / config.name, resume, command, jobs, tuple(reuse or ()))
        _run_and_report(config, started, as_json)


def demo(
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run.")] = RUNS / "demo",
    as_json: AsJson = False,
) -> None:
    """Run a whole small study on generated notes, with the bundled base model, in minutes on a processor.

    A demo that was stopped goes on where it was; one that ended is shown again. Remove the folder to start afresh.
    """
    quiet_libraries()
    from importlib.resources import files

    from fedmedlora.config.study_file import load_study
    from fedmedlora.report.numbers import several

    packaged = Path(str(files("fedmedlora.studies").joinpath("demo.toml")))
    config = load_study(packaged, overrides or (), environment={})
    # Generated notes have no folder; the packaged file's own would put a path of this machine into the record.
    config = config.model_copy(update={"corpora_root": out.absolute()})
    begun = out.is_dir()
    note(
        f"{len(config.sites)} sites with generated notes ({', '.join(site.name for site in config.sites)}), "
        f"{several(len(config.arms), 'way')} to train, {several(config.rounds, 'round')}."
    )
    if begun:
        note(f"{out} is there already: what is done in it is not done again.")
    _run_and_report(config, _Start(out, begun, _command_line("demo", None, overrides or ())), as_json)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Folders that `fedmedlora run` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The page; by default report.html in the run's folder, or here for several."
        ),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="DIR", help="Also write the numbers as CSV, JSON, Markdown and LaTeX here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the report on one or several runs, finished or not: one HTML file that opens without a network."""
    from fedmedlora.report.page import write_report
    from fedmedlora.report.tables import write_tables

    page = write_report(runs, out or (runs[0] / REPORT_FILE if len(runs) == 1 else Path(REPORT_FILE)))
    written = [] if tables is None else write_tables(runs, tables)
    if as_json:
        print_json({"report": str(page), "tables": [str(path) for path in written]})
        return
    typer.echo(f"report: {page}")
    for path in written:
        typer.echo(f"table: {path}")


class _Start(NamedTuple):
    """Where and how a study is run; none of it decides a result."""

    out: Path
    resume: bool
    command: str
    jobs: int = 1
    reuse: tuple[Path, ...] = ()


def _run_and_report(config: StudyConfig, start: _Start, as_json: bool) -> None:
    from fedmedlora.cli.progress import RichWatcher
    from fedmedlora.report.load import load_run
    from fedmedlora.report.page import write_report
    from fedmedlora.studies.cells import study_cells
    from fedmedlora.studies.run import run_study

    out = start.out
    try:
        with RichWatcher() as watcher:
            run_study(config, watcher=watcher, **start._asdict())
    except TrainingError:
        # What was trained has its report all the same.
        write_report([out], out / REPORT_FILE)
        raise
    page = write_report([out], out / REPORT_FILE)
    done = load_run(out)
    if as_json:
        scores: list[Json] = [_score_json(score) for score in done.scores]
        print_json({"run": str(out), "report": str(page), "cells": len(study_cells(config)), "scores": scores})
        return
    print_run(done)
    typer.echo(f"run: {out}\nreport: {page}")


def _score_json(score: Score) -> dict[str, Json]:
    """One model's micro F1 on one site's test documents."""
    f1: dict[str, Json] = {
        task: {"strict": score.f1(task, "strict"), "lenient": score.f1(task, "lenient")} for task in score.tasks
    }
    return {
        "setting": score.setting,
        "arm": score.arm,
        "seed": score.seed,
        "trained_on": score.trained_on,
        "test_site": score.test_site,
        "documents": score.documents,
        **f1,
    }


def print_run(done: Run) -> None:
    """A table for each task of the models that have a site's notes or all of them; what else there is, by name."""
    from fedmedlora.report.numbers import listed
    from fedmedlora.report.progress import EXTERNAL, IN_DOMAIN

    for task in done.tasks:
        _print_scores(done, task)
        typer.echo()
    others = sorted({score.setting for score in done.scores} - {IN_DOMAIN, EXTERNAL})
    if others:
        typer.echo(f"Scores of {listed(others)}: see the report.")


def _print_scores(done: Run, task: Task) -> None:
    """Models × test sites in-domain and external, in the order of the study's arms; the mean over seeds."""
    from fedmedlora.report.numbers import Spread, decimal
    from fedmedlora.report.progress import EXTERNAL, IN_DOMAIN, model_label

    shown = [score for score in done.scores if score.setting in (IN_DOMAIN, EXTERNAL)]
    cells: dict[str, dict[str, list[Score]]] = {}
    for score in sorted(shown, key=_place_in(done)):
        cells.setdefault(model_label(score.arm, score.trained_on), {}).setdefault(score.test_site, []).append(score)
    sites = [site.name for site in done.info.sites if any(score.test_site == site.name for score in shown)]
    rows = []
    for label, tested in cells.items():
        row = [label]
        for site in sites:
            strict = Spread.of(score.f1(task, "strict") for score in tested.get(site, ()))
            lenient = Spread.of(score.f1(task, "lenient") for score in tested.get(site, ()))
            row.append(f"{decimal(strict.mean)} / {decimal(lenient.mean)}")
        rows.append(row)
    seeds = len({score.seed for score in shown})
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    print_table([f"{task.upper()} F1, strict / lenient{mean}", *(f"on {site}" for site in sites)], rows)


def _place_in(done: Run) -> Callable[[Score], tuple[int, int]]:
    """Where a model stands in the study: its arm, then the site that it was trained on."""
    arms = done.plan.arms if done.plan else ()
    sites = [site.name for site in done.info.sites]

    def place(score: Score) -> tuple[int, int]:
        return _index(arms, score.arm), _index(sites, score.trained_on)

    return place


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _command_line(verb: str, study: Path | None, overrides: Sequence[str]) -> str:
    """How to start this study again, for the record, which is published and names no folder of one machine."""
    from fedmedlora.config.portable import portable_path, portable_setting

    words = ["fedmedlora", verb, *([] if study is None else [portable_path(study)])]
    for override in overrides:
        words += ["--set", portable_setting(override)]
    return shlex.join(words)
