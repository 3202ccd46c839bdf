"""The tables of the settings that train anew: defaults, roles of sites, and every mistake by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmedlora.config import StudyConfig, load_study, study_toml
from fedmedlora.errors import ConfigError
from fedmedlora.studies.cells import bert_settings, study_cells
from fedmedlora.studies.remarks import describe_cases, describe_cells, study_remarks
from fedmedlora.studies.variants import Changed, FewNotes, LowResource, Shard

STUDY = """
arms = ["zero-shot", "single-site", "centralised", "fedmedlora", "fedsa-lora"]
settings = ["low-resource", "uneven", "scaling"]
seeds = [0, 1]

[[sites]]
name = "a"
synthetic = { profile = "emergency-triage", train = 2, dev = 1, test = 1 }

[[sites]]
name = "b"
synthetic = { profile = "pharmacy-review", train = 2, dev = 1, test = 1 }

[[sites]]
name = "n"
synthetic = { profile = "cardiology-ward", train = 3, dev = 1, test = 1 }
new = true

[low_resource]
notes = [0, 2]

[scaling]
sites = [1, 2]
splits = ["iid", "style"]
"""

CASES = """
[[uneven.cases]]
name = "noisy"
[[uneven.cases.sites]]
name = "a"
drop = 0.5
"""


def load(folder: Path, *overrides: str, more: str = "") -> StudyConfig:
    path = folder / "study.toml"
    path.write_text(STUDY + more, encoding="utf-8")
    return load_study(path, overrides, {})


def test_a_new_site_is_no_member_and_a_resolved_study_loads_as_itself(tmp_path: Path) -> None:
    config = load(tmp_path, more=CASES)
    assert (config.members, config.new_sites) == (("a", "b"), ("n",))
    (tmp_path / "again.toml").write_text(study_toml(config, tmp_path), encoding="utf-8")
    assert load_study(tmp_path / "again.toml", (), {}) == config


def test_the_cells_of_the_new_settings_counted_by_hand(tmp_path: Path) -> None:
    cells = study_cells(load(tmp_path))
    assert len({cell.key for cell in cells}) == len(cells)
    assert len({cell.folder for cell in cells}) == len(cells)
    by_setting: dict[str, set[tuple[str, str]]] = {}
    for cell in cells:
        if cell.seed == 0:
            by_setting.setdefault(cell.setting, set()).add((cell.arm, cell.trained_on))
    assert by_setting == {
        # In-domain is not asked for: one model is trained because others begin with it.
        "in-domain": {("fedmedlora", "all")},
        "low-resource": {
            ("fedmedlora", "n+0"), ("fedmedlora", "n+2"), ("single-site", "n+0"), ("single-site", "n+2"),
        },
        # Arms with one training over all sites, in four derived cases.
        "uneven": {
            (arm, f"all@{case}")
            for arm in ("centralised", "fedmedlora", "fedsa-lora")
            for case in ("entities-only", "relations-only", "label-subset", "noisy")
        },
        # One site is the same however it came about; FedSA-LoRA has no model for the sites as they are.
        "scaling": {("fedmedlora", "all@1-iid"), ("fedmedlora", "all@2-iid"), ("fedmedlora", "all@2-style")},
    }  # fmt: skip
    assert len(cells) == 2 * (1 + 4 + 12 + 3)


def test_a_cell_says_what_it_is_trained_on_and_begins_with(tmp_path: Path) -> None:
    config = load(tmp_path, more=CASES)
    cells = {cell.key: cell for cell in study_cells(config)}
    order = list(cells)
    few = cells["fedmedlora", 1, "n+2"]
    assert few.members == (("n", (FewNotes("n", 2, 1),)),)
    assert few.start == cells["fedmedlora", 1, "all"]
    assert order.index(few.key) > order.index(("fedmedlora", 1, "all"))
    assert (few.federated, few.tests(config), few.dev_sites(config)) == (False, {"n": "low-resource"}, ())
    bare = cells["single-site", 1, "n+0"]
    assert (bare.members, bare.start, bare.variant) == ((), None, LowResource("n", 0, "base"))
    uneven = cells["fedmedlora", 0, "all@noisy"]
    assert uneven.members == (("a", (Changed("a", "noisy"),)), ("b", ("b",)))
    assert cells["centralised", 0, "all@noisy"].members == (("all", (Changed("a", "noisy"), "b")),)
    assert uneven.sites == ("a", "b")
    assert uneven.tests(config) == {"a": "uneven", "b": "uneven"}
    scaled = cells["fedmedlora", 0, "all@2-style"]
    pool = ("a", "b")
    assert scaled.members == (
        ("part-1", (Shard(pool, 2, "style", 1, 0),)),
        ("part-2", (Shard(pool, 2, "style", 2, 0),)),
    )
    assert scaled.sites == pool


ENCODERS = (
    'arms=["fedmedlora", "bert-centralised", "bert-fedavg", "bert-lora-fedmedlora"]',
    'settings=["low-resource"]',
    "seeds=[0]",
    "bert.encoder=minilm",
)


def few_cells(config: StudyConfig) -> dict[tuple[str, str], str | None]:
    """Each model of the setting low-resource, and the arm whose model it begins with."""
    cells = [cell for cell in study_cells(config) if isinstance(cell.variant, LowResource)]
    return {(cell.arm, cell.trained_on): None if cell.start is None else cell.start.arm for cell in cells}


def test_an_encoder_is_a_start_and_untrained_its_mark(tmp_path: Path) -> None:
    starts = 'low_resource.starts=["bert-fedavg", "bert", "bert-centralised", "bert-lora-fedmedlora", "bert-lora"]'
    config = load(tmp_path, *ENCODERS, starts)
    assert few_cells(config) == {
        **{(arm, f"n+{k}"): arm for arm in ("bert-fedavg", "bert-centralised", "bert-lora-fedmedlora") for k in (0, 2)},
        # Untrained heads find nothing, so that without a note there is nothing to test.
        ("bert-single-site", "n+2"): None,
        ("bert-lora-single-site", "n+2"): None,
    }
    assert study_remarks(config, {"n": 3}) == [
        "low-resource: 'bert', 'bert-lora' with 0 notes left out: heads that nobody trained find nothing"
    ]
    assert study_remarks(load(tmp_path, *ENCODERS, starts, "low_resource.notes=[2]"), {"n": 3}) == []


def test_without_a_word_the_base_models_federation_is_the_start_else_the_encoders(tmp_path: Path) -> None:
    assert few_cells(load(tmp_path, *ENCODERS)).keys() == {
        (arm, f"n+{k}") for arm in ("fedmedlora", "single-site") for k in (0, 2)
    }
    alone = few_cells(
        load(tmp_path, *ENCODERS, 'arms=["bert-lora-single-site", "bert-fedavg", "bert-lora-fedmedlora-plus"]')
    )
    assert alone.keys() == {
        *((arm, f"n+{k}") for arm in ("bert-fedavg", "bert-lora-fedmedlora-plus") for k in (0, 2)),
        ("bert-single-site", "n+2"),
        ("bert-lora-single-site", "n+2"),
    }


def test_few_notes_train_an_encoder_at_the_rate_of_one_place(tmp_path: Path) -> None:
    starts = 'low_resource.starts=["bert-fedavg", "bert", "bert-lora-fedmedlora", "bert-lora"]'
    rates = ("bert.lr=0.1", "bert.federated_lr=0.2", "bert.lora_lr=0.3", "bert.federated_lora_lr=0.4")
    config = load(tmp_path, *ENCODERS, starts, *rates)
    found = {cell.key: bert_settings(cell, config.training, config.bert) for cell in study_cells(config)}
    assert found["bert-fedavg", 0, "all"].lr == 0.2
    for arm in ("bert-fedavg", "bert-single-site"):
        assert (found[arm, 0, "n+2"].lr, found[arm, 0, "n+2"].head_lr) == (0.1, config.bert.head_lr)
    assert {found[arm, 0, "n+2"].lr for arm in ("bert-lora-fedmedlora", "bert-lora-single-site")} == {0.3}


def test_a_dry_run_says_starts_and_derived_cases(tmp_path: Path) -> None:
    config = load(tmp_path)
    lines = describe_cells(config, study_cells(config))
    assert "fedmedlora, seed 0, trained on n+2, from fedmedlora, tested on n" in lines
    assert "single-site, seed 1, trained on n+0, from base as it is, tested on n" in lines
    assert any("tested on nothing: others begin with it" in line for line in lines)
    assert describe_cases(load(tmp_path))[1] == "uneven case 'relations-only', derived: b: trains re alone"
    assert describe_cases(load(tmp_path, more=CASES)) == ["uneven case 'noisy': a: 50% of entities left out"]
    assert describe_cases(load(tmp_path, 'settings=["in-domain"]')) == []


MISTAKES = [
    (("sites.n.new=false",), "", "'low-resource' needs a new site"),
    (("sites.n.external=true",), "", r"sites\.n: a site is 'new' .* or 'external'"),
    (("low_resource.notes=[5, 5]",), "", "'notes' names 5 twice"),
    (('low_resource.starts=["fedprox"]',), "", "low_resource.starts names 'fedprox', which is not among"),
    (('low_resource.starts=["bert"]',), "", "'bert', an untrained encoder, but no arm .*, bert-fedavg or another"),
    (('low_resource.starts=["bert-lora"]', 'arms=["bert-fedavg"]', "bert.encoder=minilm"), "", "'bert-lora', an untr"),
    (('scaling.arms=["base"]',), "", "scaling.arms names 'base', which is not among"),
    (('scaling.splits=["ii"]',), "", r"scaling\.splits\[0\]: unknown value 'ii'; did you mean 'iid'"),
    (("scaling.sites=[2, 2]",), "", "'sites' names 2 twice"),
    (("scaling.site=[2]",), "", r"scaling\.site: unknown key; did you mean 'sites'"),
    (("api.timeout=2",), "", r"api\.timeout: unknown key; did you mean 'timeout_s'"),
    (("sites.a.new=true", "sites.b.new=true"), "", "nobody is left to train"),
    ((), CASES.replace('"a"', '"n"'), "changes 'n', which is no site that trains: expected one of a, b"),
    ((), CASES.replace("drop = 0.5", ""), "nothing is changed"),
    ((), CASES.replace("drop = 0.5", "drop = 0.5\nswap = 0.6"), r"together are 1\.1 of the entities"),
    ((), CASES.replace("drop = 0.5", "drip = 0.5"), r"unknown key; did you mean 'drop'"),
    ((), CASES.replace("drop = 0.5", "labels = []"), "'labels' is empty"),
    ((), CASES + CASES, "two cases are called 'noisy'"),
    ((), CASES.replace('"noisy"', '"5-iid"'), r"uneven\.cases\[0\]\.name"),
    ((), CASES + CASES[CASES.index("[[uneven.cases.sites]]") :], "site 'a' is changed twice"),
    (("tasks=['ner']",), CASES.replace("drop = 0.5", 'tasks = ["re"]'), "leaves 'a' no task of this study"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "more", "said"), MISTAKES)
def test_mistakes_are_told_by_name(tmp_path: Path, overrides: tuple[str, ...], more: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, *overrides, more=more)


def test_arms_that_cannot_serve_are_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"'fedsa-lora', which has no one model .*: expected one of centralised, fedm"
    ):
        study_cells(load(tmp_path, 'low_resource.starts=["fedsa-lora"]'))
    named = ('arms=["bert-single-site", "bert-fedavg"]', 'low_resource.starts=["bert-single-site"]')
    with pytest.raises(ConfigError, match="no one model to begin with: expected one of bert-fedavg, bert, base"):
        study_cells(load(tmp_path, *named, "bert.encoder=minilm"))
    with pytest.raises(ConfigError, match="scaling has nothing to train: none of centralised, fedsa-lora averages"):
        study_cells(load(tmp_path, 'arms=["centralised", "fedsa-lora"]', 'settings=["scaling"]'))
