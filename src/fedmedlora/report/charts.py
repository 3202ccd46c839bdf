"""Line charts as inline SVG: series of points enter, a figure leaves. Knows no study.

A series is told apart by its colour, the shape of its marks and its dashes, so that no reader depends on colour. Values
begin at 0; so does what they are drawn over, unless its axis says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedmedlora.report.elements import Markup, element, escape
from fedmedlora.report.numbers import between, decimal

WIDTH, LEFT, RIGHT, TOP, PLOT_HEIGHT = 380, 52, 368, 12, 180
BOTTOM = TOP + PLOT_HEIGHT
LEGEND_TOP, LEGEND_LINE = BOTTOM + 46, 17
INSET, DODGE, CAP = 14, 3, 2.5
COLOURS = 8
_MARKS = (
    "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "m-3 -3h6v6h-6z",
    "m0 -4l4 7h-8z",
    "m0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
    "m0 4l-4 -7h8z",
    "m-3.5 -3.5l7 7m0 -7l-7 7",
    "m-4 0h8m-4 -4v8",
    "m-4.5 -2h9v4h-9z",
)
_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "12 4")
_MOST_LABELS = 10


@dataclass(frozen=True, slots=True)
class Series:
    """One line. style: decides colour, mark and dashes; the same thing has the same style in every chart.

    points: (place on the axis below, value) in the order in which they are joined; a value that is None or not finite
    breaks the line. bounds: (place, low, high), drawn as an upright. notes: a word for each point, set beside its mark.
    """

    name: str
    style: int
    points: tuple[tuple[float, float | None], ...]
    bounds: tuple[tuple[float, float, float], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


@dataclass(frozen=True, slots=True)
class Axis:
    """What values are drawn over.

    at: how the description names a place on it, which stands for "{}". names: of the places 0, 1, …, where they are no
    quantities. measured: its ticks are round numbers between the places, not the places themselves. from_zero: of a
    measured axis.
    """

    label: str
    at: str
    names: tuple[str, ...] = ()
    measured: bool = False
    from_zero: bool = True

    def place(self, x: float) -> str:
        """A place in words: "after round 2", "at 50 notes"."""
        return self.at.format(self.names[int(x)] if self.names else f"{x:.3g}")


ROUNDS = Axis("round", "after round {}")


def line_chart(identity: str, title: str, y_label: str, series: Sequence[Series], axis: Axis = ROUNDS) -> Markup:
    """A figure with a caption, or nothing when no series has a point.

    identity: unique on the page; letters, digits and '-'. The description lists first and last value of every series,
    so that a reader who hears the page gets what the eye gets.
    """
    drawn = [one for one in series if one.known]
    if not drawn:
        return Markup("")
    ticks = _ticks(0, max([y for one in drawn for _, y in one.known] + [h for one in drawn for _, _, h in one.bounds]))
    places = _places(axis, drawn)
    ends = (places[0], places[-1])
    if axis.measured and not axis.from_zero:
        ends = (min(x for one in drawn for x, _ in one.known), max(x for one in drawn for x, _ in one.known))
        places = [place for place in places if ends[0] <= place <= ends[1]]
    scale = _Scale(*ends, ticks[-1])
    middle = (len(drawn) - 1) / 2
    parts = [
        *_axes(scale, ticks, places, axis, y_label),
        *(_line(one, scale, DODGE * (place - middle)) for place, one in enumerate(drawn)),
        # Above all lines, so that none crosses them out.
        *(note for one in drawn for note in _notes(one, scale)),
        *(legend_entry(one.name, one.style, LEGEND_TOP + LEGEND_LINE * place) for place, one in enumerate(drawn)),
    ]
    height = f"{LEGEND_TOP + LEGEND_LINE * len(drawn)}"
    return chart_figure(identity, title, _description(y_label, axis, drawn), parts, height)


def chart_figure(identity: str, title: str, description: str, parts: Sequence[Markup], height: str) -> Markup:
    """A drawing with its caption, and in words for who cannot see it."""
    picture = element(
        "svg",
        element("title", title, id=f"{identity}-title"),
        element("desc", description, id=f"{identity}-desc"),
        *parts,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )
    return element("figure", element("figcaption", title), picture)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Places first … last to x, values 0 … top to y, in the units of the picture."""

    first: float
    last: float
    top: float

    def x(self, place: float) -> float:
        if self.first == self.last:
            return (LEFT + RIGHT) / 2
        return LEFT + INSET + (place - self.first) / (self.last - self.first) * (RIGHT - LEFT - 2 * INSET)

    def y(self, value: float) -> float:
        return BOTTOM - value / self.top * PLOT_HEIGHT


def _places(axis: Axis, series: Sequence[Series]) -> list[float]:
    """Where the axis below bears a number or name."""
    found = sorted({x for one in series for x, _ in one.points})
    if axis.names:
        return [float(place) for place in range(len(axis.names))]
    if not axis.measured:
        return found
    return _ticks(0 if axis.from_zero else found[0], found[-1])


