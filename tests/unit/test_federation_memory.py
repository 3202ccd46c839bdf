"""The coordinator's memory does not grow with the number of sites, in whatever order they answer."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.federation.codec import PRECISIONS, Precision
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import InProcessGrid, in_process_grid
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate
from numpy_sites import BASE, SPEC, A, B

ROWS = 50_000
ONE_STATE = 2 * 2 * ROWS * 4
"""Bytes of the two arrays as float32."""


@dataclass(frozen=True)
class Shifter:
    """Adds its number to every value."""

    number: int
    memory: Path

    @property
    def site(self) -> str:
        return f"site-{self.number:02}"

    def register(self) -> SiteRegistration:
        return SiteRegistration(self.site, 1, 1, BASE)

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        arrays = {name: array + np.float32(self.number) for name, array in state.arrays.items()}
        return SiteUpdate(self.site, plan.round, AdapterState(arrays, state.spec), 1, 1, 1, 0.5, 0.0)


class Backwards(InProcessGrid):
    """Every reply comes before those that were asked for earlier, and many may be there at once."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        last = next(reversed(self._queue), None)
        return super().pull_messages([last]) if last in set(message_ids) else []


def peak(folder: Path, sites: int, wire: Precision, backwards: bool) -> tuple[int, str]:
    """The greatest memory in use during two rounds, in bytes, and the digest of what comes out."""
    trainers = [Shifter(number, folder) for number in range(sites)]
    grid = in_process_grid(trainers)
    if backwards:
        grid.__class__ = Backwards
    names = tuple(trainer.site for trainer in trainers)
    plan = FederationPlan(names, find_rule("fedmedlora"), 2, 0, timeouts=Timeouts(0.0), wire=wire)
    initial = AdapterState({A: np.ones((2, ROWS), np.float32), B: np.zeros((ROWS, 2), np.float32)}, SPEC)
    tracemalloc.start()
    try:
        result = run_federation(grid, plan, initial, folder)
        return tracemalloc.get_traced_memory()[1], result.state.digest
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wire", PRECISIONS)
def test_memory_is_the_same_for_4_and_for_32_sites(tmp_path: Path, wire: Precision) -> None:
    few, _ = peak(tmp_path / "few", 4, wire, backwards=False)
    many, expected = peak(tmp_path / "many", 32, wire, backwards=False)
    late, found = peak(tmp_path / "late", 32, wire, backwards=True)
    assert found == expected
    # 28 sites more; records, ids and registrations take a little.
    assert many < few + 0.5 * ONE_STATE
    assert late < few + ONE_STATE
