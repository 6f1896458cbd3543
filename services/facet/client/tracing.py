"""Spans of the program that uses the SDK, where it has a tracer; nothing is imported otherwise."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from facet.client.errors import FacetApiError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

OPERATION = "chat"


class ClientSpan:
    """One generation as its caller sees it, calls that it took up anew included.

    `metadata` make what the gateway does part of the same trace. Without OpenTelemetry in the
    program, or a tracer provider, there is no span and no metadata.
    """

    def __init__(self, model: str) -> None:
        self.metadata: tuple[tuple[str, str], ...] = ()
        self._span: Span | None = None
        # A program that has a tracer provider has loaded it.
        if "opentelemetry.trace" in sys.modules:
            self._start(model)

    def _start(self, model: str) -> None:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._span = trace.get_tracer("facet").start_span(
            f"{OPERATION} {model}".rstrip(),
            kind=trace.SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": OPERATION,
                "gen_ai.provider.name": "facet",
                **({"gen_ai.request.model": model} if model else {}),
            },
        )
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(self._span))
        self.metadata = tuple(headers.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error=exc)

    def end(self, generation_id: str = "", error: BaseException | None = None) -> None:
        """The generation ended, or its reader left it; only the first call counts."""
        span, self._span = self._span, None
        if span is None:
            return
        if generation_id:
            span.set_attribute("gen_ai.response.id", generation_id)
        if error is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415

            reason = error.reason if isinstance(error, FacetApiError) else type(error).__qualname__
            span.set_attribute("error.type", reason)
            span.set_status(StatusCode.ERROR, reason)
        span.end()
