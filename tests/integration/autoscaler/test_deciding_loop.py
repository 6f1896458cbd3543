"""Replicas of the autoscaler over a real store: one leads, all answer alike."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import Gauge
from redis.asyncio import Redis

from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse, ScaledPool
from facet.autoscaler.coefficients import ServiceCoefficients, TimingSample
from facet.autoscaler.current_decision import VALID_SECONDS, CurrentDecision
from facet.autoscaler.deciding_loop import DecidingLoop
from facet.autoscaler.decision import Cause
from facet.autoscaler.gathering import Gatherer
from facet.autoscaler.pod_reading import MemoryPods
from facet.autoscaler.policy import PolicySettings, PoolSettings
from facet.autoscaler.signals import Phase, Pod, Reading
from facet.autoscaler.timing_samples import PoolSample, WaitingSamples
from facet.autoscaler.work import Modality
from facet.core.tasks import cancel_all
from facet.core.telemetry.autoscaler_metrics import BLIND, DECISION_AGE, LEADING
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.queue.redis_queue import RedisQueue
from facet.queue.scaling import RedisScalingMemory
from facet.queue.values import Priority
from tests.support.conditions import until
from tests.support.event_loop import longest_hold
from tests.support.queue_contract.world import submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

POOL = PoolSettings(
    "l4",
    16,
    100.0,
    ServiceCoefficients(
        prefill_token_seconds=dict.fromkeys(Modality, 0.001),
        step_base_seconds=0.03,
        step_sequence_seconds=0.001,
    ),
    max_pods=10,
    price_per_hour=2.0,
)
POLICY = PolicySettings((POOL,), interval_seconds=0.5)
SAMPLE = TimingSample(dict.fromkeys(Modality, 0) | {Modality.TEXT: 1000}, 0, 100, 100, 0.5, 2, 1)


class Clock:
    """Seconds that a test moves ahead."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


class Replica:
    """One replica's parts."""

    def __init__(
        self,
        url: str,
        release: str,
        pods: MemoryPods,
        policy: PolicySettings,
        *,
        tracing: Tracing,
        clock: Clock,
    ) -> None:
        self.pods = pods
        self.samples = WaitingSamples()
        self.current = CurrentDecision(clock)
        self.queue = RedisQueue.connect(url, release=release, model="nano")
        self.memory = RedisScalingMemory.connect(url, release=release, model="nano")
        gatherer = Gatherer(self.queue, pods=pods, only_pool="l4")
        self.loop = DecidingLoop(
            self.memory, gatherer, policy, self.samples, self.current, tracing=tracing
        )

    async def explanation(self) -> ExplainAutoscalerResponse:
        return ExplainAutoscalerResponse.FromString((await self.memory.recall()).decision)

    async def close(self) -> None:
        await self.queue.close()
        await self.memory.close()


@asynccontextmanager
async def replicas(
    url: str,
    count: int = 2,
    policy: PolicySettings = POLICY,
    tracing: Tracing = UNTRACED,
    clock: Clock | None = None,
) -> AsyncIterator[list[Replica]]:
    release, pods = secrets.token_hex(8), MemoryPods()
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        found = [
            Replica(url, release, pods, policy, tracing=tracing, clock=clock) for _ in range(count)
        ]
        for each in found:
            stack.push_async_callback(each.close)
        yield found


@asynccontextmanager
async def running(*found: Replica) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(c) for r in found for c in (r.loop.run(), r.loop.watch(r.queue))]
    try:
        yield
    finally:
        await cancel_all(tasks)


