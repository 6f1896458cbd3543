"""Settings of this machine's pip for RUN steps: they are mounted, so that no layer holds them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_INDEXES = frozenset({"index-url", "extra-index-url"})


def read_settings() -> dict[str, str]:
    """Pip's options as files and environment give them, the environment first."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return parse_settings(done.stdout)


def parse_settings(listing: str) -> dict[str, str]:
    """The options in the output of `pip config list`."""
    files: dict[str, str] = {}
    environment: dict[str, str] = {}
    for line in listing.splitlines():
        section, _, rest = line.partition(".")
        name, _, value = rest.partition("=")
        chosen = environment if section == ":env:" else files
        chosen[name] = str(ast.literal_eval(value))
    return files | environment


def render(settings: Mapping[str, str]) -> str:
    """A pip.conf of them."""
    # Several values of an option stand on lines of their own.
    lines = [f"{name} = " + "\n  ".join(value.split()) for name, value in settings.items()]
    return "\n".join(["[global]", *lines, ""])


def mounts(settings: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that the options name."""
    found = set()
    for name, value in settings.items():
        for word in value.split():
            path = Path(word.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # The pages of an index lead to files beside it.
                found.add(path.parent if name in _INDEXES else path)
    return sorted(found)
