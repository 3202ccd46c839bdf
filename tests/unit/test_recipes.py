"""The mapping recipes on small documents whose answers are counted by hand."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmedlora.corpus.document import Document, Entity, Json, ReadResult, Relation
from fedmedlora.corpus.labels import CLINICAL
from fedmedlora.corpus.recipes import RECIPES, apply_recipe
from fedmedlora.corpus.recipes.cues import CueKind, find_cue
from fedmedlora.corpus.recipes.lexicons import (
    administration_type,
    amount_type,
    describes_duration,
    description_type,
    drug_qualifier_type,
    mood_type,
    names_a_test,
    problem_qualifier_type,
)
from fedmedlora.errors import ConfigError


def note(
    text: str,
    marks: list[tuple[str, str, str]],
    relations: list[tuple[str, str, str]] = (),  # type: ignore[assignment]
    meta: Mapping[str, Json] | None = None,
    id: str = "d1",
) -> Document:
    """A document from (id, type, words); `a…b` marks a discontinuous span from the two pieces a and b."""
    entities = []
    for name, kind, words in marks:
        spans, at = [], 0
        for piece in words.split("…"):
            start = text.index(piece, at)
            at = start + len(piece)
            spans.append((start, at))
        entities.append(Entity(name, kind, tuple(spans)))
    links = tuple(Relation(f"R{n}", *link) for n, link in enumerate(relations, start=1))
    return Document(id, text, tuple(entities), links, meta=meta or {})


def triples(result: ReadResult) -> list[tuple[str, str, str]]:
    """(modifier, text of the head, text of the tail) of the first document's relations, sorted."""
    document = result.documents[0]
    words = {e.id: " ".join(document.text[a:b] for a, b in e.spans) for e in document.entities}
    return sorted((r.type, words[r.head], words[r.tail]) for r in document.relations)


def types(result: ReadResult) -> Counter[str]:
    return Counter(entity.type for entity in result.documents[0].entities)


# --- the table ---


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown recipe 'maccrobatt': did you mean 'maccrobat'\? Known: bc5cdr, chia"
    ):
        apply_recipe("maccrobatt", [])


@pytest.mark.parametrize("name", RECIPES)
def test_labels_are_of_the_schema_and_an_empty_note_maps(name: str) -> None:
    result = apply_recipe(name, [Document("d1", ""), Document("d2", " \n")])
    assert [document.id for document in result.documents] == ["d1", "d2"]
    assert CLINICAL.asked(result.documents[0].labels)
    assert "reference_range" not in (result.documents[0].labels or ())
    assert not result.dropped


def test_recipes_load_without_torch() -> None:
    code = "import sys, fedmedlora.corpus.recipes; print({'torch', 'transformers', 'flwr'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


# --- tokenised corpora ---


def test_iob_recipes() -> None:
    text = "Zoloft gave me headaches and fatigue"
    marks = [("1", "ADR", "headaches"), ("2", "WD", "fatigue"), ("3", "Drug", "Zoloft")]
    result = apply_recipe("psytar", [note(text, marks)])
    assert types(result) == {"problem": 2}
    assert result.documents[0].labels == ("problem",)
    assert result.dropped == {"psytar: Drug has no target label": 1}

    marks = [("1", "Disease", "headaches"), ("2", "Chemical", "Zoloft")]
    assert types(apply_recipe("bc5cdr", [note(text, marks)])) == {"problem": 1, "drug": 1}
    assert types(apply_recipe("ncbi", [note(text, marks)])) == {"problem": 1}


@given(st.lists(st.sampled_from(["ADR", "DI", "WD", "SSI", "Drug", "problem"]), max_size=8), st.sampled_from([0, 1]))
def test_every_tag_is_mapped_merged_or_counted(tags: list[str], width: int) -> None:
    entities = tuple(Entity(f"T{n}", tag, ((n * width, n * width + 1),)) for n, tag in enumerate(tags))
    result = apply_recipe("psytar", [Document("d1", "abcdefgh", entities)])
    assert len(result.documents[0].entities) + sum(result.dropped.values()) == len(tags)


# --- CHIA ---


