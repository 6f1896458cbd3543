"""The previous release against the head: `python -m tests.rollout.run --seed N`.

Both are installed from their sources and run as real processes: mixed both ways, then one replaced
by the other and back under live streams. Progress goes to standard error; the last line of standard
output is one JSON object. The exit code is 0 only if every condition of `tests.rollout.report`
holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop

from tests.chaos.cluster import Cluster
from tests.rollout.installation import InstallationError, install_commit, install_tree
from tests.rollout.phases import Phase, Scale, cluster_of, flip, mix
from tests.rollout.previous import NoPreviousReleaseError, previous_release
from tests.rollout.report import make_report, unmet

ROOT = Path(__file__).resolve().parents[2]
_STEP_MS = 600.0
"""An answer lasts 20 to 60 s, longer than it takes to replace all processes; two cores bear 500."""

_LEAST = 2
_MIX_SPEED = 5
"""Fewer streams may be faster."""

PARTS = ("old-gateways", "new-gateways", "rollout", "rollback")


@dataclass(frozen=True)
class Options:
    """What is asked for on the command line."""

    seed: int
    scale: Scale
    mixed_streams: int
    parts: tuple[str, ...]


@dataclass
class Run:
    """The parts of one run; those that a list of `Options.parts` names are run in its order."""

    options: Options
    old: Path
    new: Path
    folder: Path
    phases: list[Phase] = field(default_factory=list)
    odd_exits: dict[str, list[int]] = field(default_factory=dict)

    async def execute(self) -> None:
        """Run all parts. Errors: TimeoutError, RuntimeError."""
        for part, gateways, workers in (
            ("old-gateways", self.old, self.new),
            ("new-gateways", self.new, self.old),
        ):
            if part in self.options.parts:
                await self._mix(part, gateways, workers)
        flips = [
            (part, to)
            for part, to in (("rollout", self.new), ("rollback", self.old))
            if part in self.options.parts
        ]
        if flips:
            await self._flip(flips)

    async def _mix(self, part: str, gateways: Path, workers: Path) -> None:
        options = self.options
        scale = replace(
            options.scale,
            streams=options.mixed_streams,
            step_ms=options.scale.step_ms / _MIX_SPEED,
        )
        async with cluster_of(
            self.folder / part, scale, gateway_release=gateways, worker_release=workers
        ) as cluster:
            self.phases.append(await mix(cluster, part, scale.streams, self._rng(part)))
            self._note_exits(part, cluster)

    async def _flip(self, flips: Sequence[tuple[str, Path]]) -> None:
        """One after the other, over the same store."""
        scale = self.options.scale
        begin = self.old if flips[0][0] == "rollout" else self.new
        async with cluster_of(
            self.folder / "flips", scale, gateway_release=begin, worker_release=begin
        ) as cluster:
            for part, to in flips:
                self.phases.append(await flip(cluster, part, to, scale.streams, self._rng(part)))
            self._note_exits("flips", cluster)

    def _rng(self, part: str) -> random.Random:
        return random.Random(f"{self.options.seed} {part}")

    def _note_exits(self, part: str, cluster: Cluster) -> None:
        self.odd_exits |= {f"{part}/{name}": c for name, c in cluster.odd_exits().items()}


async def _execute(run: Run) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run.execute()


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.rollout.run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gateways", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--streams", type=int, default=500, help="live during a replacement")
    parser.add_argument("--mixed-streams", type=int, default=60, help="live where releases mix")
    parser.add_argument("--step-ms", type=float, default=_STEP_MS, help="of the engine")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parsed = parser.parse_args(arguments)
    if parsed.gateways < _LEAST or parsed.workers < _LEAST:
        parser.error("while one is replaced, another one is needed")
    scale = Scale(parsed.gateways, parsed.workers, parsed.streams, parsed.step_ms)
    return Options(parsed.seed, scale, parsed.mixed_streams, tuple(parsed.parts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, run, report; the exit status."""
    options = _options(arguments)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="facet-rollout-"))
    try:
        previous = previous_release(ROOT)
        sys.stderr.write(f"rollout: from {previous.name} to the head, seed {options.seed}\n")
        old = install_commit(ROOT, previous.commit, folder / "previous")
        new = install_tree(ROOT, folder / "head")
    except (NoPreviousReleaseError, InstallationError) as error:
        shutil.rmtree(folder)
        sys.stderr.write(f"rollout: {error}\n")
        return 1
    run = Run(options, old, new, folder)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_execute(run))
    except TimeoutError:
        sys.stderr.write(f"rollout: no process or stream came in time, logs are in {folder}\n")
        raise
    extra: Mapping[str, object] = {
        "seconds": round(time.monotonic() - began, 1),
        "load_average": round(os.getloadavg()[1], 1),
        "seed": options.seed,
    }
    report = make_report(previous.name, run.phases, run.odd_exits, dict(extra))
    faults = unmet(report)
    for fault in faults:
        sys.stderr.write(f"rollout: {fault}\n")
    if faults:
        sys.stderr.write(f"rollout: logs and data are kept in {folder}\n")
    else:
        shutil.rmtree(folder)
    print(json.dumps(report, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
