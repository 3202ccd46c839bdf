from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedmedlora.aggregation.rules import find_rule
from fedmedlora.aggregation.weights import Verdict
from fedmedlora.errors import ConfigError, EnvironmentProblem, FedMedLoRAError, TrainingError
from fedmedlora.federation import apps, local
from fedmedlora.federation.coordinator import run_federation
from fedmedlora.federation.grid import InProcessGrid, in_process_grid
from fedmedlora.federation.job import (
    CoordinatorJob,
    Factory,
    SiteJob,
    read_coordinator_job,
    read_site_job,
    write_coordinator_job,
    write_site_job,
)
from fedmedlora.federation.plan import FederationPlan, Timeouts
from fedmedlora.training.contract import Validator
from numpy_sites import SECRET, NumpySite, initial_state, make_validator

PLAN = FederationPlan(
    ("alpha", "be"), find_rule("fedmedlora-plus"), rounds=2, seed=3, settings={"lr": 0.01}, timeouts=Timeouts(0.0)
)


def broken_validator() -> Validator:
    """A validator that chokes on a validation note."""

    def validate(state: object) -> Verdict:
        raise LookupError(SECRET)

    return validate


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("fedmedlora")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:], logger.level = handlers, level


def coordinator_job(folder: Path, validator: str = "numpy_sites:make_validator", **changes: object) -> CoordinatorJob:
    factory = Factory(validator, {"target": 2.5} if "make" in validator else {})
    job = CoordinatorJob(PLAN, initial_state(), folder / "out", factory, resume=False)
    return replace(job, **changes)  # type: ignore[arg-type]


def site_jobs(folder: Path) -> list[Path]:
    paths = []
    for site, tokens in (("alpha", 30), ("be", 11)):
        paths.append(folder / f"{site}.json")
        arguments: dict[str, object] = {"site": site, "tokens": tokens, "folder": str(folder)}
        write_site_job(paths[-1], SiteJob(site, Factory("numpy_sites:make_site", arguments)))
    return paths


def context(**run_config: str) -> Context:
    return Context(1, 1, {}, RecordDict(), dict(run_config))


def test_the_apps_do_what_their_files_say(tmp_path: Path) -> None:
    sites = [NumpySite("alpha", 30, tmp_path / "here"), NumpySite("be", 11, tmp_path / "here")]
    grid = in_process_grid(sites)
    expected = run_federation(grid, PLAN, initial_state(), tmp_path / "here", validator=make_validator(2.5))
    job = coordinator_job(tmp_path)
    write_coordinator_job(tmp_path / "job.json", job)
    # By node configuration, as at a SuperNode, and with the job named by the run's configuration.
    nodes = InProcessGrid(apps.client_app, [{"site-job": str(path)} for path in site_jobs(tmp_path)])
    apps.server_app(nodes, context(**{"coordinator-job": str(tmp_path / "job.json")}))
    assert apps.read_complete_result(job, 0, tmp_path).state.digest == expected.state.digest
    # By partition, as in a simulation.
    again = replace(job, folder=tmp_path / "again")
    write_coordinator_job(tmp_path / "again.json", again)
    simulated = InProcessGrid(
        apps.make_simulated_client_app(site_jobs(tmp_path)), [{"partition-id": 0}, {"partition-id": 1}]
    )
    apps.make_server_app(tmp_path / "again.json")(simulated, context())
    assert apps.read_complete_result(again, 0, tmp_path).state.digest == expected.state.digest


def test_what_stops_the_coordinator_is_raised_where_it_was_started(tmp_path: Path) -> None:
    job = coordinator_job(tmp_path)
    write_coordinator_job(tmp_path / "job.json", job)
    grid = in_process_grid([NumpySite("alpha", 30, tmp_path)])
    with pytest.raises(ConfigError, match="1 of the 2 sites needed"):
        apps.make_server_app(tmp_path / "job.json")(grid, context())
    with pytest.raises(ConfigError, match="1 of the 2 sites needed"):
        apps.read_complete_result(job, 1, tmp_path)
    apps.clear_failure(job.folder)
    with pytest.raises(EnvironmentProblem, match=r"Flower ended before the federation did \(status 1\)"):
        apps.read_complete_result(job, 1, tmp_path)


