"""What 8-bit updates lose: kept, added to the next, told apart from other federations' and never lost again."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedmedlora.adapters.state import AdapterState
from fedmedlora.errors import AdapterError, RefusedUpdateError
from fedmedlora.federation.codec import Encoded, decode_state
from fedmedlora.federation.feedback import Losses, encode_with_feedback
from numpy_sites import SPEC, A

ONE, OTHER = "1" * 64, "2" * 64


def change(*values: float) -> AdapterState:
    return AdapterState({A: np.array(values, np.float32)}, SPEC)


def sent(encoded: Encoded) -> np.ndarray:
    return decode_state(encoded).arrays[A]


def test_what_a_round_loses_goes_out_with_the_next(tmp_path: Path) -> None:
    losses = Losses(tmp_path, "a", ONE)
    # 127 makes the scale 1: 0.3 is lost in the first round, 0.6 goes out as 1 in the second, -0.1 in the third as 0.
    steps = [sent(encode_with_feedback(change(127.0, 0.3), round, losses)) for round in range(3)]
    assert [step.tolist() for step in steps] == [[127.0, 0.0], [127.0, 1.0], [127.0, 0.0]]
    lost = losses.recall(3, change(0.0, 0.0))
    assert lost is not None
    # Three times 0.3 less the 1 that was sent.
    assert lost.arrays[A] == pytest.approx([0.0, -0.1], abs=1e-6)


@given(st.lists(arrays(np.float32, 5, elements=st.floats(-1, 1, width=32)), min_size=1, max_size=8))
def test_what_was_sent_and_what_is_kept_is_all_there_was(
    tmp_path_factory: pytest.TempPathFactory, changes: list[np.ndarray]
) -> None:
    losses = Losses(tmp_path_factory.mktemp("site"), "a", ONE)
    total = np.zeros(5, np.float64)
    for round, values in enumerate(changes):
        total += sent(encode_with_feedback(change(*values), round, losses))
    kept = losses.recall(len(changes), change(*changes[0]))
    assert kept is not None
    # Exact but for a float32 rounding in each sum of a change and a loss, each under 2^-24 of at most 1.01.
    assert total + kept.arrays[A] == pytest.approx(np.sum(changes, axis=0, dtype=np.float64), abs=8 * 2**-23)


def test_a_round_that_is_asked_for_again_sends_the_same_bits(tmp_path: Path) -> None:
    losses = Losses(tmp_path, "a", ONE)
    for round in range(3):
        first = encode_with_feedback(change(1.0, 0.1 * round), round, losses)
        kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        again = encode_with_feedback(change(1.0, 0.1 * round), round, Losses(tmp_path, "a", ONE))
        assert again.payloads == first.payloads
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_only_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    for round in range(4):
        encode_with_feedback(change(1.0, 0.1), round, Losses(tmp_path, "a", ONE))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"residual-a-{'1' * 16}-{round}.safetensors" for round in (2, 3)]


def test_another_federation_and_another_site_begin_with_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encode_with_feedback(change(127.0, 0.3), 0, Losses(tmp_path, "a", ONE))
    with caplog.at_level(logging.WARNING):
        for losses in (Losses(tmp_path, "a", OTHER), Losses(tmp_path, "b", ONE)):
            assert losses.recall(1, change(0.0, 0.0)) is None
    assert "site 'b', round 2: nothing is kept of the round before" in caplog.text
    assert Losses(tmp_path, "a", ONE).recall(1, change(0.0, 0.0)) is not None


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, damage: str) -> None:
    losses = Losses(tmp_path, "a", ONE)
    encode_with_feedback(change(1.0, 0.1), 0, losses)
    (path,) = tmp_path.iterdir()
    like = change(1.0, 2.0, 3.0)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
        like = change(1.0, 2.0)
    with pytest.raises(AdapterError, match=rf"site 'a', round 2: {path.name} cannot be used .*delete it to go on"):
        encode_with_feedback(like, 1, losses)


def test_a_sum_that_is_too_large_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RefusedUpdateError, match=rf"site 'a', tensor '{A}': 1 of its 2 values exceed 1e\+38"):
        encode_with_feedback(change(2e38, 0.1), 0, Losses(tmp_path, "a", ONE))
    assert list(tmp_path.iterdir()) == []
