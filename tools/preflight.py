"""Checks, before anything is downloaded, that this machine can run Facet.

Standard library only, and written in the syntax of Python 3.6, so that an old interpreter reads
it and answers in one clear line. Prints to standard error.
"""

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
from typing import NamedTuple

GIB = 1 << 30
# Measured with pip on a fresh machine; `fresh` figures are rounded up.
DOWNLOAD_GIB = {"node-cpu": 3.0, "dev-cpu": 3.2, "node-cuda": 3.8}
INSTALLED_GIB = {"node-cpu": 6.6, "dev-cpu": 7.0, "node-cuda": 8.5}
# What the node itself writes: logs, Redis append-only file, unpacked test tools.
RUNTIME_DISK_GIB = 1
MEMORY_GIB = 6
OLDEST_GLIBC = (2, 28)
PYTHON = (3, 11)
# Shared libraries of the system that no wheel carries, with Debian's names for them.
LIBRARIES = {"libnuma.so.1": "libnuma1", "libstdc++.so.6": "libstdc++6"}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Probe(NamedTuple):
    """What is known about the machine; sizes in bytes, `libc` as (name, version).

    `present` names the lock that `.venv` was made from, if any; `is_current` says that nothing of
    the wanted lock is missing in it.
    """

    system: str
    machine: str
    libc: "tuple[str, str]"
    cpu_flags: "frozenset[str]"
    python: "tuple[int, int]"
    is_64_bit: bool
    modules: "frozenset[str]"
    commands: "frozenset[str]"
    libraries: "frozenset[str]"
    free_disk: int
    available_memory: int
    present: str
    is_current: bool


class Report(NamedTuple):
    """The refusals, each with its remedy, and what is good to know."""

    refusals: "list[str]"
    notes: "list[str]"


def check_platform(probe: Probe) -> "list[str]":
    """Operating system, processor and C library, in the order in which they matter."""
    remote = "or use a Facet elsewhere: facet chat --address HOST:PORT"
    if probe.system == "Darwin":
        return ["macOS cannot run the local engine; use a Linux x86-64 machine, " + remote]
    if probe.system == "Windows":
        return ["Windows cannot run the local engine; use WSL2 (wsl --install), " + remote]
    if probe.system != "Linux":
        return [f"{probe.system} cannot run the local engine; use Linux x86-64, {remote}"]
    if probe.machine not in ("x86_64", "AMD64"):
        return [f"processor {probe.machine}: the lock files are for Linux x86-64, {remote}"]
    refusals = []
    if not _is_glibc_new_enough(probe.libc):
        found = " ".join(probe.libc).strip() or "another C library (musl?)"
        refusals.append(
            f"found {found}; the wheels need glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or newer "
            "(Debian 10, Ubuntu 20.04, RHEL 8)"
        )
    if "avx2" not in probe.cpu_flags:
        refusals.append("this processor has no AVX2, which the engine needs; " + remote)
    return refusals


def check_python(probe: Probe) -> "list[str]":
    """The interpreter that will own the virtual environment."""
    if probe.python != PYTHON:
        return [
            f"Python {probe.python[0]}.{probe.python[1]} found; the lock files are for Python 3.11 "
            "(install it, then: make PYTHON=/path/to/python3.11 ...)"
        ]
    if not probe.is_64_bit:
        return ["this Python is a 32-bit build; install a 64-bit Python 3.11"]
    missing = [name for name in ("venv", "ensurepip") if name not in probe.modules]
    if missing:
        return [
            f"Python's {' and '.join(missing)} is missing; install it "
            "(Debian, Ubuntu: apt install python3.11-venv)"
        ]
    return []


def check_tools(probe: Probe) -> "list[str]":
    """Commands that set-up and engine call."""
    refusals = []
    if not probe.commands & {"cc", "gcc"}:
        refusals.append("no C compiler; install one (Debian, Ubuntu: apt install gcc g++)")
    if "make" not in probe.commands:
        refusals.append("no make; install it (Debian, Ubuntu: apt install make)")
    for library, package in sorted(LIBRARIES.items()):
        if library not in probe.libraries:
            refusals.append(
                f"no {library}, which the engine loads; install it "
                f"(Debian, Ubuntu: apt install {package})"
            )
    return refusals


def loadable(names: "list[str]") -> "frozenset[str]":
    """Those of the shared libraries that the dynamic linker finds."""
    found = set()
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        found.add(name)
    return frozenset(found)


def check_room(probe: Probe, lock: str) -> "list[str]":
    """Free disk and memory; an installed environment needs little more disk."""
    refusals = []
    need = disk_need_gib(probe, lock)
    if probe.free_disk < need * GIB:
        refusals.append(
            f"{probe.free_disk / GIB:.1f} GiB of disk free at {ROOT}; {need:.0f} GiB are needed"
        )
    # The environment for development serves linters too: there it is only a note.
    if lock == "node-cpu" and is_memory_short(probe):
        refusals.append(
            f"{probe.available_memory / GIB:.1f} GiB of memory available "
            f"(container limit counted); {MEMORY_GIB} GiB are needed"
        )
    return refusals


def is_memory_short(probe: Probe) -> bool:
    """Whether a node with the engine would not fit."""
    return probe.available_memory < MEMORY_GIB * GIB


def download_gib(probe: Probe, lock: str) -> float:
    """What is still to be fetched; at least a little, for pins that changed."""
    if probe.is_current:
        return 0.0
    return max(DOWNLOAD_GIB[lock] - DOWNLOAD_GIB.get(probe.present, 0.0), 0.1)


