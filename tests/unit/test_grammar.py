"""The grammar of completions: what may be said, what it means, and that every walk through it ends."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedmedlora.markup.grammar import Choice, SpanGrammar, State, TagTokens, TokenSpan

END = 1
SINGLE = TagTokens({"a": (100,), "b": (101,)}, {"a": (102,), "b": (103,)}, END)
# As a tokenizer spells <a>, <b>, </a>, </b> in pieces: "<" is 50, ">" 51, "/" 52, the names 60 and 61.
PIECES = TagTokens({"a": (50, 60, 51), "b": (50, 61, 51)}, {"a": (50, 52, 60, 51), "b": (50, 52, 61, 51)}, END)
# An ordinary token, or any piece of a tag: the source may hold a "<" or a ">" of its own.
TOKENS = st.sampled_from([2, 3, 4, 50, 51, 52, 60])
LABELS = ("a", "b")


def make_grammar(
    *source: int, tags: TagTokens = SINGLE, labels: tuple[str, ...] = LABELS, depth: int = 3
) -> SpanGrammar:
    return SpanGrammar(source, labels, tags, depth)


def walk(grammar: SpanGrammar, completion: Sequence[int]) -> State:
    state = grammar.start()
    for token in completion:
        state = grammar.advance(state, token)
    return state


def holds_a_tag(source: Sequence[int], tags: TagTokens) -> bool:
    spelled = [*tags.opening.values(), *tags.closing.values()]
    return any(tuple(source[at : at + len(tag)]) == tag for tag in spelled for at in range(len(source)))


@st.composite
def nested_spans(draw: st.DrawFn, size: int) -> list[TokenSpan]:
    """Spans that nest at most three deep, in any order."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, size - 1), st.integers(1, 4)), max_size=6))
    kept: list[TokenSpan] = []
    for label, start, length in drawn:
        new = TokenSpan(label, start, min(size, start + length))
        crosses = any(
            new.start < old.start < new.end < old.end or old.start < new.start < old.end < new.end for old in kept
        )
        deep = any(sum(old.start <= at < old.end for old in [*kept, new]) > 3 for at in range(size))
        if not crosses and not deep:
            kept.append(new)
    return kept


@given(st.data(), st.lists(TOKENS, min_size=1, max_size=9), st.sampled_from([SINGLE, PIECES]))
def test_a_completion_reads_back_and_every_step_of_it_is_a_choice(
    data: st.DataObject, source: list[int], tags: TagTokens
) -> None:
    assume(not holds_a_tag(source, tags))
    grammar = make_grammar(*source, tags=tags)
    spans = data.draw(nested_spans(len(source)))
    completion = grammar.write(spans)
    state = walk(grammar, completion)
    assert state.ended
    assert sorted(state.spans) == sorted(spans)
    for choice, token in zip(grammar.choices(completion), completion, strict=True):
        assert token in choice.tokens
        assert choice.tokens == ((choice.copy,) if choice.copy is not None else ()) + tuple(
            sorted(set(choice.others) - {choice.copy})
        )
    assert grammar.choice(state) == Choice(None, ())


