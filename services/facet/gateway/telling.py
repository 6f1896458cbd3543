"""The metrics of a gateway with those of the queues that it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client.registry import CollectorRegistry

from facet.core.tasks import cancel_all, keep_running
from facet.core.telemetry.listener import serving_metrics
from facet.gateway.queue_view import QueueView
from facet.queue.port import Observer


@asynccontextmanager
async def telling(
    listen: str,
    registry: CollectorRegistry,
    queues: Mapping[str, Observer],
    *,
    is_serving: Callable[[], bool],
) -> AsyncIterator[str]:
    """Serve a registry and the state of `queues`, by model, while the context is open.

    Yields the bound `host:port`; "" with an empty `listen`, which serves nothing and leaves the
    queues to others. Errors: OSError when the address cannot be bound.
    """
    if not listen:
        yield ""
        return
    view = QueueView(queues)
    registry.register(view)
    with serving_metrics(listen, {"/metrics": registry}, is_serving=is_serving) as address:
        loops = [
            asyncio.create_task(keep_running(f"metrics of {model}", partial(view.run, model)))
            for model in queues
        ]
        try:
            yield address
        finally:
            await cancel_all(loops)
