"""`facet admin usage`: what ended generations took, as lines, JSON lines or CSV."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from facet.client.cli import terminal
from facet.client.cli.plain import plain

if TYPE_CHECKING:
    from facet.api.v1.admin_service_pb2 import UsageRecord
    from facet.client.cli.arguments import Parser

_MODALITIES = ("text", "image", "audio", "video")


def _of_modality(name: str, record: dict[str, Any]) -> int:
    details = record["usage"]["prompt_tokens_details"]
    return sum(each["token_count"] for each in details if each["modality"] == name)


_COLUMNS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "generation_id": lambda record: record["generation_id"],
    "tenant": lambda record: record["tenant"],
    "model": lambda record: record["model"],
    "create_time": lambda record: record["create_time"],
    "end_time": lambda record: record["end_time"],
    "outcome": lambda record: record["outcome"],
    "queue_seconds": lambda record: record["queue_time_seconds"],
    "run_seconds": lambda record: record["run_time_seconds"],
    "attempts": lambda record: record["attempts"],
    "prompt_tokens": lambda record: record["usage"]["prompt_token_count"],
    **{f"prompt_{name}_tokens": partial(_of_modality, name) for name in _MODALITIES},
    "cached_tokens": lambda record: record["usage"]["cached_content_token_count"],
    "output_tokens": lambda record: record["usage"]["candidates_token_count"],
    "thought_tokens": lambda record: record["usage"]["thoughts_token_count"],
    "is_estimate": lambda record: str(record["is_estimate"]).lower(),
}


def add_command(parser: Parser) -> None:
    """The arguments of the command."""
    for name, about in (("since", "only what ended from"), ("until", "only what ended before")):
        parser.add_argument(
            f"--{name}",
            type=_time,
            metavar="TIME",
            help=f"{about} this time on, such as 2026-01-31 or 2026-01-31T12:00:00Z (UTC)"
            if name == "since"
            else f"{about} this time",
        )
    parser.add_argument("--tenant", default="", metavar="TENANT", help="only of this tenant")
    parser.add_argument("--model", default="", metavar="MODEL", help="only of this model")
    parser.add_argument("--csv", action="store_true", help="print CSV with a line of names first")


def write(records: Iterable[UsageRecord], *, as_csv: bool, as_json: bool) -> None:
    """Print records as they arrive."""
    rows = map(plain, records)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([column(row) for column in _COLUMNS.values()] for row in rows)
        return
    is_empty = True
    if as_json:
        # One value, which need not fit in memory.
        for number, row in enumerate(rows):
            sys.stdout.write(f"{', ' if number else '['}{json.dumps(row, ensure_ascii=False)}")
            is_empty = False
        sys.stdout.write("[]\n" if is_empty else "]\n")
        return
    for row in rows:
        terminal.write_answer(f"{_line(row)}\n")


def _line(record: dict[str, Any]) -> str:
    usage = record["usage"]
    about = "about " if record["is_estimate"] else ""
    return (
        f"{record['end_time']}  {record['generation_id']}  tenant {record['tenant']}, "
        f"model {record['model']}: {record['outcome']}, prompt {about}"
        f"{usage['prompt_token_count']}, answer {usage['candidates_token_count']}, thoughts "
        f"{usage['thoughts_token_count']} tokens; waited {record['queue_time_seconds']:.3f} s, "
        f"ran {record['run_time_seconds']:.3f} s"
    )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in ISO 8601") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