def disk_need_gib(probe: Probe, lock: str) -> float:
    """An install holds its downloads twice for a while: pip's cache and its work folder."""
    growth = max(INSTALLED_GIB[lock] - INSTALLED_GIB.get(probe.present, 0.0), 0.0)
    return 2 * download_gib(probe, lock) + growth + RUNTIME_DISK_GIB


def notes(probe: Probe, lock: str) -> "list[str]":
    """What will be downloaded, and choices that this machine leads to."""
    lines = []
    if "avx512f" not in probe.cpu_flags:
        lines.append("no AVX-512: the nano model runs; Gemma 4 in 4 bits on the CPU needs it")
    if not probe.commands & {"redis-server", "valkey-server"}:
        lines.append("no redis-server on PATH: the valkey-server of a Python wheel is used")
    if lock.startswith("dev") and "promtool" not in probe.commands:
        lines.append("no promtool on PATH: tests of metrics need it (Debian, Ubuntu: prometheus)")
    if is_memory_short(probe):
        lines.append(
            f"{probe.available_memory / GIB:.1f} GiB of memory available: what starts the engine "
            f"(demo, run, test, test-e2e) needs {MEMORY_GIB} GiB"
        )
    if probe.is_current:
        lines.append("already installed in .venv: nothing is downloaded")
    else:
        lines.append(
            f"this once: downloads about {download_gib(probe, lock):.1f} GiB of Python packages "
            f"(no model weights); .venv takes {INSTALLED_GIB[lock]:.1f} GiB of disk"
        )
    return lines


def examine(probe: Probe, lock: str) -> Report:
    """All checks; on a foreign platform the later ones would only confuse."""
    refusals = check_platform(probe)
    if probe.system == "Linux":
        refusals += check_python(probe) + check_tools(probe) + check_room(probe, lock)
    return Report(refusals, notes(probe, lock))


def _is_glibc_new_enough(libc: "tuple[str, str]") -> bool:
    name, version = libc
    parts = version.split(".")
    if name != "glibc" or len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return False
    return (int(parts[0]), int(parts[1])) >= OLDEST_GLIBC


def read_text(path: str) -> str:
    """The file's text, or nothing where it does not exist."""
    try:
        with open(path) as stream:
            return stream.read()
    except OSError:
        return ""


def cgroup_room(root: str = "/") -> "int | None":
    """Bytes left under the tightest memory limit of this process's cgroups; None: no limit."""
    left = []
    for line in read_text(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = (
                "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
        else:
            continue
        base = os.path.join(root, names[0])
        folder = os.path.normpath(base + "/" + path)
        while folder.startswith(base):
            left += _room_of(folder, names[1], names[2], names[3])
            folder = os.path.dirname(folder)
    return min(left) if left else None


def _room_of(folder: str, limit_name: str, usage_name: str, cache_name: str) -> "list[int]":
    limit = read_text(os.path.join(folder, limit_name)).strip()
    usage = read_text(os.path.join(folder, usage_name)).strip()
    # cgroup v1 writes "no limit" as a number close to 2**63.
    if not (limit.isdigit() and usage.isdigit()) or int(limit) >= 1 << 60:
        return []
    stat = dict(
        line.split(" ", 1)
        for line in read_text(os.path.join(folder, "memory.stat")).splitlines()
        if " " in line
    )
    return [int(limit) - int(usage) + int(stat.get(cache_name, "0"))]


def available_memory(root: str = "/") -> int:
    """Bytes that can still be taken without swapping, inside the container's limit."""
    fields = dict(
        line.split(":", 1)
        for line in read_text(os.path.join(root, "proc/meminfo")).splitlines()
        if ":" in line
    )
    machine = int(fields.get("MemAvailable", "0 kB").split()[0]) * 1024
    room = cgroup_room(root)
    return machine if room is None else min(machine, room)


def cpu_flags(root: str = "/") -> "frozenset[str]":
    """The first processor's feature flags."""
    for line in read_text(os.path.join(root, "proc/cpuinfo")).splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def running_python() -> "tuple[int, int]":
    """Version of the interpreter that runs this."""
    return (sys.version_info[0], sys.version_info[1])


def probe_machine(present: str, is_current: bool) -> Probe:
    """Look at this machine and at the interpreter that runs this."""
    wanted = ("cc", "gcc", "make", "redis-server", "valkey-server", "promtool")
    return Probe(
        system=platform.system(),
        machine=platform.machine(),
        libc=platform.libc_ver(),
        cpu_flags=cpu_flags(),
        python=running_python(),
        is_64_bit=sys.maxsize > 1 << 32,
        modules=frozenset(name for name in ("venv", "ensurepip") if importlib.util.find_spec(name)),
        commands=frozenset(name for name in wanted if shutil.which(name)),
        libraries=loadable(sorted(LIBRARIES)),
        free_disk=shutil.disk_usage(ROOT).free,
        available_memory=available_memory(),
        present=present,
        is_current=is_current,
    )


def run(lock: str, present: str = "", is_current: bool = False) -> int:
    """Examine this machine and say what was found; 1 if Facet cannot run here."""
    report = examine(probe_machine(present, is_current), lock)
    for note in [] if report.refusals else report.notes:
        sys.stderr.write(f"preflight: {note}\n")
    return tell_refusals(report.refusals)


def tell_refusals(refusals: "list[str]") -> int:
    """Write them down; 1 if there are any."""
    for refusal in refusals:
        sys.stderr.write(f"preflight: cannot run here: {refusal}\n")
    return 1 if refusals else 0
