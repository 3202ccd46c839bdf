"""The coordinator's other ways to combine, in a whole study: server optimizer, products, weights by F1."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_study import write_study

from fedmedlora.config.study_file import load_study
from fedmedlora.record import read_json_lines
from fedmedlora.studies import cell_run
from fedmedlora.studies.run import run_study

ARMS = 'arms=["fedmedlora", "fedmedlora-plus"]'
SHORT = ("rounds=1", 'settings=["in-domain"]', "evaluation.evaluate_dev_each_round=false")


def judged(folder: Path, *changes: str) -> tuple[dict[str, str], list[list[float]]]:
    """Each arm's adapter digest, and the costs that every site was weighted by in fedmedlora-plus."""
    folder.mkdir(exist_ok=True)
    study = folder.parent / "base" / "tiny.toml"
    out = run_study(load_study(study, [ARMS, *SHORT, *changes]), folder, resume=True)
    arms = [line for line in read_json_lines(out / "records.jsonl") if line["kind"] == "arm"]
    plus = [line for line in read_json_lines(out / "rounds.jsonl") if line["arm"] == "fedmedlora-plus"]
    costs = [site["costs"] for line in plus for site in line["sites"].values()]
    return {line["arm"]: line["adapter_digest"] for line in arms}, costs


def test_each_way_is_used_and_gives_another_adapter(tmp_path: Path) -> None:
    write_study(tmp_path / "base")
    products, by_task = judged(
        tmp_path / "one", "federation.combine=product", "federation.residual=keep", "plus.utility=task-loss"
    )
    # A server rate other than 1 shows in the first round, in which momentum equals the average.
    momentum, by_f1 = judged(
        tmp_path / "two",
        "federation.server_optimizer=momentum",
        "federation.server_lr=0.5",
        "plus.utility=f1",
        "plus.tau_spread=1.0",
    )
    assert len({*products.values(), momentum["fedmedlora"]}) == 3
    # Two tasks, NER and RE.
    assert [len(costs) for costs in by_task] == [2, 2]
    # A tiny model may mark nothing right at either site, and then only size weights.
    assert all(1 <= len(costs) <= 2 and 0 <= min(costs) <= max(costs) <= 1 for costs in by_f1)


def test_a_server_with_adam_goes_on_with_its_moments_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path / "base")
    changes = (
        'arms=["fedmedlora"]', "rounds=2", "federation.server_optimizer=adam", "federation.server_lr=0.01",
        "training.epochs_per_round=1", "training.max_train_examples=3", "evaluation.max_test_documents=1",
        "evaluation.bootstrap_resamples=0",
    )  # fmt: skip
    whole, _ = judged(tmp_path / "whole", *changes)
    plain, _ = judged(tmp_path / "plain", *changes, "federation.server_optimizer=average", "federation.server_lr=1.0")
    assert whole != plain
    finish = cell_run._finish_round

    def stops(*arguments: object) -> None:
        finish(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cell_run, "_finish_round", stops)
        with pytest.raises(KeyboardInterrupt):
            judged(tmp_path / "killed", *changes)
    # What the first round left of Adam's moments decides the second.
    assert judged(tmp_path / "killed", *changes)[0] == whole
