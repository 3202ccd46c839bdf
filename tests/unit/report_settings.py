"""A made-up run directory with every setting, a new site, an external one, and encoder arms.

Every site has forty test documents of one entity each, all of them predicted: F1 is the share that is right. A model
gets the first so many tenths of the documents right, so that what the report says can be counted.
"""

from __future__ import annotations

import json
from pathlib import Path

from report_runs import Table, both_rules, interval_json, run_info, write_lines

SITES, EXTERNAL, NEW = ("north", "south"), "abroad", "fresh"
ARMS = (
    "zero-shot",
    "single-site",
    "centralised",
    "fedmedlora",
    "fedmedlora-plus",
    "bert-single-site",
    "bert-centralised",
    "bert-fedavg",
    "bert-lora-single-site",
    "bert-lora-centralised",
    "bert-lora-fedmedlora",
    "bert-lora-fedmedlora-plus",
)
# Tenths of the documents of a site that trains; one less on the site abroad.
RIGHT = {
    **{"zero-shot": 1, "single-site": 4, "centralised": 9, "fedmedlora": 8, "fedmedlora-plus": 8},
    **{"bert-single-site": 3, "bert-centralised": 5, "bert-fedavg": 4},
    **{
        "bert-lora-single-site": 2,
        "bert-lora-centralised": 4,
        "bert-lora-fedmedlora": 3,
        "bert-lora-fedmedlora-plus": 3,
    },
}
DOCUMENTS = 40
_NONE: Table = {}
FEW = {("fedmedlora", 0): 5, ("fedmedlora", 10): 7, ("fedmedlora", 50): 8}
FEW |= {("base", 0): 0, ("base", 10): 2, ("base", 50): 6}
SCALED = {(1, "iid"): 9, (2, "iid"): 8, (10, "iid"): 7, (2, "label-skew"): 7, (10, "label-skew"): 5}


def score(setting: str, arm: str, seed: int, trained_on: str, site: str, right: int, variant: Table = _NONE) -> Table:
    correct = DOCUMENTS * right // 10
    tallies = [[2 if place < correct else 0, 2] for place in range(DOCUMENTS)]
    counts = {**both_rules(DOCUMENTS, DOCUMENTS, correct), "types": {}}
    bounds = {mode: interval_json(correct / DOCUMENTS) for mode in ("strict", "lenient")}
    return {
        "kind": "score",
        "setting": setting,
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "test_site": site,
        "documents": DOCUMENTS,
        "scores": {"ner": counts, "re": counts, "documents": DOCUMENTS},
        "intervals": {"ner": bounds, "re": bounds},
        "tallies": {task: {"strict": tallies, "lenient": tallies} for task in ("ner", "re")},
        "decode": {"passes": 11, "tokens": 300, "seconds": 2.0},
        "dropped": {},
        "adapter_digest": "ab" * 32,
        "variant": variant,
    }


def cost(setting: str, arm: str, seed: int, trained_on: str, variant: Table = _NONE) -> Table:
    federated = "fed" in arm
    return {
        "kind": "arm",
        "setting": setting,
        "arm": arm,
        "seed": seed,
        "trained_on": trained_on,
        "seconds": 100.0,
        "target_tokens": 4000,
        "steps": 90,
        "rounds": 0 if trained_on == "none" else 3,
        "bytes_sent": 10_000_000 if federated else None,
        "bytes_received": 5_000_000 if federated else None,
        "full_model_bytes": 1_000_000_000 if federated else None,
        "adapter_digest": "cd" * 32,
        "peak_memory_bytes": 2_500_000_000,
        "variant": variant,
    }


def trained_on(arm: str) -> tuple[str, ...]:
    return SITES if "single-site" in arm else ("none",) if arm == "zero-shot" else ("all",)


