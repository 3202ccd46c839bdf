"""What a cell's digest follows from, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.labels import CLINICAL, LabelSet
from fedmedlora.studies.cells import study_cells
from fedmedlora.studies.digests import Identity, identify
from fedmedlora.studies.schedule import Key

ARMS = ("zero-shot", "single-site", "centralised", "fedmedlora", "fedmedlora-plus", "fedprox")
MACHINE = {"architecture": "x86_64", "threads": 1, "accelerator": None, "precision": "float32", "cores": 2}


def study(**changes: Any) -> StudyConfig:
    notes = {"profile": "emergency-triage", "train": 2, "dev": 1, "test": 1}
    sites = [{"name": name, "synthetic": notes} for name in ("north", "south")]
    values = {"name": "toy", "corpora_root": Path("."), "sites": sites, "arms": ARMS, **changes}
    return StudyConfig.model_validate(values)


def described(config: StudyConfig, **digests: str) -> dict[str, Any]:
    def part(site: str, name: str) -> dict[str, Any]:
        return {"digest": digests.get(f"{site}_{name}", f"{site} {name}"), "used": 1}

    sites = [
        {"name": name, "labels": ["problem"], "parts": {one: part(name, one) for one in ("train", "dev", "test")}}
        for name in config.members
    ]
    return {"base": {"digest": "base", "tokenizer_digest": "words"}, "machine": MACHINE, "sites": sites, "derived": []}


def identities(config: StudyConfig, **digests: str) -> dict[Key, Identity]:
    cells = {cell.key: cell for cell in study_cells(config)}
    return identify(cells, config, CLINICAL, described(config, **digests))


def changed(one: dict[Key, Identity], other: dict[Key, Identity]) -> set[str]:
    """Cells whose training is another, as `arm` or `arm/trained_on`."""
    differ = [key for key in one if one[key].training != other[key].training]
    return {f"{arm}/{trained_on}" if arm == "single-site" else arm for arm, _, trained_on in differ}


TRAINED = {"single-site/north", "single-site/south", "centralised", "fedmedlora", "fedmedlora-plus", "fedprox"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "other"}, set()),
        ({"seeds": (0, 1)}, set()),
        ({"arms": (*ARMS, "ffa-lora")}, set()),
        ({"settings": ("in-domain", "leave-one-out")}, set()),
        ({"api": {"timeout_s": 1.0}}, set()),
        ({"fedprox": {"mu": 0.5}}, {"fedprox"}),
        ({"plus": {"tau": 0.5}}, {"fedmedlora-plus"}),
        ({"federation": {"wire": "int8"}}, {"fedmedlora", "fedmedlora-plus", "fedprox"}),
        ({"training": {"lr": 1e-3}}, TRAINED),
        ({"rounds": 7}, TRAINED),
        ({"training": {"rank": 2}}, TRAINED | {"zero-shot"}),
        ({"tasks": ("ner",)}, TRAINED | {"zero-shot"}),
    ],
)
def test_a_setting_changes_the_cells_that_it_decides(changes: dict[str, Any], expected: set[str]) -> None:
    assert changed(identities(study()), identities(study(**changes))) == expected


def test_notes_change_the_cells_that_are_trained_on_them() -> None:
    quiet = study(evaluation={"evaluate_dev_each_round": False})
    before = identities(quiet)
    assert changed(before, identities(quiet, north_train="other")) == TRAINED - {"single-site/south"}
    # Where dev notes are scored after every round, every trained cell's rounds say something else.
    assert changed(identities(study()), identities(study(), north_dev="other")) == TRAINED


def test_test_notes_change_scores_and_no_training() -> None:
    before, after = identities(study()), identities(study(), north_test="other")
    assert changed(before, after) == set()
    for key, identity in before.items():
        assert identity.tests["north"] != after[key].tests["north"]
        assert identity.tests["south"] == after[key].tests["south"]
    resampled = identities(study(evaluation={"bootstrap_resamples": 7}))
    assert changed(before, resampled) == set()
    assert all(before[key].tests["south"] != resampled[key].tests["south"] for key in before)


def of(arm: str, config: StudyConfig, labels: LabelSet = CLINICAL) -> str:
    cells = {cell.key: cell for cell in study_cells(config)}
    found = identify(
        cells, config, labels, {**described(config), "encoder": {"digest": "encoder", "tokenizer_digest": "words"}}
    )
    return next(identity.training for key, identity in found.items() if key[0] == arm)


def test_the_order_of_a_label_file_is_the_order_of_questions() -> None:
    forth = LabelSet({"a": ("m",), "b": ("m",)}, {})
    back = LabelSet({"b": ("m",), "a": ("m",)}, {})
    config = study(labels=Path("labels.toml"))
    assert of("fedmedlora", config, forth) != of("fedmedlora", config, back)


def test_shots_come_from_capped_examples() -> None:
    def asking(shots: int, cap: int) -> StudyConfig:
        api = {"model": "one", "shots": shots}
        return study(arms=("api",), api=api, training={"max_train_examples": cap})

    assert of("api", asking(2, 10)) != of("api", asking(2, 20))
    assert of("api", asking(0, 10)) == of("api", asking(0, 20))


def test_where_an_encoder_lies_decides_nothing() -> None:
    def tagging(encoder: str) -> StudyConfig:
        return study(arms=("bert-fedavg",), bert={"encoder": encoder})

    assert of("bert-fedavg", tagging("/here/encoder")) == of("bert-fedavg", tagging("/there/encoder"))
