"""Media bytes in Redis: for small media of one machine, or of a cluster without a blob store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

from redis.crc import key_slot
from redis.exceptions import NoScriptError

from facet.core.errors import QuotaExceededError, StoreFullError, StoreUnavailableError
from facet.core.media_store import MediaHolder
from facet.queue.admission import Admission
from facet.queue.answers import quota_exceeded, store_full
from facet.queue.connection import Argument, RedisConnection, bounded
from facet.queue.keys import media_base, media_holders_name, media_ledger_base
from facet.queue.limits import MAX_MEDIA_BYTES
from facet.queue.lua import load_scripts
from facet.queue.routing import Router
from facet.queue.store import Store
from facet.queue.topology import Address

_FULL, _, _ASK_AGAIN, _TENANT_FULL = range(4)

_CALL_SECONDS = 10.0
"""Longer than an ordinary call's: a blob has tens of megabytes."""


class RedisMediaStore:
    """`facet.core.media_store.MediaStore` over one store, whose cluster spreads the bytes.

    All media of a release together take `max_bytes` at most, counted in one place: what is put is
    counted first, for its life, and never counted twice. Those of a tenant whose holder names a
    bound are counted there too.

    Errors: StoreUnavailableError within 10 s; StoreFullError and QuotaExceededError from `put`.
    """

    def __init__(
        self,
        router: Router,
        ledger: RedisConnection,
        *,
        base: str,
        ledger_base: str,
        max_bytes: int,
    ) -> None:
        self._router = router
        self._ledger = ledger
        self._scripts = load_scripts()
        self._base = base
        self._ledger_base = ledger_base
        self._max_bytes = max_bytes
        self._admissions: dict[Address, Admission] = {}

    @classmethod
    def connect(cls, store: Store | str, *, release: str, max_bytes: int = MAX_MEDIA_BYTES) -> Self:
        """In a store or the one at a URL, for all models of a release; connects when first used.

        Errors: ValueError when the URL is none.
        """
        router = Router.connect(store, call_seconds=_CALL_SECONDS, follows_ask=True)
        base, ledger_base = media_base(release), media_ledger_base(release)
        ledger = RedisConnection(store, ledger_base)
        return cls(router, ledger, base=base, ledger_base=ledger_base, max_bytes=max_bytes)

    async def put(
        self, key: str, data: bytes, *, life_seconds: int, holder: MediaHolder | None = None
    ) -> None:
        """See `MediaStore.put`; bytes that are there already are not sent again."""
        name = f"{self._base}:{key}"
        slot = key_slot(name.encode())

        async def store() -> None:
            if holder is not None:
                # Before the look: what is held is not deleted any more.
                await self._evaluate(
                    "hold_media", slot, (name,), name, life_seconds * 1000, holder.generation_id
                )
            left_seconds = await self._router.execute(slot, "TTL", name)
            if left_seconds >= life_seconds:
                return
            await self._make_room(key, len(data), life_seconds, holder)
            # 0 when the bytes were not there, or lapsed since.
            if left_seconds < 0 or not await self._router.execute(
                slot, "EXPIRE", name, life_seconds
            ):
                if await self._is_shedding(slot):
                    raise store_full()
                await self._router.execute(slot, "SET", name, data, "EX", life_seconds)

        try:
            await bounded(_CALL_SECONDS, store, name="put_media", out_of_memory=store_full)
        except (StoreFullError, QuotaExceededError):
            # It may be held, and counted, though it was not stored.
            if holder is not None:
                with suppress(StoreUnavailableError):
                    drop = partial(self._drop, key, holder, len(data))
                    await bounded(_CALL_SECONDS, drop, name="drop_media")
            raise

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        name = f"{self._base}:{key}"
        data: bytes | None = await bounded(
            _CALL_SECONDS,
            lambda: self._router.execute(key_slot(name.encode()), "GET", name),
            name="get_media",
        )
        return data

    async def release(self, keys: Iterable[str], holder: MediaHolder) -> None:
        """See `MediaStore.release`."""
        for key in keys:
            await bounded(_CALL_SECONDS, partial(self._drop, key, holder), name="drop_media")

    async def close(self) -> None:
        """Close all connections; calls under way and later ones fail."""
        await self._router.close()
        await self._ledger.close()

    async def _drop(self, key: str, holder: MediaHolder, size_bytes: int = 0) -> None:
        """Delete a medium that nobody else holds; without `size_bytes` they are what is there.

        Its count goes unless it was put again since it was looked at: who does so after the bytes
        were deleted counts it anew, who did so before holds it.
        """
        name = f"{self._base}:{key}"
        slot = key_slot(name.encode())
        size_bytes = size_bytes or await self._router.execute(slot, "STRLEN", name)
        counted_until = await self._ledger.command(
            "ZSCORE", f"{self._ledger_base}:blobs", f"{size_bytes} {key}"
        )
        is_held = await self._evaluate("drop_media", slot, (name,), name, holder.generation_id) < 0
        if counted_until is not None and not is_held:
            script = self._scripts["release_media"]
            await self._ledger.run(script, key, size_bytes, holder.tenant, counted_until)

    async def _evaluate(
        self, script: str, slot: int, keys: Sequence[str], name: str, *arguments: Argument
    ) -> Any:
        """Run a script on the holders of a medium, and on other keys of its slot."""
        found, holders = self._scripts[script], media_holders_name(name)
        call = ("EVALSHA", found.sha, 1 + len(keys), holders, *keys, *arguments)
        try:
            return await self._router.execute(slot, *call)
        except NoScriptError:
            await self._router.execute(slot, "SCRIPT LOAD", found.text)
            return await self._router.execute(slot, *call)

    async def _make_room(
        self, key: str, size_bytes: int, life_seconds: int, holder: MediaHolder | None
    ) -> None:
        """Count a medium. Errors: StoreFullError, QuotaExceededError."""
        tenant, most = (holder.tenant, holder.max_bytes) if holder else ("", 0)
        arguments = (key, size_bytes, life_seconds * 1000, self._max_bytes, tenant, most)
        script = self._scripts["reserve_media"]
        while True:
            code, *wait_ms = await self._ledger.run(script, *arguments, out_of_memory=store_full)
            if code == _FULL:
                raise store_full()
            if code == _TENANT_FULL:
                raise quota_exceeded(
                    "max_media_bytes", most, wait_ms[0] if wait_ms[0] > 0 else None
                )
            if code != _ASK_AGAIN:
                return

    async def _is_shedding(self, slot: int) -> bool:
        """Whether the node that holds a slot is nearly full: each has memory of its own."""
        address = self._router.address_of(slot)
        if address not in self._admissions:
            self._admissions[address] = Admission(partial(self._router.execute_at, address))
        return await self._admissions[address].is_shedding()
