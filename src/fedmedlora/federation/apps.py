"""The two apps that Flower loads by name: `server_app` and `client_app`.

`run_config["coordinator-job"]` is the path of the coordinator's file, `node_config["site-job"]` that of the site's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedmedlora import errors
from fedmedlora.errors import ConfigError, EnvironmentProblem, FedMedLoRAError
from fedmedlora.federation.checkpoint import has_checkpoint
from fedmedlora.federation.coordinator import read_result, run_federation
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.job import CoordinatorJob, read_coordinator_job, read_site_job
from fedmedlora.federation.processes import log_folder
from fedmedlora.federation.site import describe_locally, make_client_app
from fedmedlora.record import digest_bytes, write_atomic
from fedmedlora.training.contract import SiteTrainer, Validator

COORDINATOR_KEY = "coordinator-job"
SITE_KEY = "site-job"
FAILURE_FILE = "failure.json"

_log = logging.getLogger("fedmedlora")

# A process that serves several messages, as Ray's do, makes each site's trainer once.
_trainers: dict[tuple[Path, str], SiteTrainer] = {}


def make_server_app(job: Path | None = None) -> ServerApp:
    """The coordinator's app, on the job in that file, or else in the file that the run's configuration names."""
    app = ServerApp()

    def main(grid: Grid, context: Context) -> None:
        path = job if job is not None else _path(context.run_config.get(COORDINATOR_KEY), COORDINATOR_KEY)
        _coordinate(grid, path)

    app.main()(main)
    return app


def make_simulated_client_app(jobs: Sequence[Path]) -> ClientApp:
    """The sites' app where Flower numbers the nodes itself: the node of partition k does the k-th job."""
    return make_client_app(_by_partition(tuple(jobs)))


def read_complete_result(job: CoordinatorJob, status: int, work: Path) -> FederationResult:
    """The result of a job whose engine ended with that exit status and keeps its logs under `work`.

    Raises what the coordinator's app raised, and EnvironmentProblem when the engine ended before the federation did.
    """
    _raise_failure(job.folder)
    if status == 0 and has_checkpoint(job.folder):
        result = read_result(job.folder)
        if len(result.history) == job.plan.rounds:
            return result
    raise EnvironmentProblem(
        f"Flower ended before the federation did (status {status}). Logs are in {log_folder(work)}."
    )


def _raise_failure(folder: Path) -> None:
    path = folder / FAILURE_FILE
    if not path.exists():
        return
    note = json.loads(path.read_text("utf-8"))
    kind = getattr(errors, str(note["kind"]), FedMedLoRAError)
    # A refused update is built from other arguments, and stops no federation.
    ours = isinstance(kind, type) and issubclass(kind, FedMedLoRAError) and kind is not errors.RefusedUpdateError
    error: FedMedLoRAError = kind(note["message"]) if ours else FedMedLoRAError(note["message"])
    raise error


def clear_failure(folder: Path) -> None:
    """Forget what an earlier run failed of."""
    (folder / FAILURE_FILE).unlink(missing_ok=True)


def _coordinate(grid: Grid, path: Path) -> None:
    """Run a job to its end. What stops it is left in the job's folder, since Flower hands no exception back."""
    _show_progress()
    job = read_coordinator_job(path)
    clear_failure(job.folder)
    try:
        validator = None if job.validator is None else cast(Validator, job.validator.make())
        run_federation(grid, job.plan, job.initial, job.folder, validator=validator, resume=job.resume)
    except Exception as error:
        ours = error if isinstance(error, FedMedLoRAError) else FedMedLoRAError(describe_locally(error))
        write_atomic(job.folder / FAILURE_FILE, json.dumps({"kind": type(ours).__name__, "message": str(ours)}) + "\n")
        # Without the cause: Flower prints the chain, and a foreign error's text may quote a validation note.
        raise ours from None


def _trainer_of_node(context: Context) -> SiteTrainer:
    return _trainer(_path(context.node_config.get(SITE_KEY), SITE_KEY))


def _by_partition(jobs: tuple[Path, ...]) -> Callable[[Context], SiteTrainer]:
    return lambda context: _trainer(jobs[int(context.node_config["partition-id"])])


def _trainer(path: Path) -> SiteTrainer:
    job = read_site_job(path)
    key = (path.absolute(), digest_bytes(path.read_bytes()))
    if key not in _trainers:
        trainer = cast(SiteTrainer, job.trainer.make())
        if trainer.site != job.site:
            raise ConfigError(f"{path}: the trainer is of site '{trainer.site}', the file of '{job.site}'.")
        _trainers[key] = trainer
    return _trainers[key]


def _path(value: object, key: str) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"the configuration has no '{key}'. Give it the path of a job file.")
    return Path(value)


def _show_progress() -> None:
    """Rounds on standard error, which Flower collects, unless the process logs elsewhere already."""
    if not logging.getLogger().handlers and not _log.handlers:
        _log.addHandler(logging.StreamHandler())
        _log.setLevel(logging.INFO)


server_app = make_server_app()
client_app = make_client_app(_trainer_of_node)
