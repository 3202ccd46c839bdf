"""`fedmedlora run --dry-run`: a study's sites and cells, and what they will take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from fedmedlora.cli.output import note, print_json

if TYPE_CHECKING:
    from fedmedlora.config.models import StudyConfig
    from fedmedlora.corpus.document import Json
    from fedmedlora.studies.api import MostSpent
    from fedmedlora.studies.cells import Cell
    from fedmedlora.studies.estimate import CellEstimate, Measured
    from fedmedlora.studies.schedule import Key
    from fedmedlora.studies.sites import SiteNotes


class _Estimated(NamedTuple):
    """cells: those that are not recorded. asking: of the arm api, if it is one of them."""

    measured: Measured
    cells: list[CellEstimate]
    asking: MostSpent | None


def say_what_would_be_run(
    config: StudyConfig, out: Path, jobs: int, calibration: bool, as_json: bool, *, resume: bool
) -> None:
    """Read the sites, name the cells and, unless told not to, measure what they will take.

    resume: cells that are recorded in `out` are marked, and take nothing. Whether they come from this configuration,
    only the run itself can tell.
    """
    from fedmedlora.studies.api import check_api
    from fedmedlora.studies.cells import planned_cells
    from fedmedlora.studies.preflight import check_possible
    from fedmedlora.studies.remarks import describe_cells, study_remarks
    from fedmedlora.studies.sites import load_labels, load_sites

    sites = load_sites(config, load_labels(config))
    held = {site.name: len(site.parts["train"]) for site in sites}
    check_possible(config, held)
    check_api(config, {site.name: site for site in sites})
    planned = planned_cells(config, held)
    remarks, cells = study_remarks(config, held), describe_cells(config, planned)
    recorded = _recorded(config, out, planned) if resume else set()
    if not as_json:
        _print_sites(sites)
        for line in remarks:
            typer.echo(line)
    pending = len(recorded) < len(planned)
    estimated = _estimate(config, out, jobs, recorded) if calibration and pending else None
    if as_json:
        parts: list[Json] = [_site_json(site) for site in sites]
        found: dict[str, Json] = {"study": config.name, "base": config.base, "sites": parts, "remarks": list(remarks)}
        taking = None if estimated is None else _estimate_json(estimated, jobs)
        done: list[Json] = [_key_json(cell.key) for cell in planned if cell.key in recorded]
        print_json({**found, "cells": list(cells), "recorded": done, "estimate": taking})
        return
    said = dict.fromkeys(recorded, ": recorded already")
    said |= {} if estimated is None else {one.cell.key: _about(one) for one in estimated.cells}
    for number, (cell, line) in enumerate(zip(planned, cells, strict=True), start=1):
        typer.echo(f"[{number}/{len(cells)}] {line}{said.get(cell.key, '')}")
    if estimated is not None:
        _print_total(estimated, jobs)
        if estimated.asking is not None:
            typer.echo(_at_most(estimated.asking))


def _recorded(config: StudyConfig, out: Path, planned: Sequence[Cell]) -> set[Key]:
    """Cells of which nothing is left to do."""
    from fedmedlora.studies.ledger import Ledger

    ledger = Ledger(out)
    return {cell.key for cell in planned if ledger.finished(cell, cell.tests(config))}


def _key_json(key: Key) -> dict[str, Json]:
    arm, seed, trained_on = key
    return {"arm": arm, "seed": seed, "trained_on": trained_on}


def _estimate(config: StudyConfig, out: Path, jobs: int, recorded: Collection[Key]) -> _Estimated:
    from fedmedlora.studies.api import most_spent
    from fedmedlora.studies.crew import threads_each
    from fedmedlora.studies.estimate import BUDGET_S, estimate, measure
    from fedmedlora.studies.families import Families
    from fedmedlora.studies.resident import load_resident

    note(f"loading the models and trying a few batches, for about {BUDGET_S:.0f} s (--no-calibration leaves it out)")
    families = Families(load_resident(config.model_copy(update={"threads": threads_each(config, out, jobs)})))
    measured = measure(families, BUDGET_S)
    cells = [one for one in estimate(families, measured) if one.cell.key not in recorded]
    asks = any(one.cell.arm == "api" for one in cells)
    return _Estimated(measured, cells, most_spent(families.resident) if asks else None)


def _about(one: CellEstimate) -> str:
    from fedmedlora.report.numbers import duration

    return f": {one.questions:,} questions to a server" if one.seconds is None else f": about {duration(one.seconds)}"


def _at_most(asking: MostSpent) -> str:
    """What the server may charge."""
    from fedmedlora.report.numbers import money, several

    if asking.cost is None:
        cost = "What that costs is not known: the study does not give both api.price_in and api.price_out."
    else:
        cost = f"By api.price_in and api.price_out that costs at most {money(asking.cost)}."
    return (
        f"{several(asking.questions, 'question')} to a server: at most {asking.tokens_in:,} tokens asked, one for each "
        f"byte, and {asking.tokens_out:,} answered, api.max_tokens each; repeated attempts come on top. {cost}"
    )


def _print_sites(sites: Sequence[SiteNotes]) -> None:
    for site in sites:
        parts = ", ".join(f"{part} {len(documents):,}" for part, documents in site.parts.items())
        typer.echo(f"site {site.name}: {parts} documents; {sum(site.dropped.values()):,} annotations dropped")
    if any(site.dropped for site in sites):
        note("what was dropped, by reason: --json, or `fedmedlora data check`")


def _print_total(estimated: _Estimated, jobs: int) -> None:
    from fedmedlora.report.numbers import duration, several, size
    from fedmedlora.studies.estimate import wall_seconds

    measured, cells = estimated.measured, estimated.cells
    memory = "" if measured.peak_bytes is None else f", {size(measured.peak_bytes * jobs)} of memory"
    typer.echo(
        f"in all about {duration(sum(one.seconds or 0.0 for one in cells))} of computing; "
        f"{duration(wall_seconds(cells, jobs))} on {several(jobs, 'process', 'processes')}{memory}. An estimate from a "
        "few batches on this machine as it is now, not a promise."
    )


def _site_json(site: SiteNotes) -> dict[str, Json]:
    documents: dict[str, Json] = {part: len(held) for part, held in site.parts.items()}
    return {"name": site.name, "documents": documents, "dropped": dict(site.dropped)}


def _estimate_json(estimated: _Estimated, jobs: int) -> dict[str, Json]:
    from fedmedlora.studies.estimate import wall_seconds

    measured, cells, asking = estimated
    speeds: dict[str, Json] = {name: speed.to_json() for name, speed in measured.speeds.items()}
    return {
        "note": "an estimate from a few batches on this machine as it is now, not a promise",
        "jobs": jobs,
        "cells": [one.to_json() for one in cells],
        "seconds": sum(one.seconds or 0.0 for one in cells),
        "wall_seconds": wall_seconds(cells, jobs),
        "asking": None if asking is None else asking.to_json(),
        "peak_memory_bytes": None if measured.peak_bytes is None else measured.peak_bytes * jobs,
        "measured": {**speeds, "peak_memory_bytes": measured.peak_bytes},
    }
