"""Random documents for the round-trip laws."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from fedmedlora.corpus.document import Document, Entity, Json, Relation, Span

# Letters, combining marks, emoji with a joiner, every kind of line end, punctuation that formats use themselves.
ALPHABET = "abcXYZ019 .,;:!?()[]\"'\\/|#*%-\t\n\r\u00a0\u0301\u2028\x85éß漢😀👩\u200d🔬≥"
texts = st.text(alphabet=ALPHABET, max_size=60)
names = st.text(alphabet=string.ascii_letters + string.digits + " :;/.é\t\n#", min_size=1, max_size=8)
json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spans(draw: st.DrawFn, size: int) -> tuple[Span, ...]:
    """One to three spans in order inside a text of `size` > 0 code points; they may touch."""
    pieces = draw(st.integers(1, min(3, size)))
    edges = draw(st.lists(st.integers(0, size), min_size=2 * pieces, max_size=2 * pieces))
    edges.sort()
    found = [(edges[at], edges[at + 1]) for at in range(0, 2 * pieces, 2) if edges[at] < edges[at + 1]]
    return tuple(found) or ((0, size),)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document with anything in it that the record allows."""
    text = draw(texts)
    ids = draw(st.lists(names | st.sampled_from(["T1", "T2", "T3", "R1"]), max_size=4, unique=True)) if text else []
    entities = tuple(Entity(name, draw(names), draw(spans(len(text)))) for name in ids)
    relations: tuple[Relation, ...] = ()
    if ids:
        relation_ids = draw(st.lists(names | st.sampled_from(["R1", "R2", "T1"]), max_size=3, unique=True))
        ends = st.sampled_from(ids)
        relations = tuple(Relation(name, draw(names), draw(ends), draw(ends)) for name in relation_ids)
    meta = draw(
        st.dictionaries(st.sampled_from(["attributes", "equivalences", "events", "x"]), json_values, max_size=2)
    )
    if ids and draw(st.booleans()):
        value = draw(st.sampled_from(["NEG", "a b", True, False, ""]))
        meta["attributes"] = [{"entity": draw(st.sampled_from([*ids, "nobody"])), "name": "POLARITY", "value": value}]
        meta["equivalences"] = [["OR", draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3))]]
    return Document(
        id=draw(names),
        text=text,
        entities=entities,
        relations=relations,
        patient=draw(st.none() | names),
        labels=draw(st.none() | st.lists(names, max_size=2).map(tuple)),
        meta=meta,
    )
