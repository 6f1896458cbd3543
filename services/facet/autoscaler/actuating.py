"""The parts of the service that act on the Kubernetes API, composed."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.deletion_costs import DeletionCosts
from facet.autoscaler.kubernetes_api import KubernetesApi
from facet.autoscaler.kubernetes_lease import LeaseElection
from facet.autoscaler.pod_watch import WatchedPods
from facet.autoscaler.pools_file import ScaledPool, deployments_of
from facet.autoscaler.replica_writer import ReplicaWriter, keep_costs
from facet.autoscaler.settings import AutoscalerSettings
from facet.autoscaler.signals import WorkerLoad
from facet.autoscaler.worker_reading import loads_of, reports_of
from facet.core.tasks import cancel_all, keep_running
from facet.queue.port import Observer
from facet.queue.sharded_queue import sharded_queue


@asynccontextmanager
async def watching(api: KubernetesApi, release: str) -> AsyncIterator[WatchedPods]:
    """Follow the pods of a release's workers while the context is open; closes `api` with it."""
    pods = WatchedPods(api, release)
    task = asyncio.create_task(keep_running("pods", pods.run))
    try:
        yield pods
    finally:
        api.close()
        await cancel_all([task])


@asynccontextmanager
async def actuating(
    settings: AutoscalerSettings,
    api: KubernetesApi,
    pods: WatchedPods,
    current: CurrentDecision,
    pools: Sequence[ScaledPool],
) -> AsyncIterator[None]:
    """Write deletion costs, and stand-alone the decided sizes, while the context is open.

    Errors: those of `AutoscalerSettings.store` and `deployments_of`.
    """
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(
            sharded_queue(settings.store(), release=settings.release, model=settings.model)
        )

        async def loads() -> Mapping[str, WorkerLoad]:
            return await loads_by_name(queue)

        running: dict[str, Callable[[], Awaitable[None]]]
        if settings.mode == "external-scaler":
            costs = DeletionCosts(api, _anybody)
            keep = partial(keep_costs, costs, pods, loads, lambda: True)
            running = {"deletion costs": keep}
        else:
            identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"
            lease = LeaseElection(api, settings.lease, identity)
            writer = ReplicaWriter(
                api,
                lease,
                pods,
                current,
                deployments_of(pools),
                loads=loads,
                drain=queue.drain_worker,
                drain_seconds=settings.drain_seconds,
                is_dry=settings.dry_run,
            )
            costs = DeletionCosts(api, lease.guard)
            running = {"lease": lease.run, "replicas": writer.run}
            if not settings.dry_run:
                keep = partial(keep_costs, costs, pods, loads, lambda: lease.is_leading)
                running["deletion costs"] = keep
            # Last: whoever writes has ended by then.
            stack.push_async_callback(lease.resign)
        tasks = [asyncio.create_task(keep_running(*each)) for each in running.items()]
        stack.push_async_callback(cancel_all, tasks)
        yield


async def loads_by_name(queue: Observer) -> dict[str, WorkerLoad]:
    """What the workers report, by their names, which are the pods'. Errors: StoreUnavailable."""
    return {each.name: each for each in loads_of(reports_of(await queue.reports()))}


def _anybody() -> None:
    """KEDA is who writes sizes; deletion costs come out alike whoever writes them."""
