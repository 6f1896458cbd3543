"""The gateway's composition root: parse, validate, compose, run."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc
import structlog
import uvloop
from pydantic import ValidationError

from facet.core.listener import bind
from facet.core.logs import configure_logs, follow_log_level
from facet.core.media_store import MediaStore
from facet.core.models import ModelCard
from facet.core.tasks import cancel_all, keep_running
from facet.core.telemetry.exposition import registry_of
from facet.core.telemetry.gateway_metrics import GATEWAY
from facet.core.telemetry.processes import is_one_of_several
from facet.core.telemetry.store_metrics import STORE
from facet.core.telemetry.tracing import UNTRACED, Tracing, tracing
from facet.gateway.admin_server import check_admin_listener, serving_admin
from facet.gateway.authentication import choose_authenticator, token_authenticator
from facet.gateway.authenticator import Authenticator
from facet.gateway.calls import service_handler
from facet.gateway.catalogue import Catalogue, Route, cards_of
from facet.gateway.drain import drain
from facet.gateway.erasure import Eraser
from facet.gateway.health_server import serving_health
from facet.gateway.health_service import SERVICE as HEALTH_SERVICE
from facet.gateway.health_service import HealthService, ReadinessMonitor
from facet.gateway.http_health import serving_http_health
from facet.gateway.inference_service import SERVICE as INFERENCE_SERVICE
from facet.gateway.inference_service import InferenceService
from facet.gateway.intake import Intake, IntakeLimits
from facet.gateway.log_reader import LogReader
from facet.gateway.model_service import SERVICE as MODEL_SERVICE
from facet.gateway.model_service import ModelService
from facet.gateway.open_calls import OpenCalls
from facet.gateway.processes import StartError, follow_supervisor
from facet.gateway.queues import connect_queues
from facet.gateway.server import create_server, server_options
from facet.gateway.settings import GatewaySettings
from facet.gateway.startup import announce, first_fault, refuse, warn_of_plaintext
from facet.gateway.supervised import supervise
from facet.gateway.telling import telling
from facet.gateway.tenants import Tenants
from facet.gateway.usage import UsageTrimmer
from facet.gateway.workers import LiveWorkers
from facet.queue.media import RedisMediaStore
from facet.queue.port import Queue
from facet.queue.store import Store
from facet.queue.sweeper import Sweeper

SERVICES = (INFERENCE_SERVICE, MODEL_SERVICE)

Loop = Callable[[], Awaitable[None]]

# Entries of logs are many objects without cycles: at the default rate the collector takes a third
# of the time that reading them takes.
_COLLECTED_AFTER = (20_000, 20, 100)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Gateway:
    """A composed gateway, not yet running."""

    settings: GatewaySettings
    server: grpc.aio.Server
    catalogue: Catalogue
    health: HealthService
    monitor: ReadinessMonitor
    open_calls: OpenCalls
    authenticator: Authenticator
    tenants: Tenants

    async def drain(self) -> None:
        """Shut down as `facet.gateway.drain.drain` describes."""
        await drain(
            self.server,
            self.health,
            self.open_calls,
            self.catalogue,
            drain_seconds=self.settings.drain_seconds,
        )


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exits with 2 and one line when it cannot start."""
    follow_supervisor()
    try:
        settings = GatewaySettings()
        cards = cards_of(settings.models)
        authenticator = choose_authenticator(
            settings.listen, settings.api_keys_file, token_authenticator(settings)
        )
        check_admin_listener(settings.admin_listen, authenticator)
        settings.certificates()
        store = settings.store()
        tenants = Tenants(settings.tenants_file)
    except ValidationError as error:
        refuse(first_fault(error))
    except (ValueError, OSError) as error:
        refuse(str(error))
    configure_logs(settings.log_level, service="gateway")
    _log.info("settings", **settings.effective())
    warn_of_plaintext(settings)
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if settings.processes > 1 and not is_one_of_several():
            runner.run(_supervise(settings, cards, store))
        else:
            runner.run(_serve(settings, cards, authenticator, tenants, store))


async def _serve(
    settings: GatewaySettings,
    cards: Sequence[ModelCard],
    authenticator: Authenticator,
    tenants: Tenants,
    store: Store,
) -> None:
    stopped = _stop_signal()
    async with AsyncExitStack() as stack:
        media = RedisMediaStore.connect(
            store, release=settings.release, max_bytes=settings.max_media_bytes
        )
        stack.push_async_callback(media.close)
        queues = await connect_queues(settings, cards, store, stack)
        traced = await stack.enter_async_context(
            tracing(
                settings,
                "gateway",
                {"service.instance.id": f"{socket.gethostname()}-{os.getpid()}"},
            )
        )
        gateway = compose(settings, queues, media, authenticator, tenants, traced=traced)
        by_model = {card.name: queue for card, queue in queues}
        try:
            addresses = await _listen(gateway, by_model, media, stack)
        except (OSError, ValueError) as error:
            refuse(str(error))
        announce(settings, addresses)
        await stopped.wait()
        await gateway.drain()