async def test_one_leads_and_both_answer_alike_when_two_look(redis_server: RedisServer) -> None:
    async with replicas(redis_server.url) as (first, second):
        request = submission("g-0-1", priority=Priority.INTERACTIVE)
        await first.queue.submit(replace(request, prompt_tokens=50_000))
        await first.loop.step()
        await second.loop.step()

        assert (first.loop.is_leading, second.loop.is_leading) == (True, False)
        assert first.current.decision is not None
        assert first.current.decision.total >= 1
        assert second.current.decision is not None
        assert second.current.decision.replicas == first.current.decision.replicas
        causes = {each.cause for each in second.current.decision.reasons}
        assert causes == {each.cause for each in first.current.decision.reasons}
        told = await second.explanation()
        assert told.cost_per_hour == 2.0 * first.current.decision.total
        assert {each.name for each in told.signals if each.valid} >= {"queue", "leased", "pods"}


async def test_the_other_one_goes_on_with_what_was_learned_when_the_leader_resigns(
    redis_server: RedisServer,
) -> None:
    async with replicas(redis_server.url) as (first, second):
        await first.loop.step()
        for each in (first, second):
            for _ in range(30):
                each.samples.add(PoolSample("l4", SAMPLE))
        await second.loop.step()
        await first.loop.step()
        assert (await first.explanation()).pools[0].service_times.samples == 60
        await first.loop.resign()
        await second.loop.step()
        assert second.loop.is_leading
        times = (await second.explanation()).pools[0].service_times
        assert times.samples == 60
        assert times.step_base_seconds + times.step_sequence_seconds == pytest.approx(0.02, rel=0.1)
        # It is no longer its turn, though it does not know.
        await first.loop.step()
        assert not first.loop.is_leading


def age_seconds(explanation: ExplainAutoscalerResponse, name: str) -> float | None:
    (signal,) = (each for each in explanation.signals if each.name == name)
    return signal.age.ToMilliseconds() / 1000 if signal.HasField("age") else None


async def test_what_was_learned_has_its_own_age_also_for_the_next_leader(
    redis_server: RedisServer,
) -> None:
    async with replicas(redis_server.url) as (first, second):
        starting, ready = Pod("p", "l4", Phase.LOADING, 9.0, 4.0), Pod("p", "l4", Phase.READY, 9, 1)
        first.pods.reading = Reading((starting,))
        await first.loop.step()
        told = await first.explanation()
        assert [age_seconds(told, each) for each in ("coefficients", "startup")] == [None, None]
        first.samples.add(PoolSample("l4", SAMPLE))
        first.pods.reading = Reading((ready,))
        await first.loop.step()
        told = await first.explanation()
        assert [age_seconds(told, each) for each in ("coefficients", "startup")] == [0, 0]
        await asyncio.sleep(0.2)
        await first.loop.resign()
        await second.loop.step()
        told = await second.explanation()
        for each in ("coefficients", "startup", "queue"):
            age = age_seconds(told, each)
            assert age is not None
            assert (age >= 0.2) is (each != "queue")


async def test_others_have_their_turn_while_many_samples_are_learned(
    redis_server: RedisServer,
) -> None:
    """As many as may wait: 2,000 took half a second, in which nobody was told of an arrival."""
    slow = replace(POLICY, interval_seconds=30.0)
    async with replicas(redis_server.url, 1, policy=slow) as (one,):
        await one.memory.put_timings([PoolSample("l4", SAMPLE).to_bytes()] * 2000)
        assert await longest_hold(one.loop.step()) < 0.2
        assert (await one.explanation()).pools[0].service_times.samples == 2000


async def test_sizes_are_held_when_pods_are_not_known(redis_server: RedisServer) -> None:
    async with replicas(redis_server.url, 1) as (one,):
        one.pods.reading = Reading((Pod("p", "l4", Phase.READY, 300.0, 200.0),))
        await one.loop.step()
        one.pods.reading = Reading()
        await one.loop.step()
        decision = one.current.decision
        assert decision is not None
        assert decision.is_blind
        assert [(each.cause, each.detail) for each in decision.reasons] == [(Cause.BLIND, "pods")]
        assert (await one.explanation()).blind


