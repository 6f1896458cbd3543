"""Set-up of a machine that serves a profile: does it fit, what is downloaded, is that wanted.

Standard library only, and so is what it takes from `facet`: it runs before anything is installed.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools import environment, preflight
from tools.preflight import GIB

# Nothing is installed yet.
sys.path.insert(0, str(environment.ROOT / "services"))

from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.profiles.choice import AUTO, choose
from facet.profiles.machine import measure
from facet.profiles.planner import plan
from facet.profiles.profile import Checkpoint, Profile
from facet.profiles.refusal import PlanRefusedError
from facet.weights.cached import Cache, default_cache
from facet.weights.errors import LocationError
from facet.weights.location import BucketPrefix, HubModel, parse

NAMES = (AUTO, *PROFILES)
REFUSED = 2
DECLINED = 1
INTERRUPTED = 130
_TRUE = {"1", "true", "yes", "on", "t", "y"}


class RefusedError(Exception):
    """Not on this machine, or not with these settings; the message says what to do."""


@dataclass(frozen=True)
class Weights:
    """A checkpoint that is not here; `left_bytes` have to be fetched, None where nobody knows."""

    location: HubModel | BucketPrefix
    left_bytes: int | None


@dataclass(frozen=True)
class Disk:
    """What is written below a folder, and what is free there, in bytes."""

    path: Path
    needed: int
    free: int


def prepare(root: Path, name: str, env: Mapping[str, str]) -> int:
    """Choose the profile, ask about its weights, install what it needs; the exit status.

    Writes the profile's name to standard output. `env` holds YES and FACET_WORKER_*.
    """
    machine = preflight.probe_machine("", is_current=False)
    if refusals := preflight.check_platform(machine):
        return preflight.tell_refusals(refusals)
    try:
        profile, why = choice(name)
        environment.say(why)
        weights = missing_weights(profile, env)
        status = environment.check(root, profile.node_lock)
        if weights and status == 0:
            offer(root, profile, weights, cache_of(env))
            status = 0 if is_agreed(env) else DECLINED
    except (RefusedError, LocationError) as error:
        environment.say(str(error))
        return REFUSED
    except KeyboardInterrupt:
        environment.say("nothing was downloaded")
        return INTERRUPTED
    status = status or environment.bring(root, profile.node_lock)
    if status == 0:
        print(profile.name)
    return status


def prepare_demo(root: Path, name: str) -> int:
    """Install what the demo needs, whose answers are nano's; the exit status."""
    if name != NANO_CPU.name:
        environment.say(
            f"the demo checks the answers of {NANO_CPU.name}; serve another by: "
            f"make run PROFILE={name}"
        )
        return REFUSED
    return environment.prepare(root, NANO_CPU.node_lock)


def choice(name: str) -> tuple[Profile, str]:
    """The profile and a line on how it fits this machine. Errors: RefusedError."""
    if name not in NAMES:
        raise RefusedError(f"PROFILE={name} is no profile; there are {', '.join(NAMES)}")
    try:
        if name == AUTO:
            chosen = choose(measure())
            return chosen.plan.profile, f"profile auto picked {chosen.why}"
        made = plan(PROFILES[name], measure())
    except PlanRefusedError as refusal:
        raise RefusedError(refusal.message) from refusal
    memory = made.memory
    used, usable = (memory.fixed + memory.kv_bytes) / GIB, memory.usable / GIB
    return made.profile, f"profile {name}: {used:.1f} GiB of the {usable:.1f} that can be used"


def cache_of(env: Mapping[str, str]) -> Cache:
    """Where the node keeps downloads."""
    named = env.get("FACET_WORKER_WEIGHTS_CACHE")
    return default_cache(Path(named) if named else None)


def missing_weights(profile: Profile, env: Mapping[str, str]) -> list[Weights]:
    """What the node will download. Errors: RefusedError, LocationError."""
    cache = cache_of(env)
    found = []
    for checkpoint, setting in (
        (profile.target, "FACET_WORKER_WEIGHTS"),
        (profile.drafter, "FACET_WORKER_DRAFTER_WEIGHTS"),
    ):
        location = parse(env.get(setting) or checkpoint.source)
        if not isinstance(location, HubModel | BucketPrefix) or cache.find(location):
            continue
        if env.get("FACET_WORKER_OFFLINE", "").lower() in _TRUE:
            raise RefusedError(
                f"{location} is not on this machine and FACET_WORKER_OFFLINE forbids to fetch it; "
                f"unset that, or name a directory with {setting}"
            )
        found.append(Weights(location, _left_bytes(location, checkpoint, cache)))
    return found


def _left_bytes(
    location: HubModel | BucketPrefix, checkpoint: Checkpoint, cache: Cache
) -> int | None:
    if str(location) != checkpoint.source:
        return None
    folder = cache.model_dir(location) if isinstance(location, HubModel) else None
    # Blobs and what a broken download left; snapshots only link to them.
    here = folder.glob("blobs/*") if folder is not None else ()
    return max(0, checkpoint.download_bytes - sum(path.stat().st_size for path in here))


def offer(root: Path, profile: Profile, weights: list[Weights], cache: Cache) -> None:
    """Say what will be downloaded, where to, and what comes of it. Errors: RefusedError."""
    environment.say(f"{profile.name} serves {profile.model}; this once it downloads:")
    packages = environment.probe(root, profile.node_lock)
    if not packages.is_current:
        size = _gigabytes(int(preflight.download_gib(packages, profile.node_lock) * GIB))
        environment.say(f"{size}  Python packages of requirements/{profile.node_lock}.txt")
    for each in weights:
        environment.say(f"{_gigabytes(each.left_bytes)}  {each.location}")
    short = []
    for disk in disks(root, packages, profile, weights, cache):
        environment.say(
            f"disk: {disk.needed / 1e9:.1f} GB needed, {disk.free / 1e9:.1f} GB free at {disk.path}"
        )
        if disk.free < disk.needed:
            short.append(str(disk.path))
    environment.say(f"speed to expect: {profile.speed}")
    if short:
        raise RefusedError(
            f"too little disk at {' and '.join(short)}; free space, or name another disk for the "
            "weights with FACET_WORKER_WEIGHTS_CACHE"
        )


def disks(
    root: Path,
    packages: preflight.Probe,
    profile: Profile,
    weights: list[Weights],
    cache: Cache,
) -> list[Disk]:
    """What each file system has to take; packages and weights may share one."""
    needs = {
        root: int(preflight.disk_need_gib(packages, profile.node_lock) * GIB),
        cache.hub: sum(each.left_bytes or 0 for each in weights),
    }
    found: dict[int, Disk] = {}
    for path, needed in needs.items():
        there = _existing(path)
        device = there.stat().st_dev
        shared = found.get(device, Disk(path, 0, shutil.disk_usage(there).free))
        found[device] = Disk(shared.path, shared.needed + needed, shared.free)
    return list(found.values())


def is_agreed(env: Mapping[str, str]) -> bool:
    """Ask once, on a terminal; YES=1 answers beforehand. Errors: RefusedError."""
    if env.get("YES", "") not in ("", "0"):
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(
            "nobody can be asked here, as this is no terminal; YES=1 agrees to the download: "
            "make run PROFILE=... YES=1"
        )
    sys.stderr.write("setup: download and start? [y/N] ")
    sys.stderr.flush()
    is_wanted = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not is_wanted:
        environment.say("nothing was downloaded")
    return is_wanted


def _gigabytes(size: int | None) -> str:
    return "  size unknown" if size is None else f"  {size / 1e9:9.2f} GB"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
