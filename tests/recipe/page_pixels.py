"""What is painted where on a page: pixels of its parts, and text against what is behind it.

Places are those of the page in CSS pixels, of which the browser's pictures have one each.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from browser import Browser, read_rows

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]
Pixels: TypeAlias = NDArray[np.uint8]

REACH = 24
"""So far a channel of a pixel may be from the colour that it is said to have: edges of lines are smoothed."""
TEXT_CONTRAST, LINE_CONTRAST = 4.5, 3.0
"""WCAG 2.2, 1.4.3 and 1.4.11: of text, and of lines that mean something."""
BOX = """(node) => {
  const box = node.getBoundingClientRect();
  return [box.left + scrollX, box.top + scrollY, box.right + scrollX, box.bottom + scrollY];
}"""


class Box(NamedTuple):
    """A part of the page."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point, reach: float = 1.0) -> bool:
        """Whether a point lies in it, or at most `reach` beside it."""
        x, y = point
        return self.left - reach <= x <= self.right + reach and self.top - reach <= y <= self.bottom + reach


class Painted(NamedTuple):
    """A part of the page as it is seen. pixels: rows × columns × (red, green, blue)."""

    left: int
    top: int
    pixels: Pixels

    def part(self, box: Box) -> Pixels:
        """The pixels of a part of it, to whole ones."""
        rows = slice(max(0, round(box.top) - self.top), max(0, round(box.bottom) - self.top))
        columns = slice(max(0, round(box.left) - self.left), max(0, round(box.right) - self.left))
        return self.pixels[rows, columns]


def paint(browser: Browser, box: Box) -> Painted:
    """What is seen in a part of the page, once it has been scrolled to the window's lower edge."""
    left, top = math.floor(box.left), math.floor(box.top)
    width, height = math.ceil(box.right) - left, math.ceil(box.bottom) - top
    room = browser.value(f"scrollTo(0, {top + height} - innerHeight), innerHeight")
    assert height <= room, f"a window of {room} pixels is too low for a part of {height}"
    clip = {"x": left, "y": top, "width": width, "height": height, "scale": 1}
    data = browser.call("Page.captureScreenshot", format="png", optimizeForSpeed=True, clip=clip)["data"]
    rows = read_rows(base64.b64decode(data))
    return Painted(left, top, np.frombuffer(b"".join(rows), np.uint8).reshape(height, width, 3))


def boxes(browser: Browser, selector: str) -> list[Box]:
    """Of every element that a selector finds."""
    found = browser.value(f"[...document.querySelectorAll({json.dumps(selector)})].map({BOX})")
    return [Box(*box) for box in found]


@contextmanager
def styled(browser: Browser, rules: str) -> Iterator[None]:
    """More rules for the page, until the block ends."""
    added = f"Object.assign(document.createElement('style'), {{textContent: {json.dumps(rules)}}})"
    browser.value(f"document.head.append({added})")
    try:
        yield
    finally:
        browser.value("document.head.lastElementChild.remove()")


def near(pixels: Pixels, colour: Colour, reach: int = REACH) -> NDArray[np.bool_]:
    """Which pixels have about that colour."""
    return _apart(pixels, np.array(colour, np.int16)) <= reach


def _apart(pixels: Pixels, others: NDArray[np.int16]) -> NDArray[np.int16]:
    """How far colours are from others, in the channel that differs most."""
    away: NDArray[np.int16] = np.abs(pixels.astype(np.int16) - others).max(axis=-1)
    return away


def rgb(written: str) -> Colour:
    """A colour as `getComputedStyle` gives it."""
    red, green, blue = (int(part) for part in re.findall(r"\d+", written)[:3])
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, "contrast ratio": 1 for equal colours, 21 for black on white."""
    lights = sorted(light(pixel) for pixel in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def light(pixel: Colour) -> float:
    """WCAG 2.2, "relative luminance": 0 for black, 1 for white."""
    parts = [part / 255 for part in pixel]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def faint_text(browser: Browser, parts: str, texts: str) -> list[str]:
    """Texts of which no letter is painted, or one stands on a pixel from which it hardly stands out.

    parts: selector of what is looked at, each no higher than the window; texts: selector of the elements in it whose
    text is judged. What is behind a letter is what remains once its colour is taken away.
    """
    found: list[str] = []
    bare = f":is({parts}) :is({texts}) {{ color: transparent !important; fill: transparent !important; }}"
    for part, inside in zip(boxes(browser, parts), browser.value(_texts(parts, texts)), strict=True):
        shown = paint(browser, part)
        with styled(browser, bare):
            behind = paint(browser, part)
        for text, written, box in inside:
            found += _faint(text, rgb(written), shown.part(Box(*box)), behind.part(Box(*box)))
    return found


def _texts(parts: str, texts: str) -> str:
    return f"""[...document.querySelectorAll({json.dumps(parts)})].map((part) =>
      [...part.querySelectorAll({json.dumps(texts)})].filter((one) => one.textContent.trim()).map((one) => {{
        const style = getComputedStyle(one);
        return [one.textContent, one instanceof SVGElement ? style.fill : style.color, ({BOX})(one)];
      }}))"""


_LETTER = 40
"""By so much a pixel changes, in a channel, where a letter is taken away."""


def _faint(text: str, colour: Colour, shown: Pixels, behind: Pixels) -> list[str]:
    letters = _apart(shown, behind.astype(np.int16)) > _LETTER
    if not letters.any():
        return [f"{text!r} is not painted"]
    grounds = [(int(red), int(green), int(blue)) for red, green, blue in np.unique(behind[letters], axis=0)]
    least = min(contrast(colour, ground) for ground in grounds)
    return [f"{text!r} has a contrast of {least:.1f}"] if least < TEXT_CONTRAST else []
