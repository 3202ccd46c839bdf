"""The arms bert-*: one encoder that tags both tasks, on the windows, caps and seeds of the other arms."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fedmedlora.adapters.encoder import EncoderBase, load_encoder
from fedmedlora.adapters.state import AdapterState
from fedmedlora.adapters.tagger import Lora, Tagger, make_tagger
from fedmedlora.adapters.tagger_files import load_tagger_state, save_tagger
from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.document import Json
from fedmedlora.errors import ConfigError, CorpusError
from fedmedlora.inference.tag import TagAnswers
from fedmedlora.markup.encode import Encoded, Encoder, Example, Task
from fedmedlora.markup.iob import TagScheme, tag_schemes
from fedmedlora.markup.prompts import BARE
from fedmedlora.studies.cells import Cell, bert_settings
from fedmedlora.studies.derived import derive_examples
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.variants import Changed, Derived, Source
from fedmedlora.training.examples import MARKED_SHARE, make_examples
from fedmedlora.training.lesson import Judged
from fedmedlora.training.loop import TrainSettings
from fedmedlora.training.tagging import TagCorpus, TagExample, TagLesson, prepare_tags, tag_loss


@dataclass(frozen=True)
class BertExamples:
    """Every site's examples as tagged rows.

    questions: turns windows into questions; what is too long is cut, never left out. training: by source, what settings
    make of sites' notes among them; validation: by site, from dev parts. dropped: by source, what could not be held.
    """

    questions: Encoder
    schemes: Mapping[Task, TagScheme]
    max_tokens: int
    training: Mapping[Source, TagCorpus]
    validation: Mapping[Source, TagCorpus]
    dropped: Mapping[Source, Mapping[str, int]]

    def describe(self) -> dict[str, Json]:
        """By site: examples of each task, tagged tokens, what was dropped."""
        return {source: self._describe(source) for source in self.dropped if isinstance(source, str)}

    def describe_derived(self) -> list[Json]:
        """The same of what settings make of sites' notes, with name and seed as `derived` in run.json has them."""
        made: list[Derived] = [source for source in self.dropped if not isinstance(source, str)]
        return [
            {
                "name": source.name,
                "seed": None if isinstance(source, Changed) else source.seed,
                **self._describe(source),
            }
            for source in made
        ]

    def _describe(self, source: Source) -> dict[str, Json]:
        held = self.training[source].examples if source in self.training else ()
        examples: dict[str, Json] = dict(sorted(Counter(example.task for example in held).items()))
        dropped: dict[str, Json] = dict(self.dropped[source])
        tokens = sum(len(example.tags) for example in held)
        return {"examples": examples, "target_tokens": tokens, "dropped": dropped}


@dataclass(frozen=True)
class TaggerFamily:
    """An encoder with its heads, trained whole or with a LoRA. Satisfies `families.Family`."""

    config: StudyConfig
    tagger: Tagger
    examples: BertExamples

    @property
    def learner(self) -> Tagger:
        """The encoder with its heads."""
        return self.tagger

    @property
    def questions(self) -> Encoder:
        """The text alone, for RE with one entity marked."""
        return self.examples.questions

    @cached_property
    def answers(self) -> TagAnswers:
        """The most probable tags."""
        batch_size = self.config.evaluation.batch_size
        return TagAnswers(self.tagger, self.examples.schemes, self.examples.max_tokens, batch_size)

    @property
    def base_bytes(self) -> int:
        """Of the encoder without heads and LoRA, as float32."""
        return 4 * self.tagger.encoder.parameters

    def settings(self, cell: Cell) -> TrainSettings:
        """As [bert] says, else as [training]."""
        return bert_settings(cell, self.config.training, self.config.bert)

    def lesson(self, sources: Sequence[Source]) -> TagLesson:
        """The training examples of some sources, together."""
        return self._lesson(self.examples.training, sources)

    def target_tokens(self, sources: Sequence[Source]) -> int:
        """Of rows that are ready."""
        return self.lesson(sources).target_tokens()

    def judged(self, sites: Sequence[str], tasks: Sequence[Task]) -> Judged:
        """The coordinator's validation examples of some sites and tasks. Raises CorpusError when there is none."""
        whole = self._lesson(self.examples.validation, sites).corpus.examples
        found = TagLesson(self.tagger, TagCorpus(tuple(example for example in whole if example.task in tasks), {}))
        if not len(found):
            raise CorpusError(
                f"Fed-MedLoRA+ needs validation examples, but none of {', '.join(sites)} has one of {', '.join(tasks)} "
                "in a dev document. Give one of them such a dev part."
            )
        return lambda settings: tag_loss(found, settings)

    def save(self, state: AdapterState, folder: Path) -> None:
        """PEFT's layout with a LoRA, else a Hugging Face model."""
        save_tagger(self.tagger, state, folder, self.tagger.encoder.name, self.examples.max_tokens)

    def load(self, folder: Path) -> AdapterState:
        """As `families.Family`. Whether it fits is found when it is written."""
        return load_tagger_state(folder)

    def _lesson(self, corpora: Mapping[Source, TagCorpus], sources: Sequence[Source]) -> TagLesson:
        examples: list[TagExample] = [
            one for source in sources if source in corpora for one in corpora[source].examples
        ]
        return TagLesson(self.tagger, TagCorpus(tuple(examples), {}))


