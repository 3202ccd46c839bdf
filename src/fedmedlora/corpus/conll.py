"""CoNLL: a token and its IOB tag a line, a blank line between sentences, `-DOCSTART-` between documents.

The text is rebuilt by joining tokens with one space and sentences with one line break; offsets count in that text, and
`meta["tokenised"]` is True, so that writing gives the tokens back. No spacing is guessed. Without `-DOCSTART-` every
sentence is a document. Ids are `<file stem>:<number>`, counted from 1.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fedmedlora.corpus.document import Document, Entity, ReadResult, Span
from fedmedlora.corpus.files import read_text
from fedmedlora.errors import CorpusError
from fedmedlora.record import write_atomic

INSIDE_FIRST = "entity that starts with I- (read as B-)"
EMPTY_DOCUMENT = "document without a token"
TOKEN_WITH_SPACE = "token with a space inside (written back as several)"
DOCSTART = "-DOCSTART-"

_TAG = re.compile(r"O|([BIESLUM])-(.+)")


class Token(NamedTuple):
    """One token, its tag, and the line it came from."""

    text: str
    tag: str
    line: int


def read_conll(path: Path) -> ReadResult:
    """Read IOB2; IOB1, IOBES and BILOU are understood too. The first column is the token, the last the tag.

    Raises CorpusError with file and line for a line without a tag or with an unknown one.
    """
    dropped: Counter[str] = Counter()
    sentences, marked = _sentences(path)
    groups = sentences if marked else [[sentence] for group in sentences for sentence in group]
    documents: list[Document] = []
    for group in groups:
        if group:
            documents.append(_document(f"{path.stem}:{len(documents) + 1}", group, path, dropped))
        else:
            dropped[EMPTY_DOCUMENT] += 1
    return ReadResult(documents, dropped)


def _sentences(path: Path) -> tuple[list[list[list[Token]]], bool]:
    """Documents of sentences of tokens, and whether documents are marked."""
    groups: list[list[list[Token]]] = [[]]
    current: list[Token] = []
    marked = False
    for number, raw in enumerate([*read_text(path).removeprefix("\ufeff").split("\n"), ""], start=1):
        line = raw.removesuffix("\r")
        mark = line.split("\t")[0].split(" ")[0] == DOCSTART
        if not line.strip(" \t") or mark:
            if current:
                groups[-1].append(current)
                current = []
            if mark:
                groups.append([])
                # Text before the first mark, if there is any, is a document of its own.
                groups = groups if groups[0] or marked else groups[1:]
                marked = True
            continue
        current.append(_token(line, f"{path}, line {number}", number))
    return groups, marked


def _token(line: str, where: str, number: int) -> Token:
    fields = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
    fields = fields if len(fields) < 2 or fields[-1] else fields[:-1]
    if len(fields) < 2 or not fields[0].strip(" "):
        raise CorpusError(f"{where}: expected a token and a tag, with a tab or spaces between them.")
    tag = fields[-1].strip(" ")
    if _TAG.fullmatch(tag) is None:
        raise CorpusError(f"{where}: the last column is no IOB tag. Expected O, B-TYPE or I-TYPE.")
    return Token(fields[0].strip(" "), tag, number)


def _document(identifier: str, sentences: list[list[Token]], path: Path, dropped: Counter[str]) -> Document:
    parts: list[str] = []
    entities: list[Entity] = []
    at = 0
    for sentence in sentences:
        starts: list[int] = []
        for token in sentence:
            starts.append(at)
            at += len(token.text) + 1
            dropped[TOKEN_WITH_SPACE] += " " in token.text
        parts.append(" ".join(token.text for token in sentence))
        for first, last, kind in _runs(sentence, dropped):
            span = (starts[first], starts[last] + len(sentence[last].text))
            entities.append(Entity(f"T{len(entities) + 1}", kind, (span,)))
    dropped += Counter()
    return Document(identifier, "\n".join(parts), tuple(entities), meta={"tokenised": True})


def _runs(sentence: Sequence[Token], dropped: Counter[str]) -> list[tuple[int, int, str]]:
    """Entities as (first token, last token, type)."""
    runs: list[tuple[int, int, str]] = []
    open_type: str | None = None
    for at, token in enumerate(sentence):
        match = _TAG.fullmatch(token.tag)
        prefix, kind = (match[1], match[2]) if match else (None, None)
        if prefix is None or kind is None:
            open_type = None
            continue
        if prefix in "BSU" or kind != open_type:
            dropped[INSIDE_FIRST] += prefix not in "BSU"
            runs.append((at, at, kind))
        else:
            runs[-1] = (runs[-1][0], at, kind)
        open_type = None if prefix in "ESLU" else kind
    return runs


def write_conll(documents: Sequence[Document], path: Path) -> Counter[str]:
    """Write IOB2, token and tag with a tab between them.

    Tokens are the text's own where it is tokenised, else words and single punctuation marks; line breaks end
    sentences. `-DOCSTART-` lines are written when a document has several sentences. Counts what the format cannot hold:
    entities that nest, overlap, are discontinuous, cut a token or run over a sentence end; relations; ids, patients,
    label subsets, meta.

    Raises CorpusError when a text is not writable as UTF-8.
    """
    dropped: Counter[str] = Counter()
    blocks: list[list[str]] = []
    for document in documents:
        sentences = _tokenise(document)
        if sentences:
            blocks.append(_render(document, sentences, dropped))
            dropped["document id"] += document.id != f"{path.stem}:{len(blocks)}"
        else:
            dropped[EMPTY_DOCUMENT] += 1
            dropped["entity of a document without a token"] += len(document.entities)
        dropped["relation"] += len(document.relations)
        dropped["patient"] += document.patient is not None
        dropped["labels"] += document.labels is not None
        dropped["meta"] += len(set(document.meta) - {"tokenised"})
    start = f"{DOCSTART}\tO\n\n" if any(len(block) > 1 for block in blocks) else ""
    try:
        write_atomic(path, "".join(start + "".join(block) for block in blocks))
    except UnicodeEncodeError as error:
        raise CorpusError(f"{path}: a text is not writable as UTF-8.") from error
    return +dropped


def _tokenise(document: Document) -> list[list[Span]]:
    """Sentences of token spans; a sentence is never empty."""
    tokenised = document.meta.get("tokenised") is True
    sentences: list[list[Span]] = []
    for line in re.finditer(r"[^\n]+" if tokenised else r"[^\n\r\v\f\x85\u2028\u2029]+", document.text):
        spans = _pieces(line.group()) if tokenised else _words(line.group())
        if spans:
            sentences.append([(start + line.start(), end + line.start()) for start, end in spans])
    return sentences


def _pieces(line: str) -> list[Span]:
    """What single spaces part, as the reader joined it."""
    return [match.span() for match in re.finditer(r"[^ \n]+", line)]


def _words(line: str) -> list[Span]:
    """Words (letters, digits, `_`, with their combining marks and joiners) and single other code points."""
    spans: list[Span] = []
    in_word = False
    for at, character in enumerate(line):
        if character.isspace():
            in_word = False
            continue
        attached = unicodedata.category(character)[0] == "M" or character == "\u200d"
        word = character.isalnum() or character == "_"
        touching = bool(spans) and spans[-1][1] == at
        if touching and (attached or (word and in_word)):
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
            in_word = word
    return spans


def _render(document: Document, sentences: list[list[Span]], dropped: Counter[str]) -> list[str]:
    tokens = [token for sentence in sentences for token in sentence]
    ends = {}
    for number, sentence in enumerate(sentences):
        for token in sentence:
            ends[token] = number
    tags = ["O"] * len(tokens)
    # The longest first, so that of nested entities the outermost stays.
    for entity in sorted(document.entities, key=lambda item: (item.start - item.end, item.start)):
        inside = [at for at, (start, end) in enumerate(tokens) if start < entity.end and end > entity.start]
        fault = _fault(document.text, entity, [tokens[at] for at in inside])
        if fault is None and ends[tokens[inside[0]]] != ends[tokens[inside[-1]]]:
            fault = "entity over a sentence end"
        if fault is None and any(tags[at] != "O" for at in inside):
            fault = "nested or overlapping entity"
        if fault is not None:
            dropped[fault] += 1
            continue
        if (entity.start, entity.end) != (tokens[inside[0]][0], tokens[inside[-1]][1]):
            dropped["entity trimmed of white space"] += 1
        for at in inside:
            tags[at] = f"{'B' if at == inside[0] else 'I'}-{entity.type}"
    blocks: list[str] = []
    at = 0
    for sentence in sentences:
        rows = zip(sentence, tags[at : at + len(sentence)], strict=True)
        blocks.append("".join(f"{document.text[start:end]}\t{tag}\n" for (start, end), tag in rows) + "\n")
        at += len(sentence)
    return blocks


def _fault(text: str, entity: Entity, tokens: Sequence[Span]) -> str | None:
    """Why an entity cannot be tagged, if it cannot."""
    if not entity.contiguous:
        return "discontinuous entity"
    if re.search(r"[\t\n\r]", entity.type) or not entity.type.strip(" ") or entity.type != entity.type.strip(" "):
        return "type that a tag cannot hold"
    if not tokens:
        return "entity of white space only"
    if tokens[0][0] < entity.start or tokens[-1][1] > entity.end:
        return "entity cuts a token"
    return None
