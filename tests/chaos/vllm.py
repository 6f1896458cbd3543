"""Kills over two real vLLM workers on nano: `python -m tests.chaos.vllm --seed N`.

Greedy questions are asked undisturbed first, then again and again while workers are killed in the
middle of streams: every answer must be the undisturbed one. Progress goes to standard error; the
last line of standard output is one JSON object. The exit code is 0 only if every answer was equal,
nothing was lost, repeated or left out, and at least 5 kills hit a stream that had begun.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facet.api.v1 import generation_pb2
from tests.chaos.client import Client, Outcome
from tests.chaos.cluster import Cluster, running_cluster, worker_name
from tests.chaos.delivery import Delivery
from tests.chaos.gateways import Gateways
from tests.chaos.load import Kind, Plan
from tests.chaos.processes import Process
from tests.chaos.questions import questions
from tests.chaos.report import Report

_KILLS = 5
_REQUESTS = 24
"""Each question twice: kills go on until so many were asked."""

_READERS = 3
_READY_SECONDS = 300.0
_STORM_SECONDS = 900.0
_ANSWER_SECONDS = 240.0
_REREAD_SECONDS = 30.0
_MID_STREAM_EVENTS = 8
_POLL_SECONDS = 0.1
_SETTINGS = {"ENGINE": "vllm", "MAX_SEQUENCES": "4"}


@dataclass(frozen=True)
class Answer:
    """What must be the same however often a worker dies."""

    text: str
    thoughts: str
    calls: tuple[tuple[str, str], ...]
    finish_reason: int
    tokens: tuple[int, int, int]


def answer_of(delivery: Delivery) -> Answer | None:
    """The delivered answer; None where the generation did not finish well."""
    finished = delivery.finished
    if finished is None or finished.HasField("failure"):
        return None
    calls = [e.function_call for e in delivery.events if e.HasField("function_call")]
    usage = finished.usage
    return Answer(
        text="".join(event.text_delta.text for event in delivery.events),
        thoughts="".join(event.thought_delta.text for event in delivery.events),
        calls=tuple((call.name, str(call.args)) for call in calls),
        finish_reason=finished.finish_reason,
        tokens=(
            usage.prompt_token_count,
            usage.candidates_token_count,
            usage.thoughts_token_count,
        ),
    )


@dataclass
class Storm:
    """Asks while a task of its own kills; both end when enough was killed."""

    cluster: Cluster
    client: Client
    requests: Sequence[generation_pb2.GenerationRequest]
    rng: random.Random
    outcomes: list[Outcome] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    async def undisturbed(self) -> list[Answer | None]:
        """The answer to each question while nothing is killed."""
        found: list[Answer | None] = []
        for number in range(len(self.requests)):
            outcome = await self._ask(number)
            found.append(answer_of(outcome.main))
        return found

    async def disturbed(self) -> None:
        """Ask on with several readers until the kills are done, then let all streams end."""
        turns = itertools.cycle(range(len(self.requests)))
        killing = asyncio.create_task(self._kill())

        async def read() -> None:
            while not killing.done():
                number = next(turns)
                self.numbers.append(number)
                self.outcomes.append(outcome := self._outcome(number))
                await self.client.run(outcome)

        await asyncio.gather(killing, *(read() for _ in range(_READERS)))

    async def _ask(self, number: int) -> Outcome:
        outcome = self._outcome(number)
        await self.client.run(outcome)
        return outcome

    def _outcome(self, number: int) -> Outcome:
        request = generation_pb2.GenerationRequest()
        request.CopyFrom(self.requests[number])
        request.request_id = f"chaos-{self.rng.getrandbits(64):016x}"
        return Outcome(Plan(number, Kind.STREAM, request, _ANSWER_SECONDS))

    async def _kill(self) -> None:
        ends_at = time.monotonic() + _STORM_SECONDS
        while not self._is_enough() and time.monotonic() < ends_at:
            await asyncio.sleep(_POLL_SECONDS)
            ready = [worker for worker in self.cluster.workers if worker.is_ready]
            # With nobody left to continue at once, a kill would only wait for a start.
            if len(ready) < len(self.cluster.workers):
                continue
            if (victim := self._mid_stream(ready)) is None:
                continue
            # Anywhere in the stream, not only at its beginning.
            await asyncio.sleep(self.rng.uniform(0, 1.5))
            if self._held(victim):
                self.kills["mid_stream"] += 1
                self.kills[victim.name] += 1
                victim.kill()
                sys.stderr.write(f"chaos: killed {victim.name}, {dict(self.kills)}\n")

    def _is_enough(self) -> bool:
        return self.kills["mid_stream"] >= _KILLS and len(self.outcomes) >= _REQUESTS

    def _mid_stream(self, workers: Sequence[Process]) -> Process | None:
        able = [worker for worker in workers if self._held(worker)]
        return self.rng.choice(able) if able else None

    def _held(self, worker: Process) -> bool:
        name = worker_name(worker.name, worker.life)
        return any(
            o.main.is_open and o.main.worker == name and len(o.main.events) >= _MID_STREAM_EVENTS
            for o in self.outcomes
        )

    async def differences(self, right: Sequence[Answer | None]) -> list[str]:
        """Questions whose answers, as delivered or as kept, are not the undisturbed ones."""
        found = []
        for number, outcome in zip(self.numbers, self.outcomes, strict=True):
            outcome.reread = await self.client.reread(outcome.main.generation_id, _REREAD_SECONDS)
            answer = answer_of(outcome.main)
            if answer != right[number] or right[number] is None:
                found.append(f"{number}: {answer}, right is {right[number]}"[:600])
            elif outcome.reread.events != outcome.main.events:
                found.append(f"{number}: the log is not what was delivered")
        return found


def make_report(storm: Storm, differences: Sequence[str], seconds: float, seed: int) -> Report:
    """Count."""
    mains = [outcome.main for outcome in storm.outcomes]
    return {
        "requests": len(mains),
        "finished": sum(answer_of(main) is not None for main in mains),
        "resumed_midstream": sum(main.is_resumed for main in mains),
        "kills_midstream": storm.kills["mid_stream"],
        "lost": sum(main.finished is None for main in mains),
        "duplicate_offsets": sum(main.duplicate_offsets for main in mains),
        "gaps": sum(main.gaps for main in mains),
        "wrong_content": len(differences),
        "extra_terminals": sum(main.extra_terminals for main in mains),
        "errors_by_reason": dict(Counter(main.end for main in mains if main.end != "OK")),
        "kills": dict(storm.kills),
        "wrong": differences[:5],
        "odd_exits": storm.cluster.odd_exits(),
        "seconds": round(seconds, 1),
        "seed": seed,
    }


def is_good(report: Report) -> bool:
    """Whether every condition holds."""
    count = {name: value for name, value in report.items() if isinstance(value, int)}
    zeros = ("lost", "duplicate_offsets", "gaps", "wrong_content", "extra_terminals")
    return (
        not any(count[name] for name in zeros)
        and count["finished"] == count["requests"] >= _REQUESTS
        and count["kills_midstream"] >= _KILLS
        and count["resumed_midstream"] > 0
    )


async def _run(seed: int, folder: Path) -> Report:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    began = time.monotonic()
    async with running_cluster(
        folder, gateways=2, workers=2, worker_settings=_SETTINGS, ready_seconds=_READY_SECONDS
    ) as cluster:
        sys.stderr.write(f"chaos: cluster in {folder} serves, seed {seed}\n")
        gateways = Gateways(cluster.addresses)
        try:
            client = Client(gateways, serves_submit=False)
            storm = Storm(cluster, client, questions(seed), random.Random(seed))
            right = await storm.undisturbed()
            sys.stderr.write(f"chaos: {len(right)} undisturbed answers\n")
            await storm.disturbed()
            differences = await storm.differences(right)
        finally:
            await gateways.close()
        return make_report(storm, differences, time.monotonic() - began, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.vllm")
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args(arguments).seed
    folder = Path(tempfile.mkdtemp(prefix="facet-chaos-vllm-"))
    report = asyncio.run(_run(seed, folder))
    if is_good(report):
        shutil.rmtree(folder)
    else:
        sys.stderr.write(f"chaos: logs and data are kept in {folder}\n")
    print(json.dumps(report, ensure_ascii=False))
    return 0 if is_good(report) else 1


if __name__ == "__main__":
    sys.exit(main())
