"""Ending with the process that started this one."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int, number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent ends, by SIGKILL too. Linux only.

    Sent at once if the parent has ended before.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), number)
