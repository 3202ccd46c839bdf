"""Federations whose adapters travel as bfloat16 or int8: what arrives, what is refused, where training ends."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.errors import MessageError, RefusedUpdateError
from fedmedlora.federation import wire
from fedmedlora.federation.codec import PRECISIONS, Lossy, Precision, encode_state
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.feedback import Losses
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate
from numpy_sites import BASE, SPEC, A, B, NumpySite, initial_state

LOSSY: tuple[Lossy, ...] = ("bfloat16", "int8")
FEDERATION = "0123456789abcdef" * 4
PLAN = RoundPlan(3, 5, 7, {"lr": 0.1}, FEDERATION)
# float32 but no bfloat16: half-way and a little more from 1 to the next.
ODD = 1 + 2**-8 + 2**-12


def travelled(content: RecordDict) -> RecordDict:
    """The same records after serialising and parsing, as they arrive."""
    return recorddict_from_proto(ProtoRecordDict.FromString(recorddict_to_proto(content).SerializeToString()))


def odd_state() -> AdapterState:
    return AdapterState({A: np.full((2, 3), ODD, np.float32), B: np.zeros((3, 2), np.float32)}, SPEC)


def changed_by(value: float) -> AdapterState:
    return AdapterState({name: np.full(shape, value, np.float32) for name, shape in odd_state().shapes.items()}, SPEC)


def update_with(change: AdapterState, precision: Lossy) -> RecordDict:
    update = SiteUpdate("a", 3, odd_state(), 40, 12, 4, 0.5, 1.25)
    return travelled(wire.pack_update(update, encode_state(precision, change)))


def read(content: RecordDict, precision: Precision) -> AdapterState:
    return wire.unpack_update(content, "a", 3, odd_state(), precision).state


@pytest.mark.parametrize("precision", LOSSY)
def test_the_global_adapter_goes_out_as_bfloat16(precision: Lossy) -> None:
    content = travelled(wire.pack_round(wire.RoundRequest(odd_state(), PLAN, precision)))
    found = wire.unpack_round(content)
    assert (found.plan, found.wire) == (PLAN, precision)
    assert found.state.arrays[A].tolist() == [[1 + 2**-7] * 3] * 2
    assert content.array_records["adapter"][A].dtype == "bfloat16"


@pytest.mark.parametrize("precision", LOSSY)
def test_a_change_is_added_to_the_adapter_that_the_coordinator_holds(precision: Lossy) -> None:
    # 2^-10 is a bfloat16; as the largest of its block it is 126 scales of 130·2^-24 in int8.
    expected = 2**-10 if precision == "bfloat16" else 126 * 130 * 2**-24
    found = read(update_with(changed_by(2**-10), precision), precision)
    assert found.arrays[A].tolist() == [[np.float32(ODD) + np.float32(expected)] * 3] * 2
    assert found.arrays[B].tolist() == [[expected] * 2] * 3
    assert found.spec == SPEC


@pytest.mark.parametrize("precision", LOSSY)
@pytest.mark.parametrize("damage", ["short", "empty", "long", "as other", "shape"])
def test_a_payload_that_is_damaged_is_refused_by_site_and_tensor(precision: Lossy, damage: str) -> None:
    content = update_with(changed_by(0.5), precision)
    record = content.array_records["adapter"]
    kind, data, shape = record[A].stype, record[A].data, (2, 3)
    reason = r"its payload (has \d+ bytes, expected|does not hold 6 values)"
    if damage in ("short", "empty", "long"):
        data = {"short": data[:-1], "empty": b"", "long": data + b"\0"}[damage]
    elif damage == "as other":
        kind, reason = "numpy.ndarray", f"it does not come as {precision}"
    else:
        shape, reason = (3, 2), r"its shape is \[3, 2\], expected \[2, 3\]"
    content["adapter"] = ArrayRecord({A: Array(precision, shape, kind, data), B: record[B]})
    with pytest.raises(RefusedUpdateError, match=f"site 'a', tensor '{A}': {reason}"):
        read(content, precision)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        # Bits of NaN, of infinity, and of 2e38, which is a number but too large to be averaged.
        (b"\xc0" * 6 + zlib.compress(b"\x7f" * 6), "6 of its 6 values are NaN"),
        (b"\x80" * 6 + zlib.compress(b"\xff" * 6), "6 of its 6 values are infinite"),
        (b"\x16" + bytes(5) + zlib.compress(b"\x7f" + bytes(5)), r"1 of its 6 values exceed 1e\+38"),
        (b"\xc0" * 6 + b"no stream", "its payload is damaged"),
    ],
)
def test_a_payload_of_other_numbers_is_refused(data: bytes, reason: str) -> None:
    content = update_with(changed_by(0.5), "bfloat16")
    record = content.array_records["adapter"]
    content["adapter"] = ArrayRecord({A: Array("bfloat16", (2, 3), record[A].stype, data), B: record[B]})
    with pytest.raises(RefusedUpdateError, match=f"site 'a', tensor '{A}': {reason}"):
        read(content, "bfloat16")


def test_tensors_that_are_missing_or_unknown_in_a_change_are_refused() -> None:
    content = update_with(AdapterState({A: np.ones((2, 3), np.float32)}, SPEC), "int8")
    with pytest.raises(RefusedUpdateError, match=f"tensor '{B}': it is missing"):
        read(content, "int8")


@pytest.mark.parametrize(("sent", "agreed"), [("int8", "bfloat16"), ("bfloat16", "float32"), ("bfloat16", "int8")])
def test_another_precision_than_agreed_is_refused(sent: Lossy, agreed: Precision) -> None:
    with pytest.raises(RefusedUpdateError, match=f"site 'a': its update comes as {sent}, expected {agreed}"):
        read(update_with(changed_by(0.5), sent), agreed)


def test_a_request_that_a_site_cannot_read() -> None:
    content = wire.pack_round(wire.RoundRequest(odd_state(), PLAN, "int8"))
    record = content.array_records["adapter"]
    content["adapter"] = ArrayRecord({A: record[A], B: Array("bfloat16", (3, 2), record[B].stype, b"\0")})
    with pytest.raises(MessageError, match="array 2 of 2: its payload has 1 bytes, expected more than 6"):
        wire.unpack_round(content)
    content.config_records["plan"]["wire"] = "int4"
    with pytest.raises(MessageError, match="'wire' is none of float32, bfloat16, int8"):
        wire.unpack_round(content)


def run(folder: Path, sites: list[NumpySite], wire: Precision, rounds: int = 3) -> FederationResult:
    plan = FederationPlan(
        tuple(site.site for site in sites), find_rule("fedmedlora"), rounds, 7, {"lr": 0.01}, timeouts=Timeouts(0.0)
    )
    return run_federation(in_process_grid(sites), replace(plan, wire=wire), initial_state(), folder)


@dataclass(frozen=True)
class Spoiler(NumpySite):
    """Returns an update that something happened to."""

    change: Callable[[SiteUpdate], SiteUpdate] = lambda update: update

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        return self.change(super().run_round(state, plan))


def with_nan(update: SiteUpdate) -> SiteUpdate:
    return replace(update, state=AdapterState({**update.state.arrays, A: np.full((2, 3), np.nan, np.float32)}, SPEC))


def of_another_base(update: SiteUpdate) -> SiteUpdate:
    return replace(update, state=AdapterState(update.state.arrays, AdapterSpec(2, 4.0, ("q_proj",), "f" * 64)))


@pytest.mark.parametrize("wire", LOSSY)
@pytest.mark.parametrize(
    ("change", "reason"),
    [(with_nan, f"site 'be', tensor '{A}': 6 of its 6 values are NaN"), (of_another_base, "another base model")],
)
def test_what_cannot_be_sent_is_refused_at_the_site(
    tmp_path: Path, wire: Lossy, change: Callable[[SiteUpdate], SiteUpdate], reason: str
) -> None:
    sites = [NumpySite("alpha", 30, tmp_path), Spoiler("be", 11, tmp_path, change=change)]
    result = run(tmp_path, sites, wire, rounds=1)
    assert result.history[0].weights == {"alpha": 1.0}
    assert reason in result.history[0].refused["be"]


def test_int8_needs_a_folder_at_the_site(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Homeless(NumpySite):
        memory = None  # type: ignore[assignment]

    sites = [NumpySite("alpha", 30, tmp_path), Homeless("be", 11, tmp_path)]
    result = run(tmp_path, sites, "int8", rounds=1)
    assert "site 'be' has no folder, where 8-bit updates keep" in result.history[0].refused["be"]


WIDE = 4096
TARGET = 2.0


@dataclass(frozen=True)
class Quadratic:
    """Gradient descent on half the squared distance to a target of the site's own.

    Sites disagree about one value in every 128, by far; the others they all want to be 2.
    """

    site: str
    apart: float
    memory: Path

    def register(self) -> SiteRegistration:
        return SiteRegistration(self.site, 10, 1, BASE)

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        (name,) = state.arrays
        target = np.full(WIDE, TARGET, np.float32)
        target[::128] = self.apart
        values = state.arrays[name] + np.float32(0.1) * (target - state.arrays[name])
        return SiteUpdate(self.site, plan.round, AdapterState({name: values}, SPEC), 1, 1, 1, 0.0, 0.0)


def distance(folder: Path, wire: Precision) -> float:
    """What is left of the way from 0 to what all sites want, as a share of it, after 60 rounds of a tenth each."""
    sites = [Quadratic("a", 100.0, folder), Quadratic("b", -100.0, folder)]
    plan = FederationPlan(("a", "b"), find_rule("fedmedlora"), 60, 0, timeouts=Timeouts(0.0), wire=wire)
    start = AdapterState({A: np.zeros(WIDE, np.float32)}, SPEC)
    found = run_federation(in_process_grid(sites), plan, start, folder).state.arrays[A]
    wanted = np.arange(WIDE) % 128 != 0
    return float(np.abs(found[wanted] - TARGET).mean()) / TARGET


def test_training_ends_where_it_ends_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {wire: distance(tmp_path / wire, wire) for wire in PRECISIONS}
    # 0.9^60 = 0.0018.
    assert found["float32"] == pytest.approx(0.9**60, rel=0.01)
    # A site begins with a value rounded by up to 2^-8 of it, and cannot see a smaller distance.
    assert found["bfloat16"] < 2**-8
    # Disagreement over 100 makes changes of 10, and a scale of 10/127 = 0.079 of the 2: nothing smaller is ever sent.
    assert found["int8"] < 0.079 / 2
    # Without what the round before lost, a change under half a scale is never sent: steps of a tenth end once 0.39 of
    # the 2 are left.
    monkeypatch.setattr(Losses, "recall", lambda self, round, like: None)
    assert 0.15 < distance(tmp_path / "forgetful", "int8") < 0.25


@pytest.mark.parametrize("wire", PRECISIONS)
def test_bytes_are_those_on_the_message(tmp_path: Path, wire: Precision) -> None:
    sites = [Quadratic("a", 1.0, tmp_path), Quadratic("b", -1.0, tmp_path)]
    plan = FederationPlan(("a", "b"), find_rule("fedmedlora"), 1, 0, timeouts=Timeouts(0.0), wire=wire)
    start = AdapterState({A: np.zeros(WIDE, np.float32)}, SPEC)
    (record,) = run_federation(in_process_grid(sites), plan, start, tmp_path).history
    # 4 bytes a value; 1, and next to nothing for the few exponents there are here; back 1, with 2 for each of 32
    # blocks. The rest of a message is under 1000 bytes.
    out, back = {"float32": (16384, 16384), "bfloat16": (4096, 4096), "int8": (4096, 4096 + 64)}[wire]
    for site in record.sites:
        assert out < site.bytes_sent < out + 1000
        assert back < site.bytes_received < back + 1000 + (512 if wire == "bfloat16" else 0)
