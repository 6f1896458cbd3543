"""Measured memory, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from facet.profiles.machine import Memory, measured_cpu_flags, measured_ram, parse_gpu
from facet.profiles.profile import GIB, MIB

pytestmark = pytest.mark.unit


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MEMINFO = {"proc/meminfo": "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 12582912 kB\n"}


def test_ram_is_that_of_the_machine_when_no_cgroup_limits_it(tmp_path: Path) -> None:
    write(tmp_path, MEMINFO)

    assert measured_ram(tmp_path) == Memory(16 * GIB, 12 * GIB)


def test_ram_is_the_tightest_limit_when_cgroups_are_nested(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/pods"
    files = {
        "proc/self/cgroup": "0::/pods/worker\n",
        f"{group}/memory.max": f"{8 * GIB}\n",
        f"{group}/memory.current": f"{3 * GIB}\n",
        f"{group}/memory.stat": f"anon 1\ninactive_file {1 * GIB}\n",
        f"{group}/worker/memory.max": "max\n",
    }
    write(tmp_path, MEMINFO | files)

    assert measured_ram(tmp_path) == Memory(8 * GIB, 6 * GIB)


def test_ram_is_the_tightest_limit_when_cgroups_are_of_version_1(tmp_path: Path) -> None:
    mount = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "9:cpu,cpuacct:/other\n4:memory:/pods/worker\n0::/\n",
        f"{mount}/memory.limit_in_bytes": "9223372036854771712\n",
        f"{mount}/memory.usage_in_bytes": f"{5 * GIB}\n",
        f"{mount}/pods/worker/memory.limit_in_bytes": f"{8 * GIB}\n",
        f"{mount}/pods/worker/memory.usage_in_bytes": f"{3 * GIB}\n",
        f"{mount}/pods/worker/memory.stat": f"inactive_file 5\ntotal_inactive_file {1 * GIB}\n",
    }
    write(tmp_path, MEMINFO | files)

    assert measured_ram(tmp_path) == Memory(8 * GIB, 6 * GIB)


@pytest.mark.parametrize(
    ("mount", "limit", "line"),
    [
        ("sys/fs/cgroup", "memory.max", "0::/kubepods/pod/worker"),
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "4:memory:/kubepods/pod/worker"),
    ],
)
def test_ram_is_the_containers_limit_when_the_path_is_its_hosts(
    mount: str, limit: str, line: str, tmp_path: Path
) -> None:
    write(tmp_path, MEMINFO | {"proc/self/cgroup": line, f"{mount}/{limit}": f"{4 * GIB}\n"})

    assert measured_ram(tmp_path) == Memory(4 * GIB, 4 * GIB)


def test_nothing_is_measured_when_proc_does_not_tell(tmp_path: Path) -> None:
    assert measured_ram(tmp_path) is None
    assert measured_cpu_flags(tmp_path) is None


def test_flags_are_those_of_the_cpu_when_proc_tells(tmp_path: Path) -> None:
    write(tmp_path, {"proc/cpuinfo": "model name : x\nflags\t\t: avx2 avx512f\n"})

    assert measured_cpu_flags(tmp_path) == frozenset({"avx2", "avx512f"})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("23034, 22500, 8.9", (Memory(23034 * MIB, 22500 * MIB), (8, 9))),
        ("[N/A], 1, 8.9", None),
        ("", None),
    ],
)
def test_a_gpu_is_read_when_its_line_is_whole(
    line: str, found: tuple[Memory, tuple[int, int]] | None
) -> None:
    assert parse_gpu(line) == found
