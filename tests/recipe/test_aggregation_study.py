"""The coordinator's other ways to combine, in a whole study: server optimizer, products, weights by F1."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmedlora.config.study_file import load_study
from fedmedlora.record import read_json_lines
from fedmedlora.studies.run import run_study
from tiny_study import write_study

ARMS = 'arms=["fedmedlora", "fedmedlora-plus"]'
IN_DOMAIN = 'settings=["in-domain"]'


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study"))


def digests(study: Path, *changes: str) -> tuple[dict[str, str], list[dict[str, object]]]:
    name = "-".join(change.partition("=")[2].strip('"') for change in changes) or "plain"
    out = run_study(load_study(study, [ARMS, IN_DOMAIN, *changes]), study.parent / name)
    arms = {
        line["arm"]: line["adapter_digest"] for line in read_json_lines(out / "records.jsonl") if line["kind"] == "arm"
    }
    return arms, read_json_lines(out / "rounds.jsonl")


def test_each_way_gives_other_adapters(study: Path) -> None:
    plain, rounds = digests(study)
    momentum, _ = digests(study, "federation.server_optimizer=momentum")
    products, _ = digests(study, "federation.combine=product", "federation.residual=keep")
    by_f1, f1_rounds = digests(study, "plus.utility=f1", "plus.tau_spread=1.0")
    by_task, task_rounds = digests(study, "plus.utility=task-loss")
    assert len({found["fedmedlora"] for found in (plain, momentum, products)}) == 3
    # What plus weights by does not touch the plain arm.
    assert by_f1["fedmedlora"] == by_task["fedmedlora"] == plain["fedmedlora"]
    assert len(rounds) == len(f1_rounds) == len(task_rounds) == 4
    for found, count in ((rounds, 1), (task_rounds, 2)):
        judged = [site for line in found if line["arm"] == "fedmedlora-plus" for site in line["sites"].values()]
        assert {len(site["costs"]) for site in judged} == {count}
    judged = [site for line in f1_rounds if line["arm"] == "fedmedlora-plus" for site in line["sites"].values()]
    assert all(0.0 <= cost <= 1.0 for site in judged for cost in site["costs"])
    assert all(site["costs"] for site in judged)
