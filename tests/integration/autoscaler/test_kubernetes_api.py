"""Calls to a Kubernetes API that is slow, and the right to write while they wait."""

from __future__ import annotations

import asyncio
import time

import pytest

from facet.autoscaler.kubernetes_api import (
    REQUEST_SECONDS,
    KubernetesApi,
    KubernetesError,
    NotLeadingError,
)
from tests.support.conditions import until
from tests.support.kubernetes_cluster import Fault, KubernetesServer

pytestmark = pytest.mark.integration

THREADS = 8
"""Calls that are under way at once."""


async def test_a_call_fails_in_time_and_is_not_repeated_when_the_server_is_slow(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.put_deployment("workers", 1)
    server.faults.append(Fault(lambda *_: True, wait_seconds=60.0))
    began = time.monotonic()
    with pytest.raises(KubernetesError, match="read scale of workers: no answer") as failure:
        await api.read_scale("workers")

    assert failure.value.status == 0
    assert time.monotonic() - began < REQUEST_SECONDS + 2.0
    assert len(server.requests) == 1


async def test_nothing_is_sent_when_the_right_to_write_ended_while_the_call_waited(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.put_deployment("workers", 1)
    scale = await api.read_scale("workers")
    server.faults.append(Fault(lambda *_: True, wait_seconds=2.0, times=THREADS))
    slow = [asyncio.create_task(api.read_scale("workers")) for _ in range(THREADS)]

    async def are_under_way() -> bool:
        return len(server.requests) == 1 + THREADS

    await until(are_under_way)
    is_leading = True

    def guard() -> None:
        if not is_leading:
            raise NotLeadingError("it has lapsed")

    writing = asyncio.create_task(api.write_scale("workers", scale, 5, guard))
    await asyncio.sleep(0)
    is_leading = False
    with pytest.raises(NotLeadingError):
        await writing

    assert server.scale_writes() == []
    await asyncio.gather(*slow)


async def test_calls_of_cancelled_tasks_are_waited_for_when_a_lease_is_given_back(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.put_deployment("workers", 1)
    scale = await api.read_scale("workers")
    server.faults.append(Fault(lambda method, _: method == "PATCH", wait_seconds=1.0))
    writing = asyncio.create_task(api.write_scale("workers", scale, 5))

    async def is_under_way() -> bool:
        return len(server.requests) > 1

    await until(is_under_way)
    writing.cancel()
    await api.settle()

    assert server.scale_writes() == [5]


async def test_the_first_writer_wins_when_two_have_read_the_same_scale(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.put_deployment("workers", 1)
    seen = await api.read_scale("workers")
    await api.write_scale("workers", seen, 3)
    with pytest.raises(KubernetesError, match="409") as refusal:
        await api.write_scale("workers", seen, 9)

    assert refusal.value.status == 409
    assert server.replicas("workers") == 3


async def test_a_scale_of_nothing_is_zero_when_its_spec_is_left_out(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.put_deployment("workers", 0)

    assert (await api.read_scale("workers")).replicas == 0
