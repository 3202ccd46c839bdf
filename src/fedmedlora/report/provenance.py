"""Where the numbers come from: study, sites and data, versions, digests, command, settings."""

from __future__ import annotations

from fedmedlora.config.portable import portable_study
from fedmedlora.report.elements import (
    Markup,
    element,
    fold,
    head,
    join,
    missing,
    number,
    paragraph,
    small,
    table,
    terms,
    words,
)
from fedmedlora.report.numbers import DASH, decimal, listed, several, size, whole
from fedmedlora.report.progress import arms_of, model_label, progress, seeds_of
from fedmedlora.report.records import PARTS, Destination, Part, Run, Site, Weights

_NOT_RECORDED = missing("not recorded")


def status_section(run: Run) -> list[Markup]:
    """Whether the run is finished, which notes it scores, and whether they are real."""
    parts = [_status(run)]
    if run.plan is not None and run.plan.scored == "dev":
        text = "Every score is on dev notes, as for choosing settings; where the page says test, read dev."
        parts.append(element("div", paragraph(element("strong", "Dev notes: "), text), class_="notice", role="note"))
    if any(site.synthetic for site in run.info.sites):
        text = "Sites marked “generated notes” hold text made by a program: what is measured there is not clinical."
        parts.append(paragraph(text))
    return parts


def facts_section(run: Run) -> list[Markup]:
    """What the study is made of."""
    info = run.info
    machine = listed(
        "no GPU" if (name, value) == ("accelerator", "None") else f"{name} {value}"
        for name, value in sorted(info.machine.items())
    )
    pairs = [
        ("Run folder", run.folder),
        ("Started", info.started or _NOT_RECORDED),
        ("Base model", _weights(info.base)),
        ("Adapter", _adapter(info.adapter, info.base)),
        ("Sites", listed(f"{site.name} ({_source(site)})" for site in info.sites)),
        ("Seeds", listed(str(seed) for seed in seeds_of(run))),
        ("Machine", machine),
    ]
    return [terms(pairs)]


def _status(run: Run) -> Markup:
    state = progress(run)
    if state.finished is None:
        text = f"study.toml is missing. Whether the run is finished is not known; {several(state.done, 'score')} found."
        return element("div", paragraph(element("strong", "Plan unknown: "), text), class_="notice")
    if state.finished:
        return paragraph(f"Finished: all {several(state.done, 'planned score')} are there.")
    return element(
        "div",
        paragraph(
            element("strong", "Unfinished: "),
            f"{state.done} of {several(state.planned or 0, 'planned score')} are there. What is shown may change. "
            "`fedmedlora run STUDY.toml --resume` goes on where the run stopped.",
        ),
        element("ul", *(element("li", line) for line in state.missing)),
        class_="notice",
        role="note",
    )


def _weights(weights: Weights) -> Markup:
    if weights.name is None and weights.parameters is None:
        return _NOT_RECORDED
    facts = [weights.name or DASH, f"{whole(weights.parameters)} parameters", size(weights.bytes)]
    return join(facts, ", ")


def _adapter(adapter: Weights, base: Weights) -> Markup:
    if adapter.parameters is None:
        return _NOT_RECORDED
    share = ""
    if base.parameters:
        share = f" ({decimal(100 * adapter.parameters / base.parameters, 2)} % of the base's)"
    return join([f"{whole(adapter.parameters)} parameters{share}, {size(adapter.bytes)}"])


def _source(site: Site) -> str:
    if site.synthetic:
        return "generated notes"
    return f"recipe {site.recipe}" if site.recipe else "no recipe"


def data_section(run: Run) -> list[Markup]:
    """Documents, examples and target tokens per part; what reading left out, by reason."""
    if not run.info.sites:
        return [paragraph("— No site is recorded.")]
    rows = [row for site in run.info.sites for row in _part_rows(run, site)]
    names = (
        "Site",
        "Part",
        "Documents",
        "Used",
        *(f"{task.upper()} examples" for task in run.tasks),
        "Target tokens",
        "Digest",
    )
    parts = [table("Notes of every site, by part.", [[head(name) for name in names]], rows)]
    dropped = [
        [head(site.name, "row"), words(reason), number(whole(count))]
        for site in run.info.sites
        for reason, count in sorted(site.dropped.items())
    ]
    if dropped:
        caption = "Left out while reading and mapping the notes, by reason."
        parts.append(table(caption, [[head("Site"), head("Reason"), head("Number")]], dropped))
    else:
        parts.append(paragraph("Nothing was left out while reading the notes."))
    labels = [[head(site.name, "row"), words(", ".join(site.labels) or DASH)] for site in run.info.sites]
    parts.append(
        table("Labels annotated at every site; others are not scored there.", [[head("Site"), head("Labels")]], labels)
    )
    return parts