def test_a_validator_that_quotes_a_note_is_silenced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = coordinator_job(tmp_path, "test_federation_apps:broken_validator")
    write_coordinator_job(tmp_path / "job.json", job)
    grid = in_process_grid([NumpySite("alpha", 30, tmp_path), NumpySite("be", 11, tmp_path)])
    with pytest.raises(FedMedLoRAError, match=r"LookupError at .*test_federation_apps\.py, line") as caught:
        apps.make_server_app(tmp_path / "job.json")(grid, context())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "Smith" not in str(caught.value) + caplog.text + (job.folder / "failure.json").read_text()


def test_a_failure_keeps_its_class(tmp_path: Path) -> None:
    job = coordinator_job(tmp_path)
    for kind, expected in (("TrainingError", TrainingError), ("RefusedUpdateError", FedMedLoRAError)):
        job.folder.mkdir(exist_ok=True)
        (job.folder / "failure.json").write_text(json.dumps({"kind": kind, "message": "m"}))
        with pytest.raises(expected, match=r"^m$") as caught:
            apps.read_complete_result(job, 0, tmp_path)
        assert type(caught.value) is expected


def test_jobs_survive_their_files(tmp_path: Path) -> None:
    job = coordinator_job(tmp_path, resume=True)
    write_coordinator_job(tmp_path / "job.json", job)
    assert read_coordinator_job(tmp_path / "job.json") == job
    site = SiteJob("a", Factory("m:f", {"x": [1, {"y": None}]}))
    write_site_job(tmp_path / "a.json", site)
    assert read_site_job(tmp_path / "a.json") == site


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere", "'nowhere' names no function. Expected MODULE:FUNCTION"),
        ("no_such_module:make", "no such function can be imported here"),
        ("numpy_sites:no_such_function", "no such function can be imported here"),
        ("numpy_sites:BASE", "'numpy_sites:BASE' is not a function"),
    ],
)
def test_a_factory_that_cannot_be_called(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Factory(name).make()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "text: Invalid JSON"),
        ("{}", "site: Field required; trainer: Field required"),
        ('{"site": 1, "trainer": {"name": "m:f"}}', "site: Input should be a valid string"),
    ],
)
def test_a_site_job_that_cannot_be_read(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_site_job(tmp_path / "a.json")


def test_sites_without_a_usable_job_say_so_to_the_coordinator(tmp_path: Path) -> None:
    good, other = site_jobs(tmp_path)
    write_site_job(other, SiteJob("be", Factory("numpy_sites:make_site", {"site": "x", "tokens": 1, "folder": "f"})))
    configs = [{"site-job": str(good)}, {}, {"site-job": str(tmp_path / "none.json")}, {"site-job": str(other)}]
    grid = InProcessGrid(apps.client_app, configs)
    with pytest.raises(ConfigError) as caught:
        run_federation(grid, replace(PLAN, rule=find_rule("fedmedlora")), initial_state(), tmp_path)
    text = str(caught.value)
    assert "node 3: ConfigError: the configuration has no 'site-job'" in text
    assert "none.json: cannot be read" in text
    assert "the trainer is of site 'x', the file of 'be'" in text


def test_the_app_folder_names_the_installed_apps(tmp_path: Path) -> None:
    folder = local.write_app_folder(tmp_path / "app", tmp_path / 'odd "name".json')
    found = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert found["components"]["serverapp"] == "fedmedlora.federation.apps:server_app"
    assert found["config"] == {"coordinator-job": str(tmp_path / 'odd "name".json')}


def test_a_supernode_path_that_flower_would_misread(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quotation marks"), local.loopback([tmp_path / "it's.json"], tmp_path):
        raise AssertionError("it started")
