"""The arm api of a study: its settings, its worked examples, and what may be sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedmedlora.config.models import ApiConfig
from fedmedlora.errors import ConfigError
from fedmedlora.inference.api import ApiClient, ApiSettings
from fedmedlora.inference.api_answers import ApiAnswers, check_may_leave, choose_shots
from fedmedlora.markup.encode import Example
from fedmedlora.studies.cells import study_cells
from fedmedlora.studies.resident import Resident

FOLDER = "api"
"""Of a run directory: answers and ledger. Answers quote notes."""


def check_api(resident: Resident) -> None:
    """Before anything expensive: what may not be sent, or cannot be for want of a key. Raises ConfigError."""
    asking = [cell for cell in study_cells(resident.config) if cell.arm == "api"]
    if not asking:
        return
    config = resident.config.api
    tested = {site for cell in asking for site in cell.tests(resident.config)}
    sent = [document for site in sorted(tested) for document in resident.documents(site, "test")]
    if config.shots:
        sent += [document for site in resident.config.members for document in resident.sites[site].parts["train"]]
    check_may_leave(sent, allowed=config.allow_credentialed, where=config.base_url)
    ApiClient(_settings(config), Path()).close()


@contextmanager
def ask_model(resident: Resident, out: Path) -> Iterator[ApiAnswers]:
    """The model, as long as the block lasts; answers are kept in the run directory."""
    with ApiClient(_settings(resident.config.api), out / FOLDER) as client:
        yield ApiAnswers(client, resident.labels, _shots(resident))


def _shots(resident: Resident) -> list[Example]:
    """From the sites in turn, so that no site's style is all that is shown."""
    config = resident.config
    found: list[Example] = []
    for task in config.tasks:
        by_site = [choose_shots(resident.examples[site], (task,), config.api.shots) for site in config.members]
        turns = [shots[place] for place in range(config.api.shots) for shots in by_site if place < len(shots)]
        found += turns[: config.api.shots]
    return found


def _settings(config: ApiConfig) -> ApiSettings:
    if config.model is None:
        raise ConfigError("the arm 'api' needs api.model, the name of the model at api.base_url.")
    return ApiSettings(
        config.base_url,
        config.model,
        key_variable=config.key_variable,
        concurrency=config.concurrency,
        timeout_s=config.timeout_s,
        attempts=config.attempts,
        max_tokens=config.max_tokens,
        token_limit_key=config.token_limit_key,
        fixed=config.fixed,
        price_in=config.price_in,
        price_out=config.price_out,
    )
