"""How much could weighting sites gain at best? Learn the weights on dev notes with gradients, and see what they give.

    python scripts/best_weights.py studies/open-benchmark.toml OUT.jsonl --examples 75

Fed-MedLoRA+ sets one weight a site by a rule. Here no rule is asked: after every round the weights that make the
averaged adapter's loss on dev notes least are found by gradient descent, one for each site, or one for each site and
adapted module; training goes on from that average. What a rule could gain within a round is bounded by these, as far as
a dozen steps of descent find them.

Weights are learnt on one half of the dev examples ("fit") and judged on the other ("judged"): loss in nats per target
token, mean over sites and tasks. F1 is of the dev documents that the study looks at, among which are those of both
halves. A line of OUT.jsonl holds one kind of weights: "size", "site" or "module". Test portions are not looked at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from compare_on_dev import Bench, train_round
from fedmedlora.adapters.lora import Adapted
from fedmedlora.adapters.precision import autocast
from fedmedlora.adapters.state import AdapterState
from fedmedlora.config.study_file import load_study
from fedmedlora.markup.encode import Example
from fedmedlora.studies.families import Families
from fedmedlora.studies.resident import load_resident
from fedmedlora.training.batch import Batch, Corpus, prepare
from fedmedlora.training.causal import loss_over, validation_batches
from fedmedlora.training.loop import Moments, TrainSettings
from fedmedlora.training.objective import judgement, summed_loss

KINDS = ("size", "site", "module")
_ROUNDS = 3
_STEPS = 12
_STEP = 0.4
"""Adam's rate on the logarithms of weights: a dozen steps can move a weight by two orders of magnitude."""


class Part(NamedTuple):
    """One half of a site's dev examples of one task."""

    corpus: Corpus
    batches: list[Batch]

    @classmethod
    def of(cls, adapted: Adapted, examples: Sequence[Example]) -> Part:
        """Put into tensors once."""
        corpus = prepare(examples)
        return cls(corpus, validation_batches(adapted, corpus))


class Mixture:
    """An average of sites' adapters as a function of its weights, softmax over sites, one row a group of tensors."""

    def __init__(self, bench: Bench, states: Mapping[str, AdapterState], sizes: Mapping[str, float], kind: str) -> None:
        self._learner = bench.family.learner
        self._names = [name for name, _ in self._learner.named_parameters]
        modules = {name: name.rpartition(".lora_")[0] if kind == "module" else "" for name in self._names}
        rows = {module: row for row, module in enumerate(dict.fromkeys(modules.values()))}
        self._row = {name: rows[module] for name, module in modules.items()}
        self._stacks = {
            name: torch.from_numpy(np.stack([state.arrays[name] for state in states.values()])) for name in self._names
        }
        logs = torch.log(torch.tensor([sizes[site] for site in states], dtype=torch.float32))
        self.logits = (logs - logs.mean()).repeat(len(rows), 1).requires_grad_()

    @property
    def weights(self) -> Tensor:
        """Rows of one weight a site, each of sum 1."""
        return torch.softmax(self.logits, dim=1)

    def write(self) -> None:
        """Put the average into the model."""
        weights = self.weights.detach()
        with torch.no_grad():
            for name, parameter in self._learner.named_parameters:
                parameter.copy_(torch.tensordot(weights[self._row[name]], self._stacks[name], dims=1))

    def pull(self) -> None:
        """Carry the gradient of the model's weights to the logits."""
        found = torch.zeros_like(self.logits)
        for name, parameter in self._learner.named_parameters:
            assert parameter.grad is not None
            found[self._row[name]] += (self._stacks[name] * parameter.grad).flatten(1).sum(1)
        self.logits.grad = None
        self.weights.backward(found)


def learn(mixture: Mixture, adapted: Adapted, parts: Mapping[str, Part], settings: TrainSettings) -> None:
    """Gradient descent on the mean over parts of their mean loss."""
    optimizer = torch.optim.Adam([mixture.logits], lr=_STEP)
    for _ in range(_STEPS):
        mixture.write()
        for parameter in adapted.parameters:
            parameter.grad = None
        for part in parts.values():
            tokens = sum(len(batch.targets) for batch in part.batches)
            for batch in part.batches:
                with autocast(settings.bf16):
                    loss = summed_loss(adapted.readout, part.corpus, batch, judgement(settings.objective))
                (loss / tokens / len(parts)).backward()
        mixture.pull()
        optimizer.step()
    mixture.write()


def run_kind(bench: Bench, kind: str, seed: int, passes: int) -> dict[str, object]:
    """Federate with one kind of weights."""
    members, adapted = bench.resident.config.members, bench.resident.adapted
    settings = TrainSettings(lr=3e-3, epochs=passes, batch_size=16, bf16=True, keep_moments=True)
    fitted, judged = (
        {name: Part.of(adapted, examples[place::2]) for name, examples in bench.judged.items()} for place in (0, 1)
    )
    state, rounds = adapted.fresh(seed), []
    moments: dict[str, Moments] = {}
    for number in range(_ROUNDS):
        trained = train_round(bench, members, state, settings, (number, _ROUNDS), seed, moments)
        moments = trained.moments
        mixture = Mixture(bench, trained.states, trained.tokens, kind)
        mixture.write()
        before = [_loss(adapted, parts, settings) for parts in (fitted, judged)]
        if kind != "size":
            learn(mixture, adapted, fitted, settings)
        state = adapted.read()
        after = [_loss(adapted, parts, settings) for parts in (fitted, judged)]
        rounds.append({"by_size": before, "loss": after, "weights": mixture.weights.tolist()})
        print(f"{kind}, round {number + 1}: fit and judged loss {before} -> {after}", flush=True)
    f1 = bench.f1(state)
    means = {task: fmean(value for key, value in f1.items() if key.endswith(task)) for task in ("ner", "re")}
    return {"kind": kind, "seed": seed, "sites": members, "rounds": rounds, "dev_f1": f1, "mean_f1": means}


def _loss(adapted: Adapted, parts: Mapping[str, Part], settings: TrainSettings) -> float:
    return fmean(loss_over(adapted, part.corpus, part.batches, settings).mean for part in parts.values())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How much weighting sites could gain at best, on dev notes.")
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--examples", type=int, default=75, help="training examples of each task and site")
    parser.add_argument("--passes", type=int, default=2, help="over the training examples in each of three rounds")
    parser.add_argument("--judged", type=int, default=100, help="dev examples of each site and task, of both halves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as `fedmedlora run` has it")
    given = parser.parse_args(arguments)
    caps = [f"training.max_train_examples={given.examples}", 'arms=["fedmedlora"]', 'settings=["in-domain"]']
    resident = load_resident(load_study(given.study, [*caps, *given.set]))
    bench = Bench.of(resident, Families(resident).causal, given.judged)
    for kind in KINDS:
        line = run_kind(bench, kind, given.seed, given.passes)
        with given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"examples": given.examples, "judged": given.judged, **line}) + "\n")
        print(f"{kind}: F1 {line['mean_f1']}", flush=True)


if __name__ == "__main__":
    main()
