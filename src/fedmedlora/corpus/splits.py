"""Divide documents into train, dev and test: from a file, or seeded by patient."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.files import read_text
from fedmedlora.errors import CorpusError, nearest

PARTS = ("train", "dev", "test")
_SHOWN = 5


def load_split_file(path: Path, corpus: str) -> dict[str, list[str]]:
    """The document ids of each part of one corpus, from JSON `{corpus: {part: [id, …]}}`.

    Raises CorpusError when the file or the corpus is missing, or an id stands twice.
    """
    try:
        held: object = json.loads(read_text(path))
    except ValueError as error:
        raise CorpusError(f"{path}: not JSON. Expected {{corpus: {{part: [ids]}}}}.") from error
    if not isinstance(held, dict):
        raise CorpusError(f"{path}: not an object. Expected {{corpus: {{part: [ids]}}}}.")
    if corpus not in held:
        raise CorpusError(f"{path}: no split for corpus '{corpus}'; {nearest(corpus, held)}")
    parts = held[corpus]
    if not isinstance(parts, dict):
        raise CorpusError(f"{path}: corpus '{corpus}' is not an object of parts ({', '.join(PARTS)}).")
    split: dict[str, list[str]] = {}
    for part, ids in parts.items():
        if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
            raise CorpusError(f"{path}: corpus '{corpus}', part '{part}': expected a list of document ids.")
        split[part] = list(ids)
    check_split(split, where=f"{path}: corpus '{corpus}'")
    return split


def check_split(split: Mapping[str, Sequence[str]], *, where: str = "split") -> None:
    """Raise CorpusError when a document id stands in two parts, or twice in one."""
    part_of: dict[str, str] = {}
    for part, ids in split.items():
        for name in ids:
            if name in part_of:
                raise CorpusError(
                    f"{where}: document '{name}' is in '{part_of[name]}' and in '{part}'. "
                    "A document belongs to one part, once."
                )
            part_of[name] = part


def check_patients(documents: Iterable[Document], split: Mapping[str, Sequence[str]]) -> None:
    """Raise CorpusError when the notes of one patient are in two parts. Documents in no part do not count."""
    part_of = {name: part for part, ids in split.items() for name in ids}
    first: dict[str, tuple[str, str]] = {}
    for document in documents:
        part = part_of.get(document.id)
        if part is None or document.patient is None:
            continue
        known_part, known_id = first.setdefault(document.patient, (part, document.id))
        if known_part != part:
            raise CorpusError(
                f"patient '{document.patient}' is in two parts: document '{known_id}' in '{known_part}', "
                f"'{document.id}' in '{part}'. Keep all notes of a patient in one part."
            )


def select_part(documents: Sequence[Document], split: Mapping[str, Sequence[str]], part: str) -> list[Document]:
    """The documents of one part, in the order of `documents`.

    Raises CorpusError for an unknown or empty part, ids that no document has, an id in two parts, or a patient in two.
    """
    if part not in split:
        raise CorpusError(f"the split has no part '{part}'; {nearest(part, split)}")
    check_split(split)
    wanted = split[part]
    if not wanted:
        raise CorpusError(f"part '{part}' of the split is empty. Give it at least one document id.")
    known = {document.id for document in documents}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        shown = ", ".join(f"'{name}'" for name in unknown[:_SHOWN])
        more = ", …" if len(unknown) > _SHOWN else ""
        raise CorpusError(
            f"part '{part}' of the split names {len(unknown)} of {len(wanted)} documents that the corpus lacks: "
            f"{shown}{more}. Use the split that was made for this corpus."
        )
    check_patients(documents, split)
    chosen = frozenset(wanted)
    return [document for document in documents if document.id in chosen]


def make_split(
    documents: Sequence[Document], seed: int, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> dict[str, list[str]]:
    """A train/dev/test split by patient (by document where no patient is known), the same for the same ids and seed.

    Patients are shuffled, then each goes to the part that is furthest below its share of documents; part by part no
    patient is divided, and the order of `documents` does not matter.

    Raises CorpusError when fractions are not shares of one, or when a part that should hold documents gets none.
    """
    if any(not 0 <= fraction <= 1 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-9:
        raise CorpusError(f"fractions {fractions} are not shares of one. Expected three numbers from 0 to 1, sum 1.")
    groups: dict[tuple[bool, str], list[str]] = {}
    for document in documents:
        key = (document.patient is not None, document.id if document.patient is None else document.patient)
        groups.setdefault(key, []).append(document.id)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    shares = dict(zip(PARTS, fractions, strict=True))
    split: dict[str, list[str]] = {part: [] for part in PARTS}
    # Large patients first (the shuffle decides among equals), so that small ones even the shares out.
    for key in sorted(order, key=lambda group: -len(groups[group])):
        part = max(PARTS, key=lambda name: shares[name] * len(documents) - len(split[name]))
        split[part].extend(groups[key])
    for part in PARTS:
        if shares[part] > 0 and not split[part]:
            raise CorpusError(
                f"part '{part}' would be empty: {len(groups)} patients are too few for the fractions {fractions}. "
                "Add notes, or set the fraction to 0."
            )
        split[part].sort()
    return split
