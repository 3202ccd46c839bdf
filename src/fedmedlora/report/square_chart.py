"""Charts of one share over another, both 0 … 1, as inline SVG: curves enter, a figure leaves. Knows no study.

Like `charts`, it tells curves apart by colour, marks and dashes together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedmedlora.report.charts import (
    BOTTOM,
    COLOURS,
    LEFT,
    LEGEND_LINE,
    LEGEND_TOP,
    PLOT_HEIGHT,
    RIGHT,
    TOP,
    chart_figure,
    dashes,
    legend_entry,
    mark_at,
    text_at,
)
from fedmedlora.report.elements import Markup, element, escape
from fedmedlora.report.numbers import decimal

_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_MOST_MARKS = 10


@dataclass(frozen=True, slots=True)
class Curve:
    """One line. style: as of a `Series`. points: (x, y), both 0 … 1, in the order in which they are joined."""

    name: str
    style: int
    points: tuple[tuple[float, float], ...]


def square_chart(
    identity: str, title: str, x_label: str, y_label: str, curves: Sequence[Curve], *, diagonal: str = ""
) -> Markup:
    """A figure with a caption, or nothing when no curve has a point.

    identity: unique on the page; letters, digits and '-'. diagonal: what the line x = y stands for, if it is to be
    drawn. The description gives each curve's ends in words.
    """
    drawn = [one for one in curves if one.points]
    if not drawn:
        return Markup("")
    legend = [legend_entry(one.name, one.style, _line_at(place)) for place, one in enumerate(drawn)]
    ideal: list[Markup] = []
    if diagonal:
        ideal = [element("path", d=f"M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}", class_="axis")]
        y = _line_at(len(drawn))
        legend += [
            element("path", d=f"M{LEFT} {y - 4:.1f}h40", class_="axis"),
            text_at(diagonal, LEFT + 48, y, "start"),
        ]
    parts = [*_axes(x_label, y_label), *ideal, *(_line(one) for one in drawn), *legend]
    height = f"{_line_at(len(drawn) + bool(diagonal)):.0f}"
    return chart_figure(identity, title, _description(x_label, y_label, drawn), parts, height)


def _x(share: float) -> float:
    return LEFT + share * (RIGHT - LEFT)


def _y(share: float) -> float:
    return BOTTOM - share * PLOT_HEIGHT


def _line_at(place: int) -> float:
    """Baseline of a line of the legend."""
    return LEGEND_TOP + LEGEND_LINE * place


def _axes(x_label: str, y_label: str) -> list[Markup]:
    parts: list[Markup] = []
    for tick in _TICKS:
        kind = "grid" if tick else "axis"
        parts.append(element("path", d=f"M{LEFT} {_y(tick):.1f}H{RIGHT}", class_=kind))
        parts.append(element("path", d=f"M{_x(tick):.1f} {TOP}V{BOTTOM}", class_=kind))
        parts.append(text_at(f"{tick:.1f}", LEFT - 6, _y(tick) + 4, "end"))
        parts.append(text_at(f"{tick:.1f}", _x(tick), BOTTOM + 15, "middle"))
    parts.append(text_at(x_label, (LEFT + RIGHT) / 2, BOTTOM + 30, "middle"))
    middle = f"{TOP + PLOT_HEIGHT / 2:.0f}"
    turned = f"rotate(-90 10 {middle})"
    parts.append(element("text", y_label, x="10", y=middle, text_anchor="middle", transform=turned))
    return parts


def _line(one: Curve) -> Markup:
    steps = "L".join(f"{_x(x):.1f} {_y(y):.1f}" for x, y in one.points)
    every = math.ceil(len(one.points) / _MOST_MARKS)
    marked = [*one.points[:-1:every], one.points[-1]]
    return element(
        "g",
        element("path", d=f"M{steps}", class_="line", stroke_dasharray=dashes(one.style)),
        element("path", d="".join(mark_at(one.style, _x(x), _y(y)) for x, y in marked), class_="mark"),
        class_=f"s{one.style % COLOURS}",
    )


def _description(x_label: str, y_label: str, curves: Sequence[Curve]) -> Markup:
    parts: list[str] = []
    for one in curves:
        (first_x, first_y), (last_x, last_y) = one.points[0], one.points[-1]
        text = f"{one.name}: {decimal(first_y)} at {decimal(first_x)}"
        parts.append(text if len(one.points) == 1 else f"{text}, {decimal(last_y)} at {decimal(last_x)}")
    return escape(f"{y_label} over {x_label}. {'; '.join(parts)}.")
