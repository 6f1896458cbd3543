"""Runs a node from the images: `python -m tools.images.node`, as root in a network namespace.

Of its own, so that the images listen where they would in a pod and no port of the machine is taken.
The last line of standard output is a JSON object; what went wrong stands in `problems`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import grpc

import facet
from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import ExternalScalerStub
from facet.autoscaler.external_scaler import METRIC
from facet.node.redis_server import find_server, render_config
from facet.profiles.catalogue import NANO_CPU
from tools.demo import questions
from tools.images.catalogue import AUTOSCALER, GATEWAY, WORKER_CPU, Image
from tools.images.jail import Jail
from tools.images.store import ImageError, Store, cache_folder

_READY_SECONDS = {GATEWAY: 30.0, AUTOSCALER: 30.0, WORKER_CPU: 300.0}
_STOP_SECONDS = 60.0
_ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.2
_DECISION_SECONDS = 60.0
_POOL = "check"
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41
_REDIS_PORT = 6379
_FIRST_UID, _LAST_UID = 100_000, 2_000_000_000

# Run as root: nothing but the read-only mount is in its way then.
_WRITE_EVERYWHERE = """
import errno, os, sys
spared = {"/proc", "/sys", "/dev", *sys.argv[1:]}
tried = 0
for folder, below, _ in os.walk("/"):
    below[:] = [name for name in below if os.path.join(folder, name) not in spared]
    tried += 1
    try:
        os.close(os.open(os.path.join(folder, ".probe"), os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        if error.errno == errno.EROFS:
            continue
        print(f"{folder}: {error.strerror}")
    else:
        print(f"{folder}: can be written")
assert tried > 100, tried
"""
_WRITE_VOLUMES = """
import getpass, os, sys
assert getpass.getuser() == "facet" and os.getgid() == 0
for folder in [*sys.argv[1:], "/dev/shm"]:
    with open(os.path.join(folder, "probe"), "w") as file:
        file.write("x")
"""


def raise_loopback() -> None:
    """Bring up the only interface of this namespace."""
    with socket.socket() as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_RUNNING))


@contextmanager
def redis(folder: Path, password: str) -> Iterator[None]:
    """A Redis on its usual port while the context is open."""
    config = folder / "redis.conf"
    config.write_text(render_config(port=_REDIS_PORT, password=password, data_dir=folder))
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([find_server(), config], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


@contextmanager
def running(jail: Jail, image: Image, env: dict[str, str], folder: Path) -> Iterator[None]:
    """The image's service, healthy by its own check; its log is shown when it is not.

    Errors: ImageError, also where it does not end by SIGTERM with status 0.
    """
    path = folder / f"{image.name}.log"
    with path.open("wb") as log:
        process = jail.start(jail.config.entrypoint, env, log)
    try:
        _await_health(jail, image, process)
        yield
        _end(image, process)
    except (ImageError, subprocess.TimeoutExpired):
        sys.stderr.write(path.read_text(errors="replace")[-4000:])
        raise
    finally:
        process.kill()
        process.wait()


def _end(image: Image, process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    if process.wait(_STOP_SECONDS) != 0:
        raise ImageError(f"{image.name} ended with status {process.returncode} after SIGTERM")


def _await_health(jail: Jail, image: Image, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS[image]
    while jail.run(jail.config.health).returncode != 0:
        if process.poll() is not None:
            raise ImageError(f"{image.name} ended at start with status {process.returncode}")
        if time.monotonic() > deadline:
            raise ImageError(f"{image.name} was not healthy after {_READY_SECONDS[image]:.0f} s")
        time.sleep(_POLL_SECONDS)


def write_problems(jail: Jail, image: Image) -> list[str]:
    """Where the image can be written although it should not, or cannot although it should."""
    volumes = jail.config.volumes
    as_root = Jail(jail.root, jail.config, uid=0)
    refused = as_root.run(["python", "-c", _WRITE_EVERYWHERE, *volumes])
    problems = [f"{image.name}: {line}" for line in refused.stdout.splitlines()]
    if refused.returncode != 0:
        problems.append(f"{image.name}: the probe of its folders failed: {refused.stderr[-300:]}")
    written = jail.run(["python", "-c", _WRITE_VOLUMES, *volumes])
    if written.returncode != 0:
        problems.append(f"{image.name}: a volume cannot be written: {written.stderr[-300:]}")
    return problems


def ask(key: str) -> str:
    """Ask one question of nano; empty if it was answered right, else what is wrong."""
    question = questions(0)[0]
    with facet.Client("127.0.0.1:8470", api_key=key) as client:
        answer = client.generate(
            question.parts, temperature=0.0, max_output_tokens=64, timeout_seconds=_ANSWER_SECONDS
        ).text
    if answer == question.expected:
        return ""
    return f"{question.shown!r} was answered {answer!r}, not {question.expected!r}"


def scaler_problem() -> str:
    """Empty if KEDA is told within a while that the one worker stays; else what it is told."""
    pool = pb.ScaledObjectRef(name="check", scalerMetadata={"pool": _POOL})
    request = pb.GetMetricsRequest(scaledObjectRef=pool, metricName=METRIC)
    told = ""
    deadline = time.monotonic() + _DECISION_SECONDS
    with grpc.insecure_channel("127.0.0.1:8472") as channel:
        while time.monotonic() < deadline:
            try:
                answer = ExternalScalerStub(channel).GetMetrics(request, timeout=10)
            except grpc.RpcError as error:
                told = f"{error.code()}: {error.details()}"
            else:
                told = str([value.metricValue for value in answer.metricValues])
                if told == "[1]":
                    return ""
            time.sleep(_POLL_SECONDS)
    return f"the autoscaler does not ask for the one worker: {told}"


def run(store: Store, folder: Path) -> dict[str, object]:
    """Start the node, ask, stop. Errors: ImageError."""
    key, password = secrets.token_urlsafe(24), secrets.token_hex(16)
    given = folder / "secrets"
    given.mkdir()
    (given / "api-keys").write_text(f"check:{hashlib.sha256(key.encode()).hexdigest()}\n")
    draw = random.SystemRandom()
    (given / "redis-password").write_text(password)
    estimates = asdict(NANO_CPU.estimates)
    pools = {"pools": [{"name": _POOL, "min": 1, "max": 1, "gpus": 0, **estimates}]}
    (given / "pools.json").write_text(json.dumps(pools))
    redis_of_all = {
        "REDIS_URL": f"redis://127.0.0.1:{_REDIS_PORT}/0",
        "REDIS_CREDENTIALS": "file",
        "REDIS_PASSWORD_FILE": "/mnt/redis-password",
    }
    environment = {
        GATEWAY: {**redis_of_all, "API_KEYS_FILE": "/mnt/api-keys"},
        # Their metrics are on one port, each in a pod of its own; here all share an address.
        AUTOSCALER: {
            **redis_of_all,
            "POOLS_FILE": "/mnt/pools.json",
            "METRICS_LISTEN": "127.0.0.1:0",
        },
        WORKER_CPU: {**redis_of_all, "POOL": _POOL, "METRICS_LISTEN": "127.0.0.1:0"},
    }
    problems: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(redis(folder, password))
        jails = {
            image: Jail(
                stack.enter_context(store.mounted(image)),
                store.config(image),
                draw.randint(_FIRST_UID, _LAST_UID),
                given,
            )
            for image in environment
        }
        for image, jail in jails.items():
            problems += write_problems(jail, image)
        is_read_only = not problems
        for image, jail in jails.items():
            prefix = f"FACET_{image.name.removesuffix('-cpu').upper()}_"
            env = {prefix + name: value for name, value in environment[image].items()}
            stack.enter_context(running(jail, image, env, folder))
        wrong = ask(key)
        problems += [problem for problem in (wrong, scaler_problem()) if problem]
    return {
        "answered": not wrong,
        "worker_uid": jails[WORKER_CPU].uid,
        "read_only": is_read_only,
        "problems": problems,
    }


def main() -> int:
    """Run it and print the result; the exit status is 0 whatever was found."""
    raise_loopback()
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o711)
        try:
            result = run(Store(cache_folder()), Path(scratch))
        except (ImageError, facet.FacetApiError, OSError, subprocess.TimeoutExpired) as error:
            result = {"answered": False, "worker_uid": None, "read_only": None}
            result["problems"] = [str(error)]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
