"""How sure the models are and whether they are right to be: areas under curves, calibration, and both as charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fedmedlora.report.elements import Markup, element, head, join, missing, number, paragraph, small, table
from fedmedlora.report.families import kinds
from fedmedlora.report.numbers import Spread, between, decimal, several, whole
from fedmedlora.report.progress import arm_label, arms_in, arms_run, seeds_of, tested_sites, why_missing
from fedmedlora.report.records import Run, Score
from fedmedlora.report.results import NOT_SUPPORTED, TASK_NAMES, own_scores
from fedmedlora.report.rounds import style_of
from fedmedlora.report.square_chart import Curve, square_chart
from fedmedlora.scoring import Confidence, Task

_COLUMNS = ("AUPRC", "ECE", "Brier", "n")
_READING = (
    "A prediction's confidence is the probability that the model gave to the choices that made it. AUPRC: area under "
    "the precision-recall curve that a threshold on the confidence draws (average precision, strict; recall over all "
    "gold, so that what is never predicted is never found); higher is better. ECE: expected calibration error, the "
    "mean distance between confidence and share of right predictions over ten bins of as many predictions each. Brier: "
    "mean squared distance between confidence and right (1) or wrong (0). Of both, lower is better, and both see only "
    "what was predicted: n annotations."
)


def confidence_section(run: Run, setting: str, identity: str) -> list[Markup]:
    """Tables, then charts. identity: begins the charts' ids."""
    if not any(score.confidence for score in run.scores if score.setting == setting):
        return [paragraph("— No confidence is recorded: the answers know none, or are of an earlier version.")]
    parts = [paragraph(_READING)]
    for task in run.tasks:
        parts += [_table(run, setting, task), *_charts(run, setting, task, f"{identity}-{task}")]
    return parts


def _table(run: Run, setting: str, task: Task) -> Markup:
    sites = tested_sites(run, setting)
    heads = [
        [head("Arm", rows=2), *(head(site, "colgroup", len(_COLUMNS)) for site in sites)],
        [head(name) for _ in sites for name in _COLUMNS],
    ]
    rows: list[list[Markup]] = []
    for arm in arms_in(run, setting):
        row = [head(arm_label(arm), "row")]
        for site in sites:
            here = [score for score in own_scores(run, setting, arm) if score.test_site == site]
            row += _cells(here, task, why_missing(run, arm, site, setting))
        rows.append(row)
    under = (
        "Under each AUPRC its 95 % interval, by resampling documents; of several seeds or models, lowest to highest."
    )
    return table(f"{TASK_NAMES[task]}: confidence by arm and test site, {setting}. {under}", heads, rows)


def _cells(scores: Sequence[Score], task: Task, why: str) -> list[Markup]:
    known = [score.confidence[task] for score in scores if task in score.confidence]
    if not known:
        return [number(missing("not known" if scores else why)), *[number(decimal(None))] * 3]
    unit = "seed" if len({score.trained_on for score in scores}) == 1 else "model"
    return [
        number(_area(known, unit)),
        number(decimal(Spread.of(one.ece for one in known).mean)),
        number(decimal(Spread.of(one.brier for one in known).mean)),
        number(_counted(Spread.of(one.scored for one in known))),
    ]


def _area(known: Sequence[Confidence], unit: str) -> Markup | str:
    spread = Spread.of(one.auprc for one in known)
    if spread.mean is None:
        return missing(NOT_SUPPORTED)
    if len(known) > 1:
        under = [small(between(spread.low, spread.high)), small(several(len(known), unit))]
        return join([decimal(spread.mean), *under])
    interval = known[0].interval
    return join([decimal(spread.mean), small("no interval" if interval is None else between(*interval))])


def _counted(spread: Spread) -> str:
    return whole(spread.mean) if spread.low == spread.high else decimal(spread.mean, 1)


def _charts(run: Run, setting: str, task: Task, identity: str) -> list[Markup]:
    """For each site the precision-recall curves and the reliability diagram, of the first seed where there are more."""
    charts: list[Markup] = []
    for kind, arms in kinds(arms_run(run)):
        for place, site in enumerate(tested_sites(run, setting)):
            where = f"{TASK_NAMES[task]} on {site}{kind and f', {kind}'}"
            name = f"{identity}-{place}{kind and '-bert'}"
            curves = _curves(run, setting, task, site, arms, lambda one: one.curve)
            charts.append(square_chart(f"{name}-pr", f"{where}: precision and recall", *_PR, curves))
            curves = _curves(run, setting, task, site, arms, lambda one: ((mean, right) for _, mean, right in one.bins))
            charts.append(square_chart(f"{name}-rel", f"{where}: reliability", *_RELIABILITY, curves, diagonal=_IDEAL))
    if not any(charts):
        return []
    notes = [f"Charts show seed {seeds_of(run)[0]}."] if len(seeds_of(run)) > 1 else []
    if any(len(_shown(run, setting, arm, site)) > 1 for arm in arms_run(run) for site in tested_sites(run, setting)):
        notes.append("An arm that has several models on one site is not drawn.")
    panels = element("div", *(chart for chart in charts if chart), class_="panels")
    return [paragraph(" ".join(notes)), panels] if notes else [panels]


_PR = ("recall", "precision")
_RELIABILITY = ("mean confidence", "share right")
_IDEAL = "confidence = share right"


def _curves(
    run: Run,
    setting: str,
    task: Task,
    site: str,
    arms: Iterable[str],
    points: Callable[[Confidence], Iterable[tuple[float, float]]],
) -> list[Curve]:
    found: list[Curve] = []
    for arm in arms:
        here = _shown(run, setting, arm, site)
        if len(here) == 1 and task in here[0].confidence:
            found.append(Curve(arm_label(arm), style_of(arm), tuple(points(here[0].confidence[task]))))
    return found


def _shown(run: Run, setting: str, arm: str, site: str) -> list[Score]:
    """An arm's scores on a site under the study's first seed, or the lowest that it has."""
    here = [score for score in own_scores(run, setting, arm) if score.test_site == site]
    seeds = sorted({score.seed for score in here}, key=lambda seed: (seed not in seeds_of(run)[:1], seed))
    return [score for score in here if score.seed == seeds[0]]
