"""Media bytes in Redis: for small media of one machine, or of a cluster without a blob store."""

from __future__ import annotations

from typing import Self

from redis.asyncio import Redis

from facet.core.errors import StoreFullError
from facet.queue.admission import Admission
from facet.queue.answers import store_full
from facet.queue.connection import bounded, redis_client
from facet.queue.keys import media_base

_CALL_SECONDS = 10.0
"""Longer than an ordinary call's: a blob has tens of megabytes."""

_CONNECTIONS = 8


class RedisMediaStore:
    """`facet.core.media_store.MediaStore` over one Redis.

    Errors: StoreUnavailableError within 10 s; StoreFullError from `put`.
    """

    def __init__(self, client: Redis, base: str) -> None:
        self._redis = client
        self._base = base
        self._admission = Admission(client.execute_command)

    @classmethod
    def connect(cls, url: str, *, release: str) -> Self:
        """A store at `url`, shared by all models of a release; connects with the first call."""
        client = redis_client(url, max_connections=_CONNECTIONS, call_seconds=_CALL_SECONDS)
        return cls(client, media_base(release))

    async def put(self, key: str, data: bytes, *, life_seconds: int) -> None:
        """See `MediaStore.put`; bytes that are there already are not sent again."""
        name = f"{self._base}:{key}"

        async def store() -> None:
            left_seconds = await self._redis.ttl(name)
            if left_seconds >= life_seconds:
                return
            # 0 when the bytes were not there, or lapsed since.
            if left_seconds < 0 or not await self._redis.expire(name, life_seconds):
                if await self._admission.is_shedding():
                    raise store_full()
                await self._redis.set(name, data, ex=life_seconds)

        await bounded(_CALL_SECONDS, store, out_of_memory=StoreFullError)

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        data: bytes | None = await bounded(
            _CALL_SECONDS, lambda: self._redis.get(f"{self._base}:{key}")
        )
        return data

    async def close(self) -> None:
        """Close all connections; calls under way fail."""
        await self._redis.aclose(close_connection_pool=True)
