"""Scaling: the same training notes divided into more and more sites, in several ways, against one place for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fedmedlora.report.arm_table import annotated_sites
from fedmedlora.report.charts import Axis, Series, line_chart
from fedmedlora.report.elements import Markup, head, join, missing, number, panels, paragraph, small, table, words
from fedmedlora.report.estimates import by_site, ends, macro_contrast, macro_estimate
from fedmedlora.report.families import together
from fedmedlora.report.numbers import (
    Spread,
    between,
    decimal,
    duration,
    gained,
    points,
    several,
    signed,
    size,
    untested,
    whole,
)
from fedmedlora.report.progress import IN_DOMAIN, SCALING, arm_label, arms_run
from fedmedlora.report.records import ArmCost, Run, Score
from fedmedlora.report.results import TASK_NAMES, own_scores
from fedmedlora.scoring import MODES, Mode, Task


class Scaled(NamedTuple):
    """The macro average over test sites of one arm whose training notes were divided into so many sites.

    low, high: its 95 % interval. centralised: the same average of centralised training; difference, and its interval:
    from it. bytes_exchanged, seconds, rounds: of training, means over seeds.
    """

    task: Task
    rule: Mode
    arm: str
    split: str
    sites: int
    f1: float
    low: float | None
    high: float | None
    seeds: int
    centralised: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    bytes_exchanged: float | None
    seconds: float | None

    @property
    def share(self) -> float | None:
        """The difference in per cent of centralised training's average."""
        return 100 * self.difference / self.centralised if self.difference is not None and self.centralised else None


_Key: TypeAlias = tuple[str, str, int]


def scaled(run: Run) -> list[Scaled]:
    """Every task, rule, arm, way to divide and number of sites. One site is the same however it came about."""
    scores: dict[_Key, list[Score]] = {}
    costs: dict[_Key, list[ArmCost]] = {}
    for score in run.scores:
        if score.setting == SCALING:
            scores.setdefault((score.arm, score.variant.split or "", score.variant.sites or 0), []).append(score)
    for cost in run.costs:
        if cost.setting == SCALING:
            costs.setdefault((cost.arm, cost.variant.split or "", cost.variant.sites or 0), []).append(cost)
    order = {arm: place for place, arm in enumerate(arms_run(run))}
    splits = {split: place for place, split in enumerate(splits_of(run))}
    keys = sorted(scores, key=lambda key: (order[key[0]], splits[key[1]], key[2]))
    found = [
        _scaled(run, task, rule, key, scores[key], costs.get(key, []))
        for task in run.tasks
        for rule in MODES
        for key in keys
    ]
    return [one for one in found if one is not None]


def splits_of(run: Run) -> tuple[str, ...]:
    """Ways to divide, in the order of the records."""
    return tuple(dict.fromkeys(score.variant.split or "" for score in run.scores if score.setting == SCALING))


def _scaled(
    run: Run, task: Task, rule: Mode, key: _Key, scores: Sequence[Score], costs: Sequence[ArmCost]
) -> Scaled | None:
    arm, split, sites = key
    over = annotated_sites(run, SCALING, task)
    ours = {site: own for site, own in by_site(scores).items() if site in over}
    theirs = {site: own for site, own in by_site(own_scores(run, IN_DOMAIN, together(arm))).items() if site in over}
    found = macro_estimate(ours, task, rule) if len(ours) == len(over) else None
    if found is None:
        return None
    central = macro_estimate(theirs, task, rule) if theirs.keys() == ours.keys() else None
    bounds = macro_contrast(ours, theirs, task, rule) if central else None
    low, high = ends(bounds)
    return Scaled(
        *(task, rule, arm, split, sites),
        f1=found.mean,
        low=found.low,
        high=found.high,
        seeds=len({score.seed for score in scores}),
        centralised=central.mean if central else None,
        difference=found.mean - central.mean if central else None,
        difference_low=low,
        difference_high=high,
        bytes_exchanged=Spread.of(cost.exchanged for cost in costs).mean,
        seconds=Spread.of(cost.seconds for cost in costs).mean,
    )


