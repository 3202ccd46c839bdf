"""Sites as data: what each one's notes look like. A profile goes to `generate_notes`; nothing here knows a sentence."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.synthetic.shares import SPECIALTIES


@dataclass(frozen=True)
class Style:
    """How a site writes.

    registers: register of frames ("full", "terse", "spoken") → weight.
    heading: how a section's heading is set, `{}` for its words; "" for none.
    bullets: what a line starts with, `#` for its number; "" for running text. A site keeps to one of them.
    stop, capital: chance that a sentence ends with a full stop, begins with a capital.
    upper: chance of a sentence in capitals. title: chance of a multi-word entity In Title Case.
    spaced: punctuation stands between blanks, as in tokenised corpora.
    """

    registers: Mapping[str, float]
    heading: str
    upper_headings: bool = False
    bullets: tuple[str, ...] = ("",)
    stop: float = 1.0
    capital: float = 1.0
    upper: float = 0.0
    title: float = 0.02
    spaced: bool = False


STYLES: dict[str, Style] = {
    "narrative": Style({"full": 1.0}, "", stop=1.0, capital=1.0),
    "telegraphic": Style({"terse": 0.85, "full": 0.15}, "{}: ", True, stop=0.45, capital=0.35, upper=0.03, title=0.0),
    "sectioned": Style({"full": 0.65, "terse": 0.35}, "{}:\n", stop=0.95, capital=1.0, title=0.04),
    "dictated": Style({"spoken": 0.6, "full": 0.4}, "{}. ", stop=0.85, capital=0.7, title=0.0),
    "bulleted": Style(
        {"terse": 0.6, "full": 0.4}, "## {}\n", bullets=("- ", "* ", "• "), stop=0.3, capital=0.8, title=0.08
    ),
    "report": Style({"full": 1.0}, "{}\n", stop=1.0, capital=1.0, title=0.0),
    "capitals": Style({"terse": 0.6, "full": 0.4}, "{}:\n", True, stop=0.8, upper=0.6),
    "tokenised": Style({"full": 0.8, "terse": 0.2}, "", stop=1.0, capital=0.95, spaced=True),
    "numbered": Style(
        {"terse": 0.5, "full": 0.5}, "{}\n", True, bullets=("#. ", "#) "), stop=0.6, capital=0.9, title=0.05
    ),
}
"""Style name → style."""


@dataclass(frozen=True)
class Section:
    """A section's possible headings, and its topics with weights."""

    headings: tuple[str, ...]
    topics: Mapping[str, float]


SECTIONS: dict[str, Section] = {
    "present": Section(
        (
            "History of present illness",
            "HPI",
            "Presenting complaint",
            "S",
            "Reason for visit",
            "Interval history",
            "Story",
        ),
        {"history": 5, "negatives": 2, "course": 1, "plain": 0.5},
    ),
    "review": Section(("Review of systems", "ROS", "Systems enquiry", "Symptoms"), {"negatives": 5, "history": 1}),
    "past": Section(("Past medical history", "PMH", "Background", "Problem list"), {"past": 5, "procedures": 1}),
    "family": Section(
        ("Family and social history", "FH/SH", "Family history", "Relatives"), {"family": 5, "plain": 1.5}
    ),
    "medication": Section(("Medications", "Drug history", "Rx", "Current medication", "Drug chart"), {"meds": 6}),
    "safety": Section(("Allergies and reactions", "ADR", "Adverse events", "Drug safety"), {"safety": 5, "meds": 1}),
    "results": Section(
        ("Results", "Laboratory data", "O", "Labs", "Investigations", "Data"), {"labs": 5, "imaging": 2}
    ),
    "imaging": Section(("Imaging", "Radiology", "Reports"), {"imaging": 5, "plain": 0.2}),
    "exam": Section(
        ("Physical examination", "Exam", "O/E", "Observations", "Vitals and exam"),
        {"exam": 4, "labs": 0.7, "negatives": 1},
    ),
    "course": Section(
        ("Hospital course", "Progress", "Events", "Course"), {"course": 5, "procedures": 2, "meds": 1, "labs": 1}
    ),
    "procedures": Section(("Procedures", "Operations", "Interventions"), {"procedures": 5}),
    "assessment": Section(
        ("Assessment", "Impression", "A", "Diagnosis", "Discussion"), {"assessment": 5, "negatives": 0.5}
    ),
    "plan": Section(("Plan", "P", "Recommendations", "To do", "Next steps"), {"plan": 5, "plain": 2}),
    "social": Section(("Social history", "Communication", "Administration"), {"plain": 5, "family": 0.7}),
    "criteria": Section(("Eligibility", "Inclusion and exclusion", "Screening criteria"), {"criteria": 6}),
}


@dataclass(frozen=True)
class SiteProfile:
    """What one site's notes look like.

    style: a name in STYLES. sections: names in SECTIONS, in the site's order.
    specialties: weights of the vocabulary by specialty. entity_mix: entity type → how often it is written of.
    modifier_rates: modifier type → factor on the chance that an optional modifier is written; 1 where absent.
    labels: what the site annotates (entity and modifier types); None means all of the clinical label set.
    sentences: fewest and most sentences of a note. seed_offset: makes the notes of two equal profiles differ.
    """

    name: str
    style: str
    sections: tuple[str, ...]
    specialties: Mapping[str, float]
    entity_mix: Mapping[str, float] = field(default_factory=dict)
    modifier_rates: Mapping[str, float] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    sentences: tuple[int, int] = (8, 18)
    seed_offset: int = 0


