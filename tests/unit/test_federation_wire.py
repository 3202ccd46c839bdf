from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.serde import message_to_proto, recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.errors import MessageError, RefusedUpdateError, TrainingError
from fedmedlora.federation import wire
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.measure import message_bytes
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate
from numpy_sites import SPEC, A, B, initial_state

UPDATE = SiteUpdate("a", 3, initial_state(), 40, 12, 4, 0.5, 1.25)
FEDERATION = "0123456789abcdef" * 4
PLAN = RoundPlan(3, 5, 7, {"lr": 0.1}, FEDERATION)


def travelled(content: RecordDict) -> RecordDict:
    """The same records after serialising and parsing, as they arrive."""
    return recorddict_from_proto(ProtoRecordDict.FromString(recorddict_to_proto(content).SerializeToString()))


def asked(state: AdapterState, plan: RoundPlan = PLAN) -> RecordDict:
    return wire.pack_round(wire.RoundRequest(state, plan, "float32"))


def unpack_update(content: RecordDict) -> SiteUpdate:
    return wire.unpack_update(content, "a", 3, initial_state())


def numpy_bytes(array: np.ndarray, **options: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def numpy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def magic_header(text: str) -> bytes:
    """A NumPy file of version 1.0 whose header is this text."""
    padded = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


values = st.floats(width=32, allow_nan=True, allow_infinity=True)
states = st.dictionaries(
    st.text(min_size=1, max_size=20),
    arrays(np.float32, array_shapes(max_dims=3, max_side=4), elements=values),
    min_size=1,
    max_size=4,
)
specs = st.builds(
    AdapterSpec,
    rank=st.integers(1, 256),
    alpha=st.floats(1e-3, 1e3),
    targets=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4).map(tuple),
    base_digest=st.text("0123456789abcdef", min_size=64, max_size=64),
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
settings = st.dictionaries(st.text(max_size=8), scalars | st.text(max_size=20), max_size=5)


@given(states, specs, st.integers(0, 9), st.integers(0, 2**63 - 1), settings)
def test_a_round_arrives_as_it_was_sent(
    found: dict[str, np.ndarray], spec: AdapterSpec, round: int, seed: int, options: dict[str, object]
) -> None:
    state, plan = AdapterState(found, spec), RoundPlan(round, 10, seed, options, FEDERATION)  # type: ignore[arg-type]
    arrived = wire.unpack_round(travelled(asked(state, plan)))
    assert arrived == (state, plan, "float32")
    assert {key: type(value) for key, value in arrived.plan.settings.items()} == {
        key: type(value) for key, value in options.items()
    }


def test_registration_and_update_arrive_as_they_were_sent() -> None:
    registration = SiteRegistration("site-1.b", 123, 45, "f" * 64, "e" * 64)
    assert wire.unpack_registration(travelled(wire.pack_registration(registration))) == registration
    assert unpack_update(travelled(wire.pack_update(UPDATE))) == UPDATE
    wire.unpack_request(travelled(wire.pack_request()))


@given(states, specs, st.text(max_size=200), st.binary(max_size=300))
def test_a_message_is_measured_as_it_is_serialised(
    found: dict[str, np.ndarray], spec: AdapterSpec, group: str, data: bytes
) -> None:
    in_process_grid([])
    content = asked(AdapterState(found, spec))
    # Odd records too: no array, no key, no bytes, long bytes.
    content["none"] = ArrayRecord()
    content[""] = ArrayRecord({"": Array("float32", (), "numpy.ndarray", data), "é" * 100: Array("", (1, 0), "", b"")})
    message = Message(content, 5, wire.ROUND, group_id=group)
    assert message_bytes(message) == len(message_to_proto(message).SerializeToString())


def test_the_size_of_a_message_grows_with_its_arrays() -> None:
    in_process_grid([])
    sizes = []
    for columns in (3, 103):
        arrays = {A: np.ones((2, columns), np.float32), B: np.ones((3, 2), np.float32)}
        update = replace(UPDATE, state=AdapterState(arrays, SPEC))
        sizes.append(message_bytes(Message(wire.pack_update(update), 5, wire.ROUND)))
    # 200 more float32 are 800 bytes; lengths and the array's own header may grow by a few.
    assert 800 <= sizes[1] - sizes[0] < 820


def test_a_message_with_an_error_has_a_size_too() -> None:
    in_process_grid([])
    message = Message(Error(2, "why"), reply_to=Message(wire.pack_request(), 5, wire.REGISTER))
    assert message_bytes(message) == len(message_to_proto(message).SerializeToString())


@pytest.mark.parametrize("lacking", ["update", "metrics", "adapter", "spec"])
def test_an_update_that_lacks_a_record(lacking: str) -> None:
    content = wire.pack_update(UPDATE)
    del content[lacking]
    with pytest.raises(MessageError, match=f"lacks the record '{lacking}'"):
        unpack_update(content)


@pytest.mark.parametrize(
    ("record", "key", "value", "reason"),
    [
        ("update", "protocol", 1, "speaks protocol 1, this program 2"),
        ("update", "protocol", True, "'protocol' is missing or no int"),
        ("update", "round", "3", "'round' is missing or no int"),
        ("update", "wire", "int4", "'wire' is none of float32, bfloat16, int8"),
        ("metrics", "loss", 1, "'loss' is missing or no float"),
        ("spec", "targets", "q_proj", "adapter spec cannot be read"),
        ("spec", "rank", -1, "adapter spec cannot be read"),
    ],
)
def test_an_update_with_a_wrong_field(record: str, key: str, value: object, reason: str) -> None:
    content = wire.pack_update(UPDATE)
    content[record][key] = value  # type: ignore[index, assignment]
    with pytest.raises(MessageError, match=reason):
        unpack_update(content)


def test_an_update_of_another_site_or_round_and_a_loss_that_is_no_number() -> None:
    with pytest.raises(RefusedUpdateError, match="bears another site's name"):
        wire.unpack_update(wire.pack_update(UPDATE), "b", 3, initial_state())
    with pytest.raises(RefusedUpdateError, match="its update is of round 3, expected 2"):
        wire.unpack_update(wire.pack_update(UPDATE), "a", 2, initial_state())
    content = wire.pack_update(UPDATE)
    content.metric_records["metrics"]["loss"] = float("nan")
    with pytest.raises(TrainingError, match="the training loss is nan"):
        unpack_update(content)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "array 1 of 2: its bytes do not make the array"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "array 1 of 2: its bytes do not make the array"),
        (numpy_bytes(np.ones((2, 3), np.float32))[:-1], "its bytes do not make the array that they declare"),
        (numpy_bytes(np.ones((2, 3), np.float32)) + b"x", "its bytes do not make the array that they declare"),
        # A pickle would run code when it is loaded, and a header may ask for a terabyte.
        (numpy_bytes(np.array([{}], dtype=object), allow_pickle=True), "its bytes do not make the array"),
        (numpy_header((262144, 1048576)), "its bytes do not make the array"),
        (numpy_header((-2, -3)) + bytes(24), "its bytes do not make the array"),
        # NumPy reads a header as Python, and fails in as many ways as Python.
        *((magic_header(text), "its bytes do not make the array") for text in ("((", "{[]: 1}", "{'descr': 'V0'")),
    ],
)
def test_bytes_that_are_no_array(data: bytes, reason: str) -> None:
    content = wire.pack_update(UPDATE)
    content["adapter"] = ArrayRecord({A: Array("float32", (2, 3), "numpy.ndarray", data), B: Array(np.ones((3, 2)))})
    with pytest.raises(MessageError, match=reason):
        unpack_update(content)


