"""The engine's own processes end with the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import facet.worker

pytestmark = pytest.mark.integration

# As `python -m facet.worker` looks to multiprocessing once its __main__ has run.
_PARENT = """
import multiprocessing, sys, time
from facet.worker.engine.child_processes import own_child_processes
own_child_processes()
main = sys.modules["__main__"]
main.__file__, main.__spec__ = sys.argv[1], None
child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
child.start()
print(child.pid, flush=True)
child.join()
"""


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def test_a_spawned_process_ends_when_the_worker_is_killed() -> None:
    module = Path(facet.worker.__file__).parent / "__main__.py"
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(module)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    try:
        ends = time.monotonic() + 15
        while is_alive(pid):
            assert time.monotonic() < ends, "it outlived the worker"
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
