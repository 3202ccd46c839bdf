"""The cells of a study: arm × seed × what is trained on. Each is a federation, of one where nothing is federated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fedmedlora.aggregation.rules import Rule, averaging_products, find_rule
from fedmedlora.aggregation.server import ServerOptimizer
from fedmedlora.config.arms import (
    BASE,
    BERT,
    BERT_WHOLE,
    CENTRALISED,
    FEDERATED,
    PLUS,
    SINGLE_SITE,
    UNTRAINED,
    UNTRAINED_HEADS,
    untrained,
)
from fedmedlora.config.encoder import BertConfig
from fedmedlora.config.models import (
    ArmName,
    FederationConfig,
    PlusConfig,
    ProxConfig,
    SettingName,
    StudyConfig,
    TrainingConfig,
    WirePrecision,
)
from fedmedlora.errors import ConfigError
from fedmedlora.studies.variants import (
    ALL,
    Changed,
    FewNotes,
    LeaveOneOut,
    LowResource,
    Scaling,
    Shard,
    Source,
    Uneven,
    Variant,
    sites_behind,
)
from fedmedlora.training.loop import TrainSettings

NOTHING = "none"
_SEEDLESS = ("zero-shot", "api")
_PLAIN = (
    ("fedmedlora", "fedmedlora-plus"),
    ("bert-fedavg",),
    ("bert-lora-fedmedlora", "bert-lora-fedmedlora-plus"),
)
"""Of each kind of model the arms that stand for the federation, the first that a study has."""

SOLO_RULE = "fedmedlora"
"""The rule of a federation of one: its average is the site's own adapter, bit for bit."""


@dataclass(frozen=True)
class Cell:
    """One thing to train and test.

    trained_on: what the records call its training data: a site's name, "all", "none", or as its variant has it.
    members: the sites of the federation and the sources of each one's examples; empty where nothing is trained, one
    pooled member for centralised. variant: its place in a setting that trains anew; None in-domain. start: the cell
    whose final adapter it begins with; None for a fresh one.
    """

    arm: ArmName
    seed: int
    trained_on: str
    members: tuple[tuple[str, tuple[Source, ...]], ...]
    variant: Variant | None = None
    start: Cell | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What identifies the cell's lines in the records."""
        return (self.arm, self.seed, self.trained_on)

    @property
    def needs(self) -> tuple[str, int, str] | None:
        """Key of the cell that must be done before it: the one that it begins with."""
        return None if self.start is None else self.start.key

    @property
    def folder(self) -> str:
        """Where the cell's files lie: ARM/SEED, and below it `trained_on`, for one of several models."""
        path = f"{self.arm}/{self.seed}"
        return path if self.trained_on in (ALL, NOTHING) else f"{path}/{self.trained_on}"

    @property
    def federated(self) -> bool:
        """Whether adapters travel between sites. Few notes are trained on at their site alone, whatever the start."""
        return self.arm in FEDERATED and not isinstance(self.variant, LowResource)

    @property
    def setting(self) -> SettingName:
        """The setting whose model it is; one that is not in-domain's own is tested in-domain and externally."""
        return "in-domain" if self.variant is None else self.variant.setting

    def tests(self, config: StudyConfig) -> dict[str, SettingName]:
        """The sites that the cell is tested on, each with its setting. What a site kept is of no use elsewhere."""
        match self.variant:
            case LeaveOneOut(site) | LowResource(site):
                return {site: self.setting}
            case Uneven() | Scaling():
                return dict.fromkeys(config.members, self.setting)
        found: dict[str, SettingName] = {
            site.name: "external" if site.external else "in-domain"
            for site in config.sites
            if not site.new and not (self.personal and site.external)
        }
        return {site: setting for site, setting in found.items() if setting in config.settings}

    def dev_sites(self, config: StudyConfig) -> tuple[str, ...]:
        """The sites whose dev notes show how training goes; none in the settings with a model for every variation."""
        match self.variant:
            case None:
                return config.members
            case LeaveOneOut(site):
                return tuple(name for name in config.members if name != site)
        return ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the cell is trained on."""
        return tuple(source for _, sources in self.members for source in sources)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites whose notes the cell is trained on."""
        return sites_behind(self.sources)

    @property
    def left_out(self) -> str | None:
        """The site that it was trained without and is tested on."""
        return self.variant.site if isinstance(self.variant, LeaveOneOut) else None

    @property
    def untrained_start(self) -> bool:
        """Whether it only tests what it begins with, so that it leaves no adapter of its own."""
        return isinstance(self.variant, LowResource) and not self.members

    @property
    def personal(self) -> bool:
        """Whether every site ends with a model of its own, part of which it never sent."""
        return self.arm == "fedsa-lora"


