"""Writes notes: profile, world, part and seed in; gold documents out. The same arguments give the same notes."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping

from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic.frames import GRAMMARS, pools
from fedmedlora.corpus.synthetic.realise import Compiler, Piece, Sentence, Sequence_, mentioned, realise
from fedmedlora.corpus.synthetic.shares import Part, World
from fedmedlora.corpus.synthetic.sites import SECTIONS, STYLES, SiteProfile, Style
from fedmedlora.corpus.synthetic.vocabulary import Vocabulary
from fedmedlora.errors import ConfigError, nearest

_PARTS: tuple[Part, ...] = ("train", "dev", "test")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BLANKS = re.compile(" {2,}")
_PUNCTUATION = re.compile(r"([,;:()/%<>=+-])")
_AN = ("a", "e", "i", "o", "8", "11-", "18-", "11 ", "18 ")


def generate_notes(
    profile: SiteProfile, notes: int, seed: int, part: Part = "train", world: World = "study"
) -> list[Document]:
    """Write `notes` notes of a site, with gold entities, modifiers and relations.

    part: "test" of the study world uses frames that the other parts never use, and words of its own beside the
    common ones; "dev" has the train part's frames and a few words of its own.
    world: "pretraining" shares neither frames nor vocabulary with "study"; it has parts only by seed.
    Entities and relations outside the profile's labels are left out of the gold; the text stays.
    Note i does not depend on how many notes are asked for. Raises ConfigError on an unknown style, section, part
    or world, and on a negative count.
    """
    _check(profile, part, world)
    if notes < 0:
        raise ConfigError(f"site '{profile.name}': {notes} notes were asked for. Expected 0 or more.")
    writer = _SiteWriter(profile, world, part)
    documents: list[Document] = []
    patient, visits_left = -1, 0
    people = random.Random(f"patients/{world}/{profile.name}/{profile.seed_offset}/{part}/{seed}")
    for index in range(notes):
        if visits_left == 0:
            patient, visits_left = patient + 1, people.choice((1, 1, 1, 2, 2, 3))
        visits_left -= 1
        stem = f"{profile.name}/{world}/{part}/{seed}"
        rng = random.Random(f"{stem}/{profile.seed_offset}/{index}")
        documents.append(writer.note(f"{stem}/{index:05d}", f"{stem}/patient-{patient:05d}", rng))
    return documents


def _check(profile: SiteProfile, part: str, world: str) -> None:
    where = f"site '{profile.name}'"
    if profile.style not in STYLES:
        raise ConfigError(f"{where}: style '{profile.style}' does not exist: {nearest(profile.style, STYLES)}")
    for name in profile.sections:
        if name not in SECTIONS:
            raise ConfigError(f"{where}: section '{name}' does not exist: {nearest(name, SECTIONS)}")
    if not profile.sections or not 1 <= profile.sentences[0] <= profile.sentences[1]:
        raise ConfigError(f"{where}: expected at least one section, and sentences as (fewest, most) from 1 up.")
    if part not in _PARTS:
        raise ConfigError(f"{where}: part '{part}' does not exist: {nearest(part, _PARTS)}")
    if world not in GRAMMARS:
        raise ConfigError(f"{where}: world '{world}' does not exist: {nearest(world, GRAMMARS)}")


class _SiteWriter:
    """Everything of one site, world and part that its notes share: vocabulary, compiled frames, headings."""

    def __init__(self, profile: SiteProfile, world: World, part: Part) -> None:
        self._profile = profile
        self._style = STYLES[profile.style]
        self._world: World = world
        self._part: Part = part
        self._vocabulary = Vocabulary(world, part, profile.specialties)
        self._compiler = Compiler(GRAMMARS[world], profile.modifier_rates)
        self._pools: dict[tuple[str, str], tuple[tuple[Sequence_, ...], tuple[float, ...]]] = {}
        self._labels = CLINICAL.asked(profile.labels)
        house = random.Random(f"house/{profile.name}/{profile.seed_offset}")
        self._headings = {name: house.choice(SECTIONS[name].headings) for name in profile.sections}
        self._bullet = house.choice(self._style.bullets)

    def note(self, note_id: str, patient: str, rng: random.Random) -> Document:
        """One note."""
        fill = _filler(self._vocabulary, rng)
        page = _Page(self._style, rng)
        used: set[int] = set()
        for number, (name, count) in enumerate(self._plan(rng)):
            section = SECTIONS[name]
            page.heading(self._headings[name], number)
            for position in range(count):
                topic = rng.choices(tuple(section.topics), tuple(section.topics.values()))[0]
                frame = self._frame(topic, used, rng)
                page.bullet(self._bullet, position)
                page.sentence(realise(frame, self._vocabulary, fill, rng))
        entities, relations = page.gold(self._labels)
        return Document(
            id=note_id, text=page.text(), entities=entities, relations=relations, patient=patient,
            labels=self._profile.labels,
            meta={"source": "synthetic", "site": self._profile.name, "part": self._part, "world": self._world},
        )  # fmt: skip

    def _plan(self, rng: random.Random) -> list[tuple[str, int]]:
        """Sections of this note in the site's order, and how many sentences each holds."""
        total = rng.randint(*self._profile.sentences)
        wanted = max(1, min(len(self._profile.sections), round(total / 2.2)))
        chosen = set(rng.sample(self._profile.sections, wanted))
        kept = [name for name in self._profile.sections if name in chosen]
        counts = dict.fromkeys(kept, 1)
        for _ in range(total - len(kept)):
            counts[rng.choice(kept)] += 1
        return list(counts.items())

    def _frame(self, topic: str, used: set[int], rng: random.Random) -> Sequence_:
        registers = self._style.registers
        register = rng.choices(tuple(registers), tuple(registers.values()))[0]
        frames, odds = self._pool(topic, register)
        frame = rng.choices(frames, cum_weights=odds)[0]
        for _ in range(4):
            if id(frame) not in used:
                break
            frame = rng.choices(frames, cum_weights=odds)[0]
        used.add(id(frame))
        return frame

    def _pool(self, topic: str, register: str) -> tuple[tuple[Sequence_, ...], tuple[float, ...]]:
        key = (topic, register)
        if key not in self._pools:
            own = pools(self._world, self._part)
            frames = tuple(self._compiler.compile(frame) for frame in own.get(key) or own[topic, "full"])
            self._pools[key] = (frames, tuple(itertools.accumulate(self._weight(frame) for frame in frames)))
        return self._pools[key]

    def _weight(self, frame: Sequence_) -> float:
        """How often the site would write such a sentence: mean entity weight times mean modifier rate."""
        types = sorted(mentioned(frame))
        mix = [self._profile.entity_mix.get(name, 1.0) for name in types if name in CLINICAL.modifiers]
        rates = [self._profile.modifier_rates.get(name, 1.0) for name in types if name not in CLINICAL.modifiers]
        return (sum(mix) / len(mix) if mix else 1.0) * (sum(rates) / len(rates) if rates else 1.0)


