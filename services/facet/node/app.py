"""Composition root of the node: parse, validate, compose, run."""

from __future__ import annotations

import asyncio
import signal
import sys

from pydantic import ValidationError

from facet.node.errors import NodeError
from facet.node.node import Node
from facet.node.programs import Redis
from facet.node.redis_server import find_server
from facet.node.screen import Screen
from facet.node.settings import NodeSettings
from facet.node.state_dir import StateDir
from facet.node.worker_weights import fetch_weights
from facet.profiles.catalogue import PROFILES
from facet.profiles.choice import AUTO, choose
from facet.profiles.machine import measure
from facet.profiles.planner import plan
from facet.profiles.refusal import PlanRefusedError
from facet.weights.errors import WeightsError

_BAD_SETTINGS = 2
_CANNOT_RUN = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the node until SIGINT, SIGTERM or SIGHUP; a second one ends everything by force.

    Exit codes: 0 after a signal, 1 where it cannot start, 2 for wrong settings or a profile that
    does not fit. Standard output gets one line, `READY grpc=HOST:PORT`, when requests are served.
    """
    try:
        settings = NodeSettings()
        settings, why = _chosen(settings)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"FACET_NODE_{name}: {problem['msg']}\n")
        sys.exit(_BAD_SETTINGS)
    except PlanRefusedError as refusal:
        sys.stderr.write(f"facet node: {refusal.message}\n")
        sys.exit(_BAD_SETTINGS)
    try:
        asyncio.run(_run(settings, why))
    except (NodeError, WeightsError, OSError) as error:
        sys.stderr.write(f"facet node: {error}\n")
        sys.exit(_CANNOT_RUN)


def _chosen(settings: NodeSettings) -> tuple[NodeSettings, str]:
    """The settings with a profile by name, and a line on how it fits. Errors: PlanRefusedError."""
    if settings.profile == AUTO:
        choice = choose(measure())
        settings = settings.model_copy(update={"profile": choice.plan.profile.name})
        return settings, f"profile auto picked {choice.why}"
    if settings.engine == "vllm":
        plan(PROFILES[settings.profile], measure())
    return settings, f"profile {settings.profile}"


async def _run(settings: NodeSettings, why: str) -> None:
    screen = Screen(sys.stderr)
    state_dir = StateDir(settings.state_dir)
    with state_dir.locked():
        state_dir.rotate_logs()
        redis = Redis(find_server(), state_dir)
        if not await _has_weights(settings, screen):
            return
        screen.say(f"{why}, engine {settings.engine}, logs {state_dir.logs}")
        node = Node(settings, state_dir, redis, screen, _announce)
        stop = asyncio.Event()
        _stop_on_signals(stop, node, screen)
        await node.run(stop)


async def _has_weights(settings: NodeSettings, screen: Screen) -> bool:
    """Fetch what is missing; False where a signal ended that. Errors: WeightsError."""
    fetching = asyncio.create_task(fetch_weights(settings))
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, fetching.cancel)
    try:
        await fetching
    except asyncio.CancelledError:
        screen.say("stopped while it fetched weights; the next start goes on from there")
        return False
    return True


def _announce(grpc: str) -> None:
    sys.stdout.write(f"READY grpc={grpc}\n")
    sys.stdout.flush()


def _stop_on_signals(stop: asyncio.Event, node: Node, screen: Screen) -> None:
    def on_signal() -> None:
        if stop.is_set():
            node.kill()
            return
        screen.say("stopping; once more to end everything by force")
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