def rounds(arm: str, seed: int, name: str) -> list[Table]:
    """Dev F1 rises by a third of what is right a round: 8 of 10 is 0.267, 0.533, 0.8."""
    federated = "fed" in arm
    members = SITES if federated else (name,)
    lines: list[Table] = []
    for number in range(3):
        f1 = RIGHT[arm] / 10 * (number + 1) / 3
        sites = {
            member: {
                "loss": 1.5 - 0.5 * number,
                "validation_loss": 0.9 - 0.1 * number - 0.05 * place if arm.endswith("plus") else None,
                "weight": (0.48 + 0.04 * place if arm.endswith("plus") else 0.5) if federated else 1.0,
                "target_tokens": 400,
                "steps": 9,
                "seconds": 30.0 + 10 * place,
                "refused": None,
            }
            for place, member in enumerate(members)
        }
        lines.append(
            {
                "arm": arm,
                "seed": seed,
                "trained_on": name,
                "round": number,
                "seconds": sum(30.0 + 10 * place for place in range(len(members))) + 2.0,
                "sites": sites,
                "dev": {site: {task: {"strict": f1, "lenient": f1} for task in ("ner", "re")} for site in SITES},
            }
        )
    return lines


def write_settings_run(folder: Path, seeds: tuple[int, ...] = (0,), with_rounds: bool = True) -> Path:
    """Every setting of a study; with several seeds, a seed's models get no other documents right."""
    folder.mkdir()
    records: list[Table] = []
    lines: list[Table] = []
    for seed in seeds:
        for arm in ARMS:
            for name in trained_on(arm):
                records += [score("in-domain", arm, seed, name, site, RIGHT[arm]) for site in SITES]
                records.append(score("external", arm, seed, name, EXTERNAL, RIGHT[arm] - 1))
                records.append(cost("in-domain", arm, seed, name))
                lines += rounds(arm, seed, name) if with_rounds and name != "none" else []
        for arm in ("fedmedlora", "centralised"):
            for site in SITES:
                without = f"without-{site}"
                records.append(score("leave-one-out", arm, seed, without, site, RIGHT[arm] - 3))
                records.append(cost("leave-one-out", arm, seed, without))
            for site in SITES:
                variant: Table = {"case": "entities-only"}
                records.append(score("uneven", arm, seed, "all@entities-only", site, RIGHT[arm] - 2, variant))
            records.append(cost("uneven", arm, seed, "all@entities-only", variant))
        for (start, notes), right in FEW.items():
            few: Table = {"site": NEW, "notes": notes, "start": start}
            arm = "single-site" if start == "base" else start
            records.append(score("low-resource", arm, seed, f"{NEW}+{notes}", NEW, right, few))
            records.append(cost("low-resource", arm, seed, f"{NEW}+{notes}", few))
        for (sites, split), right in SCALED.items():
            kind: Table = {"sites": sites, "split": split}
            name = f"all@{sites}-{split}"
            records += [score("scaling", "fedmedlora", seed, name, site, right, kind) for site in SITES]
            records.append(cost("scaling", "fedmedlora", seed, name, kind))
    (folder / "run.json").write_text(json.dumps(settings_info(seeds)), encoding="utf-8")
    (folder / "study.toml").write_text(_study(seeds), encoding="utf-8")
    write_lines(folder / "records.jsonl", records)
    write_lines(folder / "rounds.jsonl", lines)
    return folder


def settings_info(seeds: tuple[int, ...]) -> Table:
    info = run_info(seeds)
    site = info["sites"][0]  # type: ignore[index]
    info["sites"] = [
        *({**site, "name": name} for name in SITES),
        {**site, "name": EXTERNAL, "external": True},
        {**site, "name": NEW, "new": True},
    ]
    info["heterogeneity"] = {
        "labels": {"north": {"south": 0.311}, "south": {"north": 0.311}},
        "vocabulary": {"north": {"south": 0.875}, "south": {"north": 0.875}},
    }
    return info


def _study(seeds: tuple[int, ...]) -> str:
    settings = ["in-domain", "external", "leave-one-out", "low-resource", "uneven", "scaling"]
    sites = "".join(f'[[sites]]\nname = "{site}"\n' for site in SITES)
    sites += f'[[sites]]\nname = "{EXTERNAL}"\nexternal = true\n[[sites]]\nname = "{NEW}"\nnew = true\n'
    return (
        f'name = "every setting"\narms = {json.dumps(ARMS)}\nsettings = {json.dumps(settings)}\nseeds = {list(seeds)}\n'
        f'rounds = 3\ntasks = ["ner", "re"]\n{sites}[training]\nepochs_per_round = 2\n'
    )
