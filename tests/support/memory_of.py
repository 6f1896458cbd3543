"""Memory of a process and all that it started, as the kernel shares it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024


@dataclass(frozen=True)
class ProcessMemory:
    """Bytes of one process; `pss` counts a page that several map as their share of it."""

    pid: int
    name: str
    pss: int
    anonymous: int


def tree_memory(pid: int) -> list[ProcessMemory]:
    """Of a process and its descendants; what ends meanwhile is left out."""
    found = []
    for each in _tree(pid):
        try:
            fields = _fields((Path("/proc") / str(each) / "smaps_rollup").read_text())
            name = Path(f"/proc/{each}/comm").read_text().strip()
        except OSError:
            continue
        found.append(ProcessMemory(each, name, fields["Pss"] * _KIB, fields["Pss_Anon"] * _KIB))
    return found


def resident_in_mappings(pid: int, at_least: int) -> int:
    """Bytes that lie in a process's anonymous mappings of at least this size."""
    total = size = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        header = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+)", line)
        if header:
            is_anonymous = header[3] == "0"
            size = int(header[2], 16) - int(header[1], 16) if is_anonymous else 0
        elif line.startswith("Pss:") and size >= at_least:
            total += int(line.split()[1]) * _KIB
    return total


def _tree(pid: int) -> list[int]:
    pids = [pid]
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [(thread / "children").read_text().split() for thread in threads]
    except OSError:
        return []
    for child in (int(number) for numbers in children for number in numbers):
        pids += _tree(child)
    return pids


def _fields(text: str) -> dict[str, int]:
    return {
        line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line[-3:] == " kB"
    }
