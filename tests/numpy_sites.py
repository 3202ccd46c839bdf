"""Sites that train by numpy, for the federation's tests on every engine: small, exact and restartable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmedlora.adapters.state import AdapterSpec, AdapterState
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.record import write_atomic
from fedmedlora.training.contract import RoundPlan, SiteRegistration, SiteUpdate

BASE = "0" * 64
SPEC = AdapterSpec(rank=2, alpha=4.0, targets=("q_proj",), base_digest=BASE)
A, B = "q_proj.lora_A.weight", "q_proj.lora_B.weight"
SECRET = "note text: Mr Smith has chest pain"


def initial_state() -> AdapterState:
    """A is one everywhere, B is zero, as LoRA begins."""
    return AdapterState({A: np.ones((2, 3), np.float32), B: np.zeros((3, 2), np.float32)}, SPEC)


@dataclass(frozen=True)
class NumpySite:
    """Gradient descent with momentum towards a target of the site's own, with noise from the seed.

    The momentum lies in `folder`, keyed by the round after which it was saved, as the contract asks. The setting "fail"
    names a site that raises instead, with note text in the exception.
    """

    site: str
    tokens: int
    folder: Path
    seconds: float = 0.0

    @property
    def memory(self) -> Path:
        return self.folder

    def register(self) -> SiteRegistration:
        return SiteRegistration(self.site, self.tokens, examples=3, base_digest=BASE, data_digest=self.site)

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        if plan.settings.get("fail") == self.site:
            raise ValueError(SECRET)
        noise = self._generator(plan)
        momentum = self._momentum(plan.round - 1, state)
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        rate, losses = np.float32(plan.settings["lr"]), []
        for _ in range(4):
            time.sleep(self.seconds / 4)
            for name, array in arrays.items():
                gap = array - np.float32(len(self.site)) + noise.normal(size=array.shape).astype(np.float32)
                losses.append(float(np.mean(gap**2)))
                momentum[name] = np.float32(0.9) * momentum[name] + gap
                array -= rate * momentum[name]
        data = b"".join(momentum[name].tobytes() for name in sorted(momentum))
        write_atomic(self.folder / f"{self.site}-momentum-{plan.round}.bin", data)
        loss = sum(losses) / len(losses)
        return SiteUpdate(self.site, plan.round, AdapterState(arrays, state.spec), 4 * self.tokens, 12, 4, loss, 0.5)

    def _generator(self, plan: RoundPlan) -> np.random.Generator:
        key = hashlib.sha256(f"{plan.seed} {plan.round} {self.site}".encode()).digest()
        return np.random.default_rng(list(key))

    def _momentum(self, round: int, state: AdapterState) -> dict[str, np.ndarray]:
        path = self.folder / f"{self.site}-momentum-{round}.bin"
        if round < 0:
            return {name: np.zeros_like(array) for name, array in state.arrays.items()}
        found, values = {}, np.frombuffer(path.read_bytes(), np.float32)
        for name, array in state.arrays.items():
            part, values = values[: array.size], values[array.size :]
            found[name] = part.reshape(array.shape).copy()
        return found


def make_site(site: str, tokens: int, folder: str, seconds: float = 0.0) -> NumpySite:
    """What a site's job file names."""
    return NumpySite(site, tokens, Path(folder), seconds)


def make_validator(target: float) -> Callable[[AdapterState], Verdict]:
    """What a coordinator's job file names: the mean distance to `target`."""
    return lambda state: Verdict(float(np.mean([np.mean(np.abs(array - target)) for array in state.arrays.values()])))
