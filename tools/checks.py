"""How checks of the repository run and report: one line each, the whole finding where one fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COMMAND_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Check:
    """`run` returns what is wrong, or an empty string; `remedy` is the command that mends it."""

    name: str
    run: Callable[[], str]
    remedy: str = ""


def command_check(name: str, *arguments: str, remedy: str = "") -> Check:
    """A check by a command of this environment: wrong where it exits other than with 0."""

    def run() -> str:
        done = subprocess.run(
            [str(BIN / arguments[0]), *arguments[1:]],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return ""
        return (done.stdout + done.stderr).strip() or f"exit status {done.returncode}"

    return Check(name, run, remedy)


def run_checks(checks: Sequence[Check]) -> int:
    """Run all of them, whatever fails; 1 if any did."""
    failed = 0
    for check in checks:
        started = time.monotonic()
        problem = check.run()
        took = f"{time.monotonic() - started:.1f} s"
        if not problem:
            print(f"ok      {check.name} ({took})", flush=True)
            continue
        failed += 1
        remedy = f"; mend it with: {check.remedy}" if check.remedy else ""
        print(f"FAILED  {check.name} ({took}){remedy}\n{problem}", flush=True)
    return 1 if failed else 0
