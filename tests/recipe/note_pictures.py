"""Lines under a note's text as they are painted, told by their looks alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from page_pixels import BOX, Box, Colour, Painted, boxes, near, paint, rgb

from browser import Browser

NOTE = ".view[open]:not([hidden]) .text"
"""The first note that is open."""
_BELOW, _DEEP = 0.8, 18
"""Lines are looked for from that share of a text's height on, so below most of its ink, and so far under it."""
_SOME, _MOST = 0.3, 0.9
"""Of a row's width: more is a line, and at least the other one without breaks."""


class Under(NamedTuple):
    """A line under a text. side: g is gold's, p the model's, a of both, gap between two parts; top: its upper row."""

    side: str
    top: int


class Stretch(NamedTuple):
    """A stretch of text. asked: whose lines the page says run under it, uppermost first; seen: what is painted."""

    text: str
    asked: tuple[str, ...]
    seen: tuple[Under, ...]


_STRETCHES = """[...document.querySelector(NOTE).querySelectorAll('u')].flatMap((inner) => {
  const text = [...inner.childNodes].find((node) => node.nodeType === Node.TEXT_NODE);
  if (!text) return [];
  const range = document.createRange();
  range.selectNodeContents(text);
  const lines = [];
  for (let line = inner; line.tagName === 'U'; line = line.parentNode) lines.unshift(line);
  return [{
    text: text.data,
    box: (BOX)(range),
    sides: lines.map((line) => line.classList[0]),
    colours: lines.map((line) => getComputedStyle(line).textDecorationColor),
  }];
})"""


def stretches(browser: Browser) -> dict[str, Stretch]:
    """Of the first open note, by text. Each must stand in one line of the page, and in no more than three lanes."""
    found: list[dict[str, Any]] = browser.value(_STRETCHES.replace("NOTE", json.dumps(NOTE)).replace("BOX", BOX))
    painted = paint(browser, boxes(browser, NOTE)[0])
    return {
        one["text"]: Stretch(
            one["text"],
            tuple(one["sides"]),
            tuple(_under(painted, Box(*one["box"]), {rgb(colour) for colour in one["colours"]})),
        )
        for one in found
    }


def _under(painted: Painted, box: Box, colours: set[Colour]) -> Iterator[Under]:
    """Gold is solid, the model's dashed, both are double, a gap is dotted and thinner."""
    top = box.top + _BELOW * (box.bottom - box.top)
    pixels = painted.part(box._replace(top=top, bottom=box.bottom + _DEEP))
    shares = np.any([near(pixels, colour, 40) for colour in colours], axis=0).mean(axis=1)
    bands = [[row for row, _ in rows] for some, rows in groupby(enumerate(shares), lambda row: row[1] > _SOME) if some]
    before: int | None = None
    for band in bands:
        whole = bool(shares[band].min() >= _MOST)
        if len(band) > 1:
            yield Under("g" if whole else "p", band[0])
        elif not whole:
            yield Under("gap", band[0])
        elif before == band[0] - 2:
            yield Under("a", before)
        else:
            before = band[0]