def test_chia_relations_by_type_and_lexicon() -> None:
    text = "No history of severe hepatic disease on CT; warfarin 5 mg daily orally for 3 months, or planned biopsy"
    marks = [
        *[("T1", "Condition", "disease"), ("T2", "Qualifier", "severe"), ("T3", "Negation", "No")],
        *[("T4", "Temporal", "history"), ("T5", "Qualifier", "hepatic"), ("T6", "Procedure", "CT")],
        *[("T7", "Drug", "warfarin"), ("T8", "Multiplier", "5 mg daily"), ("T9", "Qualifier", "orally")],
        *[("T10", "Temporal", "for 3 months"), ("T11", "Mood", "planned"), ("T12", "Procedure", "biopsy")],
    ]
    relations = [
        *[("Has_qualifier", "T1", "T2"), ("Has_negation", "T1", "T3"), ("Has_temporal", "T1", "T4")],
        *[("Has_qualifier", "T1", "T5"), ("AND", "T1", "T6"), ("Has_multiplier", "T7", "T8")],
        *[("Has_qualifier", "T7", "T9"), ("Has_temporal", "T7", "T10"), ("Has_mood", "T12", "T11")],
    ]
    result = apply_recipe("chia", [note(text, marks, relations, {"equivalences": [["OR", ["T1", "T7"]]]}, "NCT1_exc")])
    assert triples(result) == [
        ("bodyloc", "disease", "hepatic"),
        ("dosage", "warfarin", "5 mg daily"),
        ("duration", "warfarin", "for 3 months"),
        ("negation", "disease", "No"),
        ("route", "warfarin", "orally"),
        ("severity", "disease", "severe"),
        ("temporal", "disease", "history"),
    ]
    # Entities: disease; CT and biopsy; warfarin; one for each of the seven relations. "planned" has no head for it.
    assert sum(types(result).values()) == 4 + 7
    assert result.dropped == {
        "chia: relation AND has no target label": 1,
        "chia: Has_mood of test outside the lexicon": 1,
        "chia: Mood without a relation that maps": 1,
        "chia: OR group has no target label": 1,
    }
    assert result.documents[0].patient == "NCT1"
    assert result.documents[0].meta == {}


def test_one_modifier_serves_several_heads_and_illegal_pairs_are_counted() -> None:
    text = "no nausea or vomiting, ALT > 3 x ULN"
    marks = [("T1", "Negation", "no"), ("T2", "Condition", "nausea"), ("T3", "Condition", "vomiting")]
    marks += [("T4", "Measurement", "ALT"), ("T5", "Value", "> 3 x ULN"), ("T6", "Age", "nausea")]
    relations = [("Has_negation", "T2", "T1"), ("Has_negation", "T3", "T1"), ("Has_negation", "T3", "T1")]
    relations += [("Has_value", "T4", "T5"), ("Has_value", "T2", "T5"), ("Has_value", "T6", "T5")]
    result = apply_recipe("chia", [note(text, marks, relations)])
    assert triples(result) == [
        ("labvalue", "ALT", "> 3 x ULN"),
        ("negation", "nausea", "no"),
        ("negation", "vomiting", "no"),
    ]
    assert types(result) == {"negation": 1, "problem": 2, "test": 1, "labvalue": 1}
    assert result.dropped == {
        "chia: negation relation repeated (merged)": 1,
        "chia: labvalue may not attach to problem": 1,
        "chia: Has_value of Age, which has no target label": 1,
        "chia: Age has no target label": 1,
    }


def test_duplicates_merge_and_an_entity_in_two_parts_gets_two_ids() -> None:
    # The two Drug marks become one, and both relations point to it. The condition is also the value of a test.
    text = "aspirin for 2 weeks; ketones positive"
    marks = [("T1", "Drug", "aspirin"), ("T2", "Drug", "aspirin"), ("T3", "Temporal", "for 2 weeks")]
    marks += [("T4", "Measurement", "ketones"), ("T5", "Condition", "positive"), ("T6", "Temporal", "for 2 weeks")]
    relations = [("Has_temporal", "T1", "T3"), ("Has_temporal", "T2", "T6"), ("Has_value", "T4", "T5")]
    result = apply_recipe("chia", [note(text, marks, relations)])
    document = result.documents[0]
    assert {(e.id, e.type) for e in document.entities} == {
        *[("T1", "drug"), ("T3", "duration"), ("T4", "test"), ("T5", "problem"), ("T7", "labvalue")]
    }
    assert [(r.type, r.head, r.tail) for r in document.relations] == [
        ("duration", "T1", "T3"),
        ("labvalue", "T4", "T7"),
    ]
    assert result.dropped == {
        "chia: Drug on the spans of another drug (merged)": 1,
        "chia: Temporal on the spans of another duration (merged)": 1,
        "chia: duration relation repeated (merged)": 1,
    }


