"""Compare ways to average on dev notes, one cause at a time: what training at a site and averaging do, without Flower.

    python scripts/compare_on_dev.py studies/open-benchmark.toml studies/ways-to-average.json OUT.jsonl --examples 150

The study file says base, sites and their splits. Each entry of the JSON file is one way: `name`; `arm` ("fed", the
default, or "central"); `rounds`, `epochs` a round, `lr`, `seed`; `keep` (AdamW's moments stay at the site from round to
round), `average_moments` (they are averaged with the adapters); `train_a` (false: A stays as it was drawn); `combine`
("factors" or "product") with `residual`; `server_lr`, `server_momentum`. A line of OUT.jsonl holds the entry, seconds,
and by round the mean loss and at the end strict F1, on dev notes alone. Test portions are not looked at.

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
from fedmedlora.studies.evaluate import evaluate
from fedmedlora.studies.resident import Resident, load_resident
from fedmedlora.training.batch import Batch, Corpus, prepare
from fedmedlora.training.causal import fit, loss_over, validation_batches
from fedmedlora.training.examples import MARKED_SHARE, make_examples
from fedmedlora.training.loop import Moments, Schedule, TrainSettings

_JUDGED = 200


@dataclass(frozen=True)
class Bench:
    """What all ways share: the base, each member's training examples, and dev examples by site and task."""

    resident: Resident
    examples: Mapping[str, Corpus]
    dev: Mapping[str, tuple[Corpus, list[Batch]]]

    @classmethod
    def of(cls, resident: Resident, judged: int = _JUDGED) -> Bench:
        """Draw the dev examples that every way is judged by, so many of each site and task."""
        config = resident.config
        examples = {site: resident.corpus([site]) for site in config.members}
        examples["all"] = resident.corpus(config.members)
        dev = {}
        for site in config.members:
            for task in config.tasks:
                found = make_examples(
                    resident.sites[site].parts["dev"],
                    resident.encoder,
                    (task,),
                    max_per_task=judged,
                    marked_share=MARKED_SHARE,
                    seed=f"judged/{site}",
                )
                corpus = prepare(found.examples)
                dev[f"{site}/{task}"] = (corpus, validation_batches(resident.adapted, corpus))
        return cls(resident, examples, dev)

    def loss(self, state: AdapterState, settings: TrainSettings) -> float:
        """Mean over sites and tasks of the mean loss."""
        self.resident.adapted.write(state)
        return fmean(loss_over(self.resident.adapted, *part, settings).mean for part in self.dev.values())

    def f1(self, state: AdapterState) -> dict[str, float]:
        """Strict F1 by site and task on the dev documents that the study looks at."""
        resident, found = self.resident, {}
        resident.adapted.write(state)
        with autocast(resident.config.training.bf16):
            for site in resident.config.members:
                documents = resident.documents(site, "dev")
                done = evaluate(documents, resident.encoder, resident.decoder, resident.config.tasks)
                found.update({f"{site}/{task}": modes["strict"] or 0.0 for task, modes in done.f1().items()})
        return found


def run_way(bench: Bench, way: Mapping[str, Any]) -> dict[str, object]:
    """Train one way, judge it on dev notes."""
    members = bench.resident.config.members if way.get("arm", "fed") == "fed" else ("all",)
    rounds, seed = way.get("rounds", 3), way.get("seed", 0)
    settings = TrainSettings(
        lr=way.get("lr", 1e-3),
        epochs=way.get("epochs", 2),
        batch_size=16,
        bf16=True,
        keep_moments=True,
        train_a=way.get("train_a", True),
    )
    state = bench.resident.adapted.fresh(seed)
    coordinator = Coordinator(way)
    moments: dict[str, Moments] = {}
    losses, seconds = [], 0.0
    for number in range(rounds):
        kept = moments if way.get("keep", len(members) == 1) or way.get("average_moments") else {}
        trained = train_round(bench, members, state, settings, (number, rounds), seed, kept)
        moments, seconds = trained.moments, seconds + trained.seconds
        if way.get("average_moments"):
            moments = dict.fromkeys(members, mean_moments(moments, trained.weights))
        state = coordinator.combine(state, trained.states, trained.weights)
        losses.append(bench.loss(state, settings))
    f1 = bench.f1(state)
    means = {task: fmean(value for key, value in f1.items() if key.endswith(task)) for task in ("ner", "re")}
    return {"way": dict(way), "seconds": seconds, "dev_loss": losses, "dev_f1": f1, "mean_f1": means}


class Trained(NamedTuple):
    """What a round's members send, by site. weights: their target tokens. seconds: of all together."""

    states: dict[str, AdapterState]
    weights: dict[str, float]
    moments: dict[str, Moments]
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
    trained = Trained({}, {}, {}, 0.0)
    for site in members:
        bench.resident.adapted.write(state)
        steps = settings.steps(len(bench.examples[site]))
        done = fit(
            bench.resident.adapted,
            bench.examples[site],
            settings,
            Schedule(number * steps, rounds * steps, settings.warmup_fraction),
            seed=f"{seed}/{site}/round {number}",
            moments=kept.get(site),
        )
        assert done.moments is not None
        trained.moments[site], trained.states[site] = done.moments, bench.resident.adapted.read()
        trained.weights[site] = float(done.target_tokens)
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
    caps = [f"training.max_train_examples={given.examples}", 'arms=["fedmedlora"]', 'settings=["in-domain"]']
    bench = Bench.of(load_resident(load_study(given.study, [*caps, *given.set])))
    for way in json.loads(given.ways.read_text(encoding="utf-8")):
        line = run_way(bench, way)
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"examples": given.examples, **line}) + "\n")
        print(f"{way['name']}: loss {line['dev_loss']}, F1 {line['mean_f1']}", flush=True)


if __name__ == "__main__":
    main()
