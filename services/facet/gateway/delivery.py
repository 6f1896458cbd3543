"""The span of an answer's delivery."""

from __future__ import annotations

import time

from opentelemetry.trace import Span

from facet.core.telemetry.gen_ai import TIME_TO_FIRST_CHUNK


class Delivery:
    """Tells the span when the first events of the log were passed on."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._began_at = time.monotonic()
        self._is_first = True

    def passed(self) -> None:
        """Events were passed on; only the first call costs anything."""
        if self._is_first:
            self._is_first = False
            self._span.set_attribute(TIME_TO_FIRST_CHUNK, time.monotonic() - self._began_at)
