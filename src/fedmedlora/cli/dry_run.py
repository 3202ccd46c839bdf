"""`fedmedlora run --dry-run`: a study's sites and cells, and what they will take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedmedlora.cli.output import note, print_json

if TYPE_CHECKING:
    from fedmedlora.config.models import StudyConfig
    from fedmedlora.corpus.document import Json
    from fedmedlora.studies.estimate import CellEstimate, Speed
    from fedmedlora.studies.sites import SiteNotes


def say_what_would_be_run(config: StudyConfig, out: Path, jobs: int, calibration: bool, as_json: bool) -> None:
    """Read the sites, name the cells and, unless told not to, measure what they will take."""
    from fedmedlora.studies.cells import describe_cells
    from fedmedlora.studies.sites import load_labels, load_sites

    cells = describe_cells(config)
    sites = load_sites(config, load_labels(config))
    if not as_json:
        _print_sites(sites)
    measured = _measure(config, out, jobs) if calibration else None
    if as_json:
        held: list[Json] = [_site_json(site) for site in sites]
        found: dict[str, Json] = {"study": config.name, "base": config.base, "sites": held, "cells": list(cells)}
        print_json({**found, "estimate": None if measured is None else _estimate_json(*measured, jobs)})
        return
    taken = [""] * len(cells) if measured is None else [_about(one) for one in measured[1]]
    for number, (cell, about) in enumerate(zip(cells, taken, strict=True), start=1):
        typer.echo(f"[{number}/{len(cells)}] {cell}{about}")
    if measured is not None:
        _print_total(*measured, jobs)


def _measure(config: StudyConfig, out: Path, jobs: int) -> tuple[Speed, list[CellEstimate]]:
    from fedmedlora.studies.crew import threads_each
    from fedmedlora.studies.estimate import BUDGET_S, estimate, measure
    from fedmedlora.studies.resident import load_resident

    note(f"loading the base and trying a few batches, for about {BUDGET_S:.0f} s (--no-calibration leaves it out)")
    resident = load_resident(config.model_copy(update={"threads": threads_each(config, out, jobs)}))
    speed = measure(resident, BUDGET_S)
    return speed, estimate(resident, speed)


def _about(one: CellEstimate) -> str:
    from fedmedlora.report.numbers import duration

    return f": {one.questions:,} questions to a server" if one.seconds is None else f": about {duration(one.seconds)}"


def _print_sites(sites: Sequence[SiteNotes]) -> None:
    for site in sites:
        parts = ", ".join(f"{part} {len(documents):,}" for part, documents in site.parts.items())
        typer.echo(f"site {site.name}: {parts} documents; {sum(site.dropped.values()):,} annotations dropped")
    if any(site.dropped for site in sites):
        note("what was dropped, by reason: --json, or `fedmedlora data check`")


def _print_total(speed: Speed, cells: Sequence[CellEstimate], jobs: int) -> None:
    from fedmedlora.report.numbers import duration, several, size
    from fedmedlora.studies.estimate import wall_seconds

    memory = "" if speed.peak_bytes is None else f", {size(speed.peak_bytes * jobs)} of memory"
    typer.echo(
        f"in all about {duration(sum(one.seconds or 0.0 for one in cells))} of computing; "
        f"{duration(wall_seconds(cells, jobs))} on {several(jobs, 'process', 'processes')}{memory}. An estimate from a "
        "few batches on this machine as it is now, not a promise."
    )


def _site_json(site: SiteNotes) -> dict[str, Json]:
    documents: dict[str, Json] = {part: len(held) for part, held in site.parts.items()}
    return {"name": site.name, "documents": documents, "dropped": dict(site.dropped)}


def _estimate_json(speed: Speed, cells: Sequence[CellEstimate], jobs: int) -> dict[str, Json]:
    from fedmedlora.studies.estimate import wall_seconds

    answering: dict[str, Json] = {str(task): seconds for task, seconds in speed.answering.items()}
    return {
        "note": "an estimate from a few batches on this machine as it is now, not a promise",
        "jobs": jobs,
        "cells": [one.to_json() for one in cells],
        "seconds": sum(one.seconds or 0.0 for one in cells),
        "wall_seconds": wall_seconds(cells, jobs),
        "peak_memory_bytes": None if speed.peak_bytes is None else speed.peak_bytes * jobs,
        "measured": {
            "training_seconds_per_token": speed.training,
            "answering_seconds_per_question": answering,
            "peak_memory_bytes": speed.peak_bytes,
        },
    }
