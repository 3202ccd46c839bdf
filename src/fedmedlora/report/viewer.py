"""Notes in the report: what each model found in them against gold, with filters and keys where a script runs."""

from __future__ import annotations

from collections.abc import Sequence

from fedmedlora.report.elements import Markup, element, join, paragraph
from fedmedlora.report.notes import Answer, Drawn, Notes
from fedmedlora.report.numbers import several
from fedmedlora.report.progress import FEDERATED
from fedmedlora.report.viewer_note import KINDS, note_view

_KEYS = (
    ("j", "next mistake"),
    ("k", "previous mistake"),
    ("n", "next note"),
    ("p", "previous note"),
    ("Enter", "on a mistake: to its words below the note; on a note: open or close it"),
    ("?", "this list"),
)


def text_notice(quoted: Sequence[Notes]) -> Markup:
    """What a reader must know before anything else: notes are quoted here."""
    shown = sum(one.shown for notes in quoted for one in notes.drawn)
    return element(
        "div",
        paragraph(
            element("strong", "This page quotes notes: "),
            f"{several(shown, 'test note')} with their whole text, because the study says include_text = true. "
            "It stays where notes may be. Without that line the report holds no note text.",
        ),
        class_="notice",
        role="note",
    )


def notes_section(notes: Notes, identity: str) -> list[Markup]:
    """Every note that may be quoted, as each model answered it. identity: unique on the page."""
    first = _first_model(notes.answers)
    views = [
        note_view(f"{identity}-{place}", answer, answer.model == first) for place, answer in enumerate(notes.answers)
    ]
    if not views:
        return [_choice(notes), paragraph("No model has answered any of them yet.")]
    viewer = element(
        "div",
        _filters(notes.answers, first, identity),
        _legend(),
        _keys(),
        *views,
        class_="viewer",
        role="region",
        aria_label="Notes, gold against prediction",
    )
    return [_choice(notes), viewer]


def _first_model(answers: Sequence[Answer]) -> str:
    """What is looked at first: a federated model where there is one."""
    federated = [answer.model for answer in answers if answer.arm in FEDERATED]
    return next(iter([*federated, *(answer.model for answer in answers)]), "")


def _choice(notes: Notes) -> Markup:
    return paragraph(
        "Test notes drawn at random, whatever was found in them, as the models of seed ",
        f"{notes.seed} answered them: {'; '.join(_drawn(one) for one in notes.drawn)}. "
        "NER is answered on the text alone, modifiers given the gold entity, as in the scores.",
    )


def _drawn(one: Drawn) -> str:
    free = one.tested - one.credentialed
    held = f", and {several(one.credentialed, 'credentialed note')} never shown" if one.credentialed else ""
    return f"{one.site} {one.shown} of {free}{held}"


def _filters(answers: Sequence[Answer], first: str, identity: str) -> Markup:
    """Hidden until the script runs, without which nothing here has an effect."""
    labels = sorted({mark.entity.type for answer in answers for item in answer.items for mark in item.marks})
    kinds = {item.kind for answer in answers for item in answer.items}
    found = [
        ("", "All"),
        ("wrong", "All mistakes"),
        *((kind.key, name) for name, kind in KINDS.items() if name in kinds),
    ]
    sites, models = (
        [("", "All"), *((name, name) for name in dict.fromkeys(names))]
        for names in ((answer.site for answer in answers), (answer.model for answer in answers))
    )
    choices = [
        _select(identity, "site", "Site", sites, ""),
        _select(identity, "model", "Model", models, first),
        _select(identity, "label", "Type", [("", "All"), *((name, name) for name in labels)], ""),
        _select(identity, "kind", "Kind", found, ""),
    ]
    buttons = [
        element("button", f"{words[0].upper()}{words[1:]} ({key})", type="button", value=key)
        for key, words in _KEYS[:4]
    ]
    status = element("span", "", role="status")
    return element("form", *choices, *buttons, status, hidden="hidden", aria_label="What is shown")


def _select(identity: str, name: str, title: str, options: Sequence[tuple[str, str]], chosen: str) -> Markup:
    inner = [
        element("option", words, value=value, **({"selected": "selected"} if value == chosen else {}))
        for value, words in options
    ]
    return element("label", title, " ", element("select", *inner, name=name, id=f"{identity}-{name}"))


def _legend() -> Markup:
    lines = [("g", "gold"), ("p", "found by the model"), ("a", "both, the same text"), ("gap", "between two parts")]
    styles = [element("li", element("u", "line", class_=f"{style} k-ok l0"), f" {words}") for style, words in lines]
    kinds = [
        element("li", element("span", kind.letter, class_=f"tag k-{kind.key}"), f" {name}: {kind.meaning}")
        for name, kind in KINDS.items()
    ]
    return element(
        "details",
        element("summary", "What lines and letters mean"),
        element("ul", *styles),
        element("ul", *kinds),
        paragraph(
            "Numbers count through a note's annotations and lead to the words below it. “·2” marks the second part of "
            "a discontinuous annotation. Numbers in brackets are the model's confidence."
        ),
        class_="legend",
        open="open",
    )


def _keys() -> Markup:
    """Letters work while the focus is among the notes, so that they disturb nothing else."""
    terms = [part for key, words in _KEYS for part in (element("dt", element("kbd", key)), element("dd", words))]
    return element(
        "details",
        element("summary", join(["Keys ", element("kbd", "?")])),
        element("dl", *terms),
        paragraph("They work while the focus is among the notes."),
        class_="keys",
        hidden="hidden",
    )
