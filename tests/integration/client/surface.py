"""Both clients behind one awaited surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import facet
from facet.client import Generation, StreamEvent
from tests.integration.client.fake_gateway import GENERATION_ID


class Surface:
    """What both clients can do, awaited; the blocking one answers at once."""

    def __init__(self, client: facet.Client | facet.AsyncClient) -> None:
        self.client = client

    async def events(self, **options: Any) -> list[StreamEvent]:
        if isinstance(self.client, facet.Client):
            return list(self.client.stream("hello", **options))
        return [event async for event in self.client.stream("hello", **options)]

    async def events_around(self, at: int, disturb: Callable[[], None]) -> list[StreamEvent]:
        """All events; `disturb` is called after so many of them."""
        events: list[StreamEvent] = []
        if isinstance(self.client, facet.Client):
            for event in self.client.stream("hello"):
                events.append(event)
                if len(events) == at:
                    disturb()
            return events
        async for event in self.client.stream("hello"):
            events.append(event)
            if len(events) == at:
                disturb()
        return events

    async def first_event(self) -> None:
        """Read one event, then leave the stream."""
        if isinstance(self.client, facet.Client):
            with self.client.stream("hello") as stream:
                next(stream)
            return
        async with self.client.stream("hello") as stream_:
            await anext(stream_)

    async def accepted(self) -> str:
        if isinstance(self.client, facet.Client):
            with self.client.stream("hello") as stream:
                return stream.accepted()
        async with self.client.stream("hello") as stream_:
            return await stream_.accepted()

    async def accepted_beside_a_reader(self) -> tuple[str, Generation]:
        """What `accepted` says while another task or thread reads the stream to its end."""
        if isinstance(self.client, facet.Client):
            with self.client.stream("hello") as stream:
                return await asyncio.gather(
                    asyncio.to_thread(stream.accepted), asyncio.to_thread(stream.result)
                )
        async with self.client.stream("hello") as stream_:
            return await asyncio.gather(stream_.accepted(), stream_.result())

    async def reasons_of_two_reads(self) -> list[str]:
        """Why reading one stream to its end fails, and why it does when that is tried again."""
        reasons = []
        stream = self.client.stream("hello")
        for _ in range(2):
            try:
                if isinstance(stream, facet.client.Stream):
                    stream.result()
                else:
                    await stream.result()
            except facet.FacetApiError as error:
                reasons.append(error.reason)
        stream.close()
        return reasons

    async def in_background(self, name: str) -> Generation:
        """`stream(...).result()` or `generate`, without holding up the loop."""
        client = self.client
        if isinstance(client, facet.Client):
            blocking = {
                "result": lambda: client.stream("hello").result(),
                "generate": lambda: client.generate("hello"),
            }
            return await asyncio.to_thread(blocking[name])
        if name == "result":
            return await client.stream("hello").result()
        return await client.generate("hello")

    async def result(self, **options: Any) -> Generation:
        if isinstance(self.client, facet.Client):
            return self.client.stream("hello", **options).result()
        return await self.client.stream("hello", **options).result()

    async def attach(
        self, from_offset: int, **options: Any
    ) -> tuple[list[StreamEvent], Generation]:
        """Follow the generation from an offset to its end."""
        if isinstance(self.client, facet.Client):
            stream = self.client.attach(GENERATION_ID, from_offset, **options)
            return list(stream), stream.result()
        stream_ = self.client.attach(GENERATION_ID, from_offset, **options)
        return [event async for event in stream_], await stream_.result()

    async def chat_twice(self) -> None:
        if isinstance(self.client, facet.Client):
            chat = self.client.chat(model="nano")
            chat.send("one").result()
            chat.send("two").result()
            return
        talk = self.client.chat(model="nano")
        await talk.send("one").result()
        await talk.send("two").result()

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        answer = getattr(self.client, name)(*arguments, **options)
        return answer if isinstance(self.client, facet.Client) else await answer


@asynccontextmanager
async def connected(kind: str, target: str, **options: Any) -> AsyncIterator[Surface]:
    """A client of a kind, "sync" or "async"."""
    if kind == "sync":
        with facet.Client(target, **options) as client:
            yield Surface(client)
    else:
        async with facet.AsyncClient(target, **options) as aio_client:
            yield Surface(aio_client)
