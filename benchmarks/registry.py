"""Every benchmark by name: one literal table, name to the module that runs it. Imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, cast

from benchmarks.scale import Scale
from benchmarks.timing import Comparison
from fedmedlora.errors import ConfigError, nearest

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "train_ner": "training",
        "train_re": "training",
        "train_ner_mixed": "training",
        "train_re_mixed": "training",
        "train_ner_batch_4": "training",
        "train_re_batch_4": "training",
        "train_ner_brief": "training",
        "train_re_brief": "training",
        "train_ner_trl_packing": "training",
        "train_re_trl_packing": "training",
        "train_ner_memory": "training",
        "train_re_memory": "training",
        "round_3_sites": "rounds",
        "round_10_sites": "rounds",
        "round_10_sites_memory": "rounds",
        "decode_vs_generate": "extraction",
        "decode_vs_generate_batched": "extraction",
        "decode_vs_constrained_generate": "extraction",
        "decode_same_adapter": "extraction",
        "decode_vs_bert": "bert",
        "aggregate_100_seconds": "aggregation",
        "aggregate_100_memory": "aggregation",
        "achieved_flops": "flops",
        "scaling_1_to_32": "rounds",
    }
)


class _Module(Protocol):
    def run(self, name: str, scale: Scale) -> list[Comparison]:
        """What the module measures under one of its names."""
        ...


def select(names: Sequence[str]) -> list[str]:
    """The names as given; all of them when none is. Raises ConfigError on an unknown one."""
    for name in names:
        if name not in MODULES:
            raise ConfigError(f"unknown benchmark '{name}': {nearest(name, MODULES)}.")
    return list(names) or list(MODULES)


def run(name: str, scale: Scale) -> list[Comparison]:
    """Run one benchmark. Raises EnvironmentProblem when the machine lacks what it needs."""
    module = importlib.import_module(f"benchmarks.{MODULES[name]}")
    return cast(_Module, module).run(name, scale)
