"""OTLP TraceService that takes workers' timing spans, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.otlp_spans import TooManyFieldsError, spans_of
from facet.autoscaler.timing_samples import PoolSample, WaitingSamples
from facet.autoscaler.work import Modality
from facet.core.telemetry.autoscaler_metrics import TIMING_SPANS

SPAN_NAME = "facet.timing"

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A batch of 512 spans has some 300 kB; gRPC refuses more with RESOURCE_EXHAUSTED."""

MAX_CALLS = 16
"""At once, which 64 MiB of messages may wait in; gRPC refuses more."""

MAX_ATTRIBUTES = 64
"""Of a timing span, which has a dozen."""

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"

_MOST_SECONDS = 24 * 3600.0
_MOST_TOKENS = 10_000_000

Value = str | int | float
Context = grpc.aio.ServicerContext[bytes, ExportTraceServiceResponse]


class BadSpanError(ValueError):
    """A timing span that lacks something, or says what cannot be; `str()` says what."""


class TimingReceiver:
    """Puts the samples of `model` and `pools` where they wait for the store.

    A pool "" is the only pool there is, if so: workers outside of Kubernetes have none. Spans of
    other names and models are ignored; bad ones are dropped and counted, and the answer's
    `partial_success` says how many and why.
    """

    def __init__(self, model: str, pools: Collection[str], samples: WaitingSamples) -> None:
        self._model = model
        self._pools = frozenset(pools)
        self._samples = samples

    async def export(self, message: bytes, context: Context) -> ExportTraceServiceResponse:
        """`TraceService.Export`. Answers at once: nothing is written here."""
        try:
            spans = spans_of(message)
        except TooManyFieldsError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no OTLP request: {error}")
        bad, why = 0, ""
        for span in spans:
            if span.name != SPAN_NAME:
                continue
            try:
                result = self._take(span)
            except BadSpanError as error:
                bad, why, result = bad + 1, str(error), "bad"
            TIMING_SPANS.labels(result).inc()
        response = ExportTraceServiceResponse()
        if bad:
            response.partial_success.rejected_spans = bad
            response.partial_success.error_message = why
        return response

    def _take(self, span: Span) -> str:
        """What became of it. Errors: BadSpanError."""
        if len(span.attributes) > MAX_ATTRIBUTES:
            raise BadSpanError(f"attributes: more than {MAX_ATTRIBUTES}")
        attributes = dict(_values(span.attributes))
        if attributes.get("facet.model") != self._model:
            return "ignored"
        self._samples.add(self._sample(attributes))
        return "taken"

    def _sample(self, attributes: Mapping[str, Value]) -> PoolSample:
        pool = attributes.get("facet.pool", "")
        if pool == "" and len(self._pools) == 1:
            (pool,) = self._pools
        if pool not in self._pools:
            raise BadSpanError("facet.pool: no pool of that name is scaled here")
        prompts = {
            kind: _count(attributes, f"facet.prompt_tokens.{kind.value}") for kind in Modality
        }
        cached = _count(attributes, "facet.cached_tokens")
        if cached > sum(prompts.values()):
            raise BadSpanError("facet.cached_tokens: more than the prompt has")
        return PoolSample(
            str(pool),
            TimingSample(
                prompt_tokens=prompts,
                cached_tokens=cached,
                output_tokens=_count(attributes, "facet.output_tokens"),
                steps=_count(attributes, "facet.steps"),
                prefill_seconds=_number(attributes, "facet.prefill_seconds", _MOST_SECONDS),
                decode_seconds=_number(attributes, "facet.decode_seconds", _MOST_SECONDS),
                batch_size=_number(attributes, "facet.batch_size", _MOST_TOKENS),
            ),
        )


def receive_timings(server: grpc.aio.Server, receiver: TimingReceiver) -> None:
    """Serve the receiver; the server should have `receiver_options`."""
    handler: grpc.RpcMethodHandler[bytes, ExportTraceServiceResponse]
    handler = grpc.unary_unary_rpc_method_handler(
        receiver.export, response_serializer=ExportTraceServiceResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),)
    )


def receiver_options() -> tuple[tuple[str, int], ...]:
    """Options of the server."""
    return (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),)


def _values(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Value]]:
    for each in attributes:
        kind = each.value.WhichOneof("value")
        if kind in ("string_value", "int_value", "double_value"):
            yield each.key, getattr(each.value, kind)


def _number(attributes: Mapping[str, Value], name: str, most: float) -> float:
    value = attributes.get(name)
    if value is None or isinstance(value, str):
        raise BadSpanError(f"{name}: a number is needed")
    if not (math.isfinite(value) and 0 <= value <= most):
        raise BadSpanError(f"{name}: must be within 0 and {most:g}")
    return float(value)


def _count(attributes: Mapping[str, Value], name: str) -> int:
    value = _number(attributes, name, _MOST_TOKENS)
    if value != int(value):
        raise BadSpanError(f"{name}: must be whole")
    return int(value)
