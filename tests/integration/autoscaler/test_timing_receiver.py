"""Timing spans over real gRPC, as a worker's exporter sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from facet.autoscaler.otlp_spans import MAX_FIELDS, MAX_SPAN_BYTES
from facet.autoscaler.timing_receiver import (
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    TimingReceiver,
    receive_timings,
    receiver_options,
)
from facet.autoscaler.timing_samples import WaitingSamples
from facet.autoscaler.work import Modality

pytestmark = pytest.mark.integration

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
GOOD: dict[str, str | int | float] = {
    "facet.model": "nano",
    "facet.pool": "l4",
    "facet.prompt_tokens.text": 900,
    "facet.prompt_tokens.image": 100,
    "facet.prompt_tokens.audio": 0,
    "facet.prompt_tokens.video": 0,
    "facet.cached_tokens": 10,
    "facet.output_tokens": 200,
    "facet.steps": 100,
    "facet.prefill_seconds": 0.5,
    "facet.decode_seconds": 2.5,
    "facet.batch_size": 8.5,
}


def request(
    *spans: dict[str, str | int | float], name: str = "facet.timing"
) -> ExportTraceServiceRequest:
    def value(of: str | float) -> AnyValue:
        if isinstance(of, str):
            return AnyValue(string_value=of)
        return AnyValue(int_value=of) if isinstance(of, int) else AnyValue(double_value=of)

    told = [
        Span(name=name, attributes=[KeyValue(key=k, value=value(v)) for k, v in each.items()])
        for each in spans
    ]
    scope = ScopeSpans(spans=told)
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope])])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    size, rest = bytearray(), len(content)
    while rest > 127:
        size.append(rest & 127 | 128)
        rest >>= 7
    return bytes([number << 3 | 2, *size, rest]) + content


def spans(content: bytes) -> bytes:
    """A request of one resource and scope with these bytes of spans."""
    return field(1, field(2, content))


class Receiving:
    """A receiver of two pools, and a channel to it."""

    def __init__(self, samples: WaitingSamples, channel: grpc.aio.Channel) -> None:
        self.samples = samples
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, ExportTraceServiceResponse]
        self._call = channel.unary_unary(
            METHOD, response_deserializer=ExportTraceServiceResponse.FromString
        )

    async def send(self, request: ExportTraceServiceRequest) -> ExportTraceServiceResponse:
        return await self.send_bytes(request.SerializeToString())

    async def send_bytes(self, message: bytes) -> ExportTraceServiceResponse:
        answer: ExportTraceServiceResponse = await self._call(message, timeout=10)
        return answer


@pytest.fixture
async def receiving() -> AsyncIterator[Receiving]:
    samples = WaitingSamples()
    server = grpc.aio.server(options=receiver_options())
    receive_timings(server, TimingReceiver("nano", ["l4", "h100"], samples))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Receiving(samples, channel)
    await server.stop(None)


async def test_a_sample_waits_when_a_timing_span_comes(receiving: Receiving) -> None:
    answer = await receiving.send(request(GOOD, GOOD | {"facet.pool": "h100"}))
    assert not answer.HasField("partial_success")
    first, second = receiving.samples.take()
    assert (first.pool, second.pool) == ("l4", "h100")
    sample = first.sample
    assert sample.prompt_tokens[Modality.TEXT] == 900
    assert sample.prompt_tokens[Modality.IMAGE] == 100
    assert (sample.cached_tokens, sample.output_tokens, sample.steps) == (10, 200, 100)
    assert (sample.prefill_seconds, sample.decode_seconds, sample.batch_size) == (0.5, 2.5, 8.5)


async def test_nothing_is_taken_when_spans_are_not_for_us(receiving: Receiving) -> None:
    answer = await receiving.send(request(GOOD, name="decode"))
    assert not answer.HasField("partial_success")
    answer = await receiving.send(request(GOOD | {"facet.model": "other"}))
    assert not answer.HasField("partial_success")
    assert receiving.samples.take() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("facet.pool", "nowhere"),
        ("facet.pool", ""),
        ("facet.prefill_seconds", float("nan")),
        ("facet.prefill_seconds", float("inf")),
        ("facet.decode_seconds", -1.0),
        ("facet.decode_seconds", 1e9),
        ("facet.batch_size", "many"),
        ("facet.steps", -3),
        ("facet.steps", 1.5),
        ("facet.prompt_tokens.text", 1 << 60),
        ("facet.cached_tokens", 1001),
    ],
)
async def test_one_span_is_dropped_when_it_says_what_cannot_be(
    receiving: Receiving, name: str, value: str | float
) -> None:
    answer = await receiving.send(request(GOOD | {name: value}, GOOD))
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message.startswith(name)
    assert len(receiving.samples.take()) == 1


async def test_a_span_is_dropped_when_it_lacks_an_attribute(receiving: Receiving) -> None:
    for name in GOOD.keys() - {"facet.model"}:
        answer = await receiving.send(request({k: v for k, v in GOOD.items() if k != name}))
        assert answer.partial_success.error_message.startswith(name)
    assert receiving.samples.take() == []


async def test_a_message_is_refused_unread_when_it_is_too_large(receiving: Receiving) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await receiving.send(request(GOOD | {"filler": "x" * MAX_MESSAGE_BYTES}))
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not (await receiving.send(request(GOOD))).HasField("partial_success")
    assert len(receiving.samples.take()) == 1


EMPTY_FIELDS = (MAX_MESSAGE_BYTES - 64) // 2


@pytest.mark.parametrize(
    "message",
    [
        field(1, b"") * EMPTY_FIELDS,
        field(1, field(2, b"") * EMPTY_FIELDS),
        spans(field(2, b"") * EMPTY_FIELDS),
        # Numbers, which no request has.
        b"\x20\x01" * EMPTY_FIELDS,
        spans(field(2, field(5, b"facet.timing")) * (MAX_FIELDS + 1)),
    ],
    ids=["resources", "scopes", "spans", "numbers", "timings"],
)
async def test_a_message_is_refused_whole_when_it_has_too_many_parts(
    receiving: Receiving, message: bytes
) -> None:
    """Each part would be an object: two million of them are seconds and 400 MiB."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await receiving.send_bytes(message)

    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert receiving.samples.take() == []


@pytest.mark.parametrize(
    "message",
    [b"\x0a\x05abc", b"\xff" * 20, b"\x0b", b"\x0a", b"\x08", spans(field(2, b"\x2a\xff"))],
    ids=["short", "no number", "group", "no length", "no value", "no span"],
)
async def test_a_message_is_refused_as_invalid_when_it_is_no_request(
    receiving: Receiving, message: bytes
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await receiving.send_bytes(message)

    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_span_is_passed_over_when_it_is_larger_than_any_timing(
    receiving: Receiving,
) -> None:
    large = GOOD | {"filler": "x" * MAX_SPAN_BYTES}
    many = GOOD | {f"filler.{number}": 1 for number in range(MAX_ATTRIBUTES)}
    answer = await receiving.send(request(large, many, GOOD))

    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message.startswith("attributes: ")
    assert len(receiving.samples.take()) == 1


async def test_fields_of_later_versions_are_passed_over(receiving: Receiving) -> None:
    sent = request(GOOD).SerializeToString()
    later = b"\x20\x01" + b"\x29" + bytes(8) + b"\x35" + bytes(4) + field(9, b"later")
    await receiving.send_bytes(later + sent + later)

    assert len(receiving.samples.take()) == 1
