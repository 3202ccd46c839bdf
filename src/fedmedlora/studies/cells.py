"""The cells of a study: arm × seed × what is trained on. Each is a federation, of one where nothing is federated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedmedlora.aggregation.rules import Rule, averaging_products, find_rule
from fedmedlora.aggregation.server import ServerOptimizer
from fedmedlora.config.arms import BERT, BERT_WHOLE, CENTRALISED, FEDERATED, PLUS, SINGLE_SITE
from fedmedlora.config.models import (
    ArmName,
    BertConfig,
    FederationConfig,
    PlusConfig,
    ProxConfig,
    SettingName,
    StudyConfig,
    TrainingConfig,
    WirePrecision,
)
from fedmedlora.errors import ConfigError
from fedmedlora.training.loop import TrainSettings

ALL = "all"
NOTHING = "none"
WITHOUT = "without-"
SOLO_RULE = "fedmedlora"
"""The rule of a federation of one: its average is the site's own adapter, bit for bit."""


@dataclass(frozen=True)
class Cell:
    """One thing to train and test.

    trained_on: a site's name, "all", "none", or "without-SITE". members: the sites of the federation and the notes that
    each holds; empty for zero-shot, one pooled member for centralised. left_out: the site that it was trained without
    and is tested on; None for a cell that leaves none out.
    """

    arm: ArmName
    seed: int
    trained_on: str
    members: tuple[tuple[str, tuple[str, ...]], ...]
    left_out: str | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What identifies the cell's lines in the records."""
        return (self.arm, self.seed, self.trained_on)

    @property
    def folder(self) -> str:
        """Where the cell's files lie: ARM/SEED, and below it the site, or `without-SITE`, for one of several models."""
        path = f"{self.arm}/{self.seed}"
        return path if self.trained_on in (ALL, NOTHING) else f"{path}/{self.trained_on}"

    @property
    def federated(self) -> bool:
        """Whether adapters travel between sites."""
        return self.arm in FEDERATED

    def tests(self, config: StudyConfig) -> dict[str, SettingName]:
        """The sites that the cell is tested on, each with its setting. What a site kept is of no use elsewhere."""
        if self.left_out is not None:
            return {self.left_out: "leave-one-out"}
        found: dict[str, SettingName] = {
            site.name: "external" if site.external else "in-domain"
            for site in config.sites
            if not (self.personal and site.external)
        }
        return {site: setting for site, setting in found.items() if setting in config.settings}

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites whose notes the cell is trained on."""
        return tuple(name for _, names in self.members for name in names)

    @property
    def personal(self) -> bool:
        """Whether every site ends with a model of its own, part of which it never sent."""
        return self.arm == "fedsa-lora"


def study_cells(config: StudyConfig) -> list[Cell]:
    """Every cell that is tested somewhere, in the order in which they run: seed by seed, arms as the study has them.

    Raises ConfigError when there is none.
    """
    names = config.members
    cells = [cell for seed in config.seeds for arm in config.arms for cell in _arm_cells(arm, seed, names)]
    if "leave-one-out" in config.settings:
        cells += [
            replace(cell, trained_on=f"{WITHOUT}{name}", left_out=name)
            for seed in config.seeds
            for arm in config.arms
            for name in names
            for cell in _arm_cells(arm, seed, tuple(other for other in names if other != name))
            if cell.trained_on == ALL and not cell.personal
        ]
    # The same question under another seed has the same answer.
    cells = [cell for cell in cells if cell.tests(config) and (cell.arm != "api" or cell.seed == config.seeds[0])]
    if not cells:
        raise ConfigError(
            f"there is nothing to run: none of the arms {', '.join(config.arms)} has a model to test in the settings "
            f"{', '.join(config.settings)}. Name other arms or settings, or mark a site as external."
        )
    return cells


def _arm_cells(arm: ArmName, seed: int, names: tuple[str, ...]) -> list[Cell]:
    if arm in ("zero-shot", "api"):
        return [Cell(arm, seed, NOTHING, ())]
    if arm in SINGLE_SITE:
        return [Cell(arm, seed, name, ((name, (name,)),)) for name in names]
    if arm in CENTRALISED:
        return [Cell(arm, seed, ALL, ((ALL, names),))]
    return [Cell(arm, seed, ALL, tuple((name, (name,)) for name in names))]


def federated_rule(cell: Cell, config: StudyConfig) -> Rule:
    """`cell_rule`, with products averaged where the study says so and the arm averages both A and B."""
    rule, federation = cell_rule(cell, config.plus), config.federation
    if not cell.federated or cell.arm in ("fedsa-lora", "ffa-lora") or federation.combine == "factors":
        return rule
    return averaging_products(rule, federation.residual)


def cell_rule(cell: Cell, plus: PlusConfig) -> Rule:
    """What weights a cell's sites. Raises ConfigError for an unknown published variant."""
    if cell.arm in ("fedsa-lora", "ffa-lora"):
        return find_rule(cell.arm)
    if cell.arm not in PLUS:
        return find_rule(SOLO_RULE)
    spread = plus.tau_spread is not None
    rule = find_rule(plus.rule, alpha=plus.alpha, tau=plus.tau_spread if spread else plus.tau, spread=spread)
    if not rule.needs_losses:
        raise ConfigError(
            f"plus.rule = '{plus.rule}' does not weight by validation loss. Name a variant of fedmedlora-plus."
        )
    return rule


