"""Asks a gRPC health service once: `python -m facet.core.health_probe HOST:PORT`.

The health check of the container images: they hold no other client. Exits 0 only on SERVING.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 2.0


def is_serving(address: str) -> bool:
    """Whether the server as a whole answers SERVING within `TIMEOUT_SECONDS`."""
    # The pod's own address, whatever proxy the environment names.
    options = (("grpc.enable_http_proxy", 0),)
    with grpc.insecure_channel(address, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main(arguments: list[str]) -> int:
    """The exit status for the container runtime."""
    return 0 if is_serving(arguments[0]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
