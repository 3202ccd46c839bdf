"""What a model card says of a federation: what the coordinator combined, how it weighted, what travelled.

Read from what the run itself is planned by (`cells.federated_rule`, `cell_server`, `cell_wire`), so that a card cannot
name another rule than the one that was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedmedlora.aggregation.rules import Rule
from fedmedlora.aggregation.server import ServerOptimizer
from fedmedlora.config.arms import BERT, BERT_WHOLE
from fedmedlora.config.models import PlusConfig, StudyConfig
from fedmedlora.studies.cells import Cell, cell_server, cell_wire, federated_rule
from fedmedlora.training.objective import Objective, judgement

_WIRES = {
    "float32": "as float32",
    "bfloat16": "adapters out and changes back as bfloat16",
    "int8": "adapters out as bfloat16, changes back as int8 with error feedback",
}
_UTILITIES = {
    "loss": "its mean {loss} per target token on validation notes, in nats",
    "task-loss": "the mean over tasks of its {loss} per target token on validation notes, in nats",
    "f1": "the mean over tasks of 1 − its strict F1 on validation notes",
}


def combining(config: StudyConfig, cell: Cell, info: Mapping[str, Any], objective: Objective) -> list[tuple[str, str]]:
    """Rule, what is averaged, weights, what they come from, and what follows the average. objective: of the sites."""
    rule, whole = federated_rule(cell, config), cell.arm in BERT_WHOLE
    title = f"FedAvg of whole models, weighted as in {rule.title}" if whole else rule.title
    return [
        ("Rule", f"{title}; {rule.citation}"),
        ("What is averaged", _averaged(cell, rule)),
        ("Weight of a site", _weight(config.plus, cell, rule, objective)),
        *([("Validation notes", _validation(config, cell, info))] if rule.needs_losses else []),
        ("From the average to the next round", _server(cell_server(cell, config.federation))),
    ]


def sent(cell: Cell) -> str:
    """What leaves a site."""
    special = {"fedsa-lora": "the adapters' A alone", "ffa-lora": "the adapters' B alone"}
    if cell.arm in special:
        return special[cell.arm]
    if cell.arm in BERT_WHOLE:
        return "models alone"
    return "adapters and heads alone" if cell.arm in BERT else "adapters alone"


def exchanged(config: StudyConfig, cell: Cell, trained: Mapping[str, Any]) -> str:
    """Bytes, and in which precision. trained: the cell's record."""
    wire = _WIRES[cell_wire(cell, config.federation)]
    if cell.arm in BERT_WHOLE:
        wire = wire.replace("adapters", "models")
    return f"{trained['bytes_sent'] + trained['bytes_received']:,} bytes, {wire}"


def _averaged(cell: Cell, rule: Rule) -> str:
    if cell.arm == "fedsa-lora":
        return "A alone; every site keeps a B of its own"
    if cell.arm == "ffa-lora":
        return "B alone; A is the same at every site, and not trained"
    if cell.arm in BERT_WHOLE:
        return "all weights of the encoder and its heads"
    heads = "; the heads' weights" if cell.arm in BERT else ""
    if rule.combine == "factors":
        return f"A and B, each for itself{heads}"
    lost = {"drop": "is dropped", "keep": "is kept by the coordinator and added to the next round's average"}
    return f"the products B·A, cut back to the rank; what the cut loses {lost[rule.residual]}{heads}"


def _weight(plus: PlusConfig, cell: Cell, rule: Rule, objective: Objective) -> str:
    weighting = rule.weighting
    tokens = f"n: its {'tagged training tokens' if cell.arm in BERT else 'training target tokens'}"
    if weighting.tau is None:
        return f"∝ n^α, α = {weighting.alpha:g}; {tokens}"
    loss = "loss" if cell.arm in BERT else f"loss ('{judgement(objective)}')"
    cost = _UTILITIES[plus.utility].format(loss=loss)
    if weighting.spread:
        cost += ", each cost in standard deviations over the round's sites"
    return f"∝ n^α · exp(−C / τ), α = {weighting.alpha:g}, τ = {weighting.tau:g}; {tokens}; C: {cost}"


def _validation(config: StudyConfig, cell: Cell, info: Mapping[str, Any]) -> str:
    """The dev notes that decided weights, by their digests."""
    dev = {site["name"]: site["parts"]["dev"] for site in info["sites"] if site["name"] in cell.sites}
    held = ", ".join(f"{name} (`{part['digest']}`)" for name, part in dev.items() if part["documents"])
    most = f"{config.plus.validation_examples:,} examples of each task"
    if config.plus.utility == "f1":
        most = f"{config.plus.validation_documents:,} documents"
    return f"dev notes, at most {most} a site, of {held}"


def _server(server: ServerOptimizer) -> str:
    if server.plain:
        return "none: the average is what the next round begins with"
    rate = f"server learning rate {server.lr:g}"
    match server.name:
        case "average":
            return f"a step towards the average, {rate}"
        case "momentum":
            return f"server momentum {server.momentum:g} (FedAvgM), {rate}"
        case "adam":
            return (
                f"server Adam (FedAdam), {rate}, β₁ = {server.beta1:g}, β₂ = {server.beta2:g}, ε = {server.epsilon:g}"
            )
