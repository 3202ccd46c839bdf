"""An adapter's arrays as a Flower record, and back; what comes back is trusted with nothing but its bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.checks import check_layout, check_types, check_update
from fedmedlora.errors import MessageError, RefusedUpdateError
from fedmedlora.federation.codec import Encoded, Lossy, decode

_Arrays = dict[str, npt.NDArray[np.float32]]

_MAGIC, _LONGEST_HEADER = 8, 10_000


def pack_adapter(adapter: AdapterState | Encoded) -> ArrayRecord:
    """The record of a state: NumPy files of float32 arrays, or payloads of a lossy precision."""
    if isinstance(adapter, AdapterState):
        return ArrayRecord({name: Array.from_numpy_ndarray(array) for name, array in adapter.arrays.items()})
    kind, payloads = adapter.precision, adapter.payloads
    return ArrayRecord({name: Array(kind, adapter.shapes[name], _format(kind), payloads[name]) for name in payloads})


def read_adapter(record: ArrayRecord, precision: Lossy | None) -> _Arrays:
    """The arrays that went out in a precision, None being float32. Raises MessageError."""
    if precision is None:
        return _float32(_views(record))
    found: _Arrays = {}
    for place, name in enumerate(record, start=1):
        try:
            found[name] = _decoded(record[name], precision)
        except ValueError as error:
            which = f"array {place} of {len(record)}"
            raise MessageError(
                f"a message's adapter, {which}: {error}. Use one version of fedmedlora everywhere."
            ) from error
    return found


def read_update(record: ArrayRecord, site: str, reference: AdapterState, precision: Lossy | None) -> AdapterState:
    """A site's adapter: as it was sent in float32 (None), or `reference` with the change that was sent added to it.

    Raises RefusedUpdateError, naming site and tensor, for what does not fit `reference`, for a damaged payload and for
    one of another precision; MessageError for what is no array.
    """
    if precision is None:
        arrays = _views(record)
        check_types(site, arrays, reference)
        state = AdapterState(_float32(arrays), reference.spec)
        check_update(site, state, reference)
        return state
    check_layout(site, {name: tuple(record[name].shape) for name in record}, reference)
    changed: _Arrays = {}
    for name, start in reference.arrays.items():
        try:
            array = _decoded(record[name], precision)
        except ValueError as error:
            raise RefusedUpdateError(site, name, f"{error}; use one version of fedmedlora everywhere") from error
        with np.errstate(over="ignore", invalid="ignore"):
            array += start
        # Spares the copy that AdapterState makes of arrays that can still be written to.
        array.setflags(write=False)
        changed[name] = array
    state = AdapterState(changed, reference.spec)
    check_update(site, state, reference)
    return state


def _format(precision: Lossy) -> str:
    """What Flower's `Array` calls the way in which its bytes were made."""
    return f"fedmedlora.{precision}"


def _decoded(array: Array, precision: Lossy) -> npt.NDArray[np.float32]:
    if array.stype != _format(precision):
        raise ValueError(f"it does not come as {precision}, in which it was to be sent")
    return decode(precision, array.data, array.shape)


def _views(record: ArrayRecord) -> dict[str, npt.NDArray[np.generic]]:
    names = enumerate(record, start=1)
    return {name: _view_of(record[name], f"array {place} of {len(record)}") for place, name in names}


def _view_of(array: Array, which: str) -> npt.NDArray[np.generic]:
    """View the bytes of one array. Its header is first checked against their number, lest it ask for memory."""
    try:
        return _view(array.data)
    except Exception as error:
        # NumPy parses the header as Python: what is wrong with it surfaces as almost any kind of exception.
        raise MessageError(
            f"a message's adapter, {which}: its bytes do not make the array that they declare. Send the update again."
        ) from error


def _view(data: bytes) -> npt.NDArray[np.generic]:
    # A field of two or four bytes, as the version has it, says how long the rest of the header is.
    field = 2 if data[6:7] == b"\x01" else 4
    start = _MAGIC + field + int.from_bytes(data[_MAGIC : _MAGIC + field], "little")
    if start > _LONGEST_HEADER:
        raise ValueError("the header is too long")
    shape, fortran, dtype = _header(data[:start])
    wrong = dtype.hasobject or dtype.itemsize == 0 or any(size < 0 for size in shape)
    if wrong or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError("header and bytes do not agree")
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=256)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, order and dtype. NumPy is slow to parse them, and a site's arrays have a few headers between them."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _float32(arrays: Mapping[str, npt.NDArray[np.generic]]) -> _Arrays:
    """The same arrays under the type they must have; raises MessageError where one has not."""
    found: _Arrays = {}
    for place, (name, array) in enumerate(arrays.items(), start=1):
        if array.dtype != np.float32:
            raise MessageError(
                f"a message's adapter, array {place} of {len(arrays)}: dtype {array.dtype}, expected float32."
            )
        found[name] = array.astype(np.float32, copy=False)
    return found
