"""Encoding: entities to token spans and back, what a prompt shows, what is asked, and what is counted as dropped."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tiny
from fedmedlora.corpus.document import Document, Entity, Relation, Span
from fedmedlora.errors import BaseModelError
from fedmedlora.markup.encode import Encoder, Request
from fedmedlora.markup.grammar import TokenSpan

END, BEGIN = 0, 1


@dataclass
class Pieces:
    """A tokenizer of whatever a pattern matches, tags included; ids are given in order of appearance."""

    pattern: str = r"</?\w+>| ?\w+|[^\w\s]|\s"
    known: dict[str, int] = field(default_factory=lambda: {"<end>": END, "<begin>": BEGIN})

    end_id = END
    begin_ids = (BEGIN,)

    def tokens(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        found = list(re.finditer(self.pattern, text, re.DOTALL))
        return tuple(self.known.setdefault(m[0], len(self.known)) for m in found), tuple(m.span() for m in found)

    def spell(self, ids: tuple[int, ...]) -> str:
        names = {number: piece for piece, number in self.known.items()}
        return "|".join(names[token] for token in ids)


def in_threes() -> Pieces:
    """Tags and newlines whole, all else three characters at a time: boundaries of tokens mean nothing."""
    return Pieces(r"</?[a-z]+>|\n|.{1,3}")


def make_encoder(words: Pieces | None = None, max_tokens: int = 1024) -> Encoder:
    return Encoder(words or Pieces(), tiny.LABELS, max_tokens=max_tokens)


def read(request: Request, completion: tuple[int, ...]) -> list[tuple[str, Span]]:
    state = request.grammar.start()
    for token in completion:
        state = request.grammar.advance(state, token)
    return request.entities(state.spans)


def test_an_entity_and_its_tokens_by_hand() -> None:
    words = Pieces()
    document = tiny.mark("No chest pain today.", ("problem", "chest pain"))
    (example,), dropped = make_encoder(words).ner_examples([document])
    # No[0:2] ␣chest[2:8] ␣pain[8:13] ␣today[13:19] .[19:20]: the entity [3:13] overlaps tokens 1 and 2.
    assert words.spell(example.completion) == "No|<problem>| chest| pain|</problem>| today|.|<end>"
    assert words.spell(example.request.prompt).startswith(
        "<begin>|Mark| entities|:| problem|,| drug|.|\n|Text|:|\n|No|"
    )
    assert words.spell(example.request.prompt).endswith(" today|.|\n|Marked|:|\n")
    assert example.length == len(example.request.prompt) + 8
    # The white space of " chest" is left out again.
    assert read(example.request, example.completion) == [("problem", (3, 13))]
    assert not dropped


class SpaceFirst(Pieces):
    """Puts a space before every text, and says, as some do, that it stands where the first character does."""

    def tokens(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        ids, spans = super().tokens(text)
        return (self.known.setdefault("▁", len(self.known)), *ids), ((0, 1), *spans)


def test_a_space_that_the_tokenizer_puts_first_is_no_character_of_the_text() -> None:
    request = make_encoder(SpaceFirst()).ner_request(Document("d", "chest pain"))
    assert request is not None
    assert request.source.offsets == ((0, 1), (0, 5), (5, 10))
    assert request.entities([TokenSpan("problem", 0, 1)]) == []
    assert request.entities([TokenSpan("problem", 0, 2)]) == [("problem", (0, 5))]
    assert request.entities([TokenSpan("problem", 1, 3)]) == [("problem", (0, 10))]


def test_a_character_of_several_tokens_is_found_by_each() -> None:
    # Two tokens of one character, as bytes of an emoji are.
    class Bytes(Pieces):
        def tokens(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
            ids, spans = super().tokens(text)
            return (ids[0], *ids), (spans[0], *spans)

    request = make_encoder(Bytes(r".")).ner_request(Document("d", "≥x"))
    assert request is not None
    assert request.source.offsets == ((0, 1), (0, 1), (1, 2))
    assert request.entities([TokenSpan("problem", 0, 1), TokenSpan("problem", 1, 2)]) == [("problem", (0, 1))] * 2


def test_an_entity_covers_every_token_that_it_overlaps() -> None:
    # abc def ghi j: [4:5] lies in token 1 = [3:6]; [2:7] overlaps tokens 0 to 2 = [0:9].
    text = "abcdefghij"
    for span, widened in (((4, 5), (3, 6)), ((2, 7), (0, 9)), ((9, 10), (9, 10))):
        document = Document("d", text, (Entity("T1", "drug", (span,)),))
        (example,), dropped = make_encoder(in_threes()).ner_examples([document])
        assert read(example.request, example.completion) == [("drug", widened)]
        assert not dropped
    # abc ␣de fgh: of token 1 the entity [0:4] touches white space only.
    document = Document("d", "abc defgh", (Entity("T1", "drug", ((0, 4),)),))
    (example,), _ = make_encoder(in_threes()).ner_examples([document])
    assert read(example.request, example.completion) == [("drug", (0, 3))]


def test_what_tags_cannot_hold_is_counted_by_reason() -> None:
    text = "abcdefghijklmnopqr"
    spans: list[tuple[str, tuple[Span, ...]]] = [
        ("problem", ((0, 1), (4, 5))),  # discontinuous
        ("problem", ((0, 8),)),  # kept: tokens 0–3
        ("drug", ((6, 10),)),  # crosses it
        ("drug", ((1, 2),)),  # kept: token 0
        ("drug", ((2, 3),)),  # token 0 again, once tokenised
        ("problem", ((9, 11),)),  # kept: token 3
        ("drug", ((10, 14),)),  # crosses it
        ("drug", ((13, 16),)),  # kept: tokens 4 and 5
        ("problem", ((16, 18),)),  # kept: token 5, inside the one before once tokenised
    ]
    entities = tuple(Entity(f"T{number}", kind, places) for number, (kind, places) in enumerate(spans, start=1))
    (example,), dropped = make_encoder(in_threes()).ner_examples([Document("d", text, entities)])
    assert dropped == Counter(
        {
            "ner: discontinuous span": 1,
            "ner: crosses another entity": 2,
            "ner: crosses another entity once tokenised": 1,
        }
    )
    assert sorted(read(example.request, example.completion)) == [
        ("drug", (0, 3)),
        ("drug", (12, 18)),
        ("problem", (0, 9)),
        ("problem", (9, 12)),
        ("problem", (15, 18)),
    ]


def test_entities_that_cross_only_as_tokens() -> None:
    # [0:4] covers tokens 0–1, [5:7] tokens 1–2: apart in the text, crossing as tokens. The earlier stays.
    document = Document("d", "abcdefghi", (Entity("T1", "drug", ((0, 4),)), Entity("T2", "drug", ((5, 7),))))
    (example,), dropped = make_encoder(in_threes()).ner_examples([document])
    assert read(example.request, example.completion) == [("drug", (0, 6))]
    assert dropped == Counter({"ner: crosses another entity once tokenised": 1})


def test_an_example_that_is_too_long_is_counted() -> None:
    document = tiny.mark("No chest pain today.", ("problem", "chest pain"))
    (example,), _ = make_encoder().ner_examples([document])
    assert len(make_encoder(max_tokens=example.length).ner_examples([document]).examples) == 1
    limit = example.length - 1
    assert make_encoder(max_tokens=limit).ner_examples([document]) == (
        [],
        Counter({f"ner: example longer than {limit} tokens": 1}),
    )


def test_an_re_prompt_shows_the_target_and_nothing_else() -> None:
    words = Pieces()
    found = make_encoder(words).re_examples(tiny.notes()[:1])
    (example,) = found.examples
    assert example.request.head == "T1"
    prompt, answer = words.spell(example.request.prompt), words.spell(example.completion)
    assert "Mark| modifiers| of| the| problem|:| severity|,| negation|." in prompt
    assert "The| patient| denies| severe|<problem>| chest| pain|</problem>|." in prompt
    assert answer == "The| patient|<negation>| denies|</negation>|<severity>| severe|</severity>| chest| pain|.|<end>"
    assert read(example.request, example.completion) == [("negation", (12, 18)), ("severity", (19, 25))]


def test_one_span_modifies_two_heads_each_by_its_relation() -> None:
    document = tiny.mark("no fever or cough", ("problem", "fever"), ("problem", "cough"), ("negation", "no"))
    related = tiny.relate(document, ("T1", "T3"), ("T2", "T3"))
    examples, dropped = make_encoder().re_examples([related])
    assert [example.request.head for example in examples] == ["T1", "T2"]
    assert [read(item.request, item.completion) for item in examples] == [[("negation", (0, 2))]] * 2
    # A head without modifiers is asked too: the answer is the plain copy.
    (first, second), _ = make_encoder().re_examples([document])
    assert read(first.request, first.completion) == read(second.request, second.completion) == []
    assert not dropped


def test_every_piece_of_a_discontinuous_target_is_marked_and_a_shared_token_once() -> None:
    words = Pieces()
    head = Entity("T1", "problem", ((0, 4), (14, 18)))
    request = make_encoder(words).re_request(Document("d", "left and right pain", (head,)), head)
    assert request is not None
    # left[0:4] ␣and ␣right ␣pain[14:19]
    assert "|<problem>|left|</problem>| and| right|<problem>| pain|</problem>|\n" in words.spell(request.prompt)
    # Both pieces lie in the token abc: it is marked once.
    words = in_threes()
    head = Entity("T1", "problem", ((0, 1), (2, 3)))
    request = make_encoder(words).re_request(Document("d", "abcdef", (head,)), head)
    assert request is not None
    assert "|<problem>|abc|</problem>|def|\n" in words.spell(request.prompt)
    # The second piece begins in the token that the first ends in.
    head = Entity("T1", "problem", ((0, 4), (5, 7)))
    request = make_encoder(words).re_request(Document("d", "abcdefghi", (head,)), head)
    assert request is not None
    assert "|<problem>|abc|def|ghi|</problem>|\n" in words.spell(request.prompt)


def test_only_annotated_labels_are_asked() -> None:
    document = tiny.notes()[2]
    encoder = make_encoder()

    def narrowed(*labels: str) -> Document:
        return Document(document.id, document.text, document.entities, document.relations, labels=labels)

    (example,), dropped = encoder.ner_examples([narrowed("drug", "dosage")])
    assert example.request.grammar.labels == ("drug",)
    assert [label for label, _ in read(example.request, example.completion)] == ["drug"]
    # What was not asked for is unknown here: neither wrong nor lost.
    assert not dropped
    assert encoder.ner_request(narrowed("severity")) is None
    assert [
        item.request.grammar.labels for item in encoder.re_examples([narrowed("problem", "negation")]).examples
    ] == [
        ("negation",),
        ("negation",),
    ]
    assert encoder.re_examples([narrowed("problem", "drug")]) == ([], Counter())
    assert encoder.re_examples([narrowed("severity")]) == ([], Counter())
    # A modifier is no target.
    assert encoder.re_request(document, document.entity("T3")) is None


def test_a_target_without_a_token_is_counted() -> None:
    # The tokenizer reads letters only, so no token covers the entity.
    words = Pieces(r"</?\w+>|\w+|\n")
    document = tiny.mark("fever ≥ high", ("problem", "≥"))
    assert make_encoder(words).ner_examples([document]).dropped == Counter({"ner: no token covers the entity": 1})
    assert make_encoder(words).re_examples([document]) == ([], Counter({"re: no token covers the entity": 1}))


def test_a_source_that_holds_a_tag_is_escaped() -> None:
    words = Pieces()
    text = "say <problem> fever</problem> here"
    document = Document("d", text, (Entity("T1", "problem", ((14, 19),)), Entity("T2", "drug", ((4, 13),))))
    (example,), dropped = make_encoder(words).ner_examples([document])
    assert r"|<drug>|<|\|problem|>|</drug>|<problem>| fever|</problem>|<|\|/|problem|>| here|<end>" in words.spell(
        example.completion
    )
    assert sorted(read(example.request, example.completion)) == [("drug", (4, 13)), ("problem", (14, 19))]
    assert not dropped


def test_characters_of_several_tokens() -> None:
    encoder = Encoder(tiny.tokenizer("bytes"), tiny.LABELS)
    # An emoji is four byte tokens, e with a combining acute is three: whole characters come back.
    text = "x 😀 cafe\u0301ine"
    document = Document("d", text, (Entity("T1", "problem", ((2, 3),)), Entity("T2", "drug", ((4, 12),))))
    (example,), dropped = encoder.ner_examples([document])
    assert read(example.request, example.completion) == [("problem", (2, 3)), ("drug", (4, 12))]
    assert not dropped
    # One byte of the emoji stands for all of it; a span of white space alone is nothing.
    request = example.request
    inside = [index for index, span in enumerate(request.source.offsets) if span == (2, 3)]
    assert len(inside) >= 2
    assert request.entities([TokenSpan("drug", inside[-1], inside[-1] + 1)]) == [("drug", (2, 3))]


def test_the_prefix_is_the_same_for_all_windows() -> None:
    encoder = make_encoder()
    requests = [encoder.ner_request(document) for document in tiny.notes()]
    prefixes = {request.prompt[: request.prefix_tokens] for request in requests if request is not None}
    assert len(requests) == 6
    assert len(prefixes) == 1


def test_a_tokenizer_that_cannot_spell_tags() -> None:
    # No token at all for a tag; the same tokens for opening and closing; the same for two labels.
    for pattern in (r"[^<>/\w]", r"\w+", r"[<>/]"):
        with pytest.raises(BaseModelError, match=r"cannot spell the tags of label 'problem'|spells two tags alike"):
            _ = make_encoder(Pieces(pattern)).tags


PARTS = (
    "chest",
    "pain.",
    " ",
    "<problem>",
    "</problem>",
    "<\\drug>",
    "<",
    "problem>",
    "/",
    "😀",
    "e\u0301",
    "\n",
    "≥",
    "-x",
)


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=8).map("".join).filter(str.strip),
    st.sampled_from(tiny.SPELLINGS),
    st.lists(st.tuples(st.sampled_from(tiny.LABELS.entity_types), st.integers(0, 20), st.integers(1, 6)), max_size=4),
)
@example("chest", "unigram", [("problem", 0, 1)])  # the space that this tokenizer puts first, of no character's own
def test_what_lies_on_token_boundaries_comes_back(
    text: str, spelling: tiny.Spelling, drawn: list[tuple[str, int, int]]
) -> None:
    encoder = Encoder(tiny.tokenizer(spelling), tiny.LABELS)
    request = encoder.ner_request(Document("d", text))
    assert request is not None
    size = len(request.source.ids)
    spans = [TokenSpan(label, at % size, min(size, at % size + length)) for label, at, length in drawn]
    gold = sorted(set(request.entities(spans)))
    entities = tuple(Entity(f"T{number}", label, (span,)) for number, (label, span) in enumerate(gold))
    (example,), dropped = encoder.ner_examples([Document("d", text, entities)])
    found = sorted(read(example.request, example.completion))
    assert len(found) == len(gold) - dropped.total()
    assert set(found) <= set(gold)


def test_re_relations_of_the_wrong_direction_are_not_modifiers() -> None:
    document = tiny.mark("no fever", ("problem", "fever"), ("negation", "no"))
    wrong = Document(document.id, document.text, document.entities, (Relation("R1", "severity", "T2", "T1"),))
    (example,), _ = make_encoder().re_examples([wrong])
    assert read(example.request, example.completion) == []
