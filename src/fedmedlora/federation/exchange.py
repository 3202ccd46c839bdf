"""One question to many sites, the answers as they come, and a limit on the waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedmedlora.federation.measure import message_bytes

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_PAUSE_GROWTH = 1.5
# Flower drops a message when its time to live is over; without a limit of ours, none of its.
_UNLIMITED_TTL_S = 30 * 24 * 3600.0
_TTL_MARGIN_S = 60.0

# Flower's own reason for an error may quote the exception that a site's app died of; only its code is used.
_FLOWER_ERRORS = {
    ErrorCode.LOAD_CLIENT_APP_EXCEPTION: "the site could not load its app; look into the site's log",
    ErrorCode.CLIENT_APP_RAISED_EXCEPTION: "the site's app ended with an error; look into the site's log",
    ErrorCode.MESSAGE_UNAVAILABLE: "the message was lost or out of date",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "the reply was lost or out of date",
    ErrorCode.NODE_UNAVAILABLE: "the site is not connected",
    ErrorCode.INVALID_FAB: "the site refused the app bundle",
    ErrorCode.CLIENT_APP_CRASHED: "the site's app was killed; look into the site's log (memory?)",
}


class Reply(NamedTuple):
    """What came of one message: `content`, or the `problem` that kept it from coming. Sizes in bytes."""

    node_id: int
    content: RecordDict | None
    problem: str | None
    bytes_sent: int
    bytes_received: int


def exchange(
    grid: Grid, nodes: Sequence[int], content: RecordDict, message_type: str, group: str, timeout_s: float | None
) -> Iterator[Reply]:
    """Send `content` to every node and yield one reply per node, in the order in which they come.

    After `timeout_s` seconds (None: no limit) nodes that have not answered are yielded with that as their problem.
    """
    ttl = _UNLIMITED_TTL_S if timeout_s is None else timeout_s + _TTL_MARGIN_S
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
    waiting: dict[str, tuple[int, int]] = {}
    for node in nodes:
        message = Message(content, node, message_type, ttl=ttl, group_id=group)
        size = message_bytes(message)
        # One at a time, because a grid may leave refused messages out of the list that it returns.
        ids = [found for found in grid.push_messages([message]) if found]
        if ids:
            waiting[ids[0]] = (node, size)
        else:
            yield Reply(node, None, "the message could not be delivered (too large?)", 0, 0)
    yield from _collect(grid, waiting, deadline)
    for node, size in waiting.values():
        yield Reply(node, None, f"no reply within {timeout_s:g} s", size, 0)


def _collect(grid: Grid, waiting: dict[str, tuple[int, int]], deadline: float) -> Iterator[Reply]:
    """Yield replies, taking them off `waiting`, until none is left or the time is up.

    They are pulled one by one: asked for many, a grid hands over all that have come, and holds them all in memory.
    """
    pause = _FIRST_PAUSE_S
    while waiting:
        before = len(waiting)
        for identifier in list(waiting):
            replies = list(grid.pull_messages([identifier]))
            if replies:
                # Popped, so that it is not held here while the next is waited for.
                yield _read(replies.pop(), *waiting.pop(identifier))
        if len(waiting) < before:
            pause = _FIRST_PAUSE_S
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_S)


def _read(reply: Message, node: int, size: int) -> Reply:
    received = message_bytes(reply)
    if reply.has_error():
        problem = _FLOWER_ERRORS.get(reply.error.code, f"the site's runtime reported error {reply.error.code}")
        return Reply(node, None, problem, size, received)
    return Reply(node, reply.content, None, size, received)
