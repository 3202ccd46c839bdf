from __future__ import annotations

import re
from importlib.resources import files

import pytest

from fedmedlora.corpus.labels import CLINICAL, LabelSet
from fedmedlora.errors import LabelError
from fedmedlora.markup.prompts import TEMPLATES, Prompt, ner_prompt, re_prompt

OWN = LabelSet({"gene": ("variant",), "cell_line": ()}, {"gene": "a gene {text} {labels}"})


def test_brief_is_short() -> None:
    assert ner_prompt(CLINICAL, {"test", "problem"}) == Prompt("Mark entities: problem, test.\nText:\n", "\nMarked:\n")
    assert re_prompt(CLINICAL, "test", CLINICAL.modifiers["test"]) == Prompt(
        "Mark modifiers of the test: labvalue, reference_range, temporal, negation.\nText:\n", "\nMarked:\n"
    )


@pytest.mark.parametrize(("task", "style"), TEMPLATES)
def test_files_hold_each_placeholder_once(task: str, style: str) -> None:
    raw = files("fedmedlora.markup").joinpath("prompts", f"{TEMPLATES[task, style]}.txt").read_text(encoding="utf-8")
    for place in ["{labels}", "{text}", *(["{entity}"] if task == "re" else [])]:
        assert raw.count(place) == 1
    assert "\nText:\n{text}\n" in raw


@pytest.mark.parametrize("style", ["full", "json"])
def test_full_prompts(style: str) -> None:
    for kind, modifiers in CLINICAL.modifiers.items():
        ner = ner_prompt(CLINICAL, [kind], style)
        relations = re_prompt(CLINICAL, kind, modifiers, style)
        assert f"- {kind}: {CLINICAL.describe(kind)}\n" in ner.prefix
        assert f"of type {kind}," in relations.prefix
        for name in modifiers:
            assert f"- {name}: {CLINICAL.describe(name)}\n" in relations.prefix
        for prompt in (ner, relations):
            assert prompt.prefix.endswith("Text:\n")
            assert prompt.suffix.endswith(":\n")
            assert "[example" not in prompt.prefix
            assert "[end]" not in prompt.prefix


def test_example_shows_only_what_is_asked_for() -> None:
    # Rule 2 of the file says <label>; the rest is the example.
    shown = set(re.findall(r"<([a-z_]+)>", ner_prompt(CLINICAL, ["drug", "problem"], "full").prefix))
    assert shown == {"label", "drug", "problem"}
    shown = set(re.findall(r"<([a-z_]+)>", re_prompt(CLINICAL, "drug", ["route"], "full").prefix))
    assert shown == {"label", "drug", "route"}


def test_foreign_label_set_gets_no_example() -> None:
    prompt = ner_prompt(OWN, ["gene"], "full")
    assert "Example" not in prompt.prefix
    # A description with braces stays as it is.
    assert "- gene: a gene {text} {labels}\n" in prompt.prefix


def test_asked_order_does_not_matter() -> None:
    assert ner_prompt(CLINICAL, ["drug", "problem"]) == ner_prompt(CLINICAL, {"problem", "drug"})


def test_wrong_labels() -> None:
    with pytest.raises(LabelError, match="no label is asked for"):
        ner_prompt(CLINICAL, [])
    with pytest.raises(LabelError, match="did you mean 'problem'"):
        ner_prompt(CLINICAL, ["problems"])
    with pytest.raises(LabelError, match="'negation' is not an entity type"):
        ner_prompt(CLINICAL, ["negation"])
    with pytest.raises(LabelError, match="'route' is not a modifier of 'test'"):
        re_prompt(CLINICAL, "test", ["route"])
    with pytest.raises(LabelError, match="'route' is not an entity type"):
        re_prompt(CLINICAL, "route", ["negation"])
    with pytest.raises(ValueError, match="unknown prompt style 'breif': did you mean 'brief'"):
        ner_prompt(CLINICAL, ["drug"], "breif")
