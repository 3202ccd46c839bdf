"""Which labels exist, and which modifier may attach to which entity. Data, not code: a TOML file replaces it.

[entities.problem]
description = "a symptom, sign, finding, diagnosis or disease"
modifiers = ["severity", "negation"]

[modifiers.severity]
description = "how severe it is"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedmedlora.errors import LabelError, nearest

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class LabelSet:
    """The entity types, their modifiers, and a description of each label for prompts.

    modifiers: entity type → the modifier types that may attach to it, in prompt order.
    descriptions: label name → one phrase.
    """

    modifiers: Mapping[str, tuple[str, ...]]
    descriptions: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.modifiers:
            raise LabelError("the label set has no entity type. Add at least one [entities.NAME] table.")
        for name in (*self.modifiers, *self.modifier_types):
            if not _NAME.fullmatch(name):
                raise LabelError(
                    f"label '{name}': expected lower-case letters, digits and '_', beginning with a letter."
                )
        both = set(self.modifiers) & set(self.modifier_types)
        if both:
            raise LabelError(f"{sorted(both)} are both entity and modifier types. Give them different names.")

    @property
    def entity_types(self) -> tuple[str, ...]:
        """Entity types in prompt order."""
        return tuple(self.modifiers)

    @cached_property
    def modifier_types(self) -> tuple[str, ...]:
        """Every modifier type once, in order of first appearance."""
        return tuple(dict.fromkeys(name for names in self.modifiers.values() for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """Entity types, then modifier types."""
        return (*self.entity_types, *self.modifier_types)

    def describe(self, label: str) -> str:
        """The phrase that explains a label in a prompt; its name in words when none was given."""
        return self.descriptions.get(label) or label.replace("_", " ")

    def asked(self, labels: Iterable[str] | None) -> frozenset[str]:
        """The labels a document was annotated for; None means all. Raises LabelError on an unknown one."""
        if labels is None:
            return frozenset(self.names)
        chosen = frozenset(labels)
        for label in sorted(chosen):
            if label not in self.names:
                raise LabelError(f"unknown label '{label}': {nearest(label, self.names)}")
        return chosen

    @classmethod
    def from_toml(cls, path: Path) -> LabelSet:
        """Read a label set. Raises LabelError with the file's name when it is not one."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LabelError(f"{path}: no such label file.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LabelError(f"{path}: not readable as TOML ({error}).") from error
        unknown = set(table) - {"entities", "modifiers"}
        if unknown:
            raise LabelError(f"{path}: unknown table {sorted(unknown)}: expected [entities.*] and [modifiers.*].")
        entities, extra = table.get("entities", {}), table.get("modifiers", {})
        descriptions = {name: str(body.get("description", "")) for name, body in {**extra, **entities}.items()}
        return cls({name: tuple(body.get("modifiers", ())) for name, body in entities.items()}, descriptions)


CLINICAL = LabelSet(
    modifiers={
        "problem": ("severity", "condition", "uncertain", "subject", "bodyloc", "course", "temporal", "negation"),
        "treatment": ("temporal", "negation"),
        "drug": ("strength", "dosage", "duration", "form", "frequency", "route", "temporal", "negation"),
        "test": ("labvalue", "reference_range", "temporal", "negation"),
    },
    descriptions={
        "problem": "a symptom, sign, finding, diagnosis or disease",
        "treatment": "a procedure, operation, therapy or device used to treat",
        "drug": "a medication, substance or drug class",
        "test": "a laboratory test, imaging study, examination or measurement",
        "severity": "how severe it is",
        "condition": "the condition under which it holds",
        "uncertain": "a cue that it is uncertain or only possible",
        "subject": "the person it concerns, when not the patient",
        "bodyloc": "where in the body it is",
        "course": "how it changes over time",
        "temporal": "when or for how long",
        "negation": "a cue that it is absent or denied",
        "strength": "the amount of substance per unit",
        "dosage": "how much is taken at once",
        "duration": "for how long it is taken",
        "form": "the form in which it is given",
        "frequency": "how often it is taken",
        "route": "the way it is given",
        "labvalue": "the value or result that was found",
        "reference_range": "the range counted as normal",
    },
)
"""The paper's schema: 4 entity types, 16 modifiers."""
