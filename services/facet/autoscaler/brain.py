"""The part of the service that knows and decides, composed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.deciding_loop import DecidingLoop
from facet.autoscaler.gathering import Gatherer
from facet.autoscaler.latency_reading import Gateways, LatencyReader, Prometheus
from facet.autoscaler.pod_reading import Pods
from facet.autoscaler.policy import PolicySettings, PoolSettings, SloSettings
from facet.autoscaler.settings import AutoscalerSettings
from facet.autoscaler.timing_samples import WaitingSamples
from facet.core.tasks import cancel_all, keep_running
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.queue.scaling import RedisScalingMemory
from facet.queue.sharded_queue import sharded_queue
from facet.queue.values import Priority

_HPA_TOLERANCE = 0.1
"""Default of Kubernetes: an HPA ignores changes of up to this share."""


def policy_settings(settings: AutoscalerSettings, pools: Sequence[PoolSettings]) -> PolicySettings:
    """The policy's part of the settings. Errors: ValueError when they contradict each other."""
    return PolicySettings(
        pools=tuple(pools),
        model=settings.model,
        slo=SloSettings(
            interactive_ttft_seconds=settings.interactive_ttft_seconds,
            standard_ttft_seconds=settings.standard_ttft_seconds,
            batch_drain_seconds=settings.batch_drain_seconds,
            inter_token_seconds=settings.inter_token_seconds,
            attainment=settings.attainment,
        ),
        interval_seconds=settings.decision_seconds,
        head_room=settings.head_room,
        idle_seconds=settings.idle_seconds,
        max_cost_per_hour=settings.max_cost_per_hour,
        tolerance=_HPA_TOLERANCE if settings.mode == "external-scaler" else 0.0,
    )


@asynccontextmanager
async def deciding(
    settings: AutoscalerSettings,
    pools: Sequence[PoolSettings],
    samples: WaitingSamples,
    *,
    pods: Pods | None = None,
    tracing: Tracing = UNTRACED,
) -> AsyncIterator[CurrentDecision]:
    """Decide or follow while the context is open; yields what writers of replicas ask.

    Without `pods` the workers' reports tell of them. Errors: those of `policy_settings` and
    `AutoscalerSettings.store`.
    """
    policy = policy_settings(settings, pools)
    store = settings.store()
    current = CurrentDecision()
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(
            sharded_queue(store, release=settings.release, model=settings.model)
        )
        memory = RedisScalingMemory.connect(store, release=settings.release, model=settings.model)
        stack.push_async_callback(memory.close)
        latency = _latency_reader(settings)
        only_pool = pools[0].name if len(pools) == 1 else ""
        gatherer = Gatherer(queue, pods=pods, latency=latency, only_pool=only_pool)
        loop = DecidingLoop(memory, gatherer, policy, samples, current, tracing=tracing)
        stack.push_async_callback(loop.resign)
        running = [
            keep_running("decisions", loop.run),
            keep_running("arrivals", partial(loop.watch, queue)),
        ]
        if latency is not None:
            running.append(keep_running("latencies", latency.run))
        tasks = [asyncio.create_task(each) for each in running]
        stack.push_async_callback(cancel_all, tasks)
        yield current


def _latency_reader(settings: AutoscalerSettings) -> LatencyReader | None:
    slos = {
        Priority.INTERACTIVE: settings.interactive_ttft_seconds,
        Priority.STANDARD: settings.standard_ttft_seconds,
        Priority.BATCH: settings.batch_drain_seconds,
    }
    if settings.prometheus_url:
        return LatencyReader(Prometheus(settings.prometheus_url, settings.model), slos)
    if settings.gateway_metrics:
        return LatencyReader(Gateways(settings.gateway_metrics, settings.model), slos)
    return None
