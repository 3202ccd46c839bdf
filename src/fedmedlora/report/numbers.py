"""Numbers in words, rounded here and nowhere before, and several seeds' values in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

DASH = "—"
_UNITS = ("B", "kB", "MB", "GB", "TB")
_TURNS = (1000, 999.5)  # bytes are whole; of the others 999.5 would show as 1,000


class Spread(NamedTuple):
    """Values of one thing under several seeds; a value that is not defined is left out and counted.

    `Spread.of([0.4, None, 0.6])` has mean 0.5, low 0.4, high 0.6, defined 2, total 3.
    """

    mean: float | None
    low: float | None
    high: float | None
    defined: int
    total: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        """Summarise. Mean, low and high are None when no value is defined."""
        every = list(values)
        known = [value for value in every if value is not None]
        if not known:
            return cls(None, None, None, 0, len(every))
        return cls(math.fsum(known) / len(known), min(known), max(known), len(known), len(every))


def decimal(value: float | None, places: int = 3) -> str:
    """`decimal(0.4567)` is "0.457"; None is a dash, NaN and infinity are "not finite"."""
    if value is None:
        return DASH
    return f"{value:,.{places}f}" if math.isfinite(value) else "not finite"


def signed(value: float | None, places: int = 3) -> str:
    """`signed(0.0123)` is "+0.012", `signed(-0.1)` is "−0.100"; what rounds to 0 has no sign; None is a dash."""
    if value is None or not math.isfinite(value):
        return decimal(value, places)
    shown = decimal(abs(value), places)
    return shown if round(value, places) == 0 else f"{'+' if value > 0 else '−'}{shown}"


def whole(value: float | None) -> str:
    """`whole(1234567)` is "1,234,567"; None is a dash."""
    return decimal(value, 0)


def points(value: float | None) -> str:
    """An F1 in points, of 100: `points(0.4567)` is "45.7"."""
    return decimal(None if value is None else 100 * value, 1)


def signed_points(value: float | None) -> str:
    """A difference in points: `signed_points(-0.0123)` is "−1.2"."""
    return signed(None if value is None else 100 * value, 1)


def gained(difference: float | None, low: float | None, high: float | None) -> str:
    """`gained(0.0412, 0.011, 0.07)` is "+4.1 points [+1.1, +7.0]"; the brackets go where there is no interval."""
    shown = f"{signed_points(difference)} points"
    return shown if low is None or high is None else f"{shown} [{signed_points(low)}, {signed_points(high)}]"


def untested(low: float | None, high: float | None) -> str:
    """What is said behind a difference with an interval and no test: whether the interval holds 0."""
    if low is None or high is None:
        return ""
    holds = low <= 0 <= high
    return f" ({'within the noise: the interval holds 0' if holds else 'not tested: the interval leaves out 0'})"


def between(low: float | None, high: float | None, shown: Callable[[float], str] = decimal) -> str:
    """`between(0.41, 0.55)` is "0.410 to 0.550"; a dash when either end is not known."""
    return DASH if low is None or high is None else f"{shown(low)} to {shown(high)}"


def size(count: float | None) -> str:
    """Bytes in decimal units: `size(1234567)` is "1.23 MB"."""
    if count is None or not math.isfinite(count):
        return decimal(count)
    unit = 0
    while count >= _TURNS[min(unit, 1)] and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    places = 0 if unit == 0 or count >= 99.95 else 1 if count >= 9.995 else 2
    return f"{count:,.{places}f} {_UNITS[unit]}"


def money(amount: float | None) -> str:
    """In whatever currency the study's prices are: `money(12.346)` is "12.35", `money(0.00132)` is "0.0013"."""
    return decimal(amount, 4 if amount is not None and 0 < amount < 1 else 2)


def duration(seconds: float | None) -> str:
    """`duration(83.24)` is "83.2 s", `duration(754)` is "12.6 min", `duration(7400)` is "2.06 h"."""
    if seconds is None or not math.isfinite(seconds):
        return decimal(seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"


def saving(actual: float, full: float) -> str:
    """`saving(15, 1000)` is "98.5 % less"; more is called more."""
    share = 100 * (1 - actual / full)
    return f"{share:.1f} % less" if share >= 0 else f"{-share:.1f} % more"


def several(count: int, one: str, more: str | None = None) -> str:
    """`several(1, "round")` is "1 round", `several(3, "round")` is "3 rounds"."""
    return f"{whole(count)} {one if count == 1 else more or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """`listed(["a", "b", "c"])` is "a, b and c"."""
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}" if every else DASH