def labels_without(*left_out: str) -> tuple[str, ...]:
    """The clinical labels but for some; a modifier that no annotated entity may carry goes too."""
    kept = [name for name in CLINICAL.entity_types if name not in left_out]
    usable = {modifier for name in kept for modifier in CLINICAL.modifiers[name]}
    return (*kept, *(name for name in CLINICAL.modifier_types if name in usable and name not in left_out))


PROFILES: dict[str, SiteProfile] = {
    profile.name: profile
    for profile in (
        SiteProfile(
            "cardiology-ward", "telegraphic",
            ("present", "past", "medication", "exam", "results", "imaging", "plan"),
            {"cardiac": 6, "renal": 1.5, "respiratory": 1.5, "endocrine": 1, "haematologic": 1},
            {"test": 2.0, "drug": 1.3}, {"labvalue": 1.5, "course": 1.4, "condition": 1.3, "subject": 0.5},
            sentences=(9, 20),
        ),
        SiteProfile(
            "outpatient-letters", "narrative",
            ("present", "past", "family", "review", "exam", "assessment", "plan", "social"),
            {"musculoskeletal": 3, "neurologic": 3, "psychiatric": 2, "sensory": 1.5, "skin": 1.5, "endocrine": 1},
            {"problem": 2.0, "drug": 0.6}, {"temporal": 1.5, "severity": 1.5, "bodyloc": 1.4},
            labels_without("strength", "dosage", "form", "reference_range"), sentences=(8, 16),
        ),
        SiteProfile(
            "oncology-centre", "sectioned",
            ("present", "past", "procedures", "medication", "imaging", "results", "assessment", "plan"),
            {"oncologic": 6, "haematologic": 2, "infectious": 1.5, "digestive": 1},
            {"treatment": 2.2, "problem": 1.2}, {"uncertain": 1.6, "reference_range": 1.5, "severity": 0.7},
            sentences=(10, 22),
        ),
        SiteProfile(
            "emergency-triage", "bulleted",
            ("present", "exam", "review", "past", "plan"),
            {"infectious": 2, "respiratory": 2, "cardiac": 2, "digestive": 2, "neurologic": 1.5, "obstetric": 1},
            {"problem": 2.5, "test": 1.2}, {"negation": 1.8, "severity": 1.6, "uncertain": 1.4},
            labels_without("treatment", "course"), sentences=(5, 11),
        ),
        SiteProfile(
            "pharmacy-review", "numbered",
            ("medication", "safety", "results", "plan"),
            {"psychiatric": 2, "cardiac": 2, "endocrine": 2, "renal": 1.5, "infectious": 1.5, "musculoskeletal": 1.5},
            {"drug": 3.0, "problem": 0.7}, {"form": 2.0, "dosage": 1.8, "duration": 1.6, "route": 1.5},
            labels_without("test", "treatment", "severity", "bodyloc", "subject"), sentences=(7, 15),
        ),
        SiteProfile(
            "dictation-clinic", "dictated",
            ("present", "review", "past", "family", "medication", "results", "assessment", "plan"),
            {"endocrine": 2, "digestive": 2, "renal": 2, "obstetric": 2, "skin": 1.5, "sensory": 1.5},
            {"problem": 1.3, "drug": 1.2}, {"subject": 1.5, "frequency": 1.4, "course": 1.5},
            labels_without("condition"), sentences=(8, 16),
        ),
        SiteProfile(
            "trial-screening", "report",
            ("criteria", "safety", "results", "family"),
            {"oncologic": 2, "haematologic": 2, "infectious": 2, "renal": 1.5, "neurologic": 1.5, "skin": 1},
            {"test": 1.6, "problem": 1.2}, {"labvalue": 1.4, "temporal": 1.4, "condition": 1.5},
            labels_without("form", "dosage", "subject"), sentences=(6, 14),
        ),
    )
}  # fmt: skip
"""The named sites. `profile` makes any number of others."""


def profile(index: int, seed: int) -> SiteProfile:
    """Site number `index` of a seed: another style, layout, vocabulary, label mix and label subset for every index."""
    rng = random.Random(f"profile/{seed}/{index}")
    chosen = rng.sample(tuple(SECTIONS), rng.randint(5, 9))
    order = [name for name in SECTIONS if name in chosen]
    if rng.random() < 0.4:
        rng.shuffle(order)
    shortest = rng.randint(5, 11)
    weights = {name: round(rng.gammavariate(0.6, 3.0), 3) for name in SPECIALTIES}
    return SiteProfile(
        name=f"site-{seed}-{index:03d}",
        style=rng.choice(tuple(STYLES)),
        sections=tuple(order),
        specialties=weights,
        entity_mix={name: round(rng.uniform(0.5, 2.2), 2) for name in CLINICAL.entity_types},
        modifier_rates={name: round(rng.uniform(0.6, 1.9), 2) for name in CLINICAL.modifier_types},
        labels=_label_subset(rng),
        sentences=(shortest, shortest + rng.randint(4, 12)),
        seed_offset=rng.randrange(1_000_000),
    )


def _label_subset(rng: random.Random) -> tuple[str, ...] | None:
    roll = rng.random()
    if roll < 0.4:
        return None
    entities = rng.sample(CLINICAL.entity_types, rng.randint(1, 2)) if roll < 0.7 else []
    return labels_without(*entities, *rng.sample(CLINICAL.modifier_types, rng.randint(1, 4)))
