"""What a run directory holds, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fedmedlora.scoring import TASKS, Confidence, Interval, Mode, Tally, Task, TaskScores

Cell: TypeAlias = tuple[Task, Mode]
Divergences: TypeAlias = "Mapping[str, Mapping[str, float | None]]"

PARTS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Part:
    """One portion of a site's notes. used: documents that the study looks at. examples: task → number, for training."""

    documents: int
    used: int | None
    digest: str | None
    examples: Mapping[str, int]
    target_tokens: int | None


@dataclass(frozen=True, slots=True)
class Site:
    """One site of the study. external: nobody trained on it. new: few of its notes are trained on, in low-resource.

    dropped: reason → number of annotations or documents left out while reading.
    """

    name: str
    synthetic: bool
    external: bool
    recipe: str | None
    labels: tuple[str, ...]
    parts: Mapping[str, Part]
    dropped: Mapping[str, int]
    new: bool = False


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A model that the study is to train and test, as run.json has it. tests: test site → setting."""

    setting: str
    arm: str
    seed: int
    trained_on: str
    variant: Mapping[str, str]
    rounds: int | None
    tests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Weights:
    """The base or the adapter: number of parameters and bytes."""

    name: str | None
    digest: str | None
    parameters: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the arm api sends notes. server: host and port. credentialed: site → notes under a data-use agreement."""

    server: str
    model: str
    credentialed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking a model behind a server took, over all that kept its answers.

    tokens_in, tokens_out: asked and answered, as the server counts. cost: in the currency of the study's prices; None
    where it gives none.
    """

    sent: Destination
    questions: int
    tokens_in: int
    tokens_out: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The contents of run.json.

    divergences: "labels" and "vocabulary" → site → other site → bits; empty in runs of earlier versions. api: None in
    runs that ask no server.
    """

    name: str
    command: str | None
    started: str | None
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    base: Weights
    adapter: Weights
    seeds: tuple[int, ...]
    sites: tuple[Site, ...]
    divergences: Mapping[str, Divergences] = field(default_factory=dict)
    cells: tuple[PlannedCell, ...] = ()
    api: Destination | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """Which of a setting's many cells a record belongs to; a field that is not of the setting is None.

    notes, start: of low-resource, how many notes of the site a model was trained on, and the arm it started from. case:
    of uneven annotation. sites, split: of scaling.
    """

    notes: int | None = None
    start: str | None = None
    case: str | None = None
    sites: int | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One adapter (or the base alone) on one site's test documents.

    intervals: (task, mode) → 95 % interval of F1; empty when none was computed. tallies: (task, mode) → what each test
    document adds to it, in one order for all arms; empty in records of earlier versions. confidence: task → what the
    answers' confidences are worth; a task without any is absent. errors: task → class → annotations; absent in records
    of earlier versions. passes, tokens, seconds: of
    decoding. dropped: reason → number of what prediction and scoring left out.
    """

    setting: str
    arm: str
    seed: int
    trained_on: str
    test_site: str
    documents: int
    tasks: Mapping[Task, TaskScores]
    intervals: Mapping[Cell, Interval]
    tallies: Mapping[Cell, tuple[Tally, ...]]
    confidence: Mapping[Task, Confidence]
    errors: Mapping[Task, Mapping[str, int]]
    passes: float | None
    tokens: float | None
    seconds: float | None
    dropped: Mapping[str, int]
    adapter_digest: str | None
    variant: Variant = Variant()

    def f1(self, task: Task, mode: Mode) -> float | None:
        """Micro F1; None when the task was not scored or has no gold and no prediction."""
        if task not in self.tasks:
            return None
        scores = self.tasks[task]
        return (scores.strict if mode == "strict" else scores.lenient).f1


@dataclass(frozen=True, slots=True)
class ArmCost:
    """What training one adapter took. Bytes: the coordinator's, over all sites; None where nothing is exchanged.

    validation_seconds: of the seconds, what judging sites' adapters on validation examples took. peak_memory_bytes: the
    most that the process held while it trained and tested, the base included; of the GPU where there is one.
    """

    setting: str
    arm: str
    seed: int
    trained_on: str
    seconds: float | None
    validation_seconds: float | None
    target_tokens: int | None
    steps: int | None
    rounds: int | None
    bytes_sent: int | None
    bytes_received: int | None
    full_model_bytes: int | None
    adapter_digest: str | None
    peak_memory_bytes: int | None = None
    variant: Variant = Variant()
    asked: Asked | None = None

    @property
    def exchanged(self) -> int | None:
        """Bytes in both directions; None when either is not known."""
        if self.bytes_sent is None or self.bytes_received is None:
            return None
        return self.bytes_sent + self.bytes_received


@dataclass(frozen=True, slots=True)
class SiteRound:
    """One site in one round. Losses: nats per target token. refused: why its update was left out."""

    loss: float | None
    validation_loss: float | None
    weight: float | None
    target_tokens: int | None
    steps: int | None
    seconds: float | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one arm. number: from 0. dev: site → F1 of the adapter after this round on its dev documents."""

    arm: str
    seed: int
    trained_on: str
    number: int
    seconds: float | None
    sites: Mapping[str, SiteRound]
    dev: Mapping[str, Mapping[Cell, float | None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What study.toml asked for. scored: "test" or "dev" notes.

    passes: over the training examples, a round. encoder_passes: those of the arms bert-*; None: as many.
    """

    arms: tuple[str, ...]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    sites: tuple[str, ...]
    tasks: tuple[Task, ...]
    rounds: int | None
    passes: int | None = None
    encoder_passes: int | None = None
    scored: str = "test"


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory.

    folder: its name, without the path to it. study: text of study.toml; None, like `plan`, when the file is not there.
    left_out: records that are not shown, reason → number.
    """

    folder: str
    info: RunInfo
    study: str | None
    plan: Plan | None
    scores: tuple[Score, ...]
    costs: tuple[ArmCost, ...]
    rounds: tuple[Round, ...]
    left_out: Mapping[str, int]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The study's tasks; without a plan, those that were scored."""
        if self.plan is not None:
            return self.plan.tasks
        return tuple(task for task in TASKS if any(task in score.tasks for score in self.scores))
