"""Line charts as inline SVG: series of numbers per round enter, a figure leaves. Knows no study.

A series is told apart by its colour, the shape of its marks and its dashes, so that no reader depends on colour. Axes
begin at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedmedlora.report.elements import Markup, element, escape
from fedmedlora.report.numbers import decimal

WIDTH, LEFT, RIGHT, TOP, PLOT_HEIGHT = 380, 46, 368, 12, 180
BOTTOM = TOP + PLOT_HEIGHT
LEGEND_TOP, LEGEND_LINE = BOTTOM + 46, 17
COLOURS = 6
_MARKS = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "m-3 -3h6v6h-6z",
    "m0 -4l4 7h-8z",
    "m0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
    "m0 4l-4 -7h8z",
    "m-3.5 -3.5l7 7m0 -7l-7 7",
)
_DASHES = ("none", "7 3", "2 3", "9 3 2 3")
_MOST_ROUND_LABELS = 10


@dataclass(frozen=True, slots=True)
class Series:
    """One line. style: decides colour, mark and dashes; the same thing has the same style in every chart.

    points: (round counted from 1, value); a value that is None or not finite breaks the line.
    """

    name: str
    style: int
    points: tuple[tuple[int, float | None], ...]

    @property
    def known(self) -> list[tuple[int, float]]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


def line_chart(identity: str, title: str, y_label: str, series: Sequence[Series]) -> Markup:
    """A figure with a caption, or nothing when no series has a point.

    identity: unique on the page; letters, digits and '-'. The description lists first and last value of every series,
    so that a reader who hears the page gets what the eye gets.
    """
    drawn = [one for one in series if one.known]
    if not drawn:
        return Markup("")
    rounds = sorted({x for one in drawn for x, _ in one.points})
    ticks = _ticks(max(y for one in drawn for _, y in one.known))
    scale = _Scale(rounds[0], rounds[-1], ticks[-1])
    height = LEGEND_TOP + LEGEND_LINE * len(drawn)
    picture = element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", _description(y_label, drawn), id=f"{identity}-desc"),
        *_axes(scale, ticks, rounds, y_label),
        *(_line(one, scale) for one in drawn),
        *(_legend(one, LEGEND_TOP + LEGEND_LINE * place) for place, one in enumerate(drawn)),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )
    return element("figure", element("figcaption", title), picture)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Rounds first … last to x, values 0 … top to y, in the units of the picture."""

    first: int
    last: int
    top: float

    def x(self, number: int) -> float:
        if self.first == self.last:
            return (LEFT + RIGHT) / 2
        inset = 14
        return LEFT + inset + (number - self.first) / (self.last - self.first) * (RIGHT - LEFT - 2 * inset)

    def y(self, value: float) -> float:
        return BOTTOM - value / self.top * PLOT_HEIGHT


def _ticks(greatest: float) -> list[float]:
    """Round numbers from 0 to at least the greatest value, four or five steps."""
    if greatest <= 0:
        return [0.0, 0.5, 1.0]
    raw = greatest / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [step * place for place in range(math.ceil(greatest / step - 1e-9) + 1)]


def _axes(scale: _Scale, ticks: Sequence[float], rounds: Sequence[int], y_label: str) -> list[Markup]:
    parts: list[Markup] = []
    for tick in ticks:
        y = scale.y(tick)
        kind = "grid" if tick else "axis"
        parts.append(element("path", d=f"M{LEFT} {y:.1f}H{RIGHT}", class_=kind))
        parts.append(_text(f"{tick:.6g}", LEFT - 6, y + 4, "end"))
    every = math.ceil(len(rounds) / _MOST_ROUND_LABELS)
    parts += [_text(str(number), scale.x(number), BOTTOM + 15, "middle") for number in rounds[::every]]
    parts.append(_text("round", (LEFT + RIGHT) / 2, BOTTOM + 30, "middle"))
    turned = f"rotate(-90 10 {TOP + PLOT_HEIGHT / 2:.0f})"
    parts.append(
        element("text", y_label, x="10", y=f"{TOP + PLOT_HEIGHT / 2:.0f}", text_anchor="middle", transform=turned)
    )
    return parts


def _line(one: Series, scale: _Scale) -> Markup:
    steps: list[str] = []
    joined = False
    for x, y in one.points:
        if y is None or not math.isfinite(y):
            joined = False
            continue
        steps.append(f"{'L' if joined else 'M'}{scale.x(x):.1f} {scale.y(y):.1f}")
        joined = True
    marks = "".join(_mark(one.style, scale.x(x), scale.y(y)) for x, y in one.known)
    return element(
        "g",
        element("path", d="".join(steps), class_="line", stroke_dasharray=_DASHES[one.style % len(_DASHES)]),
        element("path", d=marks, class_="mark"),
        class_=f"s{one.style % COLOURS}",
    )


def _legend(one: Series, y: float) -> Markup:
    dashes = _DASHES[one.style % len(_DASHES)]
    sample = element(
        "g",
        element("path", d=f"M{LEFT} {y - 4:.1f}h40", class_="line", stroke_dasharray=dashes),
        element("path", d=_mark(one.style, LEFT + 20, y - 4), class_="mark"),
        class_=f"s{one.style % COLOURS}",
    )
    return element("g", sample, _text(one.name, LEFT + 48, y, "start"))


def _mark(style: int, x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}{_MARKS[style % len(_MARKS)]}"


def _text(content: str, x: float, y: float, anchor: str) -> Markup:
    return element("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _description(y_label: str, series: Sequence[Series]) -> Markup:
    parts: list[str] = []
    for one in series:
        (first, start), (last, end) = one.known[0], one.known[-1]
        text = f"{one.name}: {decimal(start)} after round {first}"
        parts.append(text if first == last else f"{text}, {decimal(end)} after round {last}")
    return escape(f"{y_label} by round. {'; '.join(parts)}.")
