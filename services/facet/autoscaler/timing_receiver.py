"""OTLP TraceService that takes workers' timing spans, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.timing_samples import PoolSample, WaitingSamples
from facet.autoscaler.work import Modality
from facet.core.telemetry.autoscaler_metrics import TIMING_SPANS

SPAN_NAME = "facet.timing"

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""A batch of 512 spans has some 300 kB; gRPC refuses more with RESOURCE_EXHAUSTED."""

MAX_CALLS = 32
"""At once; gRPC refuses more."""

_MOST_SECONDS = 24 * 3600.0
_MOST_TOKENS = 10_000_000

Value = str | int | float


class BadSpanError(ValueError):
    """A timing span that lacks something, or says what cannot be; `str()` says what."""


class TimingReceiver(TraceServiceServicer):
    """Puts the samples of `model` and `pools` where they wait for the store.

    A pool "" is the only pool there is, if so: workers outside of Kubernetes have none. Spans of
    other names and models are ignored; bad ones are dropped and counted, and the answer's
    `partial_success` says how many and why.
    """

    def __init__(self, model: str, pools: Collection[str], samples: WaitingSamples) -> None:
        self._model = model
        self._pools = frozenset(pools)
        self._samples = samples

    async def Export(  # noqa: N802 - the protocol's name
        self,
        request: ExportTraceServiceRequest,
        context: grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse],
    ) -> ExportTraceServiceResponse:
        """See the protocol. Answers at once: nothing is written here."""
        bad, why = 0, ""
        for attributes in _timings(request):
            if attributes.get("facet.model") != self._model:
                TIMING_SPANS.labels("ignored").inc()
                continue
            try:
                self._samples.add(self._sample(attributes))
                TIMING_SPANS.labels("taken").inc()
            except BadSpanError as error:
                bad, why = bad + 1, str(error)
                TIMING_SPANS.labels("bad").inc()
        response = ExportTraceServiceResponse()
        if bad:
            response.partial_success.rejected_spans = bad
            response.partial_success.error_message = why
        return response

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
    add_TraceServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call]


def receiver_options() -> tuple[tuple[str, int], ...]:
    """Options of the server."""
    return (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),)


def _timings(request: ExportTraceServiceRequest) -> Iterator[dict[str, Value]]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                if span.name == SPAN_NAME:
                    yield dict(_values(span.attributes))


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
