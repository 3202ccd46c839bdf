"""The settings that train anew on the tiny study: what is recorded, that nothing mixes, that a killed one resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_study import STUDY, write_study

from card_blanks import blanks
from fedmedlora.adapters.state import AdapterState
from fedmedlora.config.study_file import load_study
from fedmedlora.corpus.document import Json
from fedmedlora.errors import TrainingError
from fedmedlora.federation.history import FederationResult
from fedmedlora.record import read_json_lines
from fedmedlora.report import progress as report_progress
from fedmedlora.report.load import load_run
from fedmedlora.report.page import write_report
from fedmedlora.report.progress import progress, whole_rounds
from fedmedlora.studies import cell_run
from fedmedlora.studies.cells import Cell
from fedmedlora.studies.run import run_study

MORE = """
[[sites]]
name = "newcomer"
synthetic = { profile = "cardiology-ward", train = 3, dev = 1, test = 1 }
new = true

[low_resource]
notes = [0, 2, 9]
min_steps = 3

[scaling]
sites = [1, 3]
splits = ["iid", "label-skew"]

[[uneven.cases]]
name = "split-tasks"
[[uneven.cases.sites]]
name = "triage"
tasks = ["ner"]
[[uneven.cases.sites]]
name = "pharmacy"
tasks = ["re"]
drop = 0.1
"""
OVERRIDES = (
    'arms=["centralised", "fedmedlora-plus", "fedsa-lora"]',
    'settings=["in-domain", "low-resource", "uneven", "scaling"]',
    "rounds=1",
    "training.epochs_per_round=1",
    "evaluation.bootstrap_resamples=2",
    "evaluation.evaluate_dev_each_round=false",
)
MEMBERS = ("triage", "pharmacy")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("settings"))
    path.write_text(STUDY.replace("[training]", f"{MORE}\n[training]", 1), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(study: Path) -> Path:
    """The run that nothing interrupted. Tests only read it."""
    return run_study(load_study(study, OVERRIDES), study.parent / "done", command="fedmedlora run tiny.toml")


class Killed(BaseException):
    """The end of the process, as the study sees it."""


def lines(path: Path, kind: str = "") -> list[dict[str, object]]:
    return [dict(line) for line in read_json_lines(path) if not kind or line["kind"] == kind]


def test_every_model_is_recorded_with_its_setting_and_variant(done: Path) -> None:
    scores = lines(done / "records.jsonl", "score")
    low = {(line["arm"], line["trained_on"]): line for line in scores if line["setting"] == "low-resource"}
    # The site has three notes, so that nine are left out.
    assert low.keys() == {(arm, f"newcomer+{k}") for arm in ("fedmedlora-plus", "single-site") for k in (0, 2)}
    assert low["single-site", "newcomer+2"]["variant"] == {"site": "newcomer", "notes": 2, "start": "base"}
    assert low["fedmedlora-plus", "newcomer+0"]["variant"] == {
        "site": "newcomer", "notes": 0, "start": "fedmedlora-plus",
    }  # fmt: skip
    assert {line["test_site"] for line in low.values()} == {"newcomer"}
    others = {(line["arm"], line["trained_on"], line["test_site"]) for line in scores if line["variant"]} - {
        (*key, "newcomer") for key in low
    }
    assert others == {
        (arm, trained_on, site)
        for site in MEMBERS
        for arm, trained_on in [
            *((arm, "all@split-tasks") for arm in ("centralised", "fedmedlora-plus", "fedsa-lora")),
            *(("fedmedlora-plus", f"all@{division}") for division in ("1-iid", "3-iid", "3-label-skew")),
        ]
    }
    assert {json.dumps(line["variant"]) for line in scores if line["setting"] == "scaling"} == {
        json.dumps({"sites": sites, "split": split}) for sites, split in [(1, "iid"), (3, "iid"), (3, "label-skew")]
    }
    assert all(line["variant"] == {"case": "split-tasks"} for line in scores if line["setting"] == "uneven")
    assert not [line for line in scores if line["setting"] == "in-domain" and line["test_site"] == "newcomer"]


def test_the_start_is_the_adapter_and_is_tested_as_it_is(done: Path) -> None:
    digests = {(line["arm"], line["trained_on"]): line["adapter_digest"] for line in lines(done / "records.jsonl")}
    assert digests["fedmedlora-plus", "newcomer+0"] == digests["fedmedlora-plus", "all"]
    first = json.loads((done / "state/fedmedlora-plus/0/newcomer+2/checkpoint.json").read_text())
    assert first["initial_digest"] == digests["fedmedlora-plus", "all"]
    assert len(set(digests.values())) == len(digests) - 1
    folders = {path.parent.name for path in (done / "adapters/single-site/0").rglob("adapter_model.safetensors")}
    assert folders == {"newcomer+2"}


def test_few_notes_are_trained_on_as_long_from_every_start(done: Path) -> None:
    arms = {(line["arm"], line["trained_on"]): line for line in lines(done / "records.jsonl", "arm")}
    ours, bare = (arms[arm, "newcomer+2"] for arm in ("fedmedlora-plus", "single-site"))
    assert ours["steps"] == bare["steps"]
    assert ours["rounds"] == 1
    assert ours["bytes_sent"] is None
    assert arms["single-site", "newcomer+0"]["steps"] == 0


def test_total_data_is_the_same_over_any_number_of_sites(done: Path) -> None:
    info = json.loads((done / "run.json").read_text())
    arms = {(line["arm"], line["trained_on"]): line for line in lines(done / "records.jsonl", "arm")}
    whole = arms["centralised", "all"]["target_tokens"]
    for division in ("1-iid", "3-iid", "3-label-skew"):
        assert arms["fedmedlora-plus", f"all@{division}"]["target_tokens"] == whole
    shards = [made for made in info["derived"] if made["name"].startswith("3-iid/")]
    assert [made["name"] for made in shards] == ["3-iid/part-1", "3-iid/part-2", "3-iid/part-3"]
    per_site = [site["parts"]["train"]["examples"] for site in info["sites"] if site["name"] in MEMBERS]
    for task in ("ner", "re"):
        assert sum(made["examples"].get(task, 0) for made in shards) == sum(one[task] for one in per_site)


def test_a_task_that_a_site_does_not_annotate_is_not_trained_there(done: Path) -> None:
    made = {made["name"]: made for made in json.loads((done / "run.json").read_text())["derived"]}
    assert set(made["triage@split-tasks"]["examples"]) == {"ner"}
    assert set(made["pharmacy@split-tasks"]["examples"]) == {"re"}
    assert made["pharmacy@split-tasks"]["changed"]["entity left out"] > 0
    rounds = [line for line in lines(done / "rounds.jsonl") if line["trained_on"] == "all@split-tasks"]
    assert {site for line in rounds for site in line["sites"]} == {*MEMBERS, "all"}  # type: ignore[attr-defined]


def test_the_report_knows_the_run_as_finished_and_mixes_nothing(done: Path, tmp_path: Path) -> None:
    loaded = load_run(done)
    assert progress(loaded).finished, progress(loaded).missing
    own = {setting: report_progress.tested_sites(loaded, setting) for setting in ("in-domain", "low-resource")}
    assert own == {"in-domain": MEMBERS, "low-resource": ("newcomer",)}
    assert {one.trained_on for one in whole_rounds(loaded)} == {"all"}
    page = write_report([done], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Fed-MedLoRA+: all@3-iid" in page
    cards = {path.parent.name: path.read_text(encoding="utf-8") for path in (done / "adapters").rglob("README.md")}
    assert "beginning with the adapter of fedmedlora-plus, seed 0" in (
        done / "adapters/fedmedlora-plus/0/newcomer+2/README.md"
    ).read_text(encoding="utf-8")
    assert "divided into 3 sites (label-skew, Dirichlet α = 0.5)" in cards["all@3-label-skew"]
    assert "| pharmacy@split-tasks | 2 | 0 |" in cards["all@split-tasks"]
    assert all(blanks(card) == [] for card in cards.values())


def test_a_card_names_the_passes_that_a_few_notes_had(done: Path) -> None:
    arms = {(line["arm"], line["trained_on"]): line for line in lines(done / "records.jsonl", "arm")}
    made = {one["name"]: one for one in json.loads((done / "run.json").read_text())["derived"]}
    card = (done / "adapters/single-site/0/newcomer+2/README.md").read_text(encoding="utf-8")
    steps = -(-sum(made["newcomer+2"]["examples"].values()) // 4)
    passes = int(card.partition("| Passes | ")[2].partition(" ")[0])
    assert passes * steps == arms["single-site", "newcomer+2"]["steps"]


def test_every_split_and_every_change_of_annotation_is_trained_on(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    small = (
        'arms=["fedmedlora"]', 'settings=["uneven", "scaling"]', "scaling.sites=[2]",
        'scaling.splits=["style", "size-skew"]', "rounds=1", "training.epochs_per_round=1",
        "training.max_train_examples=3", "evaluation.max_test_documents=1", "evaluation.bootstrap_resamples=0",
        "evaluation.evaluate_dev_each_round=false",
    )  # fmt: skip
    out = run_study(load_study(path, small), tmp_path / "out")
    # The study names no case, so that four are derived.
    cases = ("entities-only", "relations-only", "label-subset", "noisy")
    assert {line["trained_on"] for line in lines(out / "records.jsonl", "score")} == {
        *(f"all@{case}" for case in cases), "all@2-style", "all@2-size-skew",
    }  # fmt: skip
    info = json.loads((out / "run.json").read_text(encoding="utf-8"))
    made = {one["name"]: one for one in info["derived"]}
    held = {site["name"]: site for site in info["sites"]}
    # Each of two sites is changed in turn, triage in the first case and the third.
    assert set(made["triage@label-subset"]["labels"]) < set(held["triage"]["labels"])
    changed = made["pharmacy@noisy"]["changed"]
    for mistake in ("entity left out", "boundary off by a word"):
        assert changed[mistake] > 0
    tried = changed.get("entity of another type", 0) + changed.get("entity that could not be changed", 0)
    assert tried > 0
    # Two sites in the style of two corpora are the corpora; both splits hold all examples, each once.
    sizes = {
        split: sorted(sum(made[f"2-{split}/part-{part}"]["examples"].values()) for part in (1, 2))
        for split in ("style", "size-skew")
    }
    per_site = sorted(sum(held[name]["parts"]["train"]["examples"].values()) for name in MEMBERS)
    assert sizes["style"] == per_site
    assert sum(sizes["size-skew"]) == sum(per_site)
    assert len({line["adapter_digest"] for line in lines(out / "records.jsonl", "arm")}) == len(cases) + 2


def test_a_model_that_begins_with_another_resumes_to_the_same_bits(
    done: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = study.parent / "killed"
    record, test = cell_run._record_rounds, cell_run._test

    def after_training(going: cell_run.CellRun, cell: Cell, *rest: object) -> None:
        if cell.trained_on == "newcomer+2":
            raise Killed
        record(going, cell, *rest)  # type: ignore[arg-type]

    def while_testing(going: cell_run.CellRun, cell: Cell, *rest: object) -> None:
        if cell.trained_on in ("newcomer+0", "newcomer+2"):
            raise Killed
        test(going, cell, *rest)  # type: ignore[arg-type]

    config = load_study(study, OVERRIDES)
    for name, fault in (("_test", while_testing), ("_record_rounds", after_training), ("_test", while_testing)):
        with monkeypatch.context() as patched:
            patched.setattr(cell_run, name, fault)
            with pytest.raises(Killed):
                run_study(config, out, resume=True, command="fedmedlora run tiny.toml")
    state = progress(load_run(out))
    assert not state.finished
    assert any("low-resource" in line for line in state.missing)
    run_study(config, out, resume=True)
    for adapter in (done / "adapters").rglob("adapter_model.safetensors"):
        assert (out / adapter.relative_to(done)).read_bytes() == adapter.read_bytes()
    for predicted in (done / "predictions").rglob("*.jsonl"):
        assert (out / predicted.relative_to(done)).read_bytes() == predicted.read_bytes()


def test_a_model_whose_start_failed_says_so(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = cell_run._train

    def fails(going: cell_run.CellRun, cell: Cell) -> FederationResult:
        if cell.trained_on == "all":
            raise TrainingError("step 3: the loss is not finite.")
        return train(going, cell)

    monkeypatch.setattr(cell_run, "_train", fails)
    overrides = ['arms=["fedmedlora"]', 'settings=["low-resource"]', "low_resource.notes=[0]", "rounds=1"]
    with pytest.raises(TrainingError, match=r"2 of 3 models .*newcomer\+0: it starts from the model of fedmedlora,"):
        run_study(load_study(study, overrides), tmp_path / "out")


def test_what_a_site_keeps_is_dropped_when_no_round_can_ask_for_it(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ['arms=["fedsa-lora"]', 'settings=["in-domain"]', "rounds=3", "evaluation.bootstrap_resamples=0"]
    config = load_study(study, [*overrides, "training.max_train_examples=2", "evaluation.max_test_documents=1"])
    whole, killed = run_study(config, tmp_path / "whole"), tmp_path / "killed"
    kept = sorted(path.name for path in (whole / "state/fedsa-lora/0").glob("own-triage-*"))
    assert [name.rpartition("-")[2] for name in kept] == ["1.safetensors", "2.safetensors"]
    score = cell_run._dev_scores

    def fails(going: cell_run.CellRun, cell: Cell, number: int, *rest: AdapterState) -> Json:
        if number == 0:
            raise Killed
        return score(going, cell, number, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(cell_run, "_dev_scores", fails)
        with pytest.raises(Killed):
            run_study(config, killed)
    # What the sites had after the first round is gone after the third: it was scored before the second began.
    run_study(config, killed, resume=True)
    dev, expected = ([line["dev"] for line in lines(out / "rounds.jsonl")] for out in (killed, whole))
    assert dev == expected
    assert all(dev)
