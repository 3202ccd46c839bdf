"""One site's side of the federation, with a real model: register, and train a round from the global state.

All sites of one process share one resident model; each round writes the global state in, trains, and reads it out.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import AdapterError, ConfigError, nearest
from fedmedlora.record import write_atomic
from fedmedlora.training.batch import Corpus
from fedmedlora.training.causal import loss_over, validation_batches
from fedmedlora.training.contract import JsonScalar, RoundPlan, SiteRegistration, SiteUpdate, Validator
from fedmedlora.training.lesson import Lesson
from fedmedlora.training.loop import Moments, Progress, TrainSettings, optimise
from fedmedlora.training.objective import Objective

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LessonTrainer:
    """Trains a model on one site's examples; satisfies `contract.SiteTrainer`.

    memory: folder for what the site keeps between rounds (AdamW's moments, trained tensors that do not travel, what
    8-bit updates lost); needed only when there is something to keep.
    on_step: told of every optimizer step, for a progress bar.
    """

    site: str
    lesson: Lesson
    memory: Path | None = None
    on_step: Callable[[Progress], None] | None = None

    def register(self) -> SiteRegistration:
        """The site's examples and target tokens. Raises TrainingError when there are none."""
        return SiteRegistration(
            self.site,
            target_tokens=self.lesson.target_tokens(),
            examples=len(self.lesson),
            base_digest=self.lesson.learner.base_digest,
            data_digest=self.lesson.data_digest,
        )

    def run_round(self, state: AdapterState, plan: RoundPlan) -> SiteUpdate:
        """Train from the global adapter; the same arguments give the same bits.

        Tensors that `state` lacks do not travel: they begin as those of a fresh adapter by the federation's seed, and
        what is trained of them is kept from round to round. Raises AdapterError when the adapter is not of this base,
        TrainingError when the loss is not finite.
        """
        settings, learner = settings_from_scalars(plan.settings), self.lesson.learner
        missing = [name for name, _ in learner.named_parameters if name not in state.arrays]
        own = [name for name in missing if settings.trains(name)]
        learner.write(self._completed(state, own, plan) if missing else state)
        schedule = settings.schedule(len(self.lesson), plan.round, plan.rounds)
        seed = f"{plan.seed}/{self.site}/round {plan.round}"
        moments = self._recall(plan) if settings.keep_moments and plan.round else None
        done = optimise(self.lesson, settings, schedule, seed=seed, moments=moments, on_step=self.on_step)
        if done.moments is not None:
            self._keep("moments", plan, _moments_bytes(done.moments))
        trained = learner.read()
        if own:
            arrays = {name: np.ascontiguousarray(trained.arrays[name]) for name in own}
            self._keep("own", plan, write_tensors(arrays))
        return SiteUpdate(
            self.site,
            plan.round,
            trained,
            target_tokens=done.target_tokens,
            examples=len(self.lesson) * settings.epochs,
            steps=done.steps,
            loss=done.loss,
            seconds=done.seconds,
        )

    def _completed(self, state: AdapterState, own: Sequence[str], plan: RoundPlan) -> AdapterState:
        """The adapter that came, with what does not travel: the site's own tensors, and fresh ones."""
        fresh = self.lesson.learner.fresh(plan.seed).arrays
        kept = self._kept(own, plan) if own and plan.round else {}
        return AdapterState({**fresh, **state.arrays, **kept}, state.spec)

    def _kept(self, own: Sequence[str], plan: RoundPlan) -> dict[str, np.ndarray]:
        arrays = own_tensors(self._folder("own"), self.site, plan.round - 1, plan.federation)
        if not arrays:
            _log.warning("site '%s' has kept nothing of earlier rounds: what it does not send begins anew", self.site)
            return {}
        if sorted(arrays) != sorted(own):
            raise AdapterError(
                f"site '{self.site}', round {plan.round}: the tensors that it kept are not those that do not travel. "
                "Start the federation again."
            )
        return arrays

    def _keep(self, what: str, plan: RoundPlan, data: bytes) -> None:
        """Save what the next round needs, then drop what neither it nor a repeat of this round can ask for."""
        kept = _memory_files(self._folder(what), what, self.site, plan.federation)
        write_atomic(_memory_file(self._folder(what), what, self.site, plan.federation, plan.round), data)
        for number in [number for number in sorted(kept) if number < plan.round][:-1]:
            kept[number].unlink(missing_ok=True)

    def _folder(self, what: str) -> Path:
        if self.memory is None:
            raise ConfigError(
                f"site '{self.site}' has something to keep between rounds ({what}) and no folder for it. Give the site "
                'one; or, for AdamW\'s moments, set optimizer_state = "reset".'
            )
        return self.memory

    def _recall(self, plan: RoundPlan) -> Moments:
        folder = self._folder("moments")
        arrays = _read(_memory_file(folder, "moments", self.site, plan.federation, plan.round - 1), self.site)
        first = {name[2:]: array for name, array in arrays.items() if name.startswith("1 ")}
        second = {name[2:]: array for name, array in arrays.items() if name.startswith("2 ")}
        return Moments(int(arrays["step"][0]), first, second)


