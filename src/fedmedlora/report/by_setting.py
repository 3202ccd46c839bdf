"""The tables and charts of results, setting by setting."""

from __future__ import annotations

from fedmedlora.report.arm_table import arm_table
from fedmedlora.report.elements import Markup, element, fold, paragraph
from fedmedlora.report.findings import Findings
from fedmedlora.report.left_out import left_out_section
from fedmedlora.report.low_resource import low_resource_section
from fedmedlora.report.progress import (
    EXTERNAL,
    IN_DOMAIN,
    LEAVE_ONE_OUT,
    LOW_RESOURCE,
    SCALING,
    SINGLE_SITE,
    UNEVEN,
    settings_of,
)
from fedmedlora.report.records import Run
from fedmedlora.report.results import matrix_table, seeds_table
from fedmedlora.report.scaling import scaling_section
from fedmedlora.report.uneven import uneven_section

_TITLES = {
    IN_DOMAIN: "In-domain: sites that train",
    EXTERNAL: "External validation: sites that nobody trained on",
    LEAVE_ONE_OUT: "Leave-one-out: each site in turn left out of training",
    LOW_RESOURCE: "Low-resource: a new site with few notes",
    UNEVEN: "Uneven annotation: sites that annotate less or otherwise",
    SCALING: "Scaling: the same notes over more sites",
}


def results_section(run: Run, findings: Findings, identity: str) -> list[Markup]:
    """Every setting of the study in its order. `identity` begins the charts' ids."""
    if not run.scores:
        return [paragraph("— No score is recorded yet.")]
    parts: list[Markup] = []
    for setting in settings_of(run):
        parts.append(element("h4", _TITLES.get(setting, setting)))
        if setting == LOW_RESOURCE:
            parts += low_resource_section(run, findings.few_notes, f"{identity}-few")
        elif setting == UNEVEN:
            parts += uneven_section(run, findings.uneven)
        elif setting == SCALING:
            parts += scaling_section(run, findings.scaled, f"{identity}-scaling")
        else:
            parts += _plain(run, setting, findings)
    return parts


def _plain(run: Run, setting: str, findings: Findings) -> list[Markup]:
    parts: list[Markup] = []
    for task in run.tasks:
        parts += [arm_table(run, setting, task), seeds_table(run, setting, task)]
    if setting == LEAVE_ONE_OUT:
        return [*parts, *left_out_section(findings.left_out)]
    seen = {score.arm for score in run.scores if score.setting == setting}
    alone = [matrix_table(run, setting, task, arm) for arm in SINGLE_SITE if arm in seen for task in run.tasks]
    parts += [fold(f"Single-site models on every site, {setting}", *alone)] if alone else []
    return [part for part in parts if part]
