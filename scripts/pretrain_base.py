"""Make the bundled base model: tokenizer, language modelling, instruction tuning on generated notes.

    python scripts/pretrain_base.py tokenizer --corpora ../shared/corpora --work build/base
    python scripts/pretrain_base.py lm        --corpora ../shared/corpora --work build/base
    python scripts/pretrain_base.py instruct  --corpora ../shared/corpora --work build/base
    python scripts/pretrain_base.py export    --work build/base --out src/fedmedlora/base

Text: openly licensed case reports and visit notes, and the *training* portions of the three training corpora; no dev
or test portion, and nothing of the external or new-site corpora, is read. Each stage writes its loss curve and settings
to `WORK/<stage>.json`, which `export` puts into the model card's record.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fedmedlora.adapters.base import FastTokenizer, load_base
from fedmedlora.adapters.readout import Readout, make_readout
from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import CLINICAL, LabelSet
from fedmedlora.corpus.synthetic import PROFILES, generate_notes, profile
from fedmedlora.corpus.windows import sentence_windows
from fedmedlora.markup.encode import Encoder, Example
from fedmedlora.record import digest_bytes, write_atomic
from fedmedlora.training.batch import Batch, Corpus, collate, epoch_batches, prepare
from fedmedlora.training.objective import choice_logits, summed_loss

VOCABULARY = 4096
ROW_TOKENS = 256
MAX_TOKENS = 384
WINDOW_CHARACTERS = 400
RE_PER_WINDOW = 2
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
_PIECES = r" ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n+")


def training_texts(corpora: Path) -> list[str]:
    """Every text that stage one may read. Dev and test documents are never opened."""
    texts = []
    for name in ("e3c_ccby.jsonl", "aci_bench.jsonl"):
        with (corpora / "text" / name).open(encoding="utf-8") as stream:
            texts += [json.loads(line)["text"] for line in stream]
    splits = json.loads((corpora / "splits.json").read_text(encoding="utf-8"))
    for corpus in ("maccrobat", "chia"):
        for name in sorted(splits[corpus]["train"]):
            texts.append((corpora / corpus / f"{name}.txt").read_text(encoding="utf-8"))
    with (corpora / "phee" / "train.json").open(encoding="utf-8") as stream:
        texts += [json.loads(line)["context"] for line in stream]
    return [text.strip() for text in texts if text.strip()]


def make_tokenizer(texts: list[str], folder: Path) -> None:
    """A byte-level BPE whose punctuation stands alone, with the markup's tags as tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tags = [tag for name in CLINICAL.names for tag in (f"<{name}>", f"</{name}>")]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(tags),
        special_tokens=[BEGIN, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in tags])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)]),
        ]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD)
    fast.model_max_length = 2048
    fast.save_pretrained(folder)
    print(f"tokenizer: {len(fast)} tokens")


