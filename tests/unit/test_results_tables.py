"""Pages on results: what stands between marks comes from the records, what stands around them stays."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from report_runs import write_run

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
