"""What happened round by round: dev F1 per site, by passes and by time, and training loss per site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from fedmedlora.report.charts import ROUNDS, Axis, Series, line_chart
from fedmedlora.report.elements import (
    Markup,
    element,
    fold,
    head,
    join,
    number,
    panels,
    paragraph,
    small,
    table,
    words,
)
from fedmedlora.report.families import encoder, kinds
from fedmedlora.report.numbers import Spread, decimal, several, whole
from fedmedlora.report.pace import READING, elapsed
from fedmedlora.report.progress import (
    ARMS,
    SINGLE_SITE,
    arm_label,
    arms_of,
    arms_run,
    model_label,
    seeds_of,
    sites_of,
    whole_rounds,
)
from fedmedlora.report.reach import dev_notes, reach_section
from fedmedlora.report.records import Round, Run, SiteRound
from fedmedlora.report.results import TASK_NAMES
from fedmedlora.scoring import MODES, Mode, Task

_Line: TypeAlias = "Callable[[Run, str, str, Task], Series]"


class Model(NamedTuple):
    """What a line of rounds belongs to."""

    arm: str
    trained_on: str


def rounds_section(run: Run, identity: str) -> list[Markup]:
    """Convergence: charts first, then the numbers they show. `identity` begins the charts' ids."""
    if not run.rounds:
        return [paragraph("— No round is recorded yet.")]
    over = " Lines are means over seeds." if len(seeds_of(run)) > 1 else ""
    parts = [paragraph(f"Round 1 is the first.{over}{_passes(run)}")]
    if not any(one.dev for one in run.rounds):
        parts.append(
            paragraph("— No dev score is recorded: there are no dev notes, or scoring them each round is off.")
        )
    else:
        parts += _dev_parts(run, identity)
    return [*parts, element("h4", "Training loss of each site"), *_loss_parts(run, identity)]


def _passes(run: Run) -> str:
    """How many passes a round is, of each kind of model where they differ; "" where the plan does not say."""
    if run.plan is None or run.plan.passes is None:
        return ""
    base, of_encoder = run.plan.passes, run.plan.encoder_passes or run.plan.passes
    made = {of_encoder if encoder(one.arm) else base for one in run.rounds}
    if len(made) == 1:
        over = f"{several(made.pop(), 'pass', 'passes')} over an arm's training examples, so that arms"
    else:
        over = (
            f"{several(base, 'pass', 'passes')} over an arm's training examples, and {whole(of_encoder)} where its "
            "model is an encoder, so that arms of one kind of model"
        )
    return f" Every round is {over} at one round have made equal passes over the data."


def _dev_parts(run: Run, identity: str) -> list[Markup]:
    parts = [
        element("h4", "F1 on dev notes at equal passes over the data"),
        paragraph(f"The line of a single-site arm is each site's own model. {dev_notes(run)}"),
        panels(_dev_charts(run, f"{identity}-dev", _dev_series, ROUNDS)),
        *(_dev_table(run, task) for task in run.tasks),
        element("h4", "F1 on dev notes at equal wall time"),
        paragraph(READING),
        panels(_dev_charts(run, f"{identity}-time", _time_series, _MINUTES)),
        element("h4", "Rounds to 95 % of centralised training"),
        *reach_section(run),
    ]
    return [part for part in parts if part]


_MINUTES = Axis("minutes", "after {} minutes", measured=True)


def _dev_charts(run: Run, identity: str, line: _Line, axis: Axis) -> list[Markup]:
    """A chart for every task and site; the arms of an encoder have charts of their own, so that lines stay few."""
    charts: list[Markup] = []
    for task in run.tasks:
        for kind, arms in kinds(arms_of(run)):
            for place, site in enumerate(sites_of(run)):
                series = [line(run, arm, site, task) for arm in arms]
                title = f"{TASK_NAMES[task]}, strict F1 on the dev notes of {site}{kind and f', {kind}'}"
                charts.append(
                    line_chart(f"{identity}-{task}-{place}{kind and '-bert'}", title, "F1, strict", series, axis)
                )
    return charts


def _dev_series(run: Run, arm: str, site: str, task: Task) -> Series:
    return Series(arm_label(arm), style_of(arm), _by_round(_own(run, arm, site), _strict(site, task)))


def _time_series(run: Run, arm: str, site: str, task: Task) -> Series:
    """The same values over the minutes that had passed."""
    rounds = _own(run, arm, site)
    times = elapsed(rounds)
    points = [(times[at] / 60, f1) for at, f1 in _by_round(rounds, _strict(site, task)) if at in times]
    return Series(arm_label(arm), style_of(arm), tuple(points))


def _own(run: Run, arm: str, site: str) -> list[Round]:
    """The rounds of an arm's model that is looked at on a site: of a single-site arm, the site's own."""
    return [one for one in whole_rounds(run) if one.arm == arm and (arm not in SINGLE_SITE or one.trained_on == site)]