def test_discontinuous_spans_stay_whole() -> None:
    marks = [("T1", "Condition", "bone …metastases"), ("T2", "Condition", "brain metastases")]
    result = apply_recipe("chia", [note("bone or brain metastases", marks)])
    assert {e.spans for e in result.documents[0].entities} == {((0, 5), (14, 24)), ((8, 24),)}


# --- PHEE ---


def test_phee_attaches_within_the_event() -> None:
    text = "Severe rash and fever may follow oral ampicillin 500 mg within 2 days; no nausea"
    marks = [
        *[("T1", "Severity", "Severe"), ("T2", "Effect", "rash"), ("T3", "Effect", "fever")],
        *[("T4", "Speculated", "may"), ("T5", "Treatment.Route", "oral"), ("T6", "Treatment.Drug", "ampicillin")],
        *[("T7", "Treatment.Dosage", "500 mg"), ("T8", "Treatment.Time_elapsed", "within 2 days")],
        *[("T9", "Negated", "no"), ("T10", "Subject.Disorder", "nausea"), ("T11", "Treatment", "oral ampicillin")],
    ]
    arguments: dict[str, Json] = {
        **{"Effect": ["T2", "T3"], "Severity": ["T1"], "Speculated": ["T4"], "Treatment": ["T11"]},
        **{"Treatment.Drug": ["T6"], "Treatment.Route": ["T5"], "Treatment.Dosage": ["T7"]},
        "Treatment.Time_elapsed": ["T8"],
    }
    events: list[Json] = [
        {"id": "E1", "type": "Adverse_event", "arguments": arguments},
        {"id": "E2", "type": "Adverse_event", "arguments": {"Negated": ["T9"], "Subject.Disorder": ["T10", "T99"]}},
    ]
    result = apply_recipe("phee", [note(text, marks, meta={"events": events}, id="123_4")])
    # Severity, uncertain and temporal go to both effects; the negation's event has no effect.
    assert triples(result) == [
        ("route", "ampicillin", "oral"),
        ("severity", "fever", "Severe"),
        ("severity", "rash", "Severe"),
        ("strength", "ampicillin", "500 mg"),
        ("temporal", "fever", "within 2 days"),
        ("temporal", "rash", "within 2 days"),
        ("uncertain", "fever", "may"),
        ("uncertain", "rash", "may"),
    ]
    assert types(result)["problem"] == 3
    assert result.dropped == {
        "phee: Treatment has no target label": 1,
        "phee: negation in an event without an effect": 1,
        "phee: Negated without a relation that maps": 1,
        "phee: reference to an entity that the document lacks": 1,
    }
    assert result.documents[0].patient == "123"


# --- MACCROBAT ---


def attribute(entity: str, value: str, name: str = "POLARITY") -> Json:
    return {"entity": entity, "name": name, "value": value}


def test_maccrobat_modify() -> None:
    text = "Her mother had acute severe left arm pain, took 2 tablets of oral iron for 3 days; Hb was 9 g/dl, green"
    marks = [
        *[("T1", "Sign_symptom", "pain"), ("T2", "Biological_structure", "arm"), ("T3", "Severity", "severe")],
        *[("T4", "Detailed_description", "acute"), ("T5", "Detailed_description", "left"), ("T6", "Subject", "mother")],
        *[("T7", "Medication", "iron"), ("T8", "Dosage", "2 tablets"), ("T9", "Administration", "oral")],
        *[("T10", "Duration", "for 3 days"), ("T11", "Diagnostic_procedure", "Hb"), ("T12", "Lab_value", "9 g/dl")],
        *[("T13", "Detailed_description", "green"), ("T14", "Color", "green")],
    ]
    pairs = ["T2 T1", "T3 T1", "T4 T1", "T5 T1", "T6 T1", "T8 T7", "T9 T7", "T10 T7", "T12 T11", "T13 T1", "T14 T1"]
    relations = [("MODIFY", *pair.split()) for pair in [*pairs, "T2 T11", "T4 T14"]]
    result = apply_recipe("maccrobat", [note(text, marks, relations)])  # type: ignore[list-item]
    assert triples(result) == [
        ("bodyloc", "pain", "arm"),
        ("bodyloc", "pain", "left"),
        ("course", "pain", "acute"),
        ("dosage", "iron", "2 tablets"),
        ("duration", "iron", "for 3 days"),
        ("labvalue", "Hb", "9 g/dl"),
        ("route", "iron", "oral"),
        ("severity", "pain", "severe"),
        ("subject", "pain", "mother"),
    ]
    assert result.dropped == {
        "maccrobat: MODIFY by Detailed_description outside the lexicon": 1,
        "maccrobat: Detailed_description without a relation that maps": 1,
        "maccrobat: MODIFY by Color, which has no target label": 1,
        "maccrobat: Color has no target label": 1,
        "maccrobat: bodyloc may not attach to test": 1,
        "maccrobat: MODIFY of Color, which has no target label": 1,
    }


