"""Draws words: one `Vocabulary` per world, part and specialty weights. Knows no sentence, no offset and no document."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping

from fedmedlora.corpus.synthetic import vocabulary_modifiers as modifiers
from fedmedlora.corpus.synthetic.shares import (
    IMAGE,
    PRESSURE,
    QUALITATIVE,
    SPECIALTIES,
    Lab,
    Part,
    Pools,
    Term,
    World,
    expand,
    filler_words,
    general_terms,
    lab_rows,
    modifier_tables,
    modifier_words,
    pools_of,
    share_of,
    specialty_terms,
    split,
    vital_rows,
)

_TRIES = 40

_MIXES: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "p": (("p/dx", "p/compound", "p/greek", "p/sym"), (45, 25, 10, 20)),
    "p/dx": (("p/dx", "p/compound", "p/greek"), (55, 30, 15)),
    "p/sym": (("p/sym",), (1,)),
    "p/find": (("p/find",), (1,)),
    "d": (("d/generic", "d/coined", "d/class"), (60, 33, 7)),
    "d/name": (("d/generic", "d/coined"), (62, 38)),
    "d/class": (("d/class",), (1,)),
    "t": (("t/listed", "t/operation"), (62, 38)),
    "x": (("x/lab", "x/image", "x/study", "x/qual"), (45, 25, 15, 15)),
    "x/lab": (("x/lab",), (1,)),
    "x/vital": (("x/vital", "x/pressure"), (75, 25)),
    "x/image": (("x/image", "x/study"), (65, 35)),
    "x/qual": (("x/qual",), (1,)),
}
"""Lexicon named in a frame → the lexicons it draws from, and how often."""

_BY_SPECIALTY = {"p/dx", "p/sym", "p/compound", "p/greek", "d/generic", "d/coined", "t/listed", "t/operation"}


_SIDES = ("left", "right", "bilateral", "L", "R", "left", "right")


def _number(value: float, decimals: int, rng: random.Random) -> str:
    text = f"{value:.{decimals}f}"
    return f"{float(text):,.0f}" if decimals == 0 and abs(value) >= 1000 and rng.random() < 0.4 else text


def _value(row: Lab, rng: random.Random) -> str:
    """A measured value with its unit, sometimes a comparison, a flag or a word."""
    unit = rng.choice(row.units) if row.units else ""
    if row.kind == "pressure":
        systolic = rng.randint(78, 215)
        pressure = f"{systolic}/{round(systolic * rng.uniform(0.45, 0.75))}"
        return f"{pressure} {unit}" if unit and rng.random() < 0.6 else pressure
    roll = rng.random()
    if roll < 0.12:
        words = (*modifier_tables("labvalue/word")[0], *split(modifiers.WORDS["labvalue/word"]))
        return rng.choice(words)
    if roll < 0.15 and unit.endswith(("/L", "/dL")) and not unit.startswith("x"):
        return rng.choice(("≥ ", "> ", "< ", "≤ ", ">")) + expand("<1.5|2|2.5|3|5> <x|×|times> ULN", rng)
    width = row.high - row.low
    far = rng.random() < 0.25
    value = rng.uniform(row.low - 0.4 * width, row.high + (4.0 if far else 0.8) * width)
    number = _number(min(value if row.low < 0 else abs(value), row.ceiling), row.decimals, rng)
    if roll < 0.2:
        number = rng.choice(("<", ">", "< ", "> ", "≥", "~", "≤ ", "around ", "about ")) + number
    if not unit or roll > 0.8:
        return number
    if unit[0] in "%/°":
        return number + rng.choice(("", " ")) + unit
    return number + (" " if rng.random() < 0.8 else "") + unit


def _reference(row: Lab, rng: random.Random) -> str:
    """A range counted as normal: "12.0-16.0 g/dL", "< 5", "0.4 to 4.0"."""
    shift = 1 + rng.choice((-0.08, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.15))
    low, high = (f"{value * shift:.{row.decimals}f}" for value in (row.low, row.high))
    unit = f" {rng.choice(row.units)}" if row.units and rng.random() < 0.35 else ""
    if row.kind == "pressure":
        return rng.choice((f"<{high}/{rng.randint(70, 95)}", f"below {high}/{rng.randint(75, 90)}")) + unit
    if row.low == 0 and rng.random() < 0.6:
        return rng.choice(("<", "< ", "≤", "up to ", "less than ")) + high + unit
    return low + rng.choice(("-", "–", " - ", " to ", "-")) + high + unit


class Vocabulary:
    """Draws entity terms, modifier phrases and fillers for one world and part.

    weights: specialty → how often its words are drawn. Specialties left out are drawn rarely (weight 0.05).
    held_out: chance of drawing from the words that only this part may use.
    """

    def __init__(self, world: World, part: Part, weights: Mapping[str, float]) -> None:
        self.world: World = world
        self.part: Part = part
        self._shares = {"pretraining": "P", "study": "S" + {"train": "", "dev": "D", "test": "T"}[part]}[world]
        self._weights = tuple(itertools.accumulate(weights.get(name, 0.05) for name in SPECIALTIES))
        self._held_out = {"train": 0.0, "dev": 0.3, "test": 0.7}[part]
        self._cache: dict[str, Pools] = {}
        self._labs: dict[str, tuple[list[Lab], list[Lab]]] = {}

    def entity(self, lexicon: str, rng: random.Random) -> Term:
        """Draw an entity of a lexicon such as "p", "p/sym" or "x/lab"."""
        names, odds = _MIXES[lexicon]
        name = names[0] if len(names) == 1 else rng.choices(names, odds)[0]
        specialty = rng.choices(SPECIALTIES, cum_weights=self._weights)[0]
        if name in ("x/lab", "x/vital"):
            return self._lab_term(specialty if name == "x/lab" else name, rng)
        key = f"{name}/{specialty}" if name in _BY_SPECIALTY else name
        pools = self._cache.get(key)
        if pools is None:
            dealt = specialty_terms(name, specialty) if name in _BY_SPECIALTY else general_terms(name)
            pools = self._cache[key] = pools_of(dealt, self.world, self.part)
        row = {"x/image": IMAGE, "x/study": IMAGE, "x/qual": QUALITATIVE, "x/pressure": PRESSURE}.get(name)
        return Term(self._draw(pools, rng), row)

    def modifier(self, lexicon: str, head: Term, rng: random.Random) -> str:
        """Draw a modifier phrase, such as "severity" or "temporal/span", that suits the entity it belongs to."""
        if lexicon in ("labvalue", "reference_range"):
            if head.row is None or head.row.kind in ("image", "qual"):
                return self._phrase("labvalue/" + ("image" if head.row is None else head.row.kind), rng)
            make = _value if lexicon == "labvalue" else _reference
            row = head.row
            return self._own(lambda: make(row, rng))
        if lexicon == "bodyloc" and rng.random() < 0.5:
            return f"{rng.choice(_SIDES)} {self._phrase('bodyloc/paired', rng)}"
        return self._phrase(lexicon, rng)

    def filler(self, name: str, rng: random.Random) -> str:
        """Draw words that are never annotated."""
        return rng.choice(filler_words(name))

    def _draw(self, pools: Pools, rng: random.Random) -> str:
        if pools.held and (not pools.common or rng.random() < self._held_out):
            return rng.choice(pools.held)
        return rng.choice(pools.common)

    def _lab_term(self, key: str, rng: random.Random) -> Term:
        labs = self._labs.get(key)
        if labs is None:
            dealt = vital_rows() if key == "x/vital" else lab_rows(key)
            own = [lab for share in self._shares[1:] for lab in dealt.get(share, ())]
            labs = self._labs[key] = (dealt.get(self._shares[0], []), own)
        common, own = labs
        row = rng.choice(own if own and (not common or rng.random() < self._held_out) else common)
        return Term(rng.choice(row.names), row)

    def _phrase(self, lexicon: str, rng: random.Random) -> str:
        core, patterns = modifier_tables(lexicon)
        roll = rng.random()
        if core and roll < 0.3:
            return rng.choice(core)
        pools = self._cache.get(lexicon)
        if pools is None:
            pools = self._cache[lexicon] = pools_of(modifier_words(lexicon), self.world, self.part)
        if patterns and (roll < 0.65 or not pools.common):
            return self._own(lambda: expand(rng.choice(patterns), rng))
        return self._draw(pools, rng)

    def _own(self, make: Callable[[], str]) -> str:
        """The first of the phrases that `make` gives that this world and part may use; the last after many tries."""
        text = make()
        for _ in range(_TRIES):
            if share_of(text) in self._shares:
                break
            text = make()
        return text
