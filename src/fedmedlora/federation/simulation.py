"""All sites on this machine or cluster, in processes of their own: Flower's simulation runtime, which is Ray.

The runtime gets a process to itself (this module run as a program), since Ray and Flower leave signal handlers, threads
and the identity of their run behind in the one that they run in.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fedmedlora.errors import EnvironmentProblem
from fedmedlora.federation.apps import (
    clear_failure,
    make_server_app,
    make_simulated_client_app,
    read_complete_result,
)
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.job import read_coordinator_job
from fedmedlora.federation.processes import started, wait_for_end


def run_on_ray(
    coordinator_job: Path,
    site_jobs: Sequence[Path],
    work: Path,
    *,
    processors: int,
    processors_per_site: float = 1.0,
    gpus_per_site: float = 0.0,
    timeout_s: float = 30 * 86400.0,
) -> FederationResult:
    """Run a federation under Ray; the result is that of the in-process grid, bit for bit.

    processors: that Ray may count on; as many sites run side by side as fit. The next two are what one site's process
    is given, in processors and in (fractions of) GPUs. `work` keeps logs. Raises what the coordinator raises, and
    EnvironmentProblem where Ray is not installed, fails, or does not end in time.
    """
    if importlib.util.find_spec("ray") is None:
        raise EnvironmentProblem("Ray is not installed. Install fedmedlora[simulation], or run in one process.")
    job = read_coordinator_job(coordinator_job)
    clear_failure(job.folder)
    backend = {
        "init_args": {"num_cpus": processors, "include_dashboard": False, "log_to_driver": False},
        "client_resources": {"num_cpus": processors_per_site, "num_gpus": gpus_per_site},
    }
    paths = [str(path.absolute()) for path in (coordinator_job, *site_jobs)]
    command = [sys.executable, "-m", __name__, json.dumps(backend), *paths]
    with started(command, work, "ray") as process:
        status = wait_for_end(process, timeout_s, work)
    return read_complete_result(job, status, work)


def _main(backend: str, coordinator_job: str, *site_jobs: str) -> None:
    from flwr.simulation import run_simulation

    run_simulation(
        server_app=make_server_app(Path(coordinator_job)),
        client_app=make_simulated_client_app([Path(job) for job in site_jobs]),
        num_supernodes=len(site_jobs),
        backend_config=json.loads(backend),
    )


if __name__ == "__main__":
    _main(*sys.argv[1:])