def _strict(site: str, task: Task) -> Callable[[Round], float | None]:
    return lambda one: one.dev.get(site, {}).get((task, "strict"))


def style_of(arm: str) -> int:
    """The same in every chart, whatever other arms a study has."""
    return list(ARMS).index(arm) if arm in ARMS else len(ARMS)


def _by_round(rounds: Iterable[Round], value: Callable[[Round], float | None]) -> tuple[tuple[int, float | None], ...]:
    """(round counted from 1, mean over seeds)."""
    found: dict[int, list[float | None]] = {}
    for one in rounds:
        found.setdefault(one.number + 1, []).append(value(one))
    return tuple((number, Spread.of(found[number]).mean) for number in sorted(found))


def models_of(run: Run) -> list[Model]:
    """Models of which a round is recorded, arms in their usual order."""
    order = {arm: place for place, arm in enumerate(arms_of(run))}
    return sorted({Model(one.arm, one.trained_on) for one in run.rounds}, key=lambda m: (order[m.arm], m.trained_on))


def _dev_table(run: Run, task: Task) -> Markup:
    rows: list[list[Markup]] = []
    numbers = _round_numbers(run)
    for model in models_of(run):
        for seed in _seeds(run, model):
            own = _of(run, model, seed)
            for site in sites_of(run):
                if not any((task, mode) in one.dev.get(site, {}) for one in own for mode in MODES):
                    continue
                cells = [number(_dev_value(own, at, site, task, mode)) for at in numbers for mode in MODES]
                rows.append([model_head(run, model, seed), words(site), *cells])
    if not rows:
        return Markup("")
    heads = [
        [head("Model", rows=2), head("Dev site", rows=2), *(head(f"Round {at + 1}", "colgroup", 2) for at in numbers)],
        [head(mode) for _ in numbers for mode in MODES],
    ]
    title = f"{TASK_NAMES[task]}: F1 on dev notes by round"
    return fold(title, table(f"{title}, every model on every site.", heads, rows))


def _dev_value(rounds: Sequence[Round], at: int, site: str, task: Task, mode: Mode) -> str:
    return next((decimal(one.dev.get(site, {}).get((task, mode))) for one in rounds if one.number == at), decimal(None))


def _round_numbers(run: Run) -> list[int]:
    return sorted({one.number for one in run.rounds})


def _seeds(run: Run, model: Model) -> list[int]:
    return sorted({one.seed for one in run.rounds if (one.arm, one.trained_on) == model})


def _of(run: Run, model: Model, seed: int) -> list[Round]:
    return [one for one in run.rounds if (one.arm, one.trained_on, one.seed) == (*model, seed)]


def model_head(run: Run, model: Model, seed: int) -> Markup:
    """The header of a model's row, with the seed where there are several."""
    label = model_label(*model)
    return head(join([label, small(f"seed {seed}")]) if len(seeds_of(run)) > 1 else label, "row")


def _loss_parts(run: Run, identity: str) -> list[Markup]:
    charts: list[Markup] = []
    for place, arm in enumerate(arms_run(run)):
        series = [site_series(run, arm, site, lambda at: at.loss) for site in trained_sites(run, arm)]
        title = f"{arm_label(arm)}: training loss by site"
        charts.append(line_chart(f"{identity}-loss-{place}", title, "nats per target token", series))
    if not any(site.loss is not None for one in run.rounds for site in one.sites.values()):
        return [paragraph("— No training loss is recorded.")]
    return [panels(charts), _loss_table(run)]


def trained_sites(run: Run, arm: str) -> list[str]:
    """Whose training an arm's rounds tell of: the sites in the study's order, then others (all, for centralised)."""
    seen = {site for one in whole_rounds(run) if one.arm == arm for site in one.sites}
    return [*(site for site in sites_of(run) if site in seen), *sorted(seen - set(sites_of(run)))]


def site_series(run: Run, arm: str, site: str, value: Callable[[SiteRound], float | None]) -> Series:
    """What a site told in every round of an arm, mean over seeds."""
    rounds = [one for one in whole_rounds(run) if one.arm == arm and site in one.sites]
    style = sites_of(run).index(site) if site in sites_of(run) else len(sites_of(run))
    return Series(site, style, _by_round(rounds, lambda one: value(one.sites[site])))


def _loss_table(run: Run) -> Markup:
    numbers = _round_numbers(run)
    rows: list[list[Markup]] = []
    for model in models_of(run):
        for seed in _seeds(run, model):
            at = {one.number: one.sites for one in _of(run, model, seed)}
            for site in dict.fromkeys(site for sites in at.values() for site in sites):
                losses = [at[place][site].loss if site in at.get(place, {}) else None for place in numbers]
                rows.append([model_head(run, model, seed), words(site), *(number(decimal(loss)) for loss in losses)])
    title = "Training loss by round"
    heads = [[head("Model"), head("Site"), *(head(f"Round {place + 1}") for place in numbers)]]
    return fold(title, table(f"{title}: mean over a round, nats per target token.", heads, rows))
