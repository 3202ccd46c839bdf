"""Averaging adapters of LLaMA-3-8B's shapes: our streaming average against Flower's own FedAvg.

Both get every site's update as it comes off the wire, a Flower record of bytes, and end with one adapter. Ours reads,
checks (names, shapes, every value finite) and adds one update at a time; FedAvg takes a list of all. What makes the
updates is not timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from benchmarks.memory import available_mb, compare_peaks, measure_peak
from benchmarks.process import quiet_flower
from benchmarks.scale import Scale
from benchmarks.timing import Comparison, compare_seconds
from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.rounds import RoundAggregation
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.federation import wire
from fedmedlora.federation.grid import InProcessGrid
from fedmedlora.training.contract import SiteUpdate

NAMES = ("aggregate_100_seconds", "aggregate_100_memory")

_RANK, _LAYERS = 16, 32
_HIDDEN, _KEYS, _INNER = 4096, 1024, 14336
_PROJECTIONS = {
    "self_attn.q_proj": (_HIDDEN, _HIDDEN),
    "self_attn.k_proj": (_HIDDEN, _KEYS),
    "self_attn.v_proj": (_HIDDEN, _KEYS),
    "self_attn.o_proj": (_HIDDEN, _HIDDEN),
    "mlp.gate_proj": (_HIDDEN, _INNER),
    "mlp.up_proj": (_HIDDEN, _INNER),
    "mlp.down_proj": (_INNER, _HIDDEN),
}
_DISTINCT = 8
_SPARE_MB = 2000.0


def run(name: str, scale: Scale) -> list[Comparison]:
    """Seconds, or peak memory."""
    return [_seconds(name, scale)] if name == "aggregate_100_seconds" else _memory(name, scale)


def llama_adapter(layers: int = _LAYERS, seed: int = 0) -> AdapterState:
    """An adapter of LLaMA-3-8B: rank 16 on all seven projections, 42 million values with its 32 layers."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for layer in range(layers):
        for name, (read, written) in _PROJECTIONS.items():
            stem = f"base_model.model.model.layers.{layer}.{name}"
            arrays[f"{stem}.lora_A.weight"] = generator.standard_normal((_RANK, read), dtype=np.float32)
            arrays[f"{stem}.lora_B.weight"] = generator.standard_normal((written, _RANK), dtype=np.float32)
    for array in arrays.values():
        # Or the state would copy it.
        array.setflags(write=False)
    targets = tuple(name.rpartition(".")[2] for name in _PROJECTIONS)
    return AdapterState(arrays, AdapterSpec(_RANK, 64.0, targets, "0" * 64))


def our_average(reference: AdapterState, updates: Iterator[tuple[str, RecordDict]], sites: list[str]) -> float:
    """Seconds to read, check and average the updates, which are made one by one."""
    aggregation = RoundAggregation(find_rule("fedmedlora"), reference, dict.fromkeys(sites, 1000))
    seconds = 0.0
    for site, content in updates:
        started = time.perf_counter()
        update = wire.unpack_update(content, site, 0, reference)
        aggregation.offer(site, update.state)
        seconds += time.perf_counter() - started
        # Else the last update lives on while the next one is made.
        del content, update
    started = time.perf_counter()
    result = aggregation.result()
    if result.refused or result.absent:
        raise RuntimeError("an update was left out of the average")
    return seconds + time.perf_counter() - started


def peer_average(replies: list[Message]) -> float:
    """Seconds of Flower's FedAvg over all replies."""
    quiet_flower()
    strategy = FedAvg()
    started = time.perf_counter()
    arrays, _ = strategy.aggregate_train(1, replies)
    seconds = time.perf_counter() - started
    if not arrays:
        raise RuntimeError("FedAvg gave no average")
    return seconds


def ours_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """Our average for `benchmarks.child`, every update with bytes of its own. payload: how many."""
    sites, reference = _sites(cast(int, payload)), llama_adapter()
    loaded()
    return {"seconds": our_average(reference, ((site, packed_update(site, reference)) for site in sites), sites)}


def peer_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """Flower's average for `benchmarks.child`, every update with bytes of its own. payload: how many."""
    reference = llama_adapter()
    loaded()
    return {"seconds": peer_average([flower_reply(flower_arrays(reference)) for _ in range(cast(int, payload))])}


def _seconds(name: str, scale: Scale) -> Comparison:
    """With the bytes of eight updates in turn, so that they fit beside what is measured: values do not change speed."""
    sites, reference = _sites(scale.adapters), llama_adapter()
    held = [flower_arrays(reference) for _ in range(min(_DISTINCT, len(sites)))]
    template = packed_update(sites[0], reference)

    def contents() -> Iterator[tuple[str, RecordDict]]:
        for number, site in enumerate(sites):
            identity = ConfigRecord({**template.config_records["update"], "site": site})
            yield site, RecordDict({**template, "update": identity, "adapter": held[number % len(held)]})

    return compare_seconds(
        name,
        lambda: our_average(reference, contents(), sites),
        lambda: peer_average([flower_reply(held[number % len(held)]) for number in range(len(sites))]),
        unit=f"s for {len(sites)}",
        pairs=scale.pairs,
    )


def _memory(name: str, scale: Scale) -> list[Comparison]:
    """With as many adapters as FedAvg can hold on this machine, which is said where it is not all."""
    each = llama_adapter(layers=1).nbytes * _LAYERS / 1e6
    count = min(scale.adapters, int((available_mb() - _SPARE_MB) / each))
    if count < 2:
        raise EnvironmentProblem(f"{available_mb():.0f} MB of memory are too few to average adapters of {each:.0f} MB.")
    if count < scale.adapters:
        print(
            f"{name}: FedAvg holds all adapters at once, and only {count} of {scale.adapters} fit into the memory of "
            "this machine; both were measured with these.",
            file=sys.stderr,
        )
    ours = measure_peak("benchmarks.aggregation:ours_in_child", count, threads=scale.threads)
    peer = measure_peak("benchmarks.aggregation:peer_in_child", count, threads=scale.threads)
    return compare_peaks(name, ours, peer, unit=f"MB for {count}")


def _sites(count: int) -> list[str]:
    return [f"site-{number:03}" for number in range(count)]


def packed_update(site: str, state: AdapterState) -> RecordDict:
    """A site's update as it comes off the wire."""
    return wire.pack_update(
        SiteUpdate(site, 0, state, target_tokens=1000, examples=100, steps=10, loss=1.0, seconds=1.0)
    )


def flower_arrays(state: AdapterState) -> ArrayRecord:
    """An adapter's arrays as Flower's record, with bytes of their own."""
    return ArrayRecord({name: Array.from_numpy_ndarray(array) for name, array in state.arrays.items()})


def flower_reply(arrays: ArrayRecord) -> Message:
    """A client's reply as FedAvg takes it."""
    # Making a grid says who sends, which a message insists upon.
    InProcessGrid(ClientApp(), [])
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1000})})
    return Message(content, dst_node_id=1, message_type="train")
