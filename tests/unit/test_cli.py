"""The command line: what is printed where, what is returned, and that no failure quotes a note."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from fedmedlora import __version__, errors
from fedmedlora.adapters.state import AdapterSpec, AdapterState, save_state
from fedmedlora.cli import main as program
from fedmedlora.cli.main import app, main
from fedmedlora.corpus.document import Document, Entity, Relation
from fedmedlora.corpus.formats import read_documents, write_documents

SECRET = "Mrs Jones denies fever"

# 'denies' is a negation of 'fever'; 'Mrs' stands for a drug so that two types occur.
GOLD = Document(
    "n1",
    SECRET,
    (Entity("T1", "problem", ((17, 22),)), Entity("T2", "negation", ((10, 16),)), Entity("T3", "drug", ((0, 3),))),
    (Relation("R1", "negation", "T1", "T2"),),
)
# The problem is found too wide, the drug exactly, the negation not at all.
PREDICTED = Document("n1", SECRET, (Entity("T1", "problem", ((10, 22),)), Entity("T2", "drug", ((0, 3),))))

HEAVY = ("torch", "transformers", "peft", "flwr", "ray", "scipy", "numpy", "pydantic", "rich")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    write_documents([GOLD], tmp_path / "gold.jsonl", "jsonl")
    write_documents([PREDICTED], tmp_path / "predicted.jsonl", "jsonl")
    return tmp_path


def commands(context: click.Context) -> Iterator[click.Context]:
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(click.Context(child, info_name=name, parent=context))
    else:
        yield context


VERBS = list(commands(click.Context(typer.main.get_command(app), info_name="fedmedlora")))


@pytest.mark.parametrize("context", VERBS, ids=lambda context: context.command_path)
def test_every_verb_has_an_example_of_itself_and_json(context: click.Context) -> None:
    text = context.get_help()
    assert f"Example:\n    {context.command_path}" in text
    assert "--json" in text
    assert all(getattr(parameter, "help", None) for parameter in context.command.params)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, fedmedlora.cli.main as program; status = program.main(['--help']); "
        f"sys.exit(status or ' '.join(sorted(set({HEAVY!r}) & set(sys.modules))) or 0)"
    )
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        after = os.times()
        # Time on a processor: what passes on the clock is another machine's, or its other work's.
        seconds.append(after.children_user - before.children_user + after.children_system - before.children_system)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: ")
    assert min(seconds) < 0.3


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fedmedlora {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["score", "gold.jsonl"], "Missing argument 'PRED'"),
        (["score", "a", "b", "--lables", "c"], "--lables"),
        (["score", "missing.jsonl", "b"], "missing.jsonl: no such file or folder"),
        (["data", "convert", "in", "out.unknown"], "Add --to jsonl|brat|conll|phee"),
        (["data", "convert", "in", "out.jsonl", "--split", "splits.json:test"], "FILE:CORPUS/PART"),
    ],
)
def test_a_users_mistake_returns_2_with_a_message_on_standard_error(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    write_documents([GOLD], tmp_path / "in" / "a.jsonl", "jsonl")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (errors.TrainingError("loss is NaN"), 1, "loss is NaN"),
        (errors.EnvironmentProblem("no memory"), 3, "no memory"),
        (errors.CorpusError("document 'x' is empty"), 2, "document 'x' is empty"),
        (OSError(28, "No space left on device", "runs/a"), 3, "runs/a: No space left on device."),
        (PermissionError(13, "Permission denied", "runs/a"), 3, "runs/a: Permission denied."),
        (MemoryError(SECRET), 3, "out of memory"),
        (ModuleNotFoundError(f"No module named '{SECRET}'", name="ray"), 3, "the library 'ray' is not installed"),
        (ValueError(SECRET), 1, "builtins.ValueError at "),
        (KeyError(SECRET), 1, "builtins.KeyError at "),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_failure_has_its_status_and_never_quotes_a_note(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(program, "app", fail)
    monkeypatch.delenv("FEDMEDLORA_TRACEBACK", raising=False)
    assert main(["anything"]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("fedmedlora: ")
    assert message in printed.err
    assert SECRET not in printed.err


def test_the_traceback_is_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(program, "app", fail)
    monkeypatch.setenv("FEDMEDLORA_TRACEBACK", "1")
    assert main(["anything"]) == 1
    assert f"ValueError: {SECRET}" in capsys.readouterr().err


def test_score_prints_one_json_object(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(notes / "gold.jsonl"), str(notes / "predicted.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Two gold entities, two predicted: the drug strictly right, the problem only overlapping. One relation, not found.
    assert found["ner"]["strict"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "gold": 2, "pred": 2, "correct": 1}
    assert found["ner"]["lenient"]["correct"] == 2
    assert found["re"]["strict"] == {"precision": None, "recall": 0.0, "f1": 0.0, "gold": 1, "pred": 0, "correct": 0}
    assert {kind: count for kind, count in found["errors"]["ner"].items() if count} == {"correct": 1, "boundary": 1}
    assert found["errors"]["re"]["missed"] == 1
    # These predictions say nothing about how sure they are.
    assert found["confidence"] == {}


def test_score_prints_a_table_and_remarks_apart(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(notes / "gold.jsonl"), str(notes / "predicted.jsonl")]) == 0
    printed = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in printed.out.splitlines()[1:]}
    assert rows["ner"] == ["0.500", "0.500", "0.500", "1.000", "1.000", "1.000", "2", "2"]
    assert rows["drug"] == ["1.000"] * 6 + ["1", "1"]
    assert rows["negation"] == ["–", "0.000", "0.000", "–", "0.000", "0.000", "1", "0"]
    assert "ner: not supported by these notes: treatment, test" in printed.err
    assert SECRET not in printed.out + printed.err


def test_inspect_reads_an_adapter_and_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {"a": np.zeros((2, 3), dtype=np.float32), "b": np.ones((3, 2), dtype=np.float32)}
    state = AdapterState(arrays, AdapterSpec(rank=2, alpha=4.0, targets=("q_proj",), base_digest="0" * 64))
    save_state(state, tmp_path, "bundled")
    assert main(["model", "inspect", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Twelve float32 values.
    assert (found["kind"], found["parameters"], found["bytes"]) == ("adapter", 12, 48)
    assert (found["rank"], found["targets"], found["digest"]) == (2, ["q_proj"], state.digest)
    tensors = tmp_path / "adapter_model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-4] + b"\x01\x01\x01\x01")
    assert main(["model", "inspect", str(tmp_path)]) == 2
    assert "digest does not match" in capsys.readouterr().err


def test_convert_writes_what_it_read(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", str(notes / "gold.jsonl"), str(notes / "brat"), "--to", "brat"]) == 0
    assert main(["data", "convert", str(notes / "brat"), str(notes / "again.jsonl"), "--json"]) == 0
    said, found = capsys.readouterr().out.splitlines()
    assert said == f"1 documents written to {notes / 'brat'} (brat)"
    assert json.loads(found)["documents"] == 1
    (again,) = read_documents(notes / "again.jsonl").documents
    assert (again.text, again.entities, again.relations) == (GOLD.text, GOLD.entities, GOLD.relations)


def test_convert_takes_one_part_of_a_split(notes: Path) -> None:
    other = Document("n2", "No note.")
    write_documents([GOLD, other], notes / "two.jsonl", "jsonl")
    split = notes / "splits.json"
    split.write_text(json.dumps({"here": {"train": ["n1"], "dev": [], "test": ["n2"]}}))
    target = notes / "test.jsonl"
    assert main(["data", "convert", str(notes / "two.jsonl"), str(target), "--split", f"{split}:here/test"]) == 0
    assert [document.id for document in read_documents(target).documents] == ["n2"]


def test_convert_with_a_recipe_counts_what_it_drops(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "dev.jsonl"
    split = f"{corpora / 'splits.json'}:dev"
    command = ["data", "convert", str(corpora / "maccrobat"), str(target), "--recipe", "maccrobat", "--split", split]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 20
    assert sum(found["dropped"].values()) > 0
    assert len(read_documents(target).documents) == 20


def test_check_counts_and_names_faults(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_documents([Document("n1", SECRET, (Entity("T1", "problme", ((17, 22),)),))], notes / "wrong.jsonl", "jsonl")
    assert main(["data", "check", str(notes / "wrong.jsonl")]) == 0
    printed = capsys.readouterr()
    assert "! unknown label 'problme': 1; did you mean 'problem'?" in printed.out
    assert "Jones" not in printed.out + printed.err
    assert main(["data", "check", str(notes / "wrong.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == 1
