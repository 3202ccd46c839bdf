"""The same federation on all three engines: one process, Ray, and a SuperLink with SuperNodes on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from fedmedlora.adapters.state import AdapterState
from fedmedlora.aggregation.rules import find_rule
from fedmedlora.corpus.formats import write_documents
from fedmedlora.corpus.synthetic import PROFILES, generate_notes
from fedmedlora.federation.codec import PRECISIONS, Precision
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import in_process_grid
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.job import CoordinatorJob, Factory, SiteJob, write_coordinator_job, write_site_job
from fedmedlora.federation.local import loopback
from fedmedlora.federation.plan import FederationPlan
from fedmedlora.federation.simulation import run_on_ray
from fedmedlora.training.contract import SiteTrainer, Validator
from fedmedlora.training.factory import resident
from fedmedlora.training.loop import TrainSettings
from fedmedlora.training.site import settings_to_scalars
from numpy_sites import initial_state

TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Federation:
    """What the engines run: a plan, an adapter, a trainer factory with its arguments for each site, a validator."""

    plan: FederationPlan
    initial: AdapterState
    trainer: str
    sites: Mapping[str, dict[str, object]]
    validator: Factory | None

    def sent_as(self, wire: Precision) -> Federation:
        return replace(self, plan=replace(self.plan, wire=wire))

    def factory(self, site: str, folder: Path) -> Factory:
        return Factory(self.trainer, {"site": site, "folder": str(folder), **self.sites[site]})

    def jobs(self, folder: Path) -> tuple[Path, list[Path]]:
        """Write the coordinator's job and the sites'."""
        coordinator, sites = folder / "coordinator.json", []
        write_coordinator_job(
            coordinator, CoordinatorJob(self.plan, self.initial, folder / "out", self.validator, False)
        )
        for site in self.sites:
            sites.append(folder / f"{site}.json")
            write_site_job(sites[-1], SiteJob(site, self.factory(site, folder / site)))
        return coordinator, sites

    def in_process(self, folder: Path) -> FederationResult:
        trainers = [cast(SiteTrainer, self.factory(site, folder / site).make()) for site in self.sites]
        validator = None if self.validator is None else cast(Validator, self.validator.make())
        return run_federation(in_process_grid(trainers), self.plan, self.initial, folder / "out", validator=validator)


@pytest.fixture
def numpy_federation(monkeypatch: pytest.MonkeyPatch) -> Federation:
    """Two numpy sites, two rounds, Fed-MedLoRA+, so that the coordinator's validation runs too."""
    # The processes that engines start find the trainer's module there.
    monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=":")
    plan = FederationPlan(("alpha", "be"), find_rule("fedmedlora-plus"), rounds=2, seed=11, settings={"lr": 0.01})
    sites: dict[str, dict[str, object]] = {"alpha": {"tokens": 30}, "be": {"tokens": 11}}
    validator = Factory("numpy_sites:make_validator", {"target": 2.5})
    return Federation(plan, initial_state(), "numpy_sites:make_site", sites, validator)


@pytest.fixture
def lora_federation(tmp_path: Path) -> Federation:
    """Two sites of generated notes on the bundled base, trained for real, Fed-MedLoRA+ with a real validation set."""
    sites: dict[str, dict[str, object]] = {}
    common: dict[str, object] = {"base": "bundled", "rank": 4, "max_examples": 12, "threads": 1}
    for name in ("cardiology-ward", "outpatient-letters"):
        notes = tmp_path / f"{name}.jsonl"
        write_documents(generate_notes(PROFILES[name], 2, seed=5), notes, "jsonl")
        sites[name] = {"notes": str(notes), **common}
    validation = tmp_path / "validation.jsonl"
    write_documents(generate_notes(PROFILES["oncology-centre"], 1, seed=5, part="dev"), validation, "jsonl")
    settings = settings_to_scalars(TrainSettings(lr=1e-3, epochs=1, batch_size=4, keep_moments=True))
    judge = {"notes": str(validation), "settings": settings, **common}
    plan = FederationPlan(tuple(sites), find_rule("fedmedlora-plus"), rounds=2, seed=3, settings=settings)
    initial = resident("bundled", 4, 64.0).fresh(3)
    factory = "fedmedlora.training.factory"
    return Federation(plan, initial, f"{factory}:make_site_trainer", sites, Factory(f"{factory}:make_judge", judge))


def assert_same(found: FederationResult, expected: FederationResult) -> None:
    assert found.state.digest == expected.state.digest
    assert [record.digest for record in found.history] == [record.digest for record in expected.history]
    assert [record.weights for record in found.history] == [record.weights for record in expected.history]
    assert found.registrations == expected.registrations
    for ours, theirs in zip(found.history, expected.history, strict=True):
        # Node and message ids differ in length between engines; everything else in a message is the same.
        assert ours.bytes_sent == pytest.approx(theirs.bytes_sent, abs=600)
        assert ours.bytes_received == pytest.approx(theirs.bytes_received, abs=600)


def processes_of(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


@pytest.mark.slow
def test_three_engines_train_the_same_lora(lora_federation: Federation, tmp_path: Path) -> None:
    expected = lora_federation.in_process(tmp_path / "one")
    assert expected.state.digest != lora_federation.initial.digest
    coordinator, sites = lora_federation.jobs(tmp_path / "ray")
    assert_same(run_on_ray(coordinator, sites, tmp_path / "ray-work", processors=2, timeout_s=240.0), expected)
    coordinator, sites = lora_federation.jobs(tmp_path / "link")
    with loopback(sites, tmp_path / "flower") as running:
        assert_same(running.run(coordinator, timeout_s=240.0), expected)


@pytest.mark.slow
@pytest.mark.parametrize("wire", PRECISIONS)
def test_ray_gives_the_same_adapter(numpy_federation: Federation, tmp_path: Path, wire: Precision) -> None:
    federation = numpy_federation.sent_as(wire)
    expected = federation.in_process(tmp_path / "one")
    coordinator, sites = federation.jobs(tmp_path / "ray")
    assert_same(run_on_ray(coordinator, sites, tmp_path / "work", processors=2, timeout_s=120.0), expected)
    assert processes_of(tmp_path) == []


@pytest.mark.slow
def test_a_superlink_with_two_supernodes_gives_the_same_adapter(numpy_federation: Federation, tmp_path: Path) -> None:
    expected = numpy_federation.in_process(tmp_path / "one")
    coordinator, sites = numpy_federation.jobs(tmp_path / "link")
    # The same SuperLink then serves a federation in which a site's library quotes a note in its exception.
    plan = replace(numpy_federation.plan, rounds=1, settings={"lr": 0.01, "fail": "be"})
    failing, _ = replace(numpy_federation, plan=plan).jobs(tmp_path / "failing")
    with loopback(sites, tmp_path / "flower") as running:
        assert_same(running.run(coordinator, timeout_s=120.0), expected)
        for wire in ("bfloat16", "int8"):
            federation = numpy_federation.sent_as(wire)
            other, _ = federation.jobs(tmp_path / wire)
            assert_same(running.run(other, timeout_s=120.0), federation.in_process(tmp_path / f"one-{wire}"))
        result = running.run(failing, timeout_s=120.0)
    assert result.history[0].refused == {"be": "ValueError"}
    assert result.history[0].weights == {"alpha": 1.0}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"superlink.log", "supernode-1.log", "supernode-2.log", "submit.log"} <= {path.name for path in files}
    assert [path for path in files if b"Smith" in path.read_bytes()] == []
    assert processes_of(tmp_path) == []
