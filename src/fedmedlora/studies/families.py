"""What a cell trains and asks: a causal model with a LoRA, or an encoder that tags. The run knows only `Family`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from fedmedlora.adapters.encoder import EncoderBase
from fedmedlora.adapters.state import AdapterState, load_state, save_state
from fedmedlora.config.arms import BERT, BERT_LORA, BERT_WHOLE, PLUS
from fedmedlora.corpus.document import Json
from fedmedlora.markup.encode import Encoder, Task
from fedmedlora.studies.bert import (
    BertExamples,
    TaggerFamily,
    encode_for_tagging,
    make_family,
    name_of_base,
    study_encoder,
)
from fedmedlora.studies.cells import Cell, cell_settings
from fedmedlora.studies.evaluate import Answering
from fedmedlora.studies.resident import Resident, base_bytes
from fedmedlora.studies.variants import Source
from fedmedlora.training.causal import CausalLesson, loss_over, validation_batches
from fedmedlora.training.lesson import Judged, Learner, Lesson
from fedmedlora.training.loop import TrainSettings

FamilyName: TypeAlias = Literal["causal", "bert-whole", "bert-lora"]


def family_name(cell: Cell) -> FamilyName:
    """Of what a cell trains."""
    if cell.arm in BERT_WHOLE:
        return "bert-whole"
    return "bert-lora" if cell.arm in BERT_LORA else "causal"


class Family(Protocol):
    """One resident model, and all that a cell needs of it."""

    @property
    def learner(self) -> Learner:
        """What states are written to and begin with."""
        ...

    @property
    def questions(self) -> Encoder:
        """Turns windows into questions."""
        ...

    @property
    def answers(self) -> Answering:
        """Answers them by the state that is in the model."""
        ...

    @property
    def base_bytes(self) -> int:
        """Of the whole model without what is added to it: what would travel if all of it did."""
        ...

    def settings(self, cell: Cell) -> TrainSettings:
        """How a cell is trained."""
        ...

    def lesson(self, sources: Sequence[Source]) -> Lesson:
        """The training examples of some sources, together."""
        ...

    def target_tokens(self, sources: Sequence[Source]) -> int:
        """What their lesson trains against in one pass, counted without preparing it."""
        ...

    def judged(self, sites: Sequence[str], tasks: Sequence[Task]) -> Judged:
        """The coordinator's validation examples of some sites and tasks. Raises CorpusError when there is none."""
        ...

    def save(self, state: AdapterState, folder: Path) -> None:
        """Leave a state in a folder that other programs load."""
        ...

    def load(self, folder: Path) -> AdapterState:
        """What `save` left there. Raises AdapterError when it is damaged, or of another base."""
        ...


@dataclass(frozen=True)
class CausalFamily:
    """The base model with its LoRA. Satisfies `Family`."""

    resident: Resident

    @property
    def learner(self) -> Learner:
        """The base with its LoRA."""
        return self.resident.adapted

    @property
    def questions(self) -> Encoder:
        """Prompts with the text."""
        return self.resident.encoder

    @property
    def answers(self) -> Answering:
        """The constrained decoder."""
        return self.resident.decoder

    @property
    def base_bytes(self) -> int:
        """Of the frozen base."""
        return base_bytes(self.resident.adapted)

    def settings(self, cell: Cell) -> TrainSettings:
        """As [training] says."""
        return cell_settings(cell, self.resident.config.training, self.resident.config.fedprox)

    def lesson(self, sources: Sequence[Source]) -> Lesson:
        """Packed where the base can read packs."""
        return CausalLesson(self.resident.adapted, self.resident.corpus(sources))

    def target_tokens(self, sources: Sequence[Source]) -> int:
        """Of completions."""
        return sum(len(example.completion) for source in sources for example in self.resident.examples[source])

    def judged(self, sites: Sequence[str], tasks: Sequence[Task]) -> Judged:
        """Put into tensors once, for all adapters."""
        adapted, corpus = self.resident.adapted, self.resident.judged(sites, tasks)
        batches = validation_batches(adapted, corpus)
        return lambda settings: loss_over(adapted, corpus, batches, settings)

    def save(self, state: AdapterState, folder: Path) -> None:
        """PEFT's layout."""
        save_state(state, folder, self.resident.config.base)

    def load(self, folder: Path) -> AdapterState:
        """As `Family`."""
        return load_state(folder, self.resident.adapted.base.digest)


@dataclass(frozen=True)
class Families:
    """The families of a study, each loaded when a cell first asks for it."""

    resident: Resident

    def of(self, cell: Cell) -> Family:
        """What a cell trains. Raises the errors of loading an encoder, and CorpusError for a site without examples."""
        return self.named(family_name(cell))

    def named(self, name: FamilyName) -> Family:
        """The family of that name. Raises as `of`."""
        if name == "bert-whole":
            return self._whole
        return self._with_lora if name == "bert-lora" else self.causal

    @cached_property
    def causal(self) -> Family:
        """That of all arms but the bert ones."""
        return CausalFamily(self.resident)

    def describe(self) -> dict[str, Json]:
        """What `run.json` says of the encoder, where an arm uses one. No path, no text."""
        used = [arm for arm in self.resident.config.arms if arm in BERT]
        if not used:
            return {}
        families: Mapping[str, TaggerFamily] = {
            **({"whole": self._whole} if any(arm in BERT_WHOLE for arm in used) else {}),
            **({"lora": self._with_lora} if any(arm in BERT_LORA for arm in used) else {}),
        }
        one = next(iter(families.values()))
        trained: dict[str, Json] = {}
        for kind, family in families.items():
            state = family.tagger.fresh(0)
            trained[kind] = {"parameters": state.parameters, "bytes": state.nbytes}
        return {
            "encoder": {
                "name": name_of_base(one.tagger.encoder.name),
                "digest": one.tagger.encoder.digest,
                "tokenizer_digest": one.tagger.encoder.tokenizer.digest,
                "parameters": one.tagger.encoder.parameters,
                "bytes": one.base_bytes,
                "trained": trained,
                "sites": one.examples.describe(),
                "derived": one.examples.describe_derived(),
            }
        }

    @cached_property
    def _whole(self) -> TaggerFamily:
        return make_family(self.resident.config, self._encoder_whole, self._examples, lora=False)

    @cached_property
    def _with_lora(self) -> TaggerFamily:
        return make_family(self.resident.config, self._encoder_for_lora, self._examples, lora=True)

    # One is changed as a whole and the other wrapped, so they are two.
    @cached_property
    def _encoder_whole(self) -> EncoderBase:
        return study_encoder(self.resident.config)

    @cached_property
    def _encoder_for_lora(self) -> EncoderBase:
        return study_encoder(self.resident.config)

    @cached_property
    def _examples(self) -> BertExamples:
        arms = self.resident.config.arms
        encoder = self._encoder_whole if any(arm in BERT_WHOLE for arm in arms) else self._encoder_for_lora
        return encode_for_tagging(self.resident, encoder, judged=any(arm in PLUS and arm in BERT for arm in arms))
