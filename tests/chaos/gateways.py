"""Calls to several gateways over the public API, and what their failures mean."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

from facet.api.v1 import inference_service_pb2_grpc

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Channels of equal arguments share a connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
)
_TRANSPORT_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
)
_TRANSIENT_REASONS = ("STORE_UNAVAILABLE", "GATEWAY_DRAINING", "QUEUE_FULL", "STORE_FULL")


class Gateways:
    """A channel to each gateway, taken in turn."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._channels = [grpc.aio.insecure_channel(a, options=_OPTIONS) for a in addresses]
        stubs = [inference_service_pb2_grpc.InferenceServiceStub(c) for c in self._channels]
        self._turns = itertools.cycle(stubs)

    def next(self) -> inference_service_pb2_grpc.InferenceServiceAsyncStub:
        """Another gateway than the last caller's."""
        return next(self._turns)

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            await channel.close()


@dataclass(frozen=True)
class Ended:
    """How a call failed: `reason` is the API's, or the status code where there is none.

    `is_cut` says that no gateway said so: the connection ended.
    """

    reason: str
    is_transient: bool
    is_cut: bool = False


def read_error(error: grpc.aio.AioRpcError) -> Ended:
    """What a failed call says."""
    reason = _reason(error)
    if reason:
        return Ended(reason, reason in _TRANSIENT_REASONS)
    is_cut = error.code() in _TRANSPORT_CODES
    return Ended(error.code().name, is_transient=is_cut, is_cut=is_cut)


def _reason(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return str(info.reason)
    return ""
