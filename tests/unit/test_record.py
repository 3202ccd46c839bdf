"""Atomic writes, and JSON lines that a crash may have cut short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedmedlora.errors import InputError
from fedmedlora.record import append_json_line, digest_json, read_json_lines, sweep_unfinished, write_atomic


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "kept.txt"
    write_atomic(target, "old")

    def broken(source: str, destination: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    write_atomic(tmp_path / "deep" / "kept.jsonl", "{}")
    (tmp_path / "deep" / ".kept.jsonl.a1b2c3.part").write_text("half a note")
    (tmp_path / "other.part").write_text("a user's file")
    assert sweep_unfinished(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["kept.jsonl", "other.part"]


def test_a_line_cut_short_is_skipped_and_the_next_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    append_json_line(path, {"n": 1})
    with path.open("a") as stream:
        stream.write('{"n": 2, "nested": {"whole": true}')
    assert list(read_json_lines(path)) == [{"n": 1}]
    append_json_line(path, {"n": 3})
    assert list(read_json_lines(path)) == [{"n": 1}, {"n": 3}]


def test_other_damage_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"n": 1}\n{"n": two}\n{"n": 3}\n')
    with pytest.raises(InputError, match=r"records\.jsonl, line 2"):
        list(read_json_lines(path))
    assert list(read_json_lines(tmp_path / "absent.jsonl")) == []


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})
