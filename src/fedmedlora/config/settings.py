"""The tables of the settings that train anew: `[low_resource]`, `[uneven]` and `[scaling]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedmedlora.config.arms import BASE, UNTRAINED, untrained
from fedmedlora.config.fields import Checked, Count, CountOrZero, Name, Positive, SplitName, TaskName, repeated

HALF = "half"
"""As a site's labels in a case of `[uneven]`: every second entity type, with what may attach to those."""

_CaseName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]*$", max_length=64)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class LowResourceConfig(Checked):
    """The setting low-resource: what k notes of a new site make of a federation's model, and of an untrained one."""

    notes: tuple[CountOrZero, ...] = Field(
        default=(0, 5, 10, 20, 50, 100), min_length=1, description="notes of the new site; 0: the start as it is"
    )
    starts: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="arms whose model is the start, and untrained ones: 'base', of encoders 'bert' (all weights) and "
        "'bert-lora'; none: fedmedlora, else fedmedlora-plus, and 'base'; without these, each encoder's average and "
        "its untrained start",
    )
    epochs: Count | None = Field(
        default=None, description="passes over the notes; none: as many as every arm makes in all rounds"
    )
    min_steps: Count = Field(default=50, description="optimizer steps below which passes are added")

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for key in ("notes", "starts"):
            twice = repeated(getattr(self, key) or ())
            if twice:
                raise ValueError(f"'{key}' names {twice[0]} twice: once is enough")
        return self

    def check_starts(self, arms: Sequence[str]) -> None:
        """Raise ValueError for a start that none of the study's arms leaves, or that is of a model that none trains."""
        kinds = {BASE, *map(untrained, arms)}
        for start in self.starts or ():
            if start in UNTRAINED and start not in kinds:
                such = "bert-fedavg" if start == "bert" else "bert-lora-fedmedlora"
                raise ValueError(
                    f"low_resource.starts names '{start}', an untrained encoder, but no arm trains such a one: add one "
                    f"to 'arms', {such} or another"
                )
            if start not in UNTRAINED and start not in arms:
                raise ValueError(
                    f"low_resource.starts names '{start}', which is not among the study's arms: add it to 'arms'"
                )


class ChangeConfig(Checked):
    """How one site's training annotation differs in a case; its test notes stay as they are.

    Noise falls on different entities: `drop`, `shift` and `swap` are shares of all the site's entities, modifiers
    included.
    """

    name: Name = Field(description="the site")
    tasks: tuple[TaskName, ...] | None = Field(default=None, min_length=1, description="what it trains; none: all")
    labels: tuple[str, ...] | Literal["half"] | None = Field(
        default=None, description="labels annotated here; 'half': every second entity type; none: all of the site's"
    )
    drop: _Share = Field(default=0.0, description="share of entities left out, with their relations")
    shift: _Share = Field(default=0.0, description="share of entities of which one boundary is off by a word")
    swap: _Share = Field(default=0.0, description="share of entities that bear another type")

    @property
    def noise(self) -> float:
        """Share of entities that are annotated wrongly."""
        return self.drop + self.shift + self.swap

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.labels == ():
            raise ValueError("'labels' is empty: name the labels annotated at this site, or leave it out for all")
        if self.tasks is None and self.labels is None and not self.noise:
            raise ValueError("nothing is changed: give 'tasks', 'labels', 'drop', 'shift' or 'swap'")
        # Shares written in decimals may sum to a little over 1.
        if self.noise > 1 + 1e-9:
            raise ValueError(f"drop, shift and swap together are {self.noise:g} of the entities: expected at most 1")
        return self


class CaseConfig(Checked):
    """One case of uneven annotation: which sites' training notes are annotated otherwise, and how."""

    name: _CaseName = Field(description="begins with a letter; letters, digits, '.', '_' and '-'; unique")
    sites: tuple[ChangeConfig, ...] = Field(min_length=1, description="the sites that differ; the others stay")

    @model_validator(mode="after")
    def _one_change_a_site(self) -> Self:
        twice = repeated(tuple(change.name for change in self.sites))
        if twice:
            raise ValueError(f"site '{twice[0]}' is changed twice: put its changes into one table")
        return self


class UnevenConfig(Checked):
    """The setting uneven: every arm that trains one model for all sites is trained anew in each case."""

    cases: tuple[CaseConfig, ...] = Field(default=(), description="none: derived from the sites, and said")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        twice = repeated(tuple(case.name for case in self.cases))
        if twice:
            raise ValueError(f"two cases are called '{twice[0]}': give each case its own name")
        return self


class ScalingConfig(Checked):
    """The setting scaling: all members' training notes, divided into so many sites in so many ways."""

    sites: tuple[Count, ...] = Field(default=(1, 2, 3, 5, 10), min_length=1, description="numbers of sites")
    splits: tuple[SplitName, ...] = Field(
        default=("iid", "style", "label-skew", "size-skew"), min_length=1, description="ways to divide"
    )
    dirichlet: Positive = Field(default=0.5, description="alpha of the skewed splits; the smaller, the more skewed")
    arms: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="federated arms to train; none: all of the study's"
    )

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for key in ("sites", "splits", "arms"):
            twice = repeated(getattr(self, key) or ())
            if twice:
                raise ValueError(f"'{key}' names {twice[0]} twice: once is enough")
        return self


def derived_cases(members: tuple[str, ...], tasks: tuple[TaskName, ...]) -> tuple[CaseConfig, ...]:
    """The cases of a study that names none: each changes one site, the sites in turn."""
    changes: list[tuple[str, dict[str, object]]] = []
    if len(tasks) > 1:
        changes += [("entities-only", {"tasks": ("ner",)}), ("relations-only", {"tasks": ("re",)})]
    changes += [("label-subset", {"labels": HALF}), ("noisy", {"drop": 0.1, "shift": 0.1, "swap": 0.1})]
    return tuple(
        CaseConfig.model_validate({"name": name, "sites": [{"name": members[place % len(members)], **change}]})
        for place, (name, change) in enumerate(changes)
    )
