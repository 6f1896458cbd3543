"""What the machine check refuses, and in which words."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from facet.profiles.catalogue import PROFILES
from tools import environment, preflight
from tools.preflight import GIB, Probe, examine

pytestmark = pytest.mark.unit

GOOD = Probe(
    system="Linux",
    machine="x86_64",
    libc=("glibc", "2.36"),
    cpu_flags=frozenset({"avx2", "avx512f"}),
    python=(3, 11),
    is_64_bit=True,
    modules=frozenset({"venv", "ensurepip"}),
    commands=frozenset({"gcc", "make", "redis-server"}),
    libraries=frozenset(preflight.LIBRARIES),
    free_disk=100 * GIB,
    available_memory=16 * GIB,
    present="",
    is_current=False,
)


def refusals(**changes: object) -> list[str]:
    return examine(GOOD._replace(**changes), "node-cpu").refusals  # type: ignore[arg-type]


def test_machine_is_accepted_when_nothing_is_missing() -> None:
    assert refusals() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"system": "Darwin"}, ["macOS", "facet chat --address"]),
        ({"system": "Windows"}, ["Windows", "WSL2", "facet chat --address"]),
        ({"system": "FreeBSD"}, ["FreeBSD", "facet chat --address"]),
        ({"machine": "aarch64"}, ["aarch64", "x86-64"]),
        ({"libc": ("glibc", "2.27")}, ["glibc 2.27", "2.28"]),
        ({"libc": ("", "")}, ["musl", "2.28"]),
        ({"cpu_flags": frozenset({"avx"})}, ["AVX2"]),
        ({"python": (3, 12)}, ["Python 3.12", "Python 3.11"]),
        ({"is_64_bit": False}, ["32-bit"]),
        ({"modules": frozenset({"venv"})}, ["ensurepip", "apt install python3.11-venv"]),
        ({"modules": frozenset({"ensurepip"})}, ["venv", "apt install python3.11-venv"]),
        ({"commands": frozenset({"make"})}, ["C compiler", "apt install gcc"]),
        ({"commands": frozenset({"cc"})}, ["make", "apt install make"]),
        ({"libraries": frozenset({"libstdc++.so.6"})}, ["libnuma.so.1", "apt install libnuma1"]),
        ({"free_disk": 5 * GIB}, ["5.0 GiB of disk", "are needed"]),
        ({"available_memory": 2 * GIB}, ["2.0 GiB of memory", "6 GiB"]),
    ],
)
def test_one_line_says_what_to_do_when_something_is_missing(
    change: dict[str, object], said: list[str]
) -> None:
    (line,) = refusals(**change)

    assert "\n" not in line
    for words in said:
        assert words in line


def test_short_memory_is_only_noted_when_the_environment_is_for_development() -> None:
    report = examine(GOOD._replace(available_memory=2 * GIB), "dev-cpu")

    assert report.refusals == []
    assert any("2.0 GiB of memory" in note for note in report.notes)


def test_all_faults_are_told_at_once_when_several_are_found() -> None:
    assert len(refusals(python=(3, 10), commands=frozenset(), free_disk=0)) == 4


def test_only_the_platform_is_told_when_it_is_foreign() -> None:
    (line,) = refusals(system="Darwin", python=(3, 9), commands=frozenset(), libraries=frozenset())

    assert "macOS" in line


def test_little_disk_suffices_when_everything_is_installed() -> None:
    assert refusals(free_disk=2 * GIB, present="node-cpu", is_current=True) == []
    assert refusals(free_disk=2 * GIB) != []


def test_download_is_announced_with_its_size_when_nothing_is_installed() -> None:
    notes = examine(GOOD, "node-cpu").notes

    assert any("3.0 GiB" in note and "6.6 GiB" in note for note in notes)


def test_only_the_rest_is_announced_when_a_smaller_set_is_installed() -> None:
    notes = examine(GOOD._replace(present="node-cpu"), "dev-cpu").notes

    assert any("downloads about 0.2 GiB" in note for note in notes)


def test_every_lock_of_a_profile_has_its_sizes() -> None:
    locks = {profile.node_lock for profile in PROFILES.values()} | {"dev-cpu"}

    assert preflight.DOWNLOAD_GIB.keys() == preflight.INSTALLED_GIB.keys() == locks
    assert environment.SATISFIED_BY.keys() == locks


def test_no_download_is_announced_when_everything_is_installed() -> None:
    notes = examine(GOOD._replace(present="node-cpu", is_current=True), "node-cpu").notes

    assert any("nothing is downloaded" in note for note in notes)


def test_the_wheel_is_named_when_no_redis_is_on_the_path() -> None:
    notes = examine(GOOD._replace(commands=frozenset({"gcc", "make"})), "node-cpu").notes

    assert any("wheel" in note for note in notes)


def test_missing_avx512_is_noted_when_avx2_is_there() -> None:
    notes = examine(GOOD._replace(cpu_flags=frozenset({"avx2"})), "node-cpu").notes

    assert any("AVX-512" in note for note in notes)


@pytest.mark.parametrize("name", ["preflight.py", "setup.py"])
def test_source_parses_when_the_interpreter_is_python_3_6(name: str) -> None:
    source = (Path(preflight.__file__).parent / name).read_text()

    ast.parse(source, feature_version=(3, 6))
    assert "from __future__ import annotations" not in source


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


MEMINFO = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"


def test_memory_is_the_machines_when_no_cgroup_limits_it(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})

    assert preflight.available_memory(root) == 8_000_000 * 1024


def test_memory_is_what_the_limit_leaves_when_cgroup_v2_limits_a_parent(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "5\n",
            "sys/fs/cgroup/a/memory.max": "1000\n",
            "sys/fs/cgroup/a/memory.current": "600\n",
            "sys/fs/cgroup/a/memory.stat": "anon 100\ninactive_file 200\n",
        },
    )

    assert preflight.available_memory(root) == 1000 - 600 + 200


def test_memory_is_what_the_limit_leaves_when_cgroup_v1_limits_it(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:cpu:/\n4:memory:/box\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "7\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2000\n",
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "500\n",
            "sys/fs/cgroup/memory/box/memory.stat": "total_inactive_file 100\n",
        },
    )

    assert preflight.available_memory(root) == 1600


def test_this_machine_is_described_when_probed() -> None:
    probe = preflight.probe_machine("", is_current=False)

    assert probe.system == "Linux"
    assert probe.python == (3, 11)
    assert probe.free_disk > 0
    assert probe.available_memory > 0
    assert "avx2" in probe.cpu_flags