async def test_the_last_decision_counts_when_the_store_is_away(
    own_redis_server: RedisServer,
) -> None:
    async with replicas(own_redis_server.url, 1) as (one,):
        await one.loop.step()
        before = one.current.decision
        own_redis_server.kill()
        one.samples.add(PoolSample("l4", SAMPLE))
        await one.loop.step()
        assert (one.current.decision, one.loop.is_leading) == (before, False)
        own_redis_server.restart()
        await one.loop.step()
        assert (one.current.decision == before, one.loop.is_leading) == (False, True)
        assert (await one.explanation()).pools[0].service_times.samples == 1


def told(gauge: Gauge) -> float:
    (family,) = gauge.collect()
    return family.samples[0].value


async def test_the_gauges_tell_it_when_every_look_fails(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of its own must not leave what was told while all was well."""
    clock = Clock()
    async with replicas(redis_server.url, 1, clock=clock) as (one,):
        one.pods.reading = Reading((Pod("p", "l4", Phase.READY, 300.0, 200.0),))
        await one.loop.step()
        assert (told(LEADING), told(BLIND)) == (1, 0)
        clock.seconds += VALID_SECONDS + 40.0
        failed = asyncio.Event()

        def fails() -> Reading[tuple[Pod, ...]]:
            failed.set()
            raise ArithmeticError("a fault")

        monkeypatch.setattr(one.pods, "read", fails)
        async with running(one):
            await asyncio.wait_for(failed.wait(), 10)

            async def is_told() -> bool:
                return (told(LEADING), told(BLIND)) == (0, 1)

            await until(is_told)
        assert told(DECISION_AGE) >= VALID_SECONDS + 40.0


async def test_an_arrival_stays_when_the_decision_was_taken_before_it_and_written_later(
    redis_server: RedisServer,
) -> None:
    """A leader reads signals, decides and writes; a request may come in between."""
    async with replicas(redis_server.url, 1) as (follower,):
        epoch = await follower.memory.lead("another", 60_000)
        read_at_ms = (await follower.memory.recall()).now_ms
        decision = ExplainAutoscalerResponse(pools=[ScaledPool(name="l4", desired=0)])
        decision.decide_time.FromMilliseconds(read_at_ms)
        await follower.current.arrive()
        await asyncio.sleep(0.1)
        assert await follower.memory.record(epoch, decision.SerializeToString(), b"")
        await follower.loop.step()

        assert follower.current.decision is not None
        assert follower.current.has_arrival


async def test_each_reason_is_an_event_of_the_span_when_it_is_decided(
    redis_server: RedisServer,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traced = Tracing(provider.get_tracer("test"))
    async with replicas(redis_server.url, 1, tracing=traced) as (one,):
        await one.loop.step()
    (span,) = exporter.get_finished_spans()
    decision = one.current.decision
    assert decision is not None
    assert span.name == "decide"
    assert span.attributes is not None
    assert span.attributes["facet.scaling.replicas.l4"] == decision.replicas["l4"]
    told = [event.name for event in span.events]
    assert told == [f"scaling {each.cause.value}" for each in decision.reasons]
    assert told


async def test_all_replicas_know_within_200_ms_when_a_request_comes_to_an_idle_queue(
    own_redis_server: RedisServer,
) -> None:
    slow = replace(POLICY, interval_seconds=30.0)
    async with replicas(own_redis_server.url, policy=slow) as both:
        for each in both:
            await each.loop.step()
        async with running(*both):

            async def are_watching() -> bool:
                return await blocked_clients(own_redis_server.url) == 2

            await until(are_watching)
            versions = [await each.current.changed() for each in both]
            await both[0].queue.submit(submission("g-0-1", priority=Priority.INTERACTIVE))
            async with asyncio.timeout(0.2):
                for each, seen in zip(both, versions, strict=True):
                    await each.current.changed(seen)

            async def is_decided() -> bool:
                found = [each.current.decision for each in both]
                return all(each is not None and each.total >= 1 for each in found)

            await until(is_decided, seconds=2)


async def blocked_clients(url: str) -> int:
    redis: Redis = Redis.from_url(url)
    async with redis:
        return int((await redis.info("clients"))["blocked_clients"])