def make_validator(adapted: Adapted, corpus: Corpus, settings: TrainSettings) -> Validator:
    """The coordinator's judge: mean validation loss, nats per target token, of an adapter on the resident base.

    The set is divided and put into tensors once, for all adapters. Raises TrainingError when it is empty.
    """
    return make_parts_validator(adapted, [corpus], settings)


def make_parts_validator(adapted: Adapted, parts: Sequence[Corpus], settings: TrainSettings) -> Validator:
    """A judge whose verdict has the mean loss of every part of the set as a cost, and as loss the mean over all."""
    prepared = [(part, validation_batches(adapted, part)) for part in parts]

    def judge(state: AdapterState) -> Verdict:
        adapted.write(state)
        sums = [loss_over(adapted, part, batches, settings) for part, batches in prepared]
        whole = sum(found.nats for found in sums) / sum(found.target_tokens for found in sums)
        return Verdict(whole, tuple(found.mean for found in sums))

    return judge


def own_tensors(memory: Path, site: str, round_number: int, federation: str = "") -> dict[str, np.ndarray]:
    """What a site trained in a federation and did not send, by name: of its last round up to that one; else empty.

    Only the last two rounds of the site are kept. Raises AdapterError when the file is damaged.
    """
    kept = _memory_files(memory, "own", site, federation)
    last = max((number for number in kept if number <= round_number), default=None)
    return {} if last is None else _read(kept[last], site)


def _memory_files(memory: Path, what: str, site: str, federation: str) -> dict[int, Path]:
    """What a site keeps for a federation, by round."""
    name = _memory_file(memory, what, site, federation, 0).name
    start, end = name[: name.rindex("0")], ".safetensors"
    found = [path for path in memory.glob(f"*{end}") if path.name.startswith(start)]
    numbers = {path.name.removeprefix(start).removesuffix(end): path for path in found}
    return {int(number): path for number, path in numbers.items() if number.isdecimal()}


def _memory_file(memory: Path, what: str, site: str, federation: str, round_number: int) -> Path:
    """The federation's digest is in the name, lest what an earlier one kept in the same folder be taken up."""
    words = (what, site, *([federation[:16]] if federation else []), str(round_number))
    return memory / f"{'-'.join(words)}.safetensors"


def _read(path: Path, site: str) -> dict[str, np.ndarray]:
    try:
        return dict(read_tensors(path.read_bytes()))
    except (OSError, SafetensorError) as error:
        raise AdapterError(
            f"site '{site}': {path.name} is missing or damaged ({type(error).__name__}). "
            "Resume from an earlier round, or start the federation again."
        ) from error


def settings_to_scalars(settings: TrainSettings) -> dict[str, JsonScalar]:
    """Settings as plain values for a round's plan."""
    return dataclasses.asdict(settings)


def settings_from_scalars(values: Mapping[str, JsonScalar]) -> TrainSettings:
    """Settings out of a round's plan. Raises ConfigError on an unknown name or a value of the wrong type."""
    defaults = dataclasses.asdict(TrainSettings())
    checked: dict[str, JsonScalar] = {}
    for name, value in values.items():
        if name not in defaults:
            raise ConfigError(f"training setting '{name}' is unknown: {nearest(name, defaults)}")
        expected = type(defaults[name])
        if expected is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not expected:
            raise ConfigError(f"training setting '{name}': expected {expected.__name__}, got {json.dumps(value)}.")
        if name == "objective" and value not in get_args(Objective):
            raise ConfigError(f"training setting 'objective': {nearest(str(value), get_args(Objective))}")
        checked[name] = value
    return dataclasses.replace(TrainSettings(), **checked)  # type: ignore[arg-type]


def _moments_bytes(moments: Moments) -> bytes:
    arrays: dict[str, np.ndarray] = {"step": np.array([moments.step], dtype=np.int64)}
    arrays.update({f"1 {name}": np.ascontiguousarray(array) for name, array in moments.first.items()})
    arrays.update({f"2 {name}": np.ascontiguousarray(array) for name, array in moments.second.items()})
    return write_tensors(arrays)
