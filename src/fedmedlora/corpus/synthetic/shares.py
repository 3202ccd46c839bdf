"""Deals the word lists out to worlds and parts. Knows no sentence and no chance but for expanding patterns.

A term belongs to exactly one share: the pretraining world ("P"), the study world ("S"), or the study world's dev ("D")
or test ("T") part alone. Listed terms are shared out by position; compounds and expanded patterns by a checksum of
their text, so that the same phrase never lies in two shares.
"""

from __future__ import annotations

import itertools
import math
import random
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from fedmedlora.corpus.synthetic import vocabulary_drugs as drugs
from fedmedlora.corpus.synthetic import vocabulary_modifiers as modifiers
from fedmedlora.corpus.synthetic import vocabulary_problems as problems
from fedmedlora.corpus.synthetic import vocabulary_tests as tests

World: TypeAlias = Literal["study", "pretraining"]
Part: TypeAlias = Literal["train", "dev", "test"]

SPECIALTIES = tuple(problems.DIAGNOSES)
SHARES = "PSPTPSPSPTPD"
_FIELD = re.compile(r"<([^<>]+)>")
_RANGE = re.compile(r"\d+-\d+")


class Term(NamedTuple):
    """One drawn entity: its text, and for a test the row that its values come from (None for any other entity)."""

    text: str
    row: Lab | None


class Lab(NamedTuple):
    """A test's names, the range counted as normal, decimals, and units. kind: number, pressure, image or qual.

    ceiling: the highest value there is.
    """

    names: tuple[str, ...]
    low: float
    high: float
    decimals: int
    units: tuple[str, ...]
    kind: str
    ceiling: float = math.inf


def split(table: str) -> tuple[str, ...]:
    """The terms of a ';'-separated list, in order, without repeats."""
    items = (" ".join(item.split()) for item in table.split(";"))
    return tuple(dict.fromkeys(item for item in items if item))


def share_of(text: str) -> str:
    """The share of a phrase that has no position: a checksum of it, so that every run and machine agrees."""
    return SHARES[zlib.crc32(text.lower().encode()) % len(SHARES)]


def expand(pattern: str, rng: random.Random) -> str:
    """Fill a pattern's `<2-9>` and `<a|b>` fields."""

    def fill(match: re.Match[str]) -> str:
        body = match[1]
        if _RANGE.fullmatch(body):
            low, high = body.split("-")
            return str(rng.randint(int(low), int(high)))
        words: list[str] = body.split("|")
        return rng.choice(words)

    return _FIELD.sub(fill, pattern)


class Pools(NamedTuple):
    """Terms of one lexicon by use: what every part of a world may draw, and what this part alone may draw."""

    common: tuple[str, ...]
    held: tuple[str, ...]


def pools_of(by_share: Mapping[str, Sequence[str]], world: World, part: Part) -> Pools:
    """What one world and part may draw of a lexicon that is dealt out."""
    if world == "pretraining":
        return Pools(tuple(by_share.get("P", ())), ())
    own = {"train": "", "dev": "D", "test": "T"}[part]
    return Pools(tuple(by_share.get("S", ())), tuple(by_share.get(own, ())))


def _deal(terms: Iterable[str]) -> dict[str, list[str]]:
    """Deal terms to shares by position."""
    dealt: dict[str, list[str]] = {}
    for term, share in zip(terms, itertools.cycle(SHARES), strict=False):
        dealt.setdefault(share, []).append(term)
    return dealt


@cache
def _ledger(table: str) -> dict[str, dict[str, list[str]]]:
    """Specialty → share → terms of a whole table; a term that two specialties list keeps its first share."""
    rows = {
        "p/dx": problems.DIAGNOSES,
        "p/sym": problems.SYMPTOMS,
        "d/generic": drugs.DRUGS,
        "t/listed": drugs.TREATMENTS,
    }
    taken: dict[str, str] = {}
    ledger: dict[str, dict[str, list[str]]] = {}
    for specialty, row in rows[table].items():
        dealt = ledger[specialty] = {}
        for term, share in zip(split(row), itertools.cycle(SHARES), strict=False):
            dealt.setdefault(taken.setdefault(term.lower(), share), []).append(term)
    return ledger


@cache
def _listed() -> frozenset[str]:
    tables = (problems.DIAGNOSES, problems.SYMPTOMS, drugs.DRUGS, drugs.TREATMENTS)
    return frozenset(term.lower() for table in tables for row in table.values() for term in split(row))


@cache
def lab_rows(specialty: str) -> dict[str, list[Lab]]:
    """The laboratory tests of a specialty by share."""
    return _deal_rows(tests.LABS[specialty])


def _deal_rows(table: str) -> dict[str, list[Lab]]:
    """Deal a table of tests by position, the study world first: short tables leave it something that way."""
    dealt: dict[str, list[Lab]] = {}
    for row, share in zip(split(table), itertools.cycle(SHARES[1:]), strict=False):
        dealt.setdefault(share, []).append(_lab(row))
    return dealt


