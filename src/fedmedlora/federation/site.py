"""A site's ClientApp: two messages in, a registration, an update or a failure out. No exception leaves it.

Flower sends the text of an exception that leaves a ClientApp to the coordinator, and prints it; a library's message may
quote what it choked on. So every exception is caught here: our own errors travel as their message, which never holds
note text, all others as their class name alone.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedmedlora.adapters.state import AdapterState, subtract
from fedmedlora.aggregation.checks import check_update
from fedmedlora.errors import ConfigError, FedMedLoRAError, MessageError
from fedmedlora.federation import wire
from fedmedlora.federation.codec import Encoded, encode_state
from fedmedlora.federation.feedback import Losses, encode_with_feedback
from fedmedlora.training.contract import SiteTrainer

_log = logging.getLogger(__name__)

TrainerFor: TypeAlias = Callable[[Context], SiteTrainer]


def make_client_app(trainer_for: TrainerFor) -> ClientApp:
    """The app that runs at a site. `trainer_for` gives the trainer of the node whose context it gets."""
    app = ClientApp()

    def register(message: Message, context: Context) -> Message:
        return _answer(message, context, trainer_for, _register)

    def run_round(message: Message, context: Context) -> Message:
        return _answer(message, context, trainer_for, _run_round)

    app.query("register")(register)
    app.train("round")(run_round)
    return app


def _register(content: RecordDict, trainer: SiteTrainer) -> RecordDict:
    wire.unpack_request(content)
    return wire.pack_registration(trainer.register())


def _run_round(content: RecordDict, trainer: SiteTrainer) -> RecordDict:
    asked = wire.unpack_round(content)
    update = trainer.run_round(asked.state, asked.plan)
    if (update.site, update.round) != (trainer.site, asked.plan.round):
        raise MessageError(f"site '{trainer.site}' trained another site or another round than {asked.plan.round}.")
    travelling = update.state.select(lambda name: name in asked.state.arrays)
    return wire.pack_update(replace(update, state=travelling), _encode_change(travelling, asked, trainer))


def _encode_change(trained: AdapterState, asked: wire.RoundRequest, trainer: SiteTrainer) -> Encoded | None:
    """What the round changed, in the precision asked for; None for float32, which sends the adapter itself."""
    if asked.wire == "float32":
        return None
    # What cannot be averaged is refused here by name, since not every precision could carry it.
    check_update(trainer.site, trained, asked.state)
    change = subtract(trained, asked.state)
    if asked.wire == "bfloat16":
        return encode_state("bfloat16", change)
    if trainer.memory is None:
        raise ConfigError(
            f"site '{trainer.site}' has no folder, where 8-bit updates keep what a round could not send. Give the site "
            'one, or let the federation use wire = "bfloat16".'
        )
    losses = Losses(trainer.memory, trainer.site, asked.plan.federation)
    return encode_with_feedback(change, asked.plan.round, losses)


def _answer(
    message: Message, context: Context, trainer_for: TrainerFor, work: Callable[[RecordDict, SiteTrainer], RecordDict]
) -> Message:
    site = ""
    try:
        trainer = trainer_for(context)
        site = trainer.site
        content = work(message.content, trainer)
    except Exception as error:
        _log.error("%s failed: %s", message.metadata.message_type, describe_locally(error))
        content = wire.pack_failure(error, site)
    return Message(content, reply_to=message)


def describe_locally(error: Exception) -> str:
    """What a log may say: our own message, or class and place of a foreign error, whose text may quote a note."""
    if isinstance(error, FedMedLoRAError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
