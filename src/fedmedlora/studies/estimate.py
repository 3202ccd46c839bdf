"""How long a study's cells will take and how much memory, from a few batches of its own examples on its own base.

An estimate: trials are short, an adapter that marks more is slower to decode than one that knows nothing, processes
side by side slow each other down, and a machine does other things besides. Questions on test notes are counted, never
answered.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from time import monotonic
from typing import TypeVar

from fedmedlora.adapters.precision import autocast
from fedmedlora.corpus.document import Document, Json
from fedmedlora.inference.predict import Predicted, predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder, Request, Task
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.studies.cells import Cell, cell_rule, cell_settings
from fedmedlora.studies.peak import mark_peak, peak_bytes
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.schedule import Key
from fedmedlora.studies.variants import ALL
from fedmedlora.training.batch import prepare
from fedmedlora.training.causal import fit
from fedmedlora.training.loop import Schedule

_T = TypeVar("_T")

BUDGET_S = 20.0
_FORWARD_SHARE = 1 / 3
"""Of a training step, what a pass without gradients takes: going back costs twice as much as going forth."""

_TRIAL_STEPS = 4


@dataclass(frozen=True)
class Speed:
    """What the trials measured. training: seconds a token read. answering: seconds a question, by task.

    peak_bytes: the most memory that they took, base included; None where the system does not say.
    """

    training: float
    answering: Mapping[Task, float]
    peak_bytes: int | None


@dataclass(frozen=True)
class CellEstimate:
    """One cell. questions: at testing. seconds: None for a model behind a server, whose speed is not ours to know."""

    cell: Cell
    training_s: float | None
    testing_s: float | None
    questions: int

    @property
    def seconds(self) -> float | None:
        """Training, dev scores after each round included, and testing."""
        return None if self.training_s is None or self.testing_s is None else self.training_s + self.testing_s

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        arm, seed, trained_on = self.cell.key
        return {
            "arm": arm,
            "seed": seed,
            "trained_on": trained_on,
            "training_seconds": self.training_s,
            "testing_seconds": self.testing_s,
            "seconds": self.seconds,
            "questions": self.questions,
        }


def measure(resident: Resident, budget_s: float) -> Speed:
    """Train and decode a little, for about so many seconds; the adapter in the model is another afterwards."""
    config = resident.config
    mark = mark_peak()
    resident.adapted.write(resident.adapted.fresh(config.seeds[0]))
    parts = 1 + len(config.tasks)
    training = _time_training(resident, budget_s / parts)
    answering = {task: _time_answering(resident, task, budget_s / parts) for task in config.tasks}
    return Speed(training, answering, peak_bytes() if mark else None)


def estimate(resident: Resident, speed: Speed) -> list[CellEstimate]:
    """Every cell of the study, in its order."""
    config = resident.config

    @cache
    def tokens(sites: tuple[str, ...]) -> int:
        return sum(len(example.ids) for example in resident.corpus(sites).examples)

    @cache
    def questions(site: str, part: str) -> dict[Task, int]:
        documents = resident.documents(site, part)
        return {task: _count(documents, resident.encoder, task) for task in config.tasks}

    def answered(sites: Sequence[str], part: str) -> float:
        asked = [questions(site, part) for site in sites]
        return sum(counts[task] * speed.answering[task] for counts in asked for task in config.tasks)

    found = []
    for cell in resident.cells:
        tests = list(cell.tests(config))
        asked = sum(sum(questions(site, "test").values()) for site in tests)
        if cell.arm == "api":
            found.append(CellEstimate(cell, None, None, asked))
            continue
        read = sum(tokens(notes) for _, notes in cell.members) * config.training.epochs_per_round
        seconds = read * speed.training
        if cell_rule(cell, config.plus).needs_losses:
            judged = sum(len(example.ids) for example in resident.judged(cell.sites, config.tasks).examples)
            seconds += judged * len(cell.members) * speed.training * _FORWARD_SHARE
        if cell.members and config.evaluation.evaluate_dev_each_round:
            seconds += answered([site for site in config.members if site != cell.left_out], "dev")
        found.append(CellEstimate(cell, seconds * config.rounds, answered(tests, "test"), asked))
    return found


def wall_seconds(cells: Sequence[CellEstimate], jobs: int) -> float:
    """Until the last cell is done, when so many processes take them in their order and none slows another down."""
    free = [0.0] * jobs
    ended: dict[Key, float] = {}
    for one in cells:
        begins = max(heapq.heappop(free), ended.get(one.cell.needs, 0.0) if one.cell.needs else 0.0)
        ended[one.cell.key] = begins + (one.seconds or 0.0)
        heapq.heappush(free, ended[one.cell.key])
    return max(free)


def _time_training(resident: Resident, budget_s: float) -> float:
    """Seconds a token, over steps on examples of all sites in turn; the first step, which compiles, left out."""
    config = resident.config
    whole = Cell("centralised", config.seeds[0], ALL, ((ALL, config.members),))
    settings = replace(cell_settings(whole, config.training, config.fedprox), epochs=1, keep_moments=False)
    examples = list(_in_turn([resident.examples[site] for site in config.members]))
    size = settings.batch_size * settings.gradient_accumulation
    corpora = [prepare(examples[:size])]
    corpora += [prepare(examples[at : at + _TRIAL_STEPS * size]) for at in range(0, len(examples), _TRIAL_STEPS * size)]
    schedule = Schedule(0, len(examples), config.training.warmup_fraction)
    started, seconds, tokens = monotonic(), 0.0, 0
    for number, corpus in enumerate(corpora):
        done = fit(resident.adapted, corpus, settings, schedule, seed=f"estimate/{number}")
        if number:
            seconds, tokens = seconds + done.seconds, tokens + sum(len(example.ids) for example in corpus.examples)
        if tokens and monotonic() - started > budget_s:
            break
    return seconds / tokens


def _time_answering(resident: Resident, task: Task, budget_s: float) -> float:
    """Seconds a question, over more and more dev documents (training ones where there is none) of all sites in turn."""
    config = resident.config
    held = [resident.documents(site, "dev") or resident.sites[site].parts["train"] for site in config.members]
    documents = list(_in_turn(held))
    started, taken, count, size = monotonic(), 0.0, 0, 1
    while documents:
        group, documents = documents[:size], documents[size:]
        asked = _count(group, resident.encoder, task)
        begun = monotonic()
        with autocast(config.training.bf16):
            _predict(task)(group, resident.encoder, resident.decoder)
        taken, count = (monotonic() - begun, asked) if asked else (taken, count)
        if monotonic() - started + 2 * taken > budget_s:
            break
        size *= 2
    return taken / max(1, count)


def _predict(task: Task) -> Callable[..., Predicted]:
    return predict_entities if task == "ner" else predict_modifiers


def _count(documents: Sequence[Document], encoder: Encoder, task: Task) -> int:
    """Questions that documents come to."""
    counting = _Counting()
    _predict(task)(documents, encoder, counting)
    return counting.count


class _Counting:
    """Answers nothing, and counts what it is asked. Satisfies `predict.Answers`."""

    def __init__(self) -> None:
        self.count = 0

    def decode(self, requests: Sequence[Request], on_done: object = None) -> list[tuple[TokenSpan, ...]]:
        """No span for any request."""
        self.count += len(requests)
        return [()] * len(requests)


def _in_turn(held: Sequence[Sequence[_T]]) -> Iterator[_T]:
    """One of each, then the next of each."""
    for turn in zip_longest(*held):
        yield from (one for one in turn if one is not None)
