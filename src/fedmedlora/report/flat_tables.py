"""Tables of rounded text beside the scores, for whichever format they are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fedmedlora.report.estimates import Held
from fedmedlora.report.findings import Findings
from fedmedlora.report.gains import Gain
from fedmedlora.report.low_resource import start_label
from fedmedlora.report.numbers import (
    DASH,
    Spread,
    decimal,
    duration,
    money,
    points,
    saving,
    signed,
    signed_points,
    size,
    whole,
)
from fedmedlora.report.pace import side_by_side
from fedmedlora.report.paired import p_value
from fedmedlora.report.progress import arm_label, arms_in, arms_run, is_whole, table_settings, tested_sites
from fedmedlora.report.reach import Reach, dev_notes, reaches
from fedmedlora.report.records import ArmCost, Asked, Run
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.report.rounds import site_series, trained_sites
from fedmedlora.report.scaling import Scaled
from fedmedlora.report.weights import judged
from fedmedlora.scoring import Task

_HELD = ("Difference", "95 % interval", "p", "Verdict")


class FlatTable(NamedTuple):
    """rows: as long as columns; everything is text without any format's signs. Differences are in points.

    note: a sentence that belongs under the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    note: str = ""


def flat_tables(run: Run, findings: Findings) -> list[FlatTable]:
    """Those that have rows."""
    return [table for table in _tables(run, findings) if table.rows]


def _tables(run: Run, findings: Findings) -> Iterator[FlatTable]:
    gains = [gain for every in findings.gains.values() for gain in every]
    yield FlatTable(
        "differences of strict F1",
        ("Setting", "Task", "Site", "Arm", "Against", *_HELD),
        [_gain(one) for one in gains],
    )
    yield FlatTable(
        "strict F1 on sites that were left out of training",
        ("Task", "Site", "Arm", "Left out", "Taking part", *_HELD, "The site's own model", "The bare base"),
        [
            [
                *(TASK_NAMES[row.task], row.site, arm_label(row.arm)),
                *(decimal(row.f1), decimal(row.taking_part), *_held(row.held), decimal(row.own), decimal(row.bare)),
            ]
            for row in findings.left_out
        ],
    )
    yield FlatTable(
        "strict F1 with few notes of a new site, against the same model untrained",
        ("Task", "Site", "Start", "Notes", "F1", *_HELD),
        [
            [
                *(TASK_NAMES[row.task], row.site, start_label(row.start), whole(row.notes)),
                *(with_bounds(row.f1, row.low, row.high), *_held(row.over_base)),
            ]
            for row in findings.few_notes
            if row.rule == "strict" and row.f1 is not None
        ],
    )
    yield FlatTable(
        "strict F1 with uneven annotation, against the untouched study",
        ("Task", "Case", "Arm", "Site", "F1", *_HELD),
        [
            [
                *(TASK_NAMES[row.task], row.case, arm_label(row.arm), row.site),
                *(with_bounds(row.of.mean, row.of.low, row.of.high), *_held(row.held)),
            ]
            for row in findings.uneven
        ],
    )
    yield FlatTable(
        "macro average of strict F1 by number of sites, against centralised training",
        ("Task", "Arm", "Divided", "Sites", "F1", "Difference", "95 % interval", "Exchanged", "Time"),
        [_scaled(row) for row in findings.scaled if row.rule == "strict"],
    )
    yield FlatTable(
        "rounds to 95 % of centralised training's dev F1",
        ("Task", "Arm", "Site", "Goal", "Best", "Round"),
        [_reach(row) for row in reaches(run)],
        dev_notes(run),
    )
    yield _weights(run)
    yield FlatTable(
        "confidence of strict matches, means over seeds and models",
        ("Setting", "Task", "Site", "Arm", "AUPRC", "ECE", "Brier"),
        [row for setting in table_settings(run) for task in run.tasks for row in _confidence(run, setting, task)],
    )
    yield FlatTable(
        "what training a model took, means over seeds and models",
        (
            *("Arm", "Rounds", "Steps", "Target tokens", "Time", "Sites side by side"),
            *("Exchanged", "Whole model instead", "Saved", "Most memory"),
        ),
        _costs(run),
    )
    yield FlatTable(
        "what asking a server took",
        ("Arm", "Server", "Its model", "Questions", "Tokens asked", "Tokens answered", "Cost"),
        [_asked(cost.arm, cost.asked) for cost in run.costs if cost.asked is not None],
    )
    yield FlatTable(
        "Jensen–Shannon divergence between sites, bits",
        ("Site", "Other site", "Labels", "Vocabulary"),
        _divergences(run),
    )


def with_bounds(value: float | None, low: float | None, high: float | None) -> str:
    """`with_bounds(0.41, 0.38, 0.45)` is "0.410 (0.380 to 0.450)"; the brackets go where there is no interval."""
    return decimal(value) if low is None or high is None else f"{decimal(value)} ({decimal(low)} to {decimal(high)})"


