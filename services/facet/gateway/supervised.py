"""The composition root of the process that supervises a gateway's others."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client.registry import CollectorRegistry

from facet.core.models import ModelCard
from facet.core.telemetry.processes import Together
from facet.gateway.drain import LAST_WORDS_SECONDS
from facet.gateway.processes import Processes
from facet.gateway.queues import connect_queues
from facet.gateway.settings import GatewaySettings
from facet.gateway.shared_ports import shared_port
from facet.gateway.telling import telling
from facet.queue.store import Store

SERVING = "facet_gateway_serving"

_SHARED = ("listen", "admin_listen", "health_listen", "http_health_listen")


async def supervise(
    settings: GatewaySettings,
    cards: Sequence[ModelCard],
    store: Store,
    stopped: asyncio.Event,
    announce: Callable[[dict[str, str]], None],
) -> None:
    """Run a gateway of several processes until `stopped`, then drain it.

    `announce` is told the addresses by the settings' names once all serve. Errors: OSError when an
    address cannot be bound; StartError.
    """
    async with AsyncExitStack() as stack:
        addresses = {
            name: stack.enter_context(shared_port(getattr(settings, name))) for name in _SHARED
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facet-gateway-")))
        environment = {f"FACET_GATEWAY_{name.upper()}": each for name, each in addresses.items()}
        processes = Processes(settings.processes, folder, environment)
        registry, together = CollectorRegistry(), Together(folder)
        registry.register(together)
        registry.register(processes)
        queues = await connect_queues(settings, cards, store, stack)
        by_model = {card.name: queue for card, queue in queues}
        addresses["metrics_listen"] = await stack.enter_async_context(
            telling(
                settings.metrics_listen,
                registry,
                by_model,
                is_serving=lambda: together.live_sum(SERVING) > 0,
            )
        )
        await processes.start()
        try:
            announce(addresses)
            await stopped.wait()
        finally:
            await processes.stop(settings.drain_seconds + LAST_WORDS_SECONDS)
