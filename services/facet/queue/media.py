"""Media bytes in Redis: for small media of one machine, or of a cluster without a blob store."""

from __future__ import annotations

from functools import partial
from typing import Self

from redis.crc import key_slot

from facet.core.errors import StoreFullError
from facet.queue.admission import Admission
from facet.queue.answers import store_full
from facet.queue.connection import bounded
from facet.queue.keys import media_base
from facet.queue.routing import Router
from facet.queue.topology import Address

_CALL_SECONDS = 10.0
"""Longer than an ordinary call's: a blob has tens of megabytes."""


class RedisMediaStore:
    """`facet.core.media_store.MediaStore` over one store, whose cluster spreads the bytes.

    Errors: StoreUnavailableError within 10 s; StoreFullError from `put`.
    """

    def __init__(self, router: Router, base: str) -> None:
        self._router = router
        self._base = base
        self._admissions: dict[Address, Admission] = {}

    @classmethod
    def connect(cls, url: str, *, release: str) -> Self:
        """A store at `url`, shared by all models of a release; connects with the first call.

        Errors: ValueError when `url` is none.
        """
        router = Router.connect(url, call_seconds=_CALL_SECONDS, follows_ask=True)
        return cls(router, media_base(release))

    async def put(self, key: str, data: bytes, *, life_seconds: int) -> None:
        """See `MediaStore.put`; bytes that are there already are not sent again."""
        name = f"{self._base}:{key}"
        slot = key_slot(name.encode())

        async def store() -> None:
            left_seconds = await self._router.execute(slot, "TTL", name)
            if left_seconds >= life_seconds:
                return
            # 0 when the bytes were not there, or lapsed since.
            if left_seconds < 0 or not await self._router.execute(
                slot, "EXPIRE", name, life_seconds
            ):
                if await self._is_shedding(slot):
                    raise store_full()
                await self._router.execute(slot, "SET", name, data, "EX", life_seconds)

        await bounded(_CALL_SECONDS, store, out_of_memory=StoreFullError)

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        name = f"{self._base}:{key}"
        data: bytes | None = await bounded(
            _CALL_SECONDS, lambda: self._router.execute(key_slot(name.encode()), "GET", name)
        )
        return data

    async def close(self) -> None:
        """Close all connections; calls under way and later ones fail."""
        await self._router.close()

    async def _is_shedding(self, slot: int) -> bool:
        """Whether the node that holds a slot is nearly full: each has memory of its own."""
        address = self._router.address_of(slot)
        if address not in self._admissions:
            self._admissions[address] = Admission(partial(self._router.execute_at, address))
        return await self._admissions[address].is_shedding()
