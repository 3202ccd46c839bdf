"""A study file: defaults, precedence, paths, and every mistake by name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedmedlora.config import FileSplit, PartFiles, SeededSplit, StudyConfig, load_study, study_table, study_toml
from fedmedlora.config.encoder import BertConfig
from fedmedlora.config.models import TrainingConfig
from fedmedlora.errors import ConfigError
from fedmedlora.studies.cells import Cell, bert_settings

STUDY = """
corpora_root = "../corpora"
rounds = 2
arms = ["zero-shot", "fedmedlora"]

[training]
lr = 1e-3

[[sites]]
name = "north"
path = "north"
recipe = "maccrobat"
split = "splits.json:north"

[[sites]]
name = "south"
path = "south"
split = { train = "train.json", dev = "dev.json", test = "test.json" }

[[sites]]
name = "east"
synthetic = { profile = "ward", train = 20, dev = 4, test = 6 }
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "corpora" / "north").mkdir(parents=True)
    (tmp_path / "corpora" / "south").mkdir()
    (tmp_path / "corpora" / "splits.json").write_text("{}")
    for part in ("train", "dev", "test"):
        (tmp_path / "corpora" / "south" / f"{part}.json").write_text("")
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "two sites.toml"
    path.write_text(STUDY)
    return path


def edited(study: Path, old: str, new: str) -> Path:
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new, 1))
    return study


def load(study: Path, *overrides: str, **environment: str) -> StudyConfig:
    return load_study(study, overrides, environment)


def test_paths_are_absolute_and_defaults_filled(study: Path) -> None:
    config = load(study)
    corpora = study.parent.parent / "corpora"
    assert config.name == "two-sites"
    assert config.base == "bundled"
    assert config.seeds == (0,)
    assert config.tasks == ("ner", "re")
    assert config.training.rank == 16
    assert config.corpora_root == corpora
    assert config.site("north").path == corpora / "north"
    assert config.site("north").split == FileSplit(path=corpora / "splits.json", key="north")
    south = corpora / "south"
    assert config.site("south").split == PartFiles(
        train=south / "train.json", dev=south / "dev.json", test=south / "test.json"
    )
    synthetic = config.site("east").synthetic
    assert synthetic is not None
    assert (synthetic.profile, synthetic.train, synthetic.seed) == ("ward", 20, 0)


def test_flag_before_environment_before_file_before_default(study: Path, tmp_path: Path) -> None:
    for name in ("of_environment", "of_flag"):
        (tmp_path / name / "north").mkdir(parents=True)
        (tmp_path / name / "south").mkdir()
        (tmp_path / name / "splits.json").write_text("{}")
        for part in ("train", "dev", "test"):
            (tmp_path / name / "south" / f"{part}.json").write_text("")
    variable = {"FEDMEDLORA_CORPORA": str(tmp_path / "of_environment")}
    flag = f"corpora_root={tmp_path / 'of_flag'}"
    assert load(study).corpora_root == tmp_path / "corpora"
    assert load(study, **variable).corpora_root == tmp_path / "of_environment"
    assert load(study, flag, **variable).corpora_root == tmp_path / "of_flag"


