"""`facet plan`: what a profile needs, and how it is started in the memory that is there."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facet.client.cli.arguments import Parser, RefusedError, UsageError, count
from facet.profiles import plan_report
from facet.profiles.catalogue import PROFILES
from facet.profiles.choice import AUTO, choose
from facet.profiles.machine import TARGETS, Machine, Memory, exactly, measure, running_as_pod
from facet.profiles.plan import Plan
from facet.profiles.planner import plan, with_config
from facet.profiles.profile import GIB, KIB, MIB, Device, Profile
from facet.profiles.refusal import PlanRefusedError
from facet.profiles.shape import ConfigError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})")


def add_command(commands: Commands) -> None:
    """The arguments of `facet plan`."""
    parser = commands.add_parser("plan", help="how a profile fits into this machine's memory")
    parser.add_argument("--profile", required=True, choices=(AUTO, *PROFILES), help="what to serve")
    parser.add_argument(
        "--memory",
        type=_size,
        metavar="SIZE",
        help="memory of the profile's device, GPU or RAM, such as 16GiB (default: measured)",
    )
    parser.add_argument(
        "--compute-capability",
        type=_capability,
        metavar="X.Y",
        help="of the GPU (default: measured, or the target's)",
    )
    parser.add_argument(
        "--context", type=count, metavar="TOKENS", help="prompt and output together"
    )
    parser.add_argument("--batched-tokens", type=count, metavar="TOKENS", help="of one engine step")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="config.json of another checkpoint, or its folder",
    )
    parser.add_argument("--target", choices=tuple(TARGETS), help="a pod on such a node")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> None:
    """Print the plan. Errors: UsageError, RefusedError."""
    try:
        made = _plan(arguments)
    except ConfigError as error:
        raise UsageError(f"{arguments.config}: {error}") from error
    except PlanRefusedError as refusal:
        if arguments.json:
            print(json.dumps(plan_report.refusal_values(arguments.profile, refusal)))
        raise RefusedError(refusal.message) from refusal
    if arguments.json:
        print(json.dumps(plan_report.values(made)))
        return
    for line in plan_report.lines(made):
        print(line)


def _plan(arguments: argparse.Namespace) -> Plan:
    if arguments.profile == AUTO:
        if arguments.memory or arguments.config or arguments.batched_tokens:
            raise UsageError("--profile auto takes none of --memory, --config, --batched-tokens")
        return choose(_machine(arguments, None), context_tokens=arguments.context).plan
    profile = PROFILES[arguments.profile]
    if arguments.config is not None:
        profile = with_config(profile, _read_config(arguments.config))
    return plan(
        profile,
        _machine(arguments, profile),
        context_tokens=arguments.context,
        batched_tokens=arguments.batched_tokens,
    )


def _machine(arguments: argparse.Namespace, profile: Profile | None) -> Machine:
    if arguments.target is not None:
        machine = _target_machine(arguments.target)
    elif arguments.memory is not None:
        machine = Machine()
    else:
        machine = dataclasses.replace(measure(), is_shared=not running_as_pod())
    if arguments.memory is not None and profile is not None:
        machine = _with_memory(machine, profile, exactly(arguments.memory))
    if arguments.compute_capability is not None:
        machine = dataclasses.replace(machine, compute_capability=arguments.compute_capability)
    return machine


def _target_machine(name: str) -> Machine:
    target = TARGETS[name]
    return Machine(
        gpu=exactly(target.gpu_bytes),
        ram=exactly(target.ram_bytes),
        compute_capability=target.compute_capability,
        is_shared=False,
    )


def _with_memory(machine: Machine, profile: Profile, memory: Memory) -> Machine:
    if profile.device is Device.GPU:
        return dataclasses.replace(machine, gpu=memory)
    # A target's pods have no more than it offers, whatever the node was sold as.
    smaller = min((memory, machine.ram or memory), key=lambda ram: ram.total_bytes)
    return dataclasses.replace(machine, gpu=None, ram=smaller)


def _read_config(path: Path) -> dict[str, Any]:
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: no JSON ({error})") from error
    if not isinstance(config, dict):
        raise UsageError(f"{file}: a JSON object is wanted")
    return config


def _size(value: str) -> int:
    found = _SIZE.fullmatch(value)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"a number with {', '.join(_UNITS)} is wanted")
    return int(float(found[1]) * _UNITS[found[2]])


def _capability(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,2})\.(\d)", value)
    if found is None:
        raise argparse.ArgumentTypeError("major.minor is wanted, such as 8.9")
    return int(found[1]), int(found[2])
