"""What a site keeps between rounds: bound to one federation, and no longer than a round can ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from fedmedlora.adapters.lora import Adapted, attach_lora
from fedmedlora.adapters.state import AdapterState
from fedmedlora.errors import AdapterError
from fedmedlora.markup.encode import Encoder
from fedmedlora.training.batch import prepare
from fedmedlora.training.causal import CausalLesson
from fedmedlora.training.contract import RoundPlan
from fedmedlora.training.examples import make_examples
from fedmedlora.training.loop import TrainSettings
from fedmedlora.training.site import LessonTrainer, own_tensors, settings_to_scalars

ONE, OTHER = "a" * 64, "b" * 64
SETTINGS = settings_to_scalars(TrainSettings(lr=0.01, epochs=1, keep_moments=True))


@pytest.fixture(scope="module")
def adapted() -> Adapted:
    return attach_lora(tiny.make_base(), rank=2, alpha=8)


def trainer(adapted: Adapted, memory: Path, site: str = "north") -> LessonTrainer:
    encoder = Encoder(adapted.base.tokenizer, tiny.LABELS, "brief", 400)
    corpus = prepare(make_examples(tiny.notes()[:1], encoder, ["ner"]).examples)
    return LessonTrainer(site, CausalLesson(adapted, corpus), memory)


def plan(number: int, federation: str = ONE) -> RoundPlan:
    return RoundPlan(number, 9, 3, SETTINGS, federation)


def sent(adapted: Adapted) -> AdapterState:
    return adapted.fresh(3).select(lambda name: ".lora_A." in name)


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.safetensors")}


def names(site: str, federation: str, *rounds: int) -> set[str]:
    return {f"{what}-{site}-{federation[:16]}-{at}.safetensors" for what in ("own", "moments") for at in rounds}


def test_the_last_two_rounds_are_kept_and_a_repeat_gives_the_same_bits(adapted: Adapted, tmp_path: Path) -> None:
    site = trainer(adapted, tmp_path)
    for number in range(4):
        done = site.run_round(sent(adapted), plan(number)).state
        assert kept(tmp_path) == names("north", ONE, *range(max(0, number - 1), number + 1))
    assert site.run_round(sent(adapted), plan(3)).state == done
    assert kept(tmp_path) == names("north", ONE, 2, 3)


def test_federations_and_sites_that_share_a_folder_do_not_meet(adapted: Adapted, tmp_path: Path) -> None:
    first = trainer(adapted, tmp_path).run_round(sent(adapted), plan(0)).state
    for number in range(3):
        trainer(adapted, tmp_path).run_round(sent(adapted), plan(number, OTHER))
        trainer(adapted, tmp_path, "north-1").run_round(sent(adapted), plan(number))
    assert kept(tmp_path) == (
        names("north", ONE, 0) | names("north", OTHER, 1, 2) | names("north-1", ONE, 1, 2)
    )  # fmt: skip
    own = own_tensors(tmp_path, "north", 5, ONE)
    assert own
    assert all((own[name] == first.arrays[name]).all() for name in own)
    assert own_tensors(tmp_path, "north", 5, "c" * 64) == {}
    # Moments of another federation are none.
    with pytest.raises(AdapterError, match="is missing or damaged"):
        trainer(adapted, tmp_path).run_round(adapted.fresh(3), plan(2))


def test_a_round_after_missed_ones_can_be_repeated(adapted: Adapted, tmp_path: Path) -> None:
    settings = {**SETTINGS, "keep_moments": False}
    site = trainer(adapted, tmp_path)
    site.run_round(sent(adapted), RoundPlan(0, 9, 3, settings, ONE))
    done = site.run_round(sent(adapted), RoundPlan(5, 9, 3, settings, ONE)).state
    assert site.run_round(sent(adapted), RoundPlan(5, 9, 3, settings, ONE)).state == done
