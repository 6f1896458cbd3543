"""KEDA's external scaler while there is no policy: it holds the replicas where they are."""

from __future__ import annotations

from typing import Any

import grpc

SERVICE = "externalscaler.ExternalScaler"
REASON = "the policy is not part of this release: replicas are held"


class HoldingScaler(grpc.GenericRpcHandler):
    """Answers every method of the service with UNAVAILABLE.

    An error leaves the pool as it is; 0 or false would shrink it.
    """

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call, None for other services. Messages stay undecoded."""
        if not handler_call_details.method.startswith(f"/{SERVICE}/"):
            return None
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, REASON)
