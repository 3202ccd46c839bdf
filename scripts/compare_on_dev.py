"""Compare ways to average on dev notes, one cause at a time: what training at a site and averaging do, without Flower.

    python scripts/compare_on_dev.py studies/open-benchmark.toml studies/ways-to-average.json OUT.jsonl --examples 150

The study file says base, encoder, sites and their splits. Each entry of the JSON file is one way: `name`; `model`
("causal", the default, "bert-whole" or "bert-lora"); `arm` ("fed", the default, "central", or a site's name: that
site alone); `rounds`, `epochs` a round, `batch_size`, `lr`, `head_lr`, `warmup_fraction`, `head_warmup_fraction`,
`seed`; `decay` ("whole", the default: one cosine over all rounds; "round": one a round; "none": the peak after the
warm-up); `zero_bias` (heads begin without leaning to unmarked tokens); `keep` (AdamW's moments stay at the site from
round to round), `average_moments` (they are averaged with the adapters); `train_a` (false: A stays as it was drawn);
`combine` ("factors" or "product") with `residual`; `server_optimizer`, `server_lr`, `server_momentum`; `plus`, a table
as a study file's [plus], with which sites are weighted as in Fed-MedLoRA+, and `judged_on`, the sites whose dev notes
judge them (none: all). A line of OUT.jsonl holds the entry, seconds, and by round the mean loss and the sites' weights,
at the end strict F1, on dev notes alone. Test portions are not looked at.

Losses are nats per target token on up to 200 dev examples of each site and task, half of which mark something.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rounds import RoundAggregation
from fedmedlora.aggregation.rules import averaging_products, find_rule
from fedmedlora.aggregation.server import ServerOptimizer, server_step
from fedmedlora.config.models import PlusConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.markup.encode import Example
from fedmedlora.studies.bert import TaggerFamily
from fedmedlora.studies.cells import plus_rule
from fedmedlora.studies.evaluate import evaluate
from fedmedlora.studies.families import Families, Family
from fedmedlora.studies.judges import make_judge
from fedmedlora.studies.resident import Resident, load_resident
from fedmedlora.training.batch import prepare
from fedmedlora.training.causal import loss_over, validation_batches
from fedmedlora.training.examples import MARKED_SHARE, make_examples
from fedmedlora.training.lesson import Judged, Lesson
from fedmedlora.training.loop import Moments, Schedule, TrainSettings, optimise
from fedmedlora.training.tagging import TagLesson, prepare_tags, tag_loss

_JUDGED = 200


@dataclass(frozen=True)
class Bench:
    """What all ways of one model share: the model, each member's training examples, dev examples by site and task."""

    resident: Resident
    family: Family
    lessons: Mapping[str, Lesson]
    judged: Mapping[str, Sequence[Example]]
    judges: Mapping[str, Judged]

    @classmethod
    def of(cls, resident: Resident, family: Family, judged: int = _JUDGED) -> Bench:
        """Draw the dev examples that every way is judged by, so many of each site and task."""
        config = resident.config
        lessons = {site: family.lesson([site]) for site in config.members}
        lessons["central"] = family.lesson(config.members)
        examples: dict[str, Sequence[Example]] = {}
        for site in config.members:
            for task in config.tasks:
                found = make_examples(
                    resident.sites[site].parts["dev"],
                    family.questions,
                    (task,),
                    max_per_task=judged,
                    marked_share=MARKED_SHARE,
                    seed=f"judged/{site}",
                )
                examples[f"{site}/{task}"] = found.examples
        judges = {name: _judge(resident, family, found) for name, found in examples.items()}
        return cls(resident, family, lessons, examples, judges)

    def loss(self, state: AdapterState, settings: TrainSettings) -> float:
        """Mean over sites and tasks of the mean loss."""
        self.family.learner.write(state)
        return fmean(judge(settings).mean for judge in self.judges.values())

    def f1(self, state: AdapterState) -> dict[str, float]:
        """Strict F1 by site and task on the dev documents that the study looks at."""
        resident, family, found = self.resident, self.family, {}
        family.learner.write(state)
        with autocast(resident.config.training.bf16):
            for site in resident.config.members:
                documents = resident.documents(site, "dev")
                done = evaluate(documents, family.questions, family.answers, resident.config.tasks)
                found.update({f"{site}/{task}": modes["strict"] or 0.0 for task, modes in done.f1().items()})
        return found


