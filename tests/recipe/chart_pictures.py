"""Charts of a report as they are painted: their plots and lines by their own geometry, and what of them is not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from page_pixels import BOX, Box, Colour, Pixels, Point, boxes, near, paint, rgb, styled

from browser import Browser

MARK_PIXELS = 6
"""So many pixels of its colour a mark has at least, where no other covers it; at least half of a line's marks must."""
LINE_SHARE = 0.25
"""On so much of its way between marks a line must be seen; dashes leave more, lines above it take some of that."""
_MARK_REACH = 6
_MARKS_ALONE = "svg .line, svg .bound { visibility: hidden; }"


class Line(NamedTuple):
    """A line that a chart's legend names. look: what tells it from others; marks: their middles, in their order."""

    name: str
    look: str
    colour: Colour
    marks: tuple[Point, ...]


class Chart(NamedTuple):
    """A chart by its own geometry. plot: what its grid spans."""

    title: str
    plot: Box
    lines: tuple[Line, ...]


# Lines of the plot stand in the drawing itself, those of the legend each in a group with their name, in one order. One
# path draws all marks of a line, each from an absolute place on; its uprights and what joins it are other paths.
_CHARTS = r"""[...document.querySelectorAll('figure svg')].map((svg) => {
  const spans = [...svg.querySelectorAll('.grid, .axis')].map(BOX);
  const width = Math.max(...spans.map((box) => box[2] - box[0]));
  const across = spans.filter((box) => box[2] - box[0] > width - 1);
  const end = (most, side) => most(...across.map((box) => box[side]));
  const places = (mark) => {
    const inWindow = mark.getScreenCTM();
    return [...mark.getAttribute('d').matchAll(/M(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => {
      const place = new DOMPoint(x, y).matrixTransform(inWindow);
      return [place.x + scrollX, place.y + scrollY];
    });
  };
  const samples = [...svg.querySelectorAll(':scope > g:not([class]) > g')];
  const lines = samples.map((sample, place) => {
    const kind = sample.className.baseVal;
    const before = samples.slice(0, place).filter((other) => other.className.baseVal === kind).length;
    const drawn = [...svg.querySelectorAll(`:scope > g.${kind}`)][before];
    const line = sample.querySelector('.line');
    const shape = sample.querySelector('.mark').getAttribute('d').replace(/M\S+ [^m]*/g, '');
    return {
      name: sample.parentNode.textContent,
      look: [kind, shape, line.getAttribute('stroke-dasharray')].join(' '),
      colour: getComputedStyle(line).stroke,
      marks: drawn ? [...drawn.querySelectorAll('.mark')].flatMap(places) : [],
    };
  });
  const plot = [end(Math.min, 0), end(Math.min, 1), end(Math.max, 2), end(Math.max, 3)];
  return {title: svg.closest('figure').querySelector('figcaption').textContent, plot, lines};
})"""


def charts(browser: Browser) -> list[Chart]:
    """Every chart of the page."""
    found: list[dict[str, Any]] = browser.value(_CHARTS.replace("BOX", f"({BOX})"))
    return [Chart(one["title"], Box(*one["plot"]), tuple(_line(**line) for line in one["lines"])) for one in found]


def _line(name: str, look: str, colour: str, marks: Sequence[Sequence[float]]) -> Line:
    return Line(name, look, rgb(colour), tuple((x, y) for x, y in marks))


def unseen(browser: Browser, panels: str = ".panels") -> list[str]:
    """What a reader of the charts does not see: "LOSS BY SITE: the line of north", …; best is nothing.

    panels: selector of the groups of charts that are looked at, each no higher than the window.
    """
    everywhere = charts(browser)
    found: list[str] = []
    for group in boxes(browser, panels):
        painted = paint(browser, group)
        with styled(browser, _MARKS_ALONE):
            marks = paint(browser, group)
        inside = [chart for chart in everywhere if group.holds(chart.plot[:2])]
        assert inside, "a group without a chart"
        for chart in inside:
            lost = _unseen_in(chart, painted.part(chart.plot), marks.part(chart.plot))
            found += [f"{chart.title}: {what}" for what in lost]
    return found


def _unseen_in(chart: Chart, plot: Pixels, marks_alone: Pixels) -> Iterator[str]:
    """Only pixels of the plot count, so not those of the legend.

    Marks that lie under another line's mark are not asked for; lines are, also where two of them coincide.
    """
    for place, line in enumerate(chart.lines):
        if not line.marks:
            yield f"anything of {line.name}"
            continue
        if not all(chart.plot.holds(mark) for mark in line.marks):
            yield f"all of {line.name} in the plot"
        marks = _from_corner(line.marks, chart.plot)
        above = _from_corner((mark for other in chart.lines[place + 1 :] for mark in other.marks), chart.plot)
        free = [mark for mark in marks if all(math.dist(mark, other) > 2 for other in above)]
        coloured = near(marks_alone, line.colour)
        if 2 * sum(_count(coloured, mark, _MARK_REACH) >= MARK_PIXELS for mark in free) < len(free):
            yield f"the marks of {line.name}"
        if _line_share(near(plot, line.colour), marks) < LINE_SHARE:
            yield f"the line of {line.name}"


def _from_corner(places: Iterator[Point] | Sequence[Point], plot: Box) -> list[Point]:
    return [(x - plot.left, y - plot.top) for x, y in places]


def _line_share(coloured: NDArray[np.bool_], marks: Sequence[Point]) -> float:
    """On how much of the way from mark to mark, marks aside, there is colour at most one pixel off. 0 … 1."""
    steps = [step for step in _steps(marks) if all(math.dist(step, mark) > _MARK_REACH for mark in marks)]
    return sum(_count(coloured, step, 1) > 0 for step in steps) / len(steps) if steps else 1.0


def _steps(marks: Sequence[Point]) -> Iterator[Point]:
    """From mark to mark, a pixel at a time."""
    for (x, y), (to_x, to_y) in pairwise(marks):
        steps = max(1, round(math.dist((x, y), (to_x, to_y))))
        for step in range(steps):
            yield x + (to_x - x) * step / steps, y + (to_y - y) * step / steps


def _count(coloured: NDArray[np.bool_], place: Point, reach: int) -> int:
    """How many pixels are coloured so far around a place."""
    x, y = (math.floor(part) for part in place)
    return int(coloured[max(0, y - reach) : max(0, y + reach + 1), max(0, x - reach) : max(0, x + reach + 1)].sum())
