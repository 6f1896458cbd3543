"""Media bytes in Redis: for small media of one machine, or of a cluster without a blob store."""

from __future__ import annotations

from functools import partial
from typing import Self

from redis.crc import key_slot

from facet.core.errors import StoreFullError
from facet.queue.admission import Admission
from facet.queue.answers import store_full
from facet.queue.connection import RedisConnection, bounded
from facet.queue.keys import media_base, media_ledger_base
from facet.queue.limits import MAX_MEDIA_BYTES
from facet.queue.lua import load_scripts
from facet.queue.routing import Router
from facet.queue.store import Store
from facet.queue.topology import Address

_ASK_AGAIN = 2

_CALL_SECONDS = 10.0
"""Longer than an ordinary call's: a blob has tens of megabytes."""


class RedisMediaStore:
    """`facet.core.media_store.MediaStore` over one store, whose cluster spreads the bytes.

    All media of a release together take `max_bytes` at most, counted in one place: what is put is
    counted first, for its life, and never counted twice.

    Errors: StoreUnavailableError within 10 s; StoreFullError from `put`.
    """

    def __init__(
        self, router: Router, ledger: RedisConnection, base: str, *, max_bytes: int
    ) -> None:
        self._router = router
        self._ledger = ledger
        self._reserve_media = load_scripts()["reserve_media"]
        self._base = base
        self._max_bytes = max_bytes
        self._admissions: dict[Address, Admission] = {}

    @classmethod
    def connect(cls, store: Store | str, *, release: str, max_bytes: int = MAX_MEDIA_BYTES) -> Self:
        """In a store or the one at a URL, for all models of a release; connects when first used.

        Errors: ValueError when the URL is none.
        """
        router = Router.connect(store, call_seconds=_CALL_SECONDS, follows_ask=True)
        ledger = RedisConnection(store, media_ledger_base(release))
        return cls(router, ledger, media_base(release), max_bytes=max_bytes)

    async def put(self, key: str, data: bytes, *, life_seconds: int) -> None:
        """See `MediaStore.put`; bytes that are there already are not sent again."""
        name = f"{self._base}:{key}"
        slot = key_slot(name.encode())

        async def store() -> None:
            left_seconds = await self._router.execute(slot, "TTL", name)
            if left_seconds >= life_seconds:
                return
            if not await self._has_room(key, len(data), life_seconds):
                raise store_full()
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
        await self._ledger.close()

    async def _has_room(self, key: str, size_bytes: int, life_seconds: int) -> bool:
        """Count a medium; whether there is room for it."""
        arguments = (key, size_bytes, life_seconds * 1000, self._max_bytes)
        while True:
            answer = await self._ledger.run(
                self._reserve_media, *arguments, out_of_memory=StoreFullError
            )
            if answer != _ASK_AGAIN:
                return bool(answer)

    async def _is_shedding(self, slot: int) -> bool:
        """Whether the node that holds a slot is nearly full: each has memory of its own."""
        address = self._router.address_of(slot)
        if address not in self._admissions:
            self._admissions[address] = Admission(partial(self._router.execute_at, address))
        return await self._admissions[address].is_shedding()