def base_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """8.5M parameters: wide and shallow, because a CPU's time goes by layers."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        num_hidden_layers=4,
        intermediate_size=1152,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def lm_rows(texts: list[str], tokenizer: PreTrainedTokenizerFast, copy_share: float, seed: int) -> Iterator[list[int]]:
    """Endless rows of ROW_TOKENS ids: running text, and `copy_share` of rows that read a passage, then repeat it."""
    generator = random.Random(seed)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    encoded = [[*ids, end] for ids in tokenizer(texts, add_special_tokens=False).input_ids]
    passages = [part for text in texts for part in _SENTENCE_END.split(text) if 20 <= len(part) <= 400]
    repeats = tokenizer(passages, add_special_tokens=False).input_ids
    openings = [
        tokenizer(f"{cue}\n", add_special_tokens=False).input_ids for cue in ("Text:", "Source:", "Note:", "Sentence:")
    ]
    cues = [
        tokenizer(f"\n{cue}\n", add_special_tokens=False).input_ids for cue in ("Marked:", "Copy:", "Repeat:", "Again:")
    ]
    stream: list[int] = []
    order: list[int] = []
    while True:
        if generator.random() < copy_share:
            row: list[int] = []
            while len(row) < ROW_TOKENS:
                passage = repeats[generator.randrange(len(repeats))]
                row += [begin, *generator.choice(openings), *passage, *generator.choice(cues), *passage, end]
            yield row[:ROW_TOKENS]
            continue
        while len(stream) < ROW_TOKENS:
            if not order:
                order = list(range(len(encoded)))
                generator.shuffle(order)
            stream += encoded[order.pop()]
        yield [begin, *stream[: ROW_TOKENS - 1]]
        stream = stream[ROW_TOKENS - 1 :]


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then cosine to a tenth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def optimizer_for(model: torch.nn.Module, peak: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices only."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), fused=True)


def language_modelling(arguments: argparse.Namespace) -> None:
    """Stage one."""
    work: Path = arguments.work
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    texts = training_texts(arguments.corpora)
    torch.manual_seed(arguments.seed)
    model = LlamaForCausalLM(base_config(tokenizer))
    optimizer = optimizer_for(model, arguments.lr)
    rows = lm_rows(texts, tokenizer, arguments.copy_share, arguments.seed)
    forward = torch.compile(model) if arguments.compile else model
    curve: list[dict[str, float]] = []
    started = time.monotonic()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.lr, 50)
        batch = torch.tensor([next(rows) for _ in range(arguments.batch)])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = forward(input_ids=batch[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0 or step == arguments.steps - 1:
            tokens = (step + 1) * batch.numel()
            seconds = time.monotonic() - started
            curve.append({"step": step, "tokens": tokens, "loss": round(loss.item(), 4), "seconds": round(seconds)})
            print(f"lm {step} loss {loss.item():.3f} {tokens / seconds:.0f} tokens/s", flush=True)
        if step % 100 == 99:
            save(model, work / "lm")
    save(model, work / "lm")
    corpus_digest = digest_bytes("\0".join(texts).encode())
    write_stage(work, "lm", arguments, {"curve": curve, "texts": len(texts), "text_digest": corpus_digest})


def instruction_documents(notes: int, seed: int) -> list[Document]:
    """Generated notes of the pre-training world: vocabulary and frames that no demo and no test sees."""
    profiles = [*PROFILES.values(), *(profile(index, seed) for index in range(20))]
    share = -(-notes // len(profiles))
    return [
        document
        for site in profiles
        for document in generate_notes(replace(site, labels=None), share, seed, "train", "pretraining")
    ]


def instruction_examples(documents: list[Document], encoder: Encoder, seed: int) -> list[Example]:
    """NER and RE examples, each window asked for a random subset of labels, so that the model heeds the list."""
    generator = random.Random(seed)
    examples: list[Example] = []
    for document in documents:
        for window in sentence_windows(document, WINDOW_CHARACTERS, keep_entities_whole=True).windows:
            asked = _asked(generator, encoder.labels)
            narrowed = replace(window.document, labels=asked)
            examples += encoder.ner_examples([narrowed]).examples
            marked = encoder.re_examples([narrowed]).examples
            examples += generator.sample(marked, min(len(marked), RE_PER_WINDOW))
    generator.shuffle(examples)
    return examples


def _asked(generator: random.Random, labels: LabelSet) -> tuple[str, ...]:
    """All labels half of the time, else a random subset with at least one entity type and one modifier of it."""
    if generator.random() < 0.5:
        return labels.names
    entities = [name for name in labels.entity_types if generator.random() < 0.6] or [
        generator.choice(labels.entity_types)
    ]
    modifiers = [name for name in labels.modifier_types if generator.random() < 0.6]
    return (*entities, *(modifiers or labels.modifiers[entities[0]][-1:]))


def instruction_tuning(arguments: argparse.Namespace) -> None:
    """Stage two: all weights, the sum of both objectives, rows of stage one mixed in so that nothing is forgotten."""
    work: Path = arguments.work
    hub = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    encoder = Encoder(FastTokenizer(hub), CLINICAL, max_tokens=MAX_TOKENS)
    documents = instruction_documents(arguments.notes, arguments.seed)
    held_out = instruction_documents(200, arguments.seed + 1)
    examples = prepare(instruction_examples(documents, encoder, arguments.seed))
    validation = prepare(instruction_examples(held_out, encoder, arguments.seed)[:600])
    print(
        f"instruct: {len(documents)} notes, {len(examples)} examples, {examples.target_tokens} target tokens",
        flush=True,
    )
    model = LlamaForCausalLM.from_pretrained(work / "lm", dtype=torch.float32)
    readout = make_readout(model.eval())
    model.train()
    optimizer = optimizer_for(model, arguments.lr)
    rows = lm_rows(training_texts(arguments.corpora), hub, 0.0, arguments.seed + 1)
    order = instruction_order(examples, arguments.steps, arguments.batch, arguments.seed)
    curve: list[dict[str, float]] = []
    tokens, started = 0, time.monotonic()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.lr, 40)
        batch = collate(examples, order[step], hub.pad_token_id)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            choice, whole = both_losses(readout, examples, batch)
            loss = choice + whole
            if step % 6 == 5:
                loss = loss + 0.5 * text_loss(model, torch.tensor([next(rows) for _ in range(8)]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batch.mask.sum())
        if step % 50 == 0 or step == arguments.steps - 1:
            seconds = time.monotonic() - started
            point = {
                "choice": round(choice.item(), 4),
                "lm": round(whole.item(), 4),
                "validation": validate(model, readout, validation),
            }
            curve.append({"step": step, "tokens": tokens, "seconds": round(seconds), **point})
            print(f"instruct {step} {point} {tokens / seconds:.0f} tokens/s", flush=True)
        if step % 200 == 199:
            save(model, work / "instruct")
    save(model, work / "instruct")
    found = {"curve": curve, "notes": len(documents), "examples": len(examples)}
    write_stage(work, "instruct", arguments, found)


def instruction_order(corpus: Corpus, steps: int, batch: int, seed: int) -> list[list[int]]:
    """At least so many batches of example indices, epoch after epoch."""
    lengths = [len(example.ids) for example in corpus.examples]
    epochs = 1 + steps * batch // max(1, len(corpus))
    return [chosen for epoch in range(epochs) for chosen in epoch_batches(lengths, batch, f"{seed}/{epoch}")]


def text_loss(model: LlamaForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    """Mean language-modelling loss of rows of running text, nats per token."""
    logits = model(input_ids=rows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


def both_losses(readout: Readout, corpus: Corpus, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Both objectives from one pass, in nats per target token."""
    states = readout.hidden(batch.ids, mask=batch.mask).states[batch.rows, batch.columns]
    allowed = choice_logits(readout, corpus, batch, states)
    choice = torch.nn.functional.cross_entropy(allowed, batch.golds, reduction="sum")
    whole = torch.nn.functional.cross_entropy(readout.logits(states), batch.targets, reduction="sum")
    return choice / len(batch.targets), whole / len(batch.targets)


