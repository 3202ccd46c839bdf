"""A chat model behind an OpenAI-compatible endpoint: asked in parallel, retried, cached, its cost written down.

Any server that knows `POST {base_url}/chat/completions` will do: OpenAI's, a vLLM or llama.cpp of one's own. An answer
is kept on disk under the digest of all that was asked, so that a run which is cut off goes on where it was and nothing
is paid for twice. The cache holds what models wrote about notes: it stays where the notes are. The ledger holds numbers
alone.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from fedmedlora.errors import ConfigError, EnvironmentProblem
from fedmedlora.inference.api_post import Poster
from fedmedlora.record import append_json_line, digest_json, read_json_lines, write_atomic

_log = logging.getLogger(__name__)

LEDGER_FILE = "ledger.jsonl"

_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_LONGEST_PAUSE_S = 60.0
_MOST_DOUBLINGS = 30
_PER_MILLION = 1e6


@dataclass(frozen=True)
class Message:
    """One turn of a conversation. role: "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class ApiSettings:
    """Where and how to ask.

    base_url: up to and without `/chat/completions`. key_variable: environment variable that holds the key; empty for a
    server that wants none. concurrency: questions under way at once. timeout_s: of one attempt, from looking up the
    host to the last byte. attempts: before a question is given up. first_pause_s: before the second attempt; doubled
    before each further one, with jitter, unless the server says how long. max_tokens: of an answer, sent as
    token_limit_key. fixed: ask with temperature 0 and seed 0, which some models refuse. price_in, price_out: per
    million tokens, in any currency.
    """

    base_url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 4
    timeout_s: float = 120.0
    attempts: int = 6
    first_pause_s: float = 1.0
    max_tokens: int = 2048
    token_limit_key: str = "max_tokens"
    fixed: bool = True
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"api.base_url '{self.base_url}': expected an address that begins with http(s)://.")
        for name in ("concurrency", "attempts", "max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"api.{name} = {getattr(self, name)}: expected at least 1.")

    @property
    def server(self) -> str:
        """Host and port, without path and without what a URL may hold of names and keys."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """In the currency of the prices; None where they are not given."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens_in * self.price_in + tokens_out * self.price_out) / _PER_MILLION


class Reply(NamedTuple):
    """What the model wrote. finished: False when it was cut, at max_tokens for one. Tokens: 0 where not told."""

    text: str
    finished: bool
    tokens_in: int
    tokens_out: int


@dataclass
class Spent:
    """What asking has cost so far. cached: answers that were there already. retries: attempts that were repeated."""

    asked: int = 0
    cached: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None


class _StoppedError(Exception):
    """This question was not asked, since another failed."""


class _PassingError(Exception):
    """This attempt failed, another may not. pause_s: as the server asks for."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass
class ApiClient:
    """Asks one model. folder: of cache and ledger. Use it as a context manager: it holds connections."""

    settings: ApiSettings
    folder: Path
    spent: Spent = field(default_factory=Spent)
    _poster: Poster = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)
    _stop: threading.Event = field(init=False, repr=False, default_factory=threading.Event)
    _jitter: random.Random = field(init=False, repr=False, default_factory=random.Random)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        self._poster = Poster(self.settings.timeout_s, self.settings.concurrency, headers)

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._poster.close()

    def ask(
        self, conversations: Sequence[Sequence[Message]], on_done: Callable[[int], None] | None = None
    ) -> list[Reply]:
        """The model's replies, in the order of the conversations.

        Raises EnvironmentProblem when a question is refused for good, or has failed `attempts` times; what has been
        answered by then is in the cache, so that asking again goes on from there.
        """
        self._stop.clear()
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            futures = [pool.submit(self._one, conversation, on_done) for conversation in conversations]
            try:
                wait(futures)
            except BaseException:
                self._stop.set()
                raise
        failures = [error for future in futures if (error := future.exception()) is not None]
        if failures:
            # Those that another's failure stopped have nothing of their own to say.
            raise next((error for error in failures if not isinstance(error, _StoppedError)), failures[0])
        return [future.result() for future in futures]

    def _one(self, conversation: Sequence[Message], on_done: Callable[[int], None] | None) -> Reply:
        body = self._body(conversation)
        digest = digest_json([self.settings.base_url, body])
        path = self.folder / "cache" / digest[:2] / f"{digest}.json"
        reply = _cached(path)
        if reply is None:
            try:
                reply = self._asked(body, digest)
            except BaseException:
                self._stop.set()
                raise
            write_atomic(path, json.dumps(reply._asdict(), ensure_ascii=False) + "\n")
        else:
            with self._lock:
                self.spent.cached += 1
        if on_done is not None:
            with self._lock:
                on_done(1)
        return reply

    def _asked(self, body: Mapping[str, object], digest: str) -> Reply:
        reason = ""
        for attempt in range(1, self.settings.attempts + 1):
            if self._stop.is_set():
                raise _StoppedError("another question failed")
            began = time.monotonic()
            try:
                reply = self._attempt(body)
            except _PassingError as error:
                reason = str(error)
                if attempt < self.settings.attempts:
                    with self._lock:
                        self.spent.retries += 1
                    self._stop.wait(pause_s(attempt, self.settings.first_pause_s, error.pause_s, self._jitter))
                continue
            self._note(reply, digest, attempt, time.monotonic() - began)
            return reply
        raise EnvironmentProblem(
            f"{self.settings.base_url}: a question to '{self.settings.model}' failed {self.settings.attempts} times, "
            f"at last by {reason}. What has been answered is kept; run again to go on from there."
        )

    def _attempt(self, body: Mapping[str, object]) -> Reply:
        """One request. A server's own words are never passed on: they may quote the note."""
        try:
            response = self._poster.post(f"{self.settings.base_url.rstrip('/')}/chat/completions", body)
        except TimeoutError as error:
            raise _PassingError(f"no answer within {self.settings.timeout_s:g} s") from error
        except httpx.RequestError as error:
            raise _PassingError(f"a broken connection ({type(error).__name__})") from error
        if response.status_code in _TRY_AGAIN:
            raise _PassingError(f"status {response.status_code}", _wanted_pause(response))
        if response.status_code != 200:
            raise EnvironmentProblem(_refusal(self.settings, response.status_code))
        try:
            return _reply(response.json())
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise _PassingError("a reply that is no chat completion") from error

    def _body(self, conversation: Sequence[Message]) -> dict[str, object]:
        return {
            "model": self.settings.model,
            "messages": [{"role": message.role, "content": message.content} for message in conversation],
            **({"temperature": 0, "seed": 0} if self.settings.fixed else {}),
            self.settings.token_limit_key: self.settings.max_tokens,
        }

    def _key(self) -> str:
        name = self.settings.key_variable
        if not name:
            return ""
        key = os.environ.get(name, "")
        if not key:
            raise ConfigError(
                f"the environment variable {name} is not set: it holds the key of {self.settings.base_url}. Set it, or "
                'give api.key_variable = "" for a server that wants no key.'
            )
        return key

    def _note(self, reply: Reply, digest: str, attempts: int, seconds: float) -> None:
        """Add a question to what was spent, and to the ledger."""
        # A server that counts no tokens is not thereby free.
        cost = self.settings.cost(reply.tokens_in, reply.tokens_out) if reply.tokens_in else None
        with self._lock:
            spent = self.spent
            spent.asked += 1
            spent.tokens_in += reply.tokens_in
            spent.tokens_out += reply.tokens_out
            spent.seconds += seconds
            spent.cost = None if cost is None else (spent.cost or 0.0) + cost
            append_json_line(
                self.folder / LEDGER_FILE,
                {
                    "time": datetime.now(UTC).isoformat(timespec="seconds"),
                    "model": self.settings.model,
                    "question": digest,
                    "tokens_in": reply.tokens_in,
                    "tokens_out": reply.tokens_out,
                    "finished": reply.finished,
                    "attempts": attempts,
                    "seconds": round(seconds, 3),
                    "cost": cost,
                },
            )


def pause_s(attempt: int, first_s: float, wanted_s: float | None, jitter: random.Random) -> float:
    """Seconds to wait after an attempt, the first being 1, that failed in passing; a minute at most.

    As the server wants, else first_s, doubled with every attempt; of that half to all, so that questions that failed
    together do not come back together. No result depends on it.
    """
    if wanted_s is not None:
        return min(_LONGEST_PAUSE_S, wanted_s)
    return min(_LONGEST_PAUSE_S, first_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS) * jitter.uniform(0.5, 1.0))


