"""Tiny random models and tokenizers of the kinds that real bases have, and a few sentences to read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fedmedlora.adapters.base import Base, FastTokenizer, model_digest
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.labels import LabelSet

LABELS = LabelSet(modifiers={"problem": ("severity", "negation"), "drug": ("dosage",)}, descriptions={})
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"

Spelling = Literal["tagged", "bytes", "unigram"]
SPELLINGS: tuple[Spelling, ...] = ("tagged", "bytes", "unigram")
"""Byte-level BPE with each tag as one token; the same with tags of several; Metaspace Unigram, tags of several."""

Kind = Literal["llama", "qwen2", "qwen3", "neox", "gpt2", "mistral"]

SENTENCES = (
    "The patient denies severe chest pain.",
    "Metformin 500 mg twice daily was started for diabetes.",
    "No fever, mild cough; aspirin 81 mg given.",
    "Acute-on-chronic renal failure without oedema.",
    "Severe headache and nausea after ibuprofen 400 mg.",
    "Diabetes and mild chest pain, no oedema; cough denied.",
)


@cache
def hub_tokenizer(spelling: Spelling) -> PreTrainedTokenizerFast:
    """A tokenizer trained on SENTENCES. Cached: treat it as read-only."""
    texts = [*SENTENCES, "Mark entities: problem, drug.\nText:\nMarked:\nMark modifiers of the problem: <>/\\"] * 3
    return as_hub(_unigram(texts) if spelling == "unigram" else _byte_level(texts, spelling == "tagged"))


def as_hub(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """A tokenizer with a begin, an end and a padding token, as Transformers holds it."""
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD, unk_token="<unk>"
    )


def tokenizer(spelling: Spelling = "tagged") -> FastTokenizer:
    """The tokenizer as the package takes it."""
    return FastTokenizer(hub_tokenizer(spelling))


def _byte_level(texts: Iterable[str], tagged: bool) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=380,
            special_tokens=[BEGIN, END, PAD, "<unk>"],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    if tagged:
        tags = [tag for name in LABELS.names for tag in (f"<{name}>", f"</{name}>")]
        made.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in tags])
    return made


def _unigram(texts: Iterable[str]) -> Tokenizer:
    """No split at all before the model: a token may hold the end of one word and the beginning of the next."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    made.decoder = decoders.Metaspace()
    made.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=200,
            special_tokens=[BEGIN, END, PAD, "<unk>"],
            unk_token="<unk>",
            initial_alphabet=list("<>/\\\n_-.,;:()≥é0123456789abcdefghijklmnopqrstuvwxyz"),
            show_progress=False,
        ),
    )
    return made


def make_model(kind: Kind, vocabulary: int, seed: int = 0) -> PreTrainedModel:
    """A random model of two layers, 32 wide; its weights are large, so that its choices differ from place to place."""
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
    }
    grouped = {**shape, "intermediate_size": 64, "num_key_value_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match kind:
            case "llama":
                return LlamaForCausalLM(LlamaConfig(**grouped)).eval()
            case "qwen2":
                return Qwen2ForCausalLM(Qwen2Config(**grouped, tie_word_embeddings=True)).eval()
            case "qwen3":
                return Qwen3ForCausalLM(Qwen3Config(**grouped, head_dim=8)).eval()
            case "mistral":
                return MistralForCausalLM(MistralConfig(**grouped, sliding_window=6)).eval()
            case "neox":
                return GPTNeoXForCausalLM(GPTNeoXConfig(**shape, intermediate_size=64)).eval()
            case "gpt2":
                return GPT2LMHeadModel(
                    GPT2Config(
                        vocab_size=vocabulary,
                        n_embd=32,
                        n_layer=2,
                        n_head=4,
                        n_positions=512,
                        initializer_range=0.3,
                        bos_token_id=0,
                        eos_token_id=1,
                        pad_token_id=2,
                    )
                ).eval()


def make_base(kind: Kind = "llama", spelling: Spelling = "tagged", seed: int = 0) -> Base:
    """A base in memory."""
    words = tokenizer(spelling)
    model = make_model(kind, len(words.hub), seed)
    model.requires_grad_(False)
    return Base(f"tiny-{kind}", model, words, model_digest(model))


def save_base(folder: Path, kind: Kind = "llama", spelling: Spelling = "tagged", seed: int = 0) -> Path:
    """A base on disk, as a hub would give it."""
    hub = hub_tokenizer(spelling)
    make_model(kind, len(hub), seed).save_pretrained(folder)
    hub.save_pretrained(folder)
    return folder


def mark(text: str, *marks: tuple[str, str], labels: tuple[str, ...] | None = None) -> Document:
    """A document whose entities are the first occurrences of (type, words) pairs, named T1, T2, …"""
    entities = []
    for number, (kind, words) in enumerate(marks, start=1):
        start = text.index(words)
        entities.append(Entity(f"T{number}", kind, ((start, start + len(words)),)))
    return Document("note", text, tuple(entities), labels=labels)


def relate(document: Document, *pairs: tuple[str, str]) -> Document:
    """The document with relations (head, tail), typed by the tail."""
    types = {entity.id: entity.type for entity in document.entities}
    relations = tuple(
        Relation(f"R{number}", types[tail], head, tail) for number, (head, tail) in enumerate(pairs, start=1)
    )
    return Document(document.id, document.text, document.entities, relations, labels=document.labels)


def notes() -> list[Document]:
    """One document a sentence, with entities, modifiers and relations."""
    return [
        relate(
            mark(SENTENCES[0], ("problem", "chest pain"), ("severity", "severe"), ("negation", "denies")),
            ("T1", "T2"),
            ("T1", "T3"),
        ),
        relate(mark(SENTENCES[1], ("drug", "Metformin"), ("dosage", "500 mg"), ("problem", "diabetes")), ("T1", "T2")),
        relate(
            mark(SENTENCES[2], ("problem", "fever"), ("problem", "cough"), ("severity", "mild"), ("drug", "aspirin")),
            ("T2", "T3"),
        ),
        mark(SENTENCES[3], ("problem", "renal failure"), ("problem", "oedema")),
        relate(
            mark(
                SENTENCES[4],
                ("problem", "headache"),
                ("severity", "Severe"),
                ("drug", "ibuprofen"),
                ("dosage", "400 mg"),
            ),
            ("T1", "T2"),
            ("T3", "T4"),
        ),
        mark(SENTENCES[5], ("problem", "Diabetes"), ("problem", "chest pain"), ("problem", "oedema")),
    ]


def quietly_load_peft(model: PreTrainedModel, folder: Path) -> torch.nn.Module:
    """Load an adapter folder by PEFT alone, without the warnings that PEFT and Transformers give each other."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(model, folder)
