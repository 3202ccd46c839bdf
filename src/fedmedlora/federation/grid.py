"""All sites in this process: the same ClientApp, the same serialised messages, one site after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from fedmedlora.errors import ConfigError
from fedmedlora.federation.site import make_client_app
from fedmedlora.training.contract import SiteTrainer

_log = logging.getLogger(__name__)

_RUN_ID = 1
_FIRST_NODE_ID = SUPERLINK_NODE_ID + 1
_POSITION = "partition-id"


class InProcessGrid(Grid):
    """A Flower grid whose nodes live here.

    A message is serialised and runs when its reply is pulled, one per pull, in the order of pushing: so memory holds
    one message and one reply at a time, however many sites there are, and sites that share a resident base model never
    run side by side. What was pushed must not change until then.
    `node_configs` gives each node's configuration, as `--node-config` does for a SuperNode.
    """

    def __init__(self, client_app: ClientApp, node_configs: Sequence[Mapping[str, str | int | float | bool]]) -> None:
        _identify_process()
        self._client_app = client_app
        self._run = Run.create_empty(_RUN_ID)
        self._contexts = {
            _FIRST_NODE_ID + place: Context(_RUN_ID, _FIRST_NODE_ID + place, dict(config), RecordDict(), {})
            for place, config in enumerate(node_configs)
        }
        self._queue: dict[str, Message] = {}
        self._pushed = 0

    def set_run(self, run: Run) -> None:
        """Take over a run's description."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message, as Flower's older interface has it."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """The sites' node ids, in the order of their configurations."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Queue messages. Raises ConfigError for one to a node that is not here."""
        ids = []
        for message in messages:
            if message.metadata.dst_node_id not in self._contexts:
                raise ConfigError(
                    f"node {message.metadata.dst_node_id} is not among the {len(self._contexts)} of this grid."
                )
            self._pushed += 1
            identifier = f"message-{self._pushed}"
            self._queue[identifier] = message
            ids.append(identifier)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Run the first queued message among `message_ids` and give its reply; nothing when none is queued."""
        wanted = set(message_ids)
        found = next((identifier for identifier in self._queue if identifier in wanted), None)
        if found is None:
            return []
        return [_carried(self._deliver(_carried(self._queue.pop(found), found)))]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push messages and pull all replies; the time-out has no meaning here, as every message is answered."""
        waiting = self.push_messages(messages)
        return [reply for _ in range(len(waiting)) for reply in self.pull_messages(waiting)]

    def _deliver(self, message: Message) -> Message:
        context = self._contexts[message.metadata.dst_node_id]
        try:
            return self._client_app(message=message, context=context)
        except Exception as error:
            # An app made by `make_client_app` never raises; another one's text stays here, as it would at a site.
            _log.error("node %d: %s", context.node_id, type(error).__name__)
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, type(error).__name__), reply_to=message)


def in_process_grid(trainers: Sequence[SiteTrainer]) -> InProcessGrid:
    """A grid with one node for each trainer, in sorted order of their sites' names.

    Sorted, because then every update is averaged as soon as it is there.
    """
    ordered = sorted(trainers, key=lambda trainer: trainer.site)
    return InProcessGrid(make_client_app(_by_position(ordered)), [{_POSITION: place} for place in range(len(ordered))])


def _by_position(trainers: Sequence[SiteTrainer]) -> Callable[[Context], SiteTrainer]:
    return lambda context: trainers[int(context.node_config[_POSITION])]


def _carried(message: Message, identifier: str | None = None) -> Message:
    """The message as it arrives: serialised and parsed, under that id."""
    proto = message_to_proto(message)
    if identifier is not None:
        proto.metadata.message_id = identifier
    return message_from_proto(ProtoMessage.FromString(proto.SerializeToString()))


def _identify_process() -> None:
    """Say who sends, which Flower's runtimes do before an app starts and `Message` insists upon."""
    TaskIdentity.run_id = _RUN_ID
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    TaskIdentity.task_id = 1
