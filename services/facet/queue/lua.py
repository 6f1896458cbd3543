"""Loads the store's scripts: each gets the names, constants and shared functions that it uses.

The store runs a script's whole text at every call, so what is defined and not used costs time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from facet.queue import limits
from facet.queue.keys import lua_names

STORE_CLOCK = """\
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end"""
"""Defines the scripts' time."""

_SHARED = ("prelude", "accounts", "endings")
"""What scripts share, in the order of use."""

_DEFINED = re.compile(r"^local (?:function )?(\w+)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Script:
    """Text of a script and the SHA-1 that the store knows it by."""

    name: str
    text: str
    sha: str


def load_scripts(clock: str = STORE_CLOCK) -> Mapping[str, Script]:
    """All scripts by name; `clock` defines `now_us()`, the store's time in microseconds."""
    constants = (
        f"local {name} = {value}"
        for name, value in vars(limits).items()
        if name.isupper() and isinstance(value, int | float)
    )
    return _scripts(clock, tuple(constants))


# Each shard of each model loads them.
@cache
def _scripts(clock: str, constants: tuple[str, ...]) -> Mapping[str, Script]:
    folder = resources.files("facet.queue") / "scripts"
    texts = [(folder / f"{name}.lua").read_text() for name in _SHARED]
    shared = [*lua_names(), *constants, clock, *"\n\n".join(texts).split("\n\n")]
    scripts = {}
    for entry in folder.iterdir():
        name, dot, suffix = entry.name.partition(".")
        if dot and suffix == "lua" and name not in _SHARED:
            text = _linked(shared, entry.read_text())
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            scripts[name] = Script(name, text, sha)
    return MappingProxyType(scripts)


def _linked(shared: list[str], script: str) -> str:
    """The script behind those of the shared chunks that it needs, each needing earlier ones."""
    wanted = set(_WORD.findall(script))
    parts = [script]
    for chunk in reversed(shared):
        if wanted.intersection(_DEFINED.findall(chunk)):
            wanted.update(_WORD.findall(chunk))
            parts.insert(0, chunk)
    return "\n".join(parts)