def test_maccrobat_times_need_the_same_sentence() -> None:
    text = "In May she had fever and took aspirin for 2 days. In June cough began after surgery."
    marks = [
        *[("T1", "Date", "May"), ("T2", "Sign_symptom", "fever"), ("T3", "Medication", "aspirin")],
        *[("T4", "Duration", "2 days"), ("T5", "Sign_symptom", "cough"), ("T6", "Date", "June")],
        *[("T7", "Therapeutic_procedure", "surgery"), ("T8", "Age", "she")],
    ]
    meta: dict[str, Json] = {"equivalences": [["OVERLAP", ["T1", "T2", "T3", "T5"]], ["OVERLAP", ["T3", "T4"]]]}
    meta["equivalences"] = [*meta["equivalences"], ["OVERLAP", ["T5", "T7"]]]  # type: ignore[misc]
    relations = [("BEFORE", "T6", "T5"), ("AFTER", "T7", "T1"), ("BEFORE", "T5", "T7"), ("CAUSE", "T2", "T5")]
    result = apply_recipe("maccrobat", [note(text, marks, relations, meta)])
    # A drug's overlapping Duration is how long it was taken; the first group's cough is in another sentence than May.
    assert triples(result) == [
        ("duration", "aspirin", "2 days"),
        ("temporal", "aspirin", "May"),
        ("temporal", "cough", "June"),
        ("temporal", "fever", "May"),
    ]
    assert result.dropped == {
        "maccrobat: relation AFTER to a time of another sentence": 1,
        "maccrobat: relation BEFORE between other than an entity and its time": 1,
        "maccrobat: relation CAUSE has no target label": 1,
        "maccrobat: OVERLAP group without an entity and its time in one sentence": 1,
        "maccrobat: Age has no target label": 1,
    }


def test_maccrobat_cues_are_recovered_or_counted() -> None:
    text = "NO fever or chills. Possible sepsis. Rash improved. He fell. Swelling is unlikely."
    marks = [("T1", "Sign_symptom", "fever"), ("T2", "Sign_symptom", "chills"), ("T3", "Disease_disorder", "sepsis")]
    marks += [("T4", "Sign_symptom", "Rash"), ("T5", "Activity", "fell"), ("T6", "Sign_symptom", "Swelling")]
    meta: dict[str, Json] = {
        "attributes": [
            *[attribute("T1", "NEG"), attribute("T2", "NEG"), attribute("T3", "UNCERTAIN"), attribute("T4", "NEG")],
            *[attribute("T5", "NEG"), attribute("T4", "INC", "TREND"), attribute("T6", "MAYBE_NEG")],
        ]
    }
    result = apply_recipe("maccrobat", [note(text, marks, meta=meta)])
    assert triples(result) == [
        ("negation", "Swelling", "unlikely"),
        ("negation", "chills", "NO"),
        ("negation", "fever", "NO"),
        ("uncertain", "Swelling", "unlikely"),
        ("uncertain", "sepsis", "Possible"),
    ]
    # One "NO" for two symptoms; "unlikely" once for each kind.
    assert types(result) == {"problem": 5, "negation": 2, "uncertain": 2}
    assert result.dropped == {
        "maccrobat: attribute POLARITY NEG with no negation cue in the sentence": 1,
        "maccrobat: attribute POLARITY of Activity, which has no target label": 1,
        "maccrobat: attribute TREND INC has no target label": 1,
        "maccrobat: Activity has no target label": 1,
    }


