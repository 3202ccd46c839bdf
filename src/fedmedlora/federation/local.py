"""A real deployment on one machine: SuperLink and SuperNodes as processes on loopback, offline, without encryption.

For tests and for trying things out: the connection has no TLS and takes any SuperNode, so it must not leave loopback.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import flwr

from fedmedlora.errors import ConfigError, EnvironmentProblem
from fedmedlora.federation.apps import COORDINATOR_KEY, SITE_KEY, clear_failure, read_complete_result
from fedmedlora.federation.history import FederationResult
from fedmedlora.federation.job import read_coordinator_job
from fedmedlora.federation.processes import log_folder, started, wait_for_end
from fedmedlora.record import write_atomic

_HOST = "127.0.0.1"
_CONNECTION = "loopback"
_START_S = 60.0
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Loopback:
    """A running SuperLink with its SuperNodes. `work` holds Flower's files and, in `logs`, what each process says."""

    work: Path
    port: int

    def run(self, coordinator_job: Path, timeout_s: float) -> FederationResult:
        """Submit the job, wait for its end and read the result.

        Raises what the coordinator raises; EnvironmentProblem when it does not end in time or Flower fails.
        """
        app = write_app_folder(self.work / "app", coordinator_job)
        home = self.work / "submit"
        connection = f'[superlink.{_CONNECTION}]\naddress = "{_HOST}:{self.port}"\ninsecure = true\n'
        write_atomic(home / "config.toml", f'[superlink]\ndefault = "{_CONNECTION}"\n\n{connection}')
        command = ["flwr", "run", str(app), _CONNECTION, "--stream"]
        job = read_coordinator_job(coordinator_job)
        clear_failure(job.folder)
        with started(command, self.work, "submit") as process:
            status = wait_for_end(process, timeout_s, self.work)
        return read_complete_result(job, status, self.work)


def run_on_loopback(
    coordinator_job: Path, site_jobs: Sequence[Path], work: Path, *, timeout_s: float = 3600.0
) -> FederationResult:
    """Run a federation on a SuperLink and one SuperNode for each site, all stopped at the end.

    The result is that of the in-process grid, bit for bit. Raises what the coordinator raises, and EnvironmentProblem.
    """
    with loopback(site_jobs, work) as running:
        return running.run(coordinator_job, timeout_s)


@contextlib.contextmanager
def loopback(site_jobs: Sequence[Path], work: Path) -> Iterator[Loopback]:
    """Start a SuperLink and a SuperNode for each site on free ports; stop all of them, helpers included, at the end.

    Raises EnvironmentProblem when one does not start.
    """
    link_port, *node_ports = _free_ports(1 + len(site_jobs))
    link = ["flower-superlink", "--insecure", "--host", _HOST, "--port", str(link_port)]
    link.append("--disable-runtime-dependency-installation")
    nodes = [_supernode(link_port, port, job) for port, job in zip(node_ports, site_jobs, strict=True)]
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(started(link, work, "superlink"))
        _wait_for_port(link_port, process, work)
        for place, node in enumerate(nodes, start=1):
            stack.enter_context(started(node, work, f"supernode-{place}"))
        yield Loopback(work, link_port)


def _supernode(link_port: int, port: int, job: Path) -> list[str]:
    command = ["flower-supernode", "--insecure", "--superlink", f"{_HOST}:{link_port}", "--host", _HOST]
    return [*command, "--port", str(port), "--node-config", f"{SITE_KEY}={_toml_text(str(job.absolute()))}"]


def write_app_folder(folder: Path, coordinator_job: Path) -> Path:
    """The app bundle that `flwr run` submits: no code, just the names of the installed package's apps."""
    text = f"""[project]
name = "fedmedlora-app"
version = "{flwr.__version__}"
description = "Refers to the apps of the installed fedmedlora"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedmedlora"

[tool.flwr.app.components]
serverapp = "fedmedlora.federation.apps:server_app"
clientapp = "fedmedlora.federation.apps:client_app"

[tool.flwr.app.config]
{COORDINATOR_KEY} = {json.dumps(str(coordinator_job.absolute()))}
"""
    write_atomic(folder / "pyproject.toml", text)
    return folder


def _wait_for_port(port: int, process: subprocess.Popen[bytes], work: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), timeout=1.0):
            return
        time.sleep(_PAUSE_S)
    raise EnvironmentProblem(f"the SuperLink did not start. Logs are in {log_folder(work)}.")


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for found in sockets:
            found.bind((_HOST, 0))
        return [int(found.getsockname()[1]) for found in sockets]


def _toml_text(value: str) -> str:
    # Flower splits a node's configuration at blanks outside quotation marks and knows no escapes.
    if any(letter in value for letter in "'\"\\\n"):
        raise ConfigError(f"{value!r}: Flower cannot be given a path with quotation marks, backslashes or line breaks.")
    return f'"{value}"'
