"""How differently the sites' training notes are labelled and worded, as heat tables whose cells say their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fedmedlora.report.elements import Markup, element, head, missing, paragraph, table
from fedmedlora.report.numbers import decimal
from fedmedlora.report.records import Run

_KINDS = {"labels": "Labels", "vocabulary": "Vocabulary"}
_SHADES = 5


class Divergence(NamedTuple):
    """Jensen–Shannon divergence of two sites' training notes, in bits; None where they have nothing to compare."""

    kind: str
    site: str
    other: str
    bits: float | None


def divergences(run: Run) -> Iterator[Divergence]:
    """Every two sites, in both orders, by kind."""
    for kind, sites in run.info.divergences.items():
        for site, others in sites.items():
            for other, bits in others.items():
                yield Divergence(kind, site, other, bits)


def heterogeneity_section(run: Run) -> list[Markup]:
    """Two tables, site by site."""
    found = list(divergences(run))
    if not found:
        return [paragraph("— Not recorded: the run has one site that trains, or an earlier version made it.")]
    return [paragraph(_READING), *(_table(run, kind) for kind in run.info.divergences)]


_READING = (
    "Jensen–Shannon divergence between training notes, in bits: 0 is the same distribution, 1 nothing in common. "
    "Labels: shares of the entity types that both sites annotate. Vocabulary: frequencies of words in lower case. The "
    "stronger a cell's colour, the further apart."
)


def _table(run: Run, kind: str) -> Markup:
    sites = run.info.divergences[kind]
    names = list(dict.fromkeys([*sites, *(other for row in sites.values() for other in row)]))
    rows = [
        [head(site, "row"), *(_cell(site == other, sites.get(site, {}).get(other)) for other in names)]
        for site in names
    ]
    return table(
        f"{_KINDS.get(kind, kind)}: divergence between sites, bits.", [[head("Site"), *map(head, names)]], rows
    )


def _cell(same: bool, bits: float | None) -> Markup:
    if same:
        return element("td", "—", class_="n")
    if bits is None:
        return element("td", missing("nothing in common to compare"), class_="n")
    shade = min(_SHADES - 1, max(0, int(bits * _SHADES)))
    return element("td", decimal(bits), class_=f"n h{shade}")
