"""The door of base models: what is refused, and the digest that says which base an adapter belongs to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

import tiny
from fedmedlora.adapters.base import (
    FastTokenizer,
    bound_primitive_caches,
    load_base,
    model_digest,
    usable_tokens,
    use_threads,
)
from fedmedlora.errors import BaseModelError, EnvironmentProblem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_base(tmp_path / "base")


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_base_is_loaded_frozen(folder: Path) -> None:
    base = load_base(str(folder))
    assert base.name == str(folder)
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    # Vocabulary 390: embeddings 390·32 twice (untied); a layer 32·(32+16+16+32) attention, 3·32·64 MLP, 2·32 norms;
    # the last norm 32.
    size = len(base.tokenizer.hub)
    assert base.parameters == 2 * size * 32 + 2 * (32 * 96 + 3 * 32 * 64 + 64) + 32


@pytest.mark.parametrize("kind", ["qwen2", "qwen3", "neox", "gpt2", "mistral"])
def test_architectures(kind: tiny.Kind, tmp_path: Path) -> None:
    # Tied embeddings (qwen2, gpt2) and buffers (neox) are no missing weights.
    folder = tiny.save_base(tmp_path / kind, kind)
    assert load_base(str(folder)).model.config.vocab_size == len(tiny.hub_tokenizer("tagged"))


def test_the_digest_says_which_weights(folder: Path, tmp_path: Path) -> None:
    base = load_base(str(folder))
    assert load_base(str(folder)).digest == base.digest
    # Where it lies does not matter; one weight does, and so does a setting that changes what is computed.
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_base(str(moved)).digest == base.digest
    assert load_base(str(tiny.save_base(tmp_path / "other", seed=1))).digest != base.digest
    with torch.no_grad():
        base.model.get_input_embeddings().weight[3, 4] += 1e-3
    assert model_digest(base.model) != base.digest
    change_json(moved / "config.json", rms_norm_eps=1e-3)
    assert load_base(str(moved)).digest != base.digest


def test_precision_is_part_of_the_digest_and_the_stored_one_is_kept(folder: Path, tmp_path: Path) -> None:
    stored = tiny.make_model("llama", len(tiny.hub_tokenizer("tagged"))).to(torch.bfloat16)
    stored.save_pretrained(tmp_path / "half")
    tiny.hub_tokenizer("tagged").save_pretrained(tmp_path / "half")
    half = load_base(str(tmp_path / "half"))
    assert half.model.dtype == torch.bfloat16
    assert half.digest != load_base(str(folder)).digest
    assert load_base(str(tmp_path / "half"), dtype=torch.float32).model.dtype == torch.float32


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no such folder"):
        load_base(str(tmp_path / "absent"))


def test_no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(BaseModelError, match="tokenizer"):
        load_base(str(folder))


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_no_weights_or_no_configuration(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(BaseModelError, match=r"cannot be loaded|no usable tokenizer") as raised:
        load_base(str(folder))
    assert raised.value.__cause__ is not None


def test_damaged_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BaseModelError, match="cannot be loaded as a causal language model"):
        load_base(str(folder))


def test_weights_of_another_shape(folder: Path) -> None:
    change_json(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(BaseModelError, match="asks for 9 tensors that the weights lack"):
        load_base(str(folder))
    change_json(folder / "config.json", num_hidden_layers=2, hidden_size=16)
    with pytest.raises(BaseModelError, match="cannot be loaded as a causal language model"):
        load_base(str(folder))


def test_no_end_token(folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(BaseModelError, match="names no end token"):
        load_base(str(folder))


def test_more_tokens_than_the_model_knows(folder: Path, tmp_path: Path) -> None:
    tiny.make_model("llama", 300).save_pretrained(folder)
    with pytest.raises(BaseModelError, match="the tokenizer has 390 tokens but the model only 300"):
        load_base(str(folder))
    # A model may have more rows than the tokenizer has tokens: many are padded.
    tiny.make_model("llama", 400).save_pretrained(folder)
    assert load_base(str(folder)).tokenizer.end_id == 1


def test_a_tokenizer_that_reads_nothing(folder: Path) -> None:
    empty = Tokenizer(models.BPE())
    empty.add_special_tokens([tiny.BEGIN, tiny.END, tiny.PAD])
    tiny.as_hub(empty).save_pretrained(folder)
    with pytest.raises(BaseModelError, match="turns text into nothing"):
        load_base(str(folder))


class SlowTokenizer:
    """What matters of a tokenizer without offsets."""

    is_fast = False


def test_a_tokenizer_without_offsets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedmedlora.adapters.base.AutoTokenizer.from_pretrained", lambda _: SlowTokenizer())
    with pytest.raises(BaseModelError, match="gives no character offsets"):
        load_base(str(folder))


def test_tokens_as_plain_values() -> None:
    words = FastTokenizer(tiny.hub_tokenizer("tagged"))
    ids, offsets = words.tokens("chest <problem>pain")
    assert words.text(list(ids)) == "chest <problem>pain"
    assert "".join("chest <problem>pain"[start:end] for start, end in offsets) == "chest <problem>pain"
    assert (words.begin_ids, words.end_id, words.pad_id) == ((0,), 1, 2)


def test_padding_falls_back_on_the_end_token() -> None:
    hub = tiny.as_hub(Tokenizer.from_str(tiny.hub_tokenizer("tagged").backend_tokenizer.to_str()))
    hub.pad_token = None
    assert FastTokenizer(hub).pad_id == FastTokenizer(hub).end_id == 1


def test_threads() -> None:
    before = use_threads(None)
    assert use_threads(1) == 1
    assert use_threads(before) == before
    with pytest.raises(EnvironmentProblem, match="expected at least 1"):
        use_threads(0)


def test_a_base_is_not_asked_to_read_more_than_it_can(tmp_path: Path) -> None:
    base = load_base(str(tiny.save_base(tmp_path / "base")))
    limit = base.model.config.max_position_embeddings
    assert usable_tokens(base, limit + 1) == limit
    assert usable_tokens(base, limit - 1) == limit - 1


def test_the_digest_is_of_the_stored_precision(tmp_path: Path) -> None:
    folder = tiny.save_base(tmp_path / "base")
    stored, halved = load_base(str(folder)), load_base(str(folder), dtype=torch.bfloat16)
    assert halved.model.dtype == torch.bfloat16 != stored.model.dtype
    assert halved.digest == stored.digest


def test_few_compiled_products_are_kept_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    bound_primitive_caches()
    assert (os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], os.environ["LRU_CACHE_CAPACITY"]) == ("64", "7")
    # What the function set itself must not outlive the test.
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def test_a_name_that_no_hub_gives_is_told_from_a_folder_without_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(where: str) -> None:
        raise OSError(f"cannot reach the hub for {where}")

    monkeypatch.setattr("fedmedlora.adapters.base.AutoTokenizer.from_pretrained", offline)
    with pytest.raises(BaseModelError, match=r"'someone/model': it is not in the local cache.*give a folder"):
        load_base("someone/model")
