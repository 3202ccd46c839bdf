"""What sets a cell apart from an in-domain one, and where training examples come from. Plain values, no notes.

A **variant** says in which setting a cell stands and which of that setting's models it is; a **source** names a set of
training examples: a site's own, by the site's name, or what a setting makes of sites' notes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import ClassVar, TypeAlias

from fedmedlora.config.fields import SplitName
from fedmedlora.config.models import SettingName

ALL = "all"
WITHOUT = "without-"


@dataclass(frozen=True)
class LeaveOneOut:
    """Trained without a site, tested on it."""

    setting: ClassVar[SettingName] = "leave-one-out"
    site: str

    @property
    def trained_on(self) -> str:
        """What the records call it."""
        return f"{WITHOUT}{self.site}"

    def to_json(self) -> dict[str, str | int]:
        """The records' field `variant`."""
        return {}


@dataclass(frozen=True)
class LowResource:
    """Trained on so many notes of a new site, from an arm's model or an untrained one; 0 notes: that start as it is."""

    setting: ClassVar[SettingName] = "low-resource"
    site: str
    notes: int
    start: str

    @property
    def trained_on(self) -> str:
        """What the records call it."""
        return f"{self.site}+{self.notes}"

    def to_json(self) -> dict[str, str | int]:
        """The records' field `variant`."""
        return asdict(self)


@dataclass(frozen=True)
class Uneven:
    """Trained while some sites annotate otherwise."""

    setting: ClassVar[SettingName] = "uneven"
    case: str

    @property
    def trained_on(self) -> str:
        """What the records call it."""
        return f"{ALL}@{self.case}"

    def to_json(self) -> dict[str, str | int]:
        """The records' field `variant`."""
        return asdict(self)


@dataclass(frozen=True)
class Scaling:
    """Trained on all members' notes, divided into so many sites."""

    setting: ClassVar[SettingName] = "scaling"
    sites: int
    split: SplitName

    @property
    def trained_on(self) -> str:
        """What the records call it."""
        return f"{ALL}@{self.sites}-{self.split}"

    def to_json(self) -> dict[str, str | int]:
        """The records' field `variant`."""
        return asdict(self)


Variant: TypeAlias = LeaveOneOut | LowResource | Uneven | Scaling


@dataclass(frozen=True)
class FewNotes:
    """So many training notes of a new site, drawn by a seed."""

    site: str
    notes: int
    seed: int

    @property
    def name(self) -> str:
        """For records."""
        return f"{self.site}+{self.notes}"


@dataclass(frozen=True)
class Changed:
    """A site's training notes, annotated as a case of the setting uneven has it."""

    site: str
    case: str

    @property
    def name(self) -> str:
        """For records."""
        return f"{self.site}@{self.case}"


@dataclass(frozen=True)
class Shard:
    """One part of several sites' training notes, divided by a seed. number: from 1."""

    pool: tuple[str, ...]
    sites: int
    split: SplitName
    number: int
    seed: int

    @property
    def member(self) -> str:
        """The site that this part makes, in the federation; such names sort as their numbers do."""
        return f"part-{self.number:0{len(str(self.sites))}d}"

    @property
    def name(self) -> str:
        """For records."""
        return f"{self.sites}-{self.split}/{self.member}"


Derived: TypeAlias = FewNotes | Changed | Shard
Source: TypeAlias = str | Derived


def sites_behind(sources: Iterable[Source]) -> tuple[str, ...]:
    """The sites whose notes are in some sources, each once."""
    names: dict[str, None] = {}
    for source in sources:
        match source:
            case str():
                names[source] = None
            case Shard(pool=pool):
                names |= dict.fromkeys(pool)
            case FewNotes(site=site) | Changed(site=site):
                names[site] = None
    return tuple(names)