def test_other_dtypes_and_names_are_refused_by_tensor() -> None:
    content = wire.pack_update(UPDATE)
    content["adapter"] = ArrayRecord({A: Array(np.ones((2, 3))), B: Array(np.ones((3, 2), np.float32))})
    with pytest.raises(RefusedUpdateError, match=f"tensor '{A}': its dtype is float64, expected float32"):
        unpack_update(content)
    content["adapter"] = ArrayRecord({"other": Array(np.ones((2, 3), np.float32))})
    with pytest.raises(RefusedUpdateError, match="tensor 'other': it is unknown"):
        unpack_update(content)
    # At the site, where there is nothing to compare with.
    request = asked(initial_state())
    request["adapter"] = ArrayRecord({A: Array(np.ones((2, 3)))})
    with pytest.raises(MessageError, match="array 1 of 1: dtype float64, expected float32"):
        wire.unpack_round(request)


def test_arrays_in_the_other_memory_order_and_byte_order() -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = wire.pack_update(UPDATE)
    column_first = Array("float32", (2, 3), "numpy.ndarray", numpy_bytes(np.asfortranarray(matrix)))
    content["adapter"] = ArrayRecord({A: column_first, B: Array(np.ones((3, 2), np.float32))})
    assert np.array_equal(unpack_update(content).state.arrays[A], matrix)
    swapped = Array("float32", (2, 3), "numpy.ndarray", numpy_bytes(matrix.astype(">f4")))
    content["adapter"] = ArrayRecord({A: swapped, B: Array(np.ones((3, 2), np.float32))})
    with pytest.raises(RefusedUpdateError, match="its dtype is >f4"):
        unpack_update(content)


@pytest.mark.parametrize("text", ["[]", '{"a": [1]}', "{", '{"a": {}}'])
def test_settings_that_are_no_flat_object(text: str) -> None:
    content = asked(initial_state())
    content.config_records["plan"]["settings"] = text
    with pytest.raises(MessageError, match="a plan's settings are not"):
        wire.unpack_round(content)


@pytest.mark.parametrize("digest", ["", "../../etc", FEDERATION[:-1], FEDERATION.upper(), f"{FEDERATION}\n"])
def test_what_becomes_part_of_a_file_name_is_a_digest(digest: str) -> None:
    content = asked(initial_state())
    content.config_records["plan"]["federation"] = digest
    with pytest.raises(MessageError, match="'federation' is no digest"):
        wire.unpack_round(content)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 65, "a\nb", "Mr Smith's ward"])
def test_a_site_name_is_checked_and_never_quoted(name: str) -> None:
    identity = {"protocol": wire.PROTOCOL, "site": name, "base_digest": "f", "data_digest": ""}
    counts = MetricRecord({"target_tokens": 1, "examples": 1})
    with pytest.raises(MessageError, match="a name that is no site name") as caught:
        wire.unpack_registration(RecordDict({"registration": ConfigRecord(identity), "counts": counts}))
    assert not name or len(name) < 3 or name not in str(caught.value)


def test_what_leaves_of_an_error() -> None:
    foreign = wire.unpack_failure(travelled(wire.pack_failure(ValueError("note text"), "a")))
    assert foreign == ("ValueError", "", "a")
    assert str(foreign) == "ValueError"
    ours = wire.unpack_failure(travelled(wire.pack_failure(TrainingError("step 3.\nlr 0.1"), "")))
    assert str(ours) == "TrainingError: step 3. lr 0.1"
    assert wire.unpack_failure(wire.pack_update(UPDATE)) is None
    odd = RecordDict({"failure": ConfigRecord({"kind": "no identifier", "message": "x", "site": ""})})
    assert wire.unpack_failure(odd) == ("MessageError", "the site reported a failure that cannot be read.", "")
