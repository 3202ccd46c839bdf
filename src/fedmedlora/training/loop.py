"""The optimisation itself: one stretch of AdamW steps on what a lesson trains, its place in the schedule, the loss.

Deterministic by seed: order, dropout and the schedule follow from (seed, stream, step), never from what ran before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedmedlora.adapters.precision import autocast
from fedmedlora.errors import TrainingError
from fedmedlora.record import digest_bytes
from fedmedlora.training.lesson import Learner, Lesson
from fedmedlora.training.objective import Objective

_ADAM_BETAS = (0.9, 0.999)
_ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class TrainSettings:
    """How a stretch of training runs.

    lr: peak learning rate. warmup_fraction: share of the whole federation's steps. head_lr, head_warmup_fraction: those
    of heads, which begin at random; a rate of 0: lr. epochs: passes over the examples in one round. batch_size:
    examples a batch; gradient_accumulation: batches an optimizer step. pack_tokens: most tokens in one forward pass,
    into as many of which a batch is divided as it needs; 0: as memory allows.
    clip_norm_l2: largest L2 norm of a step's gradient. bf16: autocast, where the machine has such arithmetic.
    checkpointing: recompute activations.
    keep_moments: carry AdamW's moments from round to round instead of starting each at zero. train_a: False leaves
    every A as it is and trains B alone (FFA-LoRA, arXiv 2403.12313). proximal_mu: strength of FedProx's pull towards
    the adapter that the stretch begins with, mu/2 ‖w − w₀‖² added to the loss (arXiv 1812.06127); 0: none.
    """

    lr: float = 2e-4
    warmup_fraction: float = 0.03
    head_lr: float = 0.0
    head_warmup_fraction: float = 0.03
    objective: Objective = "choice"
    epochs: int = 2
    batch_size: int = 4
    gradient_accumulation: int = 1
    pack_tokens: int = 0
    weight_decay: float = 0.0
    clip_norm_l2: float = 1.0
    bf16: bool = False
    checkpointing: bool = False
    keep_moments: bool = False
    train_a: bool = True
    proximal_mu: float = 0.0

    def trains(self, name: str) -> bool:
        """Whether the tensor of that name is trained."""
        return self.train_a or ".lora_A." not in name

    def steps(self, examples: int) -> int:
        """Optimizer steps of one round over so many examples."""
        batches = math.ceil(examples / self.batch_size)
        return self.epochs * math.ceil(batches / self.gradient_accumulation)

    def schedule(self, examples: int, number: int = 0, rounds: int = 1) -> Schedule:
        """The place in its schedule of a round over so many examples. number: of the round, from 0."""
        steps = self.steps(examples)
        return Schedule(number * steps, rounds * steps, self.warmup_fraction, self.head_warmup_fraction)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up and one cosine to zero over the whole federation, not restarted each round.

    first_step: steps already taken before this stretch. total_steps: of the whole federation at this site.
    head_warmup_fraction: of heads; None: that of the rest.
    """

    first_step: int
    total_steps: int
    warmup_fraction: float
    head_warmup_fraction: float | None = None

    @property
    def of_heads(self) -> Schedule:
        """That of heads."""
        own = self.head_warmup_fraction
        return self if own is None else replace(self, warmup_fraction=own)

    def factor(self, local_step: int) -> float:
        """Share of the peak rate at a step of this stretch, 0 to 1."""
        step = self.first_step + local_step
        warmup = max(1, round(self.warmup_fraction * self.total_steps))
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True)
class Moments:
    """AdamW's state between rounds: steps taken, first and second moments by tensor name, float32."""

    step: int
    first: Mapping[str, npt.NDArray[np.float32]]
    second: Mapping[str, npt.NDArray[np.float32]]


class Fit(NamedTuple):
    """What a stretch of training did. loss: mean nats per target token over all steps. moments: None unless kept."""

    steps: int
    target_tokens: int
    loss: float
    seconds: float
    moments: Moments | None


class Progress(NamedTuple):
    """Where a stretch of training stands, for a progress bar."""

    step: int
    steps: int
    loss: float


class LossSum(NamedTuple):
    """Summed loss in nats over so many target tokens."""

    nats: float
    target_tokens: int

    @property
    def mean(self) -> float:
        """Nats per target token."""
        return self.nats / self.target_tokens