def test_a_path_in_a_flag_counts_from_the_working_folder(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.toml").write_text("")
    assert load(study, "labels=labels.toml", "corpora_root=corpora").labels == tmp_path / "labels.toml"


def test_overrides_take_toml_values_and_bare_words(study: Path) -> None:
    config = load(
        study,
        "training.lr=1e-4",
        "training.objective=lm",
        "federation.wire=int8",
        'arms=["centralised"]',
        "seeds=[1, 2]",
        "evaluation.evaluate_dev_each_round=false",
        "sites.east.synthetic.train=3",
        "base=meta-llama/Llama-3.2-1B",
    )
    assert config.training.lr == 1e-4
    assert config.training.objective == "lm"
    assert config.federation.wire == "int8"
    assert load(study).federation.wire == "float32"
    assert config.arms == ("centralised",)
    assert config.seeds == (1, 2)
    assert not config.evaluation.evaluate_dev_each_round
    assert config.site("east").synthetic == load(study).site("east").synthetic.model_copy(update={"train": 3})  # type: ignore[union-attr]
    assert config.base == "meta-llama/Llama-3.2-1B"


def test_a_split_beside_the_study_file_comes_first(study: Path) -> None:
    beside = study.parent / "splits.json"
    beside.write_text("{}")
    assert load(study).site("north").split == FileSplit(path=beside, key="north")


def test_fractions_make_a_seeded_split(study: Path) -> None:
    config = load(edited(study, '"splits.json:north"', "{ test = 0.5 }"))
    assert config.site("north").split == SeededSplit(dev=0.1, test=0.5, seed=0)


def test_the_resolved_study_loads_as_itself_and_names_no_folder_of_this_machine(study: Path, tmp_path: Path) -> None:
    config = load(study, f"base={tmp_path / 'corpora'}")
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "study.toml").write_text(study_toml(config, run))
    assert load(run / "study.toml") == config
    assert str(tmp_path) not in (run / "study.toml").read_text()
    assert tomllib.loads((run / "study.toml").read_text()) == study_table(config, run)
    assert study_table(config, run)["corpora_root"] == "../../corpora"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rounds = 2", "ruonds = 2", r"two sites\.toml: ruonds: unknown key; did you mean 'rounds'\?"),
        ("lr = 1e-3", "lrr = 1e-3", r"training\.lrr: unknown key; did you mean 'lr'\?"),
        ('recipe = "maccrobat"', 'recipes = "x"', r"sites\.north\.recipes: unknown key; did you mean 'recipe'\?"),
        ('dev = "dev.json"', 'dve = "dev.json"', r"sites\.south\.split\.dve: unknown key; did you mean 'dev'\?"),
        ('dev = "dev.json",', "", r"sites\.south\.split\.dev: missing"),
        ('profile = "ward"', 'profil = "ward"', r"sites\.east\.synthetic\.profil: unknown key; did you mean 'profile'"),
        ('"splits.json:north"', '"splits.json"', r"sites\.north\.split: expected \"FILE:KEY\""),
        ('"splits.json:north"', "{ dev = 0.5, test = 0.5 }", r"sites\.north\.split: dev and test take 1 of"),
        ('"splits.json:north"', "{ dve = 0.5 }", r"sites\.north\.split\.dve: unknown key; did you mean 'dev'"),
        ('"fedmedlora"]', '"fedmedlorra"]', r"arms\[1\]: unknown value 'fedmedlorra'; did you mean 'fedmedlora'\?"),
        ("rounds = 2", 'settings = ["indomain"]', r"settings\[0\]: .*did you mean 'in-domain'\?"),
        ("rounds = 2", 'tasks = ["nre"]', r"tasks\[0\]: unknown value 'nre'; did you mean 're'\? Known: ner, re\.$"),
        ("rounds = 2", "rounds = 0", r"rounds: input should be greater than or equal to 1"),
        ("rounds = 2", 'rounds = "2"', r"rounds: input should be a valid integer"),
        ("rounds = 2", "rounds = true", r"rounds: input should be a valid integer"),
        ("lr = 1e-3", "lr = nan", r"training\.lr: input should be"),
        (
            "[training]",
            '[federation]\nwire = "bf16"\n[training]',
            r"federation\.wire: unknown value 'bf16'; .*Known: bfloat16, float32, int8",
        ),
        ("[training]", "[federation]\nwires = 8\n[training]", r"federation\.wires: unknown key; did you mean 'wire'"),
        ("rounds = 2", "seeds = [1, 1]", r"'seeds' names 1 twice"),
        ("rounds = 2", "seeds = []", r"seeds: .*at least 1 item"),
        ('name = "south"', 'name = "north"', r"two sites are called 'north': give each site its own name"),
        ('name = "south"', 'name = "../south"', r"sites\.\.\./south\.name: string should match"),
        ('name = "south"', "", r"sites\.#2\.name: missing"),
        ('path = "north"', "", r"sites\.north: give 'path' .* or 'synthetic'"),
        ('[[sites]]\nname = "east"', '[[sites]]\nname = "east"\npath = "east"', r"'synthetic' notes have no path"),
        ('path = "north"', 'path = "north"\nlabels = []', r"sites\.north: 'labels' is empty"),
        ('path = "north"', 'path = "nroth"', r"sites\.north\.path: '.*nroth' does not exist"),
        ("splits.json:", "split.json:", r"sites\.north\.split: '.*split\.json' does not exist"),
        ('"dev.json"', '"devel.json"', r"sites\.south\.split\.dev: '.*devel\.json' does not exist"),
        ('"../corpora"', '"../corpus"', r"corpora_root: '.*corpus' does not exist\. .*FEDMEDLORA_CORPORA"),
        ("rounds = 2", 'labels = "no.toml"', r"labels: '.*no\.toml' does not exist"),
        ("rounds = 2", 'base = "./no"', r"base: '.*no' does not exist\. Give 'bundled'"),
        ("rounds = 2", "rounds =", r"two sites\.toml: not readable as TOML: .*line 3"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_way_out(study: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(edited(study, old, new))


def test_all_mistakes_of_a_file_come_at_once(study: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(edited(edited(study, "rounds", "ruonds"), "lr =", "lrr ="))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.lr", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("rounds=[1", "the value is not TOML"),
        ("rounds.lr=3", "'rounds' is not a table"),
        ("rounds.lr.x=3", "'lr' stands under a value"),
        ("sites.nort.path=3", "no site is called 'nort': did you mean 'north'"),
        ("trainin.lr=3", "trainin: unknown key; did you mean 'training'"),
    ],
)
def test_a_wrong_override_says_what_is_expected(study: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(study, override)


@pytest.mark.parametrize(
    "address", ["https://jo:sesame@host/v1", "https://host/v1?key=sesame", "https://host/v1#sesame"]
)
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(study: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"api.base_url: expected an address alone.*key_variable") as caught:
        load(study, f'api.base_url="{address}"')
    assert "sesame" not in str(caught.value)


def test_a_missing_study_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: no such study file"):
        load_study(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="a folder; expected a study file"):
        load_study(tmp_path)


def test_a_study_never_changes(study: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(study).rounds = 5  # type: ignore[misc]


def test_an_encoder_has_a_rate_of_its_own_where_it_is_averaged() -> None:
    same = BertConfig(lr=1e-4, lora_lr=1e-3)
    assert [same.rate(whole=whole, federated=True) for whole in (True, False)] == [1e-4, 1e-3]
    other = BertConfig(lr=1e-4, lora_lr=1e-3, federated_lr=3e-4, federated_lora_lr=4e-3)
    assert [other.rate(whole=whole, federated=True) for whole in (True, False)] == [3e-4, 4e-3]
    assert [other.rate(whole=whole, federated=False) for whole in (True, False)] == [1e-4, 1e-3]


def test_heads_warm_up_as_training_says_and_the_encoder_under_them_as_bert_says() -> None:
    training, bert = TrainingConfig(warmup_fraction=0.05), BertConfig(lr=1e-4, head_lr=2e-2, warmup_fraction=0.3)
    settings = bert_settings(Cell("bert-fedavg", 0, "all", ("a", "b")), training, bert)
    assert (settings.lr, settings.warmup_fraction) == (1e-4, 0.3)
    assert (settings.head_lr, settings.head_warmup_fraction) == (2e-2, 0.05)
    # What is averaged or not, whole or a LoRA, decides the rate under the heads alone.
    for arm in ("bert-centralised", "bert-lora-fedmedlora"):
        assert bert_settings(Cell(arm, 0, "all", ("a",)), training, bert).head_lr == 2e-2
