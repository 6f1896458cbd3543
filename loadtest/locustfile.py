"""Users who stream answers over gRPC: `locust -f loadtest/locustfile.py --host HOST:PORT`.

Entries beside the whole stream: `time to first token`, one a stream, and `inter-token latency`,
one a token. Failures are counted by the reason of their ErrorInfo. FACET_API_KEY holds a key
where the gateway wants one.
"""

from __future__ import annotations

import os
import random
import time

import grpc
import grpc.experimental.gevent as grpc_gevent
from locust import User, task

from facet.api.v1 import generation_pb2, inference_service_pb2, inference_service_pb2_grpc
from facet.client.connection import call_metadata, channel_options
from facet.client.errors import from_call
from facet.client.request import build_request
from loadtest.stream_meter import StreamFaultError, StreamMeter

# Before any channel: afterwards gRPC waits in its own threads and blocks all users.
grpc_gevent.init_gevent()

DEADLINE_SECONDS = 60.0
OUTPUT_TOKENS = 64
_WORDS = ("river", "stone", "café", "über", "日本", "🚀", "window", "silver", "morning", "π")


class FailedStreamError(Exception):
    """What Locust counts: it groups by `repr`, which is the reason alone."""

    def __repr__(self) -> str:
        return str(self)


class StreamingUser(User):  # type: ignore[misc]  # Locust is not typed for mypy here
    """Sends one streaming request after another, on a connection of its own."""

    last_failed = False

    def wait_time(self) -> float:
        """No pause, but one second after a failure: a gateway that is away is not hammered."""
        return 1.0 if self.last_failed else 0.0

    def on_start(self) -> None:
        """Connect."""
        options = (*channel_options(self.host), ("grpc.use_local_subchannel_pool", 1))
        self.channel = grpc.insecure_channel(self.host, options=options)
        self.stub = inference_service_pb2_grpc.InferenceServiceStub(self.channel)
        self.metadata = call_metadata(os.environ.get("FACET_API_KEY"))

    def on_stop(self) -> None:
        """Disconnect."""
        self.channel.close()

    @task  # type: ignore[untyped-decorator]
    def stream(self) -> None:
        """One streamed answer, checked and timed."""
        meter = StreamMeter(time.perf_counter)
        started = time.perf_counter()
        try:
            self.read(meter)
            seconds, failure = meter.end(), None
        except grpc.RpcError as error:
            seconds, failure = (
                time.perf_counter() - started,
                FailedStreamError(from_call(error).reason),
            )
        except StreamFaultError as error:
            seconds, failure = time.perf_counter() - started, FailedStreamError(f"STREAM: {error}")
        self.last_failed = failure is not None
        self.report("stream", seconds, meter.response_bytes, failure)
        if meter.first_token_seconds is not None:
            self.report("time to first token", meter.first_token_seconds)
        for latency in meter.token_latencies_seconds:
            self.report("inter-token latency", latency)

    def read(self, meter: StreamMeter) -> None:
        """Read a stream to its end. Errors: grpc.RpcError, StreamFaultError."""
        request = inference_service_pb2.StreamGenerateContentRequest(request=prompt())
        call = self.stub.StreamGenerateContent(
            request, timeout=DEADLINE_SECONDS, metadata=self.metadata
        )
        try:
            for response in call:
                meter.feed(response)
        finally:
            call.cancel()

    def report(
        self, name: str, seconds: float, length: int = 0, failure: Exception | None = None
    ) -> None:
        """One entry of Locust's statistics."""
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            response_time=seconds * 1000,
            response_length=length,
            exception=failure,
            context={},
        )


def prompt() -> generation_pb2.GenerationRequest:
    """A short request unlike the others, with characters of several bytes."""
    words = " ".join(random.choices(_WORDS, k=8))
    return build_request(f"Repeat: {words}", {"max_output_tokens": OUTPUT_TOKENS})
