"""What `facet admin` shows to people. Values are those of `plain`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

Values = dict[str, Any]


def request_lines(request: Values) -> list[str]:
    """One request's whole life."""
    generation = request["generation"]
    lines = [
        f"{generation['generation_id']}: {generation['state']}, {request['priority']} class, "
        f"tenant {request['tenant']}, model {request['model']}",
        f"needs     {_needs(request['needs'])}",
        f"queue     {_queue(request)}",
        f"deadline  {_deadline(request)}",
        f"attempts  {request['attempts']}, of these {request['deaths']} in a row ended with their "
        f"worker; epoch {request['epoch']}",
        f"worker    {request['worker'] or '-'}, engine {request['fingerprint'] or '-'}",
        f"log       next offset {generation['next_offset']}; readers at {request['read_offset']}, "
        f"{request['reader_lag']} behind",
        "life",
        *_life(request),
    ]
    if request["log"]:
        lines.append("events")
        lines += [f"  {s['offset']:>6}  {s['what']:<10} {s['detail']}" for s in request["log"]]
    if request["timings"] is not None:
        lines.append(f"phases    {_phases(request['timings'])}")
    if request["usage"] is not None:
        lines.append(f"usage     {_usage(request['usage'])}")
    lines.append(f"end       {_end(generation)}")
    return lines


def queue_lines(queues: Sequence[Values]) -> list[str]:
    """The queues with what waits by class."""
    lines = []
    for queue in queues:
        rate = queue["drain_tokens_per_second"]
        lines.append(
            f"{queue['model']}/{queue['shard']}: {queue['waiting']} waiting "
            f"({queue['waiting_bytes']} bytes), {queue['leased']} leased, "
            f"{queue['dead_letters']} dead letters; {rate:.1f} tokens/s leave it, "
            f"an answer takes {queue['mean_output_tokens']} tokens"
        )
        lines += [
            f"  {each['priority']:<12} {each['requests']:>8} requests {each['tokens']:>10} tokens"
            f"  oldest {_seconds(each['oldest_age_seconds'])}"
            for each in queue["classes"]
        ]
    return lines


def worker_lines(workers: Sequence[Values]) -> list[str]:
    """The workers, a line each."""
    return [
        f"{worker['name']}: {worker['model']}, {worker['running']} of {worker['capacity']} running"
        f"{', draining' if worker['draining'] else ''}, reported {worker['report_time']}, "
        f"engine {worker['fingerprint']}{_speculation(worker['speculation'])}"
        for worker in workers
    ]


def dead_letter_lines(letters: Sequence[Values]) -> list[str]:
    """Dead letters, a line each."""
    return [
        f"{letter['dead_time']}  {letter['generation_id']}  tenant {letter['tenant']}, "
        f"model {letter['model']}, {letter['size_bytes']} bytes: {_failure(letter['failure'])}"
        for letter in letters
    ]


def audit_lines(entries: Sequence[Values]) -> list[str]:
    """Operators' actions, a line each."""
    return [
        f"{entry['time']}  {entry['who']}  {entry['action']} {entry['subject']} "
        f"(model {entry['model']})"
        for entry in entries
    ]


def _speculation(told: Values | None) -> str:
    if told is None or told["acceptance"] is None:
        return ""
    share = f"; speculation: acceptance {told['acceptance']:.2f}"
    return share if told["healthy"] else f"{share} below {told['floor']:.2f}"


def _needs(needs: Values) -> str:
    media = ", ".join(needs["media"]) or "no media"
    adapter = f"adapter {needs['adapter']}" if needs["adapter"] else "no adapter"
    return f"{needs['context_tokens']} tokens of context, {media}, {adapter}"


def _queue(request: Values) -> str:
    place = ""
    if request["generation"]["state"] == "queued":
        place = (
            f"{request['requests_ahead']} ahead ({request['tokens_ahead']} tokens), "
            f"about {_seconds(request['estimated_wait_seconds'])}; "
        )
    return (
        f"{place}prompt {request['prompt_tokens']} tokens, charged {request['charged_tokens']}; "
        f"held {request['holds']} times, skipped {request['skips']} times"
    )


def _deadline(request: Values) -> str:
    if request["generation"]["end_time"] is not None:
        return "-"
    remaining = request["remaining_seconds"]
    return f"in {_seconds(remaining)}" if remaining else "passed"


def _life(request: Values) -> list[str]:
    accepted = request["generation"]["create_time"]
    steps = [{"time": accepted, "what": "accepted", "detail": ""}, *request["life"]]
    lines = []
    for step in steps:
        age = datetime.fromisoformat(step["time"]) - datetime.fromisoformat(accepted)
        line = (
            f"  {step['time']}  {age.total_seconds():>9.3f} s  {step['what']:<13} {step['detail']}"
        )
        lines.append(line.rstrip())
    return lines


def _phases(timings: Values) -> str:
    return ", ".join(
        f"{phase.replace('_', ' ')} {_seconds(timings[f'{phase}_seconds'])}"
        for phase in ("queue_wait", "render", "prefill", "decode")
    )


def _usage(usage: Values) -> str:
    return (
        f"prompt {usage['prompt_token_count']} ({usage['cached_content_token_count']} cached), "
        f"answer {usage['candidates_token_count']}, thoughts {usage['thoughts_token_count']}, "
        f"accepted {usage['accepted_draft_token_count']} of {usage['drafted_token_count']} drafted"
    )


def _end(generation: Values) -> str:
    if generation["end_time"] is None:
        return "-"
    end = f"{generation['end_time']}, kept until {generation['expire_time']}"
    failure = generation["failure"]
    return f"{end}; {_failure(failure)}" if failure is not None else end


def _failure(failure: Values | None) -> str:
    return "-" if failure is None else f"{failure['reason']}: {failure['message']}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"
