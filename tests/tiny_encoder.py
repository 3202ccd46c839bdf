"""A tiny random BERT with a WordPiece tokenizer, in memory or on disk as a hub would give it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

import tiny
from fedmedlora.adapters.encoder import load_encoder
from fedmedlora.adapters.tagger import Lora, Tagger, make_tagger
from fedmedlora.corpus.document import Document
from fedmedlora.markup.encode import Encoder, Example
from fedmedlora.markup.iob import tag_schemes
from fedmedlora.markup.prompts import BARE
from fedmedlora.training.examples import make_examples
from fedmedlora.training.tagging import TagLesson, prepare_tags

SCHEMES = tag_schemes(tiny.LABELS)
LORA = Lora(rank=2, alpha=8.0)
MAX_TOKENS = 64


@cache
def hub_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer of the words of tiny.SENTENCES. Cached: treat it as read-only.

    Its vocabulary is listed, not trained: training breaks ties differently from process to process.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    texts = [normalizer.normalize_str(text) for text in (*tiny.SENTENCES, *tiny.LABELS.names)]
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(text)}
    # A letter inside a word is another token than one at its beginning.
    pieces = [*special, *"<>/\\_-.,;:()", *letters, *(f"##{letter}" for letter in letters), *sorted(words)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizer, splitter
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """An encoder of two layers, 32 wide, on disk; it was pre-trained for another task, so it has no classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(
            BertConfig(
                vocab_size=len(hub_tokenizer()),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=64,
                max_position_embeddings=128,
                initializer_range=0.2,
            )
        )
    model.save_pretrained(folder)
    hub_tokenizer().save_pretrained(folder)
    return folder


def load_tagger(folder: Path, lora: Lora | None = LORA, seed: int = 0) -> Tagger:
    """A tagger of tiny.LABELS on the encoder of a folder."""
    return make_tagger(load_encoder(str(folder)), {task: scheme.names for task, scheme in SCHEMES.items()}, lora, seed)


def questions(tagger: Tagger) -> Encoder:
    """What asks it."""
    return Encoder(tagger.encoder.tokenizer, tiny.LABELS, BARE, max_tokens=10**6)


def examples_of(tagger: Tagger, documents: list[Document] | None = None) -> list[Example]:
    """Six NER examples and one RE example for each of 13 heads."""
    return make_examples(documents or tiny.notes(), questions(tagger), ("ner", "re")).examples


def lesson(tagger: Tagger, documents: list[Document] | None = None, max_tokens: int = MAX_TOKENS) -> TagLesson:
    """The examples as a lesson."""
    found = prepare_tags(examples_of(tagger, documents), SCHEMES, tagger.encoder.tokenizer.end_id, max_tokens)
    return TagLesson(tagger, found)
