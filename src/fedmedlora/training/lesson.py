"""What the optimisation trains, whatever the model: who learns, and from what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from fedmedlora.adapters.state import AdapterState

if TYPE_CHECKING:
    from fedmedlora.training.loop import LossSum, TrainSettings


class Learner(Protocol):
    """A resident model of which something is trained, which goes in and out as an AdapterState."""

    @property
    def trunk(self) -> PreTrainedModel:
        """The model that what is trained changes, or is a part of."""
        ...

    @property
    def base_digest(self) -> str:
        """Of what a state belongs to."""
        ...

    @property
    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Names as in AdapterState, with their trained weights, in a fixed order."""
        ...

    @property
    def heads(self) -> frozenset[str]:
        """Names of what begins at random and answers; empty where the model answers with what it has."""
        ...

    def read(self) -> AdapterState:
        """What is trained, as it stands."""
        ...

    def write(self, state: AdapterState) -> None:
        """Put a state in place of the current one."""
        ...

    def fresh(self, seed: int) -> AdapterState:
        """An untrained state."""
        ...


class Lesson(Protocol):
    """A model with the examples that it learns from. Examples are known by their numbers."""

    @property
    def learner(self) -> Learner:
        """Who learns."""
        ...

    @property
    def data_digest(self) -> str:
        """SHA-256 over all examples, in order."""
        ...

    def __len__(self) -> int:
        """How many examples there are."""
        ...

    def target_tokens(self, chosen: Sequence[int] | None = None) -> int:
        """Tokens that the chosen examples, or all, train against."""
        ...

    def steps(self, settings: TrainSettings, seed: str) -> list[list[list[int]]]:
        """Optimizer steps of a whole stretch, each a list of passes over some examples. Asked in training mode."""
        ...

    def loss(self, chosen: Sequence[int], settings: TrainSettings) -> Tensor:
        """Summed loss of a pass, in nats, with gradient."""
        ...


class Judged(Protocol):
    """Validation examples by which a model is judged as it stands."""

    def __call__(self, settings: TrainSettings) -> LossSum:
        """Their loss, without dropout or gradient."""
        ...
