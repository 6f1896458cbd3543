"""Stand-alone: the one of several replicas that holds the Lease writes the decided sizes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import structlog

from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.decision import Decision
from facet.autoscaler.deletion_costs import LEAVING_COST, DeletionCosts, write_cost
from facet.autoscaler.kubernetes_api import KubernetesApi, KubernetesError, NotLeadingError
from facet.autoscaler.kubernetes_lease import LeaseElection
from facet.autoscaler.pod_watch import WatchedPods
from facet.autoscaler.shrinking import Drains, Shrink
from facet.autoscaler.signals import WorkerLoad
from facet.core.errors import StoreUnavailableError
from facet.core.telemetry.autoscaler_metrics import SCALE_WRITES, WRITER_LEADING

LOOK_SECONDS = 2.0
"""Between looks at what leaves; a new decision is acted on at once."""

_CONFLICTS = 4

Loads = Callable[[], Awaitable[Mapping[str, WorkerLoad]]]
Drain = Callable[[str], Awaitable[bool]]

_log = structlog.get_logger(__name__)


class _HeldError(Exception):
    """A pool's size is left as it is; `str()` says why."""


class ReplicaWriter:
    """Makes the scale of each Deployment what was decided; `deployments` by pool."""

    def __init__(
        self,
        api: KubernetesApi,
        lease: LeaseElection,
        pods: WatchedPods,
        current: CurrentDecision,
        deployments: Mapping[str, str],
        *,
        loads: Loads,
        drain: Drain,
        drain_seconds: float,
        is_dry: bool = False,
    ) -> None:
        self._api = api
        self._lease = lease
        self._pods = pods
        self._current = current
        self._deployments = deployments
        self._loads = loads
        self._drain = drain
        self._drains = {pool: Drains(drain_seconds) for pool in deployments}
        self._is_dry = is_dry
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Write what is due after each decision and every few seconds, until cancelled."""
        seen = -1
        while True:
            try:
                await self.step()
            except Exception:  # noqa: BLE001 - a supervisor: one fault must not end what follows
                _log.exception("replicas.fault")
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    seen = await self._current.changed(seen)
            except TimeoutError:
                continue

    async def step(self) -> None:
        """Do what is due for each pool, if this replica leads and there is a decision."""
        WRITER_LEADING.set(self._lease.is_leading)
        for pool, deployment in self._deployments.items():
            if self._current.decision is None or not self._lease.is_leading:
                return
            try:
                await self._apply(pool, deployment)
                self._tell(pool, "")
            except NotLeadingError:
                return
            except _HeldError as held:
                self._tell(pool, str(held))
            except (KubernetesError, StoreUnavailableError) as error:
                SCALE_WRITES.labels(pool, "failed").inc()
                self._tell(pool, str(error))

    async def _apply(self, pool: str, deployment: str) -> None:
        for attempt in range(_CONFLICTS):
            scale = await self._api.read_scale(deployment)
            # After the call, which may have taken long: what is written is the newest.
            decision = self._decision(pool)
            replicas = await self._due(pool, decision, scale.replicas)
            if replicas == scale.replicas:
                return
            try:
                await self._api.write_scale(
                    deployment, scale, replicas, self._lease.guard, is_dry=self._is_dry
                )
            except KubernetesError as error:
                if error.status != HTTPStatus.CONFLICT or attempt == _CONFLICTS - 1:
                    raise
                # Its status changed, or somebody scaled it: look again.
                SCALE_WRITES.labels(pool, "conflict").inc()
                continue
            SCALE_WRITES.labels(pool, "dry" if self._is_dry else "written").inc()
            _log.info(
                "replicas.written",
                deployment=deployment,
                before=scale.replicas,
                replicas=replicas,
                wanted=decision.replicas[pool],
                is_dry=self._is_dry,
            )
            return

    def _decision(self, pool: str) -> Decision:
        decision = self._current.decision
        if decision is None:
            raise _HeldError(self._current.why_none)
        if pool not in decision.replicas:
            raise _HeldError("the decision does not know the pool: another release took it")
        return decision

    async def _due(self, pool: str, decision: Decision, replicas: int) -> int:
        """The replicas to write: what is wanted, or more while workers drain."""
        wanted = decision.replicas[pool]
        if decision.is_blind:
            return max(wanted, replicas)
        if self._is_dry:
            return wanted
        known = self._pods.known().current
        if known is None:
            return max(wanted, replicas)
        own = [each for each in known if each.pod.pool == pool]
        is_leaving = any(each.cost == LEAVING_COST for each in own)
        if wanted >= replicas and not is_leaving:
            return wanted
        loads = await self._loads()
        shrink = self._drains[pool].plan(own, loads, replicas, wanted)
        await self._prepare(shrink)
        return shrink.replicas

    async def _prepare(self, shrink: Shrink) -> None:
        for name in shrink.leaving:
            await write_cost(self._api, name, LEAVING_COST, self._lease.guard)
        for name in shrink.staying:
            await write_cost(self._api, name, 0, self._lease.guard)
        for name in shrink.asked:
            self._lease.guard()
            await self._drain(name)
            _log.info("replicas.draining", worker=name)

    def _tell(self, pool: str, why: str) -> None:
        if why and why != self._told.get(pool):
            _log.error("replicas.not_written", pool=pool, why=why)
        self._told[pool] = why


async def keep_costs(
    costs: DeletionCosts, pods: WatchedPods, loads: Loads, is_writing: Callable[[], bool]
) -> None:
    """Keep the deletion costs of pods true every few seconds, until cancelled."""
    told = ""
    while True:
        known = pods.known().current
        try:
            if known is not None and is_writing():
                await costs.step(known, await loads())
            told = ""
        except NotLeadingError:
            pass
        except (KubernetesError, StoreUnavailableError) as error:
            if str(error) != told:
                _log.error("deletion_costs.not_written", why=str(error))
            told = str(error)
        await asyncio.sleep(LOOK_SECONDS)
