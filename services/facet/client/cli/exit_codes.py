"""Exit codes of `facet`, and the one line that goes with each failure."""

from __future__ import annotations

from enum import IntEnum

import grpc

from facet.client.errors import FacetApiError


class ExitCode(IntEnum):
    """What a script may branch on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    REFUSED = 5
    BUSY = 6
    DEADLINE = 7
    INTERRUPTED = 130


_BY_STATUS = {
    grpc.StatusCode.UNAVAILABLE: ExitCode.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.DENIED,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.DENIED,
    grpc.StatusCode.INVALID_ARGUMENT: ExitCode.REFUSED,
    grpc.StatusCode.NOT_FOUND: ExitCode.REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: ExitCode.REFUSED,
    grpc.StatusCode.OUT_OF_RANGE: ExitCode.REFUSED,
    grpc.StatusCode.UNIMPLEMENTED: ExitCode.REFUSED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExitCode.BUSY,
    grpc.StatusCode.DEADLINE_EXCEEDED: ExitCode.DEADLINE,
}


def of(error: FacetApiError) -> ExitCode:
    """The exit code of a failed call."""
    return _BY_STATUS.get(error.code, ExitCode.FAILED)


def describe(
    error: FacetApiError,
    address: str,
    *,
    server: str = "gateway",
    option: str = "--address",
    is_tls: bool = False,
) -> str:
    """The failure in one line; `option` is the one that names the server."""
    # The code as reason means no ErrorInfo: nothing that speaks Facet said it.
    if error.reason == grpc.StatusCode.UNAVAILABLE.name:
        if is_tls:
            why = " ".join(error.message.split())
            return f"no {server} answers over TLS at {address}, see --tls and --ca: {why}"
        return (
            f"no {server} answers at {address}: start one (make run), or name it with {option}, "
            "and with --tls when it wants TLS"
        )
    line = f"{error.reason}: {error.message}"
    for violation in error.violations:
        if violation.description not in error.message:
            line += f"; {violation.field}: {violation.description}"
    if error.retry_after_seconds is not None:
        line += f" (try again in {error.retry_after_seconds:g} s)"
    return " ".join(line.split())
