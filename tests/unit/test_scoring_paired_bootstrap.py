"""Intervals over several seeds and sites: what can be counted by hand."""

from __future__ import annotations

import pytest

from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.scoring import mean_bootstrap, paired_bootstrap

# One entity a document, always predicted once: right adds (2, 2), wrong adds (0, 2).
RIGHT, WRONG = (2, 2), (0, 2)


def test_a_difference_moves_with_the_documents() -> None:
    # A resample holds the right document 0, 1 or 2 times with probability 1/4, 1/2, 1/4: difference 0, ½, 1.
    found = paired_bootstrap([[[WRONG, WRONG]]], [[[RIGHT, WRONG]]], seed=0)
    assert (found.low, found.point, found.high) == (0.0, 0.5, 1.0)
    assert (found.documents, found.resamples, found.undefined) == (2, 1000, 0)
    back = paired_bootstrap([[[RIGHT, WRONG]]], [[[WRONG, WRONG]]], seed=0)
    assert (back.low, back.point, back.high) == (-1.0, -0.5, 0.0)


def test_systems_that_make_the_same_mistakes_differ_by_nothing() -> None:
    found = paired_bootstrap([[[RIGHT, WRONG, RIGHT]]], [[[RIGHT, WRONG, RIGHT]]], seed=3)
    assert (found.low, found.point, found.high) == (0.0, 0.0, 0.0)


def test_seeds_are_averaged_within_each_resample() -> None:
    # Each seed finds the document that the other misses: their mean is ½ whatever is drawn.
    found = mean_bootstrap([[[RIGHT, WRONG], [WRONG, RIGHT]]], seed=0)
    assert (found.low, found.point, found.high) == (0.5, 0.5, 0.5)
    # Three runs of one system against one of the other, which gets all right.
    found = paired_bootstrap([[[RIGHT, WRONG]] * 3], [[[RIGHT, RIGHT]]], seed=0)
    assert (found.low, found.point, found.high) == (0.0, 0.5, 1.0)


def test_sites_count_alike_and_are_drawn_apart() -> None:
    # Four right documents at one site, one wrong at the other: (1 + 0) / 2, not 4/5.
    found = mean_bootstrap([[[RIGHT] * 4], [[WRONG]]], seed=0)
    assert (found.low, found.point, found.high, found.documents) == (0.5, 0.5, 0.5, 5)
    # Drawn together, the two sites would always move alike and the difference would be 0 in every resample.
    mixed = [RIGHT, WRONG] * 20
    turned = [WRONG, RIGHT] * 20
    apart = mean_bootstrap([[mixed], [turned]], seed=0)
    assert apart.low is not None
    assert apart.high is not None
    # Mean of two independent means of 40 fair coins: standard deviation ½/√80 = 0.056, so 95 % is about ±0.11.
    assert apart.low == pytest.approx(0.39, abs=0.02)
    assert apart.high == pytest.approx(0.61, abs=0.02)


def test_more_documents_than_are_kept_at_once_give_the_same_kind_of_interval() -> None:
    found = mean_bootstrap([[[RIGHT] * 1500]], seed=0)
    assert (found.low, found.high, found.documents) == (1.0, 1.0, 1500)


def test_what_is_not_defined_is_counted() -> None:
    # A document without gold and prediction drawn twice leaves no F1: in a quarter of the resamples.
    found = mean_bootstrap([[[RIGHT, (0, 0)]]], seed=0)
    assert (found.low, found.point, found.high) == (1.0, 1.0, 1.0)
    assert found.undefined == pytest.approx(250, abs=50)
    nothing = paired_bootstrap([[[(0, 0)]]], [[[(0, 0)]]], seed=0)
    assert (nothing.low, nothing.point, nothing.undefined) == (None, None, 1000)
    assert mean_bootstrap([], seed=0).point is None


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(CorpusError, match="same documents of the same sites"):
        paired_bootstrap([[[RIGHT]]], [[[RIGHT, WRONG]]], seed=0)
    with pytest.raises(CorpusError, match="same documents in every one"):
        mean_bootstrap([[[RIGHT], [RIGHT, WRONG]]], seed=0)
    with pytest.raises(ConfigError, match="resamples is 0"):
        mean_bootstrap([[[RIGHT]]], seed=0, resamples=0)
