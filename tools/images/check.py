"""Builds the images, runs a node from them, asks it: `python -m tools.images.check`.

No container engine is needed: buildah builds with chroot isolation on a Debian made by debootstrap,
and the services run in chroots. The last line of standard output is a JSON object; the exit status
is 0 only if nothing failed, 2 where nothing was begun.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import Any

from tools.checks import ROOT
from tools.images.catalogue import AUTOSCALER, GATEWAY, WORKER_CPU
from tools.images.store import ImageError, Store, cache_folder, content_bytes

CHECKED = (GATEWAY, AUTOSCALER, WORKER_CPU)
_COMMANDS = {"buildah": "buildah", "debootstrap": "debootstrap", "unshare": "util-linux"}
_NODE_SECONDS = 600


def missing() -> str:
    """What this machine lacks and how to get it; empty where it has all."""
    packages = [package for name, package in _COMMANDS.items() if not shutil.which(name)]
    wanted = []
    if packages:
        wanted.append(f"install {' '.join(packages)} (Debian: apt install {' '.join(packages)})")
    if os.geteuid() != 0:
        wanted.append("run it as root: file systems are mounted and services run under other UIDs")
    return "; ".join(wanted)


def run_node() -> dict[str, Any]:
    """Run `tools.images.node` apart from the machine's network. Errors: ImageError."""
    done = subprocess.run(
        [
            "setpriv",
            "--pdeathsig=KILL",
            "unshare",
            "--net",
            "--",
            sys.executable,
            "-m",
            "tools.images.node",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_NODE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ImageError(f"the node's run ended with status {done.returncode}, see above")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def check(store: Store) -> dict[str, Any]:
    """Build, measure, run; the result. Errors: ImageError."""
    images: dict[str, dict[str, int]] = {}
    _timed("base", store.make_base)
    for image in CHECKED:
        _timed(image.name, lambda image=image: store.build(image))
        with store.mounted(image) as root:
            images[image.name] = {"bytes": content_bytes(root)}
        print(f"{image.repository:20} {images[image.name]['bytes'] / 1e6:8.0f} MB", flush=True)
    return {"images": images, **_timed("node", run_node)}


def _timed(name: str, step: Any) -> Any:
    began = time.monotonic()
    result = step()
    print(f"image-check: {name} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return result


def main() -> int:
    """Run the check; the exit status."""
    lacking = missing()
    if lacking:
        print(f"image-check: cannot run here: {lacking}", file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        result = check(Store(cache_folder()))
    except (ImageError, subprocess.TimeoutExpired) as error:
        result = {"images": {}, "answered": False, "problems": [str(error)]}
    for problem in result["problems"]:
        print(f"image-check: {problem}", file=sys.stderr)
    failures = len(result.pop("problems"))
    result |= {"seconds": round(time.monotonic() - began), "failures": failures}
    print(json.dumps(result))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
