"""What a study is said to take, against what its run took: by family, on few notes, with a judge of every adapter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import STUDY, write_study

from fedmedlora.cli.main import main
from fedmedlora.config.study_file import load_study
from fedmedlora.markup.encode import Task
from fedmedlora.record import read_json_lines
from fedmedlora.studies.estimate import CellEstimate, Measured, Speed, estimate
from fedmedlora.studies.families import Families, FamilyName
from fedmedlora.studies.resident import Resident, load_resident
from fedmedlora.studies.run import run_study
from fedmedlora.studies.schedule import Key
from tiny_encoder import save_encoder

MORE = """
[[sites]]
name = "newcomer"
synthetic = { profile = "cardiology-ward", train = 3, dev = 1, test = 1 }
new = true

[low_resource]
notes = [0, 2, 9]
starts = ["fedmedlora-plus", "base", "bert-fedavg", "bert"]
min_steps = 3

[bert]
encoder = "encoder"
max_tokens = 48
epochs_per_round = 1
"""
OVERRIDES = (
    'arms=["fedmedlora-plus", "bert-fedavg", "bert-lora-fedmedlora-plus"]',
    'settings=["in-domain", "low-resource"]',
    "evaluation.bootstrap_resamples=0",
    "evaluation.evaluate_dev_each_round=false",
)
NAMES: tuple[FamilyName, ...] = ("causal", "bert-whole", "bert-lora")
FREE: Mapping[Task, float] = {"ner": 0.0, "re": 0.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("estimates"))
    save_encoder(path.parent / "encoder")
    path.write_text(STUDY.replace("[training]", f"{MORE}\n[training]", 1), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def resident(study: Path) -> Resident:
    return load_resident(load_study(study, OVERRIDES))


def estimated(resident: Resident, speed: Speed, **changes: object) -> dict[Key, CellEstimate]:
    """Every cell of the study, all families being as fast; evaluation and plus changed."""
    config = resident.config
    evaluation = config.evaluation.model_copy(update={"evaluate_dev_each_round": changes.get("dev", False)})
    plus = config.plus.model_copy(update={"utility": changes.get("utility", "loss")})
    changed = replace(resident, config=config.model_copy(update={"evaluation": evaluation, "plus": plus}))
    found = estimate(Families(changed), Measured(dict.fromkeys(NAMES, speed), None))
    return {one.cell.key: one for one in found}


def test_every_cell_is_said_to_train_on_what_it_trains_on(study: Path, resident: Resident) -> None:
    out = run_study(load_study(study, OVERRIDES), study.parent / "out")
    trained = {
        (line["arm"], line["seed"], line["trained_on"]): line["target_tokens"]
        for line in read_json_lines(out / "records.jsonl")
        if line["kind"] == "arm"
    }
    # A second a token, and nothing else takes time.
    found = estimated(resident, Speed(1.0, FREE, 0.0))
    assert {key: one.training_s for key, one in found.items()} == trained
    assert found["single-site", 0, "newcomer+2"].training_s
    assert not found["single-site", 0, "newcomer+0"].training_s
    assert found["bert-fedavg", 0, "newcomer+2"].training_s == found["bert-single-site", 0, "newcomer+2"].training_s
    assert {one.testing_s for one in found.values()} == {0.0}


def test_an_adapter_is_judged_at_every_site_in_every_round(resident: Resident) -> None:
    found = estimated(resident, Speed(0.0, FREE, 7.0))
    for (arm, _, trained_on), one in found.items():
        # Two rounds, two adapters, each on the validation examples of two sites; few notes are trained on without.
        judged = arm in ("fedmedlora-plus", "bert-lora-fedmedlora-plus") and trained_on == "all"
        assert one.training_s == (2 * 2 * 2 * 7.0 if judged else 0.0)


def test_questions_are_asked_for_dev_scores_for_a_judge_and_at_testing(resident: Resident) -> None:
    speed = Speed(0.0, {"ner": 1.0, "re": 1.0}, 0.0)
    dev, f1 = estimated(resident, speed, dev=True), estimated(resident, speed, utility="f1")
    for arm in ("fedmedlora-plus", "bert-lora-fedmedlora-plus"):
        scored, judged = dev[arm, 0, "all"].training_s, f1[arm, 0, "all"].training_s
        # All dev notes are asked once a round, and by the judge once more for each of two adapters.
        assert scored
        assert judged == 2 * scored
    assert dev["bert-fedavg", 0, "all"].training_s == dev["bert-lora-fedmedlora-plus", 0, "all"].training_s
    assert f1["bert-fedavg", 0, "all"].training_s == 0.0
    few = [one for (_, _, trained_on), one in dev.items() if trained_on.startswith("newcomer")]
    # From plus, FedAvg and the bare base on none and on two notes, from an untrained encoder on two: the new site's
    # test note alone.
    assert len(few) == 7
    assert {one.training_s for one in few} == {0.0}
    assert {one.testing_s for one in few} == {float(few[0].questions)}
    assert few[0].questions < dev["fedmedlora-plus", 0, "all"].questions


def test_a_dry_run_measures_every_family_and_leaves_out_what_cannot_be(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedmedlora.studies.estimate.BUDGET_S", 0.5)
    words = ["run", str(study), "--dry-run", *(word for one in OVERRIDES for word in ("--set", one))]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    speeds = {name: found["estimate"]["measured"][name] for name in NAMES}
    for name, speed in speeds.items():
        assert speed["training_seconds_per_target_token"] > 0
        assert all(seconds > 0 for seconds in speed["answering_seconds_per_question"].values())
        # The whole encoder is averaged without a judge.
        assert (speed["judging_seconds_per_site"] > 0) == (name != "bert-whole")
    # One model of each arm, three starts with no and with two notes of three, and an untrained encoder with two.
    assert len(found["cells"]) == len(found["estimate"]["cells"]) == 3 + 7
    remark = "low-resource: site 'newcomer' has 3 training notes; left out: 9"
    assert found["remarks"] == [
        "low-resource: 'bert' with 0 notes left out: heads that nobody trained find nothing",
        remark,
    ]
    assert main([*words, "--no-calibration"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert remark in printed
    assert [line for line in printed if line.startswith("[")] == [
        f"[{number}/10] {cell}" for number, cell in enumerate(found["cells"], start=1)
    ]
