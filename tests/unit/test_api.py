"""The client of chat models against a server on loopback that misbehaves, and what becomes of its answers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from chat_server import SLOW_S, Server, serving
from fedmedlora.corpus.document import Document
from fedmedlora.errors import ConfigError, EnvironmentProblem
from fedmedlora.inference.api import LEDGER_FILE, ApiClient, ApiSettings, Message, Spent, pause_s, spent_in
from fedmedlora.inference.api_answers import ApiAnswers, UnsentQuestions, check_may_leave, choose_shots
from fedmedlora.inference.predict import predict_entities, predict_modifiers
from fedmedlora.markup.encode import Encoder
from fedmedlora.record import read_json_lines
from fedmedlora.training.examples import make_examples

SECRET = "Mrs Zephyrine"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def settings_for(server: Server) -> ApiSettings:
    return ApiSettings(server.url, "toy", key_variable="", timeout_s=SLOW_S / 2, first_pause_s=0.01)


def asks(*texts: str) -> list[list[Message]]:
    return [[Message("user", text)] for text in texts]


def test_answers_come_in_order_and_once(server: Server, tmp_path: Path) -> None:
    texts = [f"question {number}" for number in range(20)]
    told: list[int] = []
    # No question is answered before four are there: fewer at once would wait for ever, or for the barrier's patience.
    together = threading.Barrier(4, timeout=30)

    def say(question: str) -> str:
        together.wait()
        return question.upper()

    server.say = say
    settings = replace(settings_for(server), timeout_s=60.0, price_in=2.0, price_out=10.0)
    with ApiClient(settings, tmp_path) as client:
        found = client.ask(asks(*texts), told.append)
        assert [reply.text for reply in found] == [text.upper() for text in texts]
        assert sum(told) == len(server.asked) == 20
        assert server.most == 4
        # 100 tokens at 2 and 10 at 10 a million, twenty times.
        assert client.spent.cost == pytest.approx(20 * (200 + 100) / 1e6)
        again = client.ask(asks(*texts[::-1]))
    assert [reply.text for reply in again] == [text.upper() for text in texts[::-1]]
    assert (len(server.asked), client.spent.asked, client.spent.cached) == (20, 20, 20)
    ledger = list(read_json_lines(tmp_path / LEDGER_FILE))
    assert Counter(line["tokens_in"] for line in ledger) == {100: 20}
    assert "QUESTION" not in (tmp_path / LEDGER_FILE).read_text(encoding="utf-8").upper().replace('"QUESTION"', "")


@pytest.mark.parametrize("fault", ["429", "500", "503", "slow", "drip", "half", "cut", "drop"])
def test_a_fault_that_passes_is_waited_out(server: Server, tmp_path: Path, fault: str) -> None:
    server.faults = [fault, fault]
    with ApiClient(settings_for(server), tmp_path) as client:
        found = client.ask(asks("a", "b", "c"))
    assert [reply.text for reply in found] == ["A", "B", "C"]
    assert client.spent.retries == 2
    assert sum(int(str(line["attempts"])) for line in read_json_lines(tmp_path / LEDGER_FILE)) == 5


@pytest.mark.parametrize("fault", ["drip", "drip-head"])
def test_a_server_that_drips_meets_the_deadline_of_the_whole_attempt(
    server: Server, tmp_path: Path, fault: str
) -> None:
    server.faults = [fault, fault]
    settings = replace(settings_for(server), attempts=2, timeout_s=0.5)
    began = time.monotonic()
    with ApiClient(settings, tmp_path) as client:
        with pytest.raises(EnvironmentProblem, match=r"failed 2 times, at last by no answer within 0\.5 s"):
            client.ask(asks("a"))
        # Two attempts of half a second; each drips for half a minute.
        assert 1.0 <= time.monotonic() - began < 15.0
        assert (len(server.asked), client.spent.retries) == (2, 1)
        assert [reply.text for reply in client.ask(asks("a"))] == ["A"]


def test_pauses_double_up_to_a_minute_unless_the_server_says_how_long() -> None:
    jitter = random.Random(0)
    for attempt, longest in [(1, 1.5), (2, 3.0), (3, 6.0), (4, 12.0), (5, 24.0), (6, 48.0)]:
        drawn = [pause_s(attempt, 1.5, None, jitter) for _ in range(200)]
        # Between half and all of it, and spread over that.
        assert longest / 2 <= min(drawn) < 0.55 * longest
        assert 0.95 * longest < max(drawn) <= longest
    assert max(pause_s(7, 1.5, None, jitter) for _ in range(200)) == 60.0
    assert pause_s(5000, 1.5, None, jitter) == 60.0
    assert [pause_s(3, 1.5, wanted, jitter) for wanted in (0.0, 7.25, 3600.0)] == [0.0, 7.25, 60.0]


def test_what_a_server_asks_for_is_waited(server: Server, tmp_path: Path) -> None:
    server.faults, server.retry_after = ["429"], "0.7"
    # Its own pauses would be hundredths of a second.
    began = time.monotonic()
    with ApiClient(settings_for(server), tmp_path) as client:
        client.ask(asks("a"))
    assert time.monotonic() - began >= 0.7
    # A date is not understood, and the pause the client's own.
    server.faults, server.retry_after = ["429"], "Fri, 31 Dec 2049 23:59:59 GMT"
    with ApiClient(settings_for(server), tmp_path) as client:
        assert [reply.text for reply in client.ask(asks("b"))] == ["B"]
        assert client.spent.retries == 1


def test_the_ledger_adds_up_what_all_runs_spent(server: Server, tmp_path: Path) -> None:
    priced = replace(settings_for(server), price_in=2.0, price_out=10.0)
    assert spent_in(tmp_path) == Spent(cost=0.0)
    server.faults = ["500"]
    for texts in (["a", "b"], ["b", "c"]):
        with ApiClient(priced, tmp_path) as client:
            client.ask(asks(*texts))
    spent = spent_in(tmp_path)
    # Three questions of 100 tokens at 2 and 10 at 10 a million; the second run found "b" in the cache.
    assert (spent.asked, spent.retries, spent.tokens_in, spent.tokens_out) == (3, 1, 300, 30)
    assert spent.cost == pytest.approx(3 * 300e-6)
    server.usage = False
    with ApiClient(priced, tmp_path) as client:
        client.ask(asks("d"))
    # A server that does not count is not free.
    assert (spent_in(tmp_path).asked, spent_in(tmp_path).cost) == (4, None)


def test_a_server_is_named_without_what_its_address_may_hold(server: Server) -> None:
    settings = replace(settings_for(server), base_url="https://user:sesame@chat.example.org:8443/v1?key=sesame")
    assert settings.server == "chat.example.org:8443"


def test_what_was_answered_before_a_failure_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    settings = replace(settings_for(server), attempts=2, concurrency=1)
    with ApiClient(settings, tmp_path) as client:
        client.ask(asks("a", "b"))
        server.faults = ["500", "500"]
        with pytest.raises(EnvironmentProblem, match=r"failed 2 times, at last by status 500.*run again") as caught:
            client.ask(asks("a", "b", SECRET, "d"))
    assert SECRET not in str(caught.value)
    before = len(server.asked)
    with ApiClient(settings, tmp_path) as client:
        assert [reply.text for reply in client.ask(asks("a", "b", SECRET, "d"))] == ["A", "B", SECRET.upper(), "D"]
    assert len(server.asked) == before + 2
    damaged = next((tmp_path / "cache").rglob("*.json"))
    damaged.write_text("{", encoding="utf-8")
    with ApiClient(settings, tmp_path) as client:
        client.ask(asks("a", "b", SECRET, "d"))
    assert len(server.asked) == before + 3


@pytest.mark.parametrize(("status", "advice"), [("401", "Check the key"), ("404", "api.model"), ("400", "own log")])
def test_a_refusal_for_good_ends_at_once(server: Server, tmp_path: Path, status: str, advice: str) -> None:
    server.faults = [status]
    with (
        ApiClient(replace(settings_for(server), concurrency=1), tmp_path) as client,
        pytest.raises(EnvironmentProblem, match=f"status {status}.*{advice}") as caught,
    ):
        client.ask(asks(SECRET))
    assert SECRET not in str(caught.value)
    assert len(server.asked) == 1


def test_the_key_comes_from_the_environment(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(settings_for(server), key_variable="TOY_KEY")
    monkeypatch.delenv("TOY_KEY", raising=False)
    with pytest.raises(ConfigError, match="TOY_KEY is not set"):
        ApiClient(settings, tmp_path)
    monkeypatch.setenv("TOY_KEY", "sesame")
    with ApiClient(settings, tmp_path) as client:
        client.ask(asks("a"))
        assert "sesame" not in repr(client)
    assert server.headers == ["Bearer sesame"]
    assert "sesame" not in "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.json*"))
    with pytest.raises(ConfigError, match="begins with http"):
        replace(settings, base_url="api.example.org")
    with pytest.raises(ConfigError, match="concurrency = 0"):
        replace(settings, concurrency=0)


def test_documents_through_a_chat_model(server: Server, tmp_path: Path) -> None:
    adapted_words = tiny.make_base("llama").tokenizer
    encoder = Encoder(adapted_words, tiny.LABELS)
    document = tiny.mark("Severe cough and aspirin", ("problem", "cough"), ("drug", "aspirin"))

    def say(question: str) -> str | None:
        if '"modifiers"' in question:
            return '```json\n{"modifiers": [{"type": "severity", "text": "Severe", "occurrence": 1}]}\n```'
        return '{"entities": [{"type": "problem", "text": "cough", "occurrence": 1}, {"type": "drug", "text": "gold"}'

    server.say = say
    shots = choose_shots(make_examples(tiny.notes(), encoder, ("ner", "re")).examples, ("ner", "re"), 2)
    with ApiClient(settings_for(server), tmp_path) as client:
        answers = ApiAnswers(client, tiny.LABELS, shots)
        found = predict_entities([document], encoder, answers).documents[0]
        assert [(entity.type, document.text[slice(*entity.spans[0])]) for entity in found.entities] == [
            ("problem", "cough")
        ]
        assert answers.problems["ner: hallucinated"] == 1
        related = predict_modifiers([replace(found, labels=None)], encoder, answers).documents[0]
    assert [(relation.type, relation.head) for relation in related.relations] == [("severity", "T1")]
    # Two worked examples of the task, question and right answer, then the question itself.
    for body in server.asked:
        roles = [message["role"] for message in body["messages"]]  # type: ignore[attr-defined]
        assert roles == ["user", "assistant", "user", "assistant", "user"]


def test_an_answer_that_was_cut_off_is_counted_and_what_it_says_is_kept(server: Server, tmp_path: Path) -> None:
    server.reason = "length"
    server.say = lambda question: '{"entities": [{"type": "problem", "text": "cough", "occurrence": 1}, {"type": "pr'
    encoder = Encoder(tiny.make_base("llama").tokenizer, tiny.LABELS)
    # The second time from the cache.
    for asked in (1, 0):
        with ApiClient(settings_for(server), tmp_path) as client:
            answers = ApiAnswers(client, tiny.LABELS)
            found = predict_entities([Document("d", "mild cough")], encoder, answers).documents[0]
            assert client.spent.asked == asked
        assert [entity.spans for entity in found.entities] == [((5, 10),)]
        assert answers.problems["ner: answer not finished"] == 1
    assert [line["finished"] for line in read_json_lines(tmp_path / LEDGER_FILE)] == [False]


def test_what_would_be_sent_is_counted_to_the_byte(server: Server, tmp_path: Path) -> None:
    encoder = Encoder(tiny.make_base("llama").tokenizer, tiny.LABELS)
    shots = choose_shots(make_examples(tiny.notes(), encoder, ("ner",)).examples, ("ner",), 1)
    documents = [Document("d", "mild cough\nno œdema")]
    unsent = UnsentQuestions(tiny.LABELS, shots)
    assert predict_entities(documents, encoder, unsent).documents[0].entities == ()
    with ApiClient(settings_for(server), tmp_path) as client:
        predict_entities(documents, encoder, ApiAnswers(client, tiny.LABELS, shots))
    contents = [turn["content"] for body in server.asked for turn in body["messages"]]  # type: ignore[attr-defined]
    assert (unsent.questions, unsent.bytes) == (2, sum(len(content.encode()) for content in contents))


def test_a_model_that_declines_has_answered(server: Server, tmp_path: Path) -> None:
    server.say = lambda question: None
    encoder = Encoder(tiny.make_base("llama").tokenizer, tiny.LABELS)
    with ApiClient(settings_for(server), tmp_path) as client:
        answers = ApiAnswers(client, tiny.LABELS)
        assert predict_entities([Document("d", "mild cough")], encoder, answers).documents[0].entities == ()
    assert answers.problems["ner: malformed JSON"] == len(server.asked) == 1


def test_credentialed_notes_stay_unless_the_study_lets_them_go(caplog: pytest.LogCaptureFixture) -> None:
    notes = [Document("a", SECRET, meta={"credentialed": True}), Document("b", "x")]
    with pytest.raises(ConfigError, match="1 notes are credentialed") as caught:
        check_may_leave(notes, allowed=False, where="http://elsewhere")
    assert SECRET not in str(caught.value)
    check_may_leave(notes[1:], allowed=False, where="http://elsewhere")
    assert not caplog.records
    check_may_leave(notes, allowed=True, where="http://elsewhere")
    assert "up to 1 credentialed notes go to http://elsewhere" in caplog.text
