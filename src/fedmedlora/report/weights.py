"""What each site's adapter weighed in the average, round by round, against how well it did on validation notes."""

from __future__ import annotations

from collections.abc import Callable

from fedmedlora.report.charts import Axis, Series, line_chart
from fedmedlora.report.elements import Markup, bullets, element, fold, head, number, panels, paragraph, table, words
from fedmedlora.report.numbers import Spread, decimal, duration, several, whole
from fedmedlora.report.progress import FEDERATED, arm_label, whole_rounds
from fedmedlora.report.records import Run, SiteRound
from fedmedlora.report.rounds import Model, model_head, site_series, trained_sites


def weights_section(run: Run, identity: str) -> list[Markup]:
    """Weights against losses, both by round, then a table with tokens and refusals."""
    rows = [row for arm in FEDERATED for row in _weight_rows(run, arm)]
    if not rows:
        return [paragraph("— No round of a federated arm is recorded.")]
    parts: list[Markup] = []
    arms = [arm for arm in FEDERATED if judged(run, arm)]
    if arms:
        parts += [
            element("h4", "Weight against validation loss"),
            paragraph(_READING),
            bullets(_in_words(run, arm) for arm in arms),
            panels(_against_loss(run, f"{identity}-against-{arm}", arm) for arm in arms),
        ]
    charts = [
        line_chart(
            f"{identity}-{name.replace(' ', '-')}-{arm}",
            f"{arm_label(arm)}: {name} by site",
            label,
            [site_series(run, arm, site, value) for site in trained_sites(run, arm)],
        )
        for arm in FEDERATED
        for label, name, value in _CHARTS
    ]
    parts += [element("h4", "Round by round"), panels(charts)]
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
    return [*parts, fold("Weights by round", table(caption, [[head(name) for name in heads]], rows))]


_READING = (
    "Each mark is one site in one round, whose number stands beside it; a line joins a site's rounds. Were weights to "
    "follow what an adapter is worth, marks would fall from the upper left to the lower right. Means over seeds."
)
_CHARTS: tuple[tuple[str, str, Callable[[SiteRound], float | None]], ...] = (
    ("share of the average", "weight", lambda at: at.weight),
    ("nats per target token", "validation loss", lambda at: at.validation_loss),
)
_LOSS = Axis("validation loss, nats per target token", "at a loss of {}", measured=True, from_zero=False)


def judged(run: Run, arm: str) -> bool:
    """Whether the arm's adapters were scored on validation notes."""
    own = [one for one in whole_rounds(run) if one.arm == arm]
    return any(at.validation_loss is not None and at.weight is not None for one in own for at in one.sites.values())


def _against_loss(run: Run, identity: str, arm: str) -> Markup:
    series = []
    for site in trained_sites(run, arm):
        losses = site_series(run, arm, site, lambda at: at.validation_loss)
        weights = dict(site_series(run, arm, site, lambda at: at.weight).points)
        known = [(at, loss) for at, loss in losses.known if weights.get(at) is not None]
        points = tuple((loss, weights[at]) for at, loss in known)
        series.append(Series(site, losses.style, points, notes=tuple(f"{at:.0f}" for at, _ in known)))
    return line_chart(
        identity, f"{arm_label(arm)}: weight against validation loss", "share of the average", series, _LOSS
    )


def _in_words(run: Run, arm: str) -> str:
    """How far weights and losses differ between sites of one round, at most."""
    rounds = [one for one in whole_rounds(run) if one.arm == arm]
    weights = [Spread.of(at.weight for at in one.sites.values()) for one in rounds]
    losses = [Spread.of(at.validation_loss for at in one.sites.values()) for one in rounds]
    apart = max((one.high - one.low for one in weights if one.high is not None and one.low is not None), default=None)
    loss_apart = max(
        (one.high - one.low for one in losses if one.high is not None and one.low is not None), default=None
    )
    sites = max(len(one.sites) for one in rounds)
    return (
        f"{arm_label(arm)}: within a round, weights of {several(sites, 'site')} are at most {decimal(apart)} apart "
        f"(equal ones would be {decimal(1 / sites)}), validation losses at most {decimal(loss_apart)} nats."
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
                    model_head(run, Model(arm, one.trained_on), one.seed),
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
