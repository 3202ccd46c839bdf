"""The plumbing of the benchmarks: names, arithmetic, memory of other processes, what peers get. Nothing is timed."""

from __future__ import annotations

import importlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import RecordDict

import tiny
from benchmarks import registry
from benchmarks.__main__ import as_json, main
from benchmarks.aggregation import flower_arrays, flower_reply, llama_adapter, our_average, packed_update, peer_average
from benchmarks.extraction import gold_spans, strict_f1
from benchmarks.flops import attention_pairs, flops_per_token
from benchmarks.generation import span_grammar
from benchmarks.memory import Peak, compare_peaks, measure_peak
from benchmarks.notes import with_instructions
from benchmarks.timing import Comparison, compare, compare_rates, compare_seconds, summarise
from fedmedlora.adapters.lora import attach_lora
from fedmedlora.errors import EnvironmentProblem
from fedmedlora.markup.encode import Encoder, Example
from fedmedlora.markup.grammar import TokenSpan


def make_examples() -> list[Example]:
    return Encoder(tiny.tokenizer("bytes"), tiny.LABELS).ner_examples(tiny.notes()).examples


def test_a_comparison_is_the_median_of_pairs() -> None:
    # Ratios 10/5, 20/5 and 30/10 are 2, 4 and 3: the median is 3, though the medians' ratio is 20/5.
    pairs = [(10.0, 5.0), (20.0, 5.0), (30.0, 10.0)]
    assert summarise("n", "tokens/s", pairs, more_is_better=True) == Comparison("n", 20.0, 5.0, "tokens/s", 3.0)
    # Of seconds, less is better: 5/10, 5/20 and 10/30.
    assert summarise("n", "s", pairs, more_is_better=False).ratio == pytest.approx(1 / 3)


def test_ours_and_the_peer_run_in_turn_after_one_run_that_does_not_count() -> None:
    order: list[str] = []
    figures = {"ours": iter([99.0, 1.0, 2.0]), "peer": iter([99.0, 4.0, 4.0])}

    def measured(who: str) -> float:
        order.append(who)
        return next(figures[who])

    found = compare(
        "n", "s", lambda: measured("ours"), lambda: measured("peer"), pairs=2, more_is_better=False, warm_up=True
    )
    assert order == ["ours", "peer"] * 3
    # Pairs (1, 4) and (2, 4): ratios 4 and 2.
    assert found == Comparison("n", 1.5, 4.0, "s", 3.0)


def test_rates_and_seconds() -> None:
    # 100 tokens in 2 s against 5 s: 50 and 20 a second.
    assert compare_rates("n", "tokens/s", 100.0, lambda: 2.0, lambda: 5.0, pairs=1) == Comparison(
        "n", 50.0, 20.0, "tokens/s", 2.5
    )
    assert compare_seconds("n", lambda: 2.0, lambda: 5.0, pairs=1).ratio == 2.5


def test_json_holds_no_figure_that_json_cannot() -> None:
    against_nothing = summarise("n", "F1", [(0.5, 0.0)], more_is_better=True)
    assert against_nothing.ratio == math.inf
    found = json.loads(json.dumps(as_json([against_nothing], threads=2), allow_nan=False))
    assert found["results"] == [{"name": "n", "ours": 0.5, "peer": 0.0, "unit": "F1", "ratio": None}]
    assert set(found) == {"results", "machine", "versions"}
    assert found["machine"]["threads"] == 2
    assert {"torch", "trl", "llguidance"} <= set(found["versions"])


def test_an_unknown_name_ends_with_2_and_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train_nr"]) == 2
    printed = capsys.readouterr()
    assert "unknown benchmark 'train_nr': did you mean 'train_ner'?" in printed.err
    assert not printed.out


def test_the_list_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(registry.MODULES)


def test_every_name_is_known_to_its_module() -> None:
    for module in set(registry.MODULES.values()):
        names = [name for name, place in registry.MODULES.items() if place == module]
        assert sorted(importlib.import_module(f"benchmarks.{module}").NAMES) == sorted(names)


def test_memory_is_that_of_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hungry.py").write_text(
        "def eat(payload, loaded):\n"
        "    loaded()\n"
        "    held = bytearray(b'x' * payload)\n"
        "    del held\n"
        "    return {'eaten': payload}\n"
        "def fail(payload, loaded):\n"
        "    raise SystemExit(4)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    # What this process holds counts for nothing there.
    held = bytearray(b"x" * 300_000_000)
    peak = measure_peak("hungry:eat", 60_000_000, threads=1)
    del held
    assert peak.figures == {"eaten": 60_000_000}
    # The bytes and their copy: 120 MB.
    assert 110 < peak.growth_mb < 200
    assert peak.peak_mb < 300
    with pytest.raises(EnvironmentProblem, match="hungry:fail ended with 4"):
        measure_peak("hungry:fail", None, threads=1)


