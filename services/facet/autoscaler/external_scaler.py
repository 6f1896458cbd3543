"""KEDA's external scaler: tells the decided number of replicas of the pool that it is asked for.

The metric is that number and its target 1, so that the HPA asks for just as many. Without a
decision in force every answer is UNAVAILABLE: KEDA then leaves the pool as it is, while 0 or false
would shrink it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, NoReturn

import grpc

from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import (
    ExternalScalerServicer,
    add_ExternalScalerServicer_to_server,
)
from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.decision import Cause

METRIC = "facet-replicas"
POOL = "pool"
"""Key of the trigger's metadata that names the pool."""

Context = grpc.aio.ServicerContext[Any, Any]


class ExternalScaler(ExternalScalerServicer):
    """Answers for each of `pools`; any replica of the autoscaler answers alike."""

    def __init__(self, current: CurrentDecision, pools: Collection[str]) -> None:
        self._current = current
        self._pools = frozenset(pools)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on `server`."""
        add_ExternalScalerServicer_to_server(self, server)

    async def IsActive(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.IsActiveResponse:
        """Whether the pool is to have any replica."""
        pool = await self._pool(request, context)
        return pb.IsActiveResponse(result=await self._replicas(pool, context) > 0)

    async def StreamIsActive(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """The same at once and at each change; nothing while no decision is in force."""
        pool = await self._pool(request, context)
        told: bool | None = None
        seen = -1
        while True:
            seen = await self._current.changed(seen)
            replicas = self._told(pool)
            if isinstance(replicas, int) and told != (is_active := replicas > 0):
                told = is_active
                yield pb.IsActiveResponse(result=is_active)

    async def GetMetricSpec(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        """One metric, whose target is 1."""
        await self._pool(request, context)
        return _SPEC

    async def StreamMetricSpec(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        """The same once: it never changes. The stream stays open, as KEDA expects."""
        await self._pool(request, context)
        yield _SPEC
        await asyncio.get_running_loop().create_future()

    async def GetMetrics(  # noqa: N802
        self, request: pb.GetMetricsRequest, context: Context
    ) -> pb.GetMetricsResponse:
        """The decided number of replicas."""
        pool = await self._pool(request.scaledObjectRef, context)
        if request.metricName != METRIC:
            await _refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                f"no metric {request.metricName!r}: there is {METRIC}",
            )
        replicas = await self._replicas(pool, context)
        value = pb.MetricValue(
            metricName=METRIC, metricValue=replicas, metricValueFloat=float(replicas)
        )
        return pb.GetMetricsResponse(metricValues=[value])

    async def _pool(self, reference: pb.ScaledObjectRef, context: Context) -> str:
        pool = reference.scalerMetadata.get(POOL, "")
        if not pool:
            await _refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                f"ScaledObject {reference.namespace}/{reference.name}: the trigger's metadata "
                f"names no {POOL}",
            )
        if pool not in self._pools:
            await _refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                f"ScaledObject {reference.namespace}/{reference.name}: no pool {pool!r}; there "
                f"are {', '.join(sorted(self._pools))}",
            )
        return pool

    async def _replicas(self, pool: str, context: Context) -> int:
        replicas = self._told(pool)
        if isinstance(replicas, str):
            await _refuse(
                context,
                grpc.StatusCode.UNAVAILABLE,
                f"replicas are held: {replicas}; see `facet admin autoscaler explain`",
            )
        return replicas

    def _told(self, pool: str) -> int | str:
        """The pool's replicas; in words, why they are held."""
        decision = self._current.decision
        if decision is None:
            return self._current.why_none
        if decision.is_blind:
            missing = {each.detail for each in decision.reasons if each.cause is Cause.BLIND}
            return f"signals are missing: {', '.join(sorted(missing - {''}))}"
        if pool not in decision.replicas:
            return f"the decision knows no pool {pool!r}: another release took it"
        replicas = decision.replicas[pool]
        if replicas == 0 and self._current.has_arrival:
            return "a request has come since zero was decided"
        return replicas


_SPEC = pb.GetMetricSpecResponse(
    metricSpecs=[pb.MetricSpec(metricName=METRIC, targetSize=1, targetSizeFloat=1.0)]
)


async def _refuse(context: Context, code: grpc.StatusCode, details: str) -> NoReturn:
    await context.abort(code, details)
    raise AssertionError("abort raises")
