"""A study on several processes: the same bits, nothing lost when one is killed, nothing trained twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_study import write_study

from fedmedlora.cli.main import main
from fedmedlora.config.models import StudyConfig
from fedmedlora.config.study_file import load_study
from fedmedlora.errors import ConfigError, EnvironmentProblem, TrainingError
from fedmedlora.record import digest_files, read_json_lines
from fedmedlora.report.load import load_run
from fedmedlora.report.progress import progress
from fedmedlora.studies import cell_run
from fedmedlora.studies.cells import Cell, study_cells
from fedmedlora.studies.pool import Worker
from fedmedlora.studies.run import run_study

SOURCES = Path(__file__).resolve().parents[2] / "src"
SMALL = (
    'arms=["zero-shot", "single-site", "fedmedlora"]',
    'tasks=["ner"]',
    'settings=["in-domain"]',
    "rounds=1",
    "training.epochs_per_round=1",
    "evaluation.evaluate_dev_each_round=false",
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


def small(study: Path, *overrides: str) -> StudyConfig:
    return load_study(study, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    """The run of one process. Tests only read it."""
    return run_study(small(study), study.parent / "one")


def sorted_lines(path: Path) -> list[str]:
    """Lines in an order of their own, without what a clock said and what else a process held."""
    passing = ("seconds", "validation_seconds", "peak_memory_bytes", "reused_from", "decode", "sites")
    found = [{key: value for key, value in line.items() if key not in passing} for line in read_json_lines(path)]
    return sorted(json.dumps(line, sort_keys=True) for line in found)


def check_same(out: Path, done: Path) -> None:
    """The same lines, adapters and predictions."""
    for name in ("records.jsonl", "rounds.jsonl"):
        assert sorted_lines(out / name) == sorted_lines(done / name)
    for pattern in ("adapters/**/*.safetensors", "predictions/**/*.jsonl"):
        files = list(done.glob(pattern))
        assert files
        assert all((out / path.relative_to(done)).read_bytes() == path.read_bytes() for path in files)


def test_two_processes_give_what_one_gives(study: Path, done: Path) -> None:
    out = run_study(small(study), study.parent / "two", jobs=2)
    check_same(out, done)
    assert progress(load_run(out)).finished
    one, two = (json.loads((folder / "run.json").read_text()) for folder in (done, out))
    assert one["machine"] == two["machine"]
    memory = [line["peak_memory_bytes"] for line in read_json_lines(out / "records.jsonl") if line["kind"] == "arm"]
    assert all(count is None or count > 0 for count in memory)  # type: ignore[operator]


def test_a_killed_worker_costs_its_cell_alone(
    study: Path, done: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, workers = tmp_path / "out", []
    begin = Worker.__init__

    def seen(worker: Worker, *arguments: object) -> None:
        begin(worker, *arguments)  # type: ignore[arg-type]
        workers.append(worker)

    monkeypatch.setattr(Worker, "__init__", seen)
    killer = threading.Thread(target=_kill_when, args=(out / "state/single-site/0/triage/cell.json", workers))
    killer.start()
    with pytest.raises(TrainingError, match=r"1 of 4 models .* triage: its process was killed \(signal 9\).*GB"):
        run_study(small(study), out, jobs=2)
    killer.join()
    assert {(cost.arm, cost.trained_on) for cost in load_run(out).costs} == {
        ("zero-shot", "none"),
        ("single-site", "pharmacy"),
        ("fedmedlora", "all"),
    }
    check_same(run_study(small(study), out, resume=True), done)


def _kill_when(appears: Path, workers: list[Worker]) -> None:
    """Kill the process that is busy with single-site on triage once it has begun."""
    while not appears.exists():
        time.sleep(0.005)
    for worker in workers:
        if worker.cell is not None and worker.cell.trained_on == "triage":
            os.kill(worker._process.pid or 0, signal.SIGKILL)


def test_workers_end_with_a_killed_parent_and_resume_gives_the_same(study: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["run", str(study), "--jobs", "2", "--out", str(out), *(x for one in SMALL for x in ("--set", one))]
    command = [sys.executable, "-c", "from fedmedlora.cli.main import run_and_exit; run_and_exit()", *words]
    with (tmp_path / "log").open("w+b") as log:
        parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(SOURCES)}, stdout=log, stderr=log)
        try:
            appears, deadline = out / "state/single-site/0/triage/cell.json", time.monotonic() + 300
            while not appears.exists() and parent.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            parent.send_signal(signal.SIGKILL)
            parent.wait(timeout=30)
        finally:
            parent.kill()
        log.seek(0)
        assert appears.exists(), log.read().decode()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(children) >= 2  # the resource tracker and at least one worker
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
    check_same(run_study(small(study), out, resume=True), done)


def test_a_mistake_that_only_a_worker_finds_is_told_once(study: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="has no training example") as caught:
        run_study(small(study, "training.max_tokens=4"), tmp_path / "out", jobs=2)
    assert caught.value.exit_code == 2  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()


def test_a_grown_study_trains_what_is_new(
    study: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = _count_training(monkeypatch)
    out = run_study(small(study, 'arms=["zero-shot", "single-site"]'), tmp_path / "out")
    assert trained == [("single-site", 0, "triage"), ("single-site", 0, "pharmacy")]
    trained.clear()
    run_study(small(study), out, resume=True)
    assert trained == [("fedmedlora", 0, "all")]
    check_same(out, done)
    assert progress(load_run(out)).finished
    with pytest.raises(ConfigError, match=r"no longer has fedmedlora, seed 0, trained on all, which is recorded"):
        run_study(small(study, 'arms=["zero-shot", "single-site"]'), out, resume=True)
    with pytest.raises(ConfigError, match=r"triage comes from another configuration: its test notes"):
        run_study(small(study, "evaluation.bootstrap_resamples=3"), out, resume=True)


def test_finished_models_of_another_run_are_taken(
    study: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = _count_training(monkeypatch)
    out = tmp_path / "more"
    run_study(small(study, "fedprox.mu=0.5", 'settings=["in-domain", "external"]'), out, reuse=[done])
    # The adapters are there, and the last round's checkpoints; what they had not been tested on is tested now.
    assert set(trained) <= {cell.key for cell in study_cells(small(study))}
    records = list(read_json_lines(out / "records.jsonl"))
    origin = digest_files([done / "run.json"])
    assert {line.get("reused_from") for line in records if line["kind"] == "arm"} == {origin}
    assert {line["test_site"] for line in records if "reused_from" not in line} == {"elsewhere"}
    for path in done.glob("adapters/**/*.safetensors"):
        assert (out / path.relative_to(done)).read_bytes() == path.read_bytes()
    assert progress(load_run(out)).finished
    again = run_study(small(study, "training.lr=1e-3"), tmp_path / "other", reuse=[done])
    # The untrained model does not know the learning rate.
    taken = {line["arm"] for line in read_json_lines(again / "records.jsonl") if "reused_from" in line}
    assert taken == {"zero-shot"}
    with pytest.raises(ConfigError, match="that is the folder of this run"):
        run_study(small(study), out, resume=True, reuse=[out])


def _count_training(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Keys of the cells that are trained from now on."""
    trained: list[object] = []
    train = cell_run._train

    def counted(going: cell_run.CellRun, cell: Cell) -> object:
        trained.append(cell.key)
        return train(going, cell)

    monkeypatch.setattr(cell_run, "_train", counted)
    return trained


