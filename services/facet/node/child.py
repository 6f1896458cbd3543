"""Becomes a child of the node: `python -m facet.node.child PARENT_PID COMMAND...`.

Asks the kernel to end this process when the node dies in any way, then replaces itself by the
command. A process of its own does it because code between fork and exec is not safe in Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Arm the parent-death signal and execute the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    # SIGTERM, not SIGKILL: a worker takes its engine's processes with it only when it is asked.
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent_pid:
        # The node died before the signal was armed.
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the node's own command line


if __name__ == "__main__":
    main()
