"""Chaos over a real cluster with the simulated engine: `python -m tests.chaos.run --seed N`.

Progress goes to standard error; the last line of standard output is one JSON object. The exit code
is 0 only if every condition of `tests.chaos.report` holds. Equal seeds give equal requests and an
equal storm, within the limits of real processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop

from facet.api.v1 import inference_service_pb2
from tests.chaos.checker import judge
from tests.chaos.client import Client, Outcome
from tests.chaos.cluster import SIMULATED, Cluster, running_cluster
from tests.chaos.faults import Faults
from tests.chaos.gateways import Gateways, read_error
from tests.chaos.load import Load
from tests.chaos.report import Judged, Report, make_report, unmet

_GATEWAYS, _WORKERS = 2, 4
_POISONS = 3
_MAX_OPEN = 96
_DRAIN_SECONDS = 60.0
_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    """What is asked for on the command line."""

    seed: int
    seconds: float
    requests: int
    with_failover: bool


class Run:
    """One run over a cluster that serves."""

    def __init__(self, options: Options, cluster: Cluster, gateways: Gateways) -> None:
        self._options = options
        self._rng = random.Random(options.seed)
        self._gateways = gateways
        self._outcomes: list[Outcome] = []
        self._open: set[asyncio.Task[None]] = set()
        self._cluster = cluster
        self._faults = Faults(
            cluster,
            self._outcomes,
            random.Random(options.seed + 1),
            options.seconds,
            with_failover=options.with_failover,
        )

    async def execute(self) -> Report:
        """Load and storm together, then quiet, then every log is read once more."""
        client = Client(self._gateways, serves_submit=await _serves_submit(self._gateways))
        progress = asyncio.create_task(self._tell())
        began = time.monotonic()
        try:
            await asyncio.gather(self._offer(client), self._faults.run())
            await self._finish()
            await client.reread_all(self._outcomes)
        finally:
            progress.cancel()
        judged = [
            Judged(outcome, judge(outcome, self._faults.losses)) for outcome in self._outcomes
        ]
        own_deaths = sum(worker.own_deaths for worker in self._cluster.workers)
        return make_report(
            judged,
            kills={**self._faults.kills, "worker_by_poison": own_deaths},
            kills_with_logged_events=self._faults.kills_with_logged_events,
            rewound=self._faults.rewound,
            extra={
                "odd_exits": self._cluster.odd_exits(),
                "seconds": round(time.monotonic() - began, 1),
                "cpu_seconds": _cpu_seconds(),
                "load_average": round(os.getloadavg()[1], 1),
                "seed": self._options.seed,
            },
        )

    async def _offer(self, client: Client) -> None:
        """Begin requests at a mean rate, as long as time is left."""
        options = self._options
        poisons = max(1, round(_POISONS * min(1.0, options.seconds / 240)))
        load = Load(self._rng, requests=options.requests, poisons=poisons)
        ends_at = time.monotonic() + options.seconds
        due = time.monotonic()
        for plan in load.plans():
            due += self._rng.expovariate(options.requests / options.seconds / 0.97)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while len(self._open) >= _MAX_OPEN and time.monotonic() < ends_at:
                await asyncio.wait(self._open, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            if time.monotonic() >= ends_at:
                return
            outcome = Outcome(plan)
            self._outcomes.append(outcome)
            task = asyncio.create_task(client.run(outcome))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _finish(self) -> None:
        if not self._open:
            return
        tasks = set(self._open)
        _, late = await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
        for task in late:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _tell(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            ended = sum(not outcome.main.is_open for outcome in self._outcomes)
            read = sum(outcome.reread is not None for outcome in self._outcomes)
            sys.stderr.write(
                f"chaos: {time.monotonic() - began:.0f} s, {len(self._outcomes)} requests, "
                f"{ended} ended, {read} read again, kills {dict(self._faults.kills)}\n"
            )


async def _serves_submit(gateways: Gateways) -> bool:
    """Whether SubmitGeneration is part of what is served: an empty request tells."""
    try:
        await gateways.next().SubmitGeneration(
            inference_service_pb2.SubmitGenerationRequest(), timeout=5
        )
    except grpc.aio.AioRpcError as error:
        return read_error(error).reason != "NOT_SERVED"
    return True


def _cpu_seconds() -> dict[str, float]:
    """CPU time of this process and of all that it ended."""
    found = {}
    for name, who in (("clients", resource.RUSAGE_SELF), ("cluster", resource.RUSAGE_CHILDREN)):
        usage = resource.getrusage(who)
        found[name] = round(usage.ru_utime + usage.ru_stime, 1)
    return found


async def _run(options: Options, folder: Path) -> Report:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    async with running_cluster(
        folder, gateways=_GATEWAYS, workers=_WORKERS, worker_settings=SIMULATED
    ) as cluster:
        sys.stderr.write(f"chaos: cluster in {folder} serves, seed {options.seed}\n")
        gateways = Gateways(cluster.addresses)
        try:
            return await Run(options, cluster, gateways).execute()
        finally:
            await gateways.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=250.0, help="length of the storm")
    parser.add_argument("--requests", type=int, default=2400, help="offered over that time")
    parser.add_argument("--no-failover", action="store_true", help="restart the store only")
    parsed = parser.parse_args(arguments)
    options = Options(parsed.seed, parsed.seconds, parsed.requests, not parsed.no_failover)
    folder = Path(tempfile.mkdtemp(prefix="facet-chaos-"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(_run(options, folder))
    faults = unmet(report, options.seconds)
    for fault in faults:
        sys.stderr.write(f"chaos: {fault}\n")
    if faults:
        sys.stderr.write(f"chaos: logs and data are kept in {folder}\n")
    else:
        shutil.rmtree(folder)
    print(json.dumps(report, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
