"""Who of several replicas writes: a Lease of the Kubernetes API.

No clock of another machine is believed: a follower counts from when it saw the Lease change, a
leader from before it sent its renewal. Both count what passes while they are suspended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import structlog

from facet.autoscaler.kubernetes_api import (
    REQUEST_SECONDS,
    Json,
    KubernetesApi,
    KubernetesError,
    NotLeadingError,
)

LEASE_SECONDS = 15
"""A leader that has not renewed for so long is followed by another."""

RENEW_SECONDS = 3.0

MARGIN_SECONDS = REQUEST_SECONDS + 1.0
"""A write begins only while the Lease holds for so much longer: it ends before another leads."""

_log = structlog.get_logger(__name__)


def boot_seconds() -> float:
    """Seconds since the machine started, those included while it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseElection:
    """One replica's share in a Lease; `name` is the Lease's, `identity` this replica's own."""

    def __init__(
        self,
        api: KubernetesApi,
        name: str,
        identity: str,
        *,
        seconds: int = LEASE_SECONDS,
        margin_seconds: float = MARGIN_SECONDS,
        clock: Callable[[], float] = boot_seconds,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._margin_seconds = margin_seconds
        self._clock = clock
        self._wall = wall
        self._held_until: float | None = None
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0
        self._told = ""

    @property
    def is_leading(self) -> bool:
        """Whether a write may begin."""
        until = self._held_until
        return until is not None and until - self._clock() > self._margin_seconds

    def guard(self) -> None:
        """Raise NotLeadingError unless a write may begin."""
        if not self.is_leading:
            raise NotLeadingError(f"{self._identity} does not hold the lease {self._name}")

    async def run(self, every_seconds: float = RENEW_SECONDS) -> None:
        """Renew or try to get the Lease, until cancelled."""
        while True:
            try:
                await self.step()
                self._tell("")
            except KubernetesError as error:
                self._tell(str(error))
            await asyncio.sleep(every_seconds)

    async def step(self) -> None:
        """Do so once. Errors: KubernetesError; a Lease that is held stays so until it lapses."""
        try:
            lease = await self._api.read_lease(self._name)
        except KubernetesError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            lease = {"metadata": {"name": self._name}}
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if _is_absent(lease) and self._held_until is not None and self._held_until > self._clock():
            # Somebody deleted it: nobody else can have it yet.
            holder = self._identity
        if holder != self._identity:
            self._held_until = None
            if not self._has_lapsed(holder, lease):
                return
        await self._take(lease, is_new=holder != self._identity)

    async def resign(self) -> None:
        """Let another replica lead at once; nothing may be written any more."""
        was_held, self._held_until = self._held_until is not None, None
        if not was_held:
            return
        # What was being written must have come to its end before another one leads.
        await self._api.settle()
        try:
            lease = await self._api.read_lease(self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = None
                await self._api.replace_lease(lease)
        except KubernetesError as error:
            _log.debug("lease.not_resigned", cause=str(error))

    def _has_lapsed(self, holder: str, lease: Json) -> bool:
        """Whether the Lease stood still for its whole life while this replica looked on.

        One that was deleted may still be held by who wrote it, so it is as one that is held; one
        that was never seen is free at once.
        """
        is_free = not holder and (self._seen is None or not _is_absent(lease))
        version = lease["metadata"].get("resourceVersion", "")
        if (holder, version) != self._seen:
            self._seen, self._seen_at = (holder, version), self._clock()
        spec = lease.get("spec") or {}
        life = max(int(spec.get("leaseDurationSeconds") or 0), self._seconds)
        return is_free or self._clock() - self._seen_at > life

    async def _take(self, lease: Json, *, is_new: bool) -> None:
        spec = dict(lease.get("spec") or {})
        at = datetime.fromtimestamp(self._wall(), UTC)
        # The client writes a whole second without a fraction; the server wants six digits.
        now = at.replace(microsecond=at.microsecond or 1).isoformat()
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._seconds,
            "renewTime": now,
        }
        is_absent = _is_absent(lease)
        if is_new or is_absent:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (
                0 if is_absent else int(spec.get("leaseTransitions") or 0) + 1
            )
        written = {**lease, "spec": spec}
        sent_at = self._clock()
        try:
            if is_absent:
                await self._api.create_lease(written)
            else:
                await self._api.replace_lease(written)
        except KubernetesError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            # Somebody else wrote: the next look tells who.
            return
        if is_new or self._held_until is None:
            _log.info("lease.leading", lease=self._name, identity=self._identity)
        self._held_until = sent_at + self._seconds
        self._seen, self._seen_at = (self._identity, ""), sent_at

    def _tell(self, why: str) -> None:
        if why and why != self._told:
            _log.error("lease.not_renewed", why=why)
        self._told = why


def _is_absent(lease: Json) -> bool:
    return "resourceVersion" not in lease["metadata"]
