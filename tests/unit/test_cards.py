"""Model cards of every arm in every setting, from a made-up run: what is said is what was used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from card_runs import arm_line, card, cells, configured, in_domain, made_up_info, rows, score_line, write_study

from fedmedlora.config.arms import BERT, BERT_WHOLE, PLUS
from fedmedlora.record import append_json_line
from fedmedlora.studies.cards import write_cards
from fedmedlora.studies.cells import study_cells


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def test_a_card_names_what_was_averaged_and_how(study: Path) -> None:
    what, next_round = "What is averaged", "From the average to the next round"
    plain = in_domain(study)
    assert plain["fedmedlora"][what] == "A and B, each for itself"
    assert plain["bert-lora-fedmedlora"][what] == "A and B, each for itself; the heads' weights"
    assert plain["fedmedlora"][next_round] == "none: the average is what the next round begins with"

    kept = in_domain(study, "federation.combine=product", "federation.residual=keep")
    said = (
        "the products B·A, cut back to the rank; what the cut loses is kept by the coordinator and added to the next "
        "round's average"
    )
    assert {arm for arm, found in kept.items() if found.get(what, "").startswith(said)} == {
        *("fedmedlora", "fedmedlora-plus", "fedprox", "bert-lora-fedmedlora", "bert-lora-fedmedlora-plus")
    }
    assert kept["fedsa-lora"][what].startswith("A alone")
    assert kept["ffa-lora"][what].startswith("B alone")
    assert kept["bert-fedavg"][what].startswith("all weights")
    dropped = in_domain(study, "federation.combine=product")
    assert "what the cut loses is dropped" in dropped["fedmedlora"][what]

    # Nothing is combined where nothing is federated.
    for arm in ("zero-shot", "single-site", "centralised", "bert-single-site", "bert-lora-centralised"):
        assert not {what, next_round, "Rule", "Weight of a site", "Exchanged"} & plain[arm].keys()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("federation.server_lr=0.5",), "a step towards the average, server learning rate 0.5"),
        (("federation.server_optimizer=momentum",), "server momentum 0.9 (FedAvgM), server learning rate 1"),
        (
            ("federation.server_optimizer=adam", "federation.server_lr=0.02", "federation.server_beta2=0.95"),
            "server Adam (FedAdam), server learning rate 0.02, β₁ = 0.9, β₂ = 0.95, ε = 0.001",
        ),
    ],
)
def test_a_card_names_the_server_optimizer(study: Path, changes: tuple[str, ...], said: str) -> None:
    for arm, found in in_domain(study, *changes).items():
        assert found.get("From the average to the next round", said) == said, arm


@pytest.mark.parametrize(
    ("changes", "weight", "validated"),
    [
        (
            (),
            "α = 1, τ = 1; n: its training target tokens; C: its mean loss ('choice') per target token",
            "64 examples",
        ),
        (("plus.alpha=0.5", "plus.tau=0.02"), "α = 0.5, τ = 0.02;", "64 examples"),
        (("plus.tau_spread=2",), "τ = 2; n: its training target tokens; C: its mean loss", "64 examples"),
        (("plus.tau_spread=2",), "each cost in standard deviations over the round's sites", "64 examples"),
        (("plus.rule=fedmedlora-plus-code",), "α = 0, τ = 1;", "64 examples"),
        (("plus.utility=task-loss",), "C: the mean over tasks of its loss ('choice')", "64 examples"),
        (
            ("plus.utility=f1", "plus.validation_documents=5"),
            "C: the mean over tasks of 1 − its strict F1",
            "5 documents",
        ),
        (("training.objective=mixed",), "loss ('choice')", "64 examples"),
        (("training.objective=lm",), "loss ('lm')", "64 examples"),
    ],
)
def test_a_card_names_what_weights_come_from(
    study: Path, changes: tuple[str, ...], weight: str, validated: str
) -> None:
    found = in_domain(study, *changes)
    plus = found["fedmedlora-plus"]
    assert plus["Weight of a site"].startswith("∝ n^α · exp(−C / τ), α = ")
    assert weight in plus["Weight of a site"]
    # The clinic has no dev note, and the site abroad does not judge.
    judging = "a site, of ward (`digest-of-dev-ward`), office (`digest-of-dev-office`)"
    assert plus["Validation notes"].endswith(judging)
    assert validated in plus["Validation notes"]
    assert "tagged training tokens" in found["bert-lora-fedmedlora-plus"]["Weight of a site"]
    for arm, other in found.items():
        assert ("Validation notes" in other) == (arm in PLUS)
        if arm not in PLUS and "Weight of a site" in other:
            assert other["Weight of a site"].startswith("∝ n^α, α = 1; n: its ta" if arm in BERT else "∝ n^α, α = 1;")
    published = "published implementation" in plus["Rule"]
    assert published == ("plus.rule=fedmedlora-plus-code" in changes)


def test_no_card_speaks_of_a_loss_where_f1_weights(study: Path) -> None:
    config = configured(study, "plus.utility=f1")
    for name, cell in cells(config).items():
        if cell.arm in PLUS:
            assert "loss" not in card(config, cell).replace("loses", ""), name


def test_a_card_names_the_settings_that_were_used(study: Path) -> None:
    found = in_domain(
        study,
        "training.lr=1e-3",
        "training.federated_lr=5e-4",
        "training.optimizer_state=reset",
        "training.weight_decay=0.1",
        "training.gradient_accumulation=2",
        "training.max_train_examples=5000",
        "fedprox.mu=0.25",
        "bert.federated_lora_lr=7e-4",
        "bert.batch_size=16",
    )
    assert found["single-site"]["Peak learning rate"].startswith("0.001, one cosine")
    assert found["fedmedlora"]["Peak learning rate"].startswith("0.0005, one cosine")
    assert found["bert-lora-fedmedlora"]["Peak learning rate"].startswith("0.0007, heads 0.005, one cosine")
    assert found["bert-lora-fedmedlora"]["Peak learning rate"].endswith("warms up: 0.2 (heads 0.03)")
    # What is not averaged is one run, whatever the study says of rounds.
    for arm, rowed in found.items():
        if arm == "zero-shot":
            continue
        federated = "Rule" in rowed
        assert rowed["AdamW"].endswith("moments reset every round" if federated else "moments kept from round to round")
        assert rowed["AdamW"].startswith("weight decay 0.1, gradient norm at most 1")
        assert rowed["Examples a step"] == ("32" if arm in BERT else "8")
        assert rowed["Examples"].startswith("at most 5,000 of each task from every site")
        assert ("Proximal term" in rowed) == (arm == "fedprox")
        assert ("LoRA" in rowed) == (arm not in BERT_WHOLE)
        assert ("over all sites" in rowed["Optimizer steps"]) == federated
    assert "μ = 0.25" in found["fedprox"]["Proximal term"]
    assert in_domain(study)["fedmedlora"]["AdamW"].endswith("moments kept from round to round")


def test_a_few_notes_card_tells_of_the_new_site_alone(study: Path) -> None:
    config = configured(study, "training.max_train_examples=5", "low_resource.min_steps=50")
    found = cells(config)
    # Starts that nothing was trained for stand under the arm of one site alone.
    untrained = {cell.arm for cell in found.values() if cell.trained_on == "fresh+2" and cell.start is None}
    assert untrained == {"single-site", "bert-single-site", "bert-lora-single-site"}
    for arm in ("fedmedlora", "fedprox", "ffa-lora", "single-site"):
        text = card(config, found[f"{arm} fresh+2"])
        rowed = rows(text)
        # Ten examples are three batches of four; fifty steps want seventeen passes.
        assert rowed["Passes"] == "17"
        assert rowed["Examples"].startswith("all, of at most")
        assert not {"Rule", "Proximal term", "Rounds × passes"} & rowed.keys()
        assert "simulated" not in text
        assert "A and B were both trained there" in text
        began = "an untrained adapter" if arm == "single-site" else f"the adapter of {arm}, seed 0"
        assert f"2 notes of fresh, a site that nobody trained on before, beginning with {began};" in text
        assert ("federated-learning" in text) == (arm != "single-site")
        assert "`of-fresh+2`" in text


def test_every_score_has_the_digest_of_its_notes(study: Path) -> None:
    config = configured(study)
    for cell in cells(config).values():
        tested = set(cell.tests(config)) if not cell.personal else {"ward"}
        text = card(config, cell)
        assert set(re.findall(r"`digest-of-test-(\w+)`", text)) == tested
        for site in tested:
            assert f"| {site} | 1,200 | 24 | `digest-of-test-{site}` |" in text
        assert ("digest-of-dev" in text) == ("Validation notes" in text)
        assert "drawn with a fixed seed" in text
    on_dev = card(configured(study, "evaluation.part=dev"), cells(config)["fedmedlora all"])
    assert "| Site | Dev notes | Scored |" in on_dev
    assert "Scored on dev notes" in on_dev


def test_a_card_says_nothing_untrue_of_its_arm(study: Path) -> None:
    config = configured(study)
    found = cells(config)
    texts = {name: card(config, cell) for name, cell in found.items()}
    untrained = texts["zero-shot none"]
    assert "An untrained LoRA adapter" in untrained
    assert "Nothing was trained" in untrained
    assert "No note was trained on." in untrained
    for name, cell in found.items():
        text = texts[name]
        assert ("federation was simulated" in text) == cell.federated
        assert ("federated-learning" in text) == (cell.federated or cell.start is not None)
        assert ("notes of their dev parts" in text) == (cell.arm in PLUS)
        assert ("LoRA adapter" in text) == (cell.arm not in BERT_WHOLE)
        assert ("heads" in text) == (cell.arm in BERT)
        assert ("or that it began with" in text) == (cell.start is not None)
        assert "1 sites" not in text
    assert "its sites sent the adapters' A alone and no training note" in texts["fedsa-lora all"]
    assert "its sites sent the adapters' B alone and no training note" in texts["ffa-lora all"]
    assert "its sites sent models alone and no training note" in texts["bert-fedavg all"]
    assert "its sites sent adapters and heads alone" in texts["bert-lora-fedmedlora all"]
    assert "divided into 1 site (iid)." in texts["fedmedlora all@1-iid"]
    assert "divided into 2 sites (label-skew, Dirichlet α = 0.5)." in texts["fedmedlora all@2-label-skew"]
    # What was made for the base is not what the encoder was given.
    assert "| ward@entities-only | 2 | 6 | 4 | 1 |" in texts["centralised all@entities-only"]
    assert "| ward@entities-only | 2 | 8 | 3 | 1 |" in texts["bert-centralised all@entities-only"]
    sent = card(configured(study, "federation.wire=int8"), found["bert-fedavg all"])
    assert "models out as bfloat16, changes back as int8 with error feedback" in sent


@pytest.mark.parametrize(
    ("task", "marked", "unsaid"),
    [
        ("ner", "clinical entities in free text", "modifier is"),
        ("re", "modifiers of given clinical entities in", "their"),
    ],
)
def test_a_card_of_one_task_speaks_of_no_other(study: Path, task: str, marked: str, unsaid: str) -> None:
    config = configured(study, f'tasks=["{task}"]', 'settings=["in-domain"]')
    for cell in study_cells(config):
        text = card(config, cell)
        about = text.partition("## Privacy")[0] if task == "re" else text
        assert (marked in text) == (cell.arm != "zero-shot")
        assert unsaid not in about.replace("their training", "")
        assert "the other head" not in text
        assert ("a head" in text) == (cell.arm in BERT)


def test_of_two_records_the_later_one_stands(study: Path, tmp_path: Path) -> None:
    config = configured(study, 'settings=["in-domain"]')
    cell = cells(config)["centralised all"]
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(made_up_info(config)), encoding="utf-8")
    for f1, steps in ((0.25, 1111), (0.75, 2222)):
        append_json_line(out / "records.jsonl", score_line(cell, "ward", "in-domain", f1))
        append_json_line(out / "records.jsonl", arm_line(cell, steps=steps))
    (written,) = write_cards(config, out)
    text = written.read_text(encoding="utf-8")
    assert "| ward | entities | 0.750" in text
    assert "0.250" not in text
    assert rows(text)["Optimizer steps"] == "2,222"
    assert "Command" in rows(text)


def test_a_model_of_another_run_says_so(study: Path) -> None:
    config = configured(study)
    found = rows(card(config, cells(config)["centralised all"], reused_from="digest-of-run"))
    assert found["Taken from"] == "another run, whose run.json is `digest-of-run`"
    assert found["Command of this run"] == "`fedmedlora run made-up.toml`"


def test_a_base_that_lies_on_this_machine_is_not_named_by_its_path(study: Path, tmp_path: Path) -> None:
    for name in ("base", "encoder"):
        (tmp_path / name).mkdir()
    config = configured(study, f"base={tmp_path / 'base'}", f"bert.encoder={tmp_path / 'encoder'}")
    warned = {
        "fedmedlora all": "In `adapter_config.json` stands where",
        "bert-fedavg all": "In `tagger.json` stands where",
        "bert-lora-fedmedlora all": "In `tagger.json` and `adapter_config.json` stands where",
    }
    found, named = cells(config), configured(study)
    for name, said in warned.items():
        text = card(config, found[name])
        assert said in text
        assert str(tmp_path) not in text
        assert "before you share" not in card(named, found[name])