# --- cues ---


@pytest.mark.parametrize(
    ("text", "entity", "kind", "cue"),
    [
        ("There was no evidence of cancer", "cancer", "negation", "no"),
        ("The patient DENIED chest pain", "chest pain", "negation", "DENIED"),
        ("The mass was not found", "mass", "negation", "not"),
        ("Her cough resolved and no fever was seen", "cough", "negation", "resolved"),
        ("Her cough resolved and no fever was seen", "fever", "negation", "no"),
        ("No fever, but the cough persisted", "cough", "negation", None),
        ("It is a nodule of the north lobe", "nodule", "negation", None),
        ("İstanbul clinic: no fever", "fever", "negation", "no"),
        ("Absence of reflexes on the left", "Absence of reflexes", "negation", "Absence of"),
        ("Findings suspicious for lymphoma", "lymphoma", "uncertain", "suspicious"),
        ("A lymphoma could not be excluded", "lymphoma", "uncertain", "could not be excluded"),
        ("A lymphoma was proven", "lymphoma", "uncertain", None),
    ],
)
def test_nearest_cue_in_scope(text: str, entity: str, kind: CueKind, cue: str | None) -> None:
    start = text.index(entity)
    span = find_cue(text, (start, start + len(entity)), (0, len(text)), kind)
    assert (None if span is None else text[span[0] : span[1]]) == cue


@given(st.text(alphabet="no tİß fever.,;\n", max_size=40), st.integers(0, 39), st.integers(1, 10))
def test_a_cue_lies_in_the_sentence(text: str, start: int, width: int) -> None:
    sentence = (min(3, len(text)), max(min(3, len(text)), len(text) - 2))
    start = min(max(start, sentence[0]), sentence[1])
    entity = (start, min(start + width, sentence[1]))
    span = find_cue(text, entity, sentence, "negation")
    assert span is None or (sentence[0] <= span[0] < span[1] <= sentence[1])


# --- lexicons ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("500 mg", "strength"), ("8.4%", "strength"), ("5000 units", "strength"), ("75 µg", "strength")],
        *[("5 mg daily", "dosage"), ("2 mg/kg", "dosage"), ("300mg/d", "dosage"), ("LOW-DOSE", "dosage")],
        *[("2 tablets", "dosage"), ("8 cycles", "dosage"), ("4 L/min", "dosage"), ("100 mg/m2", "dosage")],
        *[("twice daily", "frequency"), ("q8h", "frequency"), ("every 3 weeks", "frequency"), ("tapered", None)],
    ],
)
def test_amounts(text: str, expected: str | None) -> None:
    assert amount_type(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("mild", "severity"), ("clinically\nsignificant", "severity"), ("poorly-controlled", "course")],
        *[("acute", "course"), ("newly diagnosed", "course"), ("right-sided", "bodyloc"), ("of the breast", "bodyloc")],
        *[("moderately differentiated", None), ("heparin-induced", None), ("multiple", None)],
        ("that may significantly alter the absorption of the study drug", None),
    ],
)
def test_descriptions(text: str, expected: str | None) -> None:
    assert description_type(text) == problem_qualifier_type(text) == expected


def test_other_lexicons() -> None:
    assert problem_qualifier_type("suspected") == "uncertain"
    assert [administration_type(text) for text in ("Tablets", "by mouth")] == ["form", "route"]
    assert [drug_qualifier_type(text) for text in ("inhaled", "capsules", "stable dose")] == ["route", "form", None]
    assert [mood_type(text) for text in ("clinical suspicion", "at risk of", "evidence of")] == [
        *["uncertain", "condition", None]
    ]
    lasting = ["for at least 7 days", "> 30 days", "long-term"]
    moments = ["within 30 days", "in the last 6 months", "for the past year", "2 weeks before surgery"]
    assert [describes_duration(text) for text in [*lasting, *moments]] == [True] * 3 + [False] * 4
    tests = ["brain MRI", "liver biopsy", "physical examination", "12-lead ECG", "colonoscopy"]
    treatments = ["radiotherapy", "liver transplant", "laparoscopic surgery", "dialysis", "endoscopic therapy"]
    assert [names_a_test(text) for text in [*tests, *treatments]] == [True] * 5 + [False] * 5
