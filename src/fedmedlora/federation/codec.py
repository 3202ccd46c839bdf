"""Adapters in fewer bytes: bfloat16, and 8-bit integers that share a scale by blocks. Numpy alone, no message.

A payload is the array's values in C order, without a header: names and shapes travel beside it.

- bfloat16: the upper half of a float32, rounded to nearest, ties to even. The error is at most 2^-8 of a value (2^-134
  where that is less than float32's smallest normal number). First the lower bytes of all values, which are noise; then
  their upper bytes, sign and exponent, in a zlib stream of Huffman codes alone: an adapter's exponents are few, which
  makes it about 1.33 bytes a value.
- int8: each block of 128 consecutive values (the last may be shorter) has a scale s, a block's largest magnitude / 127,
  rounded up to a bfloat16; a value is the integer nearest to x / s. The error is at most s / 2, and a block of zeros is
  exact. First the scales, little-endian, then the integers: 1 + 2/128 bytes a value, which would compress by 3 % and
  are left alone. An integer of 7 bits times a scale of 8 is exact in float32, and so is what it leaves of the value:
  `x − decode(encode(x))` is the loss itself, not an estimate of it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fedmedlora.adapters.state import AdapterSpec, AdapterState, Array, Shapes
from fedmedlora.errors import AdapterError

Lossy: TypeAlias = Literal["bfloat16", "int8"]
Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")

BLOCK = 128
"""Values that share a scale. Part of the format."""

_LEVELS = 127
# Over this, rounding up could reach infinity.
_LARGEST = 3e38
_HALF = np.dtype("<u2")


@dataclass(frozen=True)
class Encoded:
    """A state's arrays in a lossy precision, by name; `decode_state` reads them back."""

    precision: Lossy
    spec: AdapterSpec
    shapes: Shapes
    payloads: Mapping[str, bytes]


@dataclass(frozen=True)
class _Codec:
    """The way there and back on flat arrays; back, with the number of values."""

    encode: Callable[[Array], bytes]
    decode: Callable[[bytes, int], Array]


def encode(precision: Lossy, array: Array) -> bytes:
    """The payload of one array. Raises ValueError for values that are NaN, infinite or over 3e38."""
    # A NaN fails this comparison too.
    fit = np.abs(array) <= _LARGEST
    if not fit.all():
        raise ValueError(f"{np.count_nonzero(~fit)} of its {array.size} values are NaN, infinite or over {_LARGEST:g}")
    return _CODECS[precision].encode(array.reshape(-1))


def decode(precision: Lossy, data: bytes, shape: Sequence[int]) -> Array:
    """A fresh array out of its payload. Raises ValueError where the bytes cannot be those of that shape.

    Memory stays in proportion to the payload's own length, whatever it claims to hold. A damaged one may still decode
    to other numbers, NaN and infinity included.
    """
    if any(size < 1 for size in shape):
        raise ValueError(f"its shape is {list(shape)}, expected sizes of at least 1")
    return _CODECS[precision].decode(data, math.prod(shape)).reshape(shape)


def encode_state(precision: Lossy, state: AdapterState) -> Encoded:
    """Every array of a state. Raises AdapterError, naming the tensor, for values that `encode` refuses."""
    payloads = {}
    for name, array in state.arrays.items():
        try:
            payloads[name] = encode(precision, array)
        except ValueError as error:
            raise AdapterError(f"tensor '{name}' cannot travel as {precision}: {error}. Check the training.") from error
    return Encoded(precision, state.spec, state.shapes, payloads)


def decode_state(encoded: Encoded) -> AdapterState:
    """The state that whoever receives `encoded` will read."""
    arrays = {n: decode(encoded.precision, encoded.payloads[n], shape) for n, shape in encoded.shapes.items()}
    for array in arrays.values():
        # Spares the copy that AdapterState makes of arrays that can still be written to.
        array.setflags(write=False)
    return AdapterState(arrays, encoded.spec)


def _encode_bfloat16(values: Array) -> bytes:
    bits = values.astype("<f4", copy=False).view("<u4")
    # Half of what is cut off, less one where the last bit that stays is even: then a tie rounds down to it.
    rounded = bits + (((bits >> 16) & 1) + 0x7FFF)
    halves = (rounded >> 16).astype(_HALF).view(np.uint8)
    packer = zlib.compressobj(level=1, strategy=zlib.Z_HUFFMAN_ONLY)
    return b"".join([halves[::2].tobytes(), packer.compress(halves[1::2].tobytes()), packer.flush()])


def _decode_bfloat16(data: bytes, count: int) -> Array:
    if len(data) <= count:
        raise ValueError(f"its payload has {len(data)} bytes, expected more than {count}")
    unpacker = zlib.decompressobj()
    try:
        # One more than there should be, so that a stream which holds more is told from one that ends.
        upper = unpacker.decompress(memoryview(data)[count:], count + 1)
    except zlib.error as error:
        raise ValueError("its payload is damaged") from error
    if len(upper) != count or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"its payload does not hold {count} values")
    halves = np.empty(2 * count, np.uint8)
    halves[::2] = np.frombuffer(data, np.uint8, count)
    halves[1::2] = np.frombuffer(upper, np.uint8)
    return _widened(halves.view(_HALF))


def _encode_int8(values: Array) -> bytes:
    padded = np.zeros(_blocks(values.size) * BLOCK, np.float64)
    padded[: values.size] = values
    blocks = padded.reshape(-1, BLOCK)
    halves = _rounded_up(np.abs(blocks).max(axis=1) / _LEVELS)
    scales = _widened(halves).astype(np.float64)
    # In float64 the quotient lies on the right side of every half, so that no error exceeds half a scale.
    blocks /= np.where(scales > 0, scales, 1.0)[:, None]
    codes = np.rint(blocks).astype(np.int8).reshape(-1)[: values.size]
    return halves.tobytes() + codes.tobytes()


def _decode_int8(data: bytes, count: int) -> Array:
    blocks = _blocks(count)
    expected = blocks * _HALF.itemsize + count
    if len(data) != expected:
        raise ValueError(f"its payload has {len(data)} bytes, expected {expected}")
    scales = _widened(np.frombuffer(data, _HALF, blocks))
    codes = np.frombuffer(data, np.int8, count, offset=blocks * _HALF.itemsize)
    # A NaN fails this comparison too.
    if not (scales >= 0).all() or (codes < -_LEVELS).any():
        raise ValueError("its payload holds scales or codes that no int8 payload has")
    with np.errstate(over="ignore", invalid="ignore"):
        return codes.astype(np.float32) * np.repeat(scales, BLOCK)[:count]


def _rounded_up(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """The bits of the least bfloat16 that is no less, of values that are not negative."""
    bits = values.astype("<f4").view("<u4") >> 16
    short = _widened(bits.astype(_HALF)) < values
    return (bits + short).astype(_HALF)


def _widened(halves: npt.NDArray[np.uint16]) -> Array:
    """bfloat16 bits as float32 values."""
    return (halves.astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)


def _blocks(count: int) -> int:
    return -(-count // BLOCK)


_CODECS: Mapping[Lossy, _Codec] = MappingProxyType(
    {
        "bfloat16": _Codec(_encode_bfloat16, _decode_bfloat16),
        "int8": _Codec(_encode_int8, _decode_int8),
    }
)
