"""Mapping recipes: documents with one corpus's own types enter, documents with the schema's types leave.

What has no place in the schema is counted by reason. A recipe does not know file formats or splits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from fedmedlora.corpus.document import Document, ReadResult
from fedmedlora.corpus.recipes.chia import chia
from fedmedlora.corpus.recipes.iob import bc5cdr, ncbi, psytar
from fedmedlora.corpus.recipes.maccrobat import maccrobat
from fedmedlora.corpus.recipes.phee import phee
from fedmedlora.errors import ConfigError, nearest

Recipe: TypeAlias = Callable[[Iterable[Document]], ReadResult]

RECIPES: Mapping[str, Recipe] = {
    "maccrobat": maccrobat,
    "chia": chia,
    "phee": phee,
    "psytar": psytar,
    "bc5cdr": bc5cdr,
    "ncbi": ncbi,
}


def apply_recipe(name: str, documents: Iterable[Document]) -> ReadResult:
    """Map documents from a corpus's own types to the clinical schema (`labels.CLINICAL`).

    A mapped relation's type is the modifier's, its head the entity, its tail the modifier. `Document.labels` names what
    the corpus annotates: a label outside it is unknown there. Raises ConfigError for an unknown recipe.
    """
    recipe = RECIPES.get(name)
    if recipe is None:
        raise ConfigError(f"unknown recipe '{name}': {nearest(name, RECIPES)}")
    return recipe(documents)
