"""The page of all study keys, docs/study-keys.md: no table and no key is missing. `make check` compares the rest."""

from __future__ import annotations

from pathlib import Path

from fedmedlora.config.study_file import _MODELS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "study-keys.md"


def test_every_key_of_every_table_is_explained() -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == len(_MODELS)
    held = [[line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] for section in sections]
    for model in _MODELS.values():
        assert list(model.model_fields) in held
