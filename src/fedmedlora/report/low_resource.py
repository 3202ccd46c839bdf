"""A new site with few notes: F1 by how many it has, the federation's model as a start against an untrained one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fedmedlora.config.arms import BASE, UNTRAINED, UNTRAINED_HEADS, untrained
from fedmedlora.report import progress
from fedmedlora.report.charts import Axis, Series, line_chart
from fedmedlora.report.elements import Markup, head, join, missing, number, panels, paragraph, small, table, words
from fedmedlora.report.estimates import UNCONFIRMED, Held, Versus, estimate, hold
from fedmedlora.report.numbers import Spread, between, decimal, gained, points, several, whole
from fedmedlora.report.paired import held_cells
from fedmedlora.report.progress import ARMS, LOW_RESOURCE, arm_label, sites_of, tested_sites
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import TASK_NAMES, size_of
from fedmedlora.scoring import MODES, Mode, Task

_Key: TypeAlias = tuple[Task, str, str, int]


class FewNotes(NamedTuple):
    """F1 of one start after so many notes of a site.

    low, high: 95 % interval of the mean over seeds. lowest, highest: of the seeds, which differ in the notes that they
    draw. over_base: strict F1 against the mark, the same kind of model untrained (the bare base; an encoder with fresh
    heads), after as many notes; None for the mark itself, and where it has no score.
    """

    task: Task
    rule: Mode
    site: str
    start: str
    notes: int
    f1: float | None
    low: float | None
    high: float | None
    lowest: float | None
    highest: float | None
    seeds: int
    over_base: Held | None


def few_notes(run: Run) -> list[FewNotes]:
    """Every task, rule, site, start and number of notes. Holm's correction is over all contrasts of the setting."""
    cells = _cells(run)
    keys = [
        (task, site, start, notes)
        for task in run.tasks
        for site in tested_sites(run, LOW_RESOURCE)
        for start in starts_of(run)
        for notes in notes_of(run)
        if (site, start, notes) in cells
    ]
    held = hold(
        {
            (task, site, start, notes): Versus(task, cells[site, start, notes], cells[site, mark_of(start), notes])
            for task, site, start, notes in keys
            if start not in UNTRAINED and (site, mark_of(start), notes) in cells
        }
    )
    return [_row(key, rule, cells[key[1:]], held.get(key)) for key in keys for rule in MODES]


def _row(key: _Key, rule: Mode, scores: Sequence[Score], held: Held | None) -> FewNotes:
    task, *_ = key
    bounds, spread = estimate(scores, task, rule), Spread.of(score.f1(task, rule) for score in scores)
    return FewNotes(
        task,
        rule,
        *key[1:],
        spread.mean,
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
        lowest=spread.low,
        highest=spread.high,
        seeds=len({score.seed for score in scores}),
        over_base=held if rule == "strict" else None,
    )


def starts_of(run: Run) -> tuple[str, ...]:
    """Each kind of model, untrained and then of the arms that leave one, in their usual order."""
    seen = {start_of(score) for score in run.scores if score.setting == LOW_RESOURCE}
    known = [start for mark in UNTRAINED for start in (mark, *(arm for arm in ARMS if mark_of(arm) == mark))]
    return (*(start for start in known if start in seen), *sorted(seen - set(known)))


def notes_of(run: Run) -> tuple[int, ...]:
    """The numbers of notes, rising."""
    return tuple(sorted({score.variant.notes or 0 for score in run.scores if score.setting == LOW_RESOURCE}))


def start_of(score: Score) -> str:
    """What a model began with; the arm single-site begins with the bare base, as those of encoders do with theirs."""
    start = score.variant.start or score.arm
    return next((mark for mark, arm in UNTRAINED.items() if arm == start), start)


def mark_of(start: str) -> str:
    """The untrained start that another is held against: of the same kind of model. An untrained one is its own."""
    return start if start in UNTRAINED else untrained(start)


def start_label(start: str) -> str:
    """For readers."""
    if start == BASE:
        return "The bare base"
    return progress.UNTRAINED[UNTRAINED[start]] if start in UNTRAINED else arm_label(start)


def _label_within(start: str) -> str:
    """The same within a sentence."""
    return start_label(start).replace("The ", "the ").replace("Untrained ", "untrained ")


def low_resource_section(run: Run, rows: Sequence[FewNotes], identity: str) -> list[Markup]:
    """Learning curves, then a table for each task."""
    if not rows:
        return [paragraph("— No score of the setting low-resource is recorded yet.")]
    axis = Axis("notes trained on", "at {} notes", tuple(whole(notes) for notes in notes_of(run)))
    charts = []
    for task in run.tasks:
        for site in tested_sites(run, LOW_RESOURCE):
            title = f"{TASK_NAMES[task]}, strict F1 on {site} by notes of {site}"
            series = [_series(run, rows, task, site, start) for start in starts_of(run)]
            place = f"{identity}-{task}-{sites_of(run).index(site)}"
            charts.append(line_chart(place, title, "F1, strict", series, axis))
    heads = _HEADS if any(start in UNTRAINED_HEADS for start in starts_of(run)) else ""
    reading = f"{_READING}{heads}{_SEEDS if _several_seeds(rows) else ''}"
    return [paragraph(reading), panels(charts), *(_table(run, rows, task) for task in run.tasks)]


