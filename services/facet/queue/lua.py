"""Loads the store's scripts: each is the names, the prelude and its own text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from facet.queue import limits
from facet.queue.keys import lua_names

_CONSTANTS = (
    "MAX_BATCH",
    "MAX_CLAIM",
    "SUSPECT_DEATHS",
    "SWEEP_INTERVAL_MS",
    "MAX_WAIT_MS",
    "RESERVED_CHECK_MS",
    "MAX_HINTS",
    "GAP_LEASE_SHARE",
    "MIN_RETENTION_MS",
    "MAX_DEAD_LETTERS",
)


@dataclass(frozen=True)
class Script:
    """Text of a script and the SHA-1 that the store knows it by."""

    name: str
    text: str
    sha: str


def load_scripts() -> dict[str, Script]:
    """All scripts by name."""
    folder = resources.files("facet.queue") / "scripts"
    constants = "".join(f"local {name} = {getattr(limits, name)}\n" for name in _CONSTANTS)
    head = lua_names() + constants + (folder / "prelude.lua").read_text()
    scripts = {}
    for entry in folder.iterdir():
        name, dot, suffix = entry.name.partition(".")
        if dot and suffix == "lua" and name != "prelude":
            text = head + entry.read_text()
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            scripts[name] = Script(name, text, sha)
    return scripts