def test_a_dry_run_estimates_every_cell(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedmedlora.studies.estimate.BUDGET_S", 1.0)
    words = [x for one in SMALL for x in ("--set", one)]
    assert main(["run", str(study), "--dry-run", "--jobs", "2", "--json", *words]) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    seconds = {(cell["arm"], cell["trained_on"]): cell["seconds"] for cell in found["cells"]}
    assert len(seconds) == len(found["cells"]) == 4
    assert all(value > 0 for value in seconds.values())
    assert found["seconds"] == pytest.approx(sum(seconds.values()))
    assert max(seconds.values()) <= found["wall_seconds"] <= found["seconds"]
    alone = {cell["trained_on"]: cell for cell in found["cells"] if cell["arm"] == "single-site"}
    together = next(cell for cell in found["cells"] if cell["arm"] == "fedmedlora")
    # Every arm reads every site's notes as often.
    assert together["training_seconds"] == pytest.approx(sum(cell["training_seconds"] for cell in alone.values()))
    assert {cell["questions"] for cell in found["cells"]} == {together["questions"]}
    assert found["measured"]["causal"]["answering_seconds_per_question"].keys() == {"ner"}
    memory = found["measured"]["peak_memory_bytes"]
    assert memory is None or found["peak_memory_bytes"] == 2 * memory > 0


def test_a_resumed_dry_run_counts_what_is_left(
    study: Path, done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedmedlora.studies.estimate.BUDGET_S", 0.5)
    words = ["run", str(study), "--dry-run", "--resume", "--out", str(done), "--json"]
    words += [x for one in SMALL for x in ("--set", one)]
    assert main([*words, "--set", "seeds=[0, 1]"]) == 0
    found = json.loads(capsys.readouterr().out)
    # Zero-shot is one for all seeds; two single sites and one federation of each seed, the first recorded.
    assert (len(found["cells"]), len(found["recorded"])) == (7, 4)
    left = found["estimate"]["cells"]
    assert [(cell["arm"], cell["seed"]) for cell in left] == [("single-site", 1)] * 2 + [("fedmedlora", 1)]
    assert found["estimate"]["seconds"] == pytest.approx(sum(cell["seconds"] for cell in left))
    # Nothing is left, so nothing is tried.
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["estimate"] is None


def test_no_process_left_is_said(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedmedlora.studies.pool.serve", _die_at_once)
    with pytest.raises(
        EnvironmentProblem, match=r"no process is left to read the study: its process ended with status 7"
    ):
        run_study(small(study), tmp_path / "out", jobs=2)


def _die_at_once(*_: object) -> None:
    os._exit(7)