def scaling_section(run: Run, rows: Sequence[Scaled], identity: str) -> list[Markup]:
    """F1 by number of sites, a line for every way to divide; then the numbers with bytes and seconds."""
    if not rows:
        return [paragraph("— No score of the setting scaling is recorded yet.")]
    counts = sorted({row.sites for row in rows})
    axis = Axis("sites", "over {} sites", tuple(whole(count) for count in counts))
    charts = []
    for task in run.tasks:
        for place, arm in enumerate(dict.fromkeys(row.arm for row in rows)):
            own = [row for row in rows if (row.task, row.rule, row.arm) == (task, "strict", arm)]
            series = [_series(run, own, counts, split) for split in splits_of(run)]
            title = f"{TASK_NAMES[task]}, {arm_label(arm)}: strict F1 by number of sites"
            series += _reference(own, len(counts))
            charts.append(line_chart(f"{identity}-{task}-{place}", title, "F1, macro average", series, axis))
    reading = f"{_READING}{_CENTRALISED}" if _held(rows) else _READING
    return [paragraph(reading), panels(charts), *(_table(rows, task) for task in run.tasks)]


_READING = (
    "All training notes are divided anew into so many sites: at random (iid), by style, or with skewed labels or "
    "sizes. F1 is the mean over the study's test sites. One site is every line's beginning. Uprights are 95 % "
    "intervals by resampling documents."
)
_CENTRALISED = " The line without uprights is centralised training."


def _held(rows: Sequence[Scaled]) -> bool:
    """Whether there is centralised training to hold anything against."""
    return any(row.centralised is not None for row in rows)


def _series(run: Run, rows: Sequence[Scaled], counts: Sequence[int], split: str) -> Series:
    own = sorted((row for row in rows if row.split == split or row.sites == 1), key=lambda row: row.sites)
    return Series(
        split,
        splits_of(run).index(split),
        tuple((float(counts.index(row.sites)), row.f1) for row in own),
        tuple(
            (float(counts.index(row.sites)), row.low, row.high)
            for row in own
            if row.low is not None and row.high is not None
        ),
    )


def _reference(rows: Sequence[Scaled], counts: int) -> list[Series]:
    """What centralised training reaches, at every number of sites; nothing where there is none."""
    if not _held(rows):
        return []
    return [Series("centralised", 4, tuple((float(place), rows[0].centralised) for place in range(counts)))]


def _table(rows: Sequence[Scaled], task: Task) -> Markup:
    held = _held(rows)
    body = []
    for row in rows:
        if row.task != task or row.rule != "strict":
            continue
        lenient = next(one for one in rows if one[:5] == (task, "lenient", *row[2:5]))
        body.append(
            [
                head(arm_label(row.arm), "row"),
                words(row.split if row.sites > 1 else "—"),
                number(whole(row.sites)),
                *(_f1(one) for one in (row, lenient)),
                *(_gap(row) if held else []),
                number(size(row.bytes_exchanged)),
                number(duration(row.seconds)),
            ]
        )
    against = ("Against centralised", "In per cent of it") if held else ()
    names = ("Arm", "Divided", "Sites", *MODES, *against, "Exchanged", "Training time")
    compared = ", strict F1 against centralised training" if held else ""
    caption = f"{TASK_NAMES[task]}: macro average of F1 by number of sites{compared}."
    return table(caption, [[head(name) for name in names]], body)


def _f1(row: Scaled) -> Markup:
    under = [small(between(row.low, row.high))] if row.low is not None else []
    return number(join([decimal(row.f1), *under, *([small(several(row.seeds, "seed"))] if row.seeds > 1 else [])]))


def _gap(row: Scaled) -> list[Markup]:
    if row.difference is None:
        return [words(missing("no centralised run"), 2)]
    under = [] if row.difference_low is None else [small(between(row.difference_low, row.difference_high, signed))]
    return [number(join([signed(row.difference), *under])), number(f"{signed(row.share, 1)} %")]


def scaling_sentences(rows: Sequence[Scaled], task: Task) -> list[str]:
    """For every arm and way to divide what the most sites reach, and how far from centralised training that is."""
    found = []
    for arm, split in dict.fromkeys((row.arm, row.split) for row in rows if row.sites > 1):
        own = [row for row in rows if row[:4] == (task, "strict", arm, split)]
        most = max(own, key=lambda row: row.sites, default=None)
        if most is not None:
            reached = f"Over {several(most.sites, 'site')} ({split}) {arm_label(arm)} reaches {points(most.f1)}"
            found.append(f"{reached}{_behind(most)}.")
    return found


def _behind(most: Scaled) -> str:
    """How far behind centralised training, or that there is none."""
    if most.difference is None:
        return "; there is no centralised training to hold it against"
    bounds = (most.difference_low, most.difference_high)
    return (
        f": {gained(most.difference, *bounds)}{untested(*bounds)} against centralised training, "
        f"{signed(most.share, 1)} % of its {points(most.centralised)}"
    )
