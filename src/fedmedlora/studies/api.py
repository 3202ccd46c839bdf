"""The arm api of a study: its settings, its worked examples, what may be sent, what was, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedmedlora.config.api import ApiConfig
from fedmedlora.config.models import StudyConfig
from fedmedlora.corpus.document import Json
from fedmedlora.errors import ConfigError
from fedmedlora.inference.api import ApiClient, ApiSettings, spent_in
from fedmedlora.inference.api_answers import (
    ApiAnswers,
    UnsentQuestions,
    check_may_leave,
    choose_shots,
    credentialed,
)
from fedmedlora.inference.predict import predict_entities, predict_modifiers
from fedmedlora.markup.encode import Example
from fedmedlora.studies.cells import study_cells
from fedmedlora.studies.resident import Resident
from fedmedlora.studies.sites import SiteNotes, looked_at

FOLDER = "api"
"""Of a run directory: answers and ledger. Answers quote notes."""


@dataclass(frozen=True)
class MostSpent:
    """More than asking takes: a token for every byte that is sent, and every answer as long as may be.

    Attempts that are repeated are left out. cost: None where the study gives no prices.
    """

    questions: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return {
            "questions": self.questions,
            "tokens_in_at_most": self.tokens_in,
            "tokens_out_at_most": self.tokens_out,
            "cost_at_most": self.cost,
        }


def check_api(config: StudyConfig, sites: Mapping[str, SiteNotes]) -> None:
    """Before anything expensive: what may not be sent, or cannot be for want of a key. Raises ConfigError."""
    tested = _tested(config)
    if not tested:
        return
    sent = [document for site in tested for document in looked_at(config, sites[site], "test")]
    if config.api.shots:
        sent += [document for site in config.members for document in sites[site].parts["train"]]
    settings = _settings(config.api)
    check_may_leave(sent, allowed=config.api.allow_credentialed, where=settings.server)
    ApiClient(settings, Path()).close()


@contextmanager
def ask_model(resident: Resident, out: Path) -> Iterator[ApiAnswers]:
    """The model, as long as the block lasts; answers are kept in the run directory."""
    with ApiClient(_settings(resident.config.api), out / FOLDER) as client:
        yield ApiAnswers(client, resident.labels, _shots(resident))


def describe_api(resident: Resident) -> dict[str, Json]:
    """What `run.json` says of the arm, before anything is sent; empty in a study without it."""
    return {"api": _destination(resident)} if _tested(resident.config) else {}


def describe_spent(resident: Resident, out: Path) -> dict[str, Json]:
    """What the arm's record says once all is asked: what was sent where, and what that took, earlier runs included."""
    spent = spent_in(out / FOLDER)
    return {
        **_destination(resident),
        "questions": spent.asked,
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "cost": spent.cost,
    }


def most_spent(resident: Resident) -> MostSpent | None:
    """A bound on what the arm takes, by the questions that it will ask; None in a study without it."""
    config, tested = resident.config, _tested(resident.config)
    if not tested:
        return None
    unsent = UnsentQuestions(resident.labels, _shots(resident))
    for site in tested:
        for task in config.tasks:
            predict = predict_entities if task == "ner" else predict_modifiers
            predict(resident.documents(site, "test"), resident.encoder, unsent)
    settings = _settings(config.api)
    tokens_out = unsent.questions * settings.max_tokens
    return MostSpent(unsent.questions, unsent.bytes, tokens_out, settings.cost(unsent.bytes, tokens_out))


def _tested(config: StudyConfig) -> list[str]:
    """The sites whose test notes the arm is asked about."""
    return sorted({site for cell in study_cells(config) if cell.arm == "api" for site in cell.tests(config)})


def _destination(resident: Resident) -> dict[str, Json]:
    """Server and model, and how many notes under a data-use agreement go there, by site."""
    settings = _settings(resident.config.api)
    return {
        "server": settings.server,
        "model": settings.model,
        "credentialed_notes": {site: count for site, count in _credentialed_notes(resident).items() if count},
    }


def _credentialed_notes(resident: Resident) -> dict[str, int]:
    """Test notes that are asked about, and training notes that worked examples are taken from."""
    counts = dict.fromkeys(resident.sites, 0)
    for site in _tested(resident.config):
        counts[site] += len(credentialed(resident.documents(site, "test")))
    # A window is called NOTE[from:to].
    shown = {(site, shot.request.document.id.rpartition("[")[0]) for site, shot in _drawn(resident)}
    for site in resident.config.members:
        counts[site] += sum((site, name) in shown for name in credentialed(resident.sites[site].parts["train"]))
    return counts


def _shots(resident: Resident) -> list[Example]:
    return [shot for _, shot in _drawn(resident)]


def _drawn(resident: Resident) -> list[tuple[str, Example]]:
    """Worked examples and their sites: from each in turn, so that no site's style is all that is shown."""
    config = resident.config
    found: list[tuple[str, Example]] = []
    for task in config.tasks:
        by_site = {site: choose_shots(resident.examples[site], (task,), config.api.shots) for site in config.members}
        turns = [
            (site, shots[place])
            for place in range(config.api.shots)
            for site, shots in by_site.items()
            if place < len(shots)
        ]
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
