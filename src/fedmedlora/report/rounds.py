"""What happened round by round: dev F1 per site, training loss per site, and the weights of the average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fedmedlora.report.charts import Series, line_chart
from fedmedlora.report.elements import (
    Markup,
    element,
    fold,
    head,
    join,
    number,
    paragraph,
    small,
    table,
    words,
)
from fedmedlora.report.numbers import Spread, decimal, duration, whole
from fedmedlora.report.progress import (
    FEDERATED,
    SINGLE_SITE,
    arm_label,
    arms_of,
    arms_run,
    model_label,
    seeds_of,
    sites_of,
    whole_rounds,
)
from fedmedlora.report.records import Round, Run, SiteRound
from fedmedlora.report.results import TASK_NAMES
from fedmedlora.scoring import MODES, Mode, Task


class Model(NamedTuple):
    """What a line of rounds belongs to."""

    arm: str
    trained_on: str


def rounds_section(run: Run, identity: str) -> list[Markup]:
    """Convergence: charts first, then the numbers they show. `identity` begins the charts' ids."""
    if not run.rounds:
        return [paragraph("— No round is recorded yet.")]
    over = " Lines are means over seeds." if len(seeds_of(run)) > 1 else ""
    parts = [paragraph(f"Round 1 is the first.{over}")]
    parts += [element("h4", "F1 on dev notes after each round"), *_dev_parts(run, identity)]
    parts += [element("h4", "Training loss of each site"), *_loss_parts(run, identity)]
    return parts


def _dev_parts(run: Run, identity: str) -> list[Markup]:
    charts: list[Markup] = []
    for task in run.tasks:
        for place, site in enumerate(sites_of(run)):
            series = [_dev_series(run, arm, site, task) for arm in arms_of(run)]
            title = f"{TASK_NAMES[task]}, strict F1 on the dev notes of {site}"
            charts.append(line_chart(f"{identity}-dev-{task}-{place}", title, "F1, strict", series))
    if not any(one.dev for one in run.rounds):
        return [paragraph("— No dev score is recorded: there are no dev notes, or scoring them each round is off.")]
    note = "The line of single-site is each site's own model."
    return [paragraph(note), _panels(charts), *(_dev_table(run, task) for task in run.tasks)]


def _dev_series(run: Run, arm: str, site: str, task: Task) -> Series:
    own = [one for one in whole_rounds(run) if one.arm == arm and (arm not in SINGLE_SITE or one.trained_on == site)]
    points = _by_round(own, lambda one: one.dev.get(site, {}).get((task, "strict")))
    return Series(arm_label(arm), arms_of(run).index(arm), points)


def _by_round(rounds: Iterable[Round], value: Callable[[Round], float | None]) -> tuple[tuple[int, float | None], ...]:
    """(round counted from 1, mean over seeds)."""
    found: dict[int, list[float | None]] = {}
    for one in rounds:
        found.setdefault(one.number + 1, []).append(value(one))
    return tuple((number, Spread.of(found[number]).mean) for number in sorted(found))


def _panels(charts: Iterable[Markup]) -> Markup:
    return element("div", *(chart for chart in charts if chart), class_="panels")


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
                rows.append([_model_head(run, model, seed), words(site), *cells])
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


def _model_head(run: Run, model: Model, seed: int) -> Markup:
    label = model_label(*model)
    return head(join([label, small(f"seed {seed}")]) if len(seeds_of(run)) > 1 else label, "row")


def _loss_parts(run: Run, identity: str) -> list[Markup]:
    charts: list[Markup] = []
    for place, arm in enumerate(arms_run(run)):
        series = [_site_series(run, arm, site, lambda at: at.loss) for site in _trained_sites(run, arm)]
        title = f"{arm_label(arm)}: training loss by site"
        charts.append(line_chart(f"{identity}-loss-{place}", title, "nats per target token", series))
    if not any(site.loss is not None for one in run.rounds for site in one.sites.values()):
        return [paragraph("— No training loss is recorded.")]
    return [_panels(charts), _loss_table(run)]


def _trained_sites(run: Run, arm: str) -> list[str]:
    """Whose training an arm's rounds tell of: the sites in the study's order, then others (all, for centralised)."""
    seen = {site for one in whole_rounds(run) if one.arm == arm for site in one.sites}
    return [*(site for site in sites_of(run) if site in seen), *sorted(seen - set(sites_of(run)))]


def _site_series(run: Run, arm: str, site: str, value: Callable[[SiteRound], float | None]) -> Series:
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
                rows.append([_model_head(run, model, seed), words(site), *(number(decimal(loss)) for loss in losses)])
    title = "Training loss by round"
    heads = [[head("Model"), head("Site"), *(head(f"Round {place + 1}") for place in numbers)]]
    return fold(title, table(f"{title}: mean over a round, nats per target token.", heads, rows))


def weights_section(run: Run, identity: str) -> list[Markup]:
    """Weights of the federated arms: charts, then a table with losses, tokens and refusals."""
    charts: list[Markup] = []
    for arm in FEDERATED:
        for label, name, value in _WEIGHT_CHARTS:
            series = [_site_series(run, arm, site, value) for site in _trained_sites(run, arm)]
            charts.append(
                line_chart(
                    f"{identity}-{name.replace(' ', '-')}-{arm}", f"{arm_label(arm)}: {name} by site", label, series
                )
            )
    rows = [row for arm in FEDERATED for row in _weight_rows(run, arm)]
    if not rows:
        return [paragraph("— No round of a federated arm is recorded.")]
    heads = (
        "Arm",
        "Round",
        "Site",
        "Weight",
        "Validation loss",
        "Training loss",
        "Target tokens",
        "Steps",
        "Time",
        "Note",
    )
    caption = (
        "Weights by round and site. A round's weights sum to 1. Validation loss: of the site's own adapter on the "
        "coordinator's validation set, nats per target token; only Fed-MedLoRA+ needs it."
    )
    return [_panels(charts), fold("Weights by round", table(caption, [[head(name) for name in heads]], rows))]


_WEIGHT_CHARTS: tuple[tuple[str, str, Callable[[SiteRound], float | None]], ...] = (
    ("share of the average", "weight", lambda at: at.weight),
    ("nats per target token", "validation loss", lambda at: at.validation_loss),
)


def _weight_rows(run: Run, arm: str) -> list[list[Markup]]:
    rows: list[list[Markup]] = []
    own = [one for one in run.rounds if one.arm == arm]
    for one in sorted(own, key=lambda one: (one.trained_on, one.seed, one.number)):
        for site in sorted(one.sites):
            at = one.sites[site]
            note = f"left out: {at.refused}" if at.refused is not None else ""
            rows.append(
                [
                    _model_head(run, Model(arm, one.trained_on), one.seed),
                    number(str(one.number + 1)),
                    words(site),
                    number(decimal(at.weight)),
                    number(decimal(at.validation_loss)),
                    number(decimal(at.loss)),
                    number(whole(at.target_tokens)),
                    number(whole(at.steps)),
                    number(duration(at.seconds)),
                    words(note),
                ]
            )
    return rows
