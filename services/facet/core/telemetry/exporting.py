"""Sending spans without ever waiting for who takes them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from facet.core.hot_reload import HotReload
from facet.core.tls import CertificateFiles, check_bundle

QUEUED_SPANS = 4096
"""Most spans that wait to be sent, about 10 MB; the oldest give way."""

_BATCH_SPANS = 512
_DELAY_SECONDS = 1.0
"""Spans of a process that is killed are lost from so long before on."""

_EXPORT_SECONDS = 5.0
"""For a batch with its repeats; then it is dropped."""

STOP_SECONDS = 2.0
"""For the last batch, when the service ends."""


class _FollowingExporter(SpanExporter):
    """Sends over TLS, trusting the CAs of a file as it is when a batch is sent."""

    def __init__(self, url: str, ca_file: Path) -> None:
        """Errors: OSError and ValueError when the file holds no CAs."""

        def exporter(contents: tuple[bytes, ...]) -> OTLPSpanExporter:
            check_bundle(ca_file)
            credentials = grpc.ssl_channel_credentials(*contents)
            return OTLPSpanExporter(url, credentials=credentials, timeout=_EXPORT_SECONDS)

        self._exporters = HotReload(f"CAs {ca_file}", CertificateFiles(ca=ca_file).read, exporter)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See the class above."""
        return self._exporters.fresh().export(spans)

    def shutdown(self) -> None:
        """See the class above."""
        self._exporters.value.shutdown()


def exporter_to(endpoint: str, ca_file: Path | None = None) -> SpanExporter:
    """An exporter to `[http(s)://]host:port`; it connects when there is something to send.

    https trusts the CAs of `ca_file`, else those of the OTEL_EXPORTER_OTLP_* variables. Errors:
    OSError and ValueError when that file holds no CAs.
    """
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    if ca_file is not None:
        return _FollowingExporter(url, ca_file)
    return OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS)


def batching(exporter: SpanExporter) -> BatchSpanProcessor:
    """Sends ended spans from a thread of its own, out of a bounded queue.

    Ending a span costs the same whether the collector takes spans, hangs or is away.
    """
    return BatchSpanProcessor(
        exporter,
        max_queue_size=QUEUED_SPANS,
        schedule_delay_millis=_DELAY_SECONDS * 1000,
        max_export_batch_size=_BATCH_SPANS,
    )


async def stop_batching(processor: BatchSpanProcessor) -> None:
    """Send what waits, for a bounded time; what is left then is lost."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def stop() -> None:
        processor.shutdown()  # type: ignore[no-untyped-call]
        # It may be too late for anybody to hear.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    # A thread of the loop's own pool would hold up the end of the process.
    threading.Thread(target=stop, name="last-spans", daemon=True).start()
    try:
        await asyncio.wait_for(ended.wait(), STOP_SECONDS)
    except TimeoutError:
        processor.span_exporter.shutdown()
