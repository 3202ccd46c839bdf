"""Pages on results: what stands between marks comes from the records, what stands around them stays."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from report_runs import Table, both_rules, write_run

_SCRIPT = Path(__file__).parents[2] / "scripts" / "results_tables.py"


@pytest.fixture
def filled() -> Callable[[str, Path], str]:
    spec = importlib.util.spec_from_file_location("results_tables", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.filled  # type: ignore[no-any-return]


def test_a_page_is_filled_twice_as_once(filled: Callable[[str, Path], str], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    write_run(tmp_path / "results" / "toy")
    page = (
        "before\n\n<!-- results/toy: NER, strict F1, in-domain -->\nstale\n<!-- end -->\n\nbetween\n\n"
        "<!-- results/toy: differences of strict F1 | north | Fed-MedLoRA -->\n<!-- end -->\nafter\n"
    )
    once = filled(page, tmp_path)
    assert once.startswith("before\n\n<!-- results/toy: NER, strict F1, in-domain -->\n\n| Arm | north | south |")
    assert "stale" not in once
    assert "\n\nbetween\n\n" in once
    assert once.endswith("<!-- end -->\nafter\n")
    rows = [line for line in once.partition("between")[2].splitlines() if line.startswith("| in-domain")]
    # Fed-MedLoRA against single-site and centralised training, and Fed-MedLoRA+ against it, of one site.
    assert [[cell.strip() for cell in row.split("|")][3:6] for row in rows] == [
        ["north", "Fed-MedLoRA", "Single-site"],
        ["north", "Fed-MedLoRA", "Centralised"],
        ["north", "Fed-MedLoRA+", "Fed-MedLoRA"],
    ]
    assert filled(once, tmp_path) == once


def test_a_mark_of_no_table_is_refused(filled: Callable[[str, Path], str], tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    write_run(tmp_path / "results" / "toy")
    with pytest.raises(ValueError, match=r"results/toy has no table 'NER, strict, at home'. It has: NER in words"):
        filled("<!-- results/toy: NER, strict, at home -->\n<!-- end -->\n", tmp_path)


_BESIDE = "<!-- results/toy (centralised of results/other): NER, strict F1, in-domain -->\n<!-- end -->\n"


def _two_runs(root: Path, digest: str = "34" * 32) -> None:
    """results/toy, and results/other whose every F1 is .04; the second's test notes of north have this digest."""

    def worse(records: list[Table], rounds: list[Table]) -> None:
        for line in records:
            if line["kind"] == "score":
                line["scores"] = {"ner": {**both_rules(50, 50, 2), "types": {}}, "documents": 7}
                line["intervals"] = {}

    (root / "results").mkdir()
    for name, edit, of_north in (("toy", None, "34" * 32), ("other", worse, digest)):
        path = write_run(root / "results" / name, edit=edit) / "run.json"
        info = json.loads(path.read_text(encoding="utf-8"))
        for site, test in zip(info["sites"], (of_north, "56" * 32), strict=True):
            site["parts"]["test"] = {"documents": 7, "used": 7, "digest": test}
        path.write_text(json.dumps(info), encoding="utf-8")


def test_arms_of_another_run_take_the_place_of_ones_own(filled: Callable[[str, Path], str], tmp_path: Path) -> None:
    _two_runs(tmp_path)
    rows = {line.split("|")[1].strip(): line for line in filled(_BESIDE, tmp_path).splitlines() if line[:2] == "| "}
    assert rows["Centralised"].split("|")[2:5] == [" 0.040 ", " 0.040 ", " 0.040 "]
    assert rows["Fed-MedLoRA"].split("|")[2].startswith(" 0.440 (")


def test_runs_on_other_test_notes_are_not_held_against_each_other(
    filled: Callable[[str, Path], str], tmp_path: Path
) -> None:
    _two_runs(tmp_path, digest="78" * 32)
    with pytest.raises(ValueError, match="toy and other do not test on the same notes of north"):
        filled(_BESIDE, tmp_path)


def test_an_arm_that_the_other_run_lacks_is_refused(filled: Callable[[str, Path], str], tmp_path: Path) -> None:
    _two_runs(tmp_path)
    with pytest.raises(ValueError, match="other has no scores of fedprox"):
        filled(_BESIDE.replace("centralised", "centralised, fedprox"), tmp_path)
