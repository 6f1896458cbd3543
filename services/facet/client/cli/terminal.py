"""What is written to a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from facet.client.events import Usage

_DIM = "\x1b[2m"
_PLAIN = "\x1b[0m"
_ALLOWED_CONTROLS = frozenset("\n\t")


def write_answer(text: str) -> None:
    """Write a piece of the answer at once, harmless for a terminal."""
    _write(text)


def write_thought(text: str) -> None:
    """Write a piece of a thought, told apart where there is a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(_DIM)
        _write(text)
        sys.stdout.write(_PLAIN)
        sys.stdout.flush()


def note(line: str) -> None:
    """Write what is not part of the answer to standard error, harmless for a terminal."""
    print(_harmless(line, sys.stderr), file=sys.stderr, flush=True)


def summary(usage: Usage, first_token_seconds: float | None) -> str:
    """Tokens and speed of an answer in one line."""
    tokens = usage.output_tokens + usage.thought_tokens
    first = "-" if first_token_seconds is None else f"{first_token_seconds:.2f} s"
    return (
        f"[{usage.prompt_tokens} + {tokens} tokens, first after {first}, "
        f"{usage.accepted_draft_tokens} of {usage.drafted_tokens} drafted accepted]"
    )


def _write(text: str) -> None:
    sys.stdout.write(_harmless(text, sys.stdout))
    sys.stdout.flush()


def _harmless(text: str, stream: TextIO) -> str:
    # The text of models, tenants and servers must not steer the terminal; in a file or a pipe it
    # stays as it is.
    if not stream.isatty():
        return text
    return "".join(c for c in text if c.isprintable() or c in _ALLOWED_CONTROLS)
