"""The coordinator's other ways to combine, in a whole study: server optimizer, products, weights by F1."""

from __future__ import annotations

from pathlib import Path

from tiny_study import write_study

from fedmedlora.config.study_file import load_study
from fedmedlora.record import read_json_lines
from fedmedlora.studies.run import run_study

ARMS = 'arms=["fedmedlora", "fedmedlora-plus"]'
SHORT = ("rounds=1", 'settings=["in-domain"]', "evaluation.evaluate_dev_each_round=false")


def judged(folder: Path, *changes: str) -> tuple[dict[str, str], list[list[float]]]:
    """Each arm's adapter digest, and the costs that every site was weighted by in fedmedlora-plus."""
    folder.mkdir(exist_ok=True)
    study = folder.parent / "base" / "tiny.toml"
    out = run_study(load_study(study, [ARMS, *SHORT, *changes]), folder)
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
