"""How long a study's cells will take and how much memory, from a few batches of its own examples on its own models.

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

from torch import Tensor

from fedmedlora.adapters.precision import autocast
from fedmedlora.corpus.document import Document, Json
from fedmedlora.inference.predict import Predicted, predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder, Request, Task
from fedmedlora.markup.grammar import TokenSpan
from fedmedlora.studies.cells import Cell, cell_rule, few_notes_settings
from fedmedlora.studies.families import Families, Family, FamilyName, family_name
from fedmedlora.studies.judges import validation_documents
from fedmedlora.studies.peak import mark_peak, peak_bytes
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.schedule import Key
from fedmedlora.studies.variants import LowResource, Source
from fedmedlora.training.lesson import Learner, Lesson
from fedmedlora.training.loop import TrainSettings, optimise

_T = TypeVar("_T")

BUDGET_S = 20.0
_TRIAL_STEPS = 4


@dataclass(frozen=True)
class Speed:
    """One family's. training: seconds a target token. answering: seconds a question, by task.

    judging: seconds to find the loss of one adapter on the validation examples of one site. What no cell needs is 0.
    """

    training: float
    answering: Mapping[Task, float]
    judging: float

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        answering: dict[str, Json] = {str(task): seconds for task, seconds in self.answering.items()}
        return {
            "training_seconds_per_target_token": self.training,
            "answering_seconds_per_question": answering,
            "judging_seconds_per_site": self.judging,
        }


@dataclass(frozen=True)
class Measured:
    """What the trials of all families that the study trains or asks found.

    peak_bytes: the most memory that they took, models included; None where the system does not say.
    """

    speeds: Mapping[FamilyName, Speed]
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


def measure(families: Families, budget_s: float) -> Measured:
    """Train and answer a little with every family, for about so many seconds in all, and judge each that is judged.

    What is trained of the models is another afterwards.
    """
    mark = mark_peak()
    used: dict[FamilyName, list[Cell]] = {}
    for cell in families.resident.cells:
        if cell.arm != "api":
            used.setdefault(family_name(cell), []).append(cell)
    speeds = {
        name: _measure_family(families.resident, families.named(name), cells, budget_s / len(used))
        for name, cells in used.items()
    }
    return Measured(speeds, peak_bytes() if mark else None)


def estimate(families: Families, measured: Measured) -> list[CellEstimate]:
    """Every cell of the study, in its order."""
    work = _Work(families)
    found = []
    for cell in families.resident.cells:
        name, tests = family_name(cell), tuple(cell.tests(families.resident.config))
        asked = sum(sum(work.questions(name, site, "test").values()) for site in tests)
        if cell.arm == "api":
            found.append(CellEstimate(cell, None, None, asked))
            continue
        speed = measured.speeds[name]
        testing = work.answering(cell, tests, "test", speed)
        found.append(CellEstimate(cell, work.training(cell, speed), testing, asked))
    return found


class _Work:
    """What cells read and answer, each part counted once, and the seconds that it takes."""

    def __init__(self, families: Families) -> None:
        self._families, self._resident, self._config = families, families.resident, families.resident.config
        self.questions = cache(self._questions)
        self._judged_questions = cache(self._count_judged)
        self._tokens = cache(self._count_tokens)

    def training(self, cell: Cell, speed: Speed) -> float:
        """All rounds: training, what the rule must know of each adapter, and dev scores."""
        if not cell.members:
            return 0.0
        family, config = self._families.of(cell), self._config
        settings, rounds = family.settings(cell), config.rounds
        if isinstance(cell.variant, LowResource):
            settings, rounds = few_notes_settings(settings, config, len(family.lesson(cell.sources))), 1
        tokens = sum(self._tokens(family_name(cell), source) for source in cell.sources)
        seconds = tokens * settings.epochs * speed.training
        if cell_rule(cell, config.plus).needs_losses:
            seconds += len(cell.members) * self._judging(cell, speed)
        if config.evaluation.evaluate_dev_each_round:
            seconds += self.answering(cell, cell.dev_sites(config), "dev", speed)
        return rounds * seconds

    def answering(self, cell: Cell, sites: Sequence[str], part: str, speed: Speed) -> float:
        """Every question on a part of some sites."""
        return sum(_seconds(self.questions(family_name(cell), site, part), speed) for site in sites)

    def _judging(self, cell: Cell, speed: Speed) -> float:
        """One adapter."""
        seconds = len(cell.sites) * speed.judging
        if self._config.plus.utility == "f1":
            seconds += _seconds(self._judged_questions(family_name(cell), cell.sites), speed)
        return seconds

    def _questions(self, name: FamilyName, site: str, part: str) -> Mapping[Task, int]:
        return self._count(name, self._resident.documents(site, part))

    def _count_judged(self, name: FamilyName, sites: tuple[str, ...]) -> Mapping[Task, int]:
        return self._count(name, validation_documents(self._resident, sites))

    def _count(self, name: FamilyName, documents: Sequence[Document]) -> Mapping[Task, int]:
        encoder = self._families.named(name).questions
        return {task: _count(documents, encoder, task) for task in self._config.tasks}

    def _count_tokens(self, name: FamilyName, source: Source) -> int:
        return self._families.named(name).target_tokens((source,))


def _seconds(questions: Mapping[Task, int], speed: Speed) -> float:
    return sum(count * speed.answering[task] for task, count in questions.items())


def wall_seconds(cells: Sequence[CellEstimate], jobs: int) -> float:
    """Until the last cell is done, when so many processes take them in their order and none slows another down."""
    free = [0.0] * jobs
    ended: dict[Key, float] = {}
    for one in cells:
        begins = max(heapq.heappop(free), ended.get(one.cell.needs, 0.0) if one.cell.needs else 0.0)
        ended[one.cell.key] = begins + (one.seconds or 0.0)
        heapq.heappush(free, ended[one.cell.key])
    return max(free)


def _measure_family(resident: Resident, family: Family, cells: Sequence[Cell], budget_s: float) -> Speed:
    """cells: those of the study that train the family, or ask it."""
    config = resident.config
    family.learner.write(family.learner.fresh(config.seeds[0]))
    trained = next((cell for cell in cells if cell.members), None)
    part_s = budget_s / (len(config.tasks) + (trained is not None))
    # Training comes first, so that the adapter that answers has seen a little.
    training = 0.0 if trained is None else _time_training(family, family.settings(trained), config.members, part_s)
    answering = {task: _time_answering(resident, family, task, part_s) for task in config.tasks}
    judged = next((cell for cell in cells if cell_rule(cell, config.plus).needs_losses), None)
    judging = 0.0 if judged is None else _time_judging(resident, family, judged)
    return Speed(training, answering, judging)


def _time_training(family: Family, settings: TrainSettings, members: Sequence[str], budget_s: float) -> float:
    """Seconds a target token, over steps on examples of all sites; the first step, which compiles, left out."""
    settings = replace(settings, epochs=1, keep_moments=False)
    lesson = family.lesson(members)
    steps = settings.steps(len(lesson))
    schedule = settings.schedule(len(lesson))
    optimise(_Stretch(lesson, 0, 1), settings, schedule, seed="estimate")
    started, seconds, tokens = monotonic(), 0.0, 0
    for first in range(0, steps, _TRIAL_STEPS):
        done = optimise(_Stretch(lesson, first, first + _TRIAL_STEPS), settings, schedule, seed="estimate")
        seconds, tokens = seconds + done.seconds, tokens + done.target_tokens
        if monotonic() - started > budget_s:
            break
    return seconds / tokens


@dataclass(frozen=True)
class _Stretch:
    """Some optimizer steps of a lesson, half-open. Satisfies `Lesson`."""

    lesson: Lesson
    first: int
    end: int

    @property
    def learner(self) -> Learner:
        """The lesson's."""
        return self.lesson.learner

    @property
    def data_digest(self) -> str:
        """The lesson's."""
        return self.lesson.data_digest

    def __len__(self) -> int:
        return len(self.lesson)

    def target_tokens(self, chosen: Sequence[int] | None = None) -> int:
        """The lesson's."""
        return self.lesson.target_tokens(chosen)

    def steps(self, settings: TrainSettings, seed: str) -> list[list[list[int]]]:
        """As `Lesson`, but for those before and after."""
        return self.lesson.steps(settings, seed)[self.first : self.end]

    def loss(self, chosen: Sequence[int], settings: TrainSettings) -> Tensor:
        """The lesson's."""
        return self.lesson.loss(chosen, settings)


def _time_judging(resident: Resident, family: Family, cell: Cell) -> float:
    """Seconds a site, over the validation examples of all that train; they are as many at every site."""
    members, tasks = resident.config.members, resident.config.tasks
    judged, settings = family.judged(members, tasks), family.settings(cell)
    started = monotonic()
    judged(settings)
    return (monotonic() - started) / len(members)


def _time_answering(resident: Resident, family: Family, task: Task, budget_s: float) -> float:
    """Seconds a question, over more and more dev documents (training ones where there is none) of all sites in turn."""
    config = resident.config
    held = [resident.documents(site, "dev") or resident.sites[site].parts["train"] for site in config.members]
    documents = list(_in_turn(held))
    started, taken, count, size = monotonic(), 0.0, 0, 1
    while documents:
        group, documents = documents[:size], documents[size:]
        asked = _count(group, family.questions, task)
        begun = monotonic()
        with autocast(config.training.bf16):
            _predict(task)(group, family.questions, family.answers)
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
