"""What a study is about to do, in words: its cells, and what its settings make of the sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedmedlora.config.arms import BERT, BERT_WHOLE, UNTRAINED_HEADS
from fedmedlora.config.models import StudyConfig
from fedmedlora.studies.cells import NOTHING, Cell, cell_rule, cell_server, federated_rule, low_resource_starts
from fedmedlora.studies.uneven import describe_change
from fedmedlora.studies.variants import LowResource


def describe_cells(config: StudyConfig, cells: Sequence[Cell]) -> list[str]:
    """A line for each cell, for a dry run."""
    lines = []
    for cell in cells:
        what = f"{cell.arm}, seed {cell.seed}"
        if cell.trained_on != NOTHING:
            what += f", trained on {cell.trained_on}"
        if isinstance(cell.variant, LowResource):
            what += f", from {cell.variant.start}" + ("" if cell.members else " as it is")
        elif cell.members:
            epochs = config.training.epochs_per_round
            if cell.arm in BERT:
                epochs = config.bert.epochs_per_round or epochs
            what += f", {config.rounds} rounds × {epochs} passes"
        if cell.federated:
            what += f", rule {cell_rule(cell, config.plus).name}"
            sent = "models" if cell.arm in BERT_WHOLE else "adapters"
            what += f", {sent} sent as {config.federation.wire}" if config.federation.wire != "float32" else ""
            combine = federated_rule(cell, config).combine
            what += ", products averaged" if combine == "product" else ""
            server = cell_server(cell, config.federation)
            what += "" if server.plain else f", server {server.name} with lr {server.lr:g}"
        lines.append(f"{what}, tested on {_listed(list(cell.tests(config))) or 'nothing: others begin with it'}")
    return lines


def study_remarks(config: StudyConfig, held: Mapping[str, int]) -> list[str]:
    """What the settings derived from the sites, and what a new site is too small for. held: training notes by site."""
    said = describe_cases(config)
    if "low-resource" not in config.settings:
        return said
    heads = [f"'{start}'" for start in low_resource_starts(config) if start in UNTRAINED_HEADS]
    if heads and 0 in config.low_resource.notes:
        said.append(f"low-resource: {_listed(heads)} with 0 notes left out: heads that nobody trained find nothing")
    for site in config.new_sites:
        beyond = [str(count) for count in config.low_resource.notes if count > held[site]]
        if beyond:
            said.append(f"low-resource: site '{site}' has {held[site]} training notes; left out: {', '.join(beyond)}")
    return said


def describe_cases(config: StudyConfig) -> list[str]:
    """A line for each case of the setting uneven, where it is one of the study's."""
    if "uneven" not in config.settings:
        return []
    origin = "" if config.uneven.cases else ", derived"
    return [
        f"uneven case '{case.name}'{origin}: {'; '.join(describe_change(change) for change in case.sites)}"
        for case in config.uneven_cases
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