@given(
    st.lists(TOKENS, max_size=7),
    st.sampled_from([SINGLE, PIECES]),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_every_walk_ends_in_spans_that_can_be_written(
    source: list[int], tags: TagTokens, depth: int, seed: int, copies_seldom: bool
) -> None:
    generator = random.Random(seed)
    grammar = make_grammar(*source, tags=tags, depth=depth)
    state, taken = grammar.start(), 0
    while not state.ended:
        choice = grammar.choice(state)
        others = [token for token in choice.tokens if token != choice.copy]
        state = grammar.advance(state, generator.choice(others if others and copies_seldom else choice.tokens))
        taken += 1
        # Before each token and at the end at most `depth` tags close and `depth` open, of at most 4 tokens.
        assert taken <= (len(source) + 1) * (depth * 8 + 1)
    for span in state.spans:
        assert 0 <= span.start < span.end <= len(source)
    if not holds_a_tag(source, tags):
        assert sorted(walk(grammar, grammar.write(state.spans)).spans) == sorted(state.spans)


def all_completions(grammar: SpanGrammar) -> list[tuple[TokenSpan, ...]]:
    ends: list[tuple[TokenSpan, ...]] = []
    open_states = [grammar.start()]
    while open_states:
        state = open_states.pop()
        if state.ended:
            ends.append(state.spans)
        else:
            open_states += [grammar.advance(state, token) for token in grammar.choice(state).tokens]
    return ends


@pytest.mark.parametrize(
    ("size", "depth", "count"),
    [
        # Nothing to mark: only the end.
        (0, 3, 1),
        # One token, one label: marked 0, 1, 2 or 3 times.
        (1, 3, 4),
        # Two tokens, depth 1: nothing, the first, the second, both together, each alone.
        (2, 1, 5),
        # Depth 2: each token marked 0–2 times (9), or both together (inside it each 0–1 times: 4), or both together
        # twice (1).
        (2, 2, 14),
    ],
)
def test_the_grammar_holds_exactly_the_nestings(size: int, depth: int, count: int) -> None:
    found = all_completions(make_grammar(*range(10, 10 + size), labels=("a",), depth=depth))
    assert len(found) == count
    assert len({tuple(sorted(spans)) for spans in found}) == count


def test_written_by_hand() -> None:
    grammar = make_grammar(10, 11, 12)
    spans = [TokenSpan("b", 2, 3), TokenSpan("b", 0, 1), TokenSpan("a", 0, 2), TokenSpan("a", 2, 3)]
    # <a> <b> 10 </b> 11 </a> <a> <b> 12 </b> </a> end: the longer stands outside, then the label that comes first.
    assert grammar.write(spans) == (100, 101, 10, 103, 11, 102, 100, 101, 12, 103, 102, END)
    # At the start: copy or open. Right after opening, nothing may close. At the end of the source, only closing.
    choices = grammar.choices(grammar.write([TokenSpan("a", 2, 3)]))
    assert choices[0] == Choice(10, (100, 101))
    assert choices[3] == Choice(12, (100, 101))
    assert choices[4] == Choice(None, (102,))
    assert choices[5] == Choice(None, (END,))


def test_depth_is_limited() -> None:
    grammar = make_grammar(10, 11, depth=2)
    assert grammar.choice(walk(grammar, (100, 101))) == Choice(10, ())
    assert grammar.choice(walk(grammar, (100, 101, 10))) == Choice(11, (103,))
    with pytest.raises(ValueError, match="nest too deep"):
        grammar.write([TokenSpan("a", 0, 2), TokenSpan("b", 0, 2), TokenSpan("a", 0, 1)])


def test_a_tag_that_begins_like_the_source_is_settled_by_what_follows() -> None:
    grammar = make_grammar(50, 7, tags=PIECES)
    # "<" is both the copy and the beginning of a tag.
    assert grammar.choice(grammar.start()) == Choice(50, (50,))
    assert grammar.choice(grammar.start()).tokens == (50,)
    both = walk(grammar, (50,))
    assert both.at_choice is None
    # Copied: 7 is next, or a tag before it ("<" again). A tag begun: its name.
    assert grammar.choice(both) == Choice(7, (50, 60, 61))
    assert walk(grammar, (50, 7, END)).spans == ()
    marked = walk(grammar, (50, 60, 51, 50, 7, 50, 52, 60, 51, END))
    assert marked.spans == (TokenSpan("a", 0, 2),)


def test_the_copy_wins_what_nothing_settles() -> None:
    # The source holds a whole tag: as text it would have been escaped, as bare tokens it reads as a copy.
    grammar = make_grammar(50, 60, 51, tags=PIECES)
    assert walk(grammar, (50, 60, 51, END)).spans == ()
    # A tag of one token that is also the source's only token. After it: the end (copied), or copy or open (opened).
    same = TagTokens({"a": (5,)}, {"a": (6,)}, END)
    grammar = make_grammar(5, tags=same, labels=("a",))
    assert grammar.choice(walk(grammar, (5,))) == Choice(5, (END, 5))
    assert walk(grammar, (5, END)).spans == ()
    assert walk(grammar, (5, 5, 6, END)).spans == (TokenSpan("a", 0, 1),)


def test_spans_are_known_only_at_the_end() -> None:
    grammar = make_grammar(10)
    completion = grammar.write([TokenSpan("a", 0, 1)])
    assert walk(grammar, completion[:-1]).spans == ()
    assert walk(grammar, completion).spans == (TokenSpan("a", 0, 1),)


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([TokenSpan("a", 0, 2), TokenSpan("b", 1, 3)], "cross"),
        ([TokenSpan("a", 1, 1)], "empty"),
        ([TokenSpan("a", 1, 4)], "beyond the source"),
    ],
)
def test_spans_that_cannot_be_written(spans: list[TokenSpan], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_grammar(10, 11, 12).write(spans)


@pytest.mark.parametrize("wrong", [(11,), (102,), (END,), (100, 102), (10, END), (10, 11, 100), (10, 11, END, END)])
def test_what_the_grammar_does_not_allow(wrong: tuple[int, ...]) -> None:
    # Skipped a token; closed nothing; ended early; closed at once; ended early; opened at the end; went on.
    with pytest.raises(ValueError, match="not allowed here"):
        walk(make_grammar(10, 11), wrong)


def test_special_tokens_of_some_labels() -> None:
    assert PIECES.special(("a",)) == (END, 50, 51, 52, 60)
    assert SINGLE.special(LABELS) == (END, 100, 101, 102, 103)


@given(st.data())
def test_extents_are_where_write_puts_the_tags(data: st.DataObject) -> None:
    words = data.draw(st.integers(1, 6))
    tags = TagTokens({"a": (90, 91), "b": (92,)}, {"a": (93,), "b": (94, 95)}, end=99)
    grammar = SpanGrammar(tuple(range(words)), ("a", "b"), tags)
    state, written = grammar.start(), []
    while not state.ended:
        token = data.draw(st.sampled_from(grammar.choice(state).tokens))
        written.append(token)
        state = grammar.advance(state, token)
    for span, (first, last) in zip(state.spans, grammar.extents(state.spans), strict=True):
        piece = written[first:last]
        assert tuple(piece[: len(tags.opening[span.label])]) == tags.opening[span.label]
        assert tuple(piece[-len(tags.closing[span.label]) :]) == tags.closing[span.label]
        assert [token for token in piece if token < 90] == list(range(span.start, span.end))
