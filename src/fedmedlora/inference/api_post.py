"""POST requests with a deadline for the whole attempt: from looking up the host to the last byte of the answer.

httpx's own time-outs are of one read or write each; a server that drips bytes never meets them. A deadline over all of
it needs an event loop, which gets a thread of its own: the caller's may be running one already, as a notebook's does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import httpx


class Poster:
    """Posts JSON from any thread. deadline_s: seconds of one attempt. connections: at most, at once."""

    def __init__(self, deadline_s: float, connections: int, headers: Mapping[str, str]) -> None:
        self._deadline_s = deadline_s
        self._http = httpx.AsyncClient(
            timeout=None, limits=httpx.Limits(max_connections=connections), headers=dict(headers)
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api requests", daemon=True)
        self._thread.start()

    def post(self, url: str, body: Mapping[str, object]) -> httpx.Response:
        """The response, read to its end. Raises TimeoutError at the deadline, httpx.RequestError where it broke."""
        return asyncio.run_coroutine_threadsafe(self._post(url, body), self._loop).result()

    def close(self) -> None:
        """Give connections and thread back; nothing may be under way."""
        asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _post(self, url: str, body: Mapping[str, object]) -> httpx.Response:
        async with asyncio.timeout(self._deadline_s):
            return await self._http.post(url, json=body)