def optimise(
    lesson: Lesson,
    settings: TrainSettings,
    schedule: Schedule,
    *,
    seed: str,
    moments: Moments | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Fit:
    """Train what the lesson's learner trains, as it stands in the model, in place.

    seed: decides order and dropout. Raises TrainingError when there is no example, or when a loss or gradient is not
    finite; the adapter is then as it was after the last good step.
    """
    if not len(lesson):
        raise TrainingError("there is no training example. Check the site's notes, labels and max_tokens.")
    started = monotonic()
    trained = _Trained.of(lesson.learner, settings)
    optimizer = _optimizer(trained, settings, moments)
    nats, tokens = 0.0, 0
    with _training_mode(lesson.learner, settings, trained), torch.random.fork_rng(devices=[]):
        steps = lesson.steps(settings, seed)
        torch.manual_seed(_number(seed))
        for number, step in enumerate(steps):
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * (schedule.of_heads if group["heads"] else schedule).factor(number)
            taken = _step(trained, lesson, step, settings, optimizer, number)
            nats, tokens = nats + taken.nats, tokens + taken.target_tokens
            if on_step is not None:
                on_step(Progress(number + 1, len(steps), taken.mean))
    kept = _moments(trained, optimizer) if settings.keep_moments else None
    return Fit(len(steps), tokens, nats / tokens, monotonic() - started, kept)


def _step(
    trained: _Trained,
    lesson: Lesson,
    passes: Sequence[Sequence[int]],
    settings: TrainSettings,
    optimizer: torch.optim.Optimizer,
    number: int,
) -> LossSum:
    """One optimizer step: gradients of the mean over all target tokens of its passes, checked, clipped, applied."""
    tokens = sum(lesson.target_tokens(chosen) for chosen in passes)
    optimizer.zero_grad(set_to_none=True)
    nats = sum(_backward(lesson, chosen, settings, tokens) for chosen in passes)
    trained.pull(settings.proximal_mu)
    norm = torch.nn.utils.clip_grad_norm_(list(trained.parameters.values()), settings.clip_norm_l2)
    if not (math.isfinite(nats) and math.isfinite(float(norm))):
        raise TrainingError(
            f"step {number + 1}: the loss or its gradient is not finite (loss {nats / tokens}, gradient norm "
            f"{float(norm)}). Training stopped before the step was taken. Lower the learning rate, or turn bf16 off."
        )
    optimizer.step()
    return LossSum(nats, tokens)


def _backward(lesson: Lesson, chosen: Sequence[int], settings: TrainSettings, tokens: int) -> float:
    with autocast(settings.bf16):
        loss = lesson.loss(chosen, settings)
    (loss / tokens).backward()
    return float(loss.detach())


@dataclass(frozen=True)
class _Trained:
    """The tensors that a stretch trains, by name; those that it leaves alone; and where the former began."""

    parameters: Mapping[str, torch.nn.Parameter]
    heads: frozenset[str]
    frozen: Sequence[torch.nn.Parameter]
    origin: Sequence[Tensor]

    @classmethod
    def of(cls, learner: Learner, settings: TrainSettings) -> _Trained:
        named = dict(learner.named_parameters)
        chosen = {name: value for name, value in named.items() if settings.trains(name)}
        frozen = [value for name, value in named.items() if name not in chosen]
        origin = [value.detach().clone() for value in chosen.values()] if settings.proximal_mu else []
        return cls(chosen, learner.heads, frozen, origin)

    def pull(self, mu: float) -> None:
        """Add the gradient of mu/2 ‖w − w₀‖² to that of the loss."""
        for parameter, began in zip(self.parameters.values(), self.origin, strict=False):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - began, alpha=mu)


@contextmanager
def _training_mode(learner: Learner, settings: TrainSettings, trained: _Trained) -> Iterator[None]:
    """Dropout on, and checkpointing if asked, inside the block; evaluation mode after it, whatever happened."""
    model = learner.trunk
    try:
        for parameter in trained.frozen:
            parameter.requires_grad_(False)
        model.train()
        if settings.checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
            # It also asks for gradients at the embeddings, which this form does not need, by a hook that would stay.
            model.disable_input_require_grads()
        yield
    finally:
        if settings.checkpointing:
            model.activation_checkpointing_disable()
        model.eval()
        for parameter in trained.frozen:
            parameter.requires_grad_(True)


def _optimizer(trained: _Trained, settings: TrainSettings, moments: Moments | None) -> torch.optim.AdamW:
    heads = [parameter for name, parameter in trained.parameters.items() if name in trained.heads]
    rest = [parameter for name, parameter in trained.parameters.items() if name not in trained.heads]
    groups = [
        {"params": rest, "peak_lr": settings.lr, "heads": False},
        {"params": heads, "peak_lr": settings.head_lr or settings.lr, "heads": True},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=_ADAM_BETAS,
        eps=_ADAM_EPSILON,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    if moments is not None:
        for name, parameter in trained.parameters.items():
            if name not in moments.first:
                continue
            optimizer.state[parameter] = {
                "step": torch.tensor(float(moments.step), device=parameter.device),
                "exp_avg": torch.from_numpy(np.array(moments.first[name])).to(parameter.device),
                "exp_avg_sq": torch.from_numpy(np.array(moments.second[name])).to(parameter.device),
            }
    return optimizer


def _moments(trained: _Trained, optimizer: torch.optim.AdamW) -> Moments:
    states = {name: optimizer.state[parameter] for name, parameter in trained.parameters.items()}
    # A tensor that got no gradient, an expert that no token was sent to for instance, has no state.
    found = {name: state for name, state in states.items() if state}
    step = max((int(state["step"]) for state in found.values()), default=0)
    first = {name: state["exp_avg"].detach().cpu().numpy().copy() for name, state in found.items()}
    second = {name: state["exp_avg_sq"].detach().cpu().numpy().copy() for name, state in found.items()}
    return Moments(step, first, second)


def _number(seed: str) -> int:
    """A 63-bit number from any string, the same on every machine."""
    return int(digest_bytes(seed.encode("utf-8"))[:16], 16) >> 1
