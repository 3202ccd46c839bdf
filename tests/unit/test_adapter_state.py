"""AdapterState: immutability, digest, arithmetic, bytes, folders in PEFT's layout."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from fedmedlora.adapters.state import (
    CONFIG_FILE,
    SPEC_FILE,
    TENSOR_FILE,
    AdapterSpec,
    AdapterState,
    add,
    from_bytes,
    load_state,
    require_same_shape,
    save_state,
    subtract,
    to_bytes,
)
from fedmedlora.errors import AdapterError

A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
SPEC = AdapterSpec(rank=2, alpha=8, targets=("q_proj",), base_digest="ab" * 32)


def make_state(seed: int = 0, spec: AdapterSpec = SPEC) -> AdapterState:
    """Rank 2 on a 3 → 4 projection: A is 2 × 3, B is 4 × 2, 14 values."""
    draw = np.random.default_rng(seed)
    return AdapterState(
        {B: draw.normal(size=(4, 2)).astype(np.float32), A: draw.normal(size=(2, 3)).astype(np.float32)}, spec
    )


def test_counts_and_order() -> None:
    state = make_state()
    # 2·3 + 4·2 = 14 values, 4 bytes each = 56.
    assert (state.parameters, state.nbytes) == (14, 56)
    assert list(state.arrays) == [A, B]
    assert state.shapes == {A: (2, 3), B: (4, 2)}


def test_a_state_does_not_change_when_its_maker_writes() -> None:
    mine = np.zeros((2, 3), np.float32)
    state = AdapterState({A: mine}, SPEC)
    before = state.digest
    mine[0, 0] = 1
    assert state.arrays[A][0, 0] == 0
    assert AdapterState(state.arrays, SPEC).digest == before
    assert mine.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        state.arrays[A][0, 0] = 1
    with pytest.raises(TypeError):
        state.arrays[A] = mine  # type: ignore[index]


def test_read_only_arrays_are_shared_and_others_made_contiguous() -> None:
    state = make_state()
    assert AdapterState(state.arrays, SPEC).arrays[A] is state.arrays[A]
    turned = AdapterState({A: state.arrays[A].T}, SPEC)
    assert turned.arrays[A].flags.c_contiguous
    assert turned.arrays[A].shape == (3, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_other_dtypes_are_refused(dtype: type) -> None:
    with pytest.raises(AdapterError, match=f"tensor '{A}' is {np.dtype(dtype)}; expected a float32"):
        AdapterState({A: np.zeros((2, 3), dtype)}, SPEC)


def test_empty_states_are_refused() -> None:
    with pytest.raises(AdapterError, match="has none"):
        AdapterState({}, SPEC)
    with pytest.raises(AdapterError, match=r"shape \[0, 3\] holds no value"):
        AdapterState({A: np.zeros((0, 3), np.float32)}, SPEC)
    with pytest.raises(AdapterError, match="has none"):
        make_state().select(lambda name: "embed" in name)


def test_select_keeps_names() -> None:
    assert list(make_state().select(lambda name: "lora_A" in name).arrays) == [A]


def test_digest_sees_spec_names_shapes_and_bits() -> None:
    state = make_state()
    assert state == make_state()
    assert hash(state) == hash(make_state())
    assert len(state.digest) == 64
    flat = {A: state.arrays[A].reshape(3, 2), B: state.arrays[B]}
    minus_zero = AdapterState({A: np.array([[-0.0]], np.float32)}, SPEC)
    others = [
        make_state(1),
        make_state(spec=AdapterSpec(2, 16, ("q_proj",), "ab" * 32)),
        make_state(spec=AdapterSpec(2, 8, ("q_proj",), "cd" * 32)),
        AdapterState(flat, SPEC),
        AdapterState({A: state.arrays[B], B: state.arrays[A]}, SPEC),
    ]
    assert all(state != other for other in others)
    assert minus_zero != AdapterState({A: np.array([[0.0]], np.float32)}, SPEC)
    assert state != "adapter"


def test_digest_is_stable() -> None:
    # A fixed value: a change here would orphan every saved adapter.
    state = AdapterState({A: np.array([[1.0, -2.0]], np.float32)}, AdapterSpec(1, 2, ("q_proj",), "00"))
    assert state.digest == "89b0eb68b1d2ad0aff99a71dbc9b614e992ae966eb1d6de9f79f25110ea151a9"


def test_pickling_keeps_a_state() -> None:
    copy = pickle.loads(pickle.dumps(make_state()))
    assert copy == make_state()
    assert not copy.arrays[A].flags.writeable


def test_targets_are_a_set() -> None:
    assert AdapterSpec(2, 8, ("v_proj", "q_proj", "q_proj"), "ab") == AdapterSpec(2, 8, ("q_proj", "v_proj"), "ab")


def test_spec_json_round_trip() -> None:
    assert AdapterSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": -1}, "rank is -1"),
        ({"rank": "2"}, "'rank' is missing or not an integer"),
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"alpha": None}, "'alpha' is missing"),
        ({"targets": []}, "targets are empty"),
        ({"targets": "q_proj"}, "'targets' is missing or not a list"),
        ({"base_digest": ""}, "digest is empty"),
        ({"base_digest": 3}, "'base_digest' is missing"),
    ],
)
def test_bad_specs(change: dict[str, object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        AdapterSpec.from_json(SPEC.to_json() | change)
    with pytest.raises(AdapterError, match="JSON object"):
        AdapterSpec.from_json(None)


def test_subtract_and_add_by_hand() -> None:
    first = AdapterState({A: np.array([[3.0, 5.0]], np.float32)}, SPEC)
    second = AdapterState({A: np.array([[1.0, 7.0]], np.float32)}, SPEC)
    # 3 − 1 = 2, 5 − 7 = −2; and back: 1 + 2 = 3, 7 − 2 = 5.
    change = subtract(first, second)
    assert change.arrays[A].tolist() == [[2.0, -2.0]]
    assert add(second, change) == first


def test_states_that_do_not_fit() -> None:
    state = make_state()
    with pytest.raises(AdapterError, match=r"lora_B\.weight' does not fit: it is missing"):
        require_same_shape(state, AdapterState({A: state.arrays[A]}, SPEC))
    with pytest.raises(AdapterError, match=r"lora_B\.weight' does not fit: it is unknown"):
        subtract(AdapterState({A: state.arrays[A]}, SPEC), state)
    with pytest.raises(AdapterError, match=r"lora_A.weight' does not fit: its shape is \[3, 2\], expected \[2, 3\]"):
        subtract(state, AdapterState({A: state.arrays[A].T, B: state.arrays[B]}, SPEC))
    with pytest.raises(AdapterError, match="its rank is 4, expected 2"):
        add(state, make_state(spec=AdapterSpec(4, 8, ("q_proj",), "ab" * 32)))
    with pytest.raises(AdapterError, match="its target modules is v_proj, expected q_proj"):
        add(state, make_state(spec=AdapterSpec(2, 8, ("v_proj",), "ab" * 32)))


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)),
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=20),
)
def test_bytes_round_trip_any_values(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], name: str) -> None:
    # NaN, infinities and subnormals included: equality is of bits.
    state = AdapterState({name: values}, SPEC)
    data = to_bytes(state)
    again = from_bytes(data)
    assert again == state
    assert again.spec == SPEC
    assert to_bytes(again) == data


def test_bytes_do_not_depend_on_the_order_of_names() -> None:
    state = make_state()
    assert to_bytes(AdapterState(dict(reversed(list(state.arrays.items()))), SPEC)) == to_bytes(state)


def test_every_flipped_byte_is_found() -> None:
    data = to_bytes(make_state())
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x04
        with pytest.raises(AdapterError):
            from_bytes(bytes(damaged))


def test_every_cut_is_found() -> None:
    data = to_bytes(make_state())
    for length in range(len(data)):
        with pytest.raises(AdapterError, match="not readable as float32 safetensors"):
            from_bytes(data[:length])


def test_foreign_bytes() -> None:
    with pytest.raises(AdapterError, match="no fedmedlora metadata"):
        from_bytes(save({A: np.zeros((2, 3), np.float32)}))
    with pytest.raises(AdapterError, match="no fedmedlora metadata"):
        from_bytes(save({A: np.zeros((2, 3), np.float32)}, metadata={"fedmedlora": "[]"}))


def test_folder_round_trip(tmp_path: Path) -> None:
    state = make_state()
    folder = tmp_path / "adapters" / "federated" / "1"
    save_state(state, folder, "models/base")
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, TENSOR_FILE, SPEC_FILE]
    assert load_state(folder, SPEC.base_digest) == state
    assert load_state(folder, None) == state
    config = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (2, 8, ["q_proj"])
    assert (config["peft_type"], config["task_type"]) == ("LORA", "CAUSAL_LM")
    assert config["base_model_name_or_path"] == "models/base"
    assert config["inference_mode"] is True


def test_saving_again_replaces_the_adapter_and_nothing_else(tmp_path: Path) -> None:
    save_state(make_state(0), tmp_path, "base")
    (tmp_path / "README.md").write_text("kept", "utf-8")
    save_state(make_state(1), tmp_path, "base")
    assert load_state(tmp_path, None) == make_state(1)
    assert (tmp_path / "README.md").read_text("utf-8") == "kept"


def test_an_interrupted_save_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(make_state(0), tmp_path, "base")

    def stop(path: Path, data: bytes | str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fedmedlora.adapters.state.write_atomic", stop)
    with pytest.raises(KeyboardInterrupt):
        save_state(make_state(1), tmp_path, "base")
    with pytest.raises(AdapterError, match="incomplete if saving was interrupted"):
        load_state(tmp_path, None)


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    save_state(make_state(), tmp_path, "models/base-a")
    with pytest.raises(AdapterError, match=r"another base model \(digest abab.*models/base-a.*use that model"):
        load_state(tmp_path, "cd" * 32)


def test_missing_and_damaged_folders(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no such adapter folder"):
        load_state(tmp_path / "none", None)
    for name in (CONFIG_FILE, TENSOR_FILE, SPEC_FILE):
        folder = tmp_path / name
        save_state(make_state(), folder, "base")
        (folder / name).unlink()
        with pytest.raises(AdapterError, match=f"{name}: cannot be read"):
            load_state(folder, None)
        save_state(make_state(), folder, "base")
        (folder / name).write_bytes(b"\xff[")
        with pytest.raises(AdapterError, match=f"{name}: not "):
            load_state(folder, None)
    for name in (CONFIG_FILE, SPEC_FILE):
        (tmp_path / TENSOR_FILE / name).write_text("[]", "utf-8")
        with pytest.raises(AdapterError, match=f"{name}: expected a JSON object"):
            load_state(tmp_path / TENSOR_FILE, None)
        save_state(make_state(), tmp_path / TENSOR_FILE, "base")


def test_tensors_of_another_save(tmp_path: Path) -> None:
    save_state(make_state(0), tmp_path / "a", "base")
    save_state(make_state(1), tmp_path / "b", "base")
    (tmp_path / "a" / TENSOR_FILE).write_bytes((tmp_path / "b" / TENSOR_FILE).read_bytes())
    with pytest.raises(AdapterError, match="its digest does not match"):
        load_state(tmp_path / "a", None)


@pytest.mark.parametrize("change", [{"r": 4}, {"lora_alpha": 9}, {"target_modules": ["v_proj"]}, {"target_modules": 1}])
def test_a_config_that_departs_from_the_spec(tmp_path: Path, change: dict[str, object]) -> None:
    save_state(make_state(), tmp_path, "base")
    config = json.loads((tmp_path / CONFIG_FILE).read_text("utf-8")) | change
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config), "utf-8")
    with pytest.raises(AdapterError, match="r, lora_alpha or target_modules differ"):
        load_state(tmp_path, None)


def test_only_arrays_whose_squares_have_no_finite_sum_are_doubtful() -> None:
    values = {"a": 1e18, "b": 2e19, "c": np.nan, "d": np.inf, "e": -1e38}
    arrays = {name: np.full((3, 2), value, dtype=np.float32) for name, value in values.items()}
    arrays["c"][:2] = 0
    assert AdapterState(arrays, SPEC).doubtful == ("b", "c", "d", "e")