async def _listen(
    gateway: Gateway, queues: Mapping[str, Queue], media: MediaStore, stack: AsyncExitStack
) -> dict[str, str]:
    """Serve until the stack is closed; the addresses by the settings' names."""
    settings, health = gateway.settings, gateway.health
    # Probes are answered before callers are.
    listeners = {
        "health_listen": serving_health(settings.health_listen, health),
        "http_health_listen": serving_http_health(settings.http_health_listen, health),
        "listen": running(gateway),
        "metrics_listen": telling(
            settings.metrics_listen,
            registry_of(GATEWAY, STORE),
            queues,
            is_serving=lambda: health.is_serving,
        ),
        "admin_listen": serving_admin(
            settings.admin_listen,
            queues,
            gateway.authenticator,
            media,
            settings.certificates(),
        ),
    }
    return {name: await stack.enter_async_context(listener) for name, listener in listeners.items()}


async def _supervise(settings: GatewaySettings, cards: Sequence[ModelCard], store: Store) -> None:
    try:
        await supervise(settings, cards, store, _stop_signal(), partial(announce, settings))
    except (OSError, StartError) as error:
        refuse(str(error))


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def compose(
    settings: GatewaySettings,
    queues: Sequence[tuple[ModelCard, Queue]],
    media: MediaStore,
    authenticator: Authenticator,
    tenants: Tenants | None = None,
    *,
    traced: Tracing = UNTRACED,
) -> Gateway:
    """Put a gateway together from its adapters, which stay the caller's to close."""
    tenants = tenants or Tenants(settings.tenants_file)
    catalogue = Catalogue(
        [
            Route(
                card,
                queue,
                LogReader(queue, grace_seconds=settings.reader_grace_seconds),
                LiveWorkers(queue),
            )
            for card, queue in queues
        ]
    )
    open_calls = OpenCalls(settings.max_open_calls)
    inference = InferenceService(
        catalogue,
        Intake(catalogue, media, _intake_limits(settings), tenants, traced),
        open_calls,
        Eraser(media),
        traced,
    )
    health = HealthService(SERVICES)
    server = create_server(
        [
            service_handler(INFERENCE_SERVICE, inference.methods(), authenticator),
            service_handler(MODEL_SERVICE, ModelService(catalogue).methods(), authenticator),
            health.handler(),
        ],
        (*SERVICES, HEALTH_SERVICE),
        server_options(
            max_message_bytes=settings.max_message_bytes,
            max_metadata_bytes=settings.max_metadata_bytes,
            max_deadline_seconds=settings.max_deadline_seconds,
        ),
        max_open_calls=settings.max_open_calls,
        max_metadata_bytes=settings.max_metadata_bytes,
        tracing=traced,
    )
    monitor = ReadinessMonitor([queue for _, queue in queues], health, authenticator)
    return Gateway(settings, server, catalogue, health, monitor, open_calls, authenticator, tenants)


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[str]:
    """Serve while the context is open; yields the bound `host:port` once health is known.

    On leaving, open calls are cut off unless they were drained. Errors: those of
    `facet.core.listener.bind`.
    """
    settings = gateway.settings
    address = bind(gateway.server, settings.listen, settings.certificates())
    loops = [asyncio.create_task(keep_running(name, loop)) for name, loop in _loops(gateway)]
    try:
        await gateway.server.start()
        await gateway.monitor.check()
        yield address
    finally:
        await gateway.server.stop(None)
        await cancel_all(loops)


def _intake_limits(settings: GatewaySettings) -> IntakeLimits:
    return IntakeLimits(
        max_inline_bytes=settings.max_inline_bytes,
        max_inflight_inline_bytes=settings.max_inflight_inline_bytes,
        default_deadline_seconds=settings.default_deadline_seconds,
        max_deadline_seconds=settings.max_deadline_seconds,
        reader_grace_seconds=settings.reader_grace_seconds,
        submit_replicas=settings.submit_replicas,
    )


def _loops(gateway: Gateway) -> list[tuple[str, Loop]]:
    loops: list[tuple[str, Loop]] = [
        ("readiness monitor", gateway.monitor.run),
        ("credentials", gateway.authenticator.run),
        ("tenants file", gateway.tenants.run),
    ]
    settings = gateway.settings
    if settings.log_level_file is not None:
        follow = partial(follow_log_level, settings.log_level, settings.log_level_file)
        loops.append(("log level", follow))
    for route in gateway.catalogue.routes:
        loops += [
            (f"log reader of {route.card.name}", route.reader.run),
            (f"sweeper of {route.card.name}", Sweeper(route.queue).run),
            (f"usage of {route.card.name}", _trimmer(route, gateway.settings).run),
        ]
    return loops


def _trimmer(route: Route, settings: GatewaySettings) -> UsageTrimmer:
    return UsageTrimmer(
        route.queue,
        life_seconds=settings.usage_retention_seconds,
        most=settings.max_usage_records,
    )