@cache
def _lab(row: str) -> Lab:
    names, reference, decimals, units, *ceiling = row.split("|")
    cut = reference.index("-", 1)
    listed = tuple(unit.strip() for unit in units.split(",") if unit.strip())
    least, most = float(reference[:cut]), float(reference[cut + 1 :])
    highest = float(ceiling[0]) if ceiling else math.inf
    return Lab(tuple(name.strip() for name in names.split(",")), least, most, int(decimals), listed, "number", highest)


PRESSURE = Lab((), 90, 140, 0, ("mmHg", "mm Hg", ""), "pressure")
IMAGE = Lab((), 0, 0, 0, (), "image")
QUALITATIVE = Lab((), 0, 0, 0, (), "qual")


@cache
def specialty_terms(lexicon: str, specialty: str) -> dict[str, list[str]]:
    """Every term of one entity lexicon and specialty, by share."""
    match lexicon:
        case "p/dx" | "p/sym" | "d/generic" | "t/listed":
            return _ledger(lexicon)[specialty]
        case "p/compound":
            heads = split(problems.DISTURBANCES if specialty == "psychiatric" else problems.PATHOLOGIES)
            compounds = (f"{organ} {head}" for organ in split(problems.ORGANS[specialty]) for head in heads)
            return _deal_by_text(compounds)
        case "p/greek":
            greek = (root + suffix for root in split(problems.ROOTS[specialty]) for suffix in split(problems.SUFFIXES))
            return _deal_by_text(greek)
        case "d/coined":
            return _deal_by_text(_coined(specialty))
        case "t/operation":
            return _deal_by_text(_operations(specialty))
        case _:
            raise ValueError(f"entity lexicon '{lexicon}' does not exist")


def _deal_by_text(terms: Iterable[str]) -> dict[str, list[str]]:
    """Deal by checksum: one text that two specialties build lands in one share."""
    dealt: dict[str, list[str]] = {}
    for term in dict.fromkeys(terms):
        if term.lower() not in _listed():
            dealt.setdefault(share_of(term), []).append(term)
    return dealt


def _coined(specialty: str) -> Iterable[str]:
    stems, prefixes = split(drugs.DRUG_STEMS[specialty]), split(drugs.DRUG_PREFIXES)
    middles = drugs.DRUG_MIDDLES.split(";")
    return (f"{a}{b.strip()}{stem}" for stem in stems for a in prefixes for b in middles if a != b.strip())


def _operations(specialty: str) -> Iterable[str]:
    plain = [root + op for root in split(problems.ROOTS[specialty]) for op in split(drugs.OPERATIONS)]
    return (*plain, *(f"{how} {op}" for how in split(drugs.APPROACHES) for op in plain))


@cache
def general_terms(lexicon: str) -> dict[str, list[str]]:
    """Entity terms that belong to no specialty, by share."""
    match lexicon:
        case "p/find":
            return _deal(split(problems.FINDINGS))
        case "d/class":
            return _deal(split(drugs.DRUG_CLASSES))
        case "x/image":
            where = split(tests.REGIONS)
            scans = split(tests.MODALITIES)
            both = (form.format(s=scan, r=region) for scan in scans for region in where for form in _SCANS)
            return _deal_by_text(both)
        case "x/study":
            return _deal(split(tests.STUDIES))
        case "x/qual":
            return _deal(split(tests.QUALITATIVE))
        case "x/pressure":
            return _deal(split(tests.PRESSURES))
        case _:
            raise ValueError(f"entity lexicon '{lexicon}' does not exist")


_SCANS = ("{s} of the {r}", "{r} {s}", "{s} {r}")


@cache
def vital_rows() -> dict[str, list[Lab]]:
    """The vital signs by share."""
    return _deal_rows(tests.VITALS)


@cache
def filler_words(name: str) -> tuple[str, ...]:
    """Words that are never annotated; both worlds share them."""
    return split(modifiers.FILLERS[name])


@cache
def modifier_tables(lexicon: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The core words and the patterns of a modifier lexicon."""
    tables = (modifiers.CORE, modifiers.PATTERNS)
    core, patterns = (split(table[lexicon]) if lexicon in table else () for table in tables)
    return core, patterns


@cache
def modifier_words(lexicon: str) -> dict[str, list[str]]:
    """The words of a modifier lexicon by share; a phrase that two lexicons of a type list keeps its first share."""
    kind = lexicon.partition("/")[0]
    taken: dict[str, str] = {}
    for name in sorted(modifiers.WORDS):
        if name.partition("/")[0] == kind:
            for term, share in zip(split(modifiers.WORDS[name]), itertools.cycle(SHARES), strict=False):
                taken.setdefault(term.lower(), share)
    dealt: dict[str, list[str]] = {}
    for term in split(modifiers.WORDS.get(lexicon, "")):
        dealt.setdefault(taken.get(term.lower(), "P"), []).append(term)
    return dealt
