"""A tokenizer's tokens as the bytes that they write, which is what a grammar over text needs to know of a model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from tokenizers import Tokenizer

from fedmedlora.adapters.base import FastTokenizer
from fedmedlora.errors import BaseModelError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_LONGEST_CHARACTER = 4
_LEADS = ("", "{", '"', "a")


class Vocabulary:
    """Every token's bytes, in the form that llguidance takes a tokenizer in.

    tokens: by id; empty for a token that writes nothing. special_token_ids: tokens that stand for no text.
    Raises BaseModelError for a tokenizer whose tokens are not pieces of text (neither byte-level nor Metaspace).
    """

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = tokenizer.end_id
        backend = tokenizer.hub.backend_tokenizer
        added = backend.get_added_tokens_decoder()
        special = {number for number, token in added.items() if token.special} | set(tokenizer.hub.all_special_ids)
        self.special_token_ids = sorted(special)
        read = _reading(backend)
        known = backend.get_vocab(with_added_tokens=True)
        self.tokens = [b""] * (max(known.values()) + 1)
        for token, number in known.items():
            self.tokens[number] = read(token, added=number in added)
        text = {self.tokens[number] for number in known.values() if number not in special}
        self._characters = frozenset(spelled for spelled in text if 0 < len(spelled) <= _LONGEST_CHARACTER)
        self._longest = max(map(len, text))
        self._numbers = {
            spelled: number for number, spelled in enumerate(self.tokens) if spelled and number not in special
        }

    def __call__(self, text: str) -> list[int]:
        """The tokens that the tokenizer would write this text with in the middle of another; empty if it cannot.

        Some tokenizers put a space in front of every text. They are given a sign before it, which is taken off again.
        """
        wanted = text.encode()
        for lead in _LEADS:
            ids, _ = self._tokenizer.tokens(lead + text)
            spelled = [self.tokens[number] for number in ids]
            if b"".join(spelled).endswith(wanted):
                ends = list(accumulate(map(len, spelled), initial=0))
                before = ends[-1] - len(wanted)
                if before in ends:
                    return list(ids[ends.index(before) :])
        return self._longest_first(wanted)

    def spells(self, text: str) -> bool:
        """Whether the tokens can write these characters wherever they stand."""
        try:
            return all(self._spells(character.encode()) for character in set(text))
        except UnicodeEncodeError:
            return False

    def _spells(self, character: bytes) -> bool:
        return character in self._characters or all(bytes([byte]) in self._characters for byte in character)

    def _longest_first(self, wanted: bytes) -> list[int]:
        ids = []
        at = 0
        while at < len(wanted):
            sizes = range(min(self._longest, len(wanted) - at), 0, -1)
            size = next((size for size in sizes if wanted[at : at + size] in self._numbers), 0)
            if not size:
                return []
            ids.append(self._numbers[wanted[at : at + size]])
            at += size
        return ids


class _Reading:
    """How a tokenizer's decoder turns a token into bytes."""

    def __init__(self, kinds: Sequence[dict[str, object]]) -> None:
        names = {kind["type"] for kind in kinds}
        self._letters = _byte_letters() if "ByteLevel" in names else None
        self._bytes = "ByteFallback" in names
        self._replaced = [pair for kind in kinds if (pair := _replaced(kind)) is not None]

    @property
    def known(self) -> bool:
        """False for decoders that do not join pieces of text."""
        return self._letters is not None or self._bytes or bool(self._replaced)

    def __call__(self, token: str, added: bool) -> bytes:
        """The bytes of a token. added: whether it was put in beside the vocabulary, as the text that it stands for."""
        if self._letters is not None:
            if added:
                return token.encode()
            found = [self._letters.get(letter) for letter in token]
            return token.encode() if None in found else bytes(byte for byte in found if byte is not None)
        if self._bytes and (byte := _BYTE.fullmatch(token)):
            return bytes([int(byte[1], 16)])
        for old, new in self._replaced:
            token = token.replace(old, new)
        return token.encode()


def _reading(backend: Tokenizer) -> _Reading:
    decoder = backend.decoder
    reading = _Reading(list(_kinds(json.loads(decoder.__getstate__())))) if decoder is not None else None
    if reading is None or not reading.known:
        raise BaseModelError(
            "the base model's tokenizer does not say which text its tokens write: expected a byte-level, byte-fallback "
            "or Metaspace decoder in tokenizer.json. Answers in JSON cannot be held to their grammar; use another base."
        )
    return reading


def _kinds(decoder: dict[str, object]) -> Iterator[dict[str, object]]:
    """The decoder, or all that it is a sequence of."""
    if decoder["type"] != "Sequence":
        yield decoder
        return
    parts = decoder["decoders"]
    assert isinstance(parts, list)
    for part in parts:
        yield from _kinds(part)


def _replaced(kind: dict[str, object]) -> tuple[str, str] | None:
    if kind["type"] == "Metaspace":
        return str(kind["replacement"]), " "
    if kind["type"] == "Replace" and isinstance(kind["pattern"], dict) and "String" in kind["pattern"]:
        return str(kind["pattern"]["String"]), str(kind["content"])
    return None


def _byte_letters() -> dict[str, int]:
    """The letter that byte-level tokenizers write for each byte: itself where it can be seen, else one from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(0x100) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + place): byte for place, byte in enumerate(unseen)}
