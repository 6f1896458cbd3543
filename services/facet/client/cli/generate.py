"""`facet generate`: one request, one answer."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from facet.client.cli import answer, terminal
from facet.client.cli.arguments import attachments, connect, generation_options


def run(arguments: argparse.Namespace) -> None:
    """Ask and print. Errors: FacetApiError, StreamCorruptedError."""
    question = sys.stdin.read() if arguments.prompt == "-" else arguments.prompt
    with connect(arguments) as client:
        stream = client.stream([*attachments(arguments), question], **generation_options(arguments))
        read = answer.read(client, stream, is_shown=not arguments.json)
    if arguments.json:
        print(json.dumps(as_json(read), ensure_ascii=False))
    else:
        terminal.write_answer("\n")


def as_json(read: answer.Answer) -> dict[str, Any]:
    """The object that `--json` prints; its keys are documented in docs/sdk.md."""
    generation = read.generation
    return {
        "id": generation.id,
        "text": generation.text,
        "thoughts": generation.thoughts,
        "function_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in generation.function_calls
        ],
        "finish_reason": generation.finish_reason.value,
        "usage": dataclasses.asdict(generation.usage),
        "timings": dataclasses.asdict(generation.timings),
        "first_token_seconds": read.first_token_seconds,
    }
