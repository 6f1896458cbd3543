"""Reads a stream to its end and shows it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass

from facet.client.cli import terminal
from facet.client.errors import FacetApiError, StreamCorruptedError
from facet.client.events import (
    FunctionCall,
    Queued,
    Restarted,
    StreamEvent,
    TextDelta,
    ThoughtDelta,
)
from facet.client.generation import Generation
from facet.client.sync_client import Client
from facet.client.sync_stream import Stream


@dataclass(frozen=True)
class Answer:
    """An answer and the time that its reader saw; None where there was no token."""

    generation: Generation
    first_token_seconds: float | None


def read(client: Client, stream: Stream, *, is_shown: bool) -> Answer:
    """Read a stream that was just opened; Ctrl-C cancels the generation.

    Errors: FacetApiError, StreamCorruptedError, KeyboardInterrupt.
    """
    opened = time.monotonic()
    first_token = None
    try:
        for event in stream:
            if first_token is None and isinstance(event, TextDelta | ThoughtDelta | FunctionCall):
                first_token = time.monotonic() - opened
            if is_shown:
                _show(event)
    except (FacetApiError, StreamCorruptedError):
        if is_shown and first_token is not None:
            terminal.write_answer("\n")
        raise
    except KeyboardInterrupt:
        if stream.generation_id:
            # The interrupt is what the user is told of; the grace ends what this cannot.
            with contextlib.suppress(FacetApiError):
                client.cancel(stream.generation_id)
        stream.close()
        raise
    return Answer(stream.result(), first_token)


def _show(event: StreamEvent) -> None:
    match event:
        case TextDelta():
            terminal.write_answer(event.text)
        case ThoughtDelta():
            terminal.write_thought(event.text)
        case FunctionCall():
            arguments = json.dumps(event.arguments, ensure_ascii=False)
            terminal.write_answer(f"{event.name}({arguments})\n")
        case Queued():
            why = "a worker starts" if event.is_cold_start else f"{event.position} ahead"
            terminal.note(f"[waiting: {why}]")
        case Restarted():
            terminal.note("\n[a worker was lost: the answer starts over]")
