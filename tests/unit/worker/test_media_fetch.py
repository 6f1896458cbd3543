"""Fetching media while the store is there, away, or without them."""

from __future__ import annotations

import asyncio

import pytest

from facet.api.queue.v1 import envelope_pb2
from facet.core.errors import MediaNotFoundError
from facet.core.media_store import MemoryMediaStore
from facet.worker.engine.port import Medium
from facet.worker.media_fetch import fetch_media
from tests.unit.worker.scripted import AwayStore

pytestmark = pytest.mark.unit

ITEM = envelope_pb2.MediaItem(key="k", mime_type="image/png", sha256=b"digest")


async def test_media_arrive_when_the_store_was_away_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    store = AwayStore(failures=100)
    await store.put("k", b"bytes", life_seconds=60)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        media = await asyncio.wait_for(fetch_media(store, [ITEM]), 5)
    assert media == [Medium("image/png", b"digest", b"bytes")]
    assert pauses[:4] == [0.2, 0.4, 0.8, 1.6]
    assert set(pauses[4:]) == {2.0}


async def test_a_missing_medium_is_an_error_when_the_store_is_back() -> None:
    with pytest.raises(MediaNotFoundError):
        await asyncio.wait_for(fetch_media(AwayStore(failures=1), [ITEM]), 5)


class _Hanging(MemoryMediaStore):
    """Has nothing under "missing", and never answers for another key."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def get(self, key: str) -> bytes | None:
        """See `MediaStore.get`."""
        if key == "missing":
            return None
        self.asked += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.asked -= 1
        return None


async def test_the_others_are_not_fetched_any_more_when_one_is_missing() -> None:
    store = _Hanging()
    items = [envelope_pb2.MediaItem(key=key) for key in ("one", "missing", "two")]
    with pytest.raises(MediaNotFoundError):
        await fetch_media(store, items)
    assert store.asked == 0