def _filler(vocabulary: Vocabulary, rng: random.Random) -> Callable[[str], str]:
    """The words of one note's fillers: one person throughout, other words drawn afresh."""
    female = rng.random() < 0.5
    age, surname = rng.randint(18, 93), vocabulary.filler("name", rng)
    person: Mapping[str, tuple[str, ...]] = {
        "he": ("she",) if female else ("he",),
        "his": ("her",) if female else ("his",),
        "him": ("her",) if female else ("him",),
        "sex": ("woman", "female", "lady") if female else ("man", "male", "gentleman"),
        "mf": ("F",) if female else ("M",),
        "age": (str(age),),
        "name": (surname,),
        "pt": (
            "the patient", "the patient", "she" if female else "he", f"{'Mrs.' if female else 'Mr.'} {surname}",
            f"{'Ms' if female else 'Mr'} {surname}", "this patient",
        ),
    }  # fmt: skip

    def fill(name: str) -> str:
        if name in person:
            return rng.choice(person[name])
        if name == "small":
            return str(rng.randint(2, 30))
        if name == "phone":
            return f"{rng.randint(200, 989)}-{rng.randint(1000, 9999)}"
        return vocabulary.filler(name, rng)

    return fill


class _Page:
    """A note in the making: text so far, and marks at the offsets where they were written."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        self._style = style
        self._rng = rng
        self._parts: list[str] = []
        self._length = 0
        self._marks: list[tuple[str, int, int]] = []
        self._links: list[tuple[str, int, int]] = []
        self._between = ""

    def text(self) -> str:
        """The note's text."""
        return "".join(self._parts)

    def heading(self, words: str, number: int) -> None:
        """Begin a section."""
        if number:
            self._write("\n\n" if self._style.heading in ("", "{}:\n", "{}\n") else "\n")
        if self._style.heading:
            self._write(self._style.heading.format(words.upper() if self._style.upper_headings else words))
        self._between = ""

    def bullet(self, mark: str, position: int) -> None:
        """Begin a line or go on in running text."""
        if mark:
            self._write(("\n" if position else "") + mark.replace("#", str(position + 1)))
        elif self._between:
            self._write(self._between)

    def sentence(self, sentence: Sentence) -> None:
        """Write one sentence, and its marks."""
        style, rng = self._style, self._rng
        change = _same
        if style.upper and rng.random() < style.upper:
            change = _capitals
        where: dict[int, int] = {}
        capital = rng.random() < style.capital
        for index, piece in enumerate(_tidy(_spaced(sentence.pieces) if style.spaced else sentence.pieces)):
            text = change(piece.text)
            if piece.type in CLINICAL.modifiers and " " in text and style.title and rng.random() < style.title:
                text = _title(text)
            if capital and text:
                text, capital = _capital(text), False
            if piece.type is not None:
                where[index] = len(self._marks)
                self._marks.append((piece.type, self._length, self._length + len(text)))
            self._write(text)
        self._links.extend((link.type, where[link.head], where[link.tail]) for link in sentence.links)
        ended = self._parts[-1][-1:] in ".?!"
        if not ended and rng.random() < style.stop:
            self._write(" ." if style.spaced else ".")
            ended = True
        if ended:
            self._between = " " if rng.random() < 0.93 else "\n"
        else:
            self._between = rng.choice(("\n", "\n", "; ", " - ", " / ", " "))

    def gold(self, labels: frozenset[str]) -> tuple[tuple[Entity, ...], tuple[Relation, ...]]:
        """The marks among these labels; a modifier stays only where a relation holds it."""
        links = [link for link in self._links if link[0] in labels and self._marks[link[1]][0] in labels]
        kept = {mark for _, head, tail in links for mark in (head, tail)}
        kept |= {at for at, (name, _, _) in enumerate(self._marks) if name in CLINICAL.modifiers and name in labels}
        names = {mark: f"T{rank + 1}" for rank, mark in enumerate(sorted(kept))}
        entities = (Entity(names[at], self._marks[at][0], (self._marks[at][1:],)) for at in sorted(kept))
        relations = (Relation(f"R{rank + 1}", *_ends(link, names)) for rank, link in enumerate(links))
        return tuple(entities), tuple(relations)

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _ends(link: tuple[str, int, int], names: Mapping[int, str]) -> tuple[str, str, str]:
    return link[0], names[link[1]], names[link[2]]


