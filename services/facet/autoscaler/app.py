"""The autoscaler's composition root: parse, validate, compose, run."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NoReturn

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from pydantic import ValidationError

from facet.autoscaler.brain import deciding
from facet.autoscaler.holding_scaler import REASON, HoldingScaler
from facet.autoscaler.pools_file import read_pools
from facet.autoscaler.settings import AutoscalerSettings
from facet.autoscaler.timing_receiver import (
    MAX_CALLS,
    TimingReceiver,
    receive_timings,
    receiver_options,
)
from facet.autoscaler.timing_samples import WaitingSamples
from facet.core.listener import bind
from facet.core.logs import configure_logs
from facet.core.telemetry.autoscaler_metrics import AUTOSCALER
from facet.core.telemetry.exposition import registry_of
from facet.core.telemetry.listener import serving_metrics
from facet.core.tls import CertificateFiles

_STOP_SECONDS = 1.0
"""Calls that still run may end for so long; KEDA repeats what was cut."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exits with 2 and one line when it cannot start."""
    try:
        settings = AutoscalerSettings()
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
    async with AsyncExitStack() as stack:
        if settings.mode == "external-scaler":
            scaler = grpc.aio.server()
            scaler.add_generic_rpc_handlers((HoldingScaler(),))
            address = await stack.enter_async_context(
                _listening(scaler, settings.listen, settings.certificates())
            )
            ready += f" scaler={address}"
        if settings.health_listen:
            server = grpc.aio.server()
            servicer = health.aio.HealthServicer()
            await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
            address = await stack.enter_async_context(
                _listening(server, settings.health_listen, None)
            )
            ready += f" health={address}"
        if settings.pools_file is not None:
            ready += await _think(settings, settings.pools_file, stack)
        address = stack.enter_context(
            serving_metrics(
                settings.metrics_listen,
                {"/metrics": registry_of(AUTOSCALER)},
                is_serving=lambda: True,
            )
        )
        if address:
            ready += f" metrics={address}"
        _log.warning("autoscaler.holding", reason=REASON)
        sys.stdout.write(f"{ready}\n")
        sys.stdout.flush()
        await stopped.wait()


async def _think(settings: AutoscalerSettings, pools_file: Path, stack: AsyncExitStack) -> str:
    """Receive timing spans and decide until the stack unwinds; what READY tells of it."""
    pools = [each.settings for each in read_pools(pools_file)]
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
    await stack.enter_async_context(deciding(settings, pools, samples))
    return ready


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