def _part_rows(run: Run, site: Site) -> list[list[Markup]]:
    known = [*PARTS, *sorted(site.parts.keys() - set(PARTS))]
    return [_part_row(run, site, name, site.parts.get(name)) for name in known]


def _part_row(run: Run, site: Site, name: str, part: Part | None) -> list[Markup]:
    first = [head(join([site.name, small(_source(site))]), "row"), words(name)]
    if part is None:
        return [*first, words(_NOT_RECORDED, 4 + len(run.tasks))]
    examples = [number(whole(part.examples.get(task))) for task in run.tasks]
    digest = _digest(part.digest)
    return [
        *first,
        number(whole(part.documents)),
        number(whole(part.used)),
        *examples,
        number(whole(part.target_tokens)),
        words(digest),
    ]


def _digest(digest: str | None) -> Markup:
    return element("code", digest) if digest else _NOT_RECORDED


def provenance_section(run: Run) -> list[Markup]:
    """Command, what left for a server, versions, digests, settings."""
    info = run.info
    parts = [paragraph("Command: ", element("code", info.command) if info.command else _NOT_RECORDED)]
    parts += _sent(run)
    versions = [[head(name, "row"), words(version)] for name, version in sorted(info.versions.items())]
    if versions:
        parts.append(table("Versions.", [[head("Library"), head("Version")]], versions))
    parts.append(fold("Digests of the base and the adapters", _digests(run)))
    if run.left_out:
        rows = [[head(reason, "row"), number(whole(count))] for reason, count in sorted(run.left_out.items())]
        parts.append(table("Records in the run folder that are not shown.", [[head("Reason"), head("Number")]], rows))
    settings = [paragraph(_NOT_RECORDED)]
    if run.study is not None:
        # The file says by which way notes and models lie from its folder; a page that travels does not.
        shown = element("pre", element("code", portable_study(run.study)))
        settings = [paragraph("Of a path that leads out of the run's folder the last name is shown."), shown]
    parts.append(fold("Settings (study.toml, resolved)", *settings))
    return parts


def _sent(run: Run) -> list[Markup]:
    """Which notes under a data-use agreement a server was given. run.json says it before the first is sent."""
    known = [(cost.asked.sent, True) for cost in run.costs if cost.asked is not None]
    if not known and run.info.api is not None:
        known = [(run.info.api, False)]
    return [_sent_to(sent, whole_arm) for sent, whole_arm in known]


def _sent_to(sent: Destination, all_sent: bool) -> Markup:
    count = sum(sent.credentialed.values())
    to = f"{sent.server}, for its model {sent.model}"
    if not count:
        return paragraph(f"The arm api sends notes to {to}. None of them is marked as credentialed.")
    by_site = ", ".join(f"{site} {whole(notes)}" for site, notes in sorted(sent.credentialed.items()))
    verb = ("was" if count == 1 else "were") if all_sent else "may have been"
    return element(
        "div",
        paragraph(
            element("strong", "Credentialed notes sent: "),
            f"{several(count, 'credentialed note')} ({by_site}) {verb} sent to {to}, as api.allow_credentialed = true "
            "of the study lets them.",
        ),
        class_="notice",
        role="note",
    )


def _digests(run: Run) -> Markup:
    order = {arm: place for place, arm in enumerate(arms_of(run))}
    rows = [[head("Base model", "row"), words("—"), words(_digest(run.info.base.digest))]]
    for cost in sorted(run.costs, key=lambda cost: (cost.setting, order[cost.arm], cost.trained_on, cost.seed)):
        label = model_label(cost.arm, cost.trained_on)
        rows.append([head(label, "row"), words(f"seed {cost.seed}"), words(_digest(cost.adapter_digest))])
    return table("SHA-256 digests.", [[head("Model"), head("Seed"), head("Digest")]], rows)
