"""Agreement of single annotations: equality, overlap, one-to-one matching."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from fedmedlora.scoring import counts
from fedmedlora.scoring.match import Annotation, Region, lenient_matches, maximum_matching, overlap, strict_matches


def drug(*spans: tuple[int, int]) -> Annotation:
    return Annotation("drug", "drug", (spans,))


def relation(head: Region, tail: Region, label: str = "strength", head_type: str = "drug") -> Annotation:
    return Annotation(label, head_type, (head, tail))


def test_overlap_needs_one_shared_code_point() -> None:
    # [0, 5) and [4, 9) share code point 4; [0, 4) and [4, 9) only touch.
    assert overlap(((0, 5),), ((4, 9),))
    assert not overlap(((0, 4),), ((4, 9),))


def test_the_gap_of_a_discontinuous_region_is_not_part_of_it() -> None:
    # [0, 2) + [6, 8): [3, 5) lies in the gap, [5, 7) shares code point 6 with the second piece.
    assert not overlap(((0, 2), (6, 8)), ((3, 5),))
    assert overlap(((0, 2), (6, 8)), ((5, 7),))
    assert overlap(((5, 7),), ((0, 2), (6, 8)))


def test_strict_needs_every_piece_of_a_discontinuous_entity() -> None:
    gold = {drug((0, 2), (6, 8)), drug((10, 12))}
    # The first prediction fills the gap, so its outer boundaries agree and it is still wrong; the second is exact: 1.
    assert strict_matches(gold, {drug((0, 8)), drug((10, 12))}) == {"drug": 1}
    # Both of these are exact: 2.
    assert strict_matches(gold, {drug((0, 2), (6, 8)), drug((10, 12))}) == {"drug": 2}


def test_lenient_matching_is_maximum_where_taking_exact_pairs_first_is_not() -> None:
    # [0, 10] exact with [0, 10] would leave [0, 3] and [7, 10], which do not overlap: 1.
    # [0, 10] with [7, 10] and [0, 3] with [0, 10]: 2.
    gold = {drug((0, 10)), drug((0, 3))}
    assert lenient_matches(gold, {drug((0, 10)), drug((7, 10))}) == {"drug": 2}


def test_lenient_matching_is_maximum_where_left_to_right_greed_is_not() -> None:
    # Gold a=[0, 4], b=[5, 9], c=[10, 14]; predicted p=[3, 6] (a, b), q=[8, 11] (b, c), r=[0, 2] (a).
    # Greedy p-a, q-b leaves r and c apart: 2. Maximum r-a, p-b, q-c: 3.
    gold = {drug((0, 4)), drug((5, 9)), drug((10, 14))}
    assert lenient_matches(gold, {drug((3, 6)), drug((8, 11)), drug((0, 2))}) == {"drug": 3}


def test_many_to_one_counts_once() -> None:
    # Three predictions inside one gold entity: one pair. One prediction over three gold entities: one pair.
    pieces = {drug((0, 3)), drug((4, 6)), drug((7, 9))}
    assert lenient_matches({drug((0, 9))}, pieces) == {"drug": 1}
    assert lenient_matches(pieces, {drug((0, 9))}) == {"drug": 1}


def test_types_must_agree() -> None:
    assert not strict_matches({drug((0, 4))}, {Annotation("test", "test", (((0, 4),),))})
    assert not lenient_matches({drug((0, 4))}, {Annotation("test", "test", (((0, 4),),))})


def test_relations_need_both_ends_and_both_types() -> None:
    gold = {relation(((0, 7),), ((8, 13),))}
    # Equal; then head moved but overlapping; tail moved but overlapping; head apart; tail apart; other head type; other
    # label.
    cases = [
        (relation(((0, 7),), ((8, 13),)), 1, 1),
        (relation(((2, 7),), ((8, 13),)), 0, 1),
        (relation(((0, 7),), ((8, 10),)), 0, 1),
        (relation(((20, 27),), ((8, 13),)), 0, 0),
        (relation(((0, 7),), ((20, 25),)), 0, 0),
        (relation(((0, 7),), ((8, 13),), head_type="treatment"), 0, 0),
        (relation(((0, 7),), ((8, 13),), label="dosage"), 0, 0),
    ]
    for predicted, strict, lenient in cases:
        assert strict_matches(gold, {predicted})["strength"] == strict
        assert lenient_matches(gold, {predicted})["strength"] == lenient


def test_lenient_labels_sum_over_head_types() -> None:
    # negation of a drug and negation of a problem are matched apart, and both count under negation: 2.
    gold = {relation(((0, 4),), ((5, 7),), "negation"), relation(((0, 4),), ((5, 7),), "negation", "problem")}
    assert lenient_matches(gold, gold) == {"negation": 2}


GRAPHS = st.integers(0, 7).flatmap(
    lambda rights: st.lists(
        st.lists(st.integers(0, max(0, rights - 1)), unique=True, max_size=rights).map(sorted), max_size=7
    )
)


@settings(deadline=None)
@given(GRAPHS)
def test_matching_size_equals_scipys(neighbours: list[list[int]]) -> None:
    if not any(neighbours):
        assert maximum_matching(neighbours) == 0
        return
    dense = np.zeros((len(neighbours), 7), dtype=np.int8)
    for left, rights in enumerate(neighbours):
        dense[left, rights] = 1
    expected = maximum_bipartite_matching(csr_matrix(dense), perm_type="column")
    assert maximum_matching(neighbours) == int((expected >= 0).sum())


def test_a_long_chain_of_overlaps_needs_no_recursion() -> None:
    # Prediction i overlaps gold i and i + 1, except that the last meets only its own: a perfect matching of 3,000.
    gold = {drug((4 * i, 4 * i + 3)) for i in range(3000)}
    predicted = {drug((4 * i + 2, 4 * i + 5)) for i in range(3000)}
    assert lenient_matches(gold, predicted) == {"drug": 3000}


def test_worked_examples_in_docstrings() -> None:
    result = doctest.testmod(counts)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_room_loads_without_heavy_libraries() -> None:
    program = (
        "import sys, fedmedlora.scoring\n"
        "heavy = {'torch', 'transformers', 'flwr', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
