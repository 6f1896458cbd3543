"""The programs that make up a node, in the order in which they start."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from facet.node.addresses import GatewayAddress, free_port
from facet.node.process import Command
from facet.node.readiness import FileReadiness, RedisReadiness
from facet.node.redis_server import render_config
from facet.node.settings import NodeSettings
from facet.node.state_dir import StateDir, write_private
from facet.node.supervised import Program
from facet.profiles.catalogue import PROFILES

_REDIS_STOP_SECONDS = 10.0
_STOP_MARGIN_SECONDS = 5.0
"""What a service may need beyond its own drain bound to leave."""


class Redis:
    """The node's queue store, on a loopback port and behind a password of this run."""

    def __init__(self, server: Path, state_dir: StateDir) -> None:
        self._server = server
        self._state_dir = state_dir
        self._port = free_port()
        self._password = secrets.token_hex(16)

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def program(self, settings: NodeSettings) -> Program:
        """How it is run; writes its configuration. Errors: OSError."""
        write_private(
            self._state_dir.redis_config,
            render_config(port=self._port, password=self._password, data_dir=self._state_dir.redis),
        )
        argv = (str(self._server), str(self._state_dir.redis_config))
        return Program(
            name="redis",
            command=lambda: Command(argv, os.environ),
            log_path=self._state_dir.log("redis"),
            readiness=RedisReadiness(self._port, self._password),
            start_seconds=settings.start_seconds,
            stop_seconds=_REDIS_STOP_SECONDS,
        )


def gateway_program(
    settings: NodeSettings, state_dir: StateDir, redis_url: str, address: GatewayAddress
) -> Program:
    """How the gateway is run."""
    fixed = {
        "FACET_GATEWAY_REDIS_URL": redis_url,
        "FACET_GATEWAY_MODELS": f'["{PROFILES[settings.profile].model}"]',
        "FACET_GATEWAY_ADDRESS_FILE": str(state_dir.gateway_address),
        "FACET_GATEWAY_DRAIN_SECONDS": f"{settings.drain_seconds:g}",
        "FACET_GATEWAY_LOG_LEVEL": settings.log_level,
        **_metrics_listener("FACET_GATEWAY_METRICS_LISTEN"),
    }

    def listeners() -> dict[str, str]:
        return {
            "FACET_GATEWAY_LISTEN": address.listen,
            "FACET_GATEWAY_ADMIN_LISTEN": address.admin_listen,
        }

    return Program(
        name="gateway",
        command=lambda: _service("facet.gateway", fixed | listeners()),
        log_path=state_dir.log("gateway"),
        readiness=FileReadiness(state_dir.gateway_address),
        start_seconds=settings.start_seconds,
        stop_seconds=settings.drain_seconds + _STOP_MARGIN_SECONDS,
    )


def worker_program(
    settings: NodeSettings, state_dir: StateDir, redis_url: str, index: int
) -> Program:
    """How one worker is run."""
    name = f"worker-{index}"
    env = {
        "FACET_WORKER_REDIS_URL": redis_url,
        "FACET_WORKER_PROFILE": settings.profile,
        "FACET_WORKER_MODEL": PROFILES[settings.profile].model,
        "FACET_WORKER_ENGINE": settings.engine,
        "FACET_WORKER_NAME": name,
        "FACET_WORKER_READY_FILE": str(state_dir.worker_ready(name)),
        "FACET_WORKER_DRAIN_SECONDS": f"{settings.drain_seconds:g}",
        "FACET_WORKER_LOG_LEVEL": settings.log_level,
        **_metrics_listener("FACET_WORKER_METRICS_LISTEN"),
    }
    return Program(
        name=name,
        command=lambda: _service("facet.worker", env),
        log_path=state_dir.log(name),
        readiness=FileReadiness(state_dir.worker_ready(name)),
        start_seconds=settings.start_seconds,
        stop_seconds=settings.drain_seconds + _STOP_MARGIN_SECONDS,
    )


def _metrics_listener(variable: str) -> dict[str, str]:
    # On a free port of this machine alone, unless somebody wants them elsewhere.
    return {variable: os.environ.get(variable, "127.0.0.1:0")}


def _service(module: str, env: Mapping[str, str]) -> Command:
    # What the node does not fix is inherited: engine options, limits, the file of API keys.
    return Command((sys.executable, "-P", "-m", module), os.environ | dict(env))
