"""The autoscaler's composition root: parse, validate, compose, run."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import ValidationError

from facet.autoscaler.actuating import actuating, watching
from facet.autoscaler.brain import deciding
from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.external_scaler import ExternalScaler
from facet.autoscaler.kubernetes_api import KubernetesApi, is_reachable
from facet.autoscaler.pod_reading import Pods
from facet.autoscaler.pools_file import ScaledPool, read_pools
from facet.autoscaler.settings import AutoscalerSettings
from facet.autoscaler.timing_receiver import (
    MAX_CALLS,
    TimingReceiver,
    receive_timings,
    receiver_options,
)
from facet.autoscaler.timing_samples import WaitingSamples
from facet.core.listener import bind
from facet.core.logs import configure_logs, follow_log_level
from facet.core.tasks import cancel_all
from facet.core.telemetry.autoscaler_metrics import AUTOSCALER
from facet.core.telemetry.exposition import registry_of
from facet.core.telemetry.listener import serving_metrics
from facet.core.telemetry.tracing import tracing
from facet.core.tls import CertificateFiles

_STOP_SECONDS = 1.0
"""Calls that still run may end for so long; KEDA repeats what was cut."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exits with 2 and one line when it cannot start."""
    try:
        settings = AutoscalerSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        fault = error.errors()[0]
        name = "_".join(str(part) for part in fault["loc"]).upper()
        _refuse(f"FACET_AUTOSCALER_{name}: {fault['msg']}")
    configure_logs(settings.log_level, service="autoscaler")
    try:
        asyncio.run(serve(settings))
    except (OSError, ValueError) as error:
        _refuse(str(error))


async def serve(settings: AutoscalerSettings) -> None:
    """Serve until SIGTERM or SIGINT. Errors: those of `bind` and `settings.certificates`."""
    _log.info("settings", **settings.effective())
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    ready = "READY"
    pools = read_pools(settings.pools_file)
    levels = asyncio.create_task(follow_log_level(settings.log_level, settings.log_level_file))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cancel_all, (levels,))
        ready += await _scale(settings, pools, stack)
        if settings.health_listen:
            server = grpc.aio.server()
            servicer = health.aio.HealthServicer()
            await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
            address = await stack.enter_async_context(
                _listening(server, settings.health_listen, None)
            )
            ready += f" health={address}"
        address = stack.enter_context(
            serving_metrics(
                settings.metrics_listen,
                {"/metrics": registry_of(AUTOSCALER)},
                is_serving=lambda: True,
            )
        )
        if address:
            ready += f" metrics={address}"
        sys.stdout.write(f"{ready}\n")
        sys.stdout.flush()
        await stopped.wait()


async def _scale(
    settings: AutoscalerSettings, pools: Sequence[ScaledPool], stack: AsyncExitStack
) -> str:
    """Decide, tell KEDA and write until the stack unwinds; what READY tells of it."""
    api, pods = None, None
    if settings.mode == "standalone" or is_reachable():
        api = KubernetesApi.connect(settings.namespace)
        pods = await stack.enter_async_context(watching(api, settings.release))
    current, ready = await _think(settings, pools, pods, stack)
    if settings.mode == "external-scaler":
        scaler = grpc.aio.server()
        ExternalScaler(current, [each.name for each in pools]).add_to(scaler)
        address = await stack.enter_async_context(
            _listening(scaler, settings.listen, settings.certificates())
        )
        ready = f" scaler={address}{ready}"
    if api is not None and pods is not None:
        await stack.enter_async_context(actuating(settings, api, pods, current, pools))
    return ready


async def _think(
    settings: AutoscalerSettings,
    pools: Sequence[ScaledPool],
    pods: Pods | None,
    stack: AsyncExitStack,
) -> tuple[CurrentDecision, str]:
    """Receive timing spans and decide until the stack unwinds; what READY tells of it."""
    samples = WaitingSamples()
    ready = ""
    if settings.otlp_listen:
        server = grpc.aio.server(options=receiver_options(), maximum_concurrent_rpcs=MAX_CALLS)
        receiver = TimingReceiver(settings.model, [each.name for each in pools], samples)
        receive_timings(server, receiver)
        address = await stack.enter_async_context(
            _listening(server, settings.otlp_listen, settings.certificates())
        )
        ready = f" otlp={address}"
    traced = await stack.enter_async_context(tracing(settings, "autoscaler", {}))
    policies = [each.settings for each in pools]
    deciders = deciding(settings, policies, samples, pods=pods, tracing=traced)
    return await stack.enter_async_context(deciders), ready


@asynccontextmanager
async def _listening(
    server: grpc.aio.Server, listen: str, certificates: CertificateFiles | None
) -> AsyncIterator[str]:
    """Serve while the context is open; yields the bound `host:port`. Errors: those of `bind`."""
    address = bind(server, listen, certificates)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(_STOP_SECONDS)


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"facet autoscaler: {reason}\n")
    raise SystemExit(2)