def _ticks(least: float, greatest: float) -> list[float]:
    """Round numbers from at most the least to at least the greatest value, four or five steps."""
    if greatest <= least:
        return [least, least + 0.5, least + 1.0]
    raw = (greatest - least) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(least / step + 1e-9)
    return [step * place for place in range(first, math.ceil(greatest / step - 1e-9) + 1)]


def _axes(scale: _Scale, ticks: Sequence[float], places: Sequence[float], axis: Axis, y_label: str) -> list[Markup]:
    parts: list[Markup] = []
    for tick in ticks:
        y = scale.y(tick)
        kind = "grid" if tick else "axis"
        parts.append(element("path", d=f"M{LEFT} {y:.1f}H{RIGHT}", class_=kind))
        parts.append(text_at(f"{tick:.6g}", LEFT - 6, y + 4, "end"))
    every = 1 if axis.names else math.ceil(len(places) / _MOST_LABELS)
    for place in places[::every]:
        name = axis.names[int(place)] if axis.names else f"{place:.6g}"
        parts.append(text_at(name, scale.x(place), BOTTOM + 15, "middle"))
    parts.append(text_at(axis.label, (LEFT + RIGHT) / 2, BOTTOM + 30, "middle"))
    turned = f"rotate(-90 10 {TOP + PLOT_HEIGHT / 2:.0f})"
    parts.append(
        element("text", y_label, x="10", y=f"{TOP + PLOT_HEIGHT / 2:.0f}", text_anchor="middle", transform=turned)
    )
    return parts


def _line(one: Series, scale: _Scale, aside: float) -> Markup:
    """aside: how far uprights, and the points they belong to, are moved so that those of several series stand apart."""
    aside = aside if one.bounds else 0.0
    steps: list[str] = []
    joined = False
    for x, y in one.points:
        if y is None or not math.isfinite(y):
            joined = False
            continue
        steps.append(f"{'L' if joined else 'M'}{scale.x(x) + aside:.1f} {scale.y(y):.1f}")
        joined = True
    marks = "".join(mark_at(one.style, scale.x(x) + aside, scale.y(y)) for x, y in one.known)
    parts = [element("path", d="".join(steps), class_="line", stroke_dasharray=dashes(one.style))]
    if one.bounds:
        parts.append(element("path", d="".join(_upright(scale, aside, *bound) for bound in one.bounds), class_="bound"))
    parts.append(element("path", d=marks, class_="mark"))
    return element("g", *parts, class_=f"s{one.style % COLOURS}")


def _notes(one: Series, scale: _Scale) -> list[Markup]:
    return [
        element("text", note, x=f"{scale.x(x) + 6:.1f}", y=f"{scale.y(y) - 5:.1f}", class_="note")
        for note, (x, y) in zip(one.notes, one.points, strict=False)
        if y is not None and math.isfinite(y)
    ]


def _upright(scale: _Scale, aside: float, place: float, low: float, high: float) -> str:
    x, bottom, top = scale.x(place) + aside, scale.y(low), scale.y(high)
    cap = f"h{2 * CAP}"
    return f"M{x:.1f} {bottom:.1f}V{top:.1f}M{x - CAP:.1f} {bottom:.1f}{cap}M{x - CAP:.1f} {top:.1f}{cap}"


def legend_entry(name: str, style: int, y: float) -> Markup:
    """A sample of the style's line and the name beside it; y: baseline of the text."""
    sample = element(
        "g",
        element("path", d=f"M{LEFT} {y - 4:.1f}h40", class_="line", stroke_dasharray=dashes(style)),
        element("path", d=mark_at(style, LEFT + 20, y - 4), class_="mark"),
        class_=f"s{style % COLOURS}",
    )
    return element("g", sample, text_at(name, LEFT + 48, y, "start"))


def dashes(style: int) -> str:
    """Of the style's line, as `stroke-dasharray` takes them."""
    return _DASHES[style % len(_DASHES)]


def mark_at(style: int, x: float, y: float) -> str:
    """The style's mark as a path, its middle at (x, y)."""
    return f"M{x:.1f} {y:.1f}{_MARKS[style % len(_MARKS)]}"


def text_at(content: str, x: float, y: float, anchor: str) -> Markup:
    """One line of text on the baseline y; anchor: which end of it lies at x, as `text-anchor` says."""
    return element("text", content, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _description(y_label: str, axis: Axis, series: Sequence[Series]) -> Markup:
    parts: list[str] = []
    for one in series:
        bounds = {x: f" ({between(low, high)})" for x, low, high in one.bounds}
        texts = [f"{decimal(y)}{bounds.get(x, '')} {axis.place(x)}" for x, y in (one.known[0], one.known[-1])]
        parts.append(f"{one.name}: {', '.join(dict.fromkeys(texts))}")
    return escape(f"{y_label} by {axis.label}. {'; '.join(parts)}.")