def _gain(gain: Gain) -> list[str]:
    names = [gain.setting, TASK_NAMES[gain.task], gain.site, arm_label(gain.arm), arm_label(gain.against)]
    if gain.held is None:
        return [*names, signed_points(gain.difference), DASH, DASH, gain.verdict]
    return [*names, *_held(gain.held)]


def _held(held: Held | None) -> list[str]:
    if held is None:
        return [DASH] * len(_HELD)
    low, high = held.interval
    return [signed_points(held.difference), _range(low, high), p_value(held.p_corrected), held.verdict]


def _range(low: float | None, high: float | None) -> str:
    return DASH if low is None or high is None else f"{signed_points(low)} to {signed_points(high)}"


def _scaled(row: Scaled) -> list[str]:
    share = f" ({signed(row.share, 1)} %)" if row.difference is not None else ""
    return [
        *(TASK_NAMES[row.task], arm_label(row.arm), row.split if row.sites > 1 else DASH, whole(row.sites)),
        *(with_bounds(row.f1, row.low, row.high), f"{signed_points(row.difference)}{share}"),
        *(_range(row.difference_low, row.difference_high), size(row.bytes_exchanged), duration(row.seconds)),
    ]


def _reach(row: Reach) -> list[str]:
    at = whole(row.round) if row.round is not None or row.goal is None else "not reached"
    return [TASK_NAMES[row.task], arm_label(row.arm), row.site, points(row.goal), points(row.best), at]


def _weights(run: Run) -> FlatTable:
    """Rounds by sites, of the arms whose sites' adapters were judged on validation notes."""
    arms = [arm for arm in arms_run(run) if judged(run, arm)]
    sites = list(dict.fromkeys(site for arm in arms for site in trained_sites(run, arm)))
    rows = []
    for arm in arms:
        weights = {site: dict(site_series(run, arm, site, lambda at: at.weight).points) for site in sites}
        losses = {site: dict(site_series(run, arm, site, lambda at: at.validation_loss).points) for site in sites}
        for at in sorted({at for line in weights.values() for at in line}):
            cells = [f"{decimal(weights[site].get(at))} ({decimal(losses[site].get(at))})" for site in sites]
            rows.append([arm_label(arm), whole(at), *cells])
    note = "In brackets: the loss of the site's own adapter on validation notes, nats per target token."
    return FlatTable("weights in the average by round, means over seeds", ("Arm", "Round", *sites), rows, note)


def _confidence(run: Run, setting: str, task: Task) -> Iterator[list[str]]:
    for site in tested_sites(run, setting):
        for arm in arms_in(run, setting):
            scores = [one for one in own_scores(run, setting, arm) if one.test_site == site]
            known = [one.confidence[task] for one in scores if task in one.confidence]
            if any(one.auprc is not None for one in known):
                columns = zip(*((one.auprc, one.ece, one.brier) for one in known), strict=True)
                means = [decimal(Spread.of(column).mean) for column in columns]
                yield [setting, TASK_NAMES[task], site, arm_label(arm), *means]


def _costs(run: Run) -> list[list[str]]:
    """One row an arm, of the models that belong to no setting that trains anew."""
    rows = []
    for arm in arms_run(run):
        own = [one for one in run.costs if one.arm == arm and is_whole(one.trained_on) and one.rounds]
        if own:
            both, full = _mean(own, lambda one: one.exchanged), _mean(own, lambda one: one.full_model_bytes)
            rows.append(
                [
                    *(arm_label(arm), whole(_mean(own, lambda one: one.rounds))),
                    *(whole(_mean(own, lambda one: one.steps)), whole(_mean(own, lambda one: one.target_tokens))),
                    *(duration(_mean(own, lambda one: one.seconds)), duration(side_by_side(run, arm))),
                    *(size(both), size(full), saving(both, full) if both is not None and full else DASH),
                    size(_mean(own, lambda one: one.peak_memory_bytes)),
                ]
            )
    return rows


def _asked(arm: str, asked: Asked) -> list[str]:
    counts = (asked.questions, asked.tokens_in, asked.tokens_out)
    return [arm_label(arm), asked.sent.server, asked.sent.model, *map(whole, counts), money(asked.cost)]


def _mean(costs: Sequence[ArmCost], value: Callable[[ArmCost], float | None]) -> float | None:
    return Spread.of(map(value, costs)).mean


def _divergences(run: Run) -> list[list[str]]:
    labels, words = (run.info.divergences.get(kind, {}) for kind in ("labels", "vocabulary"))
    return [
        [site, other, decimal(labels.get(site, {}).get(other)), decimal(bits)]
        for site, others in words.items()
        for other, bits in others.items()
        if site < other
    ]
