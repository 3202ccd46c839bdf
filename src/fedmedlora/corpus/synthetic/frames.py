"""The frames of each world and part, by topic and register."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fedmedlora.corpus.synthetic import frames_pretraining, frames_pretraining_more, frames_study
from fedmedlora.corpus.synthetic.realise import Grammar
from fedmedlora.corpus.synthetic.shares import Part, World

GRAMMARS: dict[str, Grammar] = {
    "study": Grammar(frames_study.MACROS, frames_study.CLAUSES),
    "pretraining": Grammar(frames_pretraining.MACROS, frames_pretraining.CLAUSES),
}
"""World → its macros and clauses."""

_TEXTS = {
    "study": (frames_study.FRAMES,),
    "pretraining": (frames_pretraining.FRAMES, frames_pretraining_more.FRAMES),
}


@cache
def pools(world: World, part: Part) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """(topic, register) → frames. In the study world every third frame of a pool belongs to the test part alone."""
    pooled: dict[tuple[str, str], list[str]] = {}
    key = ("", "")
    for line in "\n".join(_TEXTS[world]).splitlines():
        if line.startswith("## "):
            _, topic, register = line.split()
            key = (topic, register)
        elif line.strip():
            pooled.setdefault(key, []).append(line)
    if world == "pretraining":
        return {key: tuple(frames) for key, frames in pooled.items()}
    return {
        key: tuple(frame for rank, frame in enumerate(frames) if (rank % 3 == 2) == (part == "test"))
        for key, frames in pooled.items()
    }
