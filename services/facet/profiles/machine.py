"""The memory and the processor that a plan is made for, given or measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from facet.profiles.profile import GIB, KIB, MIB

_NVIDIA_SMI_SECONDS = 10.0


@dataclass(frozen=True)
class _Hierarchy:
    """Where one version of cgroups keeps a group's memory; `controllers` as /proc names them."""

    mount: str
    controllers: str
    limit: str
    used: str
    reclaimable: str


_HIERARCHIES = (
    _Hierarchy("sys/fs/cgroup", "", "memory.max", "memory.current", "inactive_file"),
    _Hierarchy(
        "sys/fs/cgroup/memory",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""Version 2, and version 1, whose file without a limit holds more than any machine has."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a device: in all, and free for a new process."""

    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Machine:
    """What is there; None where it is not known, and then it refuses nothing.

    `gpu` None means that there is no GPU. `is_shared` says that gateway and Redis run in the same
    memory, as on a node; in a cluster a worker's pod has its own.
    """

    gpu: Memory | None = None
    ram: Memory | None = None
    compute_capability: tuple[int, int] | None = None
    cpu_flags: frozenset[str] | None = None
    is_shared: bool = True


@dataclass(frozen=True)
class Target:
    """A kind of node: RAM that pods can have, and its usual GPU."""

    ram_bytes: int
    gpu_bytes: int
    compute_capability: tuple[int, int]


_GKE_16_ALLOCATABLE = int(13.3 * GIB)
_DAEMON_SETS = int(0.7 * GIB)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        # Of 16 GiB the kubelet keeps 2.7; an L4, which such nodes carry, shows 23,034 MiB.
        "gke-16": Target(_GKE_16_ALLOCATABLE - _DAEMON_SETS, 23_034 * MIB, (8, 9))
    }
)


def exactly(total_bytes: int) -> Memory:
    """Memory that is given: all of it is free."""
    return Memory(total_bytes, total_bytes)


def measure(root: Path = Path("/")) -> Machine:
    """What this machine has; `root` is where /proc and /sys are looked for."""
    gpu, capability = _first_gpu()
    return Machine(gpu, measured_ram(root), capability, measured_cpu_flags(root))


def measured_ram(root: Path = Path("/")) -> Memory | None:
    """RAM under the tightest limit of this process's cgroups; None where /proc does not tell."""
    fields = {}
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        fields[name] = value.split()
    try:
        total, free = (int(fields[name][0]) * KIB for name in ("MemTotal", "MemAvailable"))
    except (KeyError, IndexError, ValueError):
        return None
    for limit, used in _cgroup_limits(root):
        total = min(total, limit)
        free = min(free, max(0, limit - used))
    return Memory(total, min(free, total))


def measured_cpu_flags(root: Path = Path("/")) -> frozenset[str] | None:
    """Flags of the first CPU; None where /proc does not tell."""
    for line in _lines(root / "proc/cpuinfo"):
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return None


def parse_gpu(line: str) -> tuple[Memory, tuple[int, int]] | None:
    """One line of `nvidia-smi`'s CSV: total and free MiB, compute capability."""
    try:
        total, free, capability = (part.strip() for part in line.split(","))
        major, minor = capability.split(".")
        return Memory(int(total) * MIB, int(free) * MIB), (int(major), int(minor))
    except ValueError:
        return None


def _first_gpu() -> tuple[Memory | None, tuple[int, int] | None]:
    fields = "--query-gpu=memory.total,memory.free,compute_cap"
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["nvidia-smi", fields, "--format=csv,noheader,nounits"],  # noqa: S607 - where PATH has it
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    found = parse_gpu(done.stdout.partition("\n")[0])
    return found or (None, None)


def _cgroup_limits(root: Path) -> list[tuple[int, int]]:
    """Limit and reclaim-free use of this process's memory cgroup and of all above it.

    A container may see the path of its host, which is not there: its own group is then the mount.
    """
    limits = []
    for hierarchy in _HIERARCHIES:
        mount = root / hierarchy.mount
        path = mount / _own_group(root, hierarchy.controllers).lstrip("/")
        while path.is_relative_to(mount):
            limit = _lines(path / hierarchy.limit)
            if limit and limit[0].strip().isdecimal():
                limits.append((int(limit[0]), _cgroup_use(path, hierarchy)))
            path = path.parent
    return limits


def _own_group(root: Path, controllers: str) -> str:
    for line in _lines(root / "proc/self/cgroup"):
        _, names, path = line.split(":", 2)
        if controllers in names.split(","):
            return path
    return "/"


def _cgroup_use(path: Path, hierarchy: _Hierarchy) -> int:
    current = _lines(path / hierarchy.used)
    stat = dict(line.split(maxsplit=1) for line in _lines(path / "memory.stat") if " " in line)
    if not current:
        return 0
    # Page cache counts as used and is given back when it is wanted.
    return max(0, int(current[0]) - int(stat.get(hierarchy.reclaimable, "0")))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def running_as_pod() -> bool:
    """Whether this process runs in a pod, whose memory is its own."""
    return "KUBERNETES_SERVICE_HOST" in os.environ
