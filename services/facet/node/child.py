"""Becomes a child of the node: `python -m facet.node.child PARENT_PID COMMAND...`.

Asks the kernel to end this process when the node dies in any way, then replaces itself by the
command. A process of its own does it because code between fork and exec is not safe in Python.
"""

from __future__ import annotations

import os
import signal
import sys

from facet.core.parent_death import end_with_parent


def main() -> None:
    """Arm the parent-death signal and execute the command."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    # SIGTERM, not SIGKILL: a worker takes its engine's processes with it only when it is asked.
    end_with_parent(parent_pid, signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606 - the node's own command line


if __name__ == "__main__":
    main()
