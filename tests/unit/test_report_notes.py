"""Notes in the report: who may see them, what is drawn under them, and that text never turns into markup."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from note_runs import HOSTILE, KNEE, add_notes, knee_gold, noted_run
from report_runs import ARMS, page_of, text_of, tree, write_run

from fedmedlora.corpus.jsonl import write_jsonl
from fedmedlora.errors import CorpusError, InputError
from fedmedlora.report.load import load_run
from fedmedlora.report.notes import load_notes
from fedmedlora.report.viewer_layout import Stroke, lanes, pieces


def views(page: str) -> list[ET.Element]:
    return [part for part in tree(page).iter("details") if part.get("class") == "view"]


def drawn(view: ET.Element) -> str:
    """The text of a note as it is drawn, without tags."""
    text = view.find("div")
    assert text is not None
    tags = {tag for tag in text.iter() if (tag.get("class") or "").startswith("tag")}
    return "".join(_without(text, tags))


def _without(node: ET.Element, left_out: set[ET.Element]) -> list[str]:
    parts = [] if node in left_out else [node.text or ""]
    for child in node:
        parts += [] if child in left_out else _without(child, left_out)
        parts.append(child.tail or "")
    return parts


def test_without_leave_no_note_is_quoted_and_no_script_runs(tmp_path: Path) -> None:
    page = page_of(noted_run(tmp_path / "toy", include_text=False))
    assert "aspirin" not in page
    assert "<script" not in page
    assert "script-src" not in page
    assert 'id="run1-notes"' not in page
    # The same page as that of a run that kept none.
    (tmp_path / "toy" / "examples").rename(tmp_path / "elsewhere")
    assert page_of(tmp_path / "toy") == page


def test_leave_alone_quotes_nothing_that_the_run_did_not_keep(tmp_path: Path) -> None:
    folder = noted_run(tmp_path / "toy")
    shutil.rmtree(folder / "examples")
    page = page_of(folder)
    assert "aspirin" not in page
    assert "<script" not in page


def test_page_with_notes_says_so_first_and_is_well_formed(tmp_path: Path) -> None:
    page = page_of(noted_run(tmp_path / "toy"))
    body = tree(page).find("body")
    assert body is not None
    assert text_of(body[1]).startswith("This page quotes notes: 3 test notes")
    ids = [node.get("id") for node in body.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    targets = {link.get("href", "")[1:] for link in body.iter("a")}
    targets |= {link.get("aria-describedby", "") for link in body.iter("a")} - {""}
    assert targets <= set(ids)
    assert page == page_of(tmp_path / "toy")


def test_policy_names_the_one_script_by_its_digest(tmp_path: Path) -> None:
    page = page_of(noted_run(tmp_path / "toy"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert f"script-src &#x27;sha256-{digest}&#x27;" in policy.replace("'", "&#x27;")
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert not re.search(r"\bon[a-z]+=", re.sub(r">[^<]*<", "><", page.replace(script, "")))


def test_text_never_turns_into_markup_and_is_shown_whole(tmp_path: Path) -> None:
    shown = views(page_of(noted_run(tmp_path / "toy")))
    by_note = {text_of(view[0][0]): drawn(view) for view in shown}
    assert by_note["knee"] == KNEE
    # What neither HTML nor a reader can bear is one sign each; a file's line ends are a matter of its parser.
    bearable = HOSTILE.replace("\u0007", "\ufffd").replace("\u202e", "\ufffd").replace("\r\n", "\n")
    assert by_note['<b id="x">&amp;'] == bearable


def test_a_note_is_drawn_as_it_was_answered(tmp_path: Path) -> None:
    view = next(view for view in views(page_of(noted_run(tmp_path / "toy"))) if view.get("data-model") == "Fed-MedLoRA")
    # NER: chest pain and aspirin right; "pain" for a discontinuous knee; gout a drug; part of the CT a problem; both
    # knees missed; relief made up. RE: No and 100 mg right; "twice" cut short; Severe given to both knees; since Monday
    # and possibly missed; normal made up.
    assert text_of(view[0]).endswith(
        "4 correct, 2 boundary, 1 type, 1 type and boundary, 3 missed, 2 spurious, 1 wrong target"
    )
    words = [text_of(line) for line in view.iter("li")]
    wrong = (
        "gold severity Severe → problem pain in left … knee , found severity Severe → problem pain in left and right"
    )
    assert f"W3 wrong target: {wrong} knee" in words
    assert "B4 boundary: gold problem pain in left … knee , found problem pain (0.61)" in words
    tags = [text_of(tag) for tag in view[1].iter() if (tag.get("class") or "").startswith("tag")]
    assert tags[:6] == ["✓1 negation", "✓2 problem", "W3 severity", "B4 problem", "M5 problem", "B4·2"]
    assert "T8 problem → drug" in tags


def test_each_model_that_a_site_knows_has_answered_each_note(tmp_path: Path) -> None:
    shown = views(page_of(noted_run(tmp_path / "toy")))
    of_knee = [view.get("data-model") for view in shown if text_of(view[0][0]) == "knee"]
    assert of_knee == ["Zero-shot", "Single-site: north", "Centralised", "Fed-MedLoRA", "Fed-MedLoRA+"]
    # Without a script, the first federated model is what a reader sees.
    assert {view.get("data-model") for view in shown if view.get("open")} == {"Fed-MedLoRA"}


def test_credentialed_notes_are_counted_and_never_shown(tmp_path: Path) -> None:
    folder = noted_run(tmp_path / "toy", credentialed=3)
    # One that got into the folder all the same.
    held = [knee_gold(), replace(knee_gold("second"), text=KNEE + "SECRET", meta={"credentialed": True})]
    write_jsonl(held, folder / "examples" / "north.jsonl")
    page = page_of(folder)
    assert "SECRET" not in page
    # North: 2 free and 3 credentialed tested notes, and one of the free turned out to be credentialed too.
    assert "north 1 of 1, and 4 credentialed notes never shown" in page
    assert "south 1 of 1, and 3 credentialed notes never shown" in page


def test_what_does_not_belong_together_is_said(tmp_path: Path) -> None:
    folder = noted_run(tmp_path / "toy")
    write_jsonl([replace(knee_gold(), text=KNEE + " ")], folder / "examples" / "north.jsonl")
    with pytest.raises(CorpusError, match="document 'knee': gold has a text of"):
        load_notes(folder, load_run(folder))
    (folder / "examples" / "sample.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"sample\.json: cannot be read as JSON"):
        load_notes(folder, load_run(folder))


def test_a_run_that_no_model_has_answered_yet_shows_no_note(tmp_path: Path) -> None:
    def nothing_yet(records: list[dict[str, object]], rounds: list[dict[str, object]]) -> None:
        records.clear()

    folder = add_notes(write_run(tmp_path / "toy", (0,), ARMS, nothing_yet), {"north": [knee_gold()], "south": []})
    page = page_of(folder)
    assert "No model has answered any of them yet." in page
    assert "aspirin" not in page


def test_strokes_that_overlap_have_lanes_of_their_own() -> None:
    # [0, 9) first; [2, 4) below it; [5, 7) beside the second; [9, 10) where the first has ended.
    spans = ((0, 9),), ((2, 4),), ((5, 7),), ((9, 10),)
    assert lanes([Stroke(place, "gold", one) for place, one in enumerate(spans)]) == [0, 1, 1, 0]
    # The gap of a discontinuous stroke is kept free.
    assert lanes([Stroke(0, "gold", ((0, 2), (6, 8))), Stroke(1, "gold", ((3, 5),))]) == [0, 1]


def test_pieces_put_the_text_together_and_know_what_runs_under_them() -> None:
    text = "pain in left and right knee"
    # Item 0: "pain in left … knee"; item 1: "right".
    cut = pieces(text, [Stroke(0, "gold", ((0, 12), (23, 27))), Stroke(1, "predicted", ((17, 22),))])
    assert "".join(text[piece.start : piece.end] for piece in cut) == text
    seen = [
        (text[piece.start : piece.end], [(one.stroke.item, one.lane, one.gap) for one in piece.under], piece.tags)
        for piece in cut
    ]
    assert seen == [
        ("pain in left", [(0, 0, False)], ((0, 1),)),
        (" and ", [(0, 0, True)], ()),
        ("right", [(0, 0, True), (1, 1, False)], ((1, 1),)),
        (" ", [(0, 0, True)], ()),
        ("knee", [(0, 0, False)], ((0, 2),)),
    ]


def test_a_tag_never_parts_a_letter_from_its_accent() -> None:
    text = unicodedata.normalize("NFD", "né")
    assert text == "ne\u0301"
    # The stroke begins at the accent, offset 2; the tag stands before the e, offset 1.
    cut = pieces(text, [Stroke(0, "gold", ((2, 3),))])
    assert [(piece.start, piece.tags, len(piece.under)) for piece in cut] == [(0, (), 0), (1, ((0, 1),), 0), (2, (), 1)]


def test_an_empty_note_is_no_piece() -> None:
    assert pieces("", []) == []
