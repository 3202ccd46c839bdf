"""Which arms belong together: the groups of a table, and the arms that a federated one is held against."""

from __future__ import annotations

from collections.abc import Iterable

from fedmedlora.report.progress import CENTRALISED, EXTERNAL, FEDERATED, SEEDLESS, SINGLE_SITE

_ENCODER = "bert-"
_GROUPS = ("Not trained", "BERT encoder", "One site alone", "Federated", "All notes in one place", "Other")

PLAIN = ("fedmedlora", "bert-lora-fedmedlora", "bert-fedavg")
"""The federated arm that stands for the federation in a summary: plain averaging, of each kind of model."""

COMPARED = (
    ("fedmedlora", "single-site"),
    ("fedmedlora", "centralised"),
    ("fedmedlora-plus", "single-site"),
    ("fedmedlora-plus", "centralised"),
    ("fedmedlora-plus", "fedmedlora"),
    ("fedprox", "fedmedlora"),
    ("fedsa-lora", "fedmedlora"),
    ("ffa-lora", "fedmedlora"),
    ("fedmedlora", "api"),
    ("bert-fedavg", "bert-single-site"),
    ("bert-fedavg", "bert-centralised"),
    ("bert-lora-fedmedlora", "bert-lora-single-site"),
    ("bert-lora-fedmedlora", "bert-lora-centralised"),
    ("bert-lora-fedmedlora-plus", "bert-lora-fedmedlora"),
    ("fedmedlora", "bert-fedavg"),
)
"""An arm, and the arm that it is held against: the same in every run, since every test costs the others."""


def compared(setting: str) -> tuple[tuple[str, str], ...]:
    """The pairs that a setting tests. On notes that nobody trained on, the bare base is the start to improve on."""
    return (*COMPARED, ("fedmedlora", "zero-shot")) if setting == EXTERNAL else COMPARED


def alone(arm: str) -> str:
    """The single-site arm that trains the same kind of model: of "bert-fedavg" it is "bert-single-site"."""
    return SINGLE_SITE[_kind(arm)]


def together(arm: str) -> str:
    """The centralised arm that trains the same kind of model."""
    return CENTRALISED[_kind(arm)]


def encoder(arm: str) -> bool:
    """Whether an arm's model is an encoder that classifies tokens."""
    return arm.startswith(_ENCODER)


def kinds(arms: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Arms of the base model, under "", then those of an encoder: charts of each, so that lines stay few."""
    found: dict[str, list[str]] = {"": [], "BERT encoder": []}
    for arm in arms:
        found["BERT encoder" if encoder(arm) else ""].append(arm)
    return list(found.items())


def grouped(arms: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Groups of a table in the order of the paper's, each with its arms; groups without an arm are left out."""
    found: dict[str, list[str]] = {title: [] for title in _GROUPS}
    for arm in arms:
        found[_group(arm)].append(arm)
    return [(title, inside) for title, inside in found.items() if inside]


def _group(arm: str) -> str:
    if encoder(arm):
        return "BERT encoder"
    if arm in SEEDLESS:
        return "Not trained"
    if arm in SINGLE_SITE:
        return "One site alone"
    if arm in CENTRALISED:
        return "All notes in one place"
    return "Federated" if arm in FEDERATED else "Other"


def _kind(arm: str) -> int:
    if arm.startswith("bert-lora-"):
        return 2
    return 1 if encoder(arm) else 0