def _judge(resident: Resident, family: Family, examples: Sequence[Example]) -> Judged:
    if isinstance(family, TaggerFamily):
        held = family.examples
        lesson = TagLesson(
            family.tagger,
            prepare_tags(examples, held.schemes, family.tagger.encoder.tokenizer.end_id, held.max_tokens),
        )
        return lambda settings: tag_loss(lesson, settings)
    corpus = prepare(examples)
    batches = validation_batches(resident.adapted, corpus)
    return lambda settings: loss_over(resident.adapted, corpus, batches, settings)


def run_way(bench: Bench, way: Mapping[str, Any]) -> dict[str, object]:
    """Train one way, judge it on dev notes."""
    arm = way.get("arm", "fed")
    members = bench.resident.config.members if arm == "fed" else (arm,)
    rounds, seed = way.get("rounds", 3), way.get("seed", 0)
    settings = TrainSettings(
        lr=way.get("lr", 1e-3),
        head_lr=way.get("head_lr", 0.0),
        epochs=way.get("epochs", 2),
        batch_size=way.get("batch_size", 16),
        warmup_fraction=way.get("warmup_fraction", 0.03),
        head_warmup_fraction=way.get("head_warmup_fraction", 0.03),
        bf16=True,
        keep_moments=True,
        train_a=way.get("train_a", True),
    )
    state = bench.family.learner.fresh(seed)
    if way.get("zero_bias"):
        biases = [name for name in bench.family.learner.heads if name.endswith(".bias")]
        state = AdapterState({**state.arrays, **{name: 0 * state.arrays[name] for name in biases}}, state.spec)
    coordinator = Coordinator(bench, way, settings)
    moments: dict[str, Moments] = {}
    losses, trained_losses, weights, seconds = [], [], [], 0.0
    for number in range(rounds):
        kept = moments if way.get("keep", len(members) == 1) or way.get("average_moments") else {}
        trained = train_round(bench, members, state, settings, (number, rounds), seed, kept, way.get("decay", "whole"))
        moments, seconds = trained.moments, seconds + trained.seconds
        if way.get("average_moments"):
            moments = dict.fromkeys(members, mean_moments(moments, trained.tokens))
        state, weighed = coordinator.combine(state, trained.states, trained.tokens)
        weights.append(weighed)
        losses.append(bench.loss(state, settings))
        trained_losses.append(trained.losses)
    f1 = bench.f1(state)
    means = {task: fmean(value for key, value in f1.items() if key.endswith(task)) for task in ("ner", "re")}
    return {
        "way": dict(way),
        "seconds": seconds,
        "training_loss": trained_losses,
        "dev_loss": losses,
        "weights": weights,
        "dev_f1": f1,
        "mean_f1": means,
    }


class Trained(NamedTuple):
    """What a round's members send, by site. tokens: target tokens trained on. losses: of training. seconds: of all."""

    states: dict[str, AdapterState]
    tokens: dict[str, int]
    moments: dict[str, Moments]
    losses: dict[str, float]
    seconds: float


def train_round(
    bench: Bench,
    members: Sequence[str],
    state: AdapterState,
    settings: TrainSettings,
    place: tuple[int, int],
    seed: int,
    kept: Mapping[str, Moments],
    decay: str = "whole",
) -> Trained:
    """Train every member from the same adapter. place: number of the round, from 0, and of rounds in all."""
    number, rounds = place
    learner = bench.family.learner
    trained = Trained({}, {}, {}, {}, 0.0)
    for site in members:
        learner.write(state)
        done = optimise(
            bench.lessons[site],
            settings,
            schedule(decay, settings, len(bench.lessons[site]), number, rounds),
            seed=f"{seed}/{site}/round {number}",
            moments=kept.get(site),
        )
        assert done.moments is not None
        trained.moments[site], trained.states[site] = done.moments, learner.read()
        trained.tokens[site], trained.losses[site] = done.target_tokens, done.loss
        trained = trained._replace(seconds=trained.seconds + done.seconds)
    return trained


