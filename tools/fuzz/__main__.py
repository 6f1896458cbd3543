"""`python -m tools.fuzz`: a process a core plays its share; a crash of one is counted too."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from tools.checks import ROOT
from tools.fuzz.case import load
from tools.fuzz.run import play, replay

FINDINGS = ROOT / "build" / "fuzz"


def main() -> int:
    """Exit status 1 for any crash or unhandled error; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=int(os.environ.get("FUZZ_INPUTS", "100000")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "0")))
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a finding again")
    parser.add_argument("--share", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Refusals are what is asked for; their log lines would be most of the time.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.replay is not None:
        asyncio.run(replay(load(arguments.replay)))
        print("handled")
        return 0
    if arguments.share is not None:
        first, last = arguments.share
        _play_share(first, last, arguments.seed)
    return _play_all(arguments.inputs, arguments.seed)


def _play_share(first: int, last: int, seed: int) -> NoReturn:
    with _quiet_libraries():
        outcome = asyncio.run(play(first, last, seed, FINDINGS))
    for said in outcome.said:
        print(said, file=sys.stderr)
    print(json.dumps({"unhandled": outcome.unhandled, "by_target": outcome.by_target}), flush=True)
    # A decoder that hangs, a finding by now, would hold the end of the process for ever.
    os._exit(0)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Decoders write about every broken file to the process's standard error."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _play_all(inputs: int, seed: int) -> int:
    began = time.monotonic()
    count = os.cpu_count() or 1
    edges = [inputs * part // count for part in range(count + 1)]
    shares = list(itertools.pairwise(edges))
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tools.fuzz", "--seed", str(seed)),
                *("--share", str(first), str(last)),
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        for first, last in shares
    ]
    crashes, unhandled, by_target = 0, 0, Counter[str]()
    for child, (first, last) in zip(children, shares, strict=True):
        output, _ = child.communicate()
        if child.returncode:
            crashes += 1
            print(
                f"the process of inputs {first} to {last} ended with {child.returncode}; replay "
                f"with python -m tools.fuzz --seed {seed} --share {first} {last}",
                file=sys.stderr,
            )
            continue
        share = json.loads(output)
        unhandled += share["unhandled"]
        by_target.update(share["by_target"])
    result = {
        "inputs": sum(by_target.values()),
        "crashes": crashes,
        "unhandled": unhandled,
        "by_target": dict(sorted(by_target.items())),
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))
    return 1 if crashes or unhandled or result["inputs"] != inputs else 0


if __name__ == "__main__":
    sys.exit(main())