def study_cells(config: StudyConfig) -> list[Cell]:
    """Every cell that is tested somewhere or that another begins with, in the order in which they run.

    Settings that train anew come last; a cell comes after the one that it begins with. Raises ConfigError when there
    is none, or when a setting has nothing to train.
    """
    names = config.members
    cells = [cell for seed in config.seeds for arm in config.arms for cell in _arm_cells(arm, seed, names)]
    anew = [
        cell
        for setting, made in _ANEW.items()
        if setting in config.settings
        for seed in config.seeds
        for cell in made(config, seed)
    ]
    starts = {cell.start for cell in anew}
    # The same question to the same model under another seed has the same answer.
    cells = [
        cell
        for cell in [*cells, *anew]
        if (cell.tests(config) or cell in starts) and (cell.arm not in _SEEDLESS or cell.seed == config.seeds[0])
    ]
    if not cells:
        raise ConfigError(
            f"there is nothing to run: none of the arms {', '.join(config.arms)} has a model to test in the settings "
            f"{', '.join(config.settings)}. Name other arms or settings, or mark a site as external."
        )
    return cells


def _joint_cells(config: StudyConfig, seed: int, names: tuple[str, ...]) -> list[Cell]:
    """The arms that train over several sites, on those named."""
    return [cell for arm in config.arms for cell in _arm_cells(arm, seed, names) if cell.trained_on == ALL]


def _as(cell: Cell, variant: Variant, members: tuple[tuple[str, tuple[Source, ...]], ...]) -> Cell:
    return replace(cell, trained_on=variant.trained_on, variant=variant, members=members)


def _leave_one_out(config: StudyConfig, seed: int) -> Iterator[Cell]:
    for name in config.members:
        others = tuple(other for other in config.members if other != name)
        for cell in _joint_cells(config, seed, others):
            if not cell.personal:
                yield _as(cell, LeaveOneOut(name), cell.members)


def _low_resource(config: StudyConfig, seed: int) -> Iterator[Cell]:
    """From every start, on so many notes; none: the start as it is, where there is one to test."""
    for name in low_resource_starts(config):
        start = None if name in UNTRAINED else _start(config, seed, name)
        arm: ArmName = UNTRAINED[name] if start is None else start.arm
        for site in config.new_sites:
            for count in config.low_resource.notes:
                if not count and name in UNTRAINED_HEADS:
                    continue
                variant = LowResource(site, count, name)
                members = ((site, (FewNotes(site, count, seed),)),) if count else ()
                yield Cell(arm, seed, variant.trained_on, members, variant, start)


def low_resource_starts(config: StudyConfig) -> tuple[str, ...]:
    """Those named, else the federation's and its untrained mark: of the base model, without it of each encoder."""
    named = config.low_resource.starts
    if named is not None:
        return named
    found = [own[0] for arms in _PLAIN if (own := [arm for arm in arms if arm in config.arms])]
    chosen = [arm for arm in found if arm not in BERT] or found
    return (*chosen, *(dict.fromkeys(map(untrained, chosen)) or (BASE,)))


