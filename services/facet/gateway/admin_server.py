"""The listener for operators: who may call, and where it is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from facet.core.errors import PermissionDeniedError
from facet.core.listener import bind
from facet.core.media_store import MediaStore
from facet.core.tls import CertificateFiles
from facet.gateway.admin_service import SERVICE, AdminQueue, AdminService
from facet.gateway.authenticator import (
    Authenticator,
    Metadata,
    Principal,
    is_loopback,
)
from facet.gateway.calls import service_handler
from facet.gateway.server import create_server, server_options

MAX_MESSAGE_BYTES = 1 << 20
MAX_METADATA_BYTES = 16 << 10
MAX_DEADLINE_SECONDS = 60.0
MAX_OPEN_CALLS = 16


class AdminAuthenticator:
    """Lets operators through, nobody else."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def authenticate(self, metadata: Metadata) -> Principal:
        """See `Authenticator.authenticate`. Errors: PermissionDeniedError besides."""
        principal = await self._authenticator.authenticate(metadata)
        if not principal.is_admin:
            raise PermissionDeniedError(
                f"the credentials are those of tenant {principal.tenant}, not an operator's"
            )
        return principal


def check_admin_listener(listen: str, authenticator: Authenticator) -> None:
    """Refuse an address where everybody who can reach it, or nobody, would be an operator.

    Errors: ValueError.
    """
    if not listen or is_loopback(listen):
        return
    if not authenticator.has_admin:
        raise ValueError(
            f"{listen} can be reached from other machines and no operator's key is configured: "
            "add a line that ends with :admin to FACET_GATEWAY_API_KEYS_FILE, set "
            "FACET_GATEWAY_OIDC_ADMIN_ROLE, or have FACET_GATEWAY_ADMIN_LISTEN on 127.0.0.1"
        )


@asynccontextmanager
async def serving_admin(
    listen: str,
    queues: Mapping[str, AdminQueue],
    authenticator: Authenticator,
    media: MediaStore,
    certificates: CertificateFiles | None = None,
) -> AsyncIterator[str]:
    """Serve `facet.v1.AdminService` while the context is open; yields the bound `host:port`.

    An empty `listen` serves nothing and yields "". Errors: those of `bind`.
    """
    if not listen:
        yield ""
        return
    methods = AdminService(queues, media).methods()
    server = create_server(
        [service_handler(SERVICE, methods, AdminAuthenticator(authenticator))],
        (SERVICE,),
        server_options(
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_metadata_bytes=MAX_METADATA_BYTES,
            max_deadline_seconds=MAX_DEADLINE_SECONDS,
        ),
        max_open_calls=MAX_OPEN_CALLS,
        max_metadata_bytes=MAX_METADATA_BYTES,
    )
    address = bind(server, listen, certificates)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)