def make_family(config: StudyConfig, encoder: EncoderBase, examples: BertExamples, *, lora: bool) -> TaggerFamily:
    """Give an encoder that was loaded for it heads, and a LoRA or none."""
    bert, training = config.bert, config.training
    shape = None
    if lora:
        dropout = training.dropout if bert.dropout is None else bert.dropout
        shape = Lora(bert.rank or training.rank, bert.alpha or training.alpha, dropout)
    tags: dict[str, tuple[str, ...]] = {task: examples.schemes[task].names for task in config.tasks}
    return TaggerFamily(config, make_tagger(encoder, tags, shape), examples)


def encode_for_tagging(resident: Resident, encoder: EncoderBase, *, judged: bool) -> BertExamples:
    """The sites' notes in the encoder's tokens: windows, caps and seeds as for the other arms.

    judged: whether the coordinator needs validation examples. Raises CorpusError for a site without an example.
    """
    config, tokenizer = resident.config, encoder.tokenizer
    most = encoder.usable_tokens(config.bert.max_tokens)
    # Rows are cut where they are made, so that no text is left out for its length.
    questions = Encoder(tokenizer, resident.labels, BARE, max_tokens=sys.maxsize)
    schemes = tag_schemes(resident.labels)
    examples: dict[Source, Sequence[Example]] = {}
    dropped: dict[Source, Counter[str]] = {name: Counter() for name in resident.sites}
    for name in config.members:
        encoded = make_examples(
            resident.sites[name].parts["train"],
            questions,
            config.tasks,
            max_per_task=config.training.max_train_examples,
            marked_share=MARKED_SHARE,
            seed=f"cap/{name}",
        )
        examples[name] = encoded.examples
        dropped[name].update({f"training: {why}": count for why, count in encoded.dropped.items()})
    derived = derive_examples(resident.derived, config, resident.sites, questions, examples)
    examples.update((source, made.examples) for source, made in derived.items())
    dropped.update(
        (source, Counter({f"training: {why}": n for why, n in made.dropped.items()}))
        for source, made in derived.items()
    )
    training = {source: prepare_tags(held, schemes, tokenizer.end_id, most) for source, held in examples.items()}
    for source, corpus in training.items():
        if not corpus.examples:
            site = source if isinstance(source, str) else source.name
            raise CorpusError(
                f"site '{site}' has no training example for the encoder '{encoder.name}'. Check its labels and recipe."
            )
        dropped[source].update({f"training: {why}": count for why, count in corpus.dropped.items()})
    validation: dict[Source, TagCorpus] = {}
    for name, encoded in (_judging_examples(resident, questions) if judged else {}).items():
        validation[name] = prepare_tags(encoded.examples, schemes, tokenizer.end_id, most)
        both = encoded.dropped + Counter(validation[name].dropped)
        dropped[name].update({f"validation: {why}": count for why, count in both.items()})
    counted = {source: dict(sorted(counts.items())) for source, counts in dropped.items()}
    return BertExamples(questions, schemes, most, training, validation, counted)


def _judging_examples(resident: Resident, questions: Encoder) -> dict[str, Encoded]:
    """As many dev examples of each task from every site that has them, so that no site's style decides alone."""
    config = resident.config
    return {
        name: make_examples(
            site.parts["dev"],
            questions,
            config.tasks,
            max_per_task=config.plus.validation_examples,
            seed=f"validation/{name}",
        )
        for name, site in resident.sites.items()
        if site.parts["dev"] and name in config.members
    }


def study_encoder(config: StudyConfig) -> EncoderBase:
    """Load the study's encoder. Raises ConfigError where it names none, else as `load_encoder`."""
    if config.bert.encoder is None:
        raise ConfigError("an arm bert-* needs bert.encoder: 'minilm', a folder, or a Hugging Face hub name.")
    return load_encoder(config.bert.encoder)


def name_of_base(name: str) -> str:
    """The name of a model for records, without the folders of one machine."""
    return Path(name).name if Path(name).is_absolute() else name
