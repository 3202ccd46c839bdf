"""Extraction: span-constrained decoding against Hugging Face generate, one by one and batched, on the same requests."""

from __future__ import annotations

from benchmarks.timing import Comparison, compare_rates
from fedmedlora.adapters.base import load_base
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.corpus.windows import sentence_windows
from fedmedlora.inference.decode import make_decoder
from fedmedlora.inference.generate import generate_answers
from fedmedlora.markup.encode import Encoder, Request

_SENTENCES = 48
_BATCH = 16


def compare_extraction() -> list[Comparison]:
    """Source tokens a second over generated sentences, NER, the bundled base in its stored precision."""
    adapted = attach_lora(load_base("bundled"))
    requests = _requests(adapted)
    tokens = float(sum(len(request.source.ids) for request in requests))
    decoder = make_decoder(adapted, _BATCH)
    unit = "source tokens/s"
    return [
        compare_rates(
            name,
            unit,
            tokens,
            lambda: decoder.decode(requests),
            lambda size=size: generate_answers(adapted, requests, batch_size=size),
        )
        for name, size in (("decode_vs_generate", 1), ("decode_vs_generate_batched", _BATCH))
    ]


def _requests(adapted: Adapted) -> list[Request]:
    encoder = Encoder(adapted.base.tokenizer, CLINICAL)
    notes = generate_notes(PROFILES["outpatient-letters"], 10, seed=0)
    windows = [window.document for note in notes for window in sentence_windows(note).windows]
    requests = [request for window in windows if (request := encoder.ner_request(window)) is not None]
    return requests[:_SENTENCES]
