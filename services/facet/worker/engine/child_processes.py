"""Ties the engine's own processes to the worker's life."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_OWNER = "FACET_ENGINE_OWNER_PID"


def own_child_processes() -> None:
    """Tell the processes that this one spawns whose they are."""
    os.environ[_OWNER] = str(os.getpid())


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, by SIGKILL too.

    vLLM's engine process outlives a killed parent, with the model's memory. Linux only.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    owner = os.environ.get(_OWNER)
    # The worker may have ended before the call above.
    if owner is not None and not Path("/proc", owner).exists():
        os.kill(os.getpid(), signal.SIGKILL)
