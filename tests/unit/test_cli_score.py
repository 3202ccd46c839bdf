"""`fedmedlora score --json` beside the scores: classes of errors, and what confidences are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmedlora.cli.main import main
from fedmedlora.corpus.document import Document, Entity, Json
from fedmedlora.corpus.formats import write_documents

TEXT = "x" * 20
GOLD = Document("n", TEXT, (Entity("g1", "drug", ((0, 4),)), Entity("g2", "drug", ((10, 14),))))


def scored(folder: Path, confidence: Json, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Json], str]:
    entities = (Entity("p1", "drug", ((0, 4),)), Entity("p2", "test", ((16, 20),)))
    write_documents([GOLD], folder / "gold.jsonl", "jsonl")
    predicted = Document("n", TEXT, entities, meta={"confidence": confidence})
    write_documents([predicted], folder / "predicted.jsonl", "jsonl")
    assert main(["score", str(folder / "gold.jsonl"), str(folder / "predicted.jsonl"), "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_confidences_are_scored_where_there_are_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = scored(tmp_path, {"p1": 0.75, "p2": 0.25}, capsys)
    sure = found["confidence"]
    assert isinstance(sure, dict)
    # Nothing is predicted of relations, so nothing says whether they would have had confidences.
    assert set(sure) == {"ner"}
    ner = sure["ner"]
    assert isinstance(ner, dict)
    # The right one first: recall 1/2 at precision 1; the wrong one gains nothing. One document: no width.
    assert (ner["auprc"], ner["auprc_interval"], ner["scored"]) == (0.5, [0.5, 0.5], 2)
    # Each in a bin of its own: (|1 − 0.75| + |0 − 0.25|) / 2, and the mean of the squares.
    assert (ner["ece"], ner["brier"]) == (0.25, 0.0625)
    assert found["errors"] == {
        "ner": {"correct": 1, "boundary": 0, "type": 0, "type and boundary": 0, "missed": 1, "spurious": 1},
        "re": {"correct": 0, "boundary": 0, "type": 0, "wrong target": 0, "missed": 0, "spurious": 0},
    }


@pytest.mark.parametrize(("other", "remark"), [("high", True), ({"p1": 75}, True), ({"p1": 0.5}, False)])
def test_what_is_no_confidence_does_not_stop_the_scores(
    other: Json, remark: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, said = scored(tmp_path, other, capsys)
    assert found["confidence"] == {}
    assert found["ner"]["strict"]["correct"] == 1  # type: ignore[index, call-overload]
    assert ("ner: confidence left out: document 'n'" in said) == remark
