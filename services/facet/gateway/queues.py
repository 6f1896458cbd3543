"""Connecting to the queues of the models that are served."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from facet.core.models import ModelCard
from facet.gateway.settings import GatewaySettings
from facet.queue.limits import QueueLimits
from facet.queue.port import Queue
from facet.queue.sharded_queue import sharded_queue
from facet.queue.store import Store


async def connect_queues(
    settings: GatewaySettings, cards: Sequence[ModelCard], store: Store, stack: AsyncExitStack
) -> list[tuple[ModelCard, Queue]]:
    """The queue of each model; the stack closes them."""
    queues: list[tuple[ModelCard, Queue]] = []
    for card in cards:
        queue = await stack.enter_async_context(
            sharded_queue(
                store,
                release=settings.release,
                model=card.name,
                limits=queue_limits(settings),
                count=settings.queue_shards,
            )
        )
        queues.append((card, queue))
    return queues


def queue_limits(settings: GatewaySettings) -> QueueLimits:
    """The bounds on what waits in each queue."""
    return QueueLimits(
        max_waiting=settings.max_waiting,
        max_waiting_tokens=settings.max_waiting_tokens,
        max_waiting_bytes=settings.max_waiting_bytes,
        tenant_max_waiting=settings.tenant_max_waiting,
        tenant_max_waiting_tokens=settings.tenant_max_waiting_tokens,
        tenant_max_waiting_bytes=settings.tenant_max_waiting_bytes,
    )
