"""`run`, `demo`, `report` and `extract` on the command line: what they print, and what they say to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmedlora.adapters.base import load_base
from fedmedlora.adapters.lora import attach_lora
from fedmedlora.adapters.state import save_state
from fedmedlora.cli.main import main
from fedmedlora.cli.notes import _warn_of_json
from fedmedlora.cli.progress import RichWatcher
from fedmedlora.corpus.formats import read_documents
from fedmedlora.errors import FedMedLoRAError
from fedmedlora.studies import run as studies_run
from tiny import save_base

STUDY = """
name = "two"
base = "base"
rounds = 2
arms = ["zero-shot", "single-site", "fedmedlora-plus"]

[[sites]]
name = "triage"
synthetic = { profile = "emergency-triage", train = 3, dev = 1, test = 2 }

[[sites]]
name = "pharmacy"
synthetic = { profile = "pharmacy-review", train = 2, dev = 0, test = 1 }
"""

SECRET = "Mrs Jones denies fever"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "base", "llama", "bytes")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    """An untrained adapter's folder."""
    folder = base.parent / "adapter"
    save_state(attach_lora(load_base(str(base)), rank=2).fresh(0), folder, str(base))
    return folder


@pytest.fixture
def study(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDMEDLORA_CORPORA", raising=False)
    (tmp_path / "base").symlink_to(base)
    path = tmp_path / "two.toml"
    path.write_text(STUDY)
    return path


def test_a_dry_run_reads_the_sites_and_names_every_cell(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(study), "--dry-run", "--no-calibration"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [
        "site triage: train 3, dev 1, test 2 documents; 0 annotations dropped",
        "site pharmacy: train 2, dev 0, test 1 documents; 0 annotations dropped",
    ]
    assert printed[2] == "[1/4] zero-shot, seed 0, tested on triage, pharmacy"
    assert printed[5] == (
        "[4/4] fedmedlora-plus, seed 0, trained on all, 2 rounds × 2 passes, rule fedmedlora-plus, "
        "tested on triage, pharmacy"
    )
    assert not (study.parent / "runs").exists()
    assert main(["run", str(study), "--dry-run", "--no-calibration", "--set", "federation.wire=int8"]) == 0
    wires = ["adapters sent as int8" in line for line in capsys.readouterr().out.splitlines()[2:6]]
    # Only what is averaged is sent.
    assert wires == [False, False, False, True]


def test_a_site_whose_notes_are_not_annotated_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = [json.dumps({"id": f"n{number}", "text": "No fever."}) for number in range(20)]
    (tmp_path / "notes.jsonl").write_text("\n".join(notes), encoding="utf-8")
    site = f'[[sites]]\nname = "ward"\npath = "{(tmp_path / "notes.jsonl").as_posix()}"\n'
    (tmp_path / "bare.toml").write_text(site, encoding="utf-8")
    assert main(["run", str(tmp_path / "bare.toml"), "--dry-run"]) == 2
    assert "site 'ward': none of its 14 training documents is annotated" in capsys.readouterr().err


def test_a_dry_run_counts_what_a_site_does_not_annotate(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrowed = ["--set", 'sites.triage.labels=["problem"]', "--set", "seeds=[0,1]"]
    assert main(["run", str(study), "--dry-run", "--no-calibration", "--json", *narrowed]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sites"][0]["documents"] == {"train": 3, "dev": 1, "test": 2}
    assert found["sites"][0]["dropped"]["label negation is not annotated at this site"] > 0
    # Zero-shot, for which nothing is drawn, once; two single sites and plus for each of two seeds.
    assert len(found["cells"]) == 1 + 2 * 3


def test_the_open_benchmark_reads_its_sites(
    corpora: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDMEDLORA_CORPORA", str(corpora))
    # Its encoder is not needed to read notes, and tests run without it.
    monkeypatch.setattr("fedmedlora.studies.preflight.minilm_path", lambda: Path())
    shipped = Path(__file__).resolve().parents[2] / "studies" / "open-benchmark.toml"
    assert main(["run", str(shipped), "--dry-run", "--no-calibration", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # As the corpora's own split says.
    assert {site["name"]: list(site["documents"].values()) for site in found["sites"]} == {
        "maccrobat": [139, 20, 41],
        "chia": [1400, 200, 400],
        "phee": [2898, 961, 968],
        "bc5cdr": [0, 0, 4797],
        "ncbi": [0, 0, 940],
        "psytar": [3850, 550, 1191],
    }
    # Zero-shot once; for each of three seeds three single-site arms at three sites, eleven arms with one model, and six
    # sizes of few notes from the bare base and from fedmedlora.
    assert len(found["cells"]) == 1 + 3 * (3 * 3 + 11 + 6 * 2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainig.lr=1e-3", "trainig: unknown key; did you mean 'training'"),
        ("training.lr_rate=1e-3", "training.lr_rate: unknown key"),
        ("training.lr=fast", "training.lr: input should be a valid number"),
        ('arms=["zero-shot", "centralized"]', "unknown value 'centralized'; did you mean 'centralised'"),
        ("plus.rule=fedmedlora-pluss", "fedmedlora-pluss"),
        ("plus.rule=fedmedlora", "does not weight by validation loss"),
        ("sites.triage.synthetic.profile=triage", "site 'triage': unknown profile 'triage'"),
        ('sites.triage.labels=["problme"]', "did you mean 'problem'"),
        ("base=./nowhere", "nowhere' does not exist"),
        ("labels=missing.toml", "missing.toml' does not exist"),
    ],
)
def test_a_mistake_in_a_study_is_named(
    setting: str, message: str, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(study), "--dry-run", "--set", setting]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (
            'name = "triage"\nsynthetic = { profile = "emergency-triage", train = 1, dev = 0, test = 1 }',
            "two sites are",
        ),
        ('name = "third"', "give 'path' (a file or folder of notes) or 'synthetic'"),
        ('name = "third"\npath = "missing.jsonl"', "missing.jsonl' does not exist"),
        ('name = "third"\npath = "empty"', "empty: looks like no known format"),
        ('name = "third"\npath = "empty"\nformat = "jsonl"', "empty: no document in it"),
        ('name = "third"\npath = "notes.jsonl"\nrecipe = "chai"', "did you mean 'chia'"),
        ('name = "third"\npath = "notes.jsonl"\nsplit = "missing.json:a"', "missing.json' does not exist"),
        ('name = "third"\npath = "notes.jsonl"', "patients are too few"),
        ('name = "third"\npath = "broken.jsonl"', "broken.jsonl, line 1, column"),
    ],
)
def test_a_mistake_in_a_site_is_named(site: str, message: str, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "empty").mkdir()
    (study.parent / "notes.jsonl").write_text(json.dumps({"id": "n", "text": SECRET}))
    (study.parent / "broken.jsonl").write_text(f'{{"id": "n", "text": "{SECRET}')
    study.write_text(f"{STUDY}\n[[sites]]\n{site}\n")
    assert main(["run", str(study), "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert SECRET not in printed.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['sites.pharmacy.labels=["dosage"]'], "site 'pharmacy' has no training example among 2 documents"),
        (["training.max_tokens=4"], "site 'triage' has no training example among 3 documents"),
        (["sites.triage.synthetic.dev=0"], "no site has a dev document"),
        (["base=./bare"], "no usable tokenizer"),
        (["base=./notes"], "no usable tokenizer"),
    ],
)
def test_what_only_the_base_can_tell_is_named_before_training(
    settings: list[str], message: str, study: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bare", "notes"):
        (study.parent / name).mkdir()
    for name in ("config.json", "model.safetensors"):
        (study.parent / "bare" / name).symlink_to(base / name)
    flags = [word for setting in settings for word in ("--set", setting)]
    assert main(["run", str(study), *flags, "--out", "out"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert not (study.parent / "out").exists()


def test_a_folder_with_a_run_needs_resume(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study.parent / "runs" / "two").mkdir(parents=True)
    (study.parent / "runs" / "two" / "study.toml").write_text("rounds = 7\n")
    assert main(["run", str(study)]) == 2
    assert "runs/two: this folder already holds a run. Add --resume" in capsys.readouterr().err
    assert main(["run", str(study), "--out", "new", "--reuse", "runs/two"]) == 2
    assert "--reuse runs/two: not a run directory" in capsys.readouterr().err


class Stopped(FedMedLoRAError):
    """Ends a run where a test has seen enough."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What `run_study` is called with; it does nothing."""
    found: dict[str, object] = {}

    def stop(config: object, out: Path, **arguments: object) -> None:
        found.update(arguments, config=config, out=out)
        raise Stopped("stopped")

    monkeypatch.setattr(studies_run, "run_study", stop)
    return found


def test_the_recorded_command_names_no_folder_of_the_machine(
    study: Path, base: Path, started: dict[str, object]
) -> None:
    (study.parent / "studies").mkdir()
    moved = study.rename(study.parent / "studies" / "two.toml")
    assert main(["run", str(moved), "--set", f"base={base}", "--set", "training.lr=1e-4"]) == 1
    assert started["command"] == "fedmedlora run studies/two.toml --set base=base --set training.lr=1e-4"
    assert (started["out"], started["resume"]) == (Path("runs/two"), False)


def test_the_demo_is_packaged_and_goes_on_where_it_was(
    study: Path, started: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDMEDLORA_CORPORA", "/nowhere")
    assert main(["demo"]) == 1
    assert (started["command"], started["resume"], started["out"]) == ("fedmedlora demo", False, Path("runs/demo"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3 sites with generated notes (cardiology-ward, outpatient-letters, pharmacy-review), 5 ways" in printed.err
    (study.parent / "runs" / "demo").mkdir(parents=True)
    assert main(["demo"]) == 1
    assert started["resume"] is True
    assert "what is done in it is not done again" in capsys.readouterr().err


def test_a_report_needs_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "is not a run directory" in capsys.readouterr().err


def test_plain_notes_are_extracted(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("No fever.")
    (tmp_path / "b.txt").write_text("Mild cough.")
    sources = [str(tmp_path / "letters"), str(tmp_path / "b.txt")]
    out = tmp_path / "found.jsonl"
    assert main(["extract", "--model", str(adapter), *sources, "--from", "text", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert f"in 2 documents written to {out} (jsonl)" in printed.out
    assert [(document.id, document.text) for document in read_documents(out).documents] == [
        ("a", "No fever."),
        ("b", "Mild cough."),
    ]
    assert "fever" not in printed.out + printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.txt", "--from", "text", "--out", "out.jsonl", "--base", "other"], "was trained on another base"),
        (["a.txt", "--from", "text", "--out", "out.jsonl", "--model", "nowhere"], "nowhere: no such adapter folder"),
        (["a.txt", "--from", "text", "--out", "out.xml"], "Add --to jsonl|brat|conll|phee"),
        (["a.txt", "--from", "text", "--out", "out", "--to", "text"], "'text' holds no annotation and is only read"),
        (["a.txt", "b/a.txt", "--from", "text", "--out", "out.jsonl"], "document id 'a' was used before"),
        (["a.txt", "--from", "text", "--out", "b", "--to", "jsonl"], "b is a folder"),
        (["missing.txt", "--out", "out.jsonl"], "missing.txt: no such file or folder"),
    ],
)
def test_extract_names_a_mistake(
    arguments: list[str],
    message: str,
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.txt", "b/a.txt"):
        (tmp_path / name).write_text(SECRET)
    if "other" in arguments:
        save_base(tmp_path / "other", "llama", "bytes", seed=1)
    assert main(["extract", "--model", str(adapter), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert SECRET not in printed.err


def test_json_answers_of_what_was_trained_in_tags_are_warned_of(
    adapter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _warn_of_json(adapter, "base")
    assert capsys.readouterr().err == ""
    _warn_of_json(adapter, "bundled")
    assert capsys.readouterr().err.startswith("the bundled base was trained to answer in tags, not in JSON")
    (adapter / "README.md").write_text("A LoRA adapter. Made by fedmedlora 0.1.")
    _warn_of_json(adapter, "base")
    (adapter / "README.md").unlink()
    printed = capsys.readouterr()
    assert printed.err.startswith("an adapter of `fedmedlora run` was trained to answer in tags")
    assert printed.out == ""


def test_inspect_tells_a_base_from_an_adapter(base: Path, adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "inspect", str(base), "--json"]) == 0
    assert main(["model", "inspect", str(adapter), "--json"]) == 0
    of_base, of_adapter = map(json.loads, capsys.readouterr().out.splitlines())
    assert (of_base["kind"], of_base["architecture"]) == ("base", "LlamaForCausalLM")
    assert (of_adapter["kind"], of_adapter["rank"]) == ("adapter", 2)
    assert of_adapter["base_digest"] == of_base["digest"]
    assert of_adapter["targets"] == of_base["targets"]
    assert main(["model", "inspect", str(adapter)]) == 0
    assert "down_proj, gate_proj" in capsys.readouterr().out


def test_progress_is_lines_without_a_terminal_and_a_bar_on_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (False, True):
        if terminal:
            monkeypatch.setenv("FORCE_COLOR", "1")
            monkeypatch.setenv("TERM", "xterm")
        with RichWatcher() as watcher:
            watcher.advance(1)
            watcher.begin("training triage", 10)
            watcher.advance(3, "loss 0.5 [/]")
            watcher.note("round 1/2: [bold] stays as it is")
            watcher.begin("testing on triage", 0)
            watcher.advance(7)
            branch = watcher.branch("[2/3] centralised")
            branch.begin("training all", 5)
            branch.advance(2)
            branch.note("round 2/2")
            branch.close()
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "round 1/2: [bold] stays as it is" in printed.err
        assert ("training triage" in printed.err) == terminal
        assert ("testing on triage" in printed.err) == terminal
        assert ("7/?" in printed.err) == terminal
        assert "[2/3] centralised: round 2/2" in printed.err
        assert ("[2/3] centralised: training all" in printed.err) == terminal
