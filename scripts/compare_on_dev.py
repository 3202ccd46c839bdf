"""Compare ways to average on dev notes, one cause at a time: what training at a site and averaging do, without Flower.

    python scripts/compare_on_dev.py studies/open-benchmark.toml studies/ways-to-average.json OUT.jsonl --examples 150

The study file says base, encoder, sites and their splits. Each entry of the JSON file is one way: `name`; `model`
("causal", the default, "bert-whole" or "bert-lora"); `arm` ("fed", the default, "central", or a site's name: that
site alone); `rounds`, `epochs` a round, `batch_size`, `lr`, `head_lr`, `warmup_fraction`, `head_warmup_fraction`,
`seed`; `zero_bias` (heads begin without leaning to unmarked tokens); `keep` (AdamW's moments stay at the site from
round to round), `average_moments` (they are averaged with the adapters); `train_a` (false: A stays as it was drawn);
`combine` ("factors" or "product") with `residual`; `server_lr`, `server_momentum`. A line of OUT.jsonl holds the
entry, seconds, and by round the mean loss and at the end strict F1, on dev notes alone. Test portions are not looked
at.

Losses are nats per target token on up to 200 dev examples of each site and task, half of which mark something.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.products import ProductMean
from fedmedlora.aggregation.stream import aggregate
from fedmedlora.config.study_file import load_study
from fedmedlora.markup.encode import Example
from fedmedlora.studies.bert import TaggerFamily
from fedmedlora.studies.evaluate import evaluate
from fedmedlora.studies.families import Families, Family
from fedmedlora.studies.resident import Resident, load_resident
from fedmedlora.training.batch import prepare
from fedmedlora.training.causal import loss_over, validation_batches
from fedmedlora.training.examples import MARKED_SHARE, make_examples
from fedmedlora.training.lesson import Judged, Lesson
from fedmedlora.training.loop import Moments, TrainSettings, optimise
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
    coordinator = Coordinator(way)
    moments: dict[str, Moments] = {}
    losses, trained_losses, seconds = [], [], 0.0
    for number in range(rounds):
        kept = moments if way.get("keep", len(members) == 1) or way.get("average_moments") else {}
        trained = train_round(bench, members, state, settings, (number, rounds), seed, kept)
        moments, seconds = trained.moments, seconds + trained.seconds
        if way.get("average_moments"):
            moments = dict.fromkeys(members, mean_moments(moments, trained.weights))
        state = coordinator.combine(state, trained.states, trained.weights)
        losses.append(bench.loss(state, settings))
        trained_losses.append(trained.losses)
    f1 = bench.f1(state)
    means = {task: fmean(value for key, value in f1.items() if key.endswith(task)) for task in ("ner", "re")}
    return {
        "way": dict(way),
        "seconds": seconds,
        "training_loss": trained_losses,
        "dev_loss": losses,
        "dev_f1": f1,
        "mean_f1": means,
    }


class Trained(NamedTuple):
    """What a round's members send, by site. weights: their target tokens. losses: of training. seconds: of all."""

    states: dict[str, AdapterState]
    weights: dict[str, float]
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
            settings.schedule(len(bench.lessons[site]), number, rounds),
            seed=f"{seed}/{site}/round {number}",
            moments=kept.get(site),
        )
        assert done.moments is not None
        trained.moments[site], trained.states[site] = done.moments, learner.read()
        trained.weights[site], trained.losses[site] = float(done.target_tokens), done.loss
        trained = trained._replace(seconds=trained.seconds + done.seconds)
    return trained


class Coordinator:
    """Combines the members' adapters as one way says; remembers its momentum, or what cutting a product lost."""

    def __init__(self, way: Mapping[str, Any]) -> None:
        self._product = way.get("combine") == "product"
        self._keep_residual = way.get("residual") == "keep"
        self._lr, self._momentum = way.get("server_lr", 1.0), way.get("server_momentum", 0.0)
        self._residual: AdapterState | None = None
        self._velocity: dict[str, np.ndarray] = {}

    def combine(
        self, before: AdapterState, states: Mapping[str, AdapterState], weights: Mapping[str, float]
    ) -> AdapterState:
        """The next global adapter."""
        if self._product:
            rank = before.spec.rank * len(states) if self._keep_residual else 0
            mean = ProductMean(self._residual, rank)
            for site, state in states.items():
                mean.add_log(state, math.log(weights[site]))
            found, self._residual = mean.result()
            return found
        average = aggregate(states, weights)
        if self._lr == 1.0 and not self._momentum:
            return average
        arrays = {}
        for name, array in average.arrays.items():
            step = array - before.arrays[name] + np.float32(self._momentum) * self._velocity.get(name, np.float32(0))
            self._velocity[name] = step
            arrays[name] = before.arrays[name] + np.float32(self._lr) * step
        return AdapterState(arrays, before.spec)


def mean_moments(moments: Mapping[str, Moments], weights: Mapping[str, float]) -> Moments:
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
    arms = {"causal": "fedmedlora", "bert-whole": "bert-fedavg", "bert-lora": "bert-lora-fedmedlora"}
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
