"""The tiny tokenizers, each able to write JSON."""

from __future__ import annotations

from functools import cache

import tiny
from fedmedlora.adapters.base import FastTokenizer
from fedmedlora.markup.json_grammar import SIGNS

SMILE = "\N{GRINNING FACE}"
"""A character that the Unigram tokenizer cannot write."""


@cache
def make_tokenizer(spelling: tiny.Spelling) -> FastTokenizer:
    """The tiny tokenizers; the Unigram one, which has no byte tokens, with the signs of JSON."""
    if spelling != "unigram":
        return tiny.tokenizer(spelling)
    signs = '{"entities": [{"type": "problem", "pieces": [{"text": "x", "occurrence": 1}]}]} \\n\\u00'
    return FastTokenizer(tiny.as_hub(tiny._unigram([*tiny.SENTENCES, signs, SIGNS] * 3)))
