"""Divergence between sites, counted by hand."""

from __future__ import annotations

import math

import pytest

from fedmedlora.corpus.divergence import jensen_shannon, label_counts, site_divergences, word_counts
from fedmedlora.corpus.document import Document, Entity

NORTH = Document("n", "Pain. No pain!", (Entity("1", "problem", ((0, 4),)), Entity("2", "negation", ((6, 8),))))
SOUTH = Document("s", "pain aspirin", (Entity("1", "problem", ((0, 4),)), Entity("2", "drug", ((5, 12),))))


def test_from_nothing_apart_to_nothing_in_common() -> None:
    assert jensen_shannon({"a": 3, "b": 1}, {"a": 6, "b": 2}) == 0.0
    assert jensen_shannon({"a": 3}, {"b": 8}) == 1.0
    assert jensen_shannon({}, {"b": 8}) is None
    # Half against all on a: the mean is (3/4, 1/4).
    by_hand = (math.log2(0.5 / 0.75) / 2 + math.log2(0.5 / 0.25) / 2) / 2 + math.log2(1 / 0.75) / 2
    assert jensen_shannon({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(by_hand)
    assert jensen_shannon({"a": 1}, {"a": 1, "b": 1}) == pytest.approx(by_hand)


def test_what_is_counted() -> None:
    assert word_counts([NORTH]) == {"pain": 2, "no": 1}
    assert label_counts([NORTH, SOUTH], ("problem", "drug")) == {"problem": 2, "drug": 1}


def test_labels_are_compared_over_types_that_both_annotate() -> None:
    sites = {"north": [NORTH], "south": [SOUTH]}
    types = ("problem", "drug")
    found = site_divergences(sites, {"north": ("problem", "negation"), "south": types}, types)
    assert found["labels"] == {"north": {"south": 0.0}, "south": {"north": 0.0}}
    # All of it problem at north, half at south: the example of jensen_shannon.
    both = site_divergences(sites, {"north": types, "south": types}, types)
    assert both["labels"]["north"]["south"] == pytest.approx(0.311, abs=0.001)  # type: ignore[call-overload, index]
    # Words 2/3 pain, 1/3 no against 1/2 pain, 1/2 aspirin: the means are 7/12, 1/6 and 1/4.
    by_hand = (2 / 3 * math.log2(8 / 7) + 1 / 3 + 1 / 2 * math.log2(6 / 7) + 1 / 2) / 2
    assert found["vocabulary"]["south"]["north"] == pytest.approx(by_hand)  # type: ignore[call-overload, index]


def test_sites_without_a_type_in_common_have_no_label_divergence() -> None:
    found = site_divergences({"a": [NORTH], "b": [SOUTH]}, {"a": ("problem",), "b": ("drug",)}, ("problem", "drug"))
    assert found["labels"] == {"a": {"b": None}, "b": {"a": None}}