def test_peaks_are_compared_whole_and_beyond_what_was_loaded() -> None:
    # 400 against 200 is twice as good; growth is 200 − 100 and 400 − 100.
    whole, grown = compare_peaks("n_memory", Peak(200, 100, {}), Peak(400, 100, {}))
    assert whole == Comparison("n_memory", 200, 400, "MB", 2.0)
    assert grown == Comparison("n_memory_growth", 100, 300, "MB", 3.0)


def test_instructions_are_cut_to_length_at_their_beginning() -> None:
    example = make_examples()[0]
    request, begin = example.request, 1
    assert request.prefix_tokens > 6
    cut = with_instructions(example, 6, begin)
    assert cut.request.prefix_tokens == 6
    assert cut.request.prompt[:begin] == request.prompt[:begin]
    # Five tokens of instructions are left, then everything as it was.
    assert cut.request.prompt[begin:] == request.prompt[request.prefix_tokens - 5 :]
    assert cut.completion == example.completion
    assert with_instructions(example, request.prefix_tokens, begin) is example


def test_gold_spans_are_what_the_answer_marks() -> None:
    example = make_examples()[1]
    marked = example.request.entities(gold_spans(example))
    texts = [(label, example.request.document.text[start:end]) for label, (start, end) in marked]
    assert texts == [("drug", "Metformin"), ("problem", "diabetes")]


def test_strict_f1_by_hand() -> None:
    example = make_examples()[1]
    drug, problem = gold_spans(example)
    assert strict_f1([example], [[drug, problem]]) == 1
    # One of two found and nothing wrong: precision 1, recall ½.
    assert strict_f1([example], [[drug]]) == pytest.approx(2 / 3)
    # The right label one token too far: 0 of 1, of 2.
    assert strict_f1([example], [[TokenSpan(drug.label, drug.start, drug.end + 1)]]) == 0
    assert strict_f1([], []) == 1


def test_the_peers_grammar_takes_the_right_answers_and_no_other_text() -> None:
    words = tiny.tokenizer("bytes")
    for example in make_examples():
        grammar = _Recogniser(span_grammar(example.request))
        answer = words.text(list(example.completion[:-1]))
        assert "<" in answer
        assert grammar.takes(answer)
        assert grammar.takes(example.request.document.text)
        assert not grammar.takes(answer.replace("<", "", 1))
        assert not grammar.takes(answer + "<problem></problem>")
        assert not grammar.takes(answer[:-1])


class _Recogniser:
    """Reads a right-linear grammar as llguidance's Lark has it: every alternative is texts, then perhaps a rule."""

    def __init__(self, text: str) -> None:
        self._rules = {}
        for line in text.splitlines():
            name, _, body = line.partition(":")
            self._rules[name] = re.findall(r'\s*("(?:[^"\\]|\\.)*")?\s*([a-z]\w*)?\s*(?:\||$)', body)[:-1]

    def takes(self, text: str) -> bool:
        return self._reads("start", text)

    def _reads(self, rule: str, text: str) -> bool:
        return any(self._follows(literal, then, text) for literal, then in self._rules[rule])

    def _follows(self, literal: str, then: str, text: str) -> bool:
        copied = json.loads(literal) if literal else ""
        if not text.startswith(copied):
            return False
        rest = text[len(copied) :]
        return self._reads(then, rest) if then else not rest


def test_an_adapter_of_llama_8b_has_its_size() -> None:
    # A layer: q and o (4096+4096)·16, k and v (4096+1024)·16, gate, up and down (4096+14336)·16.
    layer = 16 * (2 * 8192 + 2 * 5120 + 3 * 18432)
    assert layer == 1_310_720
    assert llama_adapter(layers=1).parameters == layer


def test_both_averages_take_every_update() -> None:
    state, sites = llama_adapter(layers=1), ["site-000", "site-001"]

    def updates() -> Iterator[tuple[str, RecordDict]]:
        for site in sites:
            yield site, packed_update(site, state)

    assert our_average(state, updates(), sites) > 0
    assert peer_average([flower_reply(flower_arrays(state)) for _ in sites]) > 0


def test_flops_by_hand() -> None:
    # Instructions of 3 tokens: 1+2+3 pairs. Examples of 2 and 1 tokens see those 3 and themselves: 2·3+3 and 3+1.
    assert attention_pairs(3, [2, 1], 1) == 6 + 9 + 4
    # Width 32, keys 16, inner 64. Weights of a layer: q, o 1024; k, v 512; gate, up, down 2048. Four FLOP a weight, but
    # two for the first layer's q, k and v. LoRA of rank 2: six FLOP times 2·(in + out), 1024 a layer.
    frozen = 2 * (2 * 1024 + 2 * 512 + 3 * 2048) * 4 - 2 * (1024 + 2 * 512)
    assert flops_per_token(attach_lora(tiny.make_base("llama"), rank=2)) == frozen + 6 * 2 * 1024
