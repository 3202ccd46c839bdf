"""How soon a federated arm comes close to centralised training: rounds and time to 95 % of its final dev F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, head, join, missing, number, paragraph, small, table
from fedmedlora.report.families import together
from fedmedlora.report.numbers import Spread, decimal, duration, listed, whole
from fedmedlora.report.pace import elapsed
from fedmedlora.report.progress import FEDERATED, arm_label, arms_of, arms_run, sites_of, whole_rounds
from fedmedlora.report.records import Round, Run
from fedmedlora.report.results import TASK_NAMES
from fedmedlora.scoring import Task

SHARE = 0.95
EVERY_SITE = "all sites"


class Reach(NamedTuple):
    """When an arm's strict dev F1 on a site first is at least 95 % of what centralised training ends with.

    site: "all sites" is the mean over sites with dev notes. goal: 95 % of centralised's final F1, None without one
    (then nothing is reached or missed). best: the arm's highest. round: from 1, None when no round reaches the goal.
    seconds: to the end of that round, with sites side by side.
    """

    task: Task
    arm: str
    site: str
    goal: float | None
    best: float | None
    round: int | None
    seconds: float | None


def reaches(run: Run) -> list[Reach]:
    """Every task, federated arm and dev site. Curves are means over seeds."""
    return [
        _reach(run, task, arm, site)
        for task in run.tasks
        for arm in arms_run(run)
        if arm in FEDERATED and any(one.dev for one in whole_rounds(run) if one.arm == arm)
        for site in (*_dev_sites(run), *([EVERY_SITE] if len(_dev_sites(run)) > 1 else []))
    ]


def _reach(run: Run, task: Task, arm: str, site: str) -> Reach:
    sites = _dev_sites(run) if site == EVERY_SITE else (site,)
    curve, mark = _curve(run, arm, task, sites), _curve(run, together(arm), task, sites)
    final = mark[max(mark)] if mark else None
    known = {at: f1 for at, f1 in curve.items() if f1 is not None}
    best = max(known.values(), default=None)
    if not final:  # centralised was not trained, was not scored, or ends with an F1 of 0, which is no goal
        return Reach(task, arm, site, None, best, None, None)
    goal = SHARE * final
    first = min((at for at, f1 in known.items() if f1 >= goal - 1e-12), default=None)
    times = elapsed([one for one in whole_rounds(run) if one.arm == arm])
    return Reach(task, arm, site, goal, best, first, times.get(first) if first is not None else None)


def _dev_sites(run: Run) -> tuple[str, ...]:
    seen = {site for one in whole_rounds(run) for site in one.dev}
    return tuple(site for site in sites_of(run) if site in seen)


def _curve(run: Run, arm: str, task: Task, sites: Sequence[str]) -> dict[int, float | None]:
    """Round from 1 → mean over sites of the mean over seeds; None where a site has none."""
    found: dict[int, list[Round]] = {}
    for one in whole_rounds(run):
        if one.arm == arm:
            found.setdefault(one.number + 1, []).append(one)
    curve: dict[int, float | None] = {}
    for at, rounds in found.items():
        means = [Spread.of(one.dev.get(site, {}).get((task, "strict")) for one in rounds).mean for site in sites]
        curve[at] = Spread.of(means).mean if None not in means else None
    return curve


def reach_section(run: Run) -> list[Markup]:
    """A table for each task of the arms that have a centralised one to reach; else why there is none."""
    rows = reaches(run)
    if not rows:
        return [paragraph("— No federated arm has dev scores.")]
    held = [row for row in rows if together(row.arm) in arms_of(run)]
    without = listed(arm_label(arm) for arm in dict.fromkeys(row.arm for row in rows if row not in held))
    if not held:
        return [paragraph("— The study has no centralised arm, so there is nothing to reach.")]
    parts = [_table(run, held, task) for task in run.tasks]
    if len(held) < len(rows):
        parts.append(paragraph(f"The study has no centralised arm that {without} could be held against."))
    return parts


def dev_notes(run: Run) -> str:
    """How many notes dev scores rest on, site by site."""
    known = {site.name: site.parts["dev"] for site in run.info.sites if "dev" in site.parts}
    counts = {
        site: known[site].documents if known[site].used is None else known[site].used
        for site in _dev_sites(run)
        if site in known
    }
    notes = listed(f"{site} {whole(count)}" for site, count in counts.items())
    return f"Dev notes that F1 rests on: {notes}." if counts else ""


def _table(run: Run, rows: Sequence[Reach], task: Task) -> Markup:
    own = [row for row in rows if row.task == task]
    sites = list(dict.fromkeys(row.site for row in own))
    body = [
        [head(arm_label(arm), "row"), *(_cell(run, row) for row in own if row.arm == arm)]
        for arm in dict.fromkeys(row.arm for row in own)
    ]
    caption = (
        f"{TASK_NAMES[task]}: rounds to reach 95 % of centralised training: the first round whose strict F1 on dev "
        "notes is at least 95 % of centralised training's after its last round; under it the time, with sites side by "
        f"side. {dev_notes(run)}"
    )
    return table(caption, [[head("Arm"), *(head(site) for site in sites)]], body)


def _cell(run: Run, row: Reach) -> Markup:
    if row.goal is None:
        scored = any(one.dev for one in whole_rounds(run) if one.arm == together(row.arm))
        return number(missing(f"centralised has no {'F1 above 0' if scored else 'dev score yet'}"))
    goal = small(f"goal {decimal(row.goal)}")
    if row.best is None:
        return number(join([missing("no dev score"), goal]))
    if row.round is None:
        return number(join(["not reached", small(f"best {decimal(row.best)}"), goal]))
    time = [small(duration(row.seconds))] if row.seconds is not None else []
    return number(join([f"round {row.round}", *time, goal]))
