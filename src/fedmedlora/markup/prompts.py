"""Prompts from versioned files: `prompts/<format>-<task>-<style>-<version>.txt`.

A file holds {labels}, {text} and, for RE, {entity}, each exactly once. The labels are bare names in a brief prompt and
names with descriptions elsewhere. Worked examples stand at the end of the instructions between `[example NAMES]` and
`[end]`; the first whose NAMES (labels, or for RE the entity type) are all asked for is shown, with the tags of labels
that are not asked for taken out. What stands before {text} depends on nothing but task, labels, entity type and style.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import LabelError, nearest

TEMPLATES = MappingProxyType(
    {
        ("ner", "brief"): "span-ner-brief-1",
        ("ner", "full"): "span-ner-full-1",
        ("ner", "json"): "json-ner-1",
        ("re", "brief"): "span-re-brief-1",
        ("re", "full"): "span-re-full-1",
        ("re", "json"): "json-re-1",
    }
)
"""(task, style) → the template's name, which a record notes."""

BARE = "bare"
"""The style without a word, for models that classify the text's tokens and are told nothing."""

_EXAMPLE = re.compile(r"^\[example ([a-z0-9_ ]+)\]\n(.*?)^\[end\]\n", re.MULTILINE | re.DOTALL)
_TAG = re.compile(r"</?([a-z][a-z0-9_]*)>")
_PLACE = re.compile(r"\{(labels|entity)\}")


class Prompt(NamedTuple):
    """The whole prompt is prefix + escaped source + suffix; the completion follows directly."""

    prefix: str
    suffix: str


def ner_prompt(labels: LabelSet, asked: Collection[str], style: str = "brief") -> Prompt:
    """The prompt that asks for entities of the types `asked`.

    style: "brief" (small models), "full" (definitions, rules, an example), "json" (JSON instead of tags) or "bare".
    Raises LabelError when nothing is asked, or something that is no entity type; ValueError on an unknown style.
    """
    names = _ordered(asked, labels.entity_types, "an entity type")
    return Prompt("", "") if style == BARE else _fill(_template("ner", style), labels, names, "")


def re_prompt(labels: LabelSet, entity_type: str, asked: Collection[str], style: str = "brief") -> Prompt:
    """The prompt that asks for the modifiers `asked` of one entity, which the source shows in its own tags.

    Raises LabelError when nothing is asked, or something that may not attach to `entity_type`; ValueError on an
    unknown style.
    """
    if entity_type not in labels.modifiers:
        raise LabelError(f"'{entity_type}' is not an entity type: {nearest(entity_type, labels.entity_types)}")
    names = _ordered(asked, labels.modifiers[entity_type], f"a modifier of '{entity_type}'")
    return Prompt("", "") if style == BARE else _fill(_template("re", style), labels, names, entity_type)


def _ordered(asked: Collection[str], known: tuple[str, ...], what: str) -> list[str]:
    """The labels asked for, in label-set order."""
    if not asked:
        raise LabelError(f"no label is asked for. Ask for at least one; each must be {what}: {', '.join(known)}.")
    for name in sorted(asked):
        if name not in known:
            raise LabelError(f"'{name}' is not {what}: {nearest(name, known)}")
    return [name for name in known if name in asked]


class _Template(NamedTuple):
    instructions: str
    examples: tuple[tuple[frozenset[str], str], ...]
    closing: str
    suffix: str
    bare: bool


@cache
def _template(task: str, style: str) -> _Template:
    name = TEMPLATES.get((task, style))
    if name is None:
        raise ValueError(f"unknown prompt style '{style}': {nearest(style, {known for _, known in TEMPLATES})}")
    raw = files("fedmedlora.markup").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    before, suffix = raw.split("{text}")
    found = list(_EXAMPLE.finditer(before))
    examples = tuple((frozenset(match[1].split()), match[2]) for match in found)
    instructions = before[: found[0].start()] if found else before
    closing = before[found[-1].end() :] if found else ""
    return _Template(instructions, examples, closing, suffix, bare=style == "brief")


def _fill(template: _Template, labels: LabelSet, names: list[str], entity_type: str) -> Prompt:
    described = (f"- {name}: {labels.describe(name)}" for name in names)
    values = {"labels": ", ".join(names) if template.bare else "\n".join(described), "entity": entity_type}
    instructions = _PLACE.sub(lambda match: values[match[1]], template.instructions)
    shown = {*names, entity_type}
    example = next((body for needed, body in template.examples if needed <= shown), "")
    example = _TAG.sub(lambda match: match[0] if match[1] in shown else "", example)
    return Prompt(instructions + example + template.closing, template.suffix)
