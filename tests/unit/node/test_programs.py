"""What the node's processes are told."""

import json
from pathlib import Path

import pytest

from facet.node.addresses import GatewayAddress
from facet.node.programs import Redis, gateway_program, worker_program
from facet.node.settings import NodeSettings
from facet.node.state_dir import StateDir

pytestmark = pytest.mark.unit


@pytest.fixture
def state_dir(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


def test_the_gateway_gets_the_bound_address_when_it_starts_again(state_dir: StateDir) -> None:
    address = GatewayAddress("127.0.0.1:0", state_dir.gateway_address)
    program = gateway_program(NodeSettings(), state_dir, "redis://x", address)
    assert program.command().env["FACET_GATEWAY_LISTEN"] == "127.0.0.1:0"

    state_dir.gateway_address.write_text("127.0.0.1:4711\n127.0.0.1:4712\n")
    address.learn()

    assert program.command().env["FACET_GATEWAY_LISTEN"] == "127.0.0.1:4711"
    assert program.command().env["FACET_GATEWAY_ADMIN_LISTEN"] == "127.0.0.1:4712"


def test_gateway_and_worker_meet_when_they_are_configured(state_dir: StateDir) -> None:
    settings = NodeSettings(engine="simulated")
    address = GatewayAddress("127.0.0.1:0", state_dir.gateway_address)

    gateway = gateway_program(settings, state_dir, "redis://x", address).command()
    worker = worker_program(settings, state_dir, "redis://x", 1).command()

    assert gateway.argv[1:] == ("-P", "-m", "facet.gateway")
    assert worker.argv[1:] == ("-P", "-m", "facet.worker")
    assert gateway.env["FACET_GATEWAY_REDIS_URL"] == worker.env["FACET_WORKER_REDIS_URL"]
    assert json.loads(gateway.env["FACET_GATEWAY_MODELS"]) == [worker.env["FACET_WORKER_MODEL"]]
    assert worker.env["FACET_WORKER_ENGINE"] == "simulated"
    assert worker.env["FACET_WORKER_NAME"] == "worker-1"


def test_options_are_inherited_when_the_node_does_not_fix_them(
    state_dir: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_WORKER_CLAIM_AHEAD", "7")
    monkeypatch.setenv("FACET_WORKER_MODEL", "other")

    env = worker_program(NodeSettings(), state_dir, "redis://x", 0).command().env

    assert env["FACET_WORKER_CLAIM_AHEAD"] == "7"
    assert env["FACET_WORKER_MODEL"] == "nano"


def test_the_password_is_in_the_file_alone_when_redis_is_started(state_dir: StateDir) -> None:
    redis = Redis(Path("/usr/bin/redis-server"), state_dir)
    program = redis.program(NodeSettings())
    password = redis.url.split("@")[0].rpartition(":")[2]

    assert len(password) == 32
    assert password not in " ".join(program.command().argv)
    assert f"requirepass {password}" in state_dir.redis_config.read_text()
    assert state_dir.redis_config.stat().st_mode & 0o777 == 0o600
