"""Questions of a study put to a chat model, zero-shot or with worked examples, and its JSON read with all its slips."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fedmedlora.corpus.document import Document
from fedmedlora.corpus.labels import LabelSet
from fedmedlora.errors import ConfigError
from fedmedlora.inference.api import ApiClient, Message
from fedmedlora.markup.encode import Example, Request, Task
from fedmedlora.markup.json_format import parse_json, render_json_ner, render_json_re
from fedmedlora.markup.parsed import Found
from fedmedlora.markup.prompts import ner_prompt, re_prompt
from fedmedlora.markup.span import mark_target

_log = logging.getLogger(__name__)

CREDENTIALED = "credentialed"
"""A document whose `meta` has this key set to true is under a data-use agreement."""


@dataclass
class ApiAnswers:
    """Answers requests by a chat model; takes the decoder's place in `predict`.

    shots: worked examples, shown as earlier turns of the conversation to requests of their task; from training notes.
    problems: what could not be used so far, by reason.
    """

    client: ApiClient
    labels: LabelSet
    shots: Sequence[Example] = ()
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def passes(self) -> int:
        """Questions that were answered, those in the cache among them."""
        return self.client.spent.asked + self.client.spent.cached

    @property
    def tokens(self) -> int:
        """Tokens that were asked and answered, as the server counts, the cache's left out."""
        return self.client.spent.tokens_in + self.client.spent.tokens_out

    def find(self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None) -> list[list[Found]]:
        """The entities of each request's window, in the order of the requests. Raises what `ApiClient.ask` raises."""
        conversations = [conversation(request, self.labels, self.shots) for request in requests]
        replies = self.client.ask(conversations, on_done)
        return [
            self._read(request, reply.text, reply.finished) for request, reply in zip(requests, replies, strict=True)
        ]

    def _read(self, request: Request, text: str, finished: bool) -> list[Found]:
        parsed = parse_json(text, request.document.text, request.grammar.labels)
        self.problems.update({f"{request.task}: {reason}": count for reason, count in parsed.problems.items()})
        if not finished:
            self.problems[f"{request.task}: answer not finished"] += 1
        return list(parsed.entities)


@dataclass
class UnsentQuestions:
    """Counts what would be sent and sends nothing; takes the place of `ApiAnswers`.

    questions, bytes: so far; bytes of all messages as UTF-8, which a tokenizer of bytes or characters makes no more
    tokens of.
    """

    labels: LabelSet
    shots: Sequence[Example] = ()
    questions: int = 0
    bytes: int = 0

    def find(self, requests: Sequence[Request], on_done: Callable[[int], None] | None = None) -> list[list[Found]]:
        """No entity for any request."""
        for request in requests:
            messages = conversation(request, self.labels, self.shots)
            self.bytes += sum(len(message.content.encode("utf-8")) for message in messages)
        self.questions += len(requests)
        return [[] for _ in requests]


def conversation(request: Request, labels: LabelSet, shots: Sequence[Example]) -> list[Message]:
    """What is sent for a request: its task's worked examples as earlier turns, then the question."""
    turns: list[Message] = []
    for shot in shots:
        if shot.request.task == request.task:
            turns += [
                Message("user", _question(shot.request, labels)),
                Message("assistant", _right_answer(shot.request)),
            ]
    return [*turns, Message("user", _question(request, labels))]


def _question(request: Request, labels: LabelSet) -> str:
    document, head, asked = request.document, request.head, request.grammar.labels
    if head is None:
        prompt, shown = ner_prompt(labels, asked, "json"), document.text
    else:
        prompt = re_prompt(labels, document.entity(head).type, asked, "json")
        shown = mark_target(document, head, asked)
    return prompt.prefix + shown + prompt.suffix


def _right_answer(request: Request) -> str:
    if request.head is None:
        return render_json_ner(request.document, request.grammar.labels).text
    return render_json_re(request.document, request.head, request.grammar.labels).text


def choose_shots(examples: Sequence[Example], tasks: Sequence[Task], count: int) -> list[Example]:
    """So many training examples of each task that mark something, the first ones; fewer where there are no more."""
    found: list[Example] = []
    for task in tasks:
        found += [example for example in examples if example.request.task == task and example.marks_something][:count]
    return found


def credentialed(documents: Sequence[Document]) -> list[str]:
    """Ids of the documents that are under a data-use agreement."""
    return [document.id for document in documents if document.meta.get(CREDENTIALED)]


def check_may_leave(documents: Sequence[Document], *, allowed: bool, where: str) -> None:
    """Refuse to send credentialed notes to a server, unless the study says that they may be; that is logged.

    Raises ConfigError with the number of such notes.
    """
    count = len(credentialed(documents))
    if not count:
        return
    if not allowed:
        raise ConfigError(
            f"{count} notes are credentialed (their site says so, or their meta) and would be sent to {where}. Leave "
            "the arm 'api' out, or, where their agreement permits that server, set api.allow_credentialed = true."
        )
    _log.warning("up to %d credentialed notes go to %s: api.allow_credentialed is true", count, where)