class Coordinator:
    """Combines the members' adapters as one way says, with the parts that a study's coordinator has."""

    def __init__(self, bench: Bench, way: Mapping[str, Any], settings: TrainSettings) -> None:
        rule, self._score = find_rule("fedmedlora"), None
        if "plus" in way:
            plus = PlusConfig(**way["plus"])
            rule = plus_rule(plus)
            resident = replace(bench.resident, config=bench.resident.config.model_copy(update={"plus": plus}))
            sites = way.get("judged_on", resident.config.members)
            judge = make_judge(resident, bench.family, sites, settings)
            self._score = lambda site, state: judge(state)
        self._rule = rule if way.get("combine") != "product" else averaging_products(rule, way.get("residual", "drop"))
        momentum = way.get("server_momentum", 0.0)
        name = way.get("server_optimizer", "momentum" if momentum else "average")
        self._optimizer = ServerOptimizer(name, lr=way.get("server_lr", 1.0), momentum=momentum)
        self._residual: AdapterState | None = None
        self._memory: AdapterState | None = None

    def combine(
        self, before: AdapterState, states: Mapping[str, AdapterState], tokens: Mapping[str, int]
    ) -> tuple[AdapterState, dict[str, float]]:
        """The next global adapter, and each site's weight."""
        going = RoundAggregation(self._rule, before, tokens, self._score, residual=self._residual)
        for site, state in states.items():
            going.offer(site, state)
        found = going.result()
        if found.refused:
            raise ValueError(f"refused: {found.refused}")
        self._residual = found.residual
        state, self._memory = server_step(self._optimizer, before, found.state, self._memory)
        return state, dict(found.weights)


class Level(Schedule):
    """A warm-up, then the peak to the end."""

    def factor(self, local_step: int) -> float:
        """As `Schedule`."""
        warmup = max(1, round(self.warmup_fraction * self.total_steps))
        return min(1.0, (self.first_step + local_step + 1) / warmup)


def schedule(decay: str, settings: TrainSettings, examples: int, number: int, rounds: int) -> Schedule:
    """Of one round. number: from 0."""
    if decay == "round":
        return settings.schedule(examples)
    whole = settings.schedule(examples, number, rounds)
    return whole if decay == "whole" else Level(*(getattr(whole, field.name) for field in fields(whole)))


def mean_moments(moments: Mapping[str, Moments], weights: Mapping[str, int]) -> Moments:
    """AdamW's moments averaged over sites, by the adapters' weights."""
    total = sum(weights.values())
    first, second = (
        {
            name: np.sum([weights[s] / total * parts[s][name] for s in parts], axis=0, dtype=np.float32)
            for name in next(iter(parts.values()))
        }
        for parts in ({s: m.first for s, m in moments.items()}, {s: m.second for s, m in moments.items()})
    )
    return Moments(round(fmean(one.step for one in moments.values())), first, second)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare ways to average on dev notes.")
    parser.add_argument("study", type=Path)
    parser.add_argument("ways", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--examples", type=int, default=150, help="training examples of each task and site")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as `fedmedlora run` has it")
    given = parser.parse_args(arguments)
    ways = json.loads(given.ways.read_text(encoding="utf-8"))
    models = list(dict.fromkeys(way.get("model", "causal") for way in ways))
    arms = {"causal": "fedmedlora-plus", "bert-whole": "bert-fedavg", "bert-lora": "bert-lora-fedmedlora-plus"}
    caps = [
        f"training.max_train_examples={given.examples}",
        f"arms={json.dumps([arms[model] for model in models])}",
        'settings=["in-domain"]',
    ]
    resident = load_resident(load_study(given.study, [*caps, *given.set]))
    families = Families(resident)
    benches = {model: Bench.of(resident, families.named(model)) for model in models}
    for way in ways:
        line = run_way(benches[way.get("model", "causal")], way)
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"examples": given.examples, **line}) + "\n")
        print(f"{way['name']}: loss {line['dev_loss']}, F1 {line['mean_f1']}", flush=True)


if __name__ == "__main__":
    main()
