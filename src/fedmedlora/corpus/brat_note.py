"""The one note line in which brat files carry what brat has no line for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from fedmedlora.corpus.document import Json
from fedmedlora.errors import CorpusError

NOTE = re.compile(r"#\d+\tfedmedlora DOCUMENT\t")


@dataclass(frozen=True, slots=True)
class Note:
    """What a document holds beyond brat.

    id: the document's, when it is no file name. entities, relations: brat id → (id, type), for those whose id or type
    brat cannot write.
    """

    id: str | None = None
    patient: str | None = None
    labels: tuple[str, ...] | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    entities: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    relations: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def render_note(note: Note, document_id: str) -> str:
    """The note as a line with its line end, or nothing when it holds nothing.

    Raises CorpusError on what JSON cannot hold.
    """
    held: dict[str, object] = {"id": note.id, "patient": note.patient, "labels": note.labels}
    held = {name: value for name, value in held.items() if value is not None}
    mappings = {"meta": note.meta, "entities": note.entities, "relations": note.relations}
    held.update({name: dict(value) for name, value in mappings.items() if value})
    if not held:
        return ""
    try:
        return f"#1\tfedmedlora DOCUMENT\t{json.dumps(held, ensure_ascii=False, allow_nan=False)}\n"
    except (TypeError, ValueError) as error:
        raise CorpusError(f"document '{document_id}': not writable as JSON ({type(error).__name__}).") from error


def parse_note(line: str, where: str) -> Note:
    """Read a line that `render_note` wrote. Raises CorpusError with `where` (file and line)."""
    damaged = CorpusError(f"{where}: the fedmedlora note is damaged. Delete the line, or restore it from the original.")
    try:
        held: object = json.loads(line.split("\t", 2)[2])
    except ValueError as error:
        raise damaged from error
    if not isinstance(held, dict):
        raise damaged
    texts = [held.get("id"), held.get("patient")]
    labels, meta = held.get("labels"), held.get("meta", {})
    if not all(text is None or isinstance(text, str) for text in texts) or not isinstance(meta, dict):
        raise damaged
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise damaged
    names = [_names(held.get(kind, {})) for kind in ("entities", "relations")]
    if names[0] is None or names[1] is None:
        raise damaged
    return Note(
        texts[0], texts[1], None if labels is None else tuple(labels), cast("dict[str, Json]", meta), names[0], names[1]
    )


def _names(value: object) -> dict[str, tuple[str, str]] | None:
    if not isinstance(value, dict):
        return None
    names: dict[str, tuple[str, str]] = {}
    for key, pair in value.items():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            return None
        names[key] = (pair[0], pair[1])
    return names
