"""Made-up notes, gold and predicted, for tests of the notes in a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from report_runs import ARMS, SITES, models, write_run

from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.jsonl import write_jsonl
from fedmedlora.corpus.labels import CLINICAL

KNEE = (
    "No chest pain. Severe pain in left and right knee since Monday, possibly gout.\n"
    "Took aspirin 100 mg twice daily without relief; CT of the abdomen was normal.\n"
)
HOSTILE = (
    "</script><img src=x onerror=alert(1)> & \"quotes\" 'n' <u class=off> pain\u0007\n"
    "الم شديد في الركبة مع fever \u202e nausea\n"
    "cafe\u0301 au lait spots, e\u0301cze\u0301ma 🙂 rash\r\nlast line"
)


def entity(name: str, kind: str, text: str, *words: str) -> Entity:
    """An entity of words that follow each other in the text; several are the parts of a discontinuous one."""
    spans, place = [], 0
    for one in words:
        place = text.index(one, place)
        spans.append((place, place + len(one)))
        place += len(one)
    return Entity(name, kind, tuple(spans))


def knee_gold(name: str = "knee") -> Document:
    entities = (
        entity("T1", "problem", KNEE, "chest pain"),
        entity("T2", "problem", KNEE, "pain in left", "knee"),
        entity("T3", "problem", KNEE, "pain in left and right knee"),
        entity("T4", "problem", KNEE, "gout"),
        entity("T5", "drug", KNEE, "aspirin"),
        entity("T6", "test", KNEE, "CT of the abdomen"),
        entity("M1", "negation", KNEE, "No"),
        entity("M2", "severity", KNEE, "Severe"),
        entity("M3", "temporal", KNEE, "since Monday"),
        entity("M4", "uncertain", KNEE, "possibly"),
        entity("M5", "strength", KNEE, "100 mg"),
        entity("M6", "frequency", KNEE, "twice daily"),
    )
    pairs = (("M1", "T1"), ("M2", "T2"), ("M3", "T2"), ("M4", "T4"), ("M5", "T5"), ("M6", "T5"))
    kinds = {one.id: one.type for one in entities}
    relations = tuple(Relation(f"R{n}", kinds[tail], head, tail) for n, (tail, head) in enumerate(pairs, start=1))
    return Document(name, KNEE, entities, relations)


def knee_entities(name: str = "knee") -> Document:
    """Chest pain found, the first knee cut short, the other not found, gout taken for a drug, relief and CT wrong."""
    found = (
        entity("T1", "problem", KNEE, "chest pain"),
        entity("T2", "problem", KNEE, "pain"),
        entity("T3", "drug", KNEE, "gout"),
        entity("T4", "drug", KNEE, "aspirin"),
        entity("T5", "problem", KNEE, "relief"),
        entity("T6", "problem", KNEE, "abdomen"),
    )
    # The first "pain" is that of the chest.
    after = KNEE.index("pain in left")
    found = tuple(Entity("T2", "problem", ((after, after + 4),)) if one.id == "T2" else one for one in found)
    return Document(name, KNEE, found, meta={"confidence": {"T1": 0.98, "T2": 0.61}})


def knee_modifiers(name: str = "knee") -> Document:
    """Negation and strength right, severity given to the wrong knee, frequency cut short, "normal" made up."""
    gold = knee_gold(name)
    tails = (
        entity("N1", "negation", KNEE, "No"),
        entity("N2", "severity", KNEE, "Severe"),
        entity("N3", "strength", KNEE, "100 mg"),
        entity("N4", "frequency", KNEE, "twice"),
        entity("N5", "labvalue", KNEE, "normal"),
    )
    pairs = (("N1", "T1"), ("N2", "T3"), ("N3", "T5"), ("N4", "T5"), ("N5", "T6"))
    kinds = {one.id: one.type for one in tails}
    heads = tuple(one for one in gold.entities if one.type in CLINICAL.entity_types)
    relations = tuple(Relation(f"R{n}", kinds[tail], head, tail) for n, (tail, head) in enumerate(pairs, start=1))
    return Document(name, KNEE, (*heads, *tails), relations, meta={"confidence": {"R1": 0.9}})


def hostile_gold() -> Document:
    entities = (
        entity("T1", "problem", HOSTILE, "pain"),
        entity("T2", "problem", HOSTILE, "nausea"),
        # Begins in the middle of a letter: at the accent of the first e of "eczema".
        entity("T3", "problem", HOSTILE, "\u0301cze\u0301ma"),
        entity("T4", "problem", HOSTILE, "الم شديد"),
    )
    return Document('<b id="x">&amp;', HOSTILE, entities)


def add_notes(
    folder: Path, golds: Mapping[str, Sequence[Document]], include_text: bool = True, credentialed: int = 0
) -> Path:
    """Give a made-up run the notes of its sites: every model finds what `knee_entities` finds, nothing elsewhere."""
    study = folder / "study.toml"
    allowed = f"\n[report]\ninclude_text = {str(include_text).lower()}\n"
    study.write_text(study.read_text(encoding="utf-8") + allowed, encoding="utf-8")
    counts = {
        site: {"tested": len(held) + credentialed, "credentialed": credentialed, "shown": len(held)}
        for site, held in golds.items()
    }
    sample = {"labels": {name: list(CLINICAL.modifiers[name]) for name in CLINICAL.modifiers}, "sites": counts}
    (folder / "examples").mkdir()
    (folder / "examples" / "sample.json").write_text(json.dumps(sample), encoding="utf-8")
    for site, held in golds.items():
        write_jsonl(held, folder / "examples" / f"{site}.jsonl")
        for arm, trained_on in models():
            below = f"{arm}/0" if trained_on in ("all", "none") else f"{arm}/0/{trained_on}"
            place = folder / "predictions" / below
            for task, answer in (("ner", knee_entities), ("re", knee_modifiers)):
                found = [answer(one.id) if one.text == KNEE else Document(one.id, one.text) for one in held]
                write_jsonl(found, place / f"{site}.{task}.jsonl")
    return folder


def noted_run(folder: Path, include_text: bool = True, credentialed: int = 0) -> Path:
    """A whole made-up run with two ordinary notes at one site and a hostile one at the other."""
    golds = {SITES[0]: [knee_gold(), knee_gold("second")], SITES[1]: [hostile_gold()]}
    return add_notes(write_run(folder, (0,), ARMS), golds, include_text, credentialed)
