"""Spans over TLS, to a real OTLP server whose certificate is exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from facet.core.telemetry.exporting import exporter_to
from facet.core.tls import CertificateFiles, server_credentials
from tests.support.authority import Authority, SecretVolume
from tests.support.otlp_receiver import otlp_receiver

pytestmark = pytest.mark.integration


def span(name: str) -> ReadableSpan:
    made = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span(name)
    made.end()
    assert isinstance(made, ReadableSpan)
    return made


def test_spans_arrive_when_the_file_holds_the_cas_and_after_it_was_exchanged(
    tmp_path: Path,
) -> None:
    first, second = Authority("first"), Authority("second")
    certificate, key = first.issue()
    volume = SecretVolume(tmp_path / "tls", crt=certificate, key=key, ca=first.certificate)
    ca = volume["ca"]
    served = server_credentials(CertificateFiles(volume["crt"], volume["key"]))
    with otlp_receiver(served) as receiver:
        exporter = exporter_to(f"https://{receiver.address}", ca)
        assert exporter.export([span("before")]) is SpanExportResult.SUCCESS

        certificate, key = second.issue()
        volume.swap(crt=certificate, key=key, ca=second.certificate)
        assert exporter.export([span("after")]) is SpanExportResult.SUCCESS
        exporter.shutdown()

        assert exporter_to(f"https://{receiver.address}", ca).export([span("new")]) is (
            SpanExportResult.SUCCESS
        )
        other = tmp_path / "other.pem"
        other.write_bytes(first.certificate)
        distrusting = exporter_to(f"https://{receiver.address}", other)
        assert distrusting.export([span("distrusted")]) is SpanExportResult.FAILURE

    assert [each.name for each in receiver.spans] == ["before", "after", "new"]