def validate(model: LlamaForCausalLM, readout: Readout, corpus: Corpus) -> float:
    """Mean choice loss, nats per target token, on generated notes held out from stage two."""
    model.eval()
    nats = 0.0
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for first in range(0, len(corpus), 32):
            chosen = list(range(first, min(first + 32, len(corpus))))
            nats += summed_loss(readout, corpus, collate(corpus, chosen, 0), "choice").item()
    model.train()
    return round(nats / corpus.target_tokens, 5)


def export(arguments: argparse.Namespace) -> None:
    """bfloat16 weights, tokenizer and the record of both stages, as the package carries them."""
    out: Path = arguments.out
    hub = PreTrainedTokenizerFast.from_pretrained(arguments.work / "tokenizer")
    model = LlamaForCausalLM.from_pretrained(arguments.work / arguments.stage, dtype=torch.float32).to(torch.bfloat16)
    model.generation_config.eos_token_id = hub.eos_token_id
    model.generation_config.pad_token_id = hub.pad_token_id
    model.save_pretrained(out)
    hub.save_pretrained(out)
    stages = {}
    for stage in ("lm", "instruct"):
        record = arguments.work / f"{stage}.json"
        if record.exists():
            stages[stage] = json.loads(record.read_text(encoding="utf-8"))
    stages["digest"] = load_base(str(out)).digest
    write_atomic(out / "training.json", json.dumps(stages, indent=1, sort_keys=True) + "\n")
    print(f"exported {sum(file.stat().st_size for file in out.iterdir()) / 1e6:.1f} MB, digest {stages['digest']}")


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Float32 weights between stages."""
    model.save_pretrained(folder)


def write_stage(work: Path, stage: str, arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    """Record what a stage was given and what came out, without any path of this machine."""
    given = {
        key: value for key, value in vars(arguments).items() if not isinstance(value, Path) and not callable(value)
    }
    write_atomic(work / f"{stage}.json", json.dumps({"arguments": given, **found}, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Parse the stage and run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = parser.add_subparsers(required=True)
    tokenizer = stages.add_parser("tokenizer")
    tokenizer.set_defaults(run=lambda a: make_tokenizer(training_texts(a.corpora), a.work / "tokenizer"))
    lm = stages.add_parser("lm")
    lm.set_defaults(run=language_modelling)
    lm.add_argument("--steps", type=int, default=600)
    lm.add_argument("--batch", type=int, default=32)
    lm.add_argument("--lr", type=float, default=2e-3)
    lm.add_argument("--copy-share", type=float, default=0.35)
    lm.add_argument("--compile", action="store_true", help="needs a C++ compiler; about a third faster")
    instruct = stages.add_parser("instruct")
    instruct.set_defaults(run=instruction_tuning)
    instruct.add_argument("--steps", type=int, default=1400)
    instruct.add_argument("--batch", type=int, default=32)
    instruct.add_argument("--lr", type=float, default=1e-3)
    instruct.add_argument("--notes", type=int, default=3000)
    finish = stages.add_parser("export")
    finish.set_defaults(run=export)
    finish.add_argument("--out", type=Path, required=True)
    finish.add_argument("--stage", default="instruct")
    for stage in (tokenizer, lm, instruct):
        stage.add_argument("--corpora", type=Path, required=True)
    for stage in (tokenizer, lm, instruct, finish):
        stage.add_argument("--work", type=Path, required=True)
        stage.add_argument("--seed", type=int, default=0)
        stage.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(getattr(arguments, "threads", 2))
    arguments.run(arguments)


if __name__ == "__main__":
    main()