def _start(config: StudyConfig, seed: int, arm: str) -> Cell:
    joint = _joint_cells(config, seed, config.members)
    able: dict[str, Cell] = {cell.arm: cell for cell in joint if not cell.personal}
    if arm in able:
        return able[arm]
    marks = dict.fromkeys((*map(untrained, able), BASE))
    raise ConfigError(
        f"low_resource.starts names '{arm}', which has no one model to begin with: expected one of "
        f"{', '.join((*able, *marks))}."
    )


def _uneven(config: StudyConfig, seed: int) -> Iterator[Cell]:
    for case in config.uneven_cases:
        changed = {change.name for change in case.sites}
        for cell in _joint_cells(config, seed, config.members):
            members = tuple(
                (name, tuple(Changed(one, case.name) if one in changed else one for one in sites_behind(sources)))
                for name, sources in cell.members
            )
            yield _as(cell, Uneven(case.name), members)


def _scaling(config: StudyConfig, seed: int) -> Iterator[Cell]:
    """Arms whose adapters travel and whose model is one for all; a single site is the same however it came about."""
    arms = config.scaling.arms or config.arms
    joint = _joint_cells(config, seed, config.members)
    averaged = [cell for cell in joint if cell.arm in arms and cell.federated and not cell.personal]
    if not averaged:
        raise ConfigError(
            f"the setting scaling has nothing to train: none of {', '.join(arms)} averages one model for all sites. "
            "Add fedmedlora to arms."
        )
    for sites in config.scaling.sites:
        for split in config.scaling.splits if sites > 1 else config.scaling.splits[:1]:
            shards = [Shard(config.members, sites, split, place + 1, seed) for place in range(sites)]
            members = tuple((shard.member, (shard,)) for shard in shards)
            for cell in averaged:
                yield _as(cell, Scaling(sites, split), members)


_ANEW = {"leave-one-out": _leave_one_out, "low-resource": _low_resource, "uneven": _uneven, "scaling": _scaling}


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
    if cell.arm in ("fedsa-lora", "ffa-lora") and cell.federated:
        return find_rule(cell.arm)
    return plus_rule(plus) if cell.arm in PLUS and cell.federated else find_rule(SOLO_RULE)


def plus_rule(plus: PlusConfig) -> Rule:
    """Fed-MedLoRA+ as a study sets it. Raises ConfigError for an unknown published variant."""
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
        lr=(training.federated_lr or training.lr) if cell.federated else training.lr,
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
        train_a=cell.arm != "ffa-lora" or not cell.federated,
        proximal_mu=prox.mu if cell.arm == "fedprox" and cell.federated else 0.0,
    )


def bert_settings(cell: Cell, training: TrainingConfig, bert: BertConfig) -> TrainSettings:
    """Training settings of a cell whose arm trains an encoder: its own where [bert] has them, else [training]'s."""
    return replace(
        cell_settings(cell, training, ProxConfig()),
        lr=bert.rate(whole=cell.arm in BERT_WHOLE, federated=cell.federated),
        warmup_fraction=bert.warmup_fraction,
        head_lr=bert.head_lr,
        head_warmup_fraction=training.warmup_fraction,
        epochs=bert.epochs_per_round or training.epochs_per_round,
        batch_size=bert.batch_size or training.batch_size,
    )


def few_notes_settings(settings: TrainSettings, config: StudyConfig, examples: int) -> TrainSettings:
    """For so many examples of a new site, in one round: the passes of all rounds, more where those are too few steps.

    The same for every start of one kind of model, so that what differs is the start.
    """
    passes = config.low_resource.epochs or config.rounds * settings.epochs
    a_pass = replace(settings, epochs=1).steps(examples)
    return replace(settings, epochs=max(passes, math.ceil(config.low_resource.min_steps / a_pass)))


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


def planned_cells(config: StudyConfig, held: Mapping[str, int]) -> list[Cell]:
    """The study's cells, but for those that ask for more notes than a new site has. held: training notes by site."""
    return [
        cell
        for cell in study_cells(config)
        if not any(isinstance(source, FewNotes) and source.notes > held[source.site] for source in cell.sources)
    ]
