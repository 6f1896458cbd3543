"""The text of a benchmark's events: which event it is and when it was made.

Written and read without decoding a message: the mark is found in its bytes.
"""

from __future__ import annotations

import re

_MARK = re.compile(rb"@([0-9a-f]{8})([0-9a-f]{16})")


def mark(index: int, made_ns: int) -> str:
    """Text of event `index`, made at `made_ns` of the system's monotonic clock."""
    return f"@{index:08x}{made_ns:016x}"


def marks(message: bytes) -> list[tuple[int, int]]:
    """Index and time of all events in a serialized message, in order."""
    return [(int(index, 16), int(made_ns, 16)) for index, made_ns in _MARK.findall(message)]
