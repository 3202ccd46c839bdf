"""Leave-one-out: what a federation gives a site that took no part, against taking part and against its own model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fedmedlora.report.elements import Markup, head, number, table, words
from fedmedlora.report.estimates import UNCONFIRMED, Held, Versus, by_site, hold, mean_f1
from fedmedlora.report.families import PLAIN, alone
from fedmedlora.report.numbers import decimal, gained, points
from fedmedlora.report.paired import held_cells
from fedmedlora.report.progress import FEDERATED, IN_DOMAIN, LEAVE_ONE_OUT, arm_label, arms_run, tested_sites
from fedmedlora.report.records import Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import Task


class LeftOut(NamedTuple):
    """Strict F1 of one arm on a site that it was trained without.

    taking_part: of the same arm trained with the site; own: of the site's own model; bare: of the base. held: left out
    against taking part.
    """

    task: Task
    site: str
    arm: str
    f1: float
    taking_part: float | None
    own: float | None
    bare: float | None
    held: Held | None


def left_out(run: Run) -> list[LeftOut]:
    """Every task, site and arm that was left out of something."""
    without = {arm: by_site(own_scores(run, LEAVE_ONE_OUT, arm)) for arm in arms_run(run)}
    with_it = {arm: by_site(own_scores(run, IN_DOMAIN, arm)) for arm in arms_run(run)}
    keys = [
        (task, site, arm)
        for task in run.tasks
        for site in tested_sites(run, LEAVE_ONE_OUT)
        for arm in arms_run(run)
        if site in without[arm]
    ]
    held = hold(
        {(task, site, arm): Versus(task, without[arm][site], with_it[arm].get(site, [])) for task, site, arm in keys}
    )
    rows = []
    for task, site, arm in keys:
        f1 = mean_f1(without[arm][site], task)
        with_site, own, bare = (
            mean_f1(with_it.get(one, {}).get(site, []), task) for one in (arm, alone(arm), "zero-shot")
        )
        if f1 is not None:
            rows.append(LeftOut(task, site, arm, f1, with_site, own, bare, held.get((task, site, arm))))
    return rows


def left_out_section(rows: Sequence[LeftOut]) -> list[Markup]:
    """A table; nothing where no site was left out."""
    if not rows:
        return []
    body = [
        [
            head(TASK_NAMES[row.task], "row"),
            words(row.site),
            words(arm_label(row.arm)),
            *(number(decimal(value)) for value in (row.f1, row.taking_part)),
            *held_cells(row.held, "no scores of single documents in both"),
            *(number(decimal(value)) for value in (row.own, row.bare)),
        ]
        for row in rows
    ]
    names = ("Task", "Site", "Arm", "Left out", "Taking part", "Left out − taking part", "p, corrected", "Verdict")
    heads = [[*(head(name) for name in names), head("The site's own model"), head("The bare base")]]
    caption = (
        "Strict F1 on the site that a model was trained without, beside the same arm trained with it. p after Holm's "
        "correction over this table; the last two columns are of the setting in-domain."
    )
    return [table(caption, heads, body)]


def left_out_sentences(rows: Sequence[LeftOut], task: Task) -> list[str]:
    """For every site: what the plainest federated arm gives it when it stays outside."""
    arms = [arm for arm in (*PLAIN, *FEDERATED) if any(row.arm == arm for row in rows)]
    found = []
    for row in rows:
        if row.task != task or row.arm != arms[0]:
            continue
        said = [f"Trained without {row.site}, {arm_label(row.arm)} reaches {points(row.f1)} there"]
        if row.held is not None:
            aside = f" ({row.held.verdict})" if row.held.verdict in UNCONFIRMED else ""
            said.append(f"{gained(row.held.difference, *row.held.interval)} against taking part{aside}")
        said += [f"the site's own model reaches {points(row.own)}"] if row.own is not None else []
        said += [f"the bare base {points(row.bare)}"] if row.bare is not None else []
        found.append(f"{'; '.join(said)}.")
    return found