_READING = (
    "Each model begins with what an arm left, or untrained, and is trained on so many notes of the new site alone; "
    "0 notes: the start as it is. Uprights are 95 % intervals by resampling test documents."
)


_HEADS = (
    " An untrained encoder is one as it was pre-trained, with heads drawn at random: those find nothing, so that it is "
    "not tested at 0 notes."
)

_SEEDS = " Intervals are of the mean over seeds; every seed draws other notes."


def _several_seeds(rows: Sequence[FewNotes]) -> bool:
    return any(row.seeds > 1 for row in rows)


def _cells(run: Run) -> dict[tuple[str, str, int], list[Score]]:
    found: dict[tuple[str, str, int], list[Score]] = {}
    for score in run.scores:
        if score.setting == LOW_RESOURCE:
            found.setdefault((score.test_site, start_of(score), score.variant.notes or 0), []).append(score)
    return found


def _series(run: Run, rows: Sequence[FewNotes], task: Task, site: str, start: str) -> Series:
    places = {notes: float(place) for place, notes in enumerate(notes_of(run))}
    own = [row for row in rows if (row.task, row.rule, row.site, row.start) == (task, "strict", site, start)]
    return Series(
        f"from {_label_within(start)}",
        starts_of(run).index(start),
        tuple((places[row.notes], row.f1) for row in own),
        tuple((places[row.notes], row.low, row.high) for row in own if row.low is not None and row.high is not None),
    )


def _table(run: Run, rows: Sequence[FewNotes], task: Task) -> Markup:
    sites = tested_sites(run, LOW_RESOURCE)
    sizes = "; ".join(f"{site}: {size_of(run, LOW_RESOURCE, site, task)}" for site in sites)
    spread = " and the lowest to the highest seed" if _several_seeds(rows) else ""
    caption = (
        f"{TASK_NAMES[task]}: F1 by start and notes of the new site, and strict F1 against the same kind of model "
        f"that began untrained, after as many notes. Test notes: {sizes}. Under each F1 its 95 % interval{spread}; p "
        "after Holm's correction over all tests of this setting."
    )
    body = []
    for site in sites:
        for start in starts_of(run):
            for notes in notes_of(run):
                both = [row for row in rows if (row.task, row.site, row.start, row.notes) == (task, site, start, notes)]
                if both:
                    marked = any((row.site, row.start, row.notes) == (site, mark_of(start), notes) for row in rows)
                    body.append(_line(site, start, notes, both, marked))
    heads = [
        [head(name) for name in ("New site", "Start", "Notes", *MODES, "Against untrained", "p, corrected", "Verdict")]
    ]
    return table(caption, heads, body)


def _line(site: str, start: str, notes: int, both: Sequence[FewNotes], marked: bool) -> list[Markup]:
    """marked: whether the mark has a score after as many notes."""
    strict = next(row for row in both if row.rule == "strict")
    cells = [words(site), head(start_label(start), "row"), number(whole(notes)), *(_f1(row) for row in both)]
    return [*cells, *held_cells(strict.over_base, _why_not_held(start, notes, marked))]


def _why_not_held(start: str, notes: int, marked: bool) -> str:
    if start in UNTRAINED:
        return "the base itself" if start == BASE else "the untrained encoder itself"
    if marked:
        return "no scores of single documents"
    return "untrained heads find nothing" if _finds_nothing(start, notes) else "nothing began untrained"


def _finds_nothing(start: str, notes: int) -> bool:
    """Whether the mark after so many notes is no model."""
    return mark_of(start) in UNTRAINED_HEADS and not notes


def _f1(row: FewNotes) -> Markup:
    if row.f1 is None:
        return number(missing("not supported"))
    under = [small(between(row.low, row.high))] if row.low is not None else []
    if row.seeds > 1:
        under += [small(between(row.lowest, row.highest)), small(several(row.seeds, "seed"))]
    return number(join([decimal(row.f1), *under]))


def low_resource_sentences(rows: Sequence[FewNotes], task: Task) -> list[str]:
    """What each start gives over its mark: with the fewest notes, the middle number, and the most.

    An encoder as it is, which has no mark, is told by its F1.
    """
    found: dict[tuple[str, str], list[str]] = {}
    as_it_is: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.task != task or row.rule != "strict":
            continue
        if row.over_base is not None and row.over_base.difference is not None:
            found.setdefault((row.site, row.start), []).append(_over_base(row, row.over_base))
        elif row.f1 is not None and _finds_nothing(row.start, row.notes):
            as_it_is[row.site, row.start] = f" Without a note of {row.site} it reaches {points(row.f1)}."
    return [
        f"{site}: starting from {arm_label(start)} instead of {_label_within(mark_of(start))} gives "
        f"{'; '.join(dict.fromkeys((said[0], said[len(said) // 2], said[-1])))}.{as_it_is.get((site, start), '')}"
        for (site, start), said in found.items()
    ]


def _over_base(row: FewNotes, held: Held) -> str:
    having = f"with {several(row.notes, 'note')}" if row.notes else "without a note of its own"
    aside = f", {held.verdict}" if held.verdict in UNCONFIRMED else ""
    return f"{gained(held.difference, *held.interval)} {having} (reaching {points(row.f1)}{aside})"
