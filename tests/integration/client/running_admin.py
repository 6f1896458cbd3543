"""An admin port over a stocked queue in memory, beside the blocking command line."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from facet.core.media_store import MemoryMediaStore
from facet.gateway.admin_server import serving_admin
from facet.gateway.authenticator import AnonymousAuthenticator, Authenticator
from facet.queue.memory_queue import MemoryQueue
from tests.support.stocked_queue import stocked_queue

START_SECONDS = 10.0


class RunningAdmin:
    """Serves in a thread with a loop of its own, which alone may touch the queue. Close it."""

    def __init__(self, authenticator: Authenticator | None = None) -> None:
        self._authenticator = authenticator or AnonymousAuthenticator()
        self._started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self.address, self._loop, self._stop = self._started.result(START_SECONDS)

    def close(self) -> None:
        """Stop serving; again is harmless."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        queues = {"nano": await stocked_queue(), "empty": MemoryQueue()}
        stop = asyncio.Event()
        async with serving_admin(
            "127.0.0.1:0", queues, self._authenticator, MemoryMediaStore()
        ) as address:
            self._started.set_result((address, asyncio.get_running_loop(), stop))
            await stop.wait()
