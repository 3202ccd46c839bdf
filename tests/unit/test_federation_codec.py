"""The lossy precisions as laws: how far a value may move, what is exact, what is refused."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedmedlora.adapters.state import AdapterState
from fedmedlora.errors import AdapterError
from fedmedlora.federation.codec import (
    BLOCK,
    Lossy,
    decode,
    decode_state,
    encode,
    encode_state,
)
from numpy_sites import SPEC, A, B

BOTH: tuple[Lossy, ...] = ("bfloat16", "int8")
# All magnitudes, denormal numbers included, up to the greatest that may travel.
finite = st.floats(-(2.0**127), 2.0**127, width=32)
# Values of one magnitude, as a tensor's are, in more than one block.
alike = arrays(np.float32, st.integers(1, 3 * BLOCK), elements=st.floats(-1, 1, width=32))
anything = arrays(np.float32, array_shapes(max_dims=3, max_side=7), elements=finite)


def there_and_back(precision: Lossy, array: np.ndarray) -> np.ndarray:
    found = decode(precision, encode(precision, array), array.shape)
    assert (found.dtype, found.shape) == (np.float32, array.shape)
    return found


def bits(array: np.ndarray) -> np.ndarray:
    return array.view(np.uint32)


def test_bfloat16_by_hand() -> None:
    # 1 + 2^-8 lies midway between 1 and 1 + 2^-7: the even one is 1. 1 + 3·2^-8 lies midway between 1 + 2^-7 (odd) and
    # 1 + 2^-6. A hair more than the first goes up. 3.14159 is 1.5708·2, in steps of 2^-6: 3.140625.
    array = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.14159, -0.0], np.float32)
    found = there_and_back("bfloat16", array)
    assert found.tolist() == [1.0, 1 + 2**-6, 1 + 2**-7, 3.140625, 0.0]
    assert np.signbit(found[4])
    # 1.0 is 0x3f80 and -1.5 is 0xbfc0: the lower bytes, then the upper ones.
    payload = encode("bfloat16", np.array([1.0, -1.5], np.float32))
    assert payload[:2] == b"\x80\xc0"
    assert zlib.decompress(payload[2:]) == b"\x3f\xbf"


@given(anything)
def test_bfloat16_is_the_nearest_and_the_even_one_of_two(array: np.ndarray) -> None:
    found = there_and_back("bfloat16", array)
    assert not (bits(found) & 0xFFFF).any()
    exact, rounded = array.astype(np.float64), found.astype(np.float64)
    error = np.abs(rounded - exact)
    for step in (0x10000, -0x10000):
        # The neighbour one step further from zero, or nearer to it; zero has none nearer.
        further = (bits(found).astype(np.int64) + step).clip(0).astype(np.uint32).view(np.float32)
        other = np.abs(further.astype(np.float64) - exact)
        even = (bits(found) >> 16) % 2 == 0
        assert ((error < other) | ((error == other) & even) | (bits(found) << 1 == 0)).all()
    assert (error <= np.maximum(np.abs(exact) * 2.0**-8, 2.0**-134)).all()
    assert np.array_equal(there_and_back("bfloat16", found), found)


def test_int8_by_hand() -> None:
    # The largest magnitude is 1; 1/127 = 0.00787402 lies between the bfloat16 numbers 129/2^14 and 130/2^14, which is
    # 0.00793457, so that is the scale. 1 is 126.03 scales, -0.5 is -63.02, 0.004 is 0.504.
    array = np.array([1.0, -0.5, 0.004, 0.0], np.float32)
    scale = 130 / 2**14
    assert there_and_back("int8", array).tolist() == [126 * scale, -63 * scale, scale, 0.0]
    # 130/2^14 = 1.015625·2^-7 has exponent 120 and mantissa 2: 0x3c02.
    assert encode("int8", array) == b"\x02\x3c" + bytes([126, 256 - 63, 1, 0])
    # 127 needs no rounding: the scale is 1, and -63.5 goes to the even -64.
    assert there_and_back("int8", np.array([127.0, -63.5], np.float32)).tolist() == [127.0, -64.0]


@given(anything | alike)
def test_int8_is_within_half_a_scale_and_its_loss_is_exact(array: np.ndarray) -> None:
    payload = encode("int8", array)
    found = decode("int8", payload, array.shape)
    blocks = -(-array.size // BLOCK)
    halves = np.frombuffer(payload, np.uint16, blocks).astype(np.uint32) << 16
    scales = np.repeat(halves.view(np.float32).astype(np.float64), BLOCK)[: array.size]
    exact, rounded = array.astype(np.float64).reshape(-1), found.astype(np.float64).reshape(-1)
    assert (np.abs(rounded - exact) <= scales / 2).all()
    # No scale is larger than it needs to be, but for one step of a bfloat16.
    largest = [np.abs(exact[start : start + BLOCK]).max() for start in range(0, array.size, BLOCK)]
    assert (halves.view(np.float32) <= np.array(largest) / 127 * (1 + 2.0**-7) + 2.0**-133).all()
    # What float32 says was lost is what was lost.
    assert np.array_equal((array - found).astype(np.float64).reshape(-1), exact - rounded)


@given(st.integers(1, 3 * BLOCK), st.integers(0, 3 * BLOCK - 1))
def test_blocks_of_zeros_are_exact_and_know_nothing_of_their_neighbours(count: int, place: int) -> None:
    array = np.zeros(count, np.float32)
    assert not there_and_back("int8", array).any()
    assert encode("int8", array) == bytes(count + 2 * -(-count // BLOCK))
    if place < count:
        array[place] = 1e30
        found = there_and_back("int8", array)
        assert np.count_nonzero(found) == 1
        assert found[place] == pytest.approx(1e30, rel=1 / 126)


def test_lengths() -> None:
    # 1 byte for each of 300 values and 2 for each of 3 blocks.
    assert len(encode("int8", np.ones((100, 3), np.float32))) == 306
    assert len(encode("int8", np.ones((), np.float32))) == 3
    # Normal numbers take 1 byte, for 7 bits of mantissa and 1 of the exponent, and as many bits as sign and the rest of
    # the exponent need: a sign, and for half-octaves of 2 binades the entropy of 0.24, 0.46, 0.22, 0.06, … is 1.9 bits.
    normal = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    assert 1.3 < len(encode("bfloat16", normal)) / 100_000 < 1.45
    # What cannot be made shorter becomes hardly longer.
    noise = np.random.default_rng(0).integers(0, 0x7F, (100_000, 4), np.uint8).reshape(-1).view(np.float32)
    assert len(encode("bfloat16", noise)) < 2.02 * 100_000


@pytest.mark.parametrize("precision", BOTH)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.2e38])
def test_what_cannot_travel_is_named(precision: Lossy, value: float) -> None:
    spoilt = np.ones((3, 2), np.float32)
    spoilt[1, 1] = value
    with pytest.raises(ValueError, match="1 of its 6 values are NaN, infinite or over 3e"):
        encode(precision, spoilt)
    state = AdapterState({A: np.ones((2, 3), np.float32), B: spoilt}, SPEC)
    with pytest.raises(AdapterError, match=f"tensor '{B}' cannot travel as {precision}: 1 of its 6 values"):
        encode_state(precision, state)


@pytest.mark.parametrize("precision", BOTH)
def test_payloads_of_another_length(precision: Lossy) -> None:
    payload = encode(precision, np.linspace(-3, 3, 300, dtype=np.float32).reshape(5, 60))
    for length in range(len(payload)):
        with pytest.raises(ValueError, match="its payload"):
            decode(precision, payload[:length], (5, 60))
    with pytest.raises(ValueError, match="its payload"):
        decode(precision, payload + b"\0", (5, 60))
    for shape in ((5, 59), (5, 61), (5, 60, 2), (2**30, 2**30)):
        with pytest.raises(ValueError, match="its payload"):
            decode(precision, payload, shape)
    for shape in ((-5, -60), (0, 3)):
        with pytest.raises(ValueError, match="expected sizes of at least 1"):
            decode(precision, payload, shape)


def test_a_stream_that_holds_more_than_it_should_is_not_unpacked() -> None:
    # A thousand zeros for each byte, if it were let.
    bomb = b"\0" * 10 + zlib.compress(bytes(10_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its payload does not hold 10 values"):
            decode("bfloat16", bomb, (10,))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=40), st.integers(1, 30))
def test_any_other_bytes_are_refused_or_read(data: bytes, count: int) -> None:
    for precision in BOTH:
        with contextlib.suppress(ValueError):
            assert decode(precision, data, (count,)).shape == (count,)


@pytest.mark.parametrize("scale", [b"\xc0\x7f", b"\xc0\xff", b"\x80\xbf"], ids=["nan", "-nan", "-1"])
def test_scales_and_codes_that_no_encoder_writes(scale: bytes) -> None:
    with pytest.raises(ValueError, match="scales or codes that no int8 payload has"):
        decode("int8", scale + b"\1\2", (2,))
    with pytest.raises(ValueError, match="scales or codes that no int8 payload has"):
        decode("int8", b"\x80\x3f\1\x80", (2,))


@pytest.mark.parametrize("precision", BOTH)
def test_a_state_arrives_with_its_names_and_shapes(precision: Lossy) -> None:
    state = AdapterState({A: np.full((2, 3), 0.5, np.float32), B: np.zeros((3, 2), np.float32)}, SPEC)
    found = decode_state(encode_state(precision, state))
    assert (found.shapes, found.spec) == (state.shapes, SPEC)
    # 0.5 is a bfloat16. In int8 its scale is 0.5/127 rounded up, 130/2^15, and 126 of them make 0.49988.
    assert found.arrays[A] == pytest.approx(0.5, abs=2**-12 if precision == "int8" else 0)
    assert not found.arrays[B].any()
