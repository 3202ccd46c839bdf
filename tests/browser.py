"""A headless browser for tests: Chromium over its DevTools pipe, and pictures as pixels. No network, no driver."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import struct
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest

Table: TypeAlias = "dict[str, Any]"
Colour: TypeAlias = tuple[int, int, int]
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE_S = 30.0


def find_browser() -> str:
    """The browser's program. A machine without one skips, but not where changes are checked (`CI` is set)."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """A browser with one page; its profile lies in `folder`. It ends with the block."""
    program = find_browser()
    to_browser, from_test = os.pipe()
    to_test, from_browser = os.pipe()
    # The browser reads commands from descriptor 3 and answers on 4.
    start = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    command = ["bash", "-c", start, program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        command, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(from_test, to_test)
    finally:
        os.close(from_test)
        os.close(to_test)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Browser:
    """One page of a running browser. complaints: what its console has said since the page was opened."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._held, self._number = b"", 0
        self._session: str | None = None
        self._events: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Table:
        """One DevTools command and its result."""
        self._number += 1
        message: Table = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: Table = answer["result"]
                return result

    def _receive(self) -> Table:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._answers, 1 << 20)
            assert more, "the browser has ended"
            self._held += more
        line, _, self._held = self._held.partition(b"\0")
        message: Table = json.loads(line)
        self._events.append(message.get("method", ""))
        match message:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.complaints.append(str(details))
            case {"method": "Log.entryAdded", "params": {"entry": entry}}:
                self.complaints.append(str(entry["text"]))
            case {"method": "Runtime.consoleAPICalled", "params": {"type": kind, "args": arguments}}:
                self.complaints.append(f"{kind}: {arguments}")
        return message

    def show(self, page: Path, *, width: int = 1200, height: int = 800, dark: bool = False, media: str = "") -> None:
        """Open a file as a window of that size has it. media: "print" for the look on paper."""
        self.complaints.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()

    def value(self, expression: str) -> Any:
        """What an expression of the page's language gives; the page's policy does not hold for it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, code: int = 0) -> None:
        """A key as a hand presses it. code: of keys that write nothing, such as Tab (9)."""
        written = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        key_code = code or (13 if key == "Enter" else ord(key.upper()))
        about = {"key": key, "windowsVirtualKeyCode": key_code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **written)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, selector: str = "") -> Picture:
        """What is to be seen in the window, or of the first element that a selector finds."""
        return read_png(self.png(selector))

    def png(self, selector: str = "", whole: bool = False) -> bytes:
        """The same as a PNG file; `whole`: the page down to its end."""
        more: Table = {"captureBeyondViewport": True} if whole or selector else {}
        if selector or whole:
            element = f"document.querySelector({json.dumps(selector or 'html')})"
            box = self.value(
                f"(() => {{ const box = {element}.getBoundingClientRect(); return {{x: box.x + scrollX, "
                "y: box.y + scrollY, width: box.width, height: box.height}; })()"
            )
            more["clip"] = {**box, "scale": 1}
        data: str = self.call("Page.captureScreenshot", format="png", **more)["data"]
        return base64.b64decode(data)

    def pdf(self) -> bytes:
        """The page as it is printed."""
        data: str = self.call("Page.printToPDF", printBackground=False)["data"]
        return base64.b64decode(data)


class Picture(NamedTuple):
    """What a picture is made of. first: the pixel at its upper left; colours: (red, green, blue) → number of pixels."""

    width: int
    height: int
    first: Colour
    colours: Counter[Colour]

    def near(self, colour: Colour, reach: int = 24) -> int:
        """How many pixels have about that colour."""
        return sum(
            count
            for other, count in self.colours.items()
            if all(abs(one - two) <= reach for one, two in zip(colour, other, strict=True))
        )


def read_png(data: bytes) -> Picture:
    """Pixels of a PNG file, counted."""
    pixels = [pixel for row in read_rows(data) for pixel in zip(row[0::3], row[1::3], row[2::3], strict=True)]
    width, height = struct.unpack(">II", data[16:24])
    return Picture(width, height, pixels[0], Counter(pixels))


def read_rows(data: bytes) -> list[bytes]:
    """Rows of a PNG file as browsers write them, three bytes a pixel: 8 bits a channel, RGB or RGBA, not interlaced."""
    width, _, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    assert (depth, interlaced) == (8, 0)
    step = {2: 3, 6: 4}[kind]
    packed, place = b"", 8
    while place < len(data):
        (size,), name = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        packed += data[place + 8 : place + 8 + size] if name == b"IDAT" else b""
        place += size + 12
    raw, row = zlib.decompress(packed), bytearray(width * step)
    rows: list[bytes] = []
    for start in range(0, len(raw), width * step + 1):
        row = _unfiltered(raw[start], raw[start + 1 : start + 1 + width * step], row, step)
        shown = row.copy()
        if step == 4:
            del shown[3::4]
        rows.append(bytes(shown))
    return rows


def _unfiltered(how: int, line: bytes, above: bytearray, step: int) -> bytearray:
    """One row without its filter (PNG specification, section 9)."""
    row = bytearray(line)
    if how == 0:
        return row
    if how == 2:
        return bytearray(_sum(line, bytes(above)))
    for place in range(len(row)):
        left = row[place - step] if place >= step else 0
        up = above[place]
        corner = above[place - step] if place >= step else 0
        if how == 1:
            guess = left
        elif how == 3:
            guess = (left + up) // 2
        else:
            guess = _paeth(left, up, corner)
        row[place] = (row[place] + guess) & 255
    return row


def _sum(one: bytes, other: bytes) -> bytes:
    """Byte by byte, modulo 256."""
    return (np.frombuffer(one, np.uint8) + np.frombuffer(other, np.uint8)).tobytes()


def _paeth(left: int, up: int, corner: int) -> int:
    estimate = left + up - corner
    distances = (abs(estimate - left), abs(estimate - up), abs(estimate - corner))
    return (left, up, corner)[distances.index(min(distances))]
