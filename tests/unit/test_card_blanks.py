"""No model card has a blank, and the check that says so sees one wherever it is put."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from card_runs import ARMS, arm_line, card, cells, configured, made_up_info, score_line, write_study

from card_blanks import blanks
from fedmedlora.studies.cards import render_card

WAYS: Mapping[str, tuple[str, ...]] = {
    "plain": (),
    "products": ("federation.combine=product", "federation.residual=keep", "plus.utility=task-loss"),
    "server": ("federation.server_optimizer=adam", "federation.server_lr=0.01", "plus.utility=f1", "plus.tau_spread=1"),
    "entities": ('tasks=["ner"]', "federation.wire=int8", "evaluation.part=dev", "evaluation.bootstrap_resamples=0"),
    "relations": ('tasks=["re"]', "federation.wire=bfloat16", "plus.rule=fedmedlora-plus-code", "rounds=1"),
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_no_card_has_a_blank(study: Path, way: str) -> None:
    config = configured(study, *WAYS[way])
    found = cells(config)
    assert {cell.arm for cell in found.values()} == set(ARMS)
    assert {cell.setting for cell in found.values()} == set(config.settings) - {"external"}
    for name, cell in found.items():
        assert blanks(card(config, cell)) == [], name


def test_a_card_of_half_a_run_has_no_blank(study: Path) -> None:
    config = configured(study)
    for cell in cells(config).values():
        info = made_up_info(config, command="")
        del info["machine"]["precision"]
        untested = render_card(config, cell, info, arm_line(cell, reused_from="digest-of-run"), [])
        assert blanks(untested) == []
        assert "not been tested" in untested
        undefined = [score_line(cell, site, setting, None) for site, setting in cell.tests(config).items()]
        assert blanks(render_card(config, cell, info, arm_line(cell), undefined)) == []


def test_the_check_for_blanks_sees_every_place(study: Path) -> None:
    config = configured(study)
    whole = card(config, cells(config)["fedmedlora-plus all"])
    assert blanks(whole) == []
    planted = 0
    for line in whole.splitlines():
        if not line.startswith("| ") or line.startswith("| ---"):
            continue
        held = line[2:-2].split(" | ")
        for place in range(len(held)):
            for blank in ("", " ", "-", "—", "None", "nan", "``", "`None`", "None [0.1, nan]", "r = None, α = 4"):
                row = f"| {' | '.join([*held[:place], blank, *held[place + 1 :]])} |"
                assert blanks(whole.replace(line, row)) == [row], row
                planted += 1
        missing = f"| {' | '.join(held[:-1])} |"
        assert blanks(whole.replace(line, missing, 1)) != []
    # Ten ways in some thirty rows of two columns and more.
    assert planted > 600


@pytest.mark.parametrize(
    ("said", "planted"),
    [
        ("- Not a medical device.", "- \n- Not a medical device."),
        ("- Not a medical device.", "-\n- Not a medical device."),
        ("- Not a medical device.", "- —\n- Not a medical device."),
        ("- Not a medical device.", "- None\n- Not a medical device."),
        ("seed 0", "seed None"),
        ("seed 0", "seed nan, and"),
        ("Made by fedmedlora 0.1.0.", "Made by fedmedlora ."),
        ("The notes of ward,", "The notes of ,"),
        ("Fed-MedLoRA+: the average", "Fed-MedLoRA+: , the average"),
        ("(no secure aggregation)", "()"),
        ('base_model: "bundled"', 'base_model: ""'),
        ("library_name: peft", "library_name:"),
        ("  - lora\n", "  -\n"),
        ("a site, of ward (`digest-of-dev-ward`), office (`digest-of-dev-office`)", "a site, of"),
        ("## Privacy\n", "## Privacy\n\n## Empty\n"),
    ],
)
def test_the_check_for_blanks_sees_beyond_tables(study: Path, said: str, planted: str) -> None:
    config = configured(study)
    whole = card(config, cells(config)["fedmedlora-plus all"])
    assert said in whole
    assert blanks(whole.replace(said, planted, 1)) != []