def _tidy(pieces: tuple[Piece, ...]) -> list[Piece]:
    """The same pieces with single spaces, none before a comma or stop or at the ends, and "a" or "an" settled."""
    tidy: list[Piece] = []
    before = " "
    for index, (text, kind) in enumerate(pieces):
        if kind is None:
            text = _plain(text, before, pieces[index + 1 :])
        tidy.append(Piece(text, kind))
        before = text[-1:] or before
    return tidy


def _plain(text: str, before: str, rest: tuple[Piece, ...]) -> str:
    """Unannotated text, fitted to what stands before and after it."""
    text = _BLANKS.sub(" ", text)
    following = next((piece.text for piece in rest if piece.text.strip()), "")
    if before == " ":
        text = text.lstrip(" ")
    if not following or (text.endswith(" ") and following[0] in ",.;:"):
        text = text.rstrip(" ")
    if "a~" in text:
        text = text.replace("a~", "an" if following.lower().startswith(_AN) else "a")
    return text


def _spaced(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """The same pieces as tokenised corpora have them: blanks around punctuation, none at an entity's ends."""
    parted = (Piece(_PUNCTUATION.sub(r" \1 ", text), kind) for text, kind in pieces)
    return tuple(Piece(text if kind is None else " ".join(text.split()), kind) for text, kind in parted)


def _same(text: str) -> str:
    return text


def _capitals(text: str) -> str:
    return text.translate(_UPPER)


def _capital(text: str) -> str:
    """Begin with a capital, unless the word is one that is written with a small letter and a capital (pH, pCO2)."""
    word = text.split(" ", 1)[0]
    return text if word[1:] != word[1:].lower() else text[0].translate(_UPPER) + text[1:]


def _title(text: str) -> str:
    return " ".join(
        word if word in ("of", "the", "and") else word[:1].translate(_UPPER) + word[1:] for word in text.split(" ")
    )