def spent_in(folder: Path) -> Spent:
    """What has been spent on the answers that are kept in a folder, by its ledger, over all runs that asked.

    cost: None where the price of a question is not known. cached: not in a ledger.
    """
    lines: list[dict[str, Any]] = list(read_json_lines(folder / LEDGER_FILE))
    costs = [line["cost"] for line in lines]
    return Spent(
        asked=len(lines),
        retries=sum(line["attempts"] - 1 for line in lines),
        tokens_in=sum(line["tokens_in"] for line in lines),
        tokens_out=sum(line["tokens_out"] for line in lines),
        seconds=math.fsum(line["seconds"] for line in lines),
        cost=None if None in costs else math.fsum(costs),
    )


def _cached(path: Path) -> Reply | None:
    """The reply that is kept, or None; a file that is damaged is asked for again."""
    try:
        return Reply(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        _log.warning("%s is damaged: the question is asked again", path.name)
        return None


def _reply(answer: Any) -> Reply:
    # None is a model's refusal: an answer too, and one that asking again would not change.
    choice = answer["choices"][0]
    text = choice["message"]["content"] or ""
    if not isinstance(text, str):
        raise TypeError("no text")
    usage = answer.get("usage") or {}
    counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    return Reply(text, choice.get("finish_reason") == "stop", *counts)


def _wanted_pause(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return None


def _refusal(settings: ApiSettings, status: int) -> str:
    advice = {
        401: f"Check the key in {settings.key_variable}.",
        403: f"Check what the key in {settings.key_variable} may do.",
        404: "Check api.base_url and api.model.",
        413: "The question is too long for it.",
    }.get(status, "Check api.model and what the server's own log says.")
    return f"{settings.base_url}: '{settings.model}' refused a question with status {status}. {advice}"
