"""A short load test against a node of its own: `python -m loadtest.smoke`.

Starts a node with the simulated engine, lets 10 users stream for 20 seconds, stops it, and prints
one JSON object. Exits 0 only if streams were finished and none failed.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from loadtest.locust_report import Summary, read_errors, summarize

ROOT = Path(__file__).resolve().parent.parent
USERS = 10
RUN_SECONDS = 20
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
_READY = "READY grpc="


class SmokeError(Exception):
    """The smoke could not run; the message says what did not come up."""


@contextmanager
def node(state_dir: Path) -> Iterator[str]:
    """A running node with the simulated engine; gives the address of its gateway."""
    env = os.environ | {
        "FACET_NODE_ENGINE": "simulated",
        "FACET_NODE_STATE_DIR": str(state_dir),
        "FACET_NODE_GATEWAY_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "facet.node"]
    with (
        (state_dir.parent / "node.log").open("w+") as log,
        subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield _address(process, Path(log.name))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    """The address in the node's READY line."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ends = time.monotonic() + READY_SECONDS
        while (left := ends - time.monotonic()) > 0 and selector.select(left):
            line = process.stdout.readline()
            if line.startswith(_READY):
                return line.removeprefix(_READY).split()[0]
            if not line:
                raise SmokeError(f"the node ended while it started:\n{log.read_text()[-2000:]}")
    raise SmokeError(f"the node was not ready in {READY_SECONDS:.0f} s")


def run_locust(address: str, prefix: Path) -> Summary:
    """Load the gateway; Locust writes files that begin with `prefix`."""
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py")]
    command += ["--headless", "--only-summary", "--json", "--host", address]
    command += ["--users", str(USERS), "--spawn-rate", str(USERS), "--stop-timeout", "10"]
    command += ["--run-time", f"{RUN_SECONDS}s", "--csv", str(prefix), "--exit-code-on-error", "0"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS + 60,
        check=False,
    )
    if done.returncode != 0:
        raise SmokeError(f"locust exited with {done.returncode}:\n{done.stderr[-2000:]}")
    return summarize(json.loads(done.stdout), read_errors(prefix), RUN_SECONDS)


def run() -> Summary:
    """Start a node, load it, stop it. Errors: SmokeError."""
    with tempfile.TemporaryDirectory(prefix="facet-smoke-") as scratch:
        folder = Path(scratch)
        with node(folder / "state") as address:
            return run_locust(address, folder / "locust")


def main() -> int:
    """Print the summary; the exit status."""
    try:
        summary = run()
    except SmokeError as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 1
    print(json.dumps({"ok": summary.is_good, **asdict(summary)}))
    return 0 if summary.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
