"""Federated rounds: seconds and peak memory of our in-process federation against the way of Flower's examples.

A round here is all that a user waits for: the adapter goes out to every site, each trains, updates come back, are
averaged and (ours) written to the checkpoint. Every site has its own examples, half NER, half RE.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from benchmarks.memory import compare_peaks, measure_peak
from benchmarks.notes import load_notes, task_examples
from benchmarks.process import require
from benchmarks.scale import Scale
from benchmarks.sft import SftPlan, token_examples
from benchmarks.timing import Comparison, Measured, compare_seconds
from benchmarks.training import resident_base, train_settings
from fedmedlora.adapters.base import Base, load_base
from fedmedlora.adapters.lora import Adapted
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.training.batch import Corpus, prepare
from fedmedlora.training.causal import CausalLesson
from fedmedlora.training.loop import TrainSettings
from fedmedlora.training.site import LessonTrainer, settings_to_scalars

NAMES = ("round_3_sites", "round_10_sites", "round_10_sites_memory", "scaling_1_to_32")

_SITES = {"round_3_sites": 3, "round_10_sites": 10}
_SCALING = (1, 2, 4, 8, 16, 32)
_CHILD = "benchmarks.rounds:round_in_child"


def run(name: str, scale: Scale) -> list[Comparison]:
    """One name. Raises EnvironmentProblem without TRL, but for scaling_1_to_32, which has no peer."""
    if name == "scaling_1_to_32":
        return _scaling(scale)
    require("trl", "datasets")
    if name == "round_10_sites_memory":
        return _memory(name, scale)
    return [_seconds(name, _SITES[name], scale)]


def site_corpora(base: Base, sites: int, examples: int) -> list[Corpus]:
    """So many sites' prepared examples, half NER and half RE, no example twice."""
    notes, half = load_notes(), examples // 2
    ner = task_examples(base, notes.training, "ner", sites * half)
    re = task_examples(base, notes.training, "re", sites * half)
    return [prepare([*ner[site::sites], *re[site::sites]]) for site in range(sites)]


def our_round(adapted: Adapted, corpora: Sequence[Corpus], settings: TrainSettings) -> float:
    """Seconds of one round over sites that share the resident base."""
    trainers = [
        LessonTrainer(f"site-{number:02}", CausalLesson(adapted, corpus)) for number, corpus in enumerate(corpora)
    ]
    plan = FederationPlan(
        tuple(trainer.site for trainer in trainers), find_rule("fedmedlora"), 1, 0, settings_to_scalars(settings)
    )
    initial = adapted.fresh(0)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = run_federation(in_process_grid(trainers), plan, initial, Path(folder, "federation"))
        seconds = time.perf_counter() - started
    if result.history[-1].refused:
        raise RuntimeError("a site was left out of the round")
    return seconds


def round_in_child(payload: object, loaded: Callable[[], None]) -> Mapping[str, float]:
    """Some rounds for `benchmarks.child`. payload: every site's corpus, settings, and how many rounds."""
    corpora, settings, rounds = cast("tuple[list[Corpus], TrainSettings, int]", payload)
    adapted = resident_base()
    loaded()
    return {"seconds": statistics.median(our_round(adapted, corpora, settings) for _ in range(rounds))}


def _corpora(sites: int, scale: Scale) -> list[Corpus]:
    return site_corpora(load_base("bundled"), sites, scale.round_steps * scale.batch_size)


def _seconds(name: str, sites: int, scale: Scale) -> Comparison:
    from benchmarks.flower_way import PeerFederation

    corpora = _corpora(sites, scale)
    settings, plan = train_settings("lm", scale.batch_size), SftPlan(scale.batch_size)
    adapted = resident_base()
    peer = PeerFederation([token_examples(corpus) for corpus in corpora], plan)
    # One site is enough to warm both up.
    our_round(adapted, corpora[:1], settings)
    peer.round(sites=1)

    def said(who: str, measured: Measured) -> Measured:
        def run() -> float:
            seconds = measured()
            print(f"{name}: {who} {seconds:.2f} s", file=sys.stderr)
            return seconds

        return run

    return compare_seconds(
        name,
        said("ours", lambda: our_round(adapted, corpora, settings)),
        said("the Flower way", peer.round),
        unit="s a round",
        pairs=scale.pairs,
        warm_up=False,
    )


def _memory(name: str, scale: Scale) -> list[Comparison]:
    """Ours with ten sites against the peer with ten, and against ours with one."""
    corpora = _corpora(10, scale)
    settings, plan = train_settings("lm", scale.batch_size), SftPlan(scale.batch_size)
    ours, alone = (
        measure_peak(_CHILD, (corpora[:sites], settings, 1), threads=scale.threads) for sites in (len(corpora), 1)
    )
    payload = ([token_examples(corpus) for corpus in corpora], plan)
    peer = measure_peak("benchmarks.flower_way:round_in_child", payload, threads=scale.threads)
    against_one = Comparison(f"{name}_vs_1_site", ours.peak_mb, alone.peak_mb, "MB", alone.peak_mb / ours.peak_mb)
    return [*compare_peaks(name, ours, peer), against_one]


def _scaling(scale: Scale) -> list[Comparison]:
    """Each number of sites against as many times one site's seconds, and against one site's memory."""
    corpora = _corpora(_SCALING[-1], scale)
    settings = train_settings("lm", scale.batch_size)
    found = []
    first = None
    for sites in _SCALING:
        # One round more, so that the median leaves out the first.
        payload = (corpora[:sites], settings, 3 if scale.pairs > 1 else 1)
        peak = measure_peak(_CHILD, payload, threads=scale.threads)
        first = first or peak
        seconds, linear = peak.figures["seconds"], sites * first.figures["seconds"]
        found.append(Comparison(f"scaling_{sites}_sites_seconds", seconds, linear, "s a round", linear / seconds))
        found.append(
            Comparison(f"scaling_{sites}_sites_memory", peak.peak_mb, first.peak_mb, "MB", first.peak_mb / peak.peak_mb)
        )
    return found
