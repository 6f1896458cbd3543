"""The store of a run: a Redis with AOF that can be killed, restarted and failed over."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import redis
from google.protobuf.message import DecodeError

from facet.api.v1 import inference_service_pb2
from tests.chaos.checker import StoreLoss
from tests.support.redis_server import RedisServer

_SYNC_SECONDS = 20.0
_POLL_SECONDS = 0.05
_NO_DELAY = ("--repl-diskless-sync-delay", "0")


class Store:
    """One address, behind which the server may be replaced.

    `lengths_at_loss` holds, for each outage, the next offset of every log that the new server
    began with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._primary = RedisServer(folder / "primary", append_only=True, options=_NO_DELAY)
        self._replica: RedisServer | None = None

    @property
    def url(self) -> str:
        """Where it is reached, the same all the time."""
        return self._primary.url

    async def start(self) -> None:
        """Start with an empty data set."""
        await asyncio.to_thread(self._primary.start)

    def stop(self) -> None:
        """End all servers; safe to repeat."""
        for server in (self._primary, self._replica):
            if server is not None:
                server.kill()

    async def restart(self) -> tuple[StoreLoss, dict[str, int]]:
        """SIGKILL, then start again with what the AOF holds."""
        killed_at = time.monotonic()
        await asyncio.to_thread(self._primary.kill)
        lengths = await asyncio.to_thread(self._lengths, self._folder / "primary")
        await asyncio.to_thread(self._primary.restart)
        # With `everysec` a write may wait for 2 s while the disk is slow.
        return StoreLoss(killed_at - 2.5, time.monotonic()), lengths

    async def add_replica(self) -> None:
        """Start a replica and return when it follows the primary."""
        options = ("--replicaof", "127.0.0.1", str(self._primary.port))
        self._replica = RedisServer(self._folder / "replica", append_only=True, options=options)
        await asyncio.to_thread(self._replica.start)
        ends_at = time.monotonic() + _SYNC_SECONDS
        while not await asyncio.to_thread(_is_synced, self._replica.port):
            if time.monotonic() > ends_at:
                raise TimeoutError("the replica did not follow the primary in time")
            await asyncio.sleep(_POLL_SECONDS)

    async def caught_up(self) -> None:
        """Return when the replica has all that the primary had: a busy machine leaves it behind."""
        assert self._replica is not None
        written = await asyncio.to_thread(_replicated, self._primary.port)
        ends_at = time.monotonic() + _SYNC_SECONDS
        while await asyncio.to_thread(_replicated, self._replica.port) < written:
            if time.monotonic() > ends_at:
                raise TimeoutError("the replica did not catch up with the primary in time")
            await asyncio.sleep(_POLL_SECONDS)

    async def fail_over(self, lag_seconds: float) -> tuple[StoreLoss, dict[str, int]]:
        """Lose the primary while the replica lags; its data set takes over the address.

        The replica is stopped for `lag_seconds` and ended as it stands: what the primary sent it
        meanwhile would be read from its socket if it woke up.
        """
        assert self._replica is not None
        frozen_at = time.monotonic()
        self._replica.pause()
        await asyncio.sleep(lag_seconds)
        await asyncio.to_thread(self._primary.kill)
        await asyncio.to_thread(self._replica.kill)
        folder, port = self._folder / "replica", self._primary.port
        lengths = await asyncio.to_thread(self._lengths, folder)
        self._replica, self._primary = None, RedisServer(folder, append_only=True)
        self._primary.port = port
        await asyncio.to_thread(self._primary.restart)
        return StoreLoss(frozen_at - 0.2, time.monotonic()), lengths

    @staticmethod
    def _lengths(folder: Path) -> dict[str, int]:
        """Next offset of every log in a data set that no server holds.

        It is loaded on a port that nobody knows, so that nothing is written before it is read.
        """
        server = RedisServer(folder, append_only=True)
        server.start()
        try:
            return _log_lengths(server.port)
        finally:
            server.kill()


def _is_synced(port: int) -> bool:
    with redis.Redis(port=port) as client:
        link: Any = client.info("replication")
        disk: Any = client.info("persistence")
    is_linked = link.get("master_link_status") == "up"
    return is_linked and not disk["aof_rewrite_in_progress"] and not disk["aof_rewrite_scheduled"]


def _replicated(port: int) -> int:
    """How much of the primary's history a server has, in bytes."""
    with redis.Redis(port=port) as client:
        link: Any = client.info("replication")
        return int(link["master_repl_offset"])


def _log_lengths(port: int) -> dict[str, int]:
    """By the last part of the key; a log is any stream whose last entry holds public events."""
    lengths: dict[str, int] = {}
    with redis.Redis(port=port) as client:
        keys = list(client.scan_iter(count=1000, _type="stream"))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.xrevrange(key, count=1)
        for key, entries in zip(keys, pipeline.execute(), strict=True):
            offset = max(
                (_next_offset(value) for _, f in entries for value in f.values()), default=0
            )
            if offset:
                lengths[key.decode().rpartition(":")[2]] = offset
    return lengths


def _next_offset(value: bytes) -> int:
    try:
        events = inference_service_pb2.StreamGenerateContentResponse.FromString(value).events
    except DecodeError:
        return 0
    return events[-1].offset + 1 if events else 0
