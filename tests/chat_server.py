"""A chat-completions server on loopback that misbehaves as planned."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_S = 2.0
DRIPS = {
    "drip": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "drip-head": b"HTTP/1.1 200 OK\r\nX-Slow: ",
}
"""What comes at once; then single bytes, of the body or of a header, ten a second for half a minute."""


def completion(text: str | None, reason: str = "stop", usage: bool = True) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
    counted = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}} if usage else {}
    return json.dumps({"choices": [choice], **counted}).encode()


@dataclass
class Server:
    """Answers by `say` once the faults that are planned have been had.

    asked: bodies that came; most: at once. reason: why an answer ends. usage: whether tokens are told. retry_after:
    what a 429 asks for.
    """

    url: str = ""
    say: Callable[[str], str | None] = lambda question: question.upper()
    reason: str = "stop"
    usage: bool = True
    retry_after: str = "0"
    faults: list[str] = field(default_factory=list)
    asked: list[dict[str, object]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0
    most: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            self.asked.append(body)
            self.headers.append(handler.headers.get("Authorization", ""))
            self.now += 1
            self.most = max(self.most, self.now)
            fault = self.faults.pop(0) if self.faults else ""
        try:
            self._send(handler, fault, body["messages"][-1]["content"])
        finally:
            with self.lock:
                self.now -= 1

    def _send(self, handler: BaseHTTPRequestHandler, fault: str, question: str) -> None:
        payload = completion(self.say(question), self.reason, self.usage)
        status = int(fault) if fault.isdigit() else 200
        if status != 200:
            # A server's error may quote what it was asked.
            payload = json.dumps({"error": {"message": f"cannot: {question}"}}).encode()
        if fault == "drop":
            handler.connection.close()
            return
        if fault in DRIPS:
            handler.close_connection = True
            handler.wfile.write(DRIPS[fault])
            for _ in range(300):
                time.sleep(0.1)
                handler.wfile.write(b" ")
            return
        if fault == "slow":
            time.sleep(SLOW_S)
        handler.send_response(status)
        if status == 429:
            handler.send_header("Retry-After", self.retry_after)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        if fault == "half":
            payload = payload[: len(payload) // 2]
        if fault == "cut":
            payload = b"{" * len(payload)
        handler.wfile.write(payload)


@contextmanager
def serving() -> Iterator[Server]:
    """The server, as long as the block lasts."""
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            try:
                found.answer(self)
            except (BrokenPipeError, ConnectionResetError, ValueError):
                self.close_connection = True

        def log_message(self, *parts: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
    try:
        yield found
    finally:
        listening.shutdown()
        listening.server_close()