def cell_settings(cell: Cell, training: TrainingConfig, prox: ProxConfig) -> TrainSettings:
    """Training settings of a cell. What is not averaged keeps AdamW's moments from round to round: it is one run."""
    return TrainSettings(
        lr=training.lr,
        objective=training.objective,
        epochs=training.epochs_per_round,
        batch_size=training.batch_size,
        gradient_accumulation=training.gradient_accumulation,
        pack_tokens=0 if training.pack_tokens == "auto" else training.pack_tokens,
        warmup_fraction=training.warmup_fraction,
        weight_decay=training.weight_decay,
        clip_norm_l2=training.clip_norm_l2,
        bf16=training.bf16,
        checkpointing=training.gradient_checkpointing,
        keep_moments=not cell.federated or training.optimizer_state == "keep",
        train_a=cell.arm != "ffa-lora",
        proximal_mu=prox.mu if cell.arm == "fedprox" else 0.0,
    )


def bert_settings(cell: Cell, training: TrainingConfig, bert: BertConfig) -> TrainSettings:
    """Training settings of a cell whose arm trains an encoder: its own where [bert] has them, else [training]'s."""
    return replace(
        cell_settings(cell, training, ProxConfig()),
        lr=bert.lr if cell.arm in BERT_WHOLE else bert.lora_lr,
        epochs=bert.epochs_per_round or training.epochs_per_round,
        batch_size=bert.batch_size or training.batch_size,
    )


def cell_wire(cell: Cell, federation: FederationConfig) -> WirePrecision:
    """How a cell's adapters travel. What is not averaged never leaves its site, so nothing is rounded there."""
    return federation.wire if cell.federated else "float32"


def cell_server(cell: Cell, federation: FederationConfig) -> ServerOptimizer:
    """How a cell's averages become global adapters. What is not averaged is one run, which no server steps into."""
    if not cell.federated:
        return ServerOptimizer()
    return ServerOptimizer(
        name=federation.server_optimizer,
        lr=1.0 if federation.server_lr is None else federation.server_lr,
        momentum=federation.server_momentum,
        beta1=federation.server_beta1,
        beta2=federation.server_beta2,
        epsilon=federation.server_epsilon,
    )


def describe_cells(config: StudyConfig) -> list[str]:
    """A line for each cell, for a dry run."""
    lines = []
    for cell in study_cells(config):
        what = f"{cell.arm}, seed {cell.seed}"
        if cell.trained_on != NOTHING:
            epochs = config.training.epochs_per_round
            if cell.arm in BERT:
                epochs = config.bert.epochs_per_round or epochs
            what += f", trained on {cell.trained_on}, {config.rounds} rounds × {epochs} passes"
        if cell.federated:
            what += f", rule {cell_rule(cell, config.plus).name}"
            sent = "models" if cell.arm in BERT_WHOLE else "adapters"
            what += f", {sent} sent as {config.federation.wire}" if config.federation.wire != "float32" else ""
            combine = federated_rule(cell, config).combine
            what += ", products averaged" if combine == "product" else ""
            server = cell_server(cell, config.federation)
            what += "" if server.plain else f", server {server.name} with lr {server.lr:g}"
        lines.append(f"{what}, tested on {_listed(list(cell.tests(config)))}")
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
